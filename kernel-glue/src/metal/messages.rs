//! Sending and receiving, with a thread's message buffer.

use super::sys::{self, Arrived};
use alloc::boxed::Box;
use alloc::rc::Rc;
use bailiwick_abi::{
    CAPABILITIES_MAX, Call, CapabilityWord, Error, Handle, Kind, MessageBuffer, MessageInfo, Rights,
    SMALL_MAX, Transfer, WORDS,
};
use bailiwick_protocol::frame::FrameBuffer;
use core::cell::RefCell;

/// The thread's message buffer. Clones share it. It is for the thread that made it, and stays for good: the kernel
/// knows its address.
#[derive(Clone, Debug)]
pub struct Messages {
    buffer: Rc<RefCell<&'static mut MessageBuffer>>,
}

/// A message that arrived; its bytes are in the room that was lent for them.
#[derive(Debug)]
pub(super) struct Message {
    /// Badge, or the bits of an event.
    pub(super) word: u64,
    pub(super) info: MessageInfo,
}

/// A capability that is handed over beside a message, and its badge if it gets one by that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gift {
    word: CapabilityWord,
    badge: u64,
}

impl Gift {
    /// A copy, with no more than these rights.
    pub(super) const fn copy(handle: Handle, rights: Rights) -> Self {
        Gift { word: CapabilityWord::new(handle, rights, Transfer::Copy), badge: 0 }
    }
    /// A copy with a badge.
    pub(super) const fn badged(handle: Handle, rights: Rights, badge: u64) -> Self {
        Gift { word: CapabilityWord::new(handle, rights, Transfer::Badged), badge }
    }
}

/// Capabilities that came beside a message.
pub(super) type Capabilities = heapless::Vec<(Handle, Option<Kind>), CAPABILITIES_MAX>;

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

    /// Makes a call that sends, receives or both. What arrives is put into `room`, out of reach of the next call.
    ///
    /// # Errors
    /// The kernel's reason. What was in `room` is there no more if the call was carried out.
    #[inline(always)]
    pub(super) fn exchange(
        &self,
        call: Call,
        handle: Handle,
        frame: &FrameBuffer,
        gift: Option<Gift>,
        room: &mut FrameBuffer,
    ) -> Result<Message, Error> {
        let info = self.put(frame, gift)?.with_room(CAPABILITIES_MAX);
        let Arrived { word, info, words } = self.carry(call, handle, info, frame)?;
        match info.length() {
            len @ ..=SMALL_MAX => room.set_small(sys::bytes_of(&words), len),
            _ => self.get(info, room)?,
        }
        Ok(Message { word, info })
    }

    /// Answers a call that was parked.
    pub(super) fn reply(&self, handle: Handle, frame: &FrameBuffer, gift: Option<Gift>) -> Result<(), Error> {
        let info = self.put(frame, gift)?;
        self.carry(Call::Reply, handle, info, frame).map(drop)
    }

    /// What came beside a message, until the next call.
    pub(super) fn capabilities(&self, message: &Message) -> Capabilities {
        // Only `put` and `get` borrow it otherwise, and both have returned.
        let buffer = self.buffer.try_borrow();
        let words = buffer.iter().flat_map(|buffer| &buffer.capabilities).take(message.info.capabilities());
        words.map(|word| (word.handle(), word.kind())).collect()
    }

    #[allow(unsafe_code, reason = "the kernel reads and writes the buffer")]
    #[inline]
    fn carry(
        &self,
        call: Call,
        handle: Handle,
        info: MessageInfo,
        frame: &FrameBuffer,
    ) -> Result<Arrived, Error> {
        // What is longer goes through the buffer: its beginning is in the registers as well, where nobody looks.
        let words = frame.block().map_or([0; WORDS], sys::words_of_block);
        // SAFETY: there is one thread, and no reference into the buffer outlives `put`, `get` and `capabilities`.
        unsafe { sys::message(call, handle, info, words) }
    }

    /// Puts into the buffer what does not go in registers.
    #[inline]
    fn put(&self, frame: &FrameBuffer, gift: Option<Gift>) -> Result<MessageInfo, Error> {
        if frame.len() > SMALL_MAX || gift.is_some() {
            self.put_into_buffer(frame, gift)?;
        }
        Ok(MessageInfo::new(frame.len()).with_capabilities(usize::from(gift.is_some())))
    }

    fn put_into_buffer(&self, frame: &[u8], gift: Option<Gift>) -> Result<(), Error> {
        let mut buffer = self.buffer.try_borrow_mut().map_err(|_| Error::BUSY)?;
        if frame.len() > SMALL_MAX {
            buffer.bytes.get_mut(..frame.len()).ok_or(Error::TOO_LARGE)?.copy_from_slice(frame);
        }
        if let Some(Gift { word, badge }) = gift {
            let MessageBuffer { capabilities: [first, ..], badges: [first_badge, ..], .. } = &mut **buffer;
            (*first, *first_badge) = (word, badge);
        }
        Ok(())
    }

    /// Takes a message out of the buffer that did not go in registers.
    fn get(&self, info: MessageInfo, room: &mut FrameBuffer) -> Result<(), Error> {
        let buffer = self.buffer.try_borrow().map_err(|_| Error::BUSY)?;
        room.clear();
        // A message is no longer than a frame.
        let _ = room.extend_from_slice(buffer.bytes.get(..info.length()).unwrap_or_default());
        Ok(())
    }
}
