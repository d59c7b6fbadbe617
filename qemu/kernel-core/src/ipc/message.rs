//! Copying a message from one thread to another: all of it or nothing.

use crate::block::ControlBlock;
use crate::cap::{Offer, Passed, SpaceId, Wanted};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::ns::ProcessId;
use crate::thread::{Registers, ThreadId};
use bailiwick_abi::{
    BUFFER_BADGES, BUFFER_CAPABILITIES, CapabilityWord, Error, MessageInfo, SMALL_MAX, WORDS,
};

/// Whose fault it is that a message cannot go over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Sender(Error),
    Receiver(Error),
}

/// Bytes of a [`CapabilityWord`] in memory.
const WORD_BYTES: usize = 16;

fn words_of(registers: &Registers) -> [u64; WORDS] {
    let r = registers;
    [r.rdx, r.r8, r.r9, r.r10, r.r12, r.r13, r.r14, r.r15]
}

/// Gives a thread the registers of a message. Words beyond its end are 0.
fn set_words(registers: &mut Registers, words: [u64; WORDS]) {
    let r = registers;
    [r.rdx, r.r8, r.r9, r.r10, r.r12, r.r13, r.r14, r.r15] = words;
}

impl<H: Hw> Kernel<H> {
    /// Copies a message with its capabilities and sets the receiver's registers. Its `rdi` is the badge.
    pub(super) fn copy_message(
        &mut self,
        from: ThreadId,
        to: ThreadId,
        info: MessageInfo,
        badge: u64,
    ) -> Result<(), Fault> {
        let mut words = [0; WORDS];
        if info.length() <= SMALL_MAX {
            let sent = self.threads.get(from).map(|thread| words_of(thread.registers())).unwrap_or_default();
            let used = info.length().div_ceil(8);
            words.iter_mut().zip(sent).take(used).for_each(|(to, from)| *to = from);
        }
        if info.length() > SMALL_MAX || info.capabilities() > 0 {
            self.copy_large(from, to, info)?;
        }
        if let Some(registers) = self.registers_of(to) {
            registers.rax = 0;
            registers.rdi = badge;
            registers.rsi = MessageInfo::new(info.length()).with_capabilities(info.capabilities()).0;
            set_words(registers, words);
        }
        Ok(())
    }

    /// The part of a message that is in the buffers. Both buffers are looked at before anything is changed.
    fn copy_large(&mut self, from: ThreadId, to: ThreadId, info: MessageInfo) -> Result<(), Fault> {
        let (sender, source) = self.buffer_of(from).ok_or(Fault::Sender(Error::BAD_ADDRESS))?;
        // Who named no buffer takes small messages only: nobody can trouble it with others.
        let (receiver, target) = self.buffer_of(to).ok_or(Fault::Sender(Error::TOO_LARGE))?;
        let room = self.talk(to).map_or(0, |talk| talk.room);
        if info.capabilities() > room as usize {
            return Err(Fault::Sender(Error::TOO_LARGE));
        }
        let length = if info.length() > SMALL_MAX { info.length() } else { 0 };
        self.take_bytes(sender, source, length).map_err(Fault::Sender)?;
        let wanted = self.wanted(sender, source, info.capabilities()).map_err(Fault::Sender)?;
        for (address, length) in [(target, length), (target + BUFFER_CAPABILITIES, wanted.len() * WORD_BYTES)]
        {
            let reach = |k: &mut Self| {
                k.with_memory(receiver, |space, s| space.reach(s, address, length, Access::Write))
            };
            if reach(self) != Some(length) {
                return Err(Fault::Receiver(Error::BAD_ADDRESS));
            }
        }
        let passed = self.pass(sender, receiver, &wanted).map_err(Fault::Sender)?;
        // Nothing can have changed since the buffers were looked at.
        self.give_bytes(receiver, target, length);
        self.give_words(receiver, target, &passed);
        self.see_buffer(from, info);
        self.see_buffer(to, info);
        Ok(())
    }

