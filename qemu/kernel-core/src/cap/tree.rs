//! The tree of derivation: nodes linked by position, so that no step allocates or recurses.

use super::{Capabilities, Capability, NodeId, Object, SpaceId};
use crate::ipc::EndpointId;
use alloc::vec::Vec;
use bailiwick_abi::Rights;

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    capability: Capability,
    parent: Option<NodeId>,
    first_child: Option<NodeId>,
    previous: Option<NodeId>,
    next: Option<NodeId>,
    place: (SpaceId, u32),
}

/// Where a node stands: below which one, and between which two.
#[derive(Clone, Copy)]
struct Siblings {
    parent: Option<NodeId>,
    previous: Option<NodeId>,
    next: Option<NodeId>,
}

impl Node {
    pub(super) fn capability(&self) -> Capability {
        self.capability
    }
    /// Its neighbours: parent, first child, siblings before and after.
    #[cfg(test)]
    pub(super) fn links(&self) -> [Option<NodeId>; 4] {
        [self.parent, self.first_child, self.previous, self.next]
    }
}

impl Capabilities {
    fn at(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }
    fn at_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.0)
    }
    /// What a node stands for.
    #[inline]
    pub(crate) fn capability(&self, id: NodeId) -> Option<Capability> {
        self.at(id).map(|node| node.capability)
    }
    pub(super) fn place(&self, id: NodeId) -> Option<(SpaceId, u32)> {
        self.at(id).map(|node| node.place)
    }
    pub(super) fn set_place(&mut self, id: NodeId, space: SpaceId, slot: u32) {
        if let Some(node) = self.at_mut(id) {
            node.place = (space, slot);
        }
    }
    /// Takes rights away from a node.
    pub(super) fn narrow(&mut self, id: NodeId, mask: Rights) {
        let Some(node) = self.at_mut(id) else { return };
        let before = node.capability;
        node.capability.rights = before.rights.restrict(mask);
        let lost = before.rights.contains(Rights::READ) && !node.capability.rights.contains(Rights::READ);
        if lost {
            self.count_out_reader(before.object);
        }
    }

    /// A new node, whose capability lies in this slot.
    #[inline(always)]
    pub(super) fn new_node(
        &mut self,
        capability: Capability,
        parent: Option<NodeId>,
        place: (SpaceId, u32),
    ) -> NodeId {
        self.count_in(capability);
        let next = parent.and_then(|parent| self.first_child(parent));
        let node = Node { capability, parent, first_child: None, previous: None, next, place };
        let id = NodeId(self.nodes.insert(node));
        self.count_badge_in(capability, id);
        if let Some(above) = parent.and_then(|parent| self.at_mut(parent)) {
            above.first_child = Some(id);
        }
        if let Some(next) = next.and_then(|next| self.at_mut(next)) {
            next.previous = Some(id);
        }
        id
    }

    /// Deletes one node. Its children become its parent's; those of a root become roots.
    #[inline(never)]
    pub(super) fn drop_node(&mut self, id: NodeId) {
        self.take_out(id);
    }
    #[inline(always)]
    fn take_out(&mut self, id: NodeId) {
        let Some(&Node { capability, parent, first_child, previous, next, place }) = self.at(id) else {
            return;
        };
        self.nodes.free(id.0);
        let siblings = Siblings { parent, previous, next };
        let children = first_child.and_then(|first| self.hand_up(first, siblings));
        // Among siblings the children stand where the node stood.
        let before = children.map_or(next, |(first, _)| Some(first));
        let after = children.map_or(previous, |(_, last)| Some(last));
        if let Some(previous) = previous {
            if let Some(previous) = self.at_mut(previous) {
                previous.next = before;
            }
        } else if let Some(parent) = parent.and_then(|parent| self.at_mut(parent)) {
            parent.first_child = before;
        }
        if let Some(next) = next.and_then(|next| self.at_mut(next)) {
            next.previous = after;
        }
        let (space, slot) = place;
        if let Some(space) = self.space_mut(space) {
            space.empty(slot);
        }
        self.count_out(capability, id);
    }

    /// The children of a node that is gone, of which this is the first, become its parent's: the first and the last of
    /// them. If it has no parent they become roots.
    #[inline(never)]
    fn hand_up(&mut self, first: NodeId, node: Siblings) -> Option<(NodeId, NodeId)> {
        let mut last = first;
        let mut child = Some(first);
        while let Some(at) = child {
            let Some(found) = self.at_mut(at) else { break };
            found.parent = node.parent;
            child = found.next;
            last = at;
            if node.parent.is_none() {
                (found.previous, found.next) = (None, None);
            }
        }
        node.parent?;
        if let Some(first) = self.at_mut(first) {
            first.previous = node.previous;
        }
        if let Some(last) = self.at_mut(last) {
            last.next = node.next;
        }
        Some((first, last))
    }

    /// Every node of an object.
    pub(super) fn nodes_of(&self, object: Object) -> Vec<NodeId> {
        let all = self.nodes.iter().filter(|(_, node)| node.capability.object == object);
        all.map(|(at, _)| NodeId(at)).collect()
    }

    #[inline]
    fn first_child(&self, id: NodeId) -> Option<NodeId> {
        self.at(id)?.first_child
    }
    fn deepest(&self, mut id: NodeId) -> NodeId {
        while let Some(child) = self.first_child(id) {
            id = child;
        }
        id
    }

    /// Deletes everything below a node, leaves first.
    pub(super) fn drop_below(&mut self, top: NodeId) {
        let Some(child) = self.first_child(top) else { return };
        let mut at = self.deepest(child);
        while at != top {
            let Some(&Node { next, parent, .. }) = self.at(at) else { return };
            self.take_out(at);
            at = match (next, parent) {
                (Some(next), _) => self.deepest(next),
                (None, Some(parent)) => parent,
                (None, None) => return,
            };
        }
    }

    /// Deletes everything below a node that has this badge, with all that was derived from it.
    pub(super) fn drop_badged(&mut self, endpoint: EndpointId, top: NodeId, badge: u64) {
        if !self.is_watched(endpoint) {
            return self.find_and_drop_badged(top, badge);
        }
        while let Some(holder) = self.holder_of_badge(endpoint, badge) {
            let first = self.first_with_badge(holder, badge);
            // Who else may make badges of this endpoint may have made the same one.
            if !self.is_below(first, top) {
                return self.find_and_drop_badged(top, badge);
            }
            self.drop_below(first);
            self.drop_node(first);
        }
    }
    /// The capability that got this badge, of which `id` is or was derived.
    fn first_with_badge(&self, mut id: NodeId, badge: u64) -> NodeId {
        let parent = |id| {
            self.at(id)?.parent.filter(|parent| self.at(*parent).is_some_and(|n| n.capability.badge == badge))
        };
        while let Some(above) = parent(id) {
            id = above;
        }
        id
    }
    /// The same by a look at everything that is below.
    fn find_and_drop_badged(&mut self, top: NodeId, badge: u64) {
        let mut next = self.first_child(top);
        while let Some(at) = next {
            let Some(node) = self.at(at).copied() else { return };
            if node.capability.badge == badge {
                // A badge is handed down to all that is derived, so everything below goes too.
                next = self.after(at, top);
                self.drop_below(at);
                self.drop_node(at);
            } else {
                next = node.first_child.or_else(|| self.after(at, top));
            }
        }
    }
    /// The next node in order that is not below `id`, within `top`.
    fn after(&self, mut id: NodeId, top: NodeId) -> Option<NodeId> {
        loop {
            let node = self.at(id)?;
            if let Some(next) = node.next {
                return Some(next);
            }
            id = node.parent.filter(|parent| *parent != top)?;
        }
    }

    /// Whether `id` was derived from `ancestor`, directly or not.
    pub(super) fn is_below(&self, id: NodeId, ancestor: NodeId) -> bool {
        let parent = |id: &NodeId| self.at(*id).and_then(|node| node.parent);
        core::iter::successors(parent(&id), parent).any(|at| at == ancestor)
    }
}
