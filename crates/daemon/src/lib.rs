//! The common life of a service: load, open, jail, serve, drain.