    /// Writes down where a thread's buffer is, for the short way of the next message like this one; if that is not known.
    fn see_buffer(&mut self, id: ThreadId, info: MessageInfo) {
        let Some((process, address)) = self.buffer_of(id) else { return };
        let now = self.mem.generation;
        let is_known = |talk: &ControlBlock| {
            (info.length() <= SMALL_MAX || talk.frame_of_bytes(now).is_some())
                && (info.capabilities() == 0 || talk.frame_of_words(now).is_some())
        };
        if self.talk(id).is_some_and(is_known) {
            return;
        }
        let seen = self.with_memory(process, |space, s| space.see(s, address));
        if let Some(talk) = self.talk_mut(id) {
            talk.seen = seen;
        }
    }

    fn buffer_of(&self, id: ThreadId) -> Option<(ProcessId, u64)> {
        Some((self.threads.get(id)?.process, self.talk(id)?.buffer?.get()))
    }
    fn space_of(&self, process: ProcessId) -> Option<SpaceId> {
        self.processes.get(process)?.native().map(|native| native.space)
    }

    fn take_bytes(&mut self, process: ProcessId, address: u64, length: usize) -> Result<(), Error> {
        let mut bytes = core::mem::take(&mut self.ipc.bytes);
        let copied = bytes.get_mut(..length).and_then(|buffer| {
            self.with_memory(process, |space, s| space.read(s, address, buffer)).and_then(Result::ok)
        });
        self.ipc.bytes = bytes;
        copied.ok_or(Error::BAD_ADDRESS)
    }
    fn give_bytes(&mut self, process: ProcessId, address: u64, length: usize) {
        let bytes = core::mem::take(&mut self.ipc.bytes);
        if let Some(bytes) = bytes.get(..length) {
            let _ = self.with_memory(process, |space, s| space.write(s, address, bytes));
        }
        self.ipc.bytes = bytes;
    }

    fn wanted(&mut self, process: ProcessId, address: u64, count: usize) -> Result<Wanted, Error> {
        let mut wanted = Wanted::new();
        for at in 0..count {
            let word = address + BUFFER_CAPABILITIES + (at * WORD_BYTES) as u64;
            let badge = address + BUFFER_BADGES + (at * 8) as u64;
            let offer = self.with_memory(process, |space, s| {
                let mut number = |address| space.read_u64(s, address).ok();
                let word = CapabilityWord { handle: number(word)?, details: number(word + 8)? };
                Some(Offer { word, badge: number(badge)? })
            });
            let _ = wanted.push(offer.flatten().ok_or(Error::BAD_ADDRESS)?);
        }
        Ok(wanted)
    }
    fn give_words(&mut self, process: ProcessId, address: u64, passed: &Passed) {
        for (at, word) in passed.iter().enumerate() {
            let address = address + BUFFER_CAPABILITIES + (at * WORD_BYTES) as u64;
            let _ = self.with_memory(process, |space, s| {
                let _ = space.write(s, address, &word.handle.to_le_bytes());
                space.write(s, address + 8, &word.details.to_le_bytes())
            });
        }
    }
    fn pass(&mut self, from: ProcessId, to: ProcessId, wanted: &Wanted) -> Result<Passed, Error> {
        if wanted.is_empty() {
            return Ok(Passed::new());
        }
        self.room().map_err(|errno| Error(errno.0))?;
        let from = self.space_of(from).ok_or(Error::GONE)?;
        let to = self.space_of(to).ok_or(Error::GONE)?;
        self.caps.transfer(from, to, wanted)
    }

    /// Tells a thread in the queue of receivers, or one that is about to be, of an event.
    pub(super) fn give_event(&mut self, to: ThreadId, bits: u64) {
        if let Some(registers) = self.registers_of(to) {
            registers.rax = 0;
            registers.rdi = bits;
            registers.rsi = MessageInfo::event().0;
        }
        self.end_stage(to);
    }
}
