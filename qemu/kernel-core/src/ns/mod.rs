//! Namespaces (namespaces(7)): kernel objects with a number, a count of holders and an owning user namespace.
//!
//! A process has a [`NamespaceSet`]; `/proc/PID/ns/X` and bind mounts of it stand for the objects themselves, so a
//! namespace joined by path is the same object. An object ends with its last holder: a process, a file of it, or a
//! namespace below it.

mod net;
mod pid;
mod set;
pub mod user;

pub use net::{Interface, Loopback};
pub use pid::{Numbers, PID_MAX, PidNamespace, ProcessId, Role};
pub use set::{IdKind, NamespaceSet, Unshare};

use crate::account::{Charged, price_of};
use crate::arena::Arena;
use crate::cred::{Capability, Credentials, Gid, Uid};
use crate::memory::GroupId;
use crate::vfs::MountId;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::Namespace as Kind;
use bailiwick_protocol::error::Errno;
use user::{IdTable, UserNamespace};

/// A namespace of any kind, by position. Valid while its holder counts it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespaceId(pub u32);

/// Most namespaces of all kinds together.
pub const NAMESPACES_MAX: usize = 1024;
/// How deep user and pid namespaces nest.
pub const LEVEL_MAX: u8 = 32;
/// Longest host or domain name, in bytes (`__NEW_UTS_LEN`).
pub const NAME_MAX: usize = 64;

/// A host or domain name.
pub type UtsName = heapless::Vec<u8, NAME_MAX>;

/// What a namespace holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Users and groups.
    User(UserNamespace),
    /// The mount tree below this mount; none once it was taken apart.
    Mount {
        /// The mount at its root.
        root: Option<MountId>,
    },
    /// Process numbers.
    Pid(PidNamespace),
    /// Names of the machine.
    Uts {
        /// The host name.
        host: UtsName,
        /// The NIS domain name.
        domain: UtsName,
    },
    /// System V IPC and message queues: nothing to hold yet.
    Ipc,
    /// Interfaces.
    Network(Loopback),
    /// The resource group that is shown as root.
    Cgroup {
        /// That group.
        root: GroupId,
    },
    /// Offsets of the clocks, in nanoseconds.
    Time {
        /// Added to `CLOCK_MONOTONIC`.
        monotonic: i64,
        /// Added to `CLOCK_BOOTTIME`.
        boottime: i64,
        /// A process is inside: the offsets are fixed.
        entered: bool,
    },
}

#[derive(Debug)]
struct Object {
    number: u32,
    holders: u32,
    owner: Option<NamespaceId>,
    body: Body,
    /// None for the first ones.
    _charged: Option<Charged>,
}

/// All namespaces.
#[derive(Debug)]
pub struct Namespaces {
    objects: Arena<Object>,
    next_number: u32,
    first_user: NamespaceId,
    /// Roots of mount trees whose namespace ended and that wait to be taken apart.
    ended_trees: Vec<MountId>,
}

impl Namespaces {
    /// The first namespace of each kind, with the numbers Linux gives them. The caller holds the set.
    pub fn new(host: &str) -> (Self, NamespaceSet) {
        let mut all = Namespaces {
            objects: Arena::new(),
            next_number: 4_026_532_000,
            first_user: NamespaceId(0),
            ended_trees: Vec::new(),
        };
        let user = UserNamespace {
            parent: None,
            level: 0,
            creator: Uid::ROOT,
            creator_group: Gid::ROOT,
            uids: IdTable::identity(),
            gids: IdTable::identity(),
            setgroups_denied: false,
        };
        let mut first = |number: u32, body: Body| {
            let owner = if number == 4_026_531_837 { None } else { Some(NamespaceId(0)) };
            NamespaceId(all.objects.insert(Object { number, holders: 1, owner, body, _charged: None }))
        };
        let user = first(4_026_531_837, Body::User(user));
        let pid = first(4_026_531_836, Body::Pid(PidNamespace::first()));
        let time = first(4_026_531_834, Body::Time { monotonic: 0, boottime: 0, entered: true });
        let set = NamespaceSet {
            user,
            mount: first(4_026_531_841, Body::Mount { root: None }),
            pid,
            pid_for_children: pid,
            uts: first(4_026_531_838, Body::Uts { host: name(host.as_bytes()), domain: name(b"(none)") }),
            ipc: first(4_026_531_839, Body::Ipc),
            network: first(4_026_531_840, Body::Network(Loopback::up())),
            cgroup: first(4_026_531_835, Body::Cgroup { root: GroupId::ROOT }),
            time,
            time_for_children: time,
        };
        all.first_user = user;
        for id in [user, pid, time] {
            all.hold(id);
        }
        (all, set)
    }

    /// The first user namespace.
    pub fn first_user(&self) -> NamespaceId {
        self.first_user
    }

    /// What a namespace takes of the kernel's heap.
    pub const PRICE: usize = price_of::<Object>();

