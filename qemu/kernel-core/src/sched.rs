//! The scheduler: fair shares by weight, in a tree.
//!
//! Each group has a queue of what could run in it: its threads and its groups. Everything in a queue has a *virtual
//! time* that passes the faster the less its weight, and the least one goes first. So two groups of weight 1 and 3
//! get processor time 1 : 3 while both want it, however many threads each has.
//!
//! A queue is a binary heap whose entries may be out of date. An entry is put right when it comes to the top: it is
//! dropped if its member stopped wanting to run, and sunk if its virtual time went on. Nothing is ever searched
//! for, and no step costs more than the logarithm of the queue's length.
//!
//! Time is written on accounts (`Scheduler::account`) at each tick, and whenever somebody begins to wait or ends. If a
//! message hands the processor from one group to another meanwhile, how long it was had is noted at the thread only
//! (`Holding::spend`), and goes on accounts at the next such look. So a group that has used its quota up is
//! throttled at the next tick at the latest, as if its thread had not sent messages but computed.

use crate::group::{Freezer, Groups};
use crate::memory::GroupId;
use crate::thread::{State, ThreadId, Threads};
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;
use core::cmp::Reverse;

/// Processor time that a group may use in each period, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// How much.
    pub time: u64,
    /// In how much.
    pub period: u64,
}

/// What is left of a group's quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Budget {
    used: u64,
    period_end: u64,
    throttled: bool,
}

/// The standing of a thread or group in the queue it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entity {
    virtual_time: u64,
    queued: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Member {
    Thread(ThreadId),
    Group(GroupId),
}

/// What could run in one group.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    heap: BinaryHeap<Reverse<(u64, Member)>>,
    /// Virtual time of what was last picked: whoever comes newly starts here and has no claim from before.
    floor: u64,
}

/// Which thread has the processor, and since when.
#[derive(Debug, Default)]
pub struct Scheduler {
    current: Option<ThreadId>,
    since: u64,
    idle: u64,
    switches: u64,
    /// The groups that are throttled, no more and no fewer.
    throttled: Vec<GroupId>,
    /// Threads that owe time. Who is on it more than once is paid for once.
    owing: heapless::Vec<ThreadId, OWING_MAX>,
}

/// The processor, in the hands of a thread.
#[derive(Debug)]
pub(crate) struct Holding<'a> {
    thread: &'a mut ThreadId,
    since: &'a mut u64,
    owing: &'a mut heapless::Vec<ThreadId, OWING_MAX>,
    throttled: &'a [GroupId],
}

/// Most threads that owe time at once: with one more, accounts are written before their time.
const OWING_MAX: usize = 16;

impl Scheduler {
    /// The thread that has the processor.
    pub fn current(&self) -> Option<ThreadId> {
        self.current
    }
    /// Nanoseconds nobody ran.
    pub fn idle(&self) -> u64 {
        self.idle
    }
    /// How often the processor changed hands, other than from one native thread to another by a message that went the
    /// short way.
    pub fn switches(&self) -> u64 {
        self.switches
    }

    /// Writes the time since the last call on the account of the current thread, after what threads owe.
    pub(crate) fn account(&mut self, groups: &mut Groups, threads: &mut Threads, now: Nanos) {
        while let Some(id) = self.owing.pop() {
            let owed = threads.block_mut(id).map_or(0, |block| core::mem::take(&mut block.owed));
            self.charge(groups, threads, id, owed, now);
        }
        let spent = now.0.saturating_sub(self.since);
        self.since = now.0;
        match self.current {
            Some(id) => self.charge(groups, threads, id, spent, now),
            None => self.idle += spent,
        }
    }

    /// Writes this much time on the accounts of a thread and of all groups it is in.
    fn charge(&mut self, groups: &mut Groups, threads: &mut Threads, id: ThreadId, spent: u64, now: Nanos) {
        let Some(thread) = threads.get_mut(id) else { return };
        thread.cpu += spent;
        thread.entity.virtual_time += spent;
        let mut at = Some(thread.group);
        while let Some(id) = at {
            let Some(group) = groups.get_mut(id) else { break };
            group.usage.cpu += spent;
            at = group.parent;
            let weight = u64::from(group.limits().weight.max(1));
            let pace = u64::from(crate::group::WEIGHT_DEFAULT);
            group.entity.virtual_time += (spent * pace).div_ceil(weight);
            if let Some(quota) = group.limits().quota {
                group.budget.renew(quota, now.0);
                group.budget.used += spent;
                if group.budget.used >= quota.time && !group.budget.throttled {
                    group.budget.throttled = true;
                    self.throttled.push(id);
                }
            }
        }
    }

    /// Takes the processor from the current thread, which goes back into its queue if it can run.
    pub(crate) fn put_back(&mut self, groups: &mut Groups, threads: &mut Threads) {
        if let Some(id) = self.current.take() {
            self.enqueue(groups, threads, id);
        }
    }

