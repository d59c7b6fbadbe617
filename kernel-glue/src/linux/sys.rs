//! System calls that rustix does not offer, each behind a safe function.
//!
//! The one rule behind the process-making ones: this backend lives in a process with a single thread
//! ([`super::Linux::new`] checks it), so a copy of the process is as whole as the original.

use crate::filter::Filter;
use alloc::ffi::CString;
use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
use core::mem::size_of;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::thread::UnshareFlags;
use std::io;

/// A process this one has made and has not waited for.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    /// Its `/proc/PID/stat`, if it is the child of somebody else, who takes its status.
    pub(super) stat: Option<OwnedFd>,
}

/// Whose child the new process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Parent {
    /// The caller's.
    Caller,
    /// The caller's parent's: the caller's sibling.
    Shared,
}

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes a process in new namespaces as `flags` say (`CLONE_NEW*`); it runs `body` and ends with what that returns.
///
/// `body` runs in a copy of this process. Everything of the caller that it touches is the copy's; it never
/// returns to the caller's code.
pub(super) fn spawn(flags: u64, parent: Parent, body: impl FnOnce() -> u8) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    let shared = parent == Parent::Shared;
    let args = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64 | if shared { libc::CLONE_PARENT as u64 } else { 0 },
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: if shared { 0 } else { libc::SIGCHLD as u64 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: no CLONE_VM: the child gets a copy of all memory and of the stack, so returning twice is as with
    // fork(2). `args` is a whole clone_args and `pidfd` outlives the call.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        let status = body();
        // SAFETY: ends this process without running what belongs to the copied one (atexit, buffers).
        unsafe { libc::_exit(c_int::from(status)) }
    }
    let pid = u32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
    Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) }, stat: None })
}

/// unshare(2) for namespaces.
pub(super) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    let allowed = namespaces.difference(UnshareFlags::FILES | UnshareFlags::FS | UnshareFlags::SYSVSEM);
    // SAFETY: without CLONE_FILES no descriptor table changes.
    unsafe { rustix::thread::unshare_unsafe(allowed) }.map_err(Into::into)
}

/// Closes every descriptor but 0, 1, 2 and those in `keep`. For a process that runs nothing else any more.
pub(super) fn close_all_but(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.iter().map(|fd| *fd as c_uint).filter(|fd| *fd >= 3) {
        if fd > from {
            close_range(from, fd - 1)?;
        }
        from = from.max(fd + 1);
    }
    close_range(from, c_uint::MAX)
}

fn close_range(first: c_uint, last: c_uint) -> io::Result<()> {
    // SAFETY: called only in a process made by `spawn` whose remaining code uses no descriptor but those kept;
    // the owners of the others belong to the original process and are never dropped here.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) }).map(drop)
}

/// Gives every signal its default action and unblocks all: what a program may expect (execve(2)).
pub(super) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours; numbers that cannot be set give EINVAL.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is the empty set.
    let empty: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: `empty` outlives the call; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, core::ptr::null_mut()) };
}

/// Attributes of a mount, as mount_setattr(2) takes them.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct MountAttributes {
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) propagation: u64,
}

impl MountAttributes {
    pub(super) fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0 && self.propagation == 0
    }
}

/// mount_setattr(2) on the mount that `mount` stands for, and with `recursive` on all below it.
pub(super) fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: Recursive,
    a: MountAttributes,
) -> io::Result<()> {
    let attr =
        libc::mount_attr { attr_set: a.set, attr_clr: a.clear, propagation: a.propagation, userns_fd: 0 };
    let recursive = if recursive == Recursive::Yes { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant, `attr` a whole mount_attr, both alive over the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Whether something reaches below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recursive {
    Yes,
    No,
}

/// pidfd_send_signal(2) with any number, real-time signals included.
pub(super) fn send_signal(pidfd: BorrowedFd<'_>, signal: u8) -> io::Result<()> {
    let none = core::ptr::null::<c_void>();
    // SAFETY: no siginfo is passed.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), c_int::from(signal), none, 0)
    })
    .map(drop)
}

/// Whether this process, with the identity it has now, may execute the file behind a descriptor (faccessat2(2)).
pub(super) fn may_execute(file: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
    // SAFETY: the path is a NUL-terminated constant; nothing is written.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), c"".as_ptr(), libc::X_OK, flags) })
        .map(drop)
}

/// setrlimit(2) by number.
pub(super) fn set_rlimit(resource: u8, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let none = core::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: `limit` outlives the call; pid 0 is this process.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, c_uint::from(resource), &raw const limit, none) })
        .map(drop)
}

