//! The short way of a message: what happens nearly always, with everything else left to the long way.
//!
//! ```text
//!   Send          its receiver waits, alone      ─► the receiver runs, with the right to answer
//!   ReplyReceive  its caller waits, nothing      ─► the caller runs, and the server waits where
//!                 else is to be received            the next message finds it
//! ```
//!
//! A message of at most 64 bytes stays in the registers: the trap code moves it, this module only says who gets it. A
//! longer one is copied here, from the frame of one buffer to the frame of the other, and capabilities beside it are handed
//! over as the long way does, all or none, by the words in those frames. Each of the two functions first
//! asks its questions. The first answer that is not the usual one ends it with [`Missed`], and nothing has changed then,
//! not even a count: the long way ([`Kernel::syscall`]) finds the call as it was made. After the last question nothing
//! can fail.
//!
//! Most messages go between parties of one group. If the groups are found to be two, the same is asked once more by a
//! function that notes the time as well ([`Kernel::send_across`], [`Kernel::reply_receive_across`]), and if that finds
//! that some group is frozen or throttled, or the message is long, by one that also looks at the other's group.
//!
//! Why each thing that the long way does may be left out:
//!
//! | left out | because |
//! |---|---|
//! | looking whether the object is there, of which kind, and which right is needed | a slot's port is only there if its capability is an endpoint's with that right, and an endpoint is there as long as anybody has a capability of it |
//! | the list of what went (`Kernel::sweep`) | no capability goes, and every system call leaves the list empty. If capabilities are handed over it is looked at |
//! | the run queues | one party leaves the processor and the other has it at once: neither is or gets queued |
//! | looking whether the other's group is frozen or throttled | it is that of the thread which runs. Of two groups, the other's chain is looked at only if some group of the machine is frozen or throttled, which is counted |
//! | writing time on accounts | both parties' time goes on the account of one group. Which of the two it was spent in is taken from who runs at the next look, at the next tick at the latest. Between two groups it is noted who has had the processor how long, which is written on accounts at that look ([`crate::sched`]) |
//! | looking whether the caller still waits | there is one right to answer a call, and it goes with the call; only if the caller ends does it stay, and that is looked at |
//! | what a thread waits for (`Threads::end_waits`) | who waits in an exchange of messages waits for no channel and no deadline |
//! | walking through areas and page tables for the buffers | the long way has seen where both their pages are, and no page of any space in which it saw something has moved since ([`mm::Generation`](crate::mm)) |
//! | a copy through a buffer of the kernel | ring 3 does not run meanwhile, and if both buffers are one frame the message is there already |
//! | the process | its capabilities and page tables are written down in each of its threads and never change |

#[cfg(test)]
mod tests;

use super::CallId;
use crate::block::{ControlBlock, Stage};
use crate::cap::{Capabilities, Offer, Port, Wanted};
use crate::group;
use crate::hw::{Frame, Hw, PAGE, Space};
use crate::kernel::Kernel;
use crate::memory::HEAP_RESERVE;
use crate::memory::Memory;
use crate::sched::Holding;
use crate::thread::Context;
use bailiwick_abi::{
    BUFFER_BADGES, BUFFER_CAPABILITIES, CAPABILITIES_MAX, CapabilityWord, Handle, MessageInfo, SMALL_MAX,
};

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

/// Why a message did not go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    /// So far nothing stands against it, but that the other is of another group.
    TwoGroups,
    /// It must go the long way.
    Otherwise,
}

/// Of which groups the two may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Groups {
    /// Of one.
    One,
    /// Of any two, if every group of the machine lets its threads run.
    AllOfWhichRun,
    /// Of any two.
    Any,
}

