//! The talk between the server and a process that is on its way to become a container's.
//!
//! One socket that keeps messages apart. It closes by itself when the process executes its program or ends, and when
//! the server ends: neither waits for the other in vain.

use super::fault::{Context, Fault, Outcome};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno as Raw, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};

/// Longest message. Two paths of `PATH_MAX` and a sentence fit.
const MESSAGE_MAX: usize = 16 * 1024;
/// Longest sentence of a fault.
const WHAT_MAX: usize = 2000;

/// From the new process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// A helper has made the process proper; its descriptor comes along.
    Spawned { pid: u32 },
    /// It has come to this step, a hook that runs on the server's side, and waits.
    Hook { step: u16 },
    /// It waits at the gate.
    Prepared { pivot: Option<(String, String)> },
    /// A step failed; it ends now.
    Fault { step: Option<u16>, errno: u16, what: String },
}

/// To the new process: go on. It learns its number as the host has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Go {
    pub(super) pid: u32,
}

/// Both ends.
pub(super) fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context(|| "make a control socket".into())
}

/// Sends one message.
pub(super) fn send(socket: BorrowedFd<'_>, message: &impl Serialize) -> Outcome<()> {
    let bytes = encode(message)?;
    rustix::io::retry_on_intr(|| rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL))
        .map(drop)
        .context(|| "write to the control socket".into())
}

/// Tells that step `step` failed. Best effort: if the server is gone nobody listens.
pub(super) fn send_fault(socket: BorrowedFd<'_>, step: Option<u16>, fault: Fault) {
    let mut what = fault.what;
    if what.len() > WHAT_MAX {
        let end = (0..=WHAT_MAX).rev().find(|i| what.is_char_boundary(*i)).unwrap_or(0);
        what.truncate(end);
    }
    let _ = send(socket, &Told::Fault { step, errno: fault.errno.0, what });
}

/// Tells that the process proper was made, and hands its descriptor over.
pub(super) fn send_spawned(socket: BorrowedFd<'_>, pid: u32, pidfd: BorrowedFd<'_>) -> Outcome<()> {
    let bytes = encode(&Told::Spawned { pid })?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [pidfd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Fault::new(Errno::EMFILE, "no room for a descriptor beside a message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .context(|| "write to the control socket".into())
}

fn encode(message: &impl Serialize) -> Outcome<Vec<u8>> {
    match postcard::to_allocvec(message) {
        Ok(bytes) if bytes.len() <= MESSAGE_MAX => Ok(bytes),
        _ => Err(Fault::new(Errno::E2BIG, "a message between server and container is too long")),
    }
}

/// Receives one message and the descriptor beside it; none when the other end has closed.
pub(super) fn receive<T: for<'de> Deserialize<'de>>(
    socket: BorrowedFd<'_>,
) -> Outcome<Option<(T, Option<OwnedFd>)>> {
    let mut bytes = [0u8; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Raw::INTR) => {}
            Err(Raw::CONNRESET) => return Ok(None),
            other => break other.context(|| "read from the control socket".into())?.bytes,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let message = bytes.get(..got).and_then(|b| postcard::from_bytes(b).ok());
    let message =
        message.ok_or_else(|| Fault::new(Errno::EINVAL, "a message on the control socket made no sense"))?;
    Ok(Some((message, descriptor)))
}

/// Waits for the next message; the other end closing is a fault.
pub(super) fn expect<T: for<'de> Deserialize<'de>>(socket: impl AsFd) -> Outcome<(T, Option<OwnedFd>)> {
    receive(socket.as_fd())?
        .ok_or_else(|| Fault::new(Errno::ESRCH, "the process ended while its container was being made"))
}
