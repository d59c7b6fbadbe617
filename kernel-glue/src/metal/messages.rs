//! Sending and receiving, with a thread's message buffer.

use super::sys::{self, Arrived};
use alloc::boxed::Box;
use alloc::rc::Rc;
use bailiwick_abi::{
    CAPABILITIES_MAX, Call, CapabilityWord, Error, Handle, Kind, MESSAGE_MAX, MessageBuffer, MessageInfo,
    SMALL_MAX,
};
use bailiwick_protocol::frame::FrameBuffer;
use core::cell::RefCell;

/// The thread's message buffer. Clones share it. It is for the thread that made it, and stays for good: the kernel
/// knows its address.
#[derive(Clone, Debug)]
pub struct Messages {
    buffer: Rc<RefCell<&'static mut MessageBuffer>>,
}

/// A message that arrived, in the room it was copied to.
#[derive(Debug)]
pub(super) struct Message {
    /// Badge, or the bits of an event.
    pub(super) word: u64,
    pub(super) info: MessageInfo,
    pub(super) capabilities: heapless::Vec<(Handle, Option<Kind>), CAPABILITIES_MAX>,
}

impl Messages {
    /// Names a buffer to the kernel. Once for a thread: a second one takes the place of the first.
    ///
    /// # Errors
    /// The kernel's reason.
    #[allow(unsafe_code, reason = "the kernel is given the address of a buffer")]
    pub fn new() -> Result<Self, Error> {
        let buffer = Box::leak(Box::new(MessageBuffer::new()));
        // SAFETY: the buffer is never freed; `exchange` lets go of it during calls.
        unsafe { sys::set_buffer(buffer) }?;
        Ok(Messages { buffer: Rc::new(RefCell::new(buffer)) })
    }

    /// Makes a call that sends, receives or both. What arrives is copied into `room`, so that the next call cannot
    /// change it.
    pub(super) fn exchange(
        &self,
        call: Call,
        handle: Handle,
        bytes: &[u8],
        capabilities: &[CapabilityWord],
        room: &mut FrameBuffer,
    ) -> Result<Message, Error> {
        let info = self.put(bytes, capabilities)?.with_room(CAPABILITIES_MAX);
        let arrived = self.carry(call, handle, info, bytes)?;
        self.get(&arrived, room)
    }

    /// Answers a call: the one received last (handle 0), or a parked one.
    pub(super) fn reply(
        &self,
        handle: Handle,
        bytes: &[u8],
        capabilities: &[CapabilityWord],
    ) -> Result<(), Error> {
        let info = self.put(bytes, capabilities)?;
        self.carry(Call::Reply, handle, info, bytes).map(drop)
    }

    #[allow(unsafe_code, reason = "the kernel reads and writes the buffer")]
    fn carry(&self, call: Call, handle: Handle, info: MessageInfo, bytes: &[u8]) -> Result<Arrived, Error> {
        // SAFETY: there is one thread, and no reference into the buffer outlives `put` and `get`.
        unsafe { sys::message(call, handle, info, sys::words_of(bytes)) }
    }

    fn put(&self, bytes: &[u8], capabilities: &[CapabilityWord]) -> Result<MessageInfo, Error> {
        let mut buffer = self.buffer.try_borrow_mut().map_err(|_| Error::BUSY)?;
        if bytes.len() > MESSAGE_MAX || capabilities.len() > CAPABILITIES_MAX {
            return Err(Error::TOO_LARGE);
        }
        if bytes.len() > SMALL_MAX
            && let Some(room) = buffer.bytes.get_mut(..bytes.len())
        {
            room.copy_from_slice(bytes);
        }
        buffer.capabilities.iter_mut().zip(capabilities).for_each(|(to, from)| *to = *from);
        Ok(MessageInfo::new(bytes.len()).with_capabilities(capabilities.len()))
    }

    fn get(&self, arrived: &Arrived, room: &mut FrameBuffer) -> Result<Message, Error> {
        let Arrived { word, info, words } = *arrived;
        let mut message = Message { word, info, capabilities: heapless::Vec::new() };
        if info.is_event() {
            return Ok(message);
        }
        let buffer = self.buffer.try_borrow().map_err(|_| Error::BUSY)?;
        let small = sys::bytes_of(&words);
        let len = info.length().min(MESSAGE_MAX);
        let source = if len > SMALL_MAX { buffer.bytes.as_slice() } else { small.as_slice() };
        room.clear();
        // A message is no longer than a frame.
        let _ = room.extend_from_slice(source.get(..len).unwrap_or_default());
        for word in buffer.capabilities.iter().take(info.capabilities()) {
            // There is room for as many as a message can bring.
            let _ = message.capabilities.push((word.handle(), word.kind()));
        }
        Ok(message)
    }
}
