//! Hostile programs against the kernel and the manager, and an honest one that must notice nothing.
//!
//! ```text
//!   conductor (in place of init) ──► manager ◄── neighbour: calls all the time, every answer held against the right one
//!        │                              ▲
//!        └──► attacker, one for each attack, with a factory of its own, little memory, and no authority else
//!  census · attack · clean up · census
//! ```
//!
//! Each attack is made at least twice: once for whatever grows once, such as the manager's heap, and then between two
//! counts of every kernel object and every record of the manager, which must be equal.
//!
//! Beside this play, the program can be one of a boot manifest's processes: see `tenant`.

mod attacks;
mod conductor;
mod floods;
mod machine;
mod neighbour;
mod raw;
mod tenant;

use crate::console::Serial;
use crate::slots::process as slot;
use crate::sys;
use bailiwick_abi::{Call, Handle};
use bailiwick_userland_core::Console;

/// What processes of this play hold besides what the manifest's do: where they give signs to the conductor,
const SIGNS: Handle = Handle::first(3);
/// and where the neighbour takes its orders.
const ORDERS: Handle = Handle::first(4);

/// Signs: the neighbour has made a round,
const BEAT: u64 = 1;
/// does nothing until it is told to go on,
const PAUSED: u64 = 2;
/// or an attacker is ready to be killed.
const READY: u64 = 4;

/// Orders to the neighbour.
const PAUSE: u64 = 1;
const STOP: u64 = 2;
const RESUME: u64 = 4;

/// What the neighbour is to do.
enum Order {
    GoOn,
    Pause,
    Stop,
}

/// The program: whom it plays is the text it is started with.
pub fn main(text: &str) -> u8 {
    match text.split_once(' ') {
        Some(("attack", name)) => attacks::main(name),
        Some(("deed", name)) => deed(name),
        _ if text == "neighbour" => neighbour::main(),
        _ if text == "tenant" => tenant::main(),
        _ => conductor::main(),
    }
}

fn say(text: &str) {
    Serial(slot::CONSOLE).write(text.as_bytes());
}

/// Gives a sign. No memory of this program is involved.
fn sign(bits: u64) {
    let _ = raw::any(Call::Signal, &[SIGNS.0, bits]);
}
fn beat() {
    sign(BEAT);
}

/// What there is to be done, without waiting.
fn order() -> Order {
    match sys::wait(ORDERS, 0) {
        Ok(bits) if bits & STOP != 0 => Order::Stop,
        Ok(bits) if bits & PAUSE != 0 => Order::Pause,
        _ => Order::GoOn,
    }
}
fn pause() {
    sign(PAUSED);
    while !matches!(sys::wait(ORDERS, u64::MAX), Ok(bits) if bits & RESUME != 0) {}
}

/// Something that ends the process, or else status 0 says that it did not.
fn deed(name: &str) -> u8 {
    if let Some((_, deed)) = machine::DEEDS.iter().find(|(known, _)| *known == name) {
        deed();
    }
    0
}
