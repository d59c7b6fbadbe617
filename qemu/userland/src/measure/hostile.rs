//! Handles and addresses that were made up.

use super::plain;
use crate::sys;
use bailiwick_abi::{Call, Error, Handle, Rights, slot};

/// How many handles that were made up, or lack a right, are not refused as they must be.
pub(super) fn taken() -> usize {
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
