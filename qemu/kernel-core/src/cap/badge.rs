//! Badges: which of them nobody holds any more, for whoever receives at the endpoint to be told.
//!
//! An endpoint is watched once its receiver asks. From then on each badge on it has a record, which is made when the
//! badge is: so at the end of a badge, which may come at any time, nothing is left to be allocated. The record of a
//! badge that has ended is on the endpoint's list until the receiver takes it from there. It also knows which capabilities
//! have the badge, so that what it costs to take a badge back does not depend on how many others there are.

use super::{Capabilities, Capability, Gone, NodeId, Object};
use crate::ipc::EndpointId;
use alloc::collections::BTreeSet;
use bailiwick_abi::Error;
use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;

/// Most badges of a watched endpoint that are held, or have ended and were not taken from the list.
pub const BADGES_MAX: usize = 1 << 15;

/// Whether a badge is on the list of those that have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listed {
    No,
    /// It is, and this one comes after it.
    Before(Option<u64>),
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Record {
    holders: Holders,
    listed: Listed,
    telling: Telling,
}

/// Which capabilities have a badge. Mostly it is one, and that needs no memory of its own.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Holders {
    None,
    One(NodeId),
    Some(BTreeSet<NodeId>),
}

impl Holders {
    fn add(&mut self, node: NodeId) {
        match self {
            Holders::None => *self = Holders::One(node),
            Holders::One(other) => *self = Holders::Some(BTreeSet::from([*other, node])),
            Holders::Some(nodes) => {
                nodes.insert(node);
            }
        }
    }
    fn remove(&mut self, node: NodeId) {
        match self {
            Holders::Some(nodes) => {
                nodes.remove(&node);
                if nodes.is_empty() {
                    *self = Holders::None;
                }
            }
            Holders::None | Holders::One(_) => *self = Holders::None,
        }
    }
    fn any(&self) -> Option<NodeId> {
        match self {
            Holders::None => None,
            Holders::One(node) => Some(*node),
            Holders::Some(nodes) => nodes.first().copied(),
        }
    }
    const fn is_none(&self) -> bool {
        matches!(self, Holders::None)
    }
}

/// Spreads badges over a table, by both halves of a product with Knuth's multiplier. Whoever receives chooses the badges, so
/// nobody else can have them collide; and whoever does looks through [`BADGES_MAX`] of its own at most.
#[derive(Clone, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9E37_79B9_7F4A_7C15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
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
    records: HashMap<u64, Record, BuildHasherDefault<Spread>>,
    first: Option<u64>,
    last: Option<u64>,
}

impl Watched {
    /// Makes room for so many badges more.
    fn reserve(&mut self, more: usize) -> bool {
        self.records.len() + more <= BADGES_MAX && self.records.try_reserve(more).is_ok()
    }
    fn count_in(&mut self, badge: u64, node: NodeId) {
        let record = self.records.entry(badge).or_insert(Record {
            holders: Holders::None,
            listed: Listed::No,
            telling: Telling::Yes,
        });
        record.holders.add(node);
    }
    /// True if the list was empty and is not any more.
    fn count_out(&mut self, badge: u64, node: NodeId) -> bool {
        let Some(record) = self.records.get_mut(&badge) else { return false };
        record.holders.remove(node);
        // One that was minted again after it had ended, and has ended again, is still where it was.
        if !record.holders.is_none() || record.listed != Listed::No {
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
            if record.holders.is_none() {
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
        for (at, node) in self.nodes.iter() {
            if let Some((_, badge)) = badge_of(node.capability()).filter(|(of, _)| *of == endpoint) {
                if !watched.reserve(1) {
                    return Err(Error::FULL);
                }
                watched.count_in(badge, NodeId(at));
            }
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
    pub(super) fn has_room_for_badge(&mut self, endpoint: EndpointId, badge: u64, before: usize) -> bool {
        self.watched
            .get_mut(&endpoint)
            .is_none_or(|watched| watched.reserve(before + 1) || watched.records.contains_key(&badge))
    }
    /// One of the capabilities with this badge. None as well if the endpoint is not watched.
    pub(super) fn holder_of_badge(&self, endpoint: EndpointId, badge: u64) -> Option<NodeId> {
        self.watched.get(&endpoint)?.records.get(&badge)?.holders.any()
    }
    pub(super) fn is_watched(&self, endpoint: EndpointId) -> bool {
        self.watched.contains_key(&endpoint)
    }
    /// Says whether the end of a badge is to be told.
    pub(super) fn set_telling(&mut self, endpoint: EndpointId, badge: u64, telling: Telling) {
        let watched = self.watched.get_mut(&endpoint);
        if let Some(record) = watched.and_then(|watched| watched.records.get_mut(&badge)) {
            record.telling = telling;
        }
    }
    #[inline]
    pub(super) fn count_badge_in(&mut self, capability: Capability, node: NodeId) {
        if let Some((endpoint, badge)) = badge_of(capability)
            && !self.watched.is_empty()
        {
            self.badge_made(endpoint, badge, node);
        }
    }
    #[inline]
    pub(super) fn count_badge_out(&mut self, capability: Capability, node: NodeId) {
        if let Some((endpoint, badge)) = badge_of(capability)
            && !self.watched.is_empty()
        {
            self.badge_dropped(endpoint, badge, node);
        }
    }
    #[inline(never)]
    fn badge_made(&mut self, endpoint: EndpointId, badge: u64, node: NodeId) {
        if let Some(watched) = self.watched.get_mut(&endpoint) {
            watched.count_in(badge, node);
        }
    }
    #[inline(never)]
    fn badge_dropped(&mut self, endpoint: EndpointId, badge: u64, node: NodeId) {
        if let Some(watched) = self.watched.get_mut(&endpoint)
            && watched.count_out(badge, node)
        {
            self.gone.push_back(Gone::Badge(endpoint));
        }
    }
}
