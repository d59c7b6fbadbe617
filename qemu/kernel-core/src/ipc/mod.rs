//! Messages between native processes: call, receive, reply.
//!
//! ```text
//!  caller                       endpoint                         server
//!    Send ──► Calling ───────────► queue ──────────────────────► Receive
//!             Awaiting ◄─ right to answer: in the server's thread, or parked in a slot
//!      ◄────────────────────────────────────────────────────────  Reply
//! ```
//!
//! A thread that calls or receives blocks here and is finished by the other side: what the other has is copied
//! into its registers and its buffer while it waits. If the other side waits already, the processor is handed over
//! directly, past all queues. Nothing on this path allocates.
//!
//! A call is named by its thread and a number that is never used again, so a right to answer it can be kept
//! anywhere and is dead when the call is: nobody has to be told.
//!
//! An endpoint's queues are first come, first served. A caller that waits in one is thrown out when the capability
//! it used is deleted (`REVOKED`), or when nobody is left who could receive (`PEER_GONE`).

#[cfg(test)]
mod badges;
mod endpoint;
mod gone;
mod message;
mod notification;
#[cfg(test)]
mod tests;

pub(crate) use endpoint::Endpoint;
pub(crate) use notification::Notification;

use crate::arena::Arena;
use crate::cap::NodeId;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::sched::Scheduler;
use crate::thread::{Registers, Thread, ThreadBody, ThreadId};
use alloc::vec::Vec;
use bailiwick_abi::{Error, MESSAGE_MAX};

/// An endpoint, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub u32);
/// A notification, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotificationId(pub u32);

/// One call of one thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId {
    thread: ThreadId,
    number: u64,
}

/// Most endpoints there can be.
pub const ENDPOINTS_MAX: usize = 4096;
/// Most notifications there can be.
pub const NOTIFICATIONS_MAX: usize = 4096;

/// Where a thread is in an exchange of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// In none.
    #[default]
    None,
    /// In the queue of callers.
    Calling { endpoint: EndpointId, via: NodeId, badge: u64 },
    /// Its call was received.
    Awaiting { number: u64 },
    /// In the queue of receivers.
    Receiving { endpoint: EndpointId, via: NodeId },
}

/// What a native thread has for messages.
#[derive(Debug, Default)]
pub struct Talk {
    stage: Stage,
    /// Its neighbours in the queue it is in.
    previous: Option<ThreadId>,
    next: Option<ThreadId>,
    /// The call it received last and has not answered.
    holds: Option<CallId>,
    /// How many capabilities it has slots for in what it waits for.
    room: usize,
    /// Its message buffer.
    buffer: Option<u64>,
}

/// All endpoints and notifications.
#[derive(Debug)]
pub struct Ipc {
    endpoints: Arena<Endpoint>,
    notifications: Arena<Notification>,
    /// The number of the next call.
    next_call: u64,
    /// A message on its way from one space to another.
    bytes: Vec<u8>,
}

impl Default for Ipc {
    fn default() -> Self {
        Ipc {
            endpoints: Arena::new(),
            notifications: Arena::new(),
            next_call: 1,
            bytes: alloc::vec![0; MESSAGE_MAX],
        }
    }
}

impl Ipc {
    /// How many endpoints and notifications there are.
    pub(crate) fn counts(&self) -> [usize; 2] {
        [self.endpoints.len(), self.notifications.len()]
    }
}

/// What a message call comes to, for the thread that made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// It returns: nothing but success.
    Returns,
    /// Its registers are set, or it waits.
    Set,
}

impl Talk {
    /// The call this thread has received and not answered.
    pub(crate) fn holds(&self) -> Option<CallId> {
        self.holds
    }
    /// Names the message buffer.
    pub(crate) fn set_buffer(&mut self, address: u64) {
        self.buffer = Some(address);
    }
    /// Takes the right to answer out of the thread, to be parked.
    pub(crate) fn park(&mut self) -> Option<CallId> {
        self.holds.take()
    }
    /// Puts it back where it was.
    pub(crate) fn unpark(&mut self, call: CallId) {
        self.holds = Some(call);
    }
}

impl<H: Hw> Kernel<H> {
    /// A native thread's part in messages.
    pub(crate) fn talk(&self, id: ThreadId) -> Option<&Talk> {
        match &self.threads.get(id)?.body {
            ThreadBody::Native(native) => Some(&native.talk),
            ThreadBody::Linux(_) => None,
        }
    }
    pub(crate) fn talk_mut(&mut self, id: ThreadId) -> Option<&mut Talk> {
        match &mut self.threads.get_mut(id)?.body {
            ThreadBody::Native(native) => Some(&mut native.talk),
            ThreadBody::Linux(_) => None,
        }
    }
    fn registers_of(&mut self, id: ThreadId) -> Option<&mut Registers> {
        self.threads.get_mut(id).map(Thread::registers_mut)
    }
    fn stage(&self, id: ThreadId) -> Stage {
        self.talk(id).map_or(Stage::None, |talk| talk.stage)
    }
    fn set_stage(&mut self, id: ThreadId, stage: Stage) {
        if let Some(talk) = self.talk_mut(id) {
            talk.stage = stage;
        }
    }

    /// Takes the processor from a thread until the other side finishes its call.
    fn block(&mut self, id: ThreadId, stage: Stage) {
        self.set_stage(id, stage);
        self.threads.note_waits(id, &[], None);
        self.leave(id);
    }
    /// Ends a blocked thread's call with a refusal.
    fn fail(&mut self, id: ThreadId, error: Error) {
        if let Some(registers) = self.registers_of(id) {
            registers.rax = u64::from(error.0);
        }
        self.set_stage(id, Stage::None);
        self.wake_thread(id);
    }
    /// Lets a thread whose call is finished run at once, if nobody has the processor and its group may run.
    fn hand_over(&mut self, id: ThreadId) {
        let Some(group) = self.threads.get(id).map(|thread| thread.group) else { return };
        if self.sched.current().is_none() && Scheduler::may_run(&self.groups, group) {
            if self.threads.end_waits(id) {
                self.sched.switch_to(id);
            }
        } else {
            self.wake_thread(id);
        }
    }

    /// Whether this call still waits for its answer.
    pub(crate) fn is_awaited(&self, call: CallId) -> bool {
        self.stage(call.thread) == Stage::Awaiting { number: call.number }
    }
    /// Nobody will answer this call any more.
    pub(crate) fn drop_call(&mut self, call: CallId) {
        if self.is_awaited(call) {
            self.fail(call.thread, Error::PEER_GONE);
        }
    }
}