impl Groups {
    /// The question of groups: may the other run, and can the time of the one that is left be noted?
    #[inline(always)]
    fn ask(
        self,
        holding: &mut Holding<'_>,
        all: &group::Groups,
        from: &ControlBlock,
        to: &ControlBlock,
    ) -> Result<(), Missed> {
        match self {
            Groups::One if to.group == from.group => Ok(()),
            Groups::AllOfWhichRun if holding.all_may_run(all) && holding.may_owe(from.owed) => Ok(()),
            Groups::One | Groups::AllOfWhichRun => Err(Missed::TwoGroups),
            Groups::Any if holding.may_pass_to(all, to.group) && holding.may_owe(from.owed) => Ok(()),
            Groups::Any => Err(Missed::Otherwise),
        }
    }
    /// Whether the time until now goes on another account than the time from now on.
    #[inline(always)]
    fn pay(self) -> bool {
        self != Groups::One
    }
}

/// The room that a message offers for capabilities in what comes back; none if it is not what goes the short way.
#[inline]
fn room_in(block: &ControlBlock, info: MessageInfo) -> Option<u32> {
    (info.is_valid() && block.buffer.is_some()).then(|| info.room() as u32)
}
/// The same for a message of at most 64 bytes.
#[inline]
fn room_in_small(block: &ControlBlock, info: MessageInfo) -> Option<u32> {
    let room = info.room();
    let fits = info.is_small() && room <= CAPABILITIES_MAX && (room == 0 || block.buffer.is_some());
    fits.then_some(room as u32)
}

/// The same for one of at most 64 bytes with one capability. Whether there is a buffer is asked where that is looked for.
#[inline]
fn room_beside_one(info: MessageInfo) -> Option<u32> {
    let room = info.room();
    (info.is_small_with_one() && room <= CAPABILITIES_MAX).then_some(room as u32)
}

/// Two parties, and what it takes to bring from the buffer of the one to that of the other what is not in registers.
struct Buffers<'a, H: Hw> {
    mem: &'a mut Memory<H>,
    caps: &'a mut Capabilities,
    from: &'a ControlBlock,
    to: &'a ControlBlock,
}

/// The last questions, and what is not in registers. None if it cannot go over; nothing has changed then.
trait Last {
    fn go_over<H: Hw>(self, buffers: Buffers<'_, H>) -> Option<()>;
}

/// All of the message is in registers.
struct InRegisters;
impl Last for InRegisters {
    #[inline(always)]
    fn go_over<H: Hw>(self, _: Buffers<'_, H>) -> Option<()> {
        Some(())
    }
}

/// So many bytes are in the buffer. Are both buffers where they were?
struct Bytes(usize);
impl Last for Bytes {
    #[inline(always)]
    fn go_over<H: Hw>(self, buffers: Buffers<'_, H>) -> Option<()> {
        let (from, to) = buffers.bytes()?;
        buffers.mem.hw.copy(from, to, self.0);
        Some(())
    }
}

/// All of the message is in registers, but for one capability. Can it be handed over?
struct OneCapability;
impl Last for OneCapability {
    #[inline(always)]
    fn go_over<H: Hw>(self, mut buffers: Buffers<'_, H>) -> Option<()> {
        buffers.may_transfer(1)?;
        buffers.transfer_one()
    }
}

/// Any message. Are both buffers where they were, and can the capabilities be handed over?
struct Anything(MessageInfo);
impl Last for Anything {
    #[inline(always)]
    fn go_over<H: Hw>(self, mut buffers: Buffers<'_, H>) -> Option<()> {
        let bytes = if self.0.length() > SMALL_MAX { Some(buffers.bytes()?) } else { None };
        let count = self.0.capabilities();
        if count > 0 {
            buffers.may_transfer(count)?;
            buffers.transfer(count)?;
        }
        if let Some((from, to)) = bytes {
            buffers.mem.hw.copy(from, to, self.0.length());
        }
        Some(())
    }
}

impl<H: Hw> Buffers<'_, H> {
    /// The frames of the bytes.
    #[inline(always)]
    fn bytes(&self) -> Option<(Frame, Frame)> {
        let now = self.mem.generation;
        Some((self.from.frame_of_bytes(now)?, self.to.frame_of_bytes(now)?))
    }
    /// Whether the receiver offers room for so many capabilities, and the kernel has room for them.
    #[inline(always)]
    fn may_transfer(&self, count: usize) -> Option<()> {
        (count <= self.to.room as usize && self.mem.hw.heap_free() >= HEAP_RESERVE).then_some(())
    }
    /// The frames of the capabilities' words.
    #[inline(always)]
    fn words(&self) -> Option<(Frame, Frame)> {
        let now = self.mem.generation;
        Some((self.from.frame_of_words(now)?, self.to.frame_of_words(now)?))
    }
    #[inline(always)]
    fn transfer_one(&mut self) -> Option<()> {
        let (from, to) = self.words()?;
        let page = self.mem.bytes(from);
        let badge = || badge_at(page, 0);
        let spaces = (self.from.space, self.to.space);
        let passed = self.caps.transfer_one(spaces, word_at(page, 0), badge).ok()?;
        set_word(self.mem.bytes_mut(to), 0, passed);
        Some(())
    }
    #[inline(always)]
    fn transfer(&mut self, count: usize) -> Option<()> {
        let (from, to) = self.words()?;
        let page = self.mem.bytes(from);
        let offer = |at| Offer { word: word_at(page, at), badge: badge_at(page, at) };
        let wanted: Wanted = (0..count).map(offer).collect();
        let passed = self.caps.transfer(self.from.space, self.to.space, &wanted).ok()?;
        let page = self.mem.bytes_mut(to);
        passed.iter().enumerate().for_each(|(at, word)| set_word(page, at, *word));
        Some(())
    }
}

