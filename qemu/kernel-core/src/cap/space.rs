//! Spaces: numbered slots, each counting its contents.
//!
//! What a capability allows is in its node of the tree. A slot has besides, written down when it is filled, which
//! endpoint one can send to and receive from by it, so that a message finds its endpoint in one step.

use super::badge::Telling;
use super::{Capabilities, Capability, NodeId, Object, SpaceId};
use crate::ipc::EndpointId;
use alloc::vec::Vec;
use bailiwick_abi::{Error, Handle, Kind, Rights, SLOTS_MAX, SLOTS_WELL_KNOWN};

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    /// The handle of what is in it, or will be next.
    handle: Handle,
    content: Content,
    port: Port,
}

/// What one can do with messages by the capability in a slot: nothing, unless it is an endpoint's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Port {
    /// Where calls go, with `WRITE`,
    pub(crate) sends: Option<EndpointId>,
    /// and this badge.
    pub(crate) badge: u64,
    /// Where one receives and by which capability, with `READ`.
    pub(crate) receives: Option<(EndpointId, NodeId)>,
}

impl Port {
    fn new(node: NodeId, capability: Capability) -> Self {
        let Object::Endpoint(endpoint) = capability.object else { return Port::default() };
        let may = |right: Rights| capability.rights.contains(right);
        Port {
            sends: may(Rights::WRITE).then_some(endpoint),
            badge: capability.badge,
            receives: may(Rights::READ).then_some((endpoint, node)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Content {
    /// Nothing; the next free slot after it.
    Free(Option<u32>),
    Held(NodeId),
    /// Nothing ever again: its generations are used up.
    Retired,
}

/// The slots of one process; none if the process has ended.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Space {
    slots: Vec<Slot>,
    /// The first free slot above the well-known ones.
    free: Option<u32>,
    /// How many of those are free, besides the ones that were not made yet.
    free_count: u32,
}

impl Slot {
    fn new(at: u32) -> Self {
        Slot { handle: Handle::first(at), content: Content::Free(None), port: Port::default() }
    }
    #[inline]
    fn fill(&mut self, node: NodeId, capability: Capability) {
        self.content = Content::Held(node);
        self.port = Port::new(node, capability);
    }
}

impl Space {
    fn new() -> Self {
        Space { slots: (0..SLOTS_WELL_KNOWN).map(Slot::new).collect(), free: None, free_count: 0 }
    }
    /// How many capabilities still fit.
    pub(super) fn room(&self) -> usize {
        if self.slots.is_empty() {
            return 0;
        }
        (SLOTS_MAX as usize).saturating_sub(self.slots.len()) + self.free_count as usize
    }
    fn node(&self, handle: Handle) -> Option<NodeId> {
        match self.slots.get(handle.slot() as usize)? {
            Slot { handle: own, content: Content::Held(node), .. } if *own == handle => Some(*node),
            _ => None,
        }
    }
    /// A free slot above the well-known ones, taken off the list of free ones; none if there is none, or the space has
    /// ended.
    #[inline(always)]
    fn take_free(&mut self) -> Option<u32> {
        if let Some(at) = self.free {
            if let Some(Slot { content: Content::Free(next), .. }) = self.slots.get(at as usize) {
                self.free = *next;
                self.free_count -= 1;
            }
            return Some(at);
        }
        self.make_slot()
    }
    #[inline(never)]
    fn make_slot(&mut self) -> Option<u32> {
        let at = self.slots.len() as u32;
        if at == 0 || at >= SLOTS_MAX {
            return None;
        }
        self.slots.push(Slot::new(at));
        Some(at)
    }
    /// Fills a free slot above the well-known ones with a node that stands for this.
    pub(super) fn put(&mut self, node: NodeId, capability: Capability) -> Option<Handle> {
        let at = self.take_free()?;
        let slot = self.slots.get_mut(at as usize)?;
        slot.fill(node, capability);
        Some(slot.handle)
    }
    /// Empties a slot. Its next content has another generation; if there is none left it has no next content.
    #[inline]
    pub(super) fn empty(&mut self, at: u32) {
        let free = self.free;
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        slot.port = Port::default();
        slot.content = match slot.handle.generation().checked_add(1) {
            None => Content::Retired,
            Some(next) => {
                slot.handle = Handle::new(at, next);
                if at >= SLOTS_WELL_KNOWN {
                    self.free = Some(at);
                    self.free_count += 1;
                }
                Content::Free(free.filter(|_| at >= SLOTS_WELL_KNOWN))
            }
        };
    }
    /// All that decides which handles come next: of each slot above the well-known ones its generation, and whether it is
    /// free, and with which next one, held or retired.
    #[cfg(test)]
    pub(super) fn outline(&self) -> impl Iterator<Item = u64> {
        let slots = self.slots.iter().skip(SLOTS_WELL_KNOWN as usize).flat_map(|slot| {
            let content = match slot.content {
                Content::Free(next) => next.map_or(0, |next| u64::from(next) + 3),
                Content::Held(_) => 1,
                Content::Retired => 2,
            };
            [u64::from(slot.handle.generation()), content]
        });
        slots.chain([self.free.map_or(0, |at| u64::from(at) + 1)])
    }
    /// For tests of what happens when generations are used up.
    #[cfg(test)]
    pub(super) fn age(&mut self, at: u32, generation: u32) {
        self.slots[at as usize].handle = Handle::new(at, generation);
    }
}

impl Capabilities {
    /// An empty space.
    pub fn new_space(&mut self) -> SpaceId {
        SpaceId(self.spaces.insert(Space::new()))
    }
    /// Ends a space and deletes every capability in it. What was derived from them stays.
    pub fn end_space(&mut self, id: SpaceId) {
        let Some(space) = self.spaces.remove(id.0) else { return };
        for slot in space.slots {
            if let Content::Held(node) = slot.content {
                self.drop_node(node);
            }
        }
    }
    pub(super) fn space(&self, id: SpaceId) -> Option<&Space> {
        self.spaces.get(id.0)
    }
    pub(super) fn space_mut(&mut self, id: SpaceId) -> Option<&mut Space> {
        self.spaces.get_mut(id.0)
    }
    /// How many more capabilities fit into a space.
    pub fn room(&self, id: SpaceId) -> usize {
        self.space(id).map_or(0, Space::room)
    }

    /// The node that a handle names.
    ///
    /// # Errors
    /// `BAD_HANDLE`.
    #[inline]
    pub fn node(&self, space: SpaceId, handle: Handle) -> Result<NodeId, Error> {
        self.space(space).and_then(|space| space.node(handle)).ok_or(Error::BAD_HANDLE)
    }
    /// What one can do with messages by a handle; none if it names no capability.
    #[inline]
    pub(crate) fn port(&self, space: SpaceId, handle: Handle) -> Option<&Port> {
        // A slot that holds nothing has an empty port, so it need not be asked whether it does.
        let slot = self.space(space)?.slots.get(handle.slot() as usize)?;
        (slot.handle == handle).then_some(&slot.port)
    }
    /// The capability that a handle names.
    ///
    /// # Errors
    /// `BAD_HANDLE`.
    #[inline]
    pub fn look(&self, space: SpaceId, handle: Handle) -> Result<Capability, Error> {
        self.capability(self.node(space, handle)?).ok_or(Error::BAD_HANDLE)
    }
    /// The object that a handle names, if it is of this kind and the rights are there.
    ///
    /// # Errors
    /// `BAD_HANDLE`, `WRONG_KIND`, `DENIED`.
    pub fn object(
        &self,
        space: SpaceId,
        handle: Handle,
        kind: Kind,
        rights: Rights,
    ) -> Result<Object, Error> {
        let found = self.look(space, handle)?;
        if found.object.kind() != kind {
            return Err(Error::WRONG_KIND);
        }
        if !found.rights.contains(rights) {
            return Err(Error::DENIED);
        }
        Ok(found.object)
    }

    /// Puts a capability that was derived from nothing into a free slot.
    ///
    /// # Errors
    /// `FULL`.
    #[inline(never)]
    pub fn insert(&mut self, space: SpaceId, capability: Capability) -> Result<Handle, Error> {
        self.insert_below(space, capability, None)
    }
    /// Puts a capability into a free slot, derived from `parent` if there is one.
    ///
    /// # Errors
    /// `FULL`.
    #[inline(always)]
    pub(crate) fn insert_below(
        &mut self,
        space: SpaceId,
        capability: Capability,
        parent: Option<NodeId>,
    ) -> Result<Handle, Error> {
        if !self.has_room_for(1) {
            return Err(Error::FULL);
        }
        let at = self.space_mut(space).and_then(Space::take_free).ok_or(Error::FULL)?;
        let node = self.new_node(capability, parent, (space, at));
        let slot = self.space_mut(space).and_then(|space| space.slots.get_mut(at as usize));
        let slot = slot.ok_or(Error::FULL)?;
        slot.fill(node, capability);
        Ok(slot.handle)
    }
    /// Puts a capability into a well-known slot that never held one. With `parent` it is derived from that.
    ///
    /// # Errors
    /// `RANGE`: no well-known slot, or slot 0, which means "none". `EXISTS`: it is or was used. `FULL`.
    pub fn insert_at(
        &mut self,
        space: SpaceId,
        slot: u32,
        capability: Capability,
        parent: Option<NodeId>,
    ) -> Result<(), Error> {
        if slot == 0 || slot >= SLOTS_WELL_KNOWN {
            return Err(Error::RANGE);
        }
        if !self.has_room_for(1) {
            return Err(Error::FULL);
        }
        let found = self.space(space).and_then(|space| space.slots.get(slot as usize));
        let unused = |slot: &Slot| slot.handle.generation() == 0 && matches!(slot.content, Content::Free(_));
        if !found.is_some_and(unused) {
            return Err(Error::EXISTS);
        }
        let node = self.new_node(capability, parent, (space, slot));
        if let Some(found) = self.space_mut(space).and_then(|space| space.slots.get_mut(slot as usize)) {
            found.fill(node, capability);
        }
        Ok(())
    }

    /// A narrower capability in the same space. Rights that the first has not are not added. A badge other than 0
    /// can be set on an endpoint without one.
    ///
    /// # Errors
    /// `BAD_HANDLE`; `DENIED` for a badge without `CREATE`; `WRONG_KIND` for a badge on what has one or is no endpoint,
    /// and for a reply, of which there is one; `FULL`, also of badges of a watched endpoint.
    #[inline(always)]
    pub fn derive(
        &mut self,
        space: SpaceId,
        handle: Handle,
        rights: Rights,
        badge: u64,
    ) -> Result<Handle, Error> {
        let node = self.node(space, handle)?;
        let from = self.capability(node).ok_or(Error::BAD_HANDLE)?;
        let badge = self.badge_below(from, badge, 0)?;
        self.insert_below(space, from.narrowed(rights, badge), Some(node))
    }
    /// The badge that what is derived from a capability gets if this one is asked for; as many others may get one before it.
    ///
    /// # Errors
    /// As [`Capabilities::derive`], but for what the place of the new one is to blame for.
    #[inline(always)]
    pub(super) fn badge_below(&mut self, from: Capability, badge: u64, before: usize) -> Result<u64, Error> {
        match (from.object, badge) {
            (Object::Reply(_), _) => Err(Error::WRONG_KIND),
            (_, 0) => Ok(from.badge),
            (Object::Endpoint(endpoint), badge) if from.badge == 0 => {
                if !from.rights.contains(Rights::CREATE) {
                    return Err(Error::DENIED);
                }
                if !self.has_room_for_badge(endpoint, badge, before) {
                    return Err(Error::FULL);
                }
                Ok(badge)
            }
            _ => Err(Error::WRONG_KIND),
        }
    }

    /// Deletes one capability.
    ///
    /// # Errors
    /// `BAD_HANDLE`.
    #[inline]
    pub fn delete(&mut self, space: SpaceId, handle: Handle) -> Result<(), Error> {
        let node = self.node(space, handle)?;
        self.drop_node(node);
        Ok(())
    }
    /// Deletes everything derived from a capability.
    ///
    /// # Errors
    /// `BAD_HANDLE`.
    #[inline]
    pub fn revoke(&mut self, space: SpaceId, handle: Handle) -> Result<(), Error> {
        let node = self.node(space, handle)?;
        self.drop_below(node);
        Ok(())
    }
    /// Deletes every capability to the object of one, which is no more. What was derived from one moves up.
    ///
    /// # Errors
    /// `BAD_HANDLE`.
    pub fn drop_object(&mut self, space: SpaceId, handle: Handle) -> Result<(), Error> {
        let object = self.look(space, handle)?.object;
        self.delete(space, handle)?;
        // Mostly it was the only one; others have to be looked for among all there are.
        if self.holders(object) > 0 {
            self.nodes_of(object).into_iter().for_each(|node| self.drop_node(node));
        }
        Ok(())
    }
    /// Deletes everything derived from an endpoint's capability that has this badge. That the badge has ended with it is
    /// told to nobody.
    ///
    /// # Errors
    /// `BAD_HANDLE`; `WRONG_KIND` if it is no endpoint's or has a badge itself; `DENIED` without `CREATE`; `RANGE` for
    /// badge 0.
    pub fn revoke_badge(&mut self, space: SpaceId, handle: Handle, badge: u64) -> Result<(), Error> {
        let node = self.node(space, handle)?;
        let found = self.look(space, handle)?;
        let endpoint = match found.object {
            Object::Endpoint(endpoint) if found.badge == 0 => endpoint,
            _ => return Err(Error::WRONG_KIND),
        };
        if !found.rights.contains(Rights::CREATE) {
            return Err(Error::DENIED);
        }
        if badge == 0 {
            return Err(Error::RANGE);
        }
        self.set_telling(endpoint, badge, Telling::No);
        self.drop_badged(endpoint, node, badge);
        self.set_telling(endpoint, badge, Telling::Yes);
        Ok(())
    }
}
