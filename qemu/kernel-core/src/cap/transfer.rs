//! Handing capabilities over beside a message: all of them or none.

use super::{Capabilities, Capability, NodeId, Object, SpaceId};
use bailiwick_abi::{CAPABILITIES_MAX, CapabilityWord, Error, Handle, Rights, Transfer};
use heapless::Vec;

/// A capability that is to be handed over, as the sender has written it, and the badge for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) word: CapabilityWord,
    /// Means nothing unless it is [`Transfer::Badged`].
    pub(crate) badge: u64,
}

#[cfg(test)]
impl From<CapabilityWord> for Offer {
    /// One that gets no badge.
    fn from(word: CapabilityWord) -> Self {
        Offer { word, badge: 0 }
    }
}

/// What is to be handed over.
pub(crate) type Wanted = Vec<Offer, CAPABILITIES_MAX>;
/// What was handed over, for the receiver to read.
pub(crate) type Passed = Vec<CapabilityWord, CAPABILITIES_MAX>;

impl Capabilities {
    /// Hands capabilities over from one space to another. A copy, with a badge or without, is derived from the sender's;
    /// what is moved keeps its place in the tree.
    ///
    /// # Errors
    /// `BAD_HANDLE`: there is none, or one that is moved is named twice. `DENIED`: one lacks `GRANT`. `WRONG_KIND`: a
    /// copy of a reply. `FULL`: the receiver has not enough slots. For a badge, those of [`Capabilities::derive`] as well.
    /// Nothing was handed over then.
    #[inline(never)]
    pub(crate) fn transfer(&mut self, from: SpaceId, to: SpaceId, wanted: &Wanted) -> Result<Passed, Error> {
        let found = self.check_transfer(from, wanted)?;
        if self.room(to) < wanted.len() || !self.has_room_for(wanted.len()) {
            return Err(Error::FULL);
        }
        let mut passed = Passed::new();
        for (offer, (node, given)) in wanted.iter().zip(found) {
            let _ = passed.push(match offer.word.transfer() {
                Transfer::Copy | Transfer::Badged => self.make(to, node, given)?,
                Transfer::Move => self.relocate(node, to, given)?,
            });
        }
        Ok(passed)
    }
    /// The same with one, whose badge is asked for if it is needed.
    ///
    /// # Errors
    /// As [`Capabilities::transfer`].
    #[inline(always)]
    pub(crate) fn transfer_one(
        &mut self,
        (from, to): (SpaceId, SpaceId),
        word: CapabilityWord,
        badge: impl FnOnce() -> u64,
    ) -> Result<CapabilityWord, Error> {
        match word.transfer() {
            Transfer::Copy => self.copy_one(from, to, word),
            Transfer::Move => self.move_one(from, to, word),
            Transfer::Badged => self.badge_one((from, to), word, badge()),
        }
    }
    // With one there is nothing before it that would have to be taken back if there is no room for it.
    #[inline(never)]
    fn copy_one(
        &mut self,
        from: SpaceId,
        to: SpaceId,
        word: CapabilityWord,
    ) -> Result<CapabilityWord, Error> {
        let (node, found) = self.offered(from, word)?;
        let given = copied(found, word)?;
        self.make(to, node, given)
    }
    #[inline(never)]
    fn move_one(
        &mut self,
        from: SpaceId,
        to: SpaceId,
        word: CapabilityWord,
    ) -> Result<CapabilityWord, Error> {
        let (node, found) = self.offered(from, word)?;
        let given = moved(found, word);
        self.relocate(node, to, given)
    }
    #[inline(never)]
    fn badge_one(
        &mut self,
        (from, to): (SpaceId, SpaceId),
        word: CapabilityWord,
        badge: u64,
    ) -> Result<CapabilityWord, Error> {
        let (node, found) = self.offered(from, word)?;
        let badge = self.badge_below(found, badge, 0)?;
        self.make(to, node, found.narrowed(word.rights(), badge))
    }
    /// Makes what the receiver is to have of a capability.
    #[inline(always)]
    fn make(&mut self, to: SpaceId, of: NodeId, given: Capability) -> Result<CapabilityWord, Error> {
        self.insert_below(to, given, Some(of)).map(|handle| received(handle, given))
    }

    fn check_transfer(
        &mut self,
        from: SpaceId,
        wanted: &Wanted,
    ) -> Result<Vec<(NodeId, Capability), CAPABILITIES_MAX>, Error> {
        let mut nodes: Vec<(NodeId, Capability), CAPABILITIES_MAX> = Vec::new();
        for (at, offer) in wanted.iter().enumerate() {
            let word = offer.word;
            let again = wanted.iter().take(at).any(|Offer { word: before, .. }| {
                before.handle() == word.handle()
                    && (before.transfer() == Transfer::Move || word.transfer() == Transfer::Move)
            });
            if again {
                return Err(Error::BAD_HANDLE);
            }
            let _ = nodes.push(self.check(from, *offer, at)?);
        }
        Ok(nodes)
    }
    /// The capability that is named, and what the receiver is to have. So many may get a badge before it.
    fn check(
        &mut self,
        from: SpaceId,
        Offer { word, badge }: Offer,
        before: usize,
    ) -> Result<(NodeId, Capability), Error> {
        let (node, found) = self.offered(from, word)?;
        let given = match word.transfer() {
            Transfer::Copy => copied(found, word)?,
            Transfer::Move => moved(found, word),
            Transfer::Badged => {
                let badge = self.badge_below(found, badge, before)?;
                found.narrowed(word.rights(), badge)
            }
        };
        Ok((node, given))
    }
    /// The capability that is named, which may be handed on.
    #[inline(always)]
    fn offered(&self, from: SpaceId, word: CapabilityWord) -> Result<(NodeId, Capability), Error> {
        let node = self.node(from, word.handle())?;
        let found = self.capability(node).ok_or(Error::BAD_HANDLE)?;
        if found.rights.contains(Rights::GRANT) { Ok((node, found)) } else { Err(Error::DENIED) }
    }

    #[inline(never)]
    fn relocate(&mut self, node: NodeId, to: SpaceId, narrowed: Capability) -> Result<CapabilityWord, Error> {
        let handle = self.space_mut(to).and_then(|space| space.put(node, narrowed)).ok_or(Error::FULL)?;
        if let Some((space, slot)) = self.place(node)
            && let Some(space) = self.space_mut(space)
        {
            space.empty(slot);
        }
        self.set_place(node, to, handle.slot());
        self.narrow(node, narrowed.rights);
        Ok(received(handle, narrowed))
    }
}

/// What the receiver of a copy is to have.
#[inline(always)]
fn copied(found: Capability, word: CapabilityWord) -> Result<Capability, Error> {
    match found.object {
        Object::Reply(_) => Err(Error::WRONG_KIND),
        _ => Ok(moved(found, word)),
    }
}
/// What the receiver is to have of what is moved.
#[inline(always)]
fn moved(found: Capability, word: CapabilityWord) -> Capability {
    Capability { rights: found.rights.restrict(word.rights()), ..found }
}
#[inline(always)]
fn received(handle: Handle, given: Capability) -> CapabilityWord {
    CapabilityWord::received(handle, given.object.kind(), given.rights)
}
