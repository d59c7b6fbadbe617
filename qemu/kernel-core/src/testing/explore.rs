//! Going through every history of a small world, breadth first.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

/// How much was gone through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explored {
    /// States that differ from each other.
    pub states: usize,
    /// Steps taken, those included that led to a state seen before.
    pub steps: usize,
}

/// How many steps deep a test goes: as the environment says, or so many.
pub fn depth(variable: &str, usual: usize) -> usize {
    extern crate std;
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Goes from `first` through every state that `next` leads to within `depth` steps. States of one key are gone on from
/// once.
pub fn breadth_first<S, K: Ord>(
    first: S,
    depth: usize,
    key: impl Fn(&S) -> K,
    next: impl Fn(&S) -> Vec<S>,
) -> Explored {
    let mut seen = BTreeSet::from([key(&first)]);
    let mut queue = VecDeque::from([(first, 0)]);
    let mut explored = Explored { states: 1, steps: 0 };
    while let Some((state, at)) = queue.pop_front() {
        if at == depth {
            continue;
        }
        for after in next(&state) {
            explored.steps += 1;
            if seen.insert(key(&after)) {
                explored.states += 1;
                queue.push_back((after, at + 1));
            }
        }
    }
    explored
}
