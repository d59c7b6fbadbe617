//! Calls whose answer is not there yet.

use super::{answer, refuse};
use alloc::vec::Vec;
use bailiwick_kernel_glue::{Port, ReplyToken};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::frame::Tag;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Reply;

/// Most calls that wait for the end, and most that wait for output, of one process.
pub(crate) const WAITS_MAX: usize = 64;

/// What is needed to answer a call. Answering takes it, so a call is answered once.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) token: ReplyToken,
    pub(crate) tag: Tag,
    /// The capability it came on: when that is taken back, the wait is over.
    pub(crate) badge: Badge,
}

impl Parked {
    pub(crate) fn reply(self, port: &mut impl Port, reply: &Reply<'_>) {
        answer(port, self.token, self.tag, reply, None);
    }
    pub(crate) fn reply_with(self, port: &mut impl Port, reply: &Reply<'_>, mint: Badge) {
        answer(port, self.token, self.tag, reply, Some(mint));
    }
    pub(crate) fn refuse(self, port: &mut impl Port, error: impl Into<ErrorReply>) {
        refuse(port, self.token, self.tag, &error.into());
    }
}

// A copy is needed only to clone a whole manager, whose copy then answers on another port.
impl Clone for Parked {
    fn clone(&self) -> Self {
        Parked { token: self.token, tag: self.tag, badge: self.badge }
    }
}

/// A call for output from `cursor` on.
#[derive(Clone, Debug)]
pub(crate) struct LogWait {
    pub(crate) parked: Parked,
    pub(crate) cursor: u64,
}

/// Adds to a list of waiting calls.
///
/// # Errors
/// `Full` if it holds [`WAITS_MAX`].
pub(crate) fn park<T>(list: &mut Vec<T>, waiting: T) -> Result<(), ErrorReply> {
    if list.len() >= WAITS_MAX {
        return Err(Refusal::new(RefusalCode::Full, "calls waiting on this object").into());
    }
    list.push(waiting);
    Ok(())
}
