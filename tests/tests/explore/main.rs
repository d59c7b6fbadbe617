//! Every history of a small world, on the real server: three clients, two levels of factories, two containers, kernel
//! steps that fail, holders that die, capabilities handed on and taken back at every moment.
//!
//! Breadth first: a state is one that was seen before if nothing but the numbers differ that history explains
//! (`Manager::fingerprint`). In each new state the manager is audited, and each answer is held against a list of who
//! derived what and what was taken back, which knows nothing of the server's.
//!
//! By default it takes some seconds. `BAILIWICK_EXPLORE=8` goes to that depth, `BAILIWICK_EXPLORE_STATES=10000000` to that
//! many states, whichever comes first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod world;

use bailiwick_kernel_glue::model::Directory;
use std::collections::HashSet;
use std::time::Instant;
use world::{Act, Move, World, bundles};

/// In one of so many new states everything that only reads is tried too, and the world is wound up.
const WIND_UP_EVERY: u64 = 64;

/// One state that was reached: from which one, and how.
type Node = (u32, Move);

fn replay(nodes: &[Node], mut at: u32, bundles: &[Directory; 2]) -> (World, Vec<Move>) {
    let mut moves = vec![];
    while at != 0 {
        let (parent, step) = nodes[at as usize];
        moves.push(step);
        at = parent;
    }
    moves.reverse();
    let mut world = World::new();
    for step in &moves {
        world.apply(*step, bundles).unwrap();
    }
    (world, moves)
}

/// Says how a failure came about.
struct History<'a>(&'a [Move], Move);
impl Drop for History<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {:?}\nthen {:?}", self.0, self.1);
        }
    }
}

fn explore(depth: usize, most: usize) {
    let (bundles, start) = (bundles(), Instant::now());
    let mut nodes: Vec<Node> = vec![(0, (Act::Event, 0))];
    let mut seen = HashSet::from([World::new().fingerprint()]);
    let (mut from, mut transitions, mut wound_up) = (0, 0u64, 0u64);
    for level in 1..=depth {
        let to = nodes.len();
        for at in from..to {
            let (world, moves) = replay(&nodes, at as u32, &bundles);
            for act in world.acts() {
                for fail in 0..u8::MAX {
                    let step = (act, fail);
                    let history = History(&moves, step);
                    let mut next = world.clone();
                    if next.apply(step, &bundles).is_none() {
                        break;
                    }
                    transitions += 1;
                    next.check();
                    let fingerprint = next.fingerprint();
                    if seen.insert(fingerprint) {
                        if let Err(finding) = next.audit() {
                            panic!("{finding}");
                        }
                        nodes.push((at as u32, step));
                        if fingerprint.is_multiple_of(WIND_UP_EVERY) {
                            wound_up += 1;
                            next.wind_up();
                        }
                    }
                    drop(history);
                }
            }
            if nodes.len() >= most {
                println!(
                    "stopped within depth {level}, after {} of {} states of depth {}",
                    at - from,
                    to - from,
                    level - 1
                );
                from = nodes.len();
                break;
            }
        }
        let elapsed = start.elapsed().as_secs();
        println!(
            "depth {level}: {} states, {transitions} transitions, {wound_up} wound up, {elapsed} s",
            nodes.len()
        );
        if from == nodes.len() {
            break;
        }
        from = to;
    }
    assert!(nodes.len() > 1000);
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_history_of_a_small_world_keeps_every_promise() {
    let (depth, most) = (number("BAILIWICK_EXPLORE"), number("BAILIWICK_EXPLORE_STATES"));
    let most_by_default = if depth.is_some() { usize::MAX } else { 30_000 };
    explore(depth.unwrap_or(99), most.unwrap_or(most_by_default));
}
