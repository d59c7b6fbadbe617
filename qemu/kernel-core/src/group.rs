//! Resource groups: who pays for memory, processes and processor time, and how much of each there may be.
//!
//! Groups form a tree. A limit binds everything below it, so a charge climbs to the root: either every group on the
//! way has room, or nothing is charged. Use is exact: it is the sum of what is held now, not an estimate.

use crate::account::Account;
use crate::memory::{Charge, GroupId, NoMemory};
use crate::sched::{Entity, Quota, RunQueue};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{DeviceAccess, DeviceKind, DeviceRule};
use bailiwick_protocol::error::Errno;

/// Most groups there can be, the root included.
pub const GROUPS_MAX: usize = 512;
/// How deep groups nest.
pub const DEPTH_MAX: u8 = 16;
/// Longest name of a group.
pub const NAME_MAX: usize = 128;
/// The weight of a group or thread that asked for none (`cpu.shares` of cgroup v1).
pub const WEIGHT_DEFAULT: u32 = 1024;

/// Limits of a group; none is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Frames, those included that the kernel's objects would fill.
    pub frames: Option<u64>,
    /// Processes (threads of Linux processes count one each).
    pub pids: Option<u32>,
    /// Share of the processor, relative to its siblings: 2 to 262,144.
    pub weight: u32,
    /// Processor time in each period.
    pub quota: Option<Quota>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { frames: None, pids: None, weight: WEIGHT_DEFAULT, quota: None }
    }
}

/// Whether a group's threads may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Freezer {
    /// They may.
    #[default]
    Thawed,
    /// None does.
    Frozen,
}

/// What a group has used and uses, besides memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Processes now.
    pub pids: u32,
    /// Processor time ever, in nanoseconds.
    pub cpu: u64,
    /// Processes killed because memory ran out.
    pub oom_kills: u32,
    /// Linux system calls that do not exist here.
    pub unknown_calls: u32,
}

/// A group.
#[derive(Debug)]
pub struct Group {
    /// The group it is in; none for the root.
    pub parent: Option<GroupId>,
    /// Its name in there.
    pub name: String,
    limits: Limits,
    /// What it uses, everything below included.
    pub usage: Usage,
    pub(crate) account: Rc<Account>,
    freezer: Freezer,
    /// Devices its processes may use; none is all that those above may.
    pub devices: Option<DeviceRules>,
    depth: u8,
    children: u32,
    pub(crate) entity: Entity,
    pub(crate) queue: RunQueue,
    pub(crate) budget: crate::sched::Budget,
}

/// A place for a group, of which it has had this many before.
#[derive(Debug)]
struct Slot {
    generation: u32,
    group: Option<Group>,
}

/// All groups. The number of a group is its place and which content of it is meant; a place whose generations are used
/// up is not used again.
#[derive(Debug)]
pub struct Groups {
    slots: Vec<Slot>,
    free: Vec<u32>,
    top: Rc<Account>,
    /// How many are frozen.
    frozen: usize,
}

/// Bits of a group's number that are its place.
const PLACE_BITS: u32 = GROUPS_MAX.ilog2();
/// Highest generation of a place.
const GENERATION_MAX: u32 = u32::MAX >> PLACE_BITS;

const fn place(id: GroupId) -> (usize, u32) {
    ((id.0 & ((1 << PLACE_BITS) - 1)) as usize, id.0 >> PLACE_BITS)
}

impl Default for Groups {
    fn default() -> Self {
        Groups::new(Account::new(GroupId::ROOT, None, None))
    }
}

impl Groups {
    /// The root alone, with the account above all others.
    pub(crate) fn new(top: Rc<Account>) -> Self {
        let root = Group::new(None, String::new(), Limits::default(), Rc::clone(&top), 0);
        let slots = Vec::from([Slot { generation: 0, group: Some(root) }]);
        Groups { slots, free: Vec::new(), top, frozen: 0 }
    }
}

