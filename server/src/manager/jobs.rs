//! Work that is too large for one step: sweeping what was revoked, emptying an object that has ended, answering all who
//! waited, handing the containers of a factory that nobody holds to its heir.
//!
//! ```text
//!   revoke ─► cut: no descendant resolves any more, in constant time
//!         └─► job ─► up to STEPS at once, the rest in later calls of deliver, event and sweep, STEPS each
//!                     └─► done: calls of Sync that came after it are answered
//! ```
//!
//! A step does a constant amount of work, so no delivery is held up by more than [`STEPS`] of them, whatever was
//! revoked. Each step that adds a grant has freed at least one that was waiting, so those that wait never make the table
//! fuller than it was when they were live.

use super::parked::{LogWait, Parked, Waits};
use super::tell::{EventWait, News, Watch};
use super::{Execution, FactoryHandle, Manager, Object};
use crate::grant::{Peers, Sweep, Swept};
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::{Nanos, Reply};

/// Most steps of work left over from earlier calls that one call of the manager does.
pub const STEPS: u32 = 64;

/// Whether work is left over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leftover {
    /// There is: call [`Manager::sweep`] when there is nothing better to do.
    Some,
    /// There is none.
    None,
}

/// Something that is done in steps.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Grants that were cut off.
    Sweep(Sweep),
    /// Objects that have ended: calls that wait on them, and all grants on them.
    Ended(Vec<Remains>),
    /// Calls that have waited on this object for what is there now.
    Tell(Object, News),
    /// The containers of a factory that nobody holds.
    Orphans(FactoryHandle),
}

/// What is left of an object that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Remains {
    execution: Execution,
    watch: Watch,
    /// What was stored with it.
    stored: Vec<Sweep>,
}

impl Remains {
    /// The grants on it that are not freed yet.
    pub(super) const fn peers(&self) -> &Peers {
        &self.execution.peers
    }

    pub(super) fn new(execution: Execution, watch: Watch) -> Self {
        Remains { execution, watch, stored: Vec::new() }
    }

    /// The same with grants that were cut off because they were stored with it.
    pub(super) fn with(self, stored: Vec<Sweep>) -> Self {
        Remains { stored, ..self }
    }

    /// A call that waits on it.
    fn take_call(&mut self) -> Option<Parked> {
        let Execution { waits, log_waits, .. } = &mut self.execution;
        let logs = |waits: &mut Waits<LogWait>| waits.take_one(|_| true).map(|wait| wait.parked);
        let events = |waits: &mut Waits<EventWait>| waits.take_one(|_| true).map(|wait| wait.parked);
        waits.take_one(|_| true).or_else(|| logs(log_waits)).or_else(|| events(&mut self.watch.waits))
    }
}

/// A job and those that came of it, the last one first to be done. It is done when all of them are.
type Stack = Vec<Job>;

/// Jobs in the order they came, and who waits for them.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    /// Most steps done at once.
    steps: u32,
    queue: VecDeque<Stack>,
    /// What has come of the step that is being done.
    nested: Stack,
    turn: Turn,
    /// Jobs that were ever put off, and how many of these are done.
    begun: u64,
    done: u64,
    syncs: VecDeque<Sync>,
    /// How many of them came on each capability.
    syncing: BTreeMap<Badge, u32>,
}

/// Whether a step is being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Calls,
    Steps,
}

#[derive(Clone, Debug)]
struct Sync {
    after: u64,
    call: Parked,
}

/// Most calls of `Sync` that wait, sent on one capability.
const SYNCS_MAX: u32 = 16;

impl Jobs {
    /// None yet; at most so many steps at once.
    pub(super) const fn new(steps: u32) -> Self {
        Jobs {
            steps,
            queue: VecDeque::new(),
            nested: Vec::new(),
            turn: Turn::Calls,
            begun: 0,
            done: 0,
            syncs: VecDeque::new(),
            syncing: BTreeMap::new(),
        }
    }

    /// What is being swept.
    pub(super) fn sweeps(&self) -> impl Iterator<Item = &Sweep> {
        self.queue.iter().flatten().flat_map(|job| {
            let (one, many) = match job {
                Job::Sweep(sweep) => (Some(sweep), [].as_slice()),
                Job::Ended(remains) => (None, remains.as_slice()),
                Job::Tell(..) | Job::Orphans(_) => (None, [].as_slice()),
            };
            one.into_iter().chain(many.iter().flat_map(|remains| &remains.stored))
        })
    }

    /// Everything that is left over.
    pub(super) fn all(&self) -> impl Iterator<Item = &Job> {
        self.queue.iter().flatten()
    }

    /// Calls of `Sync` that wait: on which capability, and for how many jobs.
    pub(super) fn syncing(&self) -> impl Iterator<Item = (Badge, u64)> {
        self.syncs.iter().map(|sync| (sync.call.badge, sync.after.saturating_sub(self.done)))
    }

    /// Whether the containers of this factory are being handed over.
    pub(super) fn orphaned(&self, handle: FactoryHandle) -> bool {
        self.queue.iter().flatten().any(|job| matches!(job, Job::Orphans(other) if *other == handle))
    }

    fn put_off(&mut self, stack: Stack) {
        self.begun += 1;
        self.queue.push_back(stack);
    }
}

enum Step {
    Onward,
    Done,
}

impl Manager {
    /// The same, doing at most this many steps of work at once, at least one, in place of [`STEPS`]: to try what may
    /// come between two of them.
    #[must_use]
    pub fn in_steps_of(mut self, steps: u32) -> Self {
        self.jobs.steps = steps.max(1);
        self
    }

