//! Capabilities: what native processes can name, and who got it from whom.
//!
//! ```text
//!  space of a process                       tree of derivation
//!    slot 1  generation 0 ─► node ──────┐      console ─┬─ init's
//!    slot 2  generation 4 ─► node       └────►          └─ the manager's ── the shell's
//!    slot 3  generation 9    free
//! ```
//!
//! A capability is a node of one tree for the whole kernel, and lies in one slot of one space. Deriving makes a
//! child. Revoking deletes everything below a node wherever it lies; deleting takes one node out, and what was
//! derived from it moves up. A slot counts its contents, and a handle says which one it means: so a handle can
//! become dead, but never come to mean something else. When the count is used up the slot is.
//!
//! This module only keeps the books. What must happen because a capability went (an endpoint without receivers, an
//! object nobody holds) is put on a list, and the kernel acts on it before it does
//! anything else.

mod badge;
#[cfg(test)]
mod explore;
mod holders;
mod space;
#[cfg(test)]
mod tests;
mod transfer;
mod tree;

use crate::arena::{Pool, Table};
use crate::container::ContainerId;
use crate::ipc::{CallId, EndpointId, NotificationId};
use crate::memory::GroupId;
use crate::ns::ProcessId;
use crate::vfs::FileId;
use alloc::collections::{BTreeMap, TryReserveError, VecDeque};
use alloc::vec::Vec;
use bailiwick_abi::{Kind, Rights};

pub use badge::BADGES_MAX;
use holders::{Counts, Loss};
pub(crate) use space::Port;
pub(crate) use transfer::{Offer, Passed, Wanted};

/// A capability space, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpaceId(pub(crate) u32);

impl SpaceId {
    /// The space of who can name nothing. It is always empty.
    pub(crate) const NOTHING: SpaceId = SpaceId(0);
}

/// A capability, by its position in the tree. Good until it is deleted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

/// Most capabilities of all processes together: what the longest revocation has to look at.
pub const NODES_MAX: usize = 1 << 16;

/// For how many there is room from the beginning.
const NODES_FIRST: usize = 128;

/// What a capability stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Object {
    /// An endpoint.
    Endpoint(EndpointId),
    /// The right to answer one call.
    Reply(CallId),
    /// A notification.
    Notification(NotificationId),
    /// A memory object: a file without a name.
    Memory(FileId),
    /// A native process.
    Process(ProcessId),
    /// A container.
    Container(ContainerId),
    /// A directory, as an open file that holds its place.
    Directory(FileId),
    /// A resource group.
    Group(GroupId),
    /// The console.
    Console,
    /// The power switch.
    Power,
    /// The clocks.
    Clock,
    /// Statistics of the system.
    System,
}

impl Object {
    /// Its kind.
    pub const fn kind(self) -> Kind {
        match self {
            Object::Endpoint(_) => Kind::Endpoint,
            Object::Reply(_) => Kind::Reply,
            Object::Notification(_) => Kind::Notification,
            Object::Memory(_) => Kind::Memory,
            Object::Process(_) => Kind::Process,
            Object::Container(_) => Kind::Container,
            Object::Directory(_) => Kind::Directory,
            Object::Group(_) => Kind::Group,
            Object::Console => Kind::Console,
            Object::Power => Kind::Power,
            Object::Clock => Kind::Clock,
            Object::System => Kind::System,
        }
    }
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capability {
    /// The object.
    pub object: Object,
    /// What may be done with it.
    pub rights: Rights,
    /// What a receiver is told when this is called; 0 is none. Endpoints only.
    pub badge: u64,
}

impl Capability {
    /// One with all rights and no badge.
    pub const fn all(object: Object) -> Self {
        Capability { object, rights: Rights::ALL, badge: 0 }
    }
    /// What is derived from it with no more than these rights and this badge, 0 for none. Who only has a badged one cannot
    /// receive by it, nor make others.
    #[inline(always)]
    fn narrowed(self, rights: Rights, badge: u64) -> Self {
        let mask = if badge == 0 { rights } else { rights.restrict(Rights::WRITE.with(Rights::GRANT)) };
        Capability { rights: self.rights.restrict(mask), badge, ..self }
    }
}

/// What went, for the kernel to act on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gone {
    /// One or more capabilities to it: whoever waits by one must look again.
    Capability(Object),
    /// The last capability with which one could receive there.
    Readers(EndpointId),
    /// The last capability with some badge of a watched endpoint, whose list of ended badges was empty.
    Badge(EndpointId),
    /// The last capability to it.
    Object(Object),
}

/// Most entries that the end of one capability puts on the list of what went: one of each kind.
const GONE_EACH: usize = 4;

