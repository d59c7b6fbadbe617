//! Badges: which of them nobody holds any more, for whoever receives at the endpoint to be told.
//!
//! An endpoint is watched once its receiver asks. From then on each badge on it has a record, which is made when the
//! badge is: so at the end of a badge, which may come at any time, nothing is left to be allocated. The record of a
//! badge that has ended is on the endpoint's list until the receiver takes it from there.

use super::{Capabilities, Capability, Gone, Object};
use crate::ipc::EndpointId;
use alloc::collections::BTreeMap;
use bailiwick_abi::Error;

/// Most badges of a watched endpoint that are held, or have ended and were not taken from the list.
pub const BADGES_MAX: usize = 1 << 15;

/// Whether a badge is on the list of those that have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listed {
    No,
    /// It is, and this one comes after it.
    Before(Option<u64>),
}

#[derive(Clone, Copy, Debug)]
struct Record {
    /// How many capabilities have the badge.
    held: u32,
    listed: Listed,
    telling: Telling,
}

/// Whether the end of a badge is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Telling {
    Yes,
    /// It is being revoked: who does that knows.
    No,
}

/// What is known of a watched endpoint's badges.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Watched {
    /// What its notification is told.
    bits: u64,
    records: BTreeMap<u64, Record>,
    first: Option<u64>,
    last: Option<u64>,
}

impl Watched {
    fn count_in(&mut self, badge: u64) {
        let record = self.records.entry(badge).or_insert(Record {
            held: 0,
            listed: Listed::No,
            telling: Telling::Yes,
        });
        record.held += 1;
    }
    /// True if the list was empty and is not any more.
    fn count_out(&mut self, badge: u64) -> bool {
        let Some(record) = self.records.get_mut(&badge) else { return false };
        record.held = record.held.saturating_sub(1);
        // One that was minted again after it had ended, and has ended again, is still where it was.
        if record.held > 0 || record.listed != Listed::No {
            return false;
        }
        if record.telling == Telling::No {
            self.records.remove(&badge);
            return false;
        }
        record.listed = Listed::Before(None);
        let before = self.last.replace(badge);
        if let Some(record) = before.and_then(|before| self.records.get_mut(&before)) {
            record.listed = Listed::Before(Some(badge));
        }
        self.first.get_or_insert(badge);
        before.is_none()
    }
    fn take(&mut self) -> Option<u64> {
        loop {
            let badge = self.first?;
            let record = self.records.get_mut(&badge)?;
            let next = match core::mem::replace(&mut record.listed, Listed::No) {
                Listed::Before(next) => next,
                Listed::No => None,
            };
            self.first = next;
            if next.is_none() {
                self.last = None;
            }
            if record.held == 0 {
                self.records.remove(&badge);
                return Some(badge);
            }
        }
    }
}

/// The endpoint and the badge of a capability that has one.
fn badge_of(capability: Capability) -> Option<(EndpointId, u64)> {
    match capability.object {
        Object::Endpoint(endpoint) if capability.badge != 0 => Some((endpoint, capability.badge)),
        _ => None,
    }
}

impl Capabilities {
    /// Watches an endpoint's badges from now on, those that are held already included; `bits` are for its
    /// notification when one has ended. Returns whether one has ended before and was not taken.
    ///
    /// # Errors
    /// `FULL` if there are more than [`BADGES_MAX`].
    pub(crate) fn watch_badges(&mut self, endpoint: EndpointId, bits: u64) -> Result<bool, Error> {
        if let Some(watched) = self.watched.get_mut(&endpoint) {
            watched.bits = bits;
            return Ok(watched.first.is_some());
        }
        let mut watched = Watched { bits, ..Watched::default() };
        for (_, node) in self.nodes.iter() {
            if let Some((_, badge)) = badge_of(node.capability()).filter(|(of, _)| *of == endpoint) {
                watched.count_in(badge);
            }
        }
        if watched.records.len() > BADGES_MAX {
            return Err(Error::FULL);
        }
        self.watched.insert(endpoint, watched);
        Ok(false)
    }
    /// The next badge of a watched endpoint that nobody holds any more. Each end is told once.
    pub(crate) fn take_badge(&mut self, endpoint: EndpointId) -> Option<u64> {
        self.watched.get_mut(&endpoint)?.take()
    }
    /// What an endpoint's notification is told when a badge has ended; 0 if nobody asked.
    pub(crate) fn badge_bits(&self, endpoint: EndpointId) -> u64 {
        self.watched.get(&endpoint).map_or(0, |watched| watched.bits)
    }
    /// How many badges have a record.
    #[cfg(test)]
    pub(crate) fn badge_records(&self) -> usize {
        self.watched.values().map(|watched| watched.records.len()).sum()
    }
    /// An endpoint is no more: nobody is left to be told.
    pub(crate) fn forget_badges(&mut self, endpoint: EndpointId) {
        self.watched.remove(&endpoint);
    }

    /// Whether a capability with this badge can be made after this many others.
    #[inline(never)]
    pub(super) fn has_room_for_badge(&self, endpoint: EndpointId, badge: u64, before: usize) -> bool {
        self.watched.get(&endpoint).is_none_or(|watched| {
            watched.records.len() + before < BADGES_MAX || watched.records.contains_key(&badge)
        })
    }
    /// Says whether the end of a badge is to be told.
    pub(super) fn set_telling(&mut self, endpoint: EndpointId, badge: u64, telling: Telling) {
        let watched = self.watched.get_mut(&endpoint);
        if let Some(record) = watched.and_then(|watched| watched.records.get_mut(&badge)) {
            record.telling = telling;
        }
    }
    #[inline]
    pub(super) fn count_badge_in(&mut self, capability: Capability) {
        if let Some((endpoint, badge)) = badge_of(capability)
            && !self.watched.is_empty()
        {
            self.badge_made(endpoint, badge);
        }
    }
    #[inline]
    pub(super) fn count_badge_out(&mut self, capability: Capability) {
        if let Some((endpoint, badge)) = badge_of(capability)
            && !self.watched.is_empty()
        {
            self.badge_dropped(endpoint, badge);
        }
    }
    #[inline(never)]
    fn badge_made(&mut self, endpoint: EndpointId, badge: u64) {
        if let Some(watched) = self.watched.get_mut(&endpoint) {
            watched.count_in(badge);
        }
    }
    #[inline(never)]
    fn badge_dropped(&mut self, endpoint: EndpointId, badge: u64) {
        if let Some(watched) = self.watched.get_mut(&endpoint)
            && watched.count_out(badge)
        {
            self.gone.push_back(Gone::Badge(endpoint));
        }
    }
}
