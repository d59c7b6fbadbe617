//! The terminal of a container's process: a pseudo-terminal of the container's own devpts.
//!
//! `ptmx` is opened inside the file system that is mounted on `/dev/pts` below the new root, once that was seen to be a
//! devpts. The side the process works on is asked of it and not looked up by a path, which somebody else could have
//! changed (CVE-2025-52565). The master side goes over a socket to whoever asked for the terminal.

use super::fault::{Context, Fault, Outcome};
use super::path::{Root, open_below};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, Uid};
use rustix::io::IoSlice;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// What statfs(2) says of a devpts (`DEVPTS_SUPER_MAGIC`).
const DEVPTS: u64 = 0x1cd1;

/// Makes a pseudo-terminal in the container whose root this is, and sends its master side over `to`, beside the
/// terminal's path inside, as runc does. Gives the side that is the process's.
pub(super) fn open(root: &Root, to: BorrowedFd<'_>) -> Outcome<OwnedFd> {
    let what = || "terminal: open /dev/pts/ptmx".into();
    let directory = root.open("/dev/pts", OFlags::PATH | OFlags::DIRECTORY).context(what)?;
    let kind = rustix::fs::fstatfs(&directory).context(what)?.f_type;
    if u64::try_from(kind).ok() != Some(DEVPTS) {
        let what =
            "terminal: no devpts is mounted on /dev/pts; the configuration has to ask for one in mounts";
        return Err(Fault::new(Errno::ENODEV, what));
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = open_below(directory.as_fd(), "ptmx", flags, Mode::empty(), resolve).context(what)?;
    rustix::pty::unlockpt(&master).context(what)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let own = rustix::pty::ioctl_tiocgptpeer(&master, flags).context(what)?;
    if let Some(size) = first_size(to) {
        rustix::termios::tcsetwinsize(&master, size).context(|| "terminal: set its size".into())?;
    }
    let name = rustix::pty::ptsname(&master, Vec::new()).context(what)?;
    send(to, name.as_bytes(), master.as_fd()).context(|| "terminal: hand it over".into())?;
    Ok(own)
}

/// The size that waits on the socket, if one does: rows and columns, two bytes each, the lower one first.
fn first_size(to: BorrowedFd<'_>) -> Option<Winsize> {
    let mut bytes = [0; 4];
    let (read, _) = rustix::net::recv(to, &mut bytes, RecvFlags::DONTWAIT).ok()?;
    let [a, b, c, d] = bytes;
    let (ws_row, ws_col) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    (read == bytes.len()).then_some(Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })
}

fn send(to: BorrowedFd<'_>, name: &[u8], master: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(rustix::io::Errno::TOOBIG);
    }
    // A receiver that does not read holds nobody up.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(to, &[IoSlice::new(name)], &mut control, flags).map(drop)
}

/// Makes it standard input, output and error, and the terminal of this process's session.
pub(super) fn install(own: &OwnedFd) -> Outcome<()> {
    let what = || "terminal: set standard streams".into();
    for to in 0..3 {
        super::sys::replace_standard(own.as_fd(), to).context(what)?;
    }
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
        .context(|| "terminal: make it that of the session".into())
}

/// Gives it to the program's user, so that it may be opened again by its name. Its group is what devpts gives.
pub(super) fn give_to(own: &OwnedFd, uid: u32) {
    let _ = rustix::fs::fchown(own, Some(Uid::from_raw(uid)), None);
}
