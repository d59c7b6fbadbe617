//! One system call between two readings of the time-stamp counter.

use bailiwick_abi::{Call, Handle, MessageInfo, WORDS};
use core::arch::naked_asm;

/// The registers of a call: what it is given, and then what it has left in them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registers {
    /// The number; the status.
    pub(super) rax: u64,
    /// The handle; the badge.
    pub(super) rdi: u64,
    pub(super) rsi: u64,
    /// The words of a message; of other calls, the third argument and result is the first of them, and the fifth
    /// and the sixth argument are the second and third.
    pub(super) words: [u64; WORDS],
}

impl Registers {
    /// A call with two arguments.
    pub(super) const fn new(call: Call, handle: Handle, second: u64) -> Self {
        Registers { rax: call as u64, rdi: handle.0, rsi: second, words: [0; WORDS] }
    }
    /// A call that sends these words.
    pub(super) const fn send(handle: Handle, info: MessageInfo, words: [u64; WORDS]) -> Self {
        Registers { words, ..Registers::new(Call::Send, handle, info.0) }
    }
}

/// The two functions differ in one instruction.
macro_rules! bracket {
    ($(#[$doc:meta])* $name:ident, $instruction:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(super) unsafe extern "sysv64" fn $name(registers: *mut Registers) -> u64 {
            naked_asm!(
                "push rbx",
                "push rbp",
                "push r12",
                "push r13",
                "push r14",
                "push r15",
                "push rdi",
                "mov rbp, rdi",
                "mov rdi, [rbp + 8]",
                "mov rsi, [rbp + 16]",
                "mov r8, [rbp + 32]",
                "mov r9, [rbp + 40]",
                "mov r10, [rbp + 48]",
                "mov r12, [rbp + 56]",
                "mov r13, [rbp + 64]",
                "mov r14, [rbp + 72]",
                "mov r15, [rbp + 80]",
                // The bracket: a call keeps rbx and rbp.
                "rdtsc",
                "shl rdx, 32",
                "or rax, rdx",
                "mov rbx, rax",
                "mov rax, [rbp]",
                "mov rdx, [rbp + 24]",
                $instruction,
                "mov rcx, rax",
                "mov r11, rdx",
                "rdtsc",
                "shl rdx, 32",
                "or rax, rdx",
                "sub rax, rbx",
                // A call keeps the stack as well: what is on it is where the registers go.
                "pop rbp",
                "mov [rbp], rcx",
                "mov [rbp + 8], rdi",
                "mov [rbp + 16], rsi",
                "mov [rbp + 24], r11",
                "mov [rbp + 32], r8",
                "mov [rbp + 40], r9",
                "mov [rbp + 48], r10",
                "mov [rbp + 56], r12",
                "mov [rbp + 64], r13",
                "mov [rbp + 72], r14",
                "mov [rbp + 80], r15",
                "pop r15",
                "pop r14",
                "pop r13",
                "pop r12",
                "pop rbp",
                "pop rbx",
                "ret",
            )
        }
    };
}

bracket! {
    /// Makes a call and returns how many ticks lie between a reading of the counter before and one after it. The
    /// floating-point state is lost, as with every call.
    ///
    /// # Safety
    /// As for every call: addresses among its arguments lead to memory that the call may use so.
    call, "syscall"
}
bracket! {
    /// The same without a call.
    ///
    /// # Safety
    /// There is nothing to see to.
    nothing, ""
}
