//! `qemu/run` without the shell around it.
fn main() {}