/// seccomp(2): this process and its children make system calls only as the filter says.
pub(super) fn load_filter(filter: &Filter) -> io::Result<()> {
    let length = u16::try_from(filter.instructions.len()).map_err(io::Error::other)?;
    // The kernel does not write there.
    let program = libc::sock_fprog { len: length, filter: filter.instructions.as_ptr().cast_mut().cast() };
    let flags = filter.flags.bits();
    // SAFETY: `program` names as many instructions as there are, each laid out as `struct sock_filter`; all of it
    // outlives the call.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
    .map(drop)
}

/// The wait status of a process that has ended and was waited for by its parent (`PIDFD_INFO_EXIT`, Linux 6.15);
/// none if the kernel does not know or does not tell.
pub(super) fn exit_info(pidfd: BorrowedFd<'_>) -> Option<i32> {
    const INFO_EXIT: u64 = 1 << 3;
    /// `_IOWR(0xFF, 11, struct pidfd_info)` in its first version, of 64 bytes.
    const PIDFD_GET_INFO: u32 = 3 << 30 | 64 << 16 | 0xff << 8 | 11;
    let mut info = [0u64; 8];
    info[0] = INFO_EXIT;
    // SAFETY: the kernel writes at most the 64 bytes that the request names.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as libc::Ioctl, info.as_mut_ptr()) };
    // The exit status is the last word.
    (result == 0 && info[0] & INFO_EXIT != 0).then_some((info[7] >> 32) as i32)
}

/// setdomainname(2).
pub(super) fn set_domainname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe `name`.
    let result = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    check(c_long::from(result)).map(drop)
}

/// umask(2): the mask is per process, as everything here.
pub(super) fn umask(mask: u32) {
    // SAFETY: always succeeds, touches no memory.
    unsafe { libc::umask(mask) };
}

/// A new, empty session keyring, so that the program does not share that of the server.
pub(super) fn new_session_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    let anonymous = core::ptr::null::<c_char>();
    // SAFETY: a null name asks for an anonymous keyring. A kernel without keyrings has none to share.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
}

/// The kind of namespace a descriptor of `/proc/PID/ns/…` stands for, as a `CLONE_NEW*` flag (ioctl_ns(2)).
pub(super) fn namespace_kind(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: NS_GET_NSTYPE takes no argument and writes nothing.
    let kind = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_NSTYPE as libc::Ioctl) };
    check(c_long::from(kind)).map(|kind| kind as u64)
}

/// Brings up the loopback device of the network namespace the process is in.
pub(super) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is valid: an empty name and a zeroed union.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) };
    check(c_long::from(result)).map(drop)
}

/// The strings of an execve(2).
#[derive(Debug)]
pub(super) struct Strings {
    held: alloc::vec::Vec<CString>,
}

impl Strings {
    /// # Errors
    /// `EINVAL` for a string with a NUL byte inside.
    pub(super) fn new<S: AsRef<str>>(strings: &[S]) -> io::Result<Self> {
        let held = strings.iter().map(|s| CString::new(s.as_ref()));
        let held = held.collect::<Result<_, _>>().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        Ok(Strings { held })
    }
    fn pointers(&self) -> alloc::vec::Vec<*const c_char> {
        self.held.iter().map(|s| s.as_ptr()).chain([core::ptr::null()]).collect()
    }
}

/// execveat(2) of the file behind `program`. Returns only on failure.
pub(super) fn exec_descriptor(program: BorrowedFd<'_>, args: &Strings, env: &Strings) -> io::Error {
    let (fd, path, flags) = (program.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    let (args, env) = (args.pointers(), env.pointers());
    // SAFETY: both arrays end with a null pointer and point to NUL-terminated strings that outlive the call.
    unsafe { libc::syscall(libc::SYS_execveat, fd, path, args.as_ptr(), env.as_ptr(), flags) };
    io::Error::last_os_error()
}

/// execve(2) of a path. Returns only on failure.
pub(super) fn exec_path(path: &str, args: &Strings, env: &Strings) -> io::Error {
    let Ok(path) = CString::new(path) else { return io::Error::from_raw_os_error(libc::EINVAL) };
    let (args, env) = (args.pointers(), env.pointers());
    // SAFETY: both arrays end with a null pointer and point to NUL-terminated strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Puts a copy of `from` where descriptor `to` (0, 1 or 2) is, to be kept over an execve.
pub(super) fn replace_standard(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: the standard descriptors have no owner in Rust that would be surprised.
    check(c_long::from(unsafe { libc::dup2(from.as_raw_fd(), to) })).map(drop)
}

/// Owns a copy of one of this process's standard descriptors.
pub(super) fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(Into::into)
}
