//! Binds listeners, starts and supervises every other program.
