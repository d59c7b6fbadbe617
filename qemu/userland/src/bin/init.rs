//! The first process.
fn main() {}