/// A number in a page of a buffer, by its position in the page's numbers.
#[inline(always)]
fn number_at(page: &[u8; PAGE], at: usize) -> u64 {
    page.as_chunks().0.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
/// A word of a capability in the page of a buffer where those are.
#[inline(always)]
fn word_at(page: &[u8; PAGE], at: usize) -> CapabilityWord {
    CapabilityWord { handle: number_at(page, at * 2), details: number_at(page, at * 2 + 1) }
}
/// The badge for it.
#[inline(always)]
fn badge_at(page: &[u8; PAGE], at: usize) -> u64 {
    number_at(page, (BUFFER_BADGES - BUFFER_CAPABILITIES) as usize / 8 + at)
}
#[inline(always)]
fn set_word(page: &mut [u8; PAGE], at: usize, word: CapabilityWord) {
    let (numbers, _) = page.as_chunks_mut();
    if let Some([handle, details]) = numbers.get_mut(at * 2..at * 2 + 2) {
        (*handle, *details) = (word.handle.to_le_bytes(), word.details.to_le_bytes());
    }
}

impl<H: Hw> Kernel<H> {
    /// The current thread sends by `handle`, with its message in the registers: at most 64 bytes, nothing beside them,
    /// and no room offered for capabilities in the answer.
    ///
    /// # Errors
    /// [`Missed`]; nothing has changed then.
    #[inline(always)]
    pub fn fast_send(&mut self, handle: Handle) -> Result<Switch, Missed> {
        self.hand_to_receiver(handle, 0, Groups::One, InRegisters)
    }
    /// The same with a message of at most 64 bytes that may offer room.
    ///
    /// # Errors
    /// As [`Kernel::fast_send`].
    #[inline(always)]
    pub fn fast_send_offering(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = self.room_in_small(info)?;
        self.hand_to_receiver(handle, room, Groups::One, InRegisters)
    }
    /// The same with a longer message, without capabilities.
    ///
    /// # Errors
    /// As [`Kernel::fast_send`].
    #[inline(always)]
    pub fn fast_send_long(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = self.room_in(info)?;
        if info.capabilities() > 0 {
            return Err(Missed::Otherwise);
        }
        self.hand_to_receiver(handle, room, Groups::One, Bytes(info.length()))
    }
    /// The same with one capability and at most 64 bytes.
    ///
    /// # Errors
    /// As [`Kernel::fast_send`].
    #[inline(always)]
    pub fn fast_send_capability(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = room_beside_one(info).ok_or(Missed::Otherwise)?;
        let switch = self.hand_to_receiver(handle, room, Groups::One, OneCapability);
        self.after(switch)
    }
    /// As [`Kernel::fast_send_offering`], whatever groups the two are of, if every group of the machine lets its threads
    /// run.
    ///
    /// # Errors
    /// As [`Kernel::fast_send`].
    #[inline(always)]
    pub fn send_across(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = self.room_in_small(info)?;
        self.hand_to_receiver(handle, room, Groups::AllOfWhichRun, InRegisters)
    }
    /// The same with any message, also with capabilities, whatever groups the two are of.
    ///
    /// # Errors
    /// [`Missed::Otherwise`]; nothing has changed then.
    #[inline(always)]
    pub fn send_any(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = if info.is_small() { self.room_in_small(info)? } else { self.room_in(info)? };
        let switch = self.hand_to_receiver(handle, room, Groups::Any, Anything(info));
        self.after(switch)
    }

    /// The current thread answers the message received last and receives by `handle`, with its answer in the
    /// registers: at most 64 bytes, nothing beside them, and no room offered for capabilities.
    ///
    /// # Errors
    /// [`Missed`]; nothing has changed then.
    #[inline(always)]
    pub fn fast_reply_receive(&mut self, handle: Handle) -> Result<Switch, Missed> {
        self.hand_to_caller(handle, 0, Groups::One, InRegisters)
    }
    /// The same with an answer of at most 64 bytes that may offer room.
    ///
    /// # Errors
    /// As [`Kernel::fast_reply_receive`].
    #[inline(always)]
    pub fn fast_reply_receive_offering(
        &mut self,
        handle: Handle,
        info: MessageInfo,
    ) -> Result<Switch, Missed> {
        let room = self.room_in_small(info)?;
        self.hand_to_caller(handle, room, Groups::One, InRegisters)
    }
    /// The same with a longer answer, without capabilities.
    ///
    /// # Errors
    /// As [`Kernel::fast_reply_receive`].
    #[inline(always)]
    pub fn fast_reply_receive_long(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = self.room_in(info)?;
        if info.capabilities() > 0 {
            return Err(Missed::Otherwise);
        }
        self.hand_to_caller(handle, room, Groups::One, Bytes(info.length()))
    }
    /// The same with one capability and at most 64 bytes.
    ///
    /// # Errors
    /// As [`Kernel::fast_reply_receive`].
    #[inline(always)]
    pub fn fast_reply_receive_capability(
        &mut self,
        handle: Handle,
        info: MessageInfo,
    ) -> Result<Switch, Missed> {
        let room = room_beside_one(info).ok_or(Missed::Otherwise)?;
        let switch = self.hand_to_caller(handle, room, Groups::One, OneCapability);
        self.after(switch)
    }
    /// As [`Kernel::fast_reply_receive_offering`], whatever groups the two are of, if every group of the machine lets its
    /// threads run.
    ///
    /// # Errors
    /// As [`Kernel::fast_reply_receive`].
    #[inline(always)]
    pub fn reply_receive_across(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = self.room_in_small(info)?;
        self.hand_to_caller(handle, room, Groups::AllOfWhichRun, InRegisters)
    }
    /// The same with any answer, also with capabilities, whatever groups the two are of.
    ///
    /// # Errors
    /// [`Missed::Otherwise`]; nothing has changed then.
    #[inline(always)]
    pub fn reply_receive_any(&mut self, handle: Handle, info: MessageInfo) -> Result<Switch, Missed> {
        let room = if info.is_small() { self.room_in_small(info)? } else { self.room_in(info)? };
        let switch = self.hand_to_caller(handle, room, Groups::Any, Anything(info));
        self.after(switch)
    }

    #[inline(always)]
    fn room_in_small(&self, info: MessageInfo) -> Result<u32, Missed> {
        let block = self.sched.current().and_then(|id| self.threads.block(id));
        block.and_then(|block| room_in_small(block, info)).ok_or(Missed::Otherwise)
    }
    #[inline(always)]
    fn room_in(&self, info: MessageInfo) -> Result<u32, Missed> {
        let block = self.sched.current().and_then(|id| self.threads.block(id));
        block.and_then(|block| room_in(block, info)).ok_or(Missed::Otherwise)
    }
    /// What went because a capability was moved: who loses `READ` on its way receives no more.
    #[inline(always)]
    fn after(&mut self, switch: Result<Switch, Missed>) -> Result<Switch, Missed> {
        if switch.is_ok() && self.caps.has_gone() {
            self.sweep_all();
        }
        switch
    }

    #[inline(always)]
    fn hand_to_receiver(
        &mut self,
        handle: Handle,
        room: u32,
        groups: Groups,
        last: impl Last,
    ) -> Result<Switch, Missed> {
        self.pass_to_receiver(handle, room, groups, last).unwrap_or(Err(Missed::Otherwise))
    }
    /// None is [`Missed::Otherwise`].
    #[inline(always)]
    fn pass_to_receiver(
        &mut self,
        handle: Handle,
        room: u32,
        groups: Groups,
        last: impl Last,
    ) -> Option<Result<Switch, Missed>> {
        let mut holding = self.sched.holding()?;
        let caller = holding.thread();
        let blocks = self.threads.blocks_mut();
        let from = blocks.get(caller.0 as usize)?;
        let &Port { sends, badge, .. } = self.caps.port(from.space, handle)?;
        let endpoint = self.ipc.endpoints.get_mut(sends?.0)?;
        let receiver = endpoint.receivers.first()?;
        let to = blocks.get(receiver.0 as usize)?;
        if to.next.is_some() {
            return None;
        }
        if let Err(missed) = groups.ask(&mut holding, &self.groups, from, to) {
            return Some(Err(missed));
        }
        last.go_over(Buffers { mem: &mut self.mem, caps: &mut self.caps, from, to })?;

        endpoint.receivers.clear();
        let from = blocks.get_mut(caller.0 as usize)?;
        from.stage = Stage::Awaiting;
        from.room = room;
        if groups.pay() {
            from.owed += holding.spend(self.mem.hw.now());
        }
        let life = from.life;
        let to = blocks.get_mut(receiver.0 as usize)?;
        to.holds = Some(CallId { thread: caller, life });
        to.stage = Stage::Runnable;
        holding.pass_to(receiver);
        Some(Ok(Switch { context: to.context, tables: to.tables, badge }))
    }

    #[inline(always)]
    fn hand_to_caller(
        &mut self,
        handle: Handle,
        room: u32,
        groups: Groups,
        last: impl Last,
    ) -> Result<Switch, Missed> {
        self.pass_to_caller(handle, room, groups, last).unwrap_or(Err(Missed::Otherwise))
    }
    /// None is [`Missed::Otherwise`].
    #[inline(always)]
    fn pass_to_caller(
        &mut self,
        handle: Handle,
        room: u32,
        groups: Groups,
        last: impl Last,
    ) -> Option<Result<Switch, Missed>> {
        let mut holding = self.sched.holding()?;
        let server = holding.thread();
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
        if to.life != call.life {
            return None;
        }
        if let Err(missed) = groups.ask(&mut holding, &self.groups, from, to) {
            return Some(Err(missed));
        }
        last.go_over(Buffers { mem: &mut self.mem, caps: &mut self.caps, from, to })?;

        endpoint.await_message(server);
        let from = blocks.get_mut(server.0 as usize)?;
        from.holds = None;
        from.stage = Stage::Receiving { endpoint: id, via };
        from.room = room;
        if groups.pay() {
            from.owed += holding.spend(self.mem.hw.now());
        }
        let to = blocks.get_mut(call.thread.0 as usize)?;
        to.stage = Stage::Runnable;
        holding.pass_to(call.thread);
        Some(Ok(Switch { context: to.context, tables: to.tables, badge: 0 }))
    }
}
