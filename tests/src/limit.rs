//! Tests that end: what would hang says so instead.

use std::io::{self, Read};
use std::process::{Command, Output};

/// How a command ended and what it wrote. As [`Command::output`], but it waits for the command alone: whoever else
/// was left with its streams holds nobody up. The command should have a time limit of its own, as timeout(1) gives.
///
/// # Errors
/// The command cannot be started, or there is no room for its output.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let (out, errors) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
    let status = command.stdout(out.reopen()?).stderr(errors.reopen()?).status()?;
    let read = |mut file: tempfile::NamedTempFile| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    };
    Ok(Output { status, stdout: read(out)?, stderr: read(errors)? })
}
