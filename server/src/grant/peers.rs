//! The grants on one object, linked, so that they are found when the object ends.

use super::index::Index;
use super::{Grants, Hold};
use bailiwick_protocol::id::Badge;

/// Which grants there are on one object. Kept with the object, used with [`Grants`] only.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub(super) first: Option<Index>,
    pub(super) records: u32,
    pub(super) held: u32,
}

impl Peers {
    /// Nobody.
    pub const fn new() -> Self {
        Peers { first: None, records: 0, held: 0 }
    }

    /// Records of grants on the object.
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Those of them that somebody may hold.
    pub const fn held(&self) -> u32 {
        self.held
    }

    /// One of them was given up and stays as a joint.
    pub(crate) fn let_go(&mut self) {
        self.held = self.held.saturating_sub(1);
    }
}

impl<O: Copy> Grants<O> {
    /// Puts a new record first among its peers.
    pub(super) fn enlist(&mut self, index: u32, peers: &mut Peers) {
        let index = Index::new(index);
        let after = peers.first.replace(index);
        peers.records += 1;
        peers.held += 1;
        self.link(after, |grant| grant.before = Some(index));
        self.link(Some(index), |grant| (grant.before, grant.after) = (None, after));
    }

    /// Takes a record out from among its peers.
    pub(super) fn delist(&mut self, index: u32, peers: &mut Peers) {
        let Some(grant) = self.slots.get(index as usize).and_then(|slot| slot.grant.as_ref()) else { return };
        let (before, after) = (grant.before, grant.after);
        peers.records = peers.records.saturating_sub(1);
        if grant.hold == Hold::Held {
            peers.let_go();
        }
        match before {
            Some(before) => self.link(Some(before), |grant| grant.after = after),
            None => peers.first = after,
        }
        self.link(after, |grant| grant.before = before);
    }

    fn link(&mut self, index: Option<Index>, change: impl FnOnce(&mut super::Grant<O>)) {
        let slot = index.and_then(|index| self.slots.get_mut(index.get() as usize));
        if let Some(grant) = slot.and_then(|slot| slot.grant.as_mut()) {
            change(grant);
        }
    }

    /// The first of the grants on an object.
    pub fn first_of(&self, peers: &Peers) -> Option<Badge> {
        let index = peers.first?.get();
        self.slots.get(index as usize).map(|slot| Badge::new(index, slot.generation))
    }

    /// All of them.
    pub fn all_of(&self, peers: &Peers) -> impl Iterator<Item = Badge> {
        let badge = |index: Index| {
            let slot = self.slots.get(index.get() as usize);
            slot.map(|slot| Badge::new(index.get(), slot.generation))
        };
        let next = move |at: &Badge| self.get(*at).and_then(|grant| grant.after).and_then(badge);
        core::iter::successors(peers.first.and_then(badge), next)
    }
}
