//! The client's side: a capability on an endpoint as a [`Channel`].

use super::messages::{Gift, Message, Messages};
use super::sys;
use bailiwick_abi::{Call, Error, Handle, Kind, Rights};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::frame::{FrameBuffer, Tag};
use bailiwick_protocol::message::Request;

/// A directory capability that this process holds. Dropping it gives it up.
#[derive(Debug)]
pub struct Directory(Handle);

impl Directory {
    /// Takes the handle over.
    pub const fn new(handle: Handle) -> Self {
        Directory(handle)
    }
    /// The handle, which stays the directory's.
    pub const fn handle(&self) -> Handle {
        self.0
    }
}
impl Drop for Directory {
    fn drop(&mut self) {
        sys::delete(self.0);
    }
}

/// A capability on one of the manager's objects. Dropping it tells the manager and gives it up.
#[derive(Debug)]
pub struct EndpointChannel {
    messages: Messages,
    handle: Handle,
}

impl EndpointChannel {
    /// Takes the handle over.
    pub const fn new(messages: Messages, handle: Handle) -> Self {
        EndpointChannel { messages, handle }
    }
    /// The handle, which stays the channel's.
    pub const fn handle(&self) -> Handle {
        self.handle
    }
    /// The handle, to hand the capability on: the manager is not told, and it is the caller's to delete.
    pub fn into_handle(self) -> Handle {
        core::mem::ManuallyDrop::new(self).handle
    }
}

impl Channel for EndpointChannel {
    type Directory = Directory;
    type Error = Error;

    #[inline(always)]
    fn call(
        &self,
        frame: &FrameBuffer,
        directory: Option<&Directory>,
        reply: &mut ReplyBuffer<Self>,
    ) -> Result<(), Error> {
        let rights = Rights::READ.with(Rights::EXECUTE).with(Rights::WRITE).with(Rights::GRANT);
        let gift = directory.map(|directory| Gift::copy(directory.0, rights));
        let room = reply.frame_mut();
        let message = self.messages.exchange(Call::Send, self.handle, frame, gift, room)?;
        if message.info.capabilities() > 0 {
            self.take(&message, reply);
        }
        Ok(())
    }
}

impl EndpointChannel {
    /// Puts what came beside an answer with it.
    #[cold]
    fn take(&self, message: &Message, reply: &mut ReplyBuffer<Self>) {
        for (handle, kind) in self.messages.capabilities(message) {
            if kind == Some(Kind::Endpoint) {
                // One that finds no room is dropped here, and given up with that.
                let _ = reply.push(EndpointChannel::new(self.messages.clone(), handle));
            } else {
                sys::delete(handle);
            }
        }
    }
}

impl Drop for EndpointChannel {
    fn drop(&mut self) {
        let (mut frame, mut room) = (FrameBuffer::new(), FrameBuffer::new());
        if Request::Drop.encode_in(Tag(0), &mut frame).is_ok() {
            // It may have been revoked, or the manager be gone: then there is nothing to give up.
            let _ = self.messages.exchange(Call::Send, self.handle, &frame, None, &mut room);
        }
        sys::delete(self.handle);
    }
}
