//! Control blocks: what of each thread a message between two of them needs, in one array.
//!
//! A thread's position in it is its number. A position that no thread has is inert: it waits for nothing that could
//! come, holds no right to answer, and has no capabilities. So who finds a position in a queue or in a right to answer
//! need not ask whether there is a thread.

use crate::cap::{NodeId, SpaceId};
use crate::hw::{Frame, Space};
use crate::ipc::{CallId, EndpointId};
use crate::memory::GroupId;
use crate::mm::{Generation, Seen};
use crate::thread::{Context, State, ThreadId};
use core::num::NonZero;

/// Whether a thread can run, and if not, where it is in an exchange of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Stage {
    /// It runs, or would if it got the processor.
    Runnable,
    /// It waits for a [`crate::thread::Channel`], a deadline, or to be woken.
    #[default]
    Waiting,
    /// In the queue of callers.
    Calling { endpoint: EndpointId, via: NodeId, badge: u64 },
    /// Its call was received: there is one right to answer it, in the block of the receiver or in a slot.
    Awaiting,
    /// In the queue of receivers.
    Receiving { endpoint: EndpointId, via: NodeId },
}

/// What a thread has for messages.
#[derive(Debug)]
pub(crate) struct ControlBlock {
    pub(crate) stage: Stage,
    /// The call it received last and has not answered.
    pub(crate) holds: Option<CallId>,
    /// Which of the threads that have had this position it is, from 1 on.
    pub(crate) life: NonZero<u64>,
    /// How many capabilities it has slots for in what it waits for.
    pub(crate) room: u32,
    /// Its message buffer.
    pub(crate) buffer: Option<NonZero<u64>>,
    /// Where that is, if a long message or a capability has come through it. Its address space, as its page tables, never
    /// changes for another.
    pub(crate) seen: Option<Seen>,
    /// Its neighbours in the queue it is in.
    pub(crate) previous: Option<ThreadId>,
    pub(crate) next: Option<ThreadId>,
    /// Who pays for its time.
    pub(crate) group: GroupId,
    /// Nanoseconds that it has spent and that are on nobody's account yet (see [`crate::sched`]).
    pub(crate) owed: u64,
    /// What it can name. It never changes.
    pub(crate) space: SpaceId,
    /// The page tables of a native thread. They never change either.
    pub(crate) tables: Space,
    /// Where its registers are, for the trap code. Null if there is no thread.
    pub(crate) context: *mut Context,
}

impl ControlBlock {
    /// The block of a position that no thread has, and the life of the next one that has it.
    pub(crate) const fn inert(life: NonZero<u64>) -> Self {
        ControlBlock {
            stage: Stage::Waiting,
            holds: None,
            life,
            room: 0,
            buffer: None,
            seen: None,
            previous: None,
            next: None,
            group: GroupId::ROOT,
            owed: 0,
            space: SpaceId::NOTHING,
            tables: Space(0),
            context: core::ptr::null_mut(),
        }
    }
    /// Whether its thread waits for the answer to this call.
    pub(crate) fn awaits(&self, call: CallId) -> bool {
        self.stage == Stage::Awaiting && self.life == call.life
    }
    /// The frame of its buffer's bytes, if that is certain: it may be read and written.
    #[inline]
    pub(crate) fn frame_of_bytes(&self, now: Generation) -> Option<Frame> {
        self.seen?.bytes(now)
    }
    /// The frame of its buffer's capabilities, as certain.
    #[inline]
    pub(crate) fn frame_of_words(&self, now: Generation) -> Option<Frame> {
        self.seen?.words(now)
    }
    /// Whether its thread can run.
    pub(crate) fn state(&self) -> State {
        if self.stage == Stage::Runnable { State::Runnable } else { State::Waiting }
    }
}
