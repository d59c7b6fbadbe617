//! Counts what system calls and messages between two processes cost, and tries what must be refused.
//!
//! It is started in place of init, with init's capabilities. Under QEMU's `-icount shift=0` the time-stamp counter
//! counts instructions, kernel and both programs together, and every run counts the same.
//!
//! Each figure is a line `name: NUMBER, …`; what comes after the comma is for people. The number is the median of
//! 1,000 calls, each between two readings of the counter, after 20 that are not counted, less what the same block of
//! instructions takes without the call. So it has in it:
//!
//! - the `syscall` instruction, the kernel's way in and out, and what it does between;
//! - if a message goes to the other process: its five instructions (`mov mov syscall cmp je`; it compares the badge
//!   it is told), six where it has room for a capability; and the kernel's way back;
//! - nothing else of either program. The capability that a call carries is deleted, and the child that is revoked is
//!   derived, between brackets.
//!
//! ```text
//! null call: …                          Call::Null
//! round trip of N words: …              Send and ReplyReceive, N words each way: 0, 4, 8 in registers, 9 and 120
//!                                       in the message buffers, through which such messages have come before
//! round trip of 9 words by another buffer: …   the caller has named its buffer since
//! one capability in the call: …         a copy of a badged endpoint capability, an empty answer
//! round trip with room for a capability: …   no word each way, the caller offers a slot
//! derive: …                             a narrower endpoint capability
//! revoke of one child: …                of an endpoint capability
//! send by no capability: …              refused
//! round trip without a receiver waiting: …   two threads: the call is queued; Receive, Reply and Yield answer it
//! round trip between two groups: …      no word each way, the server in another resource group
//! ```
//!
//! Other lines: `handles that were made up: N taken`, `registers: N wrong`, `answers: N wrong`: each 0, or the status
//! is not.
#![allow(unsafe_code, reason = "a system call is an instruction, and so is reading the counter")]

mod bracket;
mod hostile;
mod leaks;
mod server;

use crate::sys;
use alloc::format;
use alloc::vec::Vec;
use bailiwick_abi::{Call, CapabilityWord, Error, Handle, MessageInfo, Rights, Transfer, WORDS, slot};
use bracket::Registers;
use server::{Buffer, Mode, Server};

/// How often each thing is counted,
const TIMES: usize = 1000;
/// and how often it is done before.
const FIRST_TIMES: usize = 20;

fn plain(call: Call, args: &[u64]) -> Result<[u64; 3], Error> {
    // SAFETY: no argument is an address of memory of this program.
    unsafe { sys::call(call, args) }
}

fn say(line: &str) {
    let _ = sys::console_write(Handle::first(slot::CONSOLE), line.as_bytes());
}

/// Ticks of one call.
fn ticks(registers: &mut Registers) -> u64 {
    // SAFETY: the message buffer stays for good, and no other address is given.
    unsafe { bracket::call(registers) }
}

/// Prints the median of what `sample` counts.
fn figure(name: &str, mut sample: impl FnMut() -> u64) {
    let mut empty = Registers::new(Call::Null, Handle(0), 0);
    // SAFETY: there is nothing to see to.
    let empty = unsafe { bracket::nothing(&mut empty) };
    for _ in 0..FIRST_TIMES {
        sample();
    }
    let mut samples: Vec<u64> = (0..TIMES).map(|_| sample()).collect();
    samples.sort_unstable();
    let median = samples.get(TIMES / 2).copied().unwrap_or(0);
    let alike = samples.iter().filter(|sample| **sample == median).count();
    say(&format!("{name}: {}, {alike} of {TIMES} alike\n", median.saturating_sub(empty)));
}

/// Counts calls of which each must be like the first, answered with status 0. Returns how many were not.
fn calls(name: &str, call: Registers) -> usize {
    let mut wrong = 0;
    figure(name, || {
        let mut registers = call;
        let ticks = ticks(&mut registers);
        wrong += usize::from(registers.rax != 0);
        ticks
    });
    wrong
}

/// Round trips whose answer is the message that was sent.
fn echoes(server: Server, buffer: Buffer) -> usize {
    let mut wrong = usize::from(!server.enter(Mode::Echo));
    for words in [0, 4, 8, 9, 120] {
        let info = MessageInfo::new(words * 8);
        let sent = core::array::from_fn(|at| if words <= WORDS && at < words { at as u64 + 5 } else { 0 });
        let bytes = core::array::from_fn(|at| (at * words + 1) as u8);
        buffer.put_bytes(bytes);
        figure(&format!("round trip of {words} words"), || {
            let mut registers = Registers::send(server.port, info, sent);
            let ticks = ticks(&mut registers);
            let back = Registers { rax: 0, rdi: 0, rsi: info.0, words: sent };
            wrong += usize::from(registers != back);
            ticks
        });
        wrong += usize::from(buffer.bytes() != bytes);
    }
    // The kernel has not seen this one yet, though it is the same.
    figure("round trip of 9 words by another buffer", || {
        wrong += usize::from(buffer.name().is_err());
        let mut registers = Registers::send(server.port, MessageInfo::new(72), [0; WORDS]);
        let ticks = ticks(&mut registers);
        wrong += usize::from(registers.rax != 0);
        ticks
    });
    let info = MessageInfo::new(0).with_room(1);
    wrong += calls("round trip with room for a capability", Registers::send(server.port, info, [0; WORDS]));
    wrong
}