    /// A new object, held once. It holds its owner, and its parent if it nests. `charged` is [`Namespaces::PRICE`].
    ///
    /// # Errors
    /// `ENOSPC` if there are too many.
    pub(crate) fn insert(
        &mut self,
        owner: NamespaceId,
        body: Body,
        charged: Charged,
    ) -> Result<NamespaceId, Errno> {
        if self.objects.len() >= NAMESPACES_MAX {
            return Err(Errno::ENOSPC);
        }
        let parent = parent_of(&body);
        // A user namespace is owned by its parent: one reference serves both.
        let owner = if matches!(body, Body::User(_)) { parent } else { Some(owner) };
        for held in [owner, parent].into_iter().flatten() {
            self.hold(held);
        }
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let object = Object { number, holders: 1, owner, body, _charged: Some(charged) };
        Ok(NamespaceId(self.objects.insert(object)))
    }

    /// One more holder.
    pub fn hold(&mut self, id: NamespaceId) {
        if let Some(object) = self.objects.get_mut(id.0) {
            object.holders = object.holders.saturating_add(1);
        }
    }

    /// One holder less. An ended mount namespace's tree is left for [`crate::vfs::Vfs`] to take apart: call
    /// `Vfs::release_namespace` from outside.
    pub(crate) fn release(&mut self, id: NamespaceId) {
        let mut pending = alloc::vec![id];
        while let Some(id) = pending.pop() {
            let Some(object) = self.objects.get_mut(id.0) else { continue };
            object.holders = object.holders.saturating_sub(1);
            if object.holders > 0 {
                continue;
            }
            let Some(object) = self.objects.remove(id.0) else { continue };
            if let Body::Mount { root: Some(root) } = object.body {
                self.ended_trees.push(root);
            }
            pending.extend([object.owner, parent_of(&object.body)].into_iter().flatten());
        }
    }

    /// The root of a mount tree whose namespace has ended and that nobody has taken apart yet.
    pub fn take_ended_tree(&mut self) -> Option<MountId> {
        self.ended_trees.pop()
    }

    /// What a namespace holds.
    pub fn body(&self, id: NamespaceId) -> Option<&Body> {
        self.objects.get(id.0).map(|object| &object.body)
    }
    /// What a namespace holds, to be changed.
    pub fn body_mut(&mut self, id: NamespaceId) -> Option<&mut Body> {
        self.objects.get_mut(id.0).map(|object| &mut object.body)
    }
    /// Its number, as shown in `/proc/PID/ns`.
    pub fn number(&self, id: NamespaceId) -> u32 {
        self.objects.get(id.0).map_or(0, |object| object.number)
    }
    /// The namespace with this number.
    pub fn with_number(&self, number: u32) -> Option<NamespaceId> {
        self.objects.iter().find(|(_, object)| object.number == number).map(|(id, _)| NamespaceId(id))
    }
    /// Its kind.
    pub fn kind(&self, id: NamespaceId) -> Option<Kind> {
        self.body(id).map(|body| match body {
            Body::User(_) => Kind::User,
            Body::Mount { .. } => Kind::Mount,
            Body::Pid(_) => Kind::Pid,
            Body::Uts { .. } => Kind::Uts,
            Body::Ipc => Kind::Ipc,
            Body::Network(_) => Kind::Network,
            Body::Cgroup { .. } => Kind::Cgroup,
            Body::Time { .. } => Kind::Time,
        })
    }
    /// The user namespace whose capabilities count for it.
    pub fn owner(&self, id: NamespaceId) -> NamespaceId {
        self.objects.get(id.0).and_then(|object| object.owner).unwrap_or(self.first_user)
    }
    /// How many hold it.
    pub fn holders(&self, id: NamespaceId) -> u32 {
        self.objects.get(id.0).map_or(0, |object| object.holders)
    }
    /// How many namespaces there are.
    pub fn count(&self) -> usize {
        self.objects.len()
    }
    /// How often all of them together are held, and how many numbers all pid namespaces have given out.
    pub fn counts(&self) -> [usize; 2] {
        let all = || self.objects.iter().map(|(_, object)| object);
        let numbers = |object: &Object| match &object.body {
            Body::Pid(pids) => pids.count(),
            _ => 0,
        };
        [all().map(|object| object.holders as usize).sum(), all().map(numbers).sum()]
    }

    /// A user namespace.
    pub fn user(&self, id: NamespaceId) -> Option<&UserNamespace> {
        match self.body(id) {
            Some(Body::User(user)) => Some(user),
            _ => None,
        }
    }
    /// A pid namespace.
    pub fn pid(&self, id: NamespaceId) -> Option<&PidNamespace> {
        match self.body(id) {
            Some(Body::Pid(pid)) => Some(pid),
            _ => None,
        }
    }
    fn pid_mut(&mut self, id: NamespaceId) -> Option<&mut PidNamespace> {
        match self.body_mut(id) {
            Some(Body::Pid(pid)) => Some(pid),
            _ => None,
        }
    }
    /// Host and domain name of a uts namespace.
    pub fn names(&self, id: NamespaceId) -> (&[u8], &[u8]) {
        match self.body(id) {
            Some(Body::Uts { host, domain }) => (host, domain),
            _ => (b"", b""),
        }
    }

