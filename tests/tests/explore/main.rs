//! Every history of a small world, on the real server: any clients, two levels of factories, two containers, every
//! operation, kernel steps that fail, holders that die, time that passes, things that are due at once in every order,
//! capabilities taken back at every moment.
//!
//! Breadth first: a state is one that was seen before if the picture of it is ([`bailiwick_kernel_glue::picture`]).
//! Clients are no part of it, for they are no part of what a server sees (`world/mod.rs`). In each new state the
//! manager is audited, and each answer is held against a list of who derived what and what was taken back, which knows
//! nothing of the server's (`list.rs`).
//!
//! By default it takes some seconds; `tests/run` goes further. `BAILIWICK_EXPLORE=8` goes to that depth,
//! `BAILIWICK_EXPLORE_STATES=10000000` to that many states, whichever comes first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod alphabet;
mod list;
mod search;
mod world;

use alphabet::Act::*;
use alphabet::Move;
use alphabet::What::*;
use search::{Bounds, explore, follow};
use world::Start;

/// The server does at once whatever is to be done, and few capabilities are held.
const SMALL: Start = Start { steps: 64, held: 3 };

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The bounds that the environment sets; of so many states as a share of it.
fn bounds(share: usize) -> Bounds {
    let (depth, states) = (number("BAILIWICK_EXPLORE"), number("BAILIWICK_EXPLORE_STATES"));
    let by_default = if depth.is_some() { usize::MAX } else { 200_000 };
    Bounds { depth: depth.unwrap_or(99), states: states.unwrap_or(by_default) / share }
}

#[test]
fn every_history_of_a_small_world_keeps_every_promise() {
    assert!(explore(SMALL, bounds(1)).states > 1000);
}

/// Here as many capabilities are held as eight acts can make.
#[test]
fn every_history_of_a_wider_world_does() {
    assert!(explore(Start { held: 9, ..SMALL }, bounds(20)).states > 1000);
}

/// Here every other act comes between two steps of what is swept.
#[test]
fn every_history_with_sweeps_put_aside_after_each_step_does() {
    assert!(explore(Start { steps: 1, ..SMALL }, bounds(20)).states > 1000);
}

/// Histories that failed once, as they were printed, and how many steps were done at once.
const HISTORIES: &[(u32, &[Move])] = &[
    // A creation is called off by the sweep that a look-up does before it looks.
    (
        1,
        &[
            Move { act: Call { hold: 0, what: Create { id: 0, bundle: 1 } }, fail: 0, order: 0 },
            Move { act: Call { hold: 0, what: Revoke }, fail: 0, order: 0 },
            Move { act: Call { hold: 0, what: Lookup(0) }, fail: 1, order: 0 },
        ],
    ),
    // A creation ends with the capability it was asked for by, and with it what was stored elsewhere.
    (
        64,
        &[
            Move { act: Call { hold: 0, what: Derive(3) }, fail: 0, order: 0 },
            Move { act: Call { hold: 1, what: Create { id: 0, bundle: 1 } }, fail: 0, order: 0 },
            Move { act: Call { hold: 0, what: Create { id: 1, bundle: 0 } }, fail: 0, order: 0 },
            Move { act: Call { hold: 0, what: Grant { to: 1, on: 0 } }, fail: 0, order: 0 },
            Move { act: Second, fail: 0, order: 0 },
            Move { act: Call { hold: 1, what: Take }, fail: 1, order: 0 },
        ],
    ),
    // A creation is called off by what a question finds left over.
    (
        64,
        &[
            Move { act: Call { hold: 0, what: Derive(1) }, fail: 0, order: 0 },
            Move { act: Close { hold: 0 }, fail: 0, order: 0 },
            Move { act: Call { hold: 0, what: Derive(3) }, fail: 0, order: 0 },
            Move { act: Call { hold: 1, what: Create { id: 0, bundle: 1 } }, fail: 0, order: 0 },
            Move { act: Call { hold: 0, what: Lookup(0) }, fail: 0, order: 0 },
            Move { act: Second, fail: 0, order: 0 },
            Move { act: Second, fail: 1, order: 0 },
            Move { act: Close { hold: 0 }, fail: 0, order: 0 },
        ],
    ),
];

#[test]
fn histories() {
    for (steps, moves) in HISTORIES {
        follow(Start { steps: *steps, held: 9 }, moves);
    }
}
