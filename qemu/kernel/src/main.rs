//! The kernel: to be written.
fn main() {}