impl Group {
    fn new(parent: Option<GroupId>, name: String, limits: Limits, account: Rc<Account>, depth: u8) -> Self {
        Group {
            parent,
            name,
            limits,
            usage: Usage::default(),
            account,
            freezer: Freezer::Thawed,
            devices: None,
            depth,
            children: 0,
            entity: Entity::default(),
            queue: RunQueue::default(),
            budget: crate::sched::Budget::default(),
        }
    }
    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
    /// Other limits. What is in use already stays.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.account.set_limit(limits.frames);
        self.limits = limits;
    }
    /// Frames in use, everything below included: those handed out, and those that the kernel's objects of each group
    /// would fill.
    pub fn memory(&self) -> u64 {
        self.account.in_use()
    }
    /// The most frames that were ever in use.
    pub fn memory_peak(&self) -> u64 {
        self.account.peak()
    }
    /// Whether its own threads may run; those above it have a say as well.
    pub fn freezer(&self) -> Freezer {
        self.freezer
    }
    /// Whether nothing is in it: no process, and no group.
    pub(crate) fn is_empty(&self) -> bool {
        self.usage.pids == 0 && self.children == 0
    }
}

/// What a group leaves that is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Legacy {
    /// Frames that were handed out to it. They are counted in its parent already.
    pub(crate) frames: u64,
    /// Its parent.
    pub(crate) heir: GroupId,
}

/// What a process does with a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceUse {
    /// Opens it for reading.
    Read,
    /// Opens it for writing.
    Write,
    /// Makes a node for it.
    Make,
}

impl DeviceUse {
    const fn letter(self) -> char {
        match self {
            DeviceUse::Read => 'r',
            DeviceUse::Write => 'w',
            DeviceUse::Make => 'm',
        }
    }
}

/// Most rules of one group.
pub const DEVICE_RULES_MAX: usize = 256;

/// Rules about devices, in order: the last one that speaks of a use decides it, and what none speaks of is denied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRules(Vec<DeviceRule>);

