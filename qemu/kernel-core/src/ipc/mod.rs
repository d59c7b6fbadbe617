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
//! A thread makes one call at a time, and there is one right to answer it, which is used up when the call is over. So
//! a call is named by its thread. Only when that ends does the right stay behind: it names the thread by a position
//! and which of those it was that had the position, so it is dead then, and nobody has to be told.
//!
//! An endpoint's queues are first come, first served. A caller that waits in one is thrown out when the capability
//! it used is deleted (`REVOKED`), or when nobody is left who could receive (`PEER_GONE`).

#[cfg(test)]
mod badges;
mod endpoint;
#[cfg(test)]
mod explore;
mod fast;
mod gone;
mod message;
mod notification;
#[cfg(test)]
pub(in crate::ipc) mod tests;

pub(crate) use endpoint::Endpoint;
pub use fast::{Missed, Switch};
pub(crate) use notification::Notification;

use crate::arena::{Pool, Table};
use crate::block::{ControlBlock, Stage};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::sched::Scheduler;
use crate::thread::{Registers, Thread, ThreadId};
use alloc::vec::Vec;
use bailiwick_abi::{Error, MESSAGE_MAX};
use core::num::NonZero;

/// An endpoint, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub u32);
/// A notification, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotificationId(pub u32);

/// The call of a thread that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId {
    pub(crate) thread: ThreadId,
    /// Which of the threads that had this position.
    pub(crate) life: NonZero<u64>,
}

/// Most endpoints there can be.
pub const ENDPOINTS_MAX: usize = 4096;
/// Most notifications there can be.
pub const NOTIFICATIONS_MAX: usize = 4096;

/// All endpoints and notifications.
#[derive(Debug)]
pub struct Ipc {
    endpoints: Pool<Endpoint>,
    notifications: Table<Notification>,
    /// A message on its way from one space to another.
    bytes: Vec<u8>,
}

impl Default for Ipc {
    fn default() -> Self {
        Ipc { endpoints: Pool::new(), notifications: Table::new(), bytes: alloc::vec![0; MESSAGE_MAX] }
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

impl<H: Hw> Kernel<H> {
    /// A thread's part in messages; an inert one if there is no such thread any more.
    pub(crate) fn talk(&self, id: ThreadId) -> Option<&ControlBlock> {
        self.threads.block(id)
    }
    pub(crate) fn talk_mut(&mut self, id: ThreadId) -> Option<&mut ControlBlock> {
        self.threads.block_mut(id)
    }
    fn registers_of(&mut self, id: ThreadId) -> Option<&mut Registers> {
        self.threads.get_mut(id).map(Thread::registers_mut)
    }
    fn stage(&self, id: ThreadId) -> Stage {
        self.talk(id).map_or(Stage::Waiting, |talk| talk.stage)
    }
    fn set_stage(&mut self, id: ThreadId, stage: Stage) {
        if let Some(talk) = self.talk_mut(id) {
            talk.stage = stage;
        }
    }
    /// A thread's part in an exchange is over. It can run once it is woken, or already does.
    fn end_stage(&mut self, id: ThreadId) {
        if let Some(talk) = self.talk_mut(id)
            && talk.stage != Stage::Runnable
        {
            talk.stage = Stage::Waiting;
            // What it waited in is a system call, which the short way does not write down.
            if let Some(registers) = self.registers_of(id) {
                registers.vector = Registers::SYSCALL;
            }
        }
    }

    /// Takes the processor from a thread until the other side finishes its call.
    fn block(&mut self, id: ThreadId, stage: Stage) {
        self.threads.note_waits(id, &[], None);
        self.set_stage(id, stage);
        self.leave(id);
    }
    /// Ends a blocked thread's call with a refusal.
    fn fail(&mut self, id: ThreadId, error: Error) {
        if let Some(registers) = self.registers_of(id) {
            registers.rax = u64::from(error.0);
        }
        self.end_stage(id);
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
        self.talk(call.thread).is_some_and(|talk| talk.awaits(call))
    }
    /// Nobody will answer this call any more.
    pub(crate) fn drop_call(&mut self, call: CallId) {
        if self.is_awaited(call) {
            self.fail(call.thread, Error::PEER_GONE);
        }
    }
}
