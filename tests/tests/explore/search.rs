//! Breadth first, by two threads.

use super::alphabet::{Act, Move, What, bundles};
use super::world::{CLIENTS, Clients, World};
use bailiwick_kernel_glue::model::Directory;
use bailiwick_kernel_glue::picture::Picture;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// In one of so many new states everybody dies and everything is removed.
const WIND_UP_EVERY: u64 = 64;
/// In one of so many everything that only reads or is refused is tried.
const REST_EVERY: u64 = 32;
/// Of a creation, which takes many kernel steps and undoes them all if one fails, some fail: the first two, the last, and
/// one between, as it comes. In one of so many states all of them do, and must lead where those lead.
const SOME: usize = 4;
const ALL_EVERY: u64 = 8;
/// States that a thread takes at once: most have the same one before them.
const PIECE: usize = 64;
const SHELVES: usize = 64;

/// How the world begins, and what counts as another state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Steps of left-over work that the server does at once.
    pub(super) steps: u32,
    pub(super) clients: Clients,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) depth: usize,
    pub(super) states: usize,
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Found {
    pub(super) states: usize,
    /// How many there would be if it mattered which client is which.
    pub(super) numbered: u64,
    transitions: u64,
}

/// A fingerprint is as good as a hash.
#[derive(Default)]
struct Itself(u64);
impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Whether a state was reached before.
enum Seen {
    Never,
    Before,
}

/// Fingerprints that were seen.
struct Shelves(Vec<Mutex<HashSet<u64, BuildHasherDefault<Itself>>>>);

impl Shelves {
    /// True the first time.
    fn insert(&self, fingerprint: u64) -> bool {
        let shelf = &self.0[fingerprint as usize >> 8 & (SHELVES - 1)];
        shelf.lock().unwrap().insert(fingerprint)
    }
}

/// One state that was reached: from which one, and how. The first ones are reached from themselves.
#[derive(Clone, Copy)]
struct Node {
    before: u32,
    step: Move,
}

struct Search {
    start: Start,
    bounds: Bounds,
    bundles: [Directory; 2],
    shelves: Shelves,
    states: AtomicUsize,
    numbered: AtomicU64,
    transitions: AtomicU64,
}

/// Says how a failure came about.
struct History<'a>(&'a [Move], Move);
impl Drop for History<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("after {:?}\nthen {:?}", self.0, self.1);
        }
    }
}

/// The way to the state that a thread is at, so that going to the next one is a step or two.
#[derive(Default)]
struct Way {
    nodes: Vec<u32>,
    worlds: Vec<World>,
}

impl Way {
    fn go_to(&mut self, search: &Search, nodes: &[Node], at: u32) {
        let mut way = vec![at];
        while nodes[way[way.len() - 1] as usize].before != way[way.len() - 1] {
            way.push(nodes[way[way.len() - 1] as usize].before);
        }
        way.reverse();
        let known = way.iter().zip(&self.nodes).take_while(|(one, other)| one == other).count();
        self.nodes.truncate(known);
        self.worlds.truncate(known);
        for node in &way[known..] {
            let world = match self.worlds.last() {
                None => search.first(*node as usize),
                Some(before) => {
                    let mut world = before.clone();
                    world.apply(nodes[*node as usize].step, &search.bundles).unwrap();
                    world
                }
            };
            self.nodes.push(*node);
            self.worlds.push(world);
        }
    }

    fn moves(&self, nodes: &[Node]) -> Vec<Move> {
        self.nodes[1..].iter().map(|node| nodes[*node as usize].step).collect()
    }
}

impl Search {
    fn first(&self, client: usize) -> World {
        World::new(client, self.start.steps, &self.bundles)
    }

    /// Counts a state if it was not seen before, and looks it over. Gives its fingerprint.
    fn enter(&self, world: &World, picture: &mut Picture) -> (u64, Seen) {
        let (fingerprint, places) = world.fingerprint(self.start.clients, picture);
        if !self.shelves.insert(fingerprint) {
            return (fingerprint, Seen::Before);
        }
        self.states.fetch_add(1, Ordering::Relaxed);
        self.numbered.fetch_add(places.into(), Ordering::Relaxed);
        if let Err(finding) = world.audit() {
            panic!("{finding}");
        }
        if fingerprint.is_multiple_of(REST_EVERY) {
            world.clone().try_the_rest(&self.bundles[0], picture);
        }
        if fingerprint.is_multiple_of(WIND_UP_EVERY) {
            world.clone().wind_up();
        }
        (fingerprint, Seen::Never)
    }

