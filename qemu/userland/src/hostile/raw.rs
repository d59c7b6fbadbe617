//! Messages as no library would send them, and threads.
#![allow(unsafe_code, reason = "a message is an instruction, a thread begins at an address")]

use crate::sys;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_abi::{
    CAPABILITIES_MAX, Call, CapabilityWord, Error, Handle, MessageBuffer, MessageInfo, SMALL_MAX, WORDS,
};
use bailiwick_kernel_glue::metal::raw;

/// A message buffer that is the program's to spoil.
pub(super) struct Buffer(*mut MessageBuffer);

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// The message.
    pub(super) bytes: Vec<u8>,
    /// How many capabilities came beside it; they are deleted.
    pub(super) capabilities: usize,
}

/// The badge of the manager's first capability, for whatever gets one as it is handed on.
const SOMEBODYS: u64 = 1 << 32;

impl Buffer {
    /// The thread's buffer from now on.
    pub(super) fn new() -> Result<Buffer, Error> {
        let badges = [SOMEBODYS; CAPABILITIES_MAX];
        let buffer = Box::into_raw(Box::new(MessageBuffer { badges, ..MessageBuffer::new() }));
        // SAFETY: it is never freed, and touched between calls only.
        unsafe { raw::set_buffer(buffer) }?;
        Ok(Buffer(buffer))
    }

    /// Where it is.
    pub(super) fn address(&self) -> u64 {
        self.0 as u64
    }

    /// Writes as many bytes and capabilities as the buffer has room for.
    pub(super) fn fill(&mut self, bytes: &[u8], capabilities: &[CapabilityWord]) {
        // SAFETY: it lives, and no call is under way.
        let buffer = unsafe { &mut *self.0 };
        buffer.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        buffer.capabilities.iter_mut().zip(capabilities).for_each(|(to, from)| *to = *from);
    }

    /// Sends what the buffer holds, with this word about it, true or not. Capabilities that come back are deleted.
    pub(super) fn send(&mut self, to: Handle, info: MessageInfo) -> Result<Answer, Error> {
        // SAFETY: nobody has a reference into the buffer.
        let bytes = unsafe { (*self.0).bytes };
        // SAFETY: as before.
        let arrived = unsafe { raw::message(Call::Send, to, info, raw::words_of(&bytes)) }?;
        let (length, capabilities) = (arrived.info.length(), arrived.info.capabilities());
        // SAFETY: as before.
        let buffer = unsafe { *self.0 };
        buffer.capabilities.iter().take(capabilities).for_each(|word| sys::delete(word.handle()));
        let small = arrived.words.map(u64::to_le_bytes);
        let source = if length > SMALL_MAX { buffer.bytes.as_slice() } else { small.as_flattened() };
        Ok(Answer { bytes: source.get(..length).unwrap_or_default().to_vec(), capabilities })
    }

    /// Sends bytes and capabilities as they should be, with room for what comes back.
    pub(super) fn exchange(
        &mut self,
        to: Handle,
        bytes: &[u8],
        capabilities: &[CapabilityWord],
    ) -> Result<Answer, Error> {
        self.fill(bytes, capabilities);
        let info = MessageInfo::new(bytes.len()).with_capabilities(capabilities.len());
        self.send(to, info.with_room(CAPABILITIES_MAX))
    }
}

/// Sends bytes that fit registers, without a buffer. True if there was an answer.
pub(super) fn send_small(to: Handle, bytes: &[u8]) -> bool {
    let info = MessageInfo::new(bytes.len());
    // SAFETY: threads that do this have named no buffer.
    unsafe { raw::message(Call::Send, to, info, raw::words_of(bytes)) }.is_ok()
}

/// Sends or receives with this word about the message and without caring what comes. A thread that has named no buffer
/// gets none.
pub(super) fn message(call: Call, handle: Handle, info: MessageInfo) -> Result<(), Error> {
    // SAFETY: nobody has a reference into the thread's buffer, if it has one.
    unsafe { raw::message(call, handle, info, [0; WORDS]) }.map(drop)
}

/// A call with any number and any arguments that is no message, or is refused. What it does to memory that it is given is what is tried.
pub(super) fn any(call: Call, args: &[u64]) -> Result<[u64; 3], Error> {
    // SAFETY: callers pass addresses that lead to nothing of theirs, or to memory that is used for nothing else.
    unsafe { sys::call(call, args) }
}

/// Bytes of a thread's stack.
const STACK: usize = 16 << 10;

/// Starts a thread. It must allocate nothing: the heap is for one thread.
pub(super) fn thread(run: extern "sysv64" fn(u64) -> !, argument: u64) -> Result<(), Error> {
    let stack = sys::allocate(STACK)?;
    // As if it had been called: 8 bytes below a multiple of 16.
    let top = (stack + STACK - 8) as u64;
    any(Call::ThreadCreate, &[run as *const () as u64, top, argument]).map(drop)
}

/// Ends a thread.
pub(super) fn thread_exit() -> ! {
    loop {
        let _ = any(Call::ThreadExit, &[]);
    }
}

/// Numbers that look random and are the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// The next number.
    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    /// Fills a room with it.
    pub(super) fn fill(&mut self, room: &mut [u8]) {
        for chunk in room.chunks_mut(8) {
            let bytes = self.roll().to_le_bytes();
            chunk.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        }
    }
}
