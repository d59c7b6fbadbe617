//! Handing capabilities over beside a message: all of them or none.

use super::{Capabilities, Capability, NODES_MAX, NodeId, Object, SpaceId};
use bailiwick_abi::{CAPABILITIES_MAX, CapabilityWord, Error, Rights, Transfer};
use heapless::Vec;

/// What is to be handed over, as the sender has written it.
pub(crate) type Wanted = Vec<CapabilityWord, CAPABILITIES_MAX>;
/// What was handed over, for the receiver to read.
pub(crate) type Passed = Vec<CapabilityWord, CAPABILITIES_MAX>;

impl Capabilities {
    /// Hands capabilities over from one space to another. A copy is derived from the sender's; what is moved keeps
    /// its place in the tree.
    ///
    /// # Errors
    /// `BAD_HANDLE`: there is none, or one that is moved is named twice. `DENIED`: one lacks `GRANT`. `WRONG_KIND`: a
    /// copy of a reply. `FULL`: the receiver has not enough slots. Nothing was handed over then.
    #[inline(never)]
    pub(crate) fn transfer(&mut self, from: SpaceId, to: SpaceId, wanted: &Wanted) -> Result<Passed, Error> {
        let nodes = self.check_transfer(from, wanted)?;
        if self.room(to) < wanted.len() || self.count() + wanted.len() > NODES_MAX {
            return Err(Error::FULL);
        }
        let mut passed = Passed::new();
        for (word, found) in wanted.iter().zip(nodes) {
            let _ = passed.push(self.give(to, *word, found)?);
        }
        Ok(passed)
    }
    /// The same with one.
    ///
    /// # Errors
    /// As [`Capabilities::transfer`].
    #[inline(never)]
    pub(crate) fn transfer_one(
        &mut self,
        from: SpaceId,
        to: SpaceId,
        word: CapabilityWord,
    ) -> Result<CapabilityWord, Error> {
        // With one there is nothing before it that would have to be taken back if there is no room for it.
        let found = self.check(from, word)?;
        self.give(to, word, found)
    }

    fn check_transfer(
        &self,
        from: SpaceId,
        wanted: &Wanted,
    ) -> Result<Vec<(NodeId, Capability), CAPABILITIES_MAX>, Error> {
        let mut nodes: Vec<(NodeId, Capability), CAPABILITIES_MAX> = Vec::new();
        for (at, word) in wanted.iter().enumerate() {
            let again = wanted.iter().take(at).any(|before| {
                before.handle() == word.handle()
                    && (before.transfer() == Transfer::Move || word.transfer() == Transfer::Move)
            });
            if again {
                return Err(Error::BAD_HANDLE);
            }
            let _ = nodes.push(self.check(from, *word)?);
        }
        Ok(nodes)
    }
    #[inline(always)]
    fn check(&self, from: SpaceId, word: CapabilityWord) -> Result<(NodeId, Capability), Error> {
        let node = self.node(from, word.handle())?;
        let capability = self.capability(node).ok_or(Error::BAD_HANDLE)?;
        if !capability.rights.contains(Rights::GRANT) {
            return Err(Error::DENIED);
        }
        if matches!((capability.object, word.transfer()), (Object::Reply(_), Transfer::Copy)) {
            return Err(Error::WRONG_KIND);
        }
        Ok((node, capability))
    }
    #[inline(always)]
    fn give(
        &mut self,
        to: SpaceId,
        word: CapabilityWord,
        (node, capability): (NodeId, Capability),
    ) -> Result<CapabilityWord, Error> {
        let rights = capability.rights.restrict(word.rights());
        let handle = match word.transfer() {
            Transfer::Copy => self.insert_below(to, Capability { rights, ..capability }, Some(node))?,
            Transfer::Move => self.relocate(node, to, Capability { rights, ..capability })?,
        };
        Ok(CapabilityWord::received(handle, capability.object.kind(), rights))
    }

    #[inline(never)]
    fn relocate(
        &mut self,
        node: NodeId,
        to: SpaceId,
        narrowed: Capability,
    ) -> Result<bailiwick_abi::Handle, Error> {
        let handle = self.space_mut(to).and_then(|space| space.put(node, narrowed)).ok_or(Error::FULL)?;
        if let Some((space, slot)) = self.place(node)
            && let Some(space) = self.space_mut(space)
        {
            space.empty(slot);
        }
        self.set_place(node, to, handle.slot());
        self.narrow(node, narrowed.rights);
        Ok(handle)
    }
}
