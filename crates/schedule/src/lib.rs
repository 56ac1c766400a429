//! The delivery scheduler: no clock, no I/O.
