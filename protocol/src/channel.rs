//! What carries frames: a kernel endpoint, a socket, or a loopback in memory.

use crate::frame::{CAPABILITIES_MAX, FRAME_MAX, FrameBuffer};

/// The receiving side of one call: the reply's bytes and the capabilities that came with them.
#[derive(Debug)]
pub struct ReplyBuffer<C> {
    frame: FrameBuffer,
    capabilities: heapless::Vec<C, CAPABILITIES_MAX>,
}

impl<C> Default for ReplyBuffer<C> {
    #[inline]
    fn default() -> Self {
        ReplyBuffer { frame: FrameBuffer::new(), capabilities: heapless::Vec::new() }
    }
}

impl<C> ReplyBuffer<C> {
    /// The reply's frame.
    #[inline]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }
    /// Where a channel puts the frame.
    #[inline]
    pub fn frame_mut(&mut self) -> &mut FrameBuffer {
        &mut self.frame
    }
    /// Makes these bytes the frame, or as many of them as a frame may have.
    pub fn set_frame(&mut self, bytes: &[u8]) {
        let fitting = &bytes[..bytes.len().min(FRAME_MAX)];
        self.frame.clear();
        // They fit.
        let _ = self.frame.extend_from_slice(fitting);
    }
    /// Adds a capability that came with the reply; gives it back if there are [`CAPABILITIES_MAX`] already.
    pub fn push(&mut self, capability: C) -> Result<(), C> {
        self.capabilities.push(capability)
    }
    /// Takes the next capability out, first come first.
    pub fn take(&mut self) -> Option<C> {
        match self.capabilities.len() {
            0 => None,
            1 => self.capabilities.pop(),
            _ => Some(self.capabilities.remove(0)),
        }
    }
    /// Empties it for the next call. Capabilities nobody took are dropped.
    pub fn clear(&mut self) {
        self.frame.clear();
        self.capabilities.clear();
    }
}

/// A capability of a client: something calls can be sent on. Dropping the value gives the capability up.
pub trait Channel: Sized {
    /// What else can be handed over beside a frame, such as a bundle's directory.
    type Directory;
    /// Why a call could not be carried (the other side is gone, the transport broke).
    type Error: core::fmt::Debug + core::fmt::Display;

    /// Sends `frame` and waits for its one reply. The directory, if given, is copied to the receiver; the
    /// caller keeps its own.
    ///
    /// # Errors
    /// The call may or may not have been carried out; no reply will come.
    fn call(
        &self,
        frame: &FrameBuffer,
        directory: Option<&Self::Directory>,
        reply: &mut ReplyBuffer<Self>,
    ) -> Result<(), Self::Error>;
}
