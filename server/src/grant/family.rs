//! What was derived from one grant: found by handle, disowned all at once.
//!
//! A handle is a serial number and a place. The serial is counted for each parent by itself and never used again, so
//! what a holder sees depends on its own doings alone, and an old handle names nothing. The place makes finding it
//! take constant time.

use super::index::Index;
use alloc::vec::Vec;
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::id::{Badge, GrantHandle};

/// What a child keeps of its place in its parent's family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Membership {
    pub(super) parent: Badge,
    /// Which family of the parent: an older one was disowned.
    pub(super) epoch: u64,
    place: Index,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Taken { serial: u32, child: Badge },
    Free { next: Option<Index> },
}

impl Place {
    const fn child(self) -> Option<Badge> {
        match self {
            Place::Taken { child, .. } => Some(child),
            Place::Free { .. } => None,
        }
    }
}

/// The children of one grant.
#[derive(Clone, Debug, Default)]
pub(super) struct Family {
    places: Vec<Place>,
    free: Option<Index>,
    count: u32,
    /// The serial number given out last.
    serial: u32,
    epoch: u64,
}

impl Family {
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) const fn len(&self) -> u32 {
        self.count
    }

    /// Takes a child in.
    ///
    /// # Errors
    /// `Full` after 2³² - 1 children.
    pub(super) fn join(
        &mut self,
        parent: Badge,
        child: Badge,
    ) -> Result<(Membership, GrantHandle), RefusalCode> {
        let serial = self.serial.checked_add(1).ok_or(RefusalCode::Full)?;
        let taken = Place::Taken { serial, child };
        let place =
            match self.free.and_then(|place| Some((place, self.places.get_mut(place.get() as usize)?))) {
                Some((place, slot)) => {
                    if let Place::Free { next } = *slot {
                        self.free = next;
                    }
                    *slot = taken;
                    place
                }
                None => {
                    self.places.push(taken);
                    Index::new(self.places.len() as u32 - 1)
                }
            };
        self.serial = serial;
        self.count += 1;
        let membership = Membership { parent, epoch: self.epoch, place };
        Ok((membership, GrantHandle(u64::from(serial) << 32 | u64::from(place.get()))))
    }

    /// Lets a child go, if it is still one.
    pub(super) fn leave(&mut self, membership: Membership, badge: Badge) {
        let place = self.places.get_mut(membership.place.get() as usize);
        if let Some(place @ Place::Taken { .. }) = place
            && membership.epoch == self.epoch
            && matches!(place, Place::Taken { child, .. } if *child == badge)
        {
            *place = Place::Free { next: self.free };
            self.free = Some(membership.place);
            self.count -= 1;
        }
    }

    /// The child with this handle.
    pub(super) fn member(&self, handle: GrantHandle) -> Option<Badge> {
        match self.places.get(handle.0 as u32 as usize)? {
            Place::Taken { serial, child } if u64::from(*serial) == handle.0 >> 32 => Some(*child),
            _ => None,
        }
    }

    /// Whether this child is at the place it keeps.
    pub(super) fn has(&self, membership: Membership, badge: Badge) -> bool {
        let place = self.places.get(membership.place.get() as usize);
        membership.epoch == self.epoch && matches!(place, Some(Place::Taken { child, .. }) if *child == badge)
    }

    /// Takes the last place out of a family that is below a cut: the child in it, if there is one.
    pub(super) fn pop(&mut self) -> Option<Option<Badge>> {
        let place = self.places.pop()?.child();
        self.count -= u32::from(place.is_some());
        Some(place)
    }

    /// Its members.
    pub(super) fn iter(&self) -> impl Iterator<Item = Badge> {
        self.places.iter().filter_map(|place| place.child())
    }

    /// Ends the family in constant time and gives its places, to be swept. A new one begins.
    pub(super) fn disown(&mut self) -> Disowned {
        if self.count == 0 {
            return Disowned(Vec::new());
        }
        self.epoch += 1;
        (self.count, self.free) = (0, None);
        Disowned(core::mem::take(&mut self.places))
    }
}

/// Children that were disowned and are not swept yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Disowned(Vec<Place>);

impl Disowned {
    pub(super) fn one(child: Badge) -> Self {
        Disowned(Vec::from([Place::Taken { serial: 0, child }]))
    }

    /// Takes the next place out: the child in it, if there is one.
    pub(super) fn pop(&mut self) -> Option<Option<Badge>> {
        self.0.pop().map(Place::child)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Badge> {
        self.0.iter().filter_map(|place| place.child())
    }
}
