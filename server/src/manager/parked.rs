//! Calls whose answer is not there yet.

use super::{answer, refuse};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_kernel_glue::{Port, ReplyToken};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::frame::Tag;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Reply;

/// Most calls that wait for the end, and most that wait for output, of one process, sent on one capability.
pub(crate) const WAITS_MAX: usize = 16;

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

/// Calls that wait on one object, by the capability they came on. Each holder has room of its own, so nobody's
/// calls are in the way of another's; the number of holders is bounded by quotas.
#[derive(Clone, Debug)]
pub(crate) struct Waits<T>(BTreeMap<Badge, Vec<T>>);

impl<T> Waits<T> {
    pub(crate) const fn new() -> Self {
        Waits(BTreeMap::new())
    }

    /// Adds a call that came on `badge`.
    ///
    /// # Errors
    /// `Full` if [`WAITS_MAX`] wait that came on it.
    pub(crate) fn park(&mut self, badge: Badge, waiting: T) -> Result<(), ErrorReply> {
        let list = self.0.entry(badge).or_default();
        if list.len() >= WAITS_MAX {
            let text = format_args!("{WAITS_MAX} calls that wait, sent on one capability");
            return Err(Refusal::new(RefusalCode::Full, text).into());
        }
        list.push(waiting);
        Ok(())
    }

    /// How many calls wait.
    pub(super) fn len(&self) -> usize {
        self.counts().map(|(_, count)| count).sum()
    }

    /// The capabilities that calls wait on.
    pub(super) fn badges(&self) -> impl Iterator<Item = Badge> {
        self.0.keys().copied()
    }

    /// How many calls wait on each.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Badge, usize)> {
        self.0.iter().map(|(badge, list)| (*badge, list.len()))
    }

    /// Takes those out that came on `badge`.
    pub(crate) fn take_of(&mut self, badge: Badge) -> Vec<T> {
        // As a rule nobody waits.
        if self.0.is_empty() { Vec::new() } else { self.0.remove(&badge).unwrap_or_default() }
    }

    /// Takes the first one out that is `ready`, in the order of capabilities.
    pub(crate) fn take_one(&mut self, ready: impl Fn(&T) -> bool) -> Option<T> {
        let found = self.0.iter().find_map(|(badge, list)| Some((*badge, list.iter().position(&ready)?)));
        let (badge, at) = found?;
        let list = self.0.get_mut(&badge)?;
        let taken = list.remove(at);
        if list.is_empty() {
            self.0.remove(&badge);
        }
        Some(taken)
    }
}
