//! Standard output: what a command was asked for.

use crate::failure::Failure;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};
use std::process::exit;

/// What a shell tells of a command that SIGPIPE has ended.
const BROKEN_PIPE: i32 = 141;

/// Writes it, at once. Where whoever reads has gone, as `head` does, the command ends without a word; anything else
/// that keeps it from being written is its failure.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(BROKEN_PIPE),
        done => done.map_err(|error| Failure::about("standard output", error)),
    }
}
