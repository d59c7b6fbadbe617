//! Why a step is refused.

use alloc::format;
use alloc::string::{String, ToString};
use bailiwick_kernel_glue::StepFault;
use bailiwick_protocol::error::Errno;
use core::fmt::Display;

/// Longest text of what was done.
const TEXT_MAX: usize = 200;

/// A number, and what there is to say about it beyond the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) errno: Errno,
    why: &'static str,
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Fault { errno, why: "" }
    }
}

impl Fault {
    pub(super) const fn new(errno: Errno, why: &'static str) -> Self {
        Fault { errno, why }
    }
    /// As it is told: what was done, and why not.
    pub(super) fn of(self, what: impl Display) -> StepFault {
        let mut text: String = what.to_string();
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        let what = if self.why.is_empty() { text } else { format!("{text}: {}", self.why) };
        StepFault { step: None, errno: self.errno, what }
    }
}
