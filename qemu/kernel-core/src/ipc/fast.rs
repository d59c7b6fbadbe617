//! The short way of a message: what happens nearly always, with everything else left to the long way.
//!
//! ```text
//!   Send          its receiver waits, alone      ─► the receiver runs, with the right to answer
//!   ReplyReceive  its caller waits, nothing      ─► the caller runs, and the server waits where
//!                 else is to be received            the next message finds it
//! ```
//!
//! A message of at most 64 bytes stays in the registers: the trap code moves it, this module only says who gets it. A
//! longer one is copied here, from the frame of one buffer to the frame of the other. Each of the two functions first
//! asks its questions. The first answer that is not the usual one ends it with `None`, and nothing has changed then, not
//! even a count: the long way ([`Kernel::syscall`]) finds the call as it was made. After the last question nothing can
//! fail.
//!
//! Why each thing that the long way does may be left out:
//!
//! | left out | because |
//! |---|---|
//! | looking whether the object is there, of which kind, and which right is needed | a slot's port is only there if its capability is an endpoint's with that right, and an endpoint is there as long as anybody has a capability of it |
//! | the list of what went (`Kernel::sweep`) | no capability goes, and every system call leaves the list empty |
//! | the run queues | one party leaves the processor and the other has it at once: neither is or gets queued |
//! | looking whether the other's group is frozen or throttled | it is that of the thread which runs; parties of two groups go the long way |
//! | writing time on accounts | both parties' time goes on the account of one group. Which of the two it was spent in is taken from who runs at the next look, at the next tick at the latest |
//! | looking whether the caller still waits | there is one right to answer a call, and it goes with the call; only if the caller ends does it stay, and that is looked at |
//! | what a thread waits for (`Threads::end_waits`) | who waits in an exchange of messages waits for no channel and no deadline |
//! | walking through areas and page tables for the buffers | the long way has seen where their bytes are, and no page of any space in which it saw something has moved since ([`mm::Generation`](crate::mm)) |
//! | a copy through a buffer of the kernel | ring 3 does not run meanwhile, and if both buffers are one frame the message is there already |
//! | the process | its capabilities and page tables are written down in each of its threads and never change |

#[cfg(test)]
mod tests;

use super::CallId;
use crate::block::{ControlBlock, Stage};
use crate::hw::{Hw, Space};
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::thread::Context;
use bailiwick_abi::{Handle, MessageInfo};

/// Who runs after a message went the short way.
#[derive(Debug)]
pub struct Switch {
    /// Its context: it is in a system call that is done, and gets the message. It stays as long as its thread, which
    /// is the current one.
    pub context: *mut Context,
    /// Its page tables.
    pub tables: Space,
    /// The badge it is told.
    pub badge: u64,
}

/// What a message consists of that the short way has to see to.
#[derive(Clone, Copy)]
struct Beside {
    /// How many bytes are in the buffer,
    bytes: usize,
    /// and how many capabilities it offers room for in what comes back.
    room: u32,
}

/// Most messages have nothing of that.
const NOTHING: Beside = Beside { bytes: 0, room: 0 };

/// The room that a message offers for capabilities in what comes back; none if it is not what goes the short way.
fn room_in(block: &ControlBlock, info: MessageInfo) -> Option<u32> {
    let fits = info.is_valid() && info.capabilities() == 0 && block.buffer.is_some();
    fits.then(|| info.room() as u32)
}

/// The last question: are both buffers where they were? Then the message goes from one to the other.
#[inline(always)]
fn copy_bytes<H: Hw>(
    mem: &mut Memory<H>,
    from: &ControlBlock,
    to: &ControlBlock,
    length: usize,
) -> Option<()> {
    let (from, to) = (from.frame_of_bytes(mem.generation)?, to.frame_of_bytes(mem.generation)?);
    mem.hw.copy(from, to, length);
    Some(())
}