    /// Everything that can follow a state.
    fn expand(&self, at: u32, way: &Way, nodes: &[Node], picture: &mut Picture, new: &mut Vec<Node>) {
        let world = &way.worlds[way.worlds.len() - 1];
        let moves = way.moves(nodes);
        let mut follow = |step| {
            let history = History(&moves, step);
            let mut next = world.clone();
            next.apply(step, &self.bundles)?;
            self.transitions.fetch_add(1, Ordering::Relaxed);
            let (fingerprint, seen) = self.enter(&next, picture);
            if let Seen::Never = seen {
                new.push(Node { before: at, step });
            }
            drop(history);
            Some((fingerprint, (next.kernel_steps() - world.kernel_steps()) as u8))
        };
        for act in world.acts(self.start.clients) {
            let Some((fingerprint, steps)) = follow((act, 0)) else { continue };
            let creation = matches!(act, Act::Call { what: What::Create { .. }, .. });
            if !creation || usize::from(steps) <= SOME {
                for fail in 1..=steps {
                    follow((act, fail));
                }
                continue;
            }
            let some = [1, 2, 3 + (fingerprint >> 16) as u8 % (steps - 3), steps];
            let found = some.map(|fail| follow((act, fail)).map(|found| found.0));
            if fingerprint.is_multiple_of(ALL_EVERY) {
                for fail in (1..steps).filter(|fail| !some.contains(fail)) {
                    let other = follow((act, fail)).map(|other| other.0);
                    assert!(found.contains(&other), "step {fail} leads elsewhere than steps {some:?}");
                }
            }
        }
    }

    /// The states that follow those from `from` on, and how many of those were looked at.
    fn level(&self, nodes: &[Node], from: usize) -> (Vec<Node>, usize) {
        let next = AtomicUsize::new(from);
        let work = || {
            let (mut way, mut picture, mut new, mut done) = (Way::default(), Picture::default(), vec![], 0);
            while self.states.load(Ordering::Relaxed) < self.bounds.states {
                let piece = next.fetch_add(PIECE, Ordering::Relaxed);
                for at in piece..nodes.len().min(piece + PIECE) {
                    way.go_to(self, nodes, at as u32);
                    self.expand(at as u32, &way, nodes, &mut picture, &mut new);
                    done += 1;
                }
                if piece >= nodes.len() {
                    break;
                }
            }
            (new, done)
        };
        thread::scope(|scope| {
            let other = scope.spawn(work);
            let (mut new, mut done) = work();
            match other.join() {
                Ok((more, more_done)) => {
                    new.extend(more);
                    done += more_done;
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
            (new, done)
        })
    }
}

/// Does what a history says: one that a failure has printed.
pub(super) fn follow(start: Start, moves: &[Move]) {
    let (bundles, mut picture) = (bundles(), Picture::default());
    let mut world = World::new(0, start.steps, &bundles);
    for (at, step) in moves.iter().enumerate() {
        let history = History(&moves[..at], *step);
        assert!(world.apply(*step, &bundles).is_some(), "it is not possible here");
        world.audit().unwrap();
        world.clone().try_the_rest(&bundles[0], &mut picture);
        world.clone().wind_up();
        drop(history);
    }
}

/// Goes as far as the bounds allow and says how far that was.
pub(super) fn explore(start: Start, bounds: Bounds) -> Found {
    let search = Search {
        start,
        bounds,
        bundles: bundles(),
        shelves: Shelves((0..SHELVES).map(|_| Mutex::default()).collect()),
        states: AtomicUsize::new(0),
        numbered: AtomicU64::new(0),
        transitions: AtomicU64::new(0),
    };
    let begun = Instant::now();
    let firsts = if start.clients == Clients::Alike { 1 } else { CLIENTS };
    let mut nodes: Vec<Node> =
        (0..firsts).map(|client| Node { before: client as u32, step: (Act::Event, 0) }).collect();
    for client in 0..firsts {
        search.enter(&search.first(client), &mut Picture::default());
    }
    let mut from = 0;
    for depth in 1..=bounds.depth {
        let (new, done) = search.level(&nodes, from);
        let before = nodes.len() - from;
        from = nodes.len();
        nodes.extend(new);
        let found = search.found();
        let part =
            if done < before { format!(" ({done} of {before} states before it)") } else { String::new() };
        println!(
            "{} steps at once, depth {depth}{part}: {} states, {} if clients had names, {} transitions, {} s",
            start.steps,
            found.states,
            found.numbered,
            found.transitions,
            begun.elapsed().as_secs()
        );
        if done < before || from == nodes.len() {
            break;
        }
    }
    search.found()
}

impl Search {
    fn found(&self) -> Found {
        Found {
            states: self.states.load(Ordering::Relaxed),
            numbered: self.numbered.load(Ordering::Relaxed),
            transitions: self.transitions.load(Ordering::Relaxed),
        }
    }
}