    /// Sets the host name of a uts namespace.
    ///
    /// # Errors
    /// `EINVAL` if it is longer than [`NAME_MAX`] or the namespace is of another kind.
    pub fn set_host(&mut self, id: NamespaceId, new: &[u8]) -> Result<(), Errno> {
        match self.body_mut(id) {
            Some(Body::Uts { host, .. }) => {
                UtsName::from_slice(new).map(|new| *host = new).map_err(|_| Errno::EINVAL)
            }
            _ => Err(Errno::EINVAL),
        }
    }
    /// Sets the domain name of a uts namespace.
    ///
    /// # Errors
    /// As [`Self::set_host`].
    pub fn set_domain(&mut self, id: NamespaceId, new: &[u8]) -> Result<(), Errno> {
        match self.body_mut(id) {
            Some(Body::Uts { domain, .. }) => {
                UtsName::from_slice(new).map(|new| *domain = new).map_err(|_| Errno::EINVAL)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether `who` has `capability` in user namespace `target` (user_namespaces(7) "Capabilities"): it is inside
    /// and has it in its effective set, or it is in an ancestor and has it there, or it made the child of its own
    /// namespace that `target` is or lies below.
    pub fn capable(&self, who: &Credentials, target: NamespaceId, capability: Capability) -> bool {
        let mut at = target;
        loop {
            if at == who.user_namespace {
                return who.capabilities.effective.has(capability);
            }
            let Some(user) = self.user(at) else { return false };
            let Some(parent) = user.parent else { return false };
            if parent == who.user_namespace && user.creator == who.euid {
                return true;
            }
            at = parent;
        }
    }

    /// The kernel's id of user 0 of a user namespace.
    pub fn root_uid(&self, user_namespace: NamespaceId) -> Option<Uid> {
        self.user(user_namespace)?.map_into(0)
    }

    /// Numbers for a thread of `process` in pid namespace `id` and in every one above.
    ///
    /// # Errors
    /// `ENOMEM` if the namespace's first process ended, `EAGAIN` if a namespace has no number left.
    pub fn take_numbers(
        &mut self,
        id: NamespaceId,
        process: ProcessId,
        role: Role,
    ) -> Result<Numbers, Errno> {
        let mut numbers = Numbers::new();
        let mut at = Some(id);
        while let Some(here) = at {
            let taken = match self.pid_mut(here) {
                Some(pid) if pid.ended => Err(Errno::ENOMEM),
                Some(pid) => pid.take(process, role).ok_or(Errno::EAGAIN).map(|number| (number, pid.parent)),
                None => Err(Errno::EINVAL),
            };
            let stored = taken.and_then(|(number, parent)| {
                numbers.push((here, number)).map_err(|_| Errno::EAGAIN)?;
                Ok(parent)
            });
            match stored {
                Ok(parent) => at = parent,
                Err(errno) => {
                    self.put_numbers(&numbers);
                    return Err(errno);
                }
            }
        }
        Ok(numbers)
    }

    /// Gives back what [`Self::take_numbers`] gave.
    pub fn put_numbers(&mut self, numbers: &Numbers) {
        for (id, number) in numbers {
            if let Some(pid) = self.pid_mut(*id) {
                pid.put(*number);
            }
        }
    }

    /// The first process of pid namespace `id` ended: no process is made there any more.
    pub fn end_pid_namespace(&mut self, id: NamespaceId) {
        if let Some(pid) = self.pid_mut(id) {
            pid.ended = true;
        }
    }

    /// Number 1 of a pid namespace is nobody's. To be called before the first number is given out.
    pub(crate) fn keep_first_number(&mut self, id: NamespaceId) {
        if let Some(pid) = self.pid_mut(id) {
            pid.keep_first();
        }
    }

    /// Whether pid namespace `below` is `above` or lies below it.
    pub fn pid_is_within(&self, below: NamespaceId, above: NamespaceId) -> bool {
        let mut at = Some(below);
        while let Some(here) = at {
            if here == above {
                return true;
            }
            at = self.pid(here).and_then(|pid| pid.parent);
        }
        false
    }
}

fn parent_of(body: &Body) -> Option<NamespaceId> {
    match body {
        Body::User(user) => user.parent,
        Body::Pid(pid) => pid.parent,
        _ => None,
    }
}

fn name(text: &[u8]) -> UtsName {
    UtsName::from_slice(text.get(..NAME_MAX).unwrap_or(text)).unwrap_or_default()
}
