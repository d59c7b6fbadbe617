//! Numbers of system calls by name, for each interface by which a process on x86_64 can make them.

use super::Calls;
use alloc::vec::Vec;
use bailiwick_kernel_glue::filter::X32_BIT;
use syscalls::{x86, x86_64};

/// How a call is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interface {
    /// `syscall` of a 64-bit program.
    X86_64,
    /// `int 0x80` and what 32-bit programs use.
    X86,
}

/// Calls with a number of their own where pointers have 32 bits (`syscall_64.tbl` of Linux), from 512 on; others
/// have that of x86_64.
const X32: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];
const X32_FIRST: u32 = 512;

/// What socketcall(2) carries, by its first argument, from 1 on.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
/// What ipc(2) carries.
const IPC: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

impl Interface {
    /// The number of a call; none if it does not exist here.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let id = match self {
            Interface::X86_64 => name.parse::<x86_64::Sysno>().ok()?.id(),
            Interface::X86 => name.parse::<x86::Sysno>().ok()?.id(),
        };
        u32::try_from(id).ok()
    }

    /// The call that can carry this one, and as what.
    pub(super) fn carrier(self, name: &str) -> Option<(u32, u32)> {
        if self != Interface::X86 {
            return None;
        }
        let socket = SOCKETCALL.iter().zip(1u32..).find(|(known, _)| **known == name);
        let ipc = IPC.iter().find(|(known, _)| *known == name);
        match (socket, ipc) {
            (Some((_, kind)), _) => Some((self.number("socketcall")?, kind)),
            (None, Some((_, kind))) => Some((self.number("ipc")?, *kind)),
            (None, None) => None,
        }
    }
}

/// Whether any interface has the call.
pub(super) fn is_known(name: &str) -> bool {
    [Interface::X86_64, Interface::X86]
        .into_iter()
        .any(|interface| interface.number(name).is_some() || interface.carrier(name).is_some())
}

/// Adds the same rules for calls with 32-bit pointers.
pub(super) fn add_x32(calls: &mut Calls) {
    let own = |number: u32| {
        let found =
            X32.iter().zip(X32_FIRST..).find(|(name, _)| Interface::X86_64.number(name) == Some(number));
        found.map_or(number, |(_, own)| own)
    };
    let more: Vec<_> = calls.iter().map(|(number, rules)| (own(*number) | X32_BIT, rules.clone())).collect();
    calls.extend(more);
}