impl DeviceRules {
    /// Checks rules; no rule at all is none: everything is allowed.
    ///
    /// # Errors
    /// `EINVAL` for letters other than `r`, `w`, `m`, for none, and for pipes, which are no devices. `E2BIG`.
    pub fn new(rules: &[DeviceRule]) -> Result<Option<DeviceRules>, Errno> {
        if rules.len() > DEVICE_RULES_MAX {
            return Err(Errno::E2BIG);
        }
        let makes_sense = |rule: &DeviceRule| {
            !rule.letters.is_empty()
                && rule.letters.chars().all(|letter| "rwm".contains(letter))
                && rule.kind != Some(DeviceKind::Fifo)
        };
        match rules {
            [] => Ok(None),
            _ if rules.iter().all(makes_sense) => Ok(Some(DeviceRules(rules.into()))),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether they allow this use.
    pub fn allow(&self, kind: DeviceKind, (major, minor): (u32, u32), does: DeviceUse) -> bool {
        let speaks = |rule: &&DeviceRule| {
            rule.kind.is_none_or(|of| of == kind)
                && rule.major.is_none_or(|of| of == major)
                && rule.minor.is_none_or(|of| of == minor)
                && rule.letters.contains(does.letter())
        };
        self.0.iter().rev().find(speaks).is_some_and(|rule| rule.access == DeviceAccess::Allow)
    }
}

impl Groups {
    /// Whether processes of `id` may use a device: every group on the way to the root must allow it.
    ///
    /// # Errors
    /// `EPERM`
    pub fn may_use_device(
        &self,
        id: GroupId,
        kind: DeviceKind,
        number: (u32, u32),
        does: DeviceUse,
    ) -> Result<(), Errno> {
        let mut rules = self.chain(id).filter_map(|at| self.get(at)?.devices.as_ref());
        if rules.all(|rules| rules.allow(kind, number, does)) { Ok(()) } else { Err(Errno::EPERM) }
    }
    /// A group.
    pub fn get(&self, id: GroupId) -> Option<&Group> {
        let (at, generation) = place(id);
        self.slots.get(at).filter(|slot| slot.generation == generation)?.group.as_ref()
    }
    /// What a group is charged for, or what all are together if there is no such group.
    #[inline]
    pub(crate) fn account(&self, id: GroupId) -> Rc<Account> {
        Rc::clone(self.get(id).map_or(&self.top, |group| &group.account))
    }
    /// A group, to be changed.
    pub fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        let (at, generation) = place(id);
        self.slots.get_mut(at).filter(|slot| slot.generation == generation)?.group.as_mut()
    }
    /// How many are frozen.
    pub(crate) fn frozen(&self) -> usize {
        self.frozen
    }
    /// Says whether a group's threads may run. Who runs now is not looked at.
    pub(crate) fn set_freezer(&mut self, id: GroupId, freezer: Freezer) {
        let Some(group) = self.get_mut(id) else { return };
        match (core::mem::replace(&mut group.freezer, freezer), freezer) {
            (Freezer::Thawed, Freezer::Frozen) => self.frozen += 1,
            (Freezer::Frozen, Freezer::Thawed) => self.frozen -= 1,
            (Freezer::Thawed, Freezer::Thawed) | (Freezer::Frozen, Freezer::Frozen) => {}
        }
    }
    /// How many there are, the root included.
    pub fn count(&self) -> usize {
        self.iter().count()
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        let slots = self.slots.iter().zip(0u32..);
        slots.filter_map(|(slot, at)| {
            Some((GroupId(slot.generation << PLACE_BITS | at), slot.group.as_ref()?))
        })
    }
    /// Puts a group where none is, which learns its number; none if there is no place.
    fn insert(&mut self, group: impl FnOnce(GroupId) -> Group) -> Option<GroupId> {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.slots.len() < GROUPS_MAX => {
                self.slots.push(Slot { generation: 0, group: None });
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let slot = self.slots.get_mut(at as usize)?;
        let id = GroupId(slot.generation << PLACE_BITS | at);
        slot.group = Some(group(id));
        Some(id)
    }
    /// Empties a place for the next one.
    fn take_out(&mut self, id: GroupId) {
        let (at, _) = place(id);
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.group = None;
        if slot.generation < GENERATION_MAX {
            slot.generation += 1;
            self.free.push(at as u32);
        }
    }
    /// The child of `parent` with this name.
    pub fn child(&self, parent: GroupId, name: &str) -> Option<GroupId> {
        self.iter().find(|(_, g)| g.parent == Some(parent) && g.name == name).map(|(id, _)| id)
    }
    /// Whether `id` is `ancestor` or below it.
    pub fn is_within(&self, id: GroupId, ancestor: GroupId) -> bool {
        self.chain(id).any(|at| at == ancestor)
    }
    /// `id`, its parent, and so on up to the root.
    pub fn chain(&self, id: GroupId) -> impl Iterator<Item = GroupId> {
        core::iter::successors(self.get(id).map(|_| id), |at| self.get(*at)?.parent)
    }
    /// Its path: "/" for the root, "/a/b" below it.
    pub fn path(&self, id: GroupId) -> String {
        let mut names: Vec<&str> =
            self.chain(id).filter_map(|at| self.get(at)).map(|g| g.name.as_str()).collect();
        names.reverse();
        if names.len() < 2 { String::from("/") } else { names.join("/") }
    }

    /// Makes a group in `parent`.
    ///
    /// # Errors
    /// `EEXIST`: the name is taken. `EINVAL`: it is empty, too long or holds a slash, or the weight is 0. `ENOSPC`:
    /// there are too many groups or they nest too deep. `ENOENT`: no such parent.
    pub fn create(&mut self, parent: GroupId, name: &str, limits: Limits) -> Result<GroupId, Errno> {
        let above = self.get(parent).ok_or(Errno::ENOENT)?;
        let (depth, account) = (above.depth + 1, Rc::clone(&above.account));
        if name.is_empty() || name.len() > NAME_MAX || name.contains('/') || limits.weight == 0 {
            return Err(Errno::EINVAL);
        }
        if self.child(parent, name).is_some() {
            return Err(Errno::EEXIST);
        }
        if depth > DEPTH_MAX {
            return Err(Errno::ENOSPC);
        }
        let group = |id| {
            let account = Account::new(id, Some(account), limits.frames);
            Group::new(Some(parent), String::from(name), limits, account, depth)
        };
        let id = self.insert(group).ok_or(Errno::ENOSPC)?;
        if let Some(parent) = self.get_mut(parent) {
            parent.children += 1;
        }
        Ok(id)
    }

    /// Removes a group that holds no process and no group. What memory it paid for (files that others see) its parent
    /// pays for from now on: the caller tells [`Memory::bequeath`](crate::memory::Memory::bequeath) so, to whom.
    ///
    /// # Errors
    /// `EBUSY` if something is in it, `ENOENT` if there is no such group, `EPERM` for the root.
    pub(crate) fn remove(&mut self, id: GroupId) -> Result<Legacy, Errno> {
        let group = self.get(id).ok_or(Errno::ENOENT)?;
        let Some(parent) = group.parent else { return Err(Errno::EPERM) };
        if !group.is_empty() {
            return Err(Errno::EBUSY);
        }
        let frames = group.account.handed_out();
        self.set_freezer(id, Freezer::Thawed);
        self.take_out(id);
        if let Some(parent) = self.get_mut(parent) {
            parent.children -= 1;
        }
        Ok(Legacy { frames, heir: parent })
    }

    /// Counts one process more in `id` and above.
    ///
    /// # Errors
    /// `EAGAIN` if a group on the way is at its limit; nothing is counted then.
    pub fn charge_pid(&mut self, id: GroupId) -> Result<(), Errno> {
        let full = |g: &Group| g.limits.pids.is_some_and(|limit| g.usage.pids >= limit);
        if self.chain(id).filter_map(|at| self.get(at)).any(full) {
            return Err(Errno::EAGAIN);
        }
        self.climb(id, |group| group.usage.pids += 1);
        Ok(())
    }
    /// Counts one process less.
    pub fn uncharge_pid(&mut self, id: GroupId) {
        self.climb(id, |group| group.usage.pids = group.usage.pids.saturating_sub(1));
    }
    /// Notes that a process of `id` was killed for want of memory.
    pub fn note_oom(&mut self, id: GroupId) {
        self.climb(id, |group| group.usage.oom_kills = group.usage.oom_kills.saturating_add(1));
    }
    /// Notes a Linux system call that does not exist.
    pub fn note_unknown_call(&mut self, id: GroupId) {
        self.climb(id, |group| group.usage.unknown_calls = group.usage.unknown_calls.saturating_add(1));
    }

    pub(crate) fn climb(&mut self, id: GroupId, mut change: impl FnMut(&mut Group)) {
        let mut at = Some(id);
        while let Some(group) = at.and_then(|at| self.get_mut(at)) {
            change(group);
            at = group.parent;
        }
    }
}

impl Charge for Groups {
    fn charge(&mut self, id: GroupId) -> Result<(), NoMemory> {
        self.get(id).map_or(Ok(()), |group| group.account.take(1))
    }
    fn uncharge(&mut self, id: GroupId) {
        if let Some(group) = self.get(id) {
            group.account.give_back(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_removed_group_never_comes_to_mean_another() {
        let mut groups = Groups::default();
        let mut seen = alloc::collections::BTreeSet::from([GroupId::ROOT]);
        for _ in 0..3 * GROUPS_MAX {
            let group = groups.create(GroupId::ROOT, "a", Limits::default()).unwrap();
            assert!(seen.insert(group));
            let before = group.0.checked_sub(1 << PLACE_BITS).map(GroupId);
            assert!(before.is_none_or(|before| groups.get(before).is_none()), "the one before in its place");
            groups.remove(group).unwrap();
            assert!(groups.get(group).is_none());
        }
        assert_eq!((groups.count(), groups.slots.len()), (1, 2));
    }

    #[test]
    fn it_is_known_how_many_groups_are_frozen_whatever_becomes_of_them() {
        let mut groups = Groups::default();
        let group = groups.create(GroupId::ROOT, "a", Limits::default()).unwrap();
        for (freezer, frozen) in [(Freezer::Frozen, 1), (Freezer::Thawed, 0), (Freezer::Frozen, 1)] {
            for _ in 0..2 {
                groups.set_freezer(group, freezer);
                assert_eq!(groups.frozen(), frozen);
            }
        }
        groups.remove(group).unwrap();
        groups.set_freezer(group, Freezer::Frozen);
        assert_eq!(groups.frozen(), 0);
    }

    #[test]
    fn a_place_without_generations_is_not_used_again_and_there_are_no_more_groups_than_places() {
        let mut groups = Groups::default();
        groups.slots.push(Slot { generation: GENERATION_MAX, group: None });
        groups.free.push(1);
        let last = groups.create(GroupId::ROOT, "last", Limits::default()).unwrap();
        assert_eq!(place(last), (1, GENERATION_MAX));
        groups.remove(last).unwrap();
        let made = (0..GROUPS_MAX).take_while(|at| {
            groups.create(GroupId::ROOT, &alloc::format!("{at}"), Limits::default()).is_ok()
        });
        assert_eq!(made.count(), GROUPS_MAX - 2);
    }
}
