//! Messages over a socket that keeps them apart (`SOCK_SEQPACKET`): a frame, and descriptors beside it.
//!
//! The directory of a request comes first. What follows is what its frame asks for as the process's streams: three
//! descriptors, or one socket over which the process's terminal is to be sent.

use bailiwick_protocol::frame::FRAME_MAX;
use bailiwick_protocol::message::{Request, Stdio};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::mem::MaybeUninit;

/// Most descriptors beside one message.
pub(crate) const DESCRIPTORS_MAX: usize = 4;
/// One byte more than a frame may have, so that a longer one is seen as such.
const ROOM: usize = FRAME_MAX + 1;

/// What stands for a process's streams beside the frame that asks for the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Streams {
    /// Nothing.
    None,
    /// Standard input, output and error.
    Three,
    /// The socket over which its terminal is to be sent.
    Console,
}

impl Streams {
    /// What a frame asks for.
    pub(crate) fn of(frame: &[u8]) -> Self {
        let stdio = match Request::decode(frame) {
            Ok((_, Request::Create(create))) => create.stdio,
            Ok((_, Request::Exec(exec))) => exec.stdio,
            _ => return Streams::None,
        };
        match stdio {
            Stdio::Inherit => Streams::Three,
            Stdio::Terminal => Streams::Console,
            Stdio::Log | Stdio::Console | Stdio::Piped => Streams::None,
        }
    }

    /// How many descriptors that are.
    pub(crate) fn count(self) -> usize {
        match self {
            Streams::None => 0,
            Streams::Three => 3,
            Streams::Console => 1,
        }
    }
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: [u8; ROOM],
    len: usize,
    /// The descriptors beside it.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// How many there were, those included that found no room.
    pub(crate) count: usize,
}

impl Message {
    /// Its frame.
    pub(crate) fn frame(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// Two ends of a new connection.
pub(crate) fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Whether a send waits for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// It waits.
    Wait,
    /// Without room it fails.
    Now,
}

/// Sends one message; at most [`DESCRIPTORS_MAX`] descriptors are copied to the receiver.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    frame: &[u8],
    descriptors: &[BorrowedFd<'_>],
    room: Room,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOBIG);
    }
    let flags = match room {
        Room::Wait => SendFlags::NOSIGNAL,
        Room::Now => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, flags).map(drop)
    })
}

/// Receives one message, waiting for it; none when the other end has closed.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> rustix::io::Result<Option<Message>> {
    take(socket, RecvFlags::empty())
}

/// Receives a message that is there already; `EAGAIN` if none is.
pub(crate) fn receive_now(socket: BorrowedFd<'_>) -> rustix::io::Result<Option<Message>> {
    take(socket, RecvFlags::DONTWAIT)
}

fn take(socket: BorrowedFd<'_>, flags: RecvFlags) -> rustix::io::Result<Option<Message>> {
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let mut message = Message { bytes: [0; ROOM], len: 0, descriptors: Vec::new(), count: 0 };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut message.bytes)];
        match rustix::net::recvmsg(socket.as_fd(), &mut slices, &mut control, flags) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            message.descriptors.extend(descriptors);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    message.len = got.bytes;
    message.count = message.descriptors.len() + usize::from(got.flags.contains(ReturnFlags::CTRUNC));
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (a, b) = pair().unwrap();
        let descriptors = [a.as_fd(), b.as_fd(), a.as_fd(), b.as_fd()];
        send(a.as_fd(), b"frame", &descriptors, Room::Wait).unwrap();
        send(a.as_fd(), b"next", &[], Room::Wait).unwrap();
        let message = receive(b.as_fd()).unwrap().unwrap();
        assert_eq!((message.frame(), message.count, message.descriptors.len()), (&b"frame"[..], 4, 4));
        assert_eq!(receive(b.as_fd()).unwrap().unwrap().frame(), b"next");
        drop((message, a));
        assert!(receive(b.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_message_longer_than_a_frame_is_seen_as_such() {
        let (a, b) = pair().unwrap();
        send(a.as_fd(), &[7; FRAME_MAX + 100], &[], Room::Wait).unwrap();
        assert_eq!(receive(b.as_fd()).unwrap().unwrap().frame().len(), FRAME_MAX + 1);
    }

    #[test]
    fn a_receiver_that_does_not_read_does_not_hold_the_sender_up() {
        let (a, _b) = pair().unwrap();
        let full = (0..100_000).find_map(|_| send(a.as_fd(), &[0; FRAME_MAX], &[], Room::Now).err());
        assert_eq!(full, Some(Errno::AGAIN));
    }
}
