//! Every history of a small world, on the real server: three clients, two levels of factories, two containers, every
//! operation, kernel steps that fail, holders that die, time that passes, capabilities handed on and taken back at every
//! moment.
//!
//! Breadth first: a state is one that was seen before if the picture of it is ([`bailiwick_kernel_glue::picture`]), in
//! which clients have no names, so that histories in which only they change places count as one. In each new state the
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
use search::{Bounds, Start, explore, follow};
use world::Clients;

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
    let found = explore(Start { steps: 64, clients: Clients::Alike }, bounds(1));
    assert!(found.states > 1000);
}

/// Here every other act comes between two steps of what is swept.
#[test]
fn every_history_with_sweeps_put_aside_after_each_step_does() {
    let found = explore(Start { steps: 1, clients: Clients::Alike }, bounds(5));
    assert!(found.states > 1000);
}

/// That clients change places is all that is left out: with numbers there are just as many states more.
#[test]
fn clients_that_change_places_make_no_other_state() {
    let bounds = Bounds { depth: 3, states: usize::MAX };
    let alike = explore(Start { steps: 64, clients: Clients::Alike }, bounds);
    let numbered = explore(Start { steps: 64, clients: Clients::Numbered }, bounds);
    assert_eq!(alike.numbered, numbered.states as u64);
}

/// Histories that failed once, as they were printed, and how many steps were done at once.
const HISTORIES: &[(u32, &[Move])] = &[
    // A creation is called off by the sweep that a look-up does before it looks.
    (
        1,
        &[
            (Call { client: 0, hold: 0, what: Create { id: 0, bundle: 1 } }, 0),
            (Call { client: 0, hold: 0, what: Revoke }, 0),
            (Call { client: 0, hold: 0, what: Lookup(0) }, 1),
        ],
    ),
    // A creation ends with the capability it was asked for by, and with it what was stored elsewhere.
    (
        64,
        &[
            (Call { client: 0, hold: 0, what: Derive(3) }, 0),
            (Call { client: 0, hold: 1, what: Create { id: 0, bundle: 1 } }, 0),
            (Call { client: 0, hold: 0, what: Create { id: 1, bundle: 0 } }, 0),
            (Call { client: 0, hold: 0, what: Grant { to: 1, on: 0 } }, 0),
            (Second, 0),
            (Call { client: 0, hold: 1, what: Take }, 1),
        ],
    ),
];

#[test]
fn histories() {
    for (steps, moves) in HISTORIES {
        follow(Start { steps: *steps, clients: Clients::Alike }, moves);
    }
}
