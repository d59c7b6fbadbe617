//! What can go wrong below a step: the kernel's number, and in words what was being done.

use alloc::string::String;
use bailiwick_protocol::error::Errno;
use std::io;

/// The kernel said no.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) errno: Errno,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn new(errno: Errno, what: impl Into<String>) -> Self {
        Fault { errno, what: what.into() }
    }
}

pub(super) type Outcome<T> = Result<T, Fault>;

/// Adds the words to a bare number.
pub(super) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|e| Fault { errno: errno(e), what: what() })
    }
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|e| Fault { errno: io_errno(&e), what: what() })
    }
}

/// rustix' number as ours.
pub(super) fn errno(e: rustix::io::Errno) -> Errno {
    Errno(u16::try_from(e.raw_os_error()).unwrap_or(Errno::EIO.0))
}

/// The number of an error of the standard library; those that have none are `EIO`.
pub(super) fn io_errno(e: &io::Error) -> Errno {
    e.raw_os_error().and_then(|n| u16::try_from(n).ok()).map_or(Errno::EIO, Errno)
}
