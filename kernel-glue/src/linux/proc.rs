//! A procfs of the server's own.
//!
//! It is mounted nowhere: only descriptors lead to it, so nothing a container mounts or links can stand between
//! the server and what it reads or writes. Made in the server's PID namespace; `self` in it is always the process
//! that looks.

use super::fault::{Context, Fault, Outcome, errno};
use super::path::open_below;
use alloc::format;
use alloc::string::String;
use bailiwick_protocol::error::Errno;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::io::Errno as Raw;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::io::{Read, Write};

/// Which part of procfs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The directories of processes alone.
    Processes,
    /// All of it, `/proc/sys` too.
    Whole,
}

/// The longest file that is read whole.
const FILE_MAX: u64 = 1 << 20;

/// A detached procfs.
#[derive(Debug)]
pub(super) struct Proc {
    root: OwnedFd,
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Proc {
    /// Makes one.
    pub(super) fn new(part: Part) -> Outcome<Self> {
        let make = || {
            let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            if part == Part::Processes {
                rustix::mount::fsconfig_set_string(&context, "subset", "pid")?;
            }
            rustix::mount::fsconfig_create(&context)?;
            let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NOEXEC
                | MountAttrFlags::MOUNT_ATTR_NODEV;
            rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        };
        let root: OwnedFd = make().context(|| "make a procfs of the server's own".into())?;
        Ok(Proc { root })
    }

    /// Opens a file below it; no link, no other mount on the way, and it must be procfs.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let resolve = if path.starts_with("self/") { resolve } else { resolve | ResolveFlags::NO_SYMLINKS };
        let file = open_below(self.root.as_fd(), path, flags, Mode::empty(), resolve)?;
        if rustix::fs::fstatfs(&file)?.f_type == PROC_SUPER_MAGIC { Ok(file) } else { Err(Raw::XDEV) }
    }

    /// Reads a whole file.
    pub(super) fn read(&self, path: &str) -> rustix::io::Result<String> {
        read_text(self.open(path, OFlags::RDONLY)?)
    }

    /// Writes `value` in one write, as these files want it.
    pub(super) fn write(&self, path: &str, value: &str) -> Outcome<()> {
        let file = self.open(path, OFlags::WRONLY).context(|| format!("open /proc/{path}"))?;
        write_once(file, value).context(|| format!("write {value:?} to /proc/{path}"))
    }

    /// Writes and reads back; anything else than what was written is a fault.
    pub(super) fn write_and_verify(&self, path: &str, value: &str) -> Outcome<()> {
        self.write(path, value)?;
        let now = self.read(path).context(|| format!("read /proc/{path} back"))?;
        if now.split_whitespace().eq(value.split_whitespace()) {
            return Ok(());
        }
        let what = format!("write {value:?} to /proc/{path}: it reads {:?} afterwards", now.trim());
        Err(Fault::new(Errno::EIO, what))
    }
}

/// Reads a small text file to its end.
pub(super) fn read_text(file: OwnedFd) -> rustix::io::Result<String> {
    let mut text = String::new();
    match std::fs::File::from(file).take(FILE_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(e) => Err(Raw::from_io_error(&e).unwrap_or(Raw::IO)),
    }
}

/// Writes `value` with one write(2).
pub(super) fn write_once(file: OwnedFd, value: &str) -> rustix::io::Result<()> {
    match std::fs::File::from(file).write(value.as_bytes()) {
        Ok(n) if n == value.len() => Ok(()),
        Ok(_) => Err(Raw::IO),
        Err(e) => Err(Raw::from_io_error(&e).unwrap_or(Raw::IO)),
    }
}

/// The path, seen from the server, that an `O_PATH` descriptor stands for now; for messages and hooks, never to be
/// opened without comparing.
pub(super) fn host_path(proc: &Proc, fd: BorrowedFd<'_>) -> Outcome<String> {
    use rustix::fd::AsRawFd;
    let name = format!("self/fd/{}", fd.as_raw_fd());
    let path = rustix::fs::readlinkat(proc, name.as_str(), alloc::vec::Vec::new())
        .map_err(|e| Fault::new(errno(e), "find the path of the root"))?;
    path.into_string().map_err(|_| Fault::new(Errno::EINVAL, "the root's path is not UTF-8"))
}