/// All capabilities.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Capabilities {
    nodes: Table<tree::Node>,
    spaces: Pool<space::Space>,
    holders: Counts,
    gone: VecDeque<Gone>,
    /// Endpoints of which a capability went, before what is on the other list: they are most of what goes.
    lost: Vec<EndpointId>,
    /// Endpoints whose receiver wants to be told when a badge is held by nobody any more.
    watched: BTreeMap<EndpointId, badge::Watched>,
}

impl Default for Capabilities {
    fn default() -> Self {
        let mut spaces = Pool::new();
        // At position 0: `SpaceId::NOTHING`, without a slot.
        spaces.insert(space::Space::default());
        Capabilities {
            nodes: Table::new(),
            spaces,
            holders: Counts::default(),
            watched: BTreeMap::new(),
            gone: VecDeque::new(),
            lost: Vec::new(),
        }
    }
}

impl Capabilities {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }
    /// How many spaces there are, besides the one of who can name nothing.
    pub fn space_count(&self) -> usize {
        self.spaces.len() - 1
    }
    /// How many capabilities stand for this object.
    pub fn holders(&self, object: Object) -> u32 {
        self.holders.get(object).map_or(0, |holders| holders.all)
    }
    /// How many of them have `READ`.
    pub fn readers(&self, object: Object) -> u32 {
        self.holders.get(object).map_or(0, |holders| holders.readers)
    }
    /// Whether something went and was not yet acted on.
    #[inline]
    pub(crate) fn has_gone(&self) -> bool {
        !(self.lost.is_empty() && self.gone.is_empty())
    }
    /// The endpoint of which the next thing that went is a capability, if it is one.
    #[inline]
    pub(crate) fn gone_endpoint(&self) -> Option<EndpointId> {
        self.lost.last().copied()
    }
    /// The same, taken from its list.
    #[inline]
    pub(crate) fn next_lost(&mut self) -> Option<EndpointId> {
        let endpoint = self.lost.pop()?;
        if let Some(holders) = self.holders.get_mut(Object::Endpoint(endpoint)) {
            holders.loss = Loss::None;
        }
        Some(endpoint)
    }
    /// The next thing that went and was not yet acted on.
    pub(crate) fn next_gone(&mut self) -> Option<Gone> {
        if let Some(endpoint) = self.next_lost() {
            return Some(Gone::Capability(Object::Endpoint(endpoint)));
        }
        let gone = self.gone.pop_front();
        if let Some(Gone::Capability(object)) = gone
            && let Some(holders) = self.holders.get_mut(object)
        {
            holders.loss = Loss::None;
        }
        gone
    }

    #[inline(always)]
    fn count_in(&mut self, capability: Capability) {
        let Some(holders) = self.holders.make(capability.object) else { return };
        holders.all += 1;
        holders.readers += u32::from(capability.rights.contains(Rights::READ));
    }
    /// Whether there can be so many capabilities more. Whatever the end of any will have to list has its place from now on:
    /// ends allocate nothing.
    #[inline(always)]
    fn has_room_for(&mut self, more: usize) -> bool {
        let count = self.count() + more;
        count <= NODES_MAX && (count <= self.nodes.capacity() || self.grow(count).is_ok())
    }
    /// Makes room for as many, and for as many again, so that it is seldom asked for.
    #[inline(never)]
    fn grow(&mut self, count: usize) -> Result<(), TryReserveError> {
        let count = count.saturating_mul(2).clamp(NODES_FIRST, NODES_MAX);
        let listed = count * GONE_EACH;
        self.gone.try_reserve_exact(listed.saturating_sub(self.gone.len()))?;
        self.lost.try_reserve_exact(listed.saturating_sub(self.lost.len()))?;
        self.nodes.try_reserve(count)
    }
    #[inline]
    fn count_out(&mut self, capability: Capability, node: NodeId) {
        let object = capability.object;
        self.count_badge_out(capability, node);
        let Some(holders) = self.holders.get_mut(object) else { return };
        holders.all = holders.all.saturating_sub(1);
        let all = holders.all;
        if core::mem::replace(&mut holders.loss, Loss::Listed) == Loss::None {
            match object {
                Object::Endpoint(endpoint) => self.lost.push(endpoint),
                other => self.gone.push_back(Gone::Capability(other)),
            }
        }
        if capability.rights.contains(Rights::READ) {
            self.count_out_reader(object);
        }
        if all == 0 {
            self.count_out_last(object);
        }
    }
    #[inline(never)]
    fn count_out_last(&mut self, object: Object) {
        self.holders.remove(object);
        self.gone.push_back(Gone::Object(object));
    }
    #[inline(never)]
    fn count_out_reader(&mut self, object: Object) {
        let Some(holders) = self.holders.get_mut(object) else { return };
        holders.readers = holders.readers.saturating_sub(1);
        if let (0, Object::Endpoint(id)) = (holders.readers, object) {
            self.gone.push_back(Gone::Readers(id));
        }
    }
}
