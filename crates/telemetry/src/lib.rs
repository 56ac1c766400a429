//! Logging: one catalogue of events, one line per event.
