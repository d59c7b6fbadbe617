//! What a system call leaves in the registers: nothing of the kernel's.

use super::server::{Mode, Server};
use crate::sys;
use bailiwick_abi::{Call, Handle, MessageInfo, Rights};
use core::arch::naked_asm;

/// What is in every register before a call that it is not given: no address, and no number that a call results in.
const OWN: u64 = 0x00aa_5511_0000_0000;

/// The registers around a call, and the floating-point state after it, as `fxsave64` writes it.
#[repr(C, align(16))]
struct Seen {
    state: [u8; 512],
    /// rax rdi rsi, given and left.
    given: [u64; 3],
    /// rbx rcx rdx rbp r8 to r15, left.
    others: [u64; 12],
}

/// Makes the call that is given with [`OWN`] and a number in all other registers, and ones in those of floating point.
#[unsafe(naked)]
unsafe extern "sysv64" fn call(seen: *mut Seen, own: u64) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov rax, [rdi + 512]",
        "pcmpeqd xmm0, xmm0",
        "movdqa xmm1, xmm0",
        "movdqa xmm5, xmm0",
        "movdqa xmm9, xmm0",
        "movdqa xmm15, xmm0",
        "lea rbx, [rsi + 0]",
        "lea rcx, [rsi + 1]",
        "lea rdx, [rsi + 2]",
        "lea rbp, [rsi + 3]",
        "lea r8, [rsi + 4]",
        "lea r9, [rsi + 5]",
        "lea r10, [rsi + 6]",
        "lea r11, [rsi + 7]",
        "lea r12, [rsi + 8]",
        "lea r13, [rsi + 9]",
        "lea r14, [rsi + 10]",
        "lea r15, [rsi + 11]",
        "mov rsi, [rdi + 528]",
        "mov rdi, [rdi + 520]",
        "syscall",
        // Where it goes on is in rcx, the flags are in r11: both are ring 3's own.
        "xchg rdi, [rsp]",
        "fxsave64 [rdi]",
        "mov [rdi + 512], rax",
        "mov [rdi + 528], rsi",
        "mov [rdi + 536], rbx",
        "mov [rdi + 544], rcx",
        "mov [rdi + 552], rdx",
        "mov [rdi + 560], rbp",
        "mov [rdi + 568], r8",
        "mov [rdi + 576], r9",
        "mov [rdi + 584], r10",
        "mov [rdi + 592], r11",
        "mov [rdi + 600], r12",
        "mov [rdi + 608], r13",
        "mov [rdi + 616], r14",
        "mov [rdi + 624], r15",
        "pop rax",
        "mov [rdi + 520], rax",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

impl Seen {
    fn after(which: Call, handle: Handle, second: u64) -> Seen {
        let mut seen = Seen { state: [0; 512], given: [which as u64, handle.0, second], others: [0; 12] };
        // SAFETY: no call that is made here takes an address, and what they leave in registers is noted.
        unsafe { call(&mut seen, OWN) };
        seen
    }
    /// A value that has no business in a register at this place.
    fn foreign(&self) -> usize {
        let left = self.given.iter().filter(|value| **value >= 1 << 40).count();
        let (rcx, r11) = (self.others[1], self.others[7]);
        let own = |(at, value): (usize, &u64)| *value != OWN + at as u64 && *value >= 1 << 32;
        let others = self.others.iter().enumerate().filter(|(at, _)| ![1, 7].contains(at));
        let foreign = others.filter(|other| own(*other)).count();
        // The instruction after the call, in this program's text; and flags, of which ring 3 has no others.
        let back = (call as *const () as u64..call as *const () as u64 + 512).contains(&rcx);
        let control = [0x7f, 0x03, 0, 0];
        let mxcsr = [0x80, 0x1f, 0, 0];
        let state = self.state[..4] != control
            || self.state[24..28] != mxcsr
            || self.state[32..416].iter().any(|byte| *byte != 0);
        left + foreign + usize::from(!back) + usize::from(r11 & !0x24_0fd5 != 2) + usize::from(state)
    }
}

/// How many registers hold what no call may leave there, after each way out of the kernel.
pub(super) fn registers(server: Server) -> usize {
    let endpoint = sys::endpoint().unwrap_or(Handle(0));
    let sent = MessageInfo::new(64).0;
    let mut wrong = usize::from(!server.enter(Mode::Echo));
    for (which, handle, second) in [
        (Call::Null, Handle(0), 0),
        (Call::Inspect, endpoint, 0),
        (Call::Derive, endpoint, Rights::WRITE.0.into()),
        (Call::Revoke, endpoint, 0),
        (Call::Send, Handle(999), sent),
        (Call::Send, server.port, 0),
        (Call::Send, server.port, 24),
        (Call::Send, server.port, sent),
        (Call::Send, server.port, MessageInfo::new(72).0),
        (Call::Yield, Handle(0), 0),
    ] {
        wrong += Seen::after(which, handle, second).foreign();
    }
    // Words that were not sent are 0 when they come back, and those that were are the same.
    let words = Seen::after(Call::Send, server.port, 24).others;
    let back = [words[2], words[4], words[5], words[6], words[8], words[9], words[10], words[11]];
    wrong + usize::from(back != [OWN + 2, OWN + 4, OWN + 5, 0, 0, 0, 0, 0])
}
