//! Developer commands: try, test, audit, bench.

fn main() {}