    /// Takes the processor from the current thread if that is `id`.
    pub(crate) fn drop_current(&mut self, id: ThreadId) {
        if self.current == Some(id) {
            self.current = None;
        }
    }

    /// Gives the processor to `id`, past all queues. It must be runnable and not be queued.
    pub(crate) fn switch_to(&mut self, id: ThreadId) {
        self.switches += 1;
        self.current = Some(id);
    }

    /// What the thread that has the processor needs to hand it to another: see [`crate::ipc`].
    #[inline]
    pub(crate) fn holding(&mut self) -> Option<Holding<'_>> {
        let thread = self.current.as_mut()?;
        Some(Holding { thread, since: &mut self.since, owing: &mut self.owing, throttled: &self.throttled })
    }

    /// Puts a runnable thread into its queue.
    pub(crate) fn enqueue(&mut self, groups: &mut Groups, threads: &mut Threads, id: ThreadId) {
        let runs = threads.state(id) == State::Runnable;
        let Some(thread) = threads.get_mut(id).filter(|thread| runs && !thread.entity.queued) else { return };
        let group_id = thread.group;
        let Some(group) = groups.get_mut(group_id) else { return };
        group.queue.push(&mut thread.entity, Member::Thread(id));
        climb(groups, group_id);
    }

    /// Takes a thread that ends out of its queue.
    pub(crate) fn forget(&mut self, groups: &mut Groups, threads: &mut Threads, id: ThreadId) {
        self.drop_current(id);
        let Some(thread) = threads.get_mut(id) else { return };
        if core::mem::take(&mut thread.entity.queued)
            && let Some(group) = groups.get_mut(thread.group)
        {
            group.queue.heap.retain(|Reverse((_, member))| *member != Member::Thread(id));
        }
    }

    /// Takes a group that ends out of its parent's queue.
    pub fn forget_group(&mut self, groups: &mut Groups, id: GroupId) {
        self.throttled.retain(|throttled| *throttled != id);
        let Some(group) = groups.get_mut(id) else { return };
        if core::mem::take(&mut group.entity.queued)
            && let Some(parent) = group.parent
            && let Some(parent) = groups.get_mut(parent)
        {
            parent.queue.heap.retain(|Reverse((_, member))| *member != Member::Group(id));
        }
    }

    /// Whether the group and all above it let their threads run.
    pub fn may_run(groups: &Groups, id: GroupId) -> bool {
        groups
            .chain(id)
            .filter_map(|at| groups.get(at))
            .all(|group| group.freezer() == Freezer::Thawed && !group.budget.throttled)
    }

    /// Lets a group's threads run again, if it has any.
    pub(crate) fn thawed(&mut self, groups: &mut Groups, id: GroupId) {
        if groups.get(id).is_some_and(|group| !group.queue.heap.is_empty()) {
            climb(groups, id);
        }
    }

    /// Ends the throttling of groups whose next period has begun.
    pub(crate) fn renew(&mut self, groups: &mut Groups, now: Nanos) {
        let mut at = 0;
        while let Some(id) = self.throttled.get(at).copied() {
            let still = groups.get_mut(id).is_some_and(|group| match group.limits().quota {
                Some(quota) => {
                    group.budget.renew(quota, now.0);
                    group.budget.throttled = group.budget.used >= quota.time;
                    group.budget.throttled
                }
                None => {
                    group.budget = Budget::default();
                    false
                }
            });
            if still {
                at += 1;
            } else {
                self.throttled.swap_remove(at);
                self.thawed(groups, id);
            }
        }
    }

    /// Gives the processor to whoever is due; none if nobody can run.
    pub(crate) fn pick(&mut self, groups: &mut Groups, threads: &mut Threads) -> Option<ThreadId> {
        let mut at = GroupId::ROOT;
        loop {
            let group = groups.get_mut(at)?;
            let Some(Reverse((key, member))) = group.queue.heap.peek().copied() else {
                // Empty: it leaves its parent's queue, at whose top it is, and the search begins again.
                group.entity.queued = false;
                let parent = group.parent?;
                groups.get_mut(parent)?.queue.heap.pop();
                at = GroupId::ROOT;
                continue;
            };
            let entity = match member {
                Member::Thread(id) => {
                    let wants = threads.state(id) == State::Runnable;
                    threads
                        .get_mut(id)
                        .map(|thread| &mut thread.entity)
                        .map(|entity| (wants && entity.queued, entity.virtual_time, &mut entity.queued))
                }
                Member::Group(id) => groups.get_mut(id).map(|g| {
                    let may = g.freezer() == Freezer::Thawed && !g.budget.throttled;
                    (may && g.entity.queued, g.entity.virtual_time, &mut g.entity.queued)
                }),
            };
            let verdict = match entity {
                Some((true, time, _)) if time > key => Some(time),
                Some((true, _, queued)) => {
                    if let Member::Thread(_) = member {
                        *queued = false;
                    }
                    None
                }
                Some((false, _, queued)) => {
                    *queued = false;
                    groups.get_mut(at)?.queue.heap.pop();
                    continue;
                }
                None => {
                    groups.get_mut(at)?.queue.heap.pop();
                    continue;
                }
            };
            let queue = &mut groups.get_mut(at)?.queue;
            match (verdict, member) {
                (Some(time), _) => {
                    queue.heap.pop();
                    queue.heap.push(Reverse((time, member)));
                }
                (None, Member::Group(id)) => {
                    queue.floor = queue.floor.max(key);
                    at = id;
                }
                (None, Member::Thread(id)) => {
                    queue.floor = queue.floor.max(key);
                    queue.heap.pop();
                    self.switch_to(id);
                    return Some(id);
                }
            }
        }
    }
}

