//! Binds listeners, starts and supervises every other program.

fn main() {}