    /// Does a bounded piece of the work that earlier calls have left over. The owner of the loop calls it whenever
    /// there is nothing else to do and the last call said [`Leftover::Some`]; every other call does a piece as well.
    #[inline]
    pub fn sweep<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P) -> Leftover {
        // Most calls find nothing to do.
        if self.leftover() == Leftover::None && self.next_expiry().is_none() {
            return Leftover::None;
        }
        self.do_a_piece(glue, port)
    }

    #[cold]
    fn do_a_piece<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P) -> Leftover {
        // The clock is the kernel's to ask: only if some capability ends by itself, and once.
        let mut now = None;
        let mut left = self.jobs.steps;
        while left > 0 {
            if self.answer_sync(port).is_some() {
                left -= 1;
                continue;
            }
            if let Some(badge) = self.grants.take_expired(|| *now.get_or_insert_with(|| glue.now())) {
                let sweep = self.grants.cut(badge);
                self.jobs.put_off(Vec::from([Job::Sweep(sweep)]));
                left -= 1;
                continue;
            }
            let Some(mut stack) = self.jobs.queue.pop_front() else { break };
            self.work(glue, port, &mut stack, &mut left);
            match stack.is_empty() {
                true => self.jobs.done += 1,
                false => self.jobs.queue.push_front(stack),
            }
        }
        self.leftover()
    }

    /// Whether earlier calls have left work over.
    #[inline]
    pub fn leftover(&self) -> Leftover {
        let none = self.jobs.queue.is_empty() && self.jobs.syncs.is_empty();
        if none { Leftover::None } else { Leftover::Some }
    }

    /// When [`Manager::sweep`] should be called at the latest, because a capability ends by itself then.
    pub fn next_expiry(&self) -> Option<Nanos> {
        self.grants.next_expiry()
    }

    /// Does a job: all of it if it is small, else the first steps, and the rest later. What comes of a step is done with
    /// the job that the step belongs to.
    pub(crate) fn begin<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, job: Job) {
        if self.jobs.turn == Turn::Steps {
            return self.jobs.nested.push(job);
        }
        let (mut stack, mut left) = (Vec::from([job]), self.jobs.steps);
        self.work(glue, port, &mut stack, &mut left);
        if !stack.is_empty() {
            self.jobs.put_off(stack);
        }
    }

    fn work<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        stack: &mut Stack,
        left: &mut u32,
    ) {
        self.jobs.turn = Turn::Steps;
        while *left > 0
            && let Some(mut job) = stack.pop()
        {
            *left -= 1;
            if let Step::Onward = self.step(glue, port, &mut job) {
                stack.push(job);
            }
            stack.append(&mut self.jobs.nested);
        }
        self.jobs.turn = Turn::Calls;
    }

    fn step<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, job: &mut Job) -> Step {
        match job {
            Job::Sweep(sweep) => match sweep.step(&mut self.grants) {
                Swept::Ripe(badge) => {
                    // If its object has ended, its other job frees it.
                    if self.grants.object(badge).is_some_and(|object| self.exists(object)) {
                        self.free(glue, port, badge);
                    }
                    Step::Onward
                }
                Swept::Onward => Step::Onward,
                Swept::Done => Step::Done,
            },
            Job::Ended(remains_of) => {
                let Some(remains) = remains_of.last_mut() else { return Step::Done };
                if let Some(call) = remains.take_call() {
                    call.refuse(port, RefusalCode::Gone);
                    return Step::Onward;
                }
                if let Some(sweep) = remains.stored.pop() {
                    self.jobs.nested.push(Job::Sweep(sweep));
                    return Step::Onward;
                }
                let peers = &mut remains.execution.peers;
                match self.grants.first_of(peers) {
                    Some(badge) => {
                        self.grants.free(badge, peers);
                        port.revoke(badge);
                        self.wither(glue, port);
                    }
                    None => drop(remains_of.pop()),
                }
                Step::Onward
            }
            Job::Tell(object, news) => match self.answer_one(port, *object, *news) {
                Some(()) => Step::Onward,
                None => Step::Done,
            },
            Job::Orphans(handle) => match self.hand_over_one(*handle) {
                Some(()) => Step::Onward,
                None => {
                    self.forget_factory(*handle);
                    Step::Done
                }
            },
        }
    }

    /// Answers a call of `Sync`, now or when every job put off before it is done.
    pub(crate) fn sync<P: Port>(&mut self, port: &mut P, call: Parked) {
        if self.jobs.queue.is_empty() {
            return call.reply(port, &Reply::Done);
        }
        let waiting = self.jobs.syncing.entry(call.badge).or_insert(0);
        if *waiting >= SYNCS_MAX {
            return call.refuse(port, RefusalCode::Full);
        }
        *waiting += 1;
        self.jobs.syncs.push_back(Sync { after: self.jobs.begun, call });
    }

    /// Answers one call of `Sync` whose jobs are done; they are done in the order they came, so it is the first. None
    /// if it has to wait.
    fn answer_sync<P: Port>(&mut self, port: &mut P) -> Option<()> {
        self.jobs.syncs.front().filter(|sync| sync.after <= self.jobs.done)?;
        let call = self.jobs.syncs.pop_front()?.call;
        if let Entry::Occupied(mut waiting) = self.jobs.syncing.entry(call.badge) {
            *waiting.get_mut() -= 1;
            if *waiting.get() == 0 {
                waiting.remove();
            }
        }
        self.reply_if_live(port, call, &Reply::Done);
        Some(())
    }

    /// Whether the object is still there.
    #[inline]
    pub(crate) fn exists(&self, object: Object) -> bool {
        match object {
            Object::Factory(handle) => self.factories.get(handle).is_some(),
            Object::Container(handle) => self.containers.get(handle).is_some(),
            Object::Process(handle) => self.processes.get(handle).is_some(),
        }
    }
}
