//! Breadth first, by as many threads as there are processors.

use super::alphabet::{Act, Move, What, bundles};
use super::world::{Start, World};
use bailiwick_kernel_glue::model::Directory;
use bailiwick_kernel_glue::picture::Picture;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// In one of so many new states everybody dies and everything is removed.
const WIND_UP_EVERY: u64 = 64;
/// In one of so many everything that only reads or is refused is tried.
const REST_EVERY: u64 = 32;
/// In one of so many each kernel step of a creation fails.
const ALL_EVERY: u64 = 32;
/// States that a thread takes at once: most have the same one before them.
const PIECE: usize = 64;
const SHELVES: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) depth: usize,
    pub(super) states: usize,
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Found {
    pub(super) states: usize,
    pub(super) transitions: u64,
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

/// One state that was reached: from which one, and how. The first one is reached from itself.
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
                None => search.first(),
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
    fn first(&self) -> World {
        World::new(self.start, &self.bundles)
    }

    /// Counts a state if it was not seen before, and looks it over. Gives its fingerprint.
    fn enter(&self, world: &World, picture: &mut Picture) -> (u64, Seen) {
        let fingerprint = world.fingerprint(picture);
        if !self.shelves.insert(fingerprint) {
            return (fingerprint, Seen::Before);
        }
        self.states.fetch_add(1, Ordering::Relaxed);
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
        let mut here = Here { search: self, world, at, moves, picture, new, transitions: 0 };
        world.acts().into_iter().for_each(|act| here.follow(act));
        self.transitions.fetch_add(here.transitions, Ordering::Relaxed);
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
        let others = thread::available_parallelism().map_or(1, NonZero::get) - 1;
        thread::scope(|scope| {
            let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
            let (mut new, mut done) = work();
            for other in others {
                let (more, more_done) = other.join().unwrap_or_else(|panic| resume_unwind(panic));
                new.extend(more);
                done += more_done;
            }
            (new, done)
        })
    }
}

/// A state from which all others are sought that follow it.
struct Here<'s> {
    search: &'s Search,
    world: &'s World,
    at: u32,
    moves: Vec<Move>,
    picture: &'s mut Picture,
    new: &'s mut Vec<Node>,
    transitions: u64,
}

/// Where an act leads, in each order of things in which it is possible, and the most kernel steps it takes.
type Ends = (Vec<u64>, u8);

impl Here<'_> {
    /// Does an act, as it is and with each kernel step failing.
    ///
    /// A creation takes many, and undoes them all if one fails. At the first it reads the bundle. Of the others the
    /// server is told that one failed and not which, so one is tried, another one in each state. If something else is
    /// to be done first, the first steps are its own; they are tried as well. In one of so many states all steps are,
    /// and must lead where those lead.
    fn follow(&mut self, act: Act) {
        let (ends, steps) = self.ends(act, 0);
        let creation = matches!(act, Act::Call { what: What::Create { .. }, .. });
        if !creation || steps < 4 {
            return (1..=steps).for_each(|fail| drop(self.ends(act, fail)));
        }
        let first = if self.world.is_quiet() { 1 } else { 3 };
        let chosen = first + 1 + (ends[0] >> 16) as u8 % (steps - first);
        let some: Vec<u8> = (1..=first).chain([chosen]).collect();
        let found: Vec<u64> = some.iter().flat_map(|fail| self.ends(act, *fail).0).collect();
        if ends[0].is_multiple_of(ALL_EVERY) {
            for fail in (1..=steps).filter(|fail| !some.contains(fail)) {
                let known = self.ends(act, fail).0.iter().all(|end| found.contains(end));
                let Here { moves, .. } = self;
                assert!(known, "after {moves:?}\n{act:?}: step {fail} leads elsewhere than {some:?}");
            }
        }
    }

    /// Does an act with this kernel step failing, in each order of the things that are due at once meanwhile.
    fn ends(&mut self, act: Act, fail: u8) -> Ends {
        let (mut ends, mut steps, mut orders, mut order) = (vec![], 0, 1, 0);
        while order < orders {
            let step = Move { act, fail, order };
            let history = History(&self.moves, step);
            let mut next = self.world.clone();
            let done = next.apply(step, &self.search.bundles);
            orders = orders.max(next.orders().try_into().unwrap());
            if done.is_some() {
                let (fingerprint, seen) = self.search.enter(&next, self.picture);
                if let Seen::Never = seen {
                    self.new.push(Node { before: self.at, step });
                }
                ends.push(fingerprint);
                steps = steps.max((next.kernel_steps() - self.world.kernel_steps()).try_into().unwrap());
                self.transitions += 1;
            }
            drop(history);
            order += 1;
        }
        assert!(fail == 0 || !ends.is_empty(), "step {fail} was not met");
        (ends, steps)
    }
}

/// Does what a history says: one that a failure has printed.
pub(super) fn follow(start: Start, moves: &[Move]) {
    let (bundles, mut picture) = (bundles(), Picture::default());
    let mut world = World::new(start, &bundles);
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
        transitions: AtomicU64::new(0),
    };
    let begun = Instant::now();
    let mut nodes = vec![Node { before: 0, step: Move { act: Act::Event, fail: 0, order: 0 } }];
    search.enter(&search.first(), &mut Picture::default());
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
            "{} held, {} steps at once, depth {depth}{part}: {} states, {} transitions, {} s",
            start.held,
            start.steps,
            found.states,
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
            transitions: self.transitions.load(Ordering::Relaxed),
        }
    }
}
