//! The other process: it answers.
//!
//! It begins by answering what it is asked with one more, and what badge it saw. A message by the capability with
//! the badge [`CONTROL`] sends it into one of two loops in assembly, which answer as fast as can be; another such
//! message brings it out again.

use super::bracket::{self, Registers};
use crate::sys;
use alloc::boxed::Box;
use bailiwick_abi::{
    Call, CapabilityWord, Error, Handle, MESSAGE_MAX, MessageBuffer, MessageInfo, Rights, WORDS, slot,
};
use core::arch::naked_asm;

/// The text it is started with.
pub(super) const TEXT: &str = "answer";
/// Where it finds its end.
const PORT: Handle = Handle::first(1);
/// Badge of what is measured.
pub(super) const BADGE: u64 = 0xb1;
/// Badge of what says which loop it goes to.
const CONTROL: u64 = 0xc0;

/// What it does with what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(super) enum Mode {
    /// Answers one more than the first word, and the badge.
    Checked = 1,
    /// Answers with the same message.
    Echo = 2,
    /// Has room for one capability, and answers with nothing.
    Granted = 3,
}

/// Answers with what it got, for as long as it comes with the badge. `rsi` and the words are as they arrived.
#[unsafe(naked)]
unsafe extern "sysv64" fn echo(registers: *mut Registers) {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "mov rbp, rdi",
        "xor esi, esi",
        "2:",
        "mov eax, {call}",
        "mov edi, {port}",
        "syscall",
        "cmp rdi, {badge}",
        "je 2b",
        "mov [rbp], rax",
        "mov [rbp + 8], rdi",
        "mov [rbp + 24], rdx",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        call = const Call::ReplyReceive as u64,
        port = const PORT.0,
        badge = const BADGE,
    )
}

/// Answers with nothing, and has room for one capability.
#[unsafe(naked)]
unsafe extern "sysv64" fn granted(registers: *mut Registers) {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "mov rbp, rdi",
        "2:",
        "mov eax, {call}",
        "mov edi, {port}",
        "mov esi, {info}",
        "syscall",
        "cmp rdi, {badge}",
        "je 2b",
        "mov [rbp], rax",
        "mov [rbp + 8], rdi",
        "mov [rbp + 24], rdx",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        call = const Call::ReplyReceive as u64,
        port = const PORT.0,
        info = const MessageInfo::new(0).with_room(1).0,
        badge = const BADGE,
    )
}

/// The message buffer of a process, which has one thread. The kernel reads and writes it behind the compiler's back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer(*mut MessageBuffer);

impl Buffer {
    /// Names one to the kernel.
    pub(super) fn new() -> Result<Buffer, Error> {
        let buffer = Buffer(Box::into_raw(Box::new(MessageBuffer::new())));
        buffer.name()?;
        Ok(buffer)
    }
    /// Names it again.
    pub(super) fn name(self) -> Result<(), Error> {
        // SAFETY: it stays for good.
        unsafe { sys::call(Call::SetBuffer, &[self.0 as u64]) }.map(drop)
    }
    /// The next call carries this capability.
    pub(super) fn put_capability(self, word: CapabilityWord) {
        // SAFETY: it stays for good, and nobody has a reference into it.
        unsafe { (&raw mut (*self.0).capabilities[0]).write_volatile(word) }
    }
    pub(super) fn put_bytes(self, bytes: [u8; MESSAGE_MAX]) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0).bytes).write_volatile(bytes) }
    }
    pub(super) fn bytes(self) -> [u8; MESSAGE_MAX] {
        // SAFETY: as above.
        unsafe { (&raw const (*self.0).bytes).read_volatile() }
    }
}

/// The program. It ends when nobody can call it any more.
pub(super) fn main() -> u8 {
    if Buffer::new().is_err() {
        return 1;
    }
    let mut registers = Registers::new(Call::ReplyReceive, PORT, 0);
    loop {
        // SAFETY: the buffer stays for good, and nobody else uses it.
        unsafe { bracket::call(&mut registers) };
        while (registers.rax, registers.rdi) == (0, CONTROL) {
            let mode = registers.words[0];
            if mode == Mode::Checked as u64 {
                break;
            }
            // SAFETY: as above.
            unsafe { if mode == Mode::Echo as u64 { echo(&mut registers) } else { granted(&mut registers) } }
        }
        let (status, badge, mut words) = (registers.rax, registers.rdi, registers.words);
        if status != 0 {
            return 1;
        }
        (words[0], words[1]) = (words[0].wrapping_add(1), badge);
        let length = MessageInfo::new(MessageInfo(registers.rsi).length().min(WORDS * 8)).0;
        registers = Registers { words, ..Registers::new(Call::ReplyReceive, PORT, length) };
    }
}

/// The other process, as the first one sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// What is measured goes here.
    pub(super) port: Handle,
    control: Handle,
}

impl Server {
    /// Starts it in the group with this capability. It may only receive.
    pub(super) fn start(group: Handle) -> Result<Server, Error> {
        let endpoint = sys::endpoint()?;
        let process = sys::process_create(group, Handle::first(slot::ROOT), "/sbin/measure")?;
        sys::process_grant(process, PORT.slot(), endpoint, Rights::READ)?;
        sys::process_start(process, TEXT)?;
        let badged = |badge| {
            // SAFETY: no argument is an address.
            unsafe { sys::call(Call::Derive, &[endpoint.0, Rights::WRITE.0.into(), badge]) }
                .map(|results| Handle(results[0]))
        };
        Ok(Server { port: badged(BADGE)?, control: badged(CONTROL)? })
    }

    /// Sends it into a loop. True if it went.
    pub(super) fn enter(self, mode: Mode) -> bool {
        let words = [mode as u64, 0, 0, 0, 0, 0, 0, 0];
        let mut registers = Registers::send(self.control, MessageInfo::new(8), words);
        // SAFETY: no argument is an address.
        unsafe { bracket::call(&mut registers) };
        registers.rax == 0
    }
}

/// A thread that receives at the endpoint in `rdi`, answers, and lets others run before it looks again. It has no
/// frame and never returns.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn late(endpoint: u64) {
    naked_asm!(
        "mov rbx, rdi",
        "2:",
        "mov eax, {receive}",
        "mov rdi, rbx",
        "xor esi, esi",
        "syscall",
        "mov eax, {reply}",
        "xor edi, edi",
        "xor esi, esi",
        "syscall",
        "mov eax, {yields}",
        "syscall",
        "jmp 2b",
        receive = const Call::Receive as u64,
        reply = const Call::Reply as u64,
        yields = const Call::Yield as u64,
    )
}