impl<H: Hw> Kernel<H> {
    /// The current thread sends by `handle`, with its message in the registers: at most 64 bytes, nothing beside them,
    /// and no room offered for capabilities in the answer. None: the long way.
    #[inline(always)]
    pub fn fast_send(&mut self, handle: Handle) -> Option<Switch> {
        self.hand_to_receiver(handle, NOTHING)
    }
    /// The same with a message of at most 64 bytes that may offer room.
    #[inline(always)]
    pub fn fast_send_offering(&mut self, handle: Handle, info: MessageInfo) -> Option<Switch> {
        let room = room_in(self.threads.block(self.sched.current()?)?, info)?;
        self.hand_to_receiver(handle, Beside { bytes: 0, room })
    }
    /// The same with a longer message.
    #[inline(always)]
    pub fn fast_send_long(&mut self, handle: Handle, info: MessageInfo) -> Option<Switch> {
        let room = room_in(self.threads.block(self.sched.current()?)?, info)?;
        self.hand_to_receiver(handle, Beside { bytes: info.length(), room })
    }

    /// The current thread answers the message received last and receives by `handle`, with its answer in the
    /// registers: at most 64 bytes, nothing beside them, and no room offered for capabilities. None: the long way.
    #[inline(always)]
    pub fn fast_reply_receive(&mut self, handle: Handle) -> Option<Switch> {
        self.hand_to_caller(handle, NOTHING)
    }
    /// The same with an answer of at most 64 bytes that may offer room.
    #[inline(always)]
    pub fn fast_reply_receive_offering(&mut self, handle: Handle, info: MessageInfo) -> Option<Switch> {
        let room = room_in(self.threads.block(self.sched.current()?)?, info)?;
        self.hand_to_caller(handle, Beside { bytes: 0, room })
    }
    /// The same with a longer answer.
    #[inline(always)]
    pub fn fast_reply_receive_long(&mut self, handle: Handle, info: MessageInfo) -> Option<Switch> {
        let room = room_in(self.threads.block(self.sched.current()?)?, info)?;
        self.hand_to_caller(handle, Beside { bytes: info.length(), room })
    }

    #[inline(always)]
    fn hand_to_receiver(&mut self, handle: Handle, beside: Beside) -> Option<Switch> {
        let current = self.sched.current_mut()?;
        let caller = *current;
        let blocks = self.threads.blocks_mut();
        let from = blocks.get(caller.0 as usize)?;
        let port = self.caps.port(from.space, handle)?;
        let endpoint = self.ipc.endpoints.get_mut(port.sends?.0)?;
        let receiver = endpoint.receivers.first()?;
        let to = blocks.get(receiver.0 as usize)?;
        if to.next.is_some() || to.group != from.group {
            return None;
        }
        if beside.bytes > 0 {
            copy_bytes(&mut self.mem, from, to, beside.bytes)?;
        }

        endpoint.receivers.clear();
        let from = blocks.get_mut(caller.0 as usize)?;
        from.stage = Stage::Awaiting;
        from.room = beside.room;
        let life = from.life;
        let to = blocks.get_mut(receiver.0 as usize)?;
        to.holds = Some(CallId { thread: caller, life });
        to.stage = Stage::Runnable;
        *current = receiver;
        Some(Switch { context: to.context, tables: to.tables, badge: port.badge })
    }

    #[inline(always)]
    fn hand_to_caller(&mut self, handle: Handle, beside: Beside) -> Option<Switch> {
        let current = self.sched.current_mut()?;
        let server = *current;
        let blocks = self.threads.blocks_mut();
        let from = blocks.get(server.0 as usize)?;
        let (id, via) = self.caps.port(from.space, handle)?.receives?;
        let endpoint = self.ipc.endpoints.get_mut(id.0)?;
        if !endpoint.callers.is_empty() || !endpoint.receivers.is_empty() {
            return None;
        }
        if let Some(bound) = endpoint.bound
            && self.ipc.notifications.get(bound.0)?.has_bits()
        {
            return None;
        }
        let call = from.holds?;
        let to = blocks.get(call.thread.0 as usize)?;
        // It waits for its answer, since there still is the right to give it, unless it is another thread by now.
        if to.life != call.life || to.group != from.group {
            return None;
        }
        if beside.bytes > 0 {
            copy_bytes(&mut self.mem, from, to, beside.bytes)?;
        }

        endpoint.await_message(server);
        let from = blocks.get_mut(server.0 as usize)?;
        from.holds = None;
        from.stage = Stage::Receiving { endpoint: id, via };
        from.room = beside.room;
        let to = blocks.get_mut(call.thread.0 as usize)?;
        to.stage = Stage::Runnable;
        *current = call.thread;
        Some(Switch { context: to.context, tables: to.tables, badge: 0 })
    }
}