impl Holding<'_> {
    /// Who has the processor.
    #[inline]
    pub(crate) fn thread(&self) -> ThreadId {
        *self.thread
    }
    /// Hands it to another, which must be runnable and not be queued.
    #[inline]
    pub(crate) fn pass_to(&mut self, id: ThreadId) {
        *self.thread = id;
    }
    /// Whether there is no group in the whole machine that does not let its threads run, so that none need be asked.
    #[inline]
    pub(crate) fn all_may_run(&self, groups: &Groups) -> bool {
        groups.frozen() == 0 && self.throttled.is_empty()
    }
    /// Whether every group on the way from `id` to the root lets its threads run.
    #[inline]
    pub(crate) fn may_pass_to(&self, groups: &Groups, id: GroupId) -> bool {
        self.all_may_run(groups) || Scheduler::may_run(groups, id)
    }
    /// Whether the thread, which owes so much, may owe more: it is put on the list if it owes nothing yet.
    #[inline]
    pub(crate) fn may_owe(&mut self, owed: u64) -> bool {
        owed != 0 || self.owing.push(*self.thread).is_ok()
    }
    /// Looks at the clock: the time since the last look.
    #[inline]
    pub(crate) fn spend(&mut self, now: Nanos) -> u64 {
        now.0.wrapping_sub(core::mem::replace(self.since, now.0))
    }
}

impl RunQueue {
    fn push(&mut self, entity: &mut Entity, member: Member) {
        entity.virtual_time = entity.virtual_time.max(self.floor);
        entity.queued = true;
        self.heap.push(Reverse((entity.virtual_time, member)));
    }
}

impl Budget {
    /// Begins the period that `now` lies in. What was used too much before is owed.
    fn renew(&mut self, quota: Quota, now: u64) {
        if now < self.period_end {
            return;
        }
        let period = quota.period.max(1);
        let periods = (now - self.period_end) / period + 1;
        self.used = self.used.saturating_sub(quota.time.saturating_mul(periods));
        self.period_end = self.period_end.saturating_add(period.saturating_mul(periods));
    }
}

/// Queues a group that has something to run in its parent, and so on up to the first that is queued already.
fn climb(groups: &mut Groups, mut at: GroupId) {
    loop {
        let Some(group) = groups.get_mut(at) else { return };
        let Some(parent) = group.parent else { return };
        if group.entity.queued || group.freezer() == Freezer::Frozen || group.budget.throttled {
            return;
        }
        let mut entity = group.entity;
        let Some(above) = groups.get_mut(parent) else { return };
        above.queue.push(&mut entity, Member::Group(at));
        if let Some(group) = groups.get_mut(at) {
            group.entity = entity;
        }
        at = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Charged;
    use crate::cap::SpaceId;
    use crate::group::Limits;
    use crate::hw::Space;
    use crate::native::NativeThread;
    use crate::ns::ProcessId;
    use crate::thread::{Context, Thread, ThreadBody};

    #[test]
    fn groups_of_weight_one_and_three_share_the_processor_one_to_three_however_many_threads_they_have() {
        let (mut groups, mut threads, mut sched) =
            (Groups::default(), Threads::default(), Scheduler::default());
        let ids = [("light", 1024, 4), ("heavy", 3072, 1)].map(|(name, weight, count)| {
            let limits = Limits { weight, ..Limits::default() };
            let group = groups.create(GroupId::ROOT, name, limits).unwrap();
            for _ in 0..count {
                let body = ThreadBody::Native(NativeThread::new(SpaceId(0), Space(0)));
                let charged = Charged::new(&groups.account(group), 0).unwrap();
                let context = Context::new(0, 0);
                let id = threads.insert(Thread::new(ProcessId(0), group, context, body, charged));
                threads.end_waits(id);
                sched.enqueue(&mut groups, &mut threads, id);
            }
            group
        });
        for tick in 1..=4000u64 {
            sched.pick(&mut groups, &mut threads).unwrap();
            sched.account(&mut groups, &mut threads, Nanos(tick * 1_000_000));
            sched.put_back(&mut groups, &mut threads);
        }
        let [light, heavy] = ids.map(|id| groups.get(id).unwrap().usage.cpu);
        assert!((heavy as f64 / light as f64 - 3.0).abs() < 0.05, "{heavy} to {light}");
        assert_eq!(light + heavy, 4_000_000_000);
    }
}
