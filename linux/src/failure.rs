//! What ends the command: one line that names the thing and the reason.

use std::fmt;

/// The line.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// `thing` cannot be used because of `reason`.
    pub(crate) fn about(thing: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Failure(format!("{thing}: {reason}"))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
