//! A program that means harm.

/// Does nothing.
pub fn main(_: &str) -> u8 {
    0
}