/// Calls with a capability beside them, which is taken back after each.
fn grants(server: Server, buffer: Buffer) -> Result<usize, Error> {
    let mut wrong = usize::from(!server.enter(Mode::Granted));
    let endpoint = sys::endpoint()?;
    let carried = plain(Call::Derive, &[endpoint.0, Rights::ALL.0.into(), 9])?[0];
    let word = CapabilityWord::new(Handle(carried), Rights::ALL, Transfer::Copy);
    let info = MessageInfo::new(0).with_capabilities(1);
    figure("one capability in the call", || {
        buffer.put_capability(word);
        let mut registers = Registers::send(server.port, info, [0; WORDS]);
        let ticks = ticks(&mut registers);
        wrong += usize::from(registers.rax != 0 || plain(Call::Revoke, &[carried]).is_err());
        ticks
    });
    Ok(wrong)
}

/// What is done with capabilities themselves.
fn capabilities() -> Result<usize, Error> {
    let mut wrong = 0;
    let endpoint = sys::endpoint()?;
    figure("derive", || {
        let mut registers = Registers::new(Call::Derive, endpoint, Rights::WRITE.0.into());
        let ticks = ticks(&mut registers);
        wrong += usize::from(registers.rax != 0);
        sys::delete(Handle(registers.rdi));
        ticks
    });
    figure("revoke of one child", || {
        wrong += usize::from(sys::derive(endpoint, Rights::WRITE).is_err());
        let mut registers = Registers::new(Call::Revoke, endpoint, 0);
        let ticks = ticks(&mut registers);
        wrong += usize::from(registers.rax != 0);
        ticks
    });
    figure("send by no capability", || {
        let mut registers = Registers::send(Handle(999), MessageInfo::new(0), [0; WORDS]);
        let ticks = ticks(&mut registers);
        wrong += usize::from(registers.rax != u64::from(Error::BAD_HANDLE.0));
        ticks
    });
    Ok(wrong)
}

/// Calls that the other process answers in Rust: the badge is the capability's, the words are changed.
fn answers(server: Server) -> usize {
    let wrong = |word: &u64| {
        let words = [*word, 2, 3, 4, 5, 6, 7, 8];
        let mut registers = Registers::send(server.port, MessageInfo::new(64), words);
        ticks(&mut registers);
        let back = [*word + 1, server::BADGE, 3, 4, 5, 6, 7, 8];
        registers.words != back || (registers.rax, registers.rdi, registers.rsi) != (0, 0, 64)
    };
    usize::from(!server.enter(Mode::Checked)) + (0..100).filter(wrong).count()
}

/// A second thread of this process that answers without ever waiting for a call before there is one.
fn without_receiver() -> Result<usize, Error> {
    let endpoint = sys::endpoint()?;
    // One stack page is enough for a thread that has no frame.
    let stack = sys::allocate(4096)? as u64;
    plain(Call::ThreadCreate, &[server::late as *const () as u64, stack + 4096, endpoint.0])?;
    let call = Registers::send(endpoint, MessageInfo::new(0), [0; WORDS]);
    Ok(calls("round trip without a receiver waiting", call))
}

fn measure() -> Result<usize, Error> {
    let root = Handle::first(slot::GROUP);
    let buffer = Buffer::new()?;
    let null = calls("null call", Registers::new(Call::Null, Handle(0), 0));
    let server = Server::start(root)?;
    let answered = answers(server);
    let carried = echoes(server, buffer) + grants(server, buffer)? + answers(server);
    let left = leaks::registers(server);
    say(&format!("registers: {left} wrong\n"));
    let kept = left + capabilities()? + without_receiver()?;
    let name = "elsewhere";
    // SAFETY: the kernel reads the name.
    let group = unsafe { sys::call(Call::GroupCreate, &[root.0, name.as_ptr() as u64, name.len() as u64]) }?;
    let other = Server::start(Handle(group[0]))?;
    let entered = usize::from(!other.enter(Mode::Echo));
    let call = Registers::send(other.port, MessageInfo::new(0), [0; WORDS]);
    Ok(null + answered + carried + kept + entered + calls("round trip between two groups", call))
}

/// The program.
pub fn main(text: &str) -> u8 {
    if text == server::TEXT {
        return server::main();
    }
    let taken = hostile::taken();
    say(&format!("handles that were made up: {taken} taken\n"));
    match measure() {
        Ok(wrong) => {
            say(&format!("answers: {wrong} wrong\n"));
            u8::from(taken > 0 || wrong > 0)
        }
        Err(error) => {
            say(&format!("something that is measured is refused: {error}\n"));
            1
        }
    }
}
