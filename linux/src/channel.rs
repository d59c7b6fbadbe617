//! A capability as a connected socket: the client's end.

use crate::wire::{self, Room, Streams};
use bailiwick_kernel_glue::linux::Directory;
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::frame::{FRAME_MAX, FrameBuffer};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::fmt;
use std::io;

/// A capability on an object of a monitor. Dropping it gives the capability up.
#[derive(Debug)]
pub(crate) struct SocketChannel {
    socket: OwnedFd,
    /// Goes along with a request for a process with a terminal.
    console: Option<OwnedFd>,
}

/// Why a call had no answer.
#[derive(Debug)]
pub(crate) enum ChannelError {
    /// The monitor closed the connection.
    Closed,
    /// The answer is longer than a frame.
    TooLarge,
    /// The kernel's reason.
    Io(io::Error),
}
impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Closed => f.write_str("the container's monitor is gone"),
            ChannelError::TooLarge => f.write_str("the answer is longer than a frame"),
            ChannelError::Io(error) => error.fmt(f),
        }
    }
}
impl std::error::Error for ChannelError {}
impl From<rustix::io::Errno> for ChannelError {
    fn from(error: rustix::io::Errno) -> Self {
        match error {
            rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET => ChannelError::Closed,
            other => ChannelError::Io(other.into()),
        }
    }
}

impl SocketChannel {
    /// Takes the socket for a capability.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        SocketChannel { socket, console: None }
    }

    /// The same, over which processes with a terminal can be asked for, that is sent over `console`.
    pub(crate) fn with_console(self, console: Option<OwnedFd>) -> Self {
        SocketChannel { console, ..self }
    }
}

impl From<SocketChannel> for OwnedFd {
    fn from(channel: SocketChannel) -> Self {
        channel.socket
    }
}

impl Channel for SocketChannel {
    type Directory = Directory;
    type Error = ChannelError;

    fn call(
        &self,
        frame: &FrameBuffer,
        directory: Option<&Directory>,
        reply: &mut ReplyBuffer<Self>,
    ) -> Result<(), ChannelError> {
        let mut beside: Vec<BorrowedFd<'_>> = directory.iter().map(|d| d.as_fd()).collect();
        match Streams::of(frame) {
            Streams::None => {}
            Streams::Three => {
                beside.extend([rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]);
            }
            Streams::Console => beside.extend(self.console.iter().map(|console| console.as_fd())),
        }
        wire::send(self.socket.as_fd(), frame, &beside, Room::Wait)?;
        let message = wire::receive(self.socket.as_fd())?.ok_or(ChannelError::Closed)?;
        let frame = message.frame();
        if frame.len() > FRAME_MAX {
            return Err(ChannelError::TooLarge);
        }
        reply.set_frame(frame);
        for socket in message.descriptors {
            // One that finds no room is dropped here, and given up with that.
            let _ = reply.push(SocketChannel::new(socket));
        }
        Ok(())
    }
}
