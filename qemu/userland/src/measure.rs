//! Counts what a system call and a message between two processes cost, and tries handles that were made up.
//!
//! It is started in place of init, with init's capabilities. Under QEMU's `-icount shift=0` the time-stamp counter
//! counts instructions, kernel and both programs together, and every run counts the same.
#![allow(unsafe_code, reason = "a system call is an instruction, and so is reading the counter")]

use crate::sys;
use alloc::format;
use bailiwick_abi::{Call, Error, Handle, MessageInfo, Rights, slot};
use core::arch::asm;
use core::arch::x86_64::_rdtsc;

/// How often each thing is done; the first times, which may have to bring pages in, are not counted.
const TIMES: u64 = 1000;
const FIRST_TIMES: u64 = 10;

/// Where the other process finds its end.
const PORT: Handle = Handle::first(1);
/// The text it is started with.
const OTHER: &str = "answer";

/// Sends 8 bytes, or answers with 8 and receives: both have the same registers. Gives status, badge and first word.
fn exchange(call: Call, handle: Handle, word: u64) -> (u64, u64, u64) {
    let (status, badge, answer): (u64, u64, u64);
    // SAFETY: no memory is involved; the kernel changes no register but those named here (`bailiwick_abi`).
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") call as u64 => status,
            inlateout("rdi") handle.0 => badge,
            inlateout("rsi") MessageInfo::new(8).0 => _,
            inlateout("rdx") word => answer,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
    (status, badge, answer)
}

/// What one of `TIMES` costs, in ticks of the counter.
fn count(mut work: impl FnMut()) -> u64 {
    let now = || {
        // SAFETY: it reads a counter.
        unsafe { _rdtsc() }
    };
    (0..FIRST_TIMES).for_each(|_| work());
    let start = now();
    (0..TIMES).for_each(|_| work());
    (now() - start) / TIMES
}

fn plain(call: Call, args: &[u64]) -> Result<[u64; 3], Error> {
    // SAFETY: no argument is an address.
    unsafe { sys::call(call, args) }
}

/// The other process: adds one to whatever comes.
fn answer() -> u8 {
    let mut word = 0;
    loop {
        match exchange(Call::ReplyReceive, PORT, word) {
            (0, _, came) => word = came + 1,
            _ => return 1,
        }
    }
}

/// Starts the other process, which may only receive. Gives the caller's end.
fn start_other() -> Result<Handle, Error> {
    let (root, group) = (Handle::first(slot::ROOT), Handle::first(slot::GROUP));
    let endpoint = sys::endpoint()?;
    let process = sys::process_create(group, root, "/sbin/measure")?;
    sys::process_grant(process, PORT.slot(), endpoint, Rights::READ)?;
    sys::process_start(process, OTHER)?;
    sys::derive(endpoint, Rights::WRITE)
}

/// How many handles that were made up, or lack a right, are not refused as they must be.
fn hostile() -> usize {
    let clock = Handle::first(slot::CLOCK);
    let none = sys::derive(clock, Rights::NONE).unwrap_or(Handle(0));
    let made_up = [0, 7, 31, 999, 1 << 32 | 1, 5 << 32 | u64::from(none.slot()), u64::MAX, 1 << 63];
    let calls =
        [Call::Send, Call::Receive, Call::Signal, Call::Derive, Call::Revoke, Call::Delete, Call::Inspect];
    let wrong = calls.iter().flat_map(|call| made_up.iter().map(|handle| plain(*call, &[*handle, 0, 0])));
    let taken = wrong.filter(|came| *came != Err(Error::BAD_HANDLE)).count();
    let refusals = [
        (plain(Call::ClockNow, &[none.0]), Error::DENIED),
        (plain(Call::ConsoleWrite, &[clock.0, 0, 0]), Error::WRONG_KIND),
        (plain(Call::SetBuffer, &[0xffff_8000_0000_0000]), Error::BAD_ADDRESS),
        (plain(Call::ConsoleWrite, &[slot::CONSOLE.into(), 0xffff_8000_0000_0000, 8]), Error::BAD_ADDRESS),
    ];
    taken + refusals.iter().filter(|(came, error)| *came != Err(*error)).count()
}

/// The program.
pub fn main(text: &str) -> u8 {
    if text == OTHER {
        return answer();
    }
    let console = Handle::first(slot::CONSOLE);
    let say = |line: &str| {
        let _ = sys::console_write(console, line.as_bytes());
    };
    let taken = hostile();
    say(&format!("handles that were made up: {taken} taken\n"));
    let empty = count(|| ());
    let null = count(|| {
        let _ = plain(Call::Null, &[]);
    }) - empty;
    say(&format!("null call: {null}\n"));
    let port = match start_other() {
        Ok(port) => port,
        Err(error) => {
            say(&format!("the other process cannot be started: {error}\n"));
            return 1;
        }
    };
    let mut wrong = 0;
    let mut word = 0;
    let trip = count(|| {
        word += 1;
        if exchange(Call::Send, port, word) != (0, 0, word + 1) {
            wrong += 1;
        }
    }) - empty;
    say(&format!("round trip: {trip}, {wrong} wrong\n"));
    u8::from(taken > 0 || wrong > 0)
}
