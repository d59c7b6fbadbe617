//! Every history of a small world, up to a depth, held against a model that keeps a list and searches it.
//!
//! A few spaces, an endpoint whose badges are watched and the console, and a few capabilities at a time. Every slot is
//! so old that its second content is its last. Breadth first; a state that looks the same from outside and has the
//! same slots and the same tree is not gone through twice.

use super::*;
use crate::testing::explore::{self, Explored};
use alloc::vec::Vec;
use bailiwick_abi::{CapabilityWord, Error, Handle, SLOTS_WELL_KNOWN, Transfer};

const ENDPOINT: Object = Object::Endpoint(EndpointId(1));
/// What there is in a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Menu {
    /// Three spaces, five capabilities at a time, and every step there is: for short histories.
    Wide,
    /// Two spaces, three capabilities at a time, and one way to do each thing: for long ones.
    Deep,
}

impl Menu {
    fn live_max(self) -> usize {
        if self == Menu::Wide { 5 } else { 3 }
    }
    /// All of these, or only the first few.
    fn some<T: Copy>(self, all: &[T], few: usize) -> Vec<T> {
        all.iter().copied().take(if self == Menu::Wide { all.len() } else { few }).collect()
    }
    fn open(self) -> [bool; SPACES] {
        [true, true, self == Menu::Wide]
    }
}

/// Slots of each space whose generations are nearly used up.
const OLD: u32 = 3;
const SPACES: usize = 3;

const CALL: Rights = Rights(1 | 16);
const LOOK: Rights = Rights::READ;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    id: u32,
    parent: Option<u32>,
    capability: Capability,
    space: usize,
    handle: Handle,
}

/// The model: a list of what there is, one of what there was, and one of the badges that have ended.
#[derive(Clone, Default)]
struct Model {
    live: Vec<Entry>,
    dead: Vec<(usize, Handle)>,
    ended: Vec<u64>,
    next: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Derive {
        of: usize,
        rights: Rights,
        badge: u64,
    },
    Copy {
        of: usize,
        to: usize,
        rights: Rights,
    },
    Move {
        of: usize,
        to: usize,
        rights: Rights,
    },
    /// Handed over with a badge.
    Badge {
        of: usize,
        to: usize,
        badge: u64,
    },
    /// The first is copied, the second moved, together.
    Both {
        first: usize,
        second: usize,
        to: usize,
    },
    Delete {
        of: usize,
    },
    Revoke {
        of: usize,
    },
    RevokeBadge {
        of: usize,
        badge: u64,
    },
    EndSpace {
        space: usize,
    },
    DropObject,
    TakeBadges,
}

#[derive(Clone)]
struct World {
    caps: Capabilities,
    spaces: Vec<SpaceId>,
    open: [bool; SPACES],
    menu: Menu,
    model: Model,
}

impl Model {
    fn add(&mut self, parent: Option<u32>, capability: Capability, space: usize, handle: Handle) {
        self.next += 1;
        self.live.push(Entry { id: self.next, parent, capability, space, handle });
    }
    fn parent(&self, id: u32) -> Option<u32> {
        self.live.iter().find(|e| e.id == id).and_then(|e| e.parent)
    }
    fn is_below(&self, id: u32, ancestor: u32) -> bool {
        core::iter::successors(self.parent(id), |id| self.parent(*id)).any(|at| at == ancestor)
    }
    fn badge_is_held(&self, badge: u64) -> bool {
        self.live.iter().any(|entry| entry.capability.badge == badge)
    }
    /// What was derived from one that goes alone is its parent's.
    fn delete(&mut self, id: u32) {
        let parent = self.parent(id);
        let badge = self.live.iter().find(|e| e.id == id).map_or(0, |e| e.capability.badge);
        self.live.iter_mut().filter(|e| e.parent == Some(id)).for_each(|e| e.parent = parent);
        self.bury(|entry| entry.id == id);
        self.note_end(badge);
    }
    fn note_end(&mut self, badge: u64) {
        if badge != 0 && !self.badge_is_held(badge) && !self.ended.contains(&badge) {
            self.ended.push(badge);
        }
    }
    fn bury(&mut self, gone: impl Fn(&Entry) -> bool) {
        let (dead, live): (Vec<Entry>, Vec<Entry>) = self.live.iter().partition(|entry| gone(entry));
        self.dead.extend(dead.iter().map(|entry| (entry.space, entry.handle)));
        self.live = live;
    }
    fn below(&self, id: u32, badge: Option<u64>) -> Vec<u32> {
        let wanted =
            |e: &&Entry| badge.is_none_or(|badge| e.capability.badge == badge) && self.is_below(e.id, id);
        self.live.iter().filter(wanted).map(|e| e.id).collect()
    }
    fn revoke(&mut self, id: u32) {
        let below = self.below(id, None);
        let badges: Vec<u64> =
            self.live.iter().filter(|e| below.contains(&e.id)).map(|e| e.capability.badge).collect();
        self.bury(|entry| below.contains(&entry.id));
        badges.into_iter().for_each(|badge| self.note_end(badge));
    }
    fn revoke_badge(&mut self, id: u32, badge: u64) {
        let below = self.below(id, Some(badge));
        self.bury(|entry| below.contains(&entry.id));
    }
    /// The badges that have ended and are not held again.
    fn take_badges(&mut self) -> Vec<u64> {
        let mut ended = core::mem::take(&mut self.ended);
        ended.retain(|badge| !self.badge_is_held(*badge));
        ended.sort_unstable();
        ended
    }
}

impl World {
    fn new(menu: Menu) -> World {
        let mut caps = Capabilities::default();
        let spaces: Vec<SpaceId> = (0..SPACES).map(|_| caps.new_space()).collect();
        let mut first = Vec::new();
        for space in &spaces {
            let all = Capability::all(Object::Clock);
            let made: Vec<Handle> = (0..OLD).map(|_| caps.insert(*space, all).unwrap()).collect();
            made.iter().rev().for_each(|handle| caps.delete(*space, *handle).unwrap());
            first.push(made);
            for at in 0..OLD {
                caps.space_mut(*space).unwrap().age(SLOTS_WELL_KNOWN + at, u32::MAX - 1);
            }
        }
        caps.watch_badges(EndpointId(1), 1).unwrap();
        let mut world = World { caps, spaces, open: menu.open(), menu, model: Model::default() };
        // The first contents of all slots, whose generation is what comes after the last.
        for (space, made) in first.into_iter().enumerate() {
            world.model.dead.extend(made.into_iter().map(|handle| (space, handle)));
        }
        for object in [ENDPOINT, Object::Console] {
            let handle = world.caps.insert(world.spaces[0], Capability::all(object)).unwrap();
            world.model.add(None, Capability::all(object), 0, handle);
        }
        world.settle();
        world
    }

    /// Every list that the kernel would act on is emptied, after a look that it lists nothing that is still there.
    fn settle(&mut self) {
        while let Some(gone) = self.caps.next_gone() {
            let count = |object| self.model.live.iter().filter(|e| e.capability.object == object).count();
            match gone {
                Gone::Object(object) => assert_eq!(count(object), 0, "{object:?} is still held"),
                Gone::Readers(id) => assert_eq!(self.caps.readers(Object::Endpoint(id)), 0),
                Gone::Badge(_) => assert!(!self.model.ended.is_empty(), "no badge has ended"),
                Gone::Capability(_) => {}
            }
        }
    }

    fn entry(&self, at: usize) -> Entry {
        self.model.live[at]
    }
    fn word(entry: Entry, rights: Rights, how: Transfer) -> CapabilityWord {
        CapabilityWord::new(entry.handle, rights, how)
    }
    fn pass(&mut self, from: usize, to: usize, words: &[CapabilityWord]) -> Result<Passed, Error> {
        let wanted: Wanted = words.iter().map(|word| (*word).into()).collect();
        self.caps.transfer(self.spaces[from], self.spaces[to], &wanted)
    }
    fn moved(&mut self, id: u32, to: usize, rights: Rights, handle: Handle) {
        let entry = self.model.live.iter_mut().find(|e| e.id == id).unwrap();
        self.model.dead.push((entry.space, entry.handle));
        entry.capability.rights = entry.capability.rights.restrict(rights);
        (entry.space, entry.handle) = (to, handle);
    }

    /// Takes a step in the world and in the model; they must agree on what comes of it.
    fn take(&mut self, step: Step) {
        match step {
            Step::Derive { of, rights, badge } => self.derive(self.entry(of), rights, badge),
            Step::Copy { of, to, rights } => {
                let entry = self.entry(of);
                let came = self.pass(entry.space, to, &[World::word(entry, rights, Transfer::Copy)]);
                let Some(passed) = may_grant(entry, came) else { return };
                let rights = entry.capability.rights.restrict(rights);
                let capability = Capability { rights, ..entry.capability };
                self.model.add(Some(entry.id), capability, to, passed[0].handle());
            }
            Step::Move { of, to, rights } => {
                let entry = self.entry(of);
                let came = self.pass(entry.space, to, &[World::word(entry, rights, Transfer::Move)]);
                let Some(passed) = may_grant(entry, came) else { return };
                self.moved(entry.id, to, rights, passed[0].handle());
            }
            Step::Badge { of, to, badge } => {
                let entry = self.entry(of);
                let offer = Offer { word: World::word(entry, Rights::ALL, Transfer::Badged), badge };
                let wanted = Wanted::from_slice(&[offer]).unwrap();
                let came = self.caps.transfer(self.spaces[entry.space], self.spaces[to], &wanted);
                if !entry.capability.rights.contains(Rights::GRANT) {
                    assert_eq!(came, Err(Error::DENIED));
                    return;
                }
                self.derived(entry, Rights::ALL, badge, to, came.map(|passed| passed[0].handle()));
            }
            Step::Both { first, second, to } => {
                let (first, second) = (self.entry(first), self.entry(second));
                let words = [
                    World::word(first, CALL, Transfer::Copy),
                    World::word(second, Rights::ALL, Transfer::Move),
                ];
                let came = self.pass(first.space, to, &words);
                let grants = |e: Entry| e.capability.rights.contains(Rights::GRANT);
                if !grants(first) || !grants(second) {
                    assert_eq!(came, Err(Error::DENIED));
                    return;
                }
                let passed = came.unwrap();
                let rights = first.capability.rights.restrict(CALL);
                self.model.add(
                    Some(first.id),
                    Capability { rights, ..first.capability },
                    to,
                    passed[0].handle(),
                );
                self.moved(second.id, to, Rights::ALL, passed[1].handle());
            }
            Step::Delete { of } => {
                let entry = self.entry(of);
                self.caps.delete(self.spaces[entry.space], entry.handle).unwrap();
                self.model.delete(entry.id);
            }
            Step::Revoke { of } => {
                let entry = self.entry(of);
                self.caps.revoke(self.spaces[entry.space], entry.handle).unwrap();
                self.model.revoke(entry.id);
            }
            Step::RevokeBadge { of, badge } => {
                let entry = self.entry(of);
                let came = self.caps.revoke_badge(self.spaces[entry.space], entry.handle, badge);
                let Capability { object, rights, badge: own } = entry.capability;
                if object != ENDPOINT || own != 0 {
                    assert_eq!(came, Err(Error::WRONG_KIND));
                } else if !rights.contains(Rights::CREATE) {
                    assert_eq!(came, Err(Error::DENIED));
                } else {
                    came.unwrap();
                    self.model.revoke_badge(entry.id, badge);
                }
            }
            Step::EndSpace { space } => {
                self.caps.end_space(self.spaces[space]);
                self.open[space] = false;
                while let Some(entry) = self.model.live.iter().find(|e| e.space == space).copied() {
                    self.model.delete(entry.id);
                }
            }
            Step::DropObject => {
                let named = self.model.live.iter().find(|e| e.capability.object == Object::Console);
                if let Some(Entry { space, handle, .. }) = named.copied() {
                    self.caps.drop_object(self.spaces[space], handle).unwrap();
                }
                while let Some(found) =
                    self.model.live.iter().find(|e| e.capability.object == Object::Console)
                {
                    self.model.delete(found.id);
                }
            }
            Step::TakeBadges => {
                let mut taken: Vec<u64> =
                    core::iter::from_fn(|| self.caps.take_badge(EndpointId(1))).collect();
                taken.sort_unstable();
                assert_eq!(taken, self.model.take_badges());
            }
        }
    }

    fn derive(&mut self, entry: Entry, rights: Rights, badge: u64) {
        let came = self.caps.derive(self.spaces[entry.space], entry.handle, rights, badge);
        self.derived(entry, rights, badge, entry.space, came);
    }
    /// Deriving this gave that.
    fn derived(&mut self, entry: Entry, rights: Rights, badge: u64, to: usize, came: Result<Handle, Error>) {
        let from = entry.capability;
        let refusal = match (from.object, badge) {
            (_, 0) => None,
            (object, _) if object != ENDPOINT || from.badge != 0 => Some(Error::WRONG_KIND),
            _ if !from.rights.contains(Rights::CREATE) => Some(Error::DENIED),
            _ => None,
        };
        if let Some(refusal) = refusal {
            assert_eq!(came, Err(refusal));
            return;
        }
        let mut rights = from.rights.restrict(rights);
        let badge = if badge == 0 { from.badge } else { badge };
        if badge != 0 {
            rights = rights.restrict(CALL);
        }
        self.model.add(Some(entry.id), Capability { rights, badge, ..from }, to, came.unwrap());
    }

    /// Everything that must be true after each step.
    fn check(&self) {
        assert_eq!(self.caps.count(), self.model.live.len());
        for entry in &self.model.live {
            assert_eq!(self.caps.look(self.spaces[entry.space], entry.handle), Ok(entry.capability));
            let node = self.caps.node(self.spaces[entry.space], entry.handle).unwrap();
            assert_eq!(self.caps.place(node), Some((self.spaces[entry.space], entry.handle.slot())));
            // What is written down in the slot for messages is what the capability allows.
            let Capability { object, rights, badge } = entry.capability;
            let may = |right| object == ENDPOINT && rights.contains(right);
            let port = *self.caps.port(self.spaces[entry.space], entry.handle).unwrap();
            assert_eq!(port.sends, may(Rights::WRITE).then_some(EndpointId(1)));
            assert_eq!(port.receives, may(Rights::READ).then_some((EndpointId(1), node)));
            assert_eq!(port.badge, badge);
            if let Some(parent) = entry.parent {
                let parent = self.model.live.iter().find(|e| e.id == parent).unwrap();
                // Rights only narrow on the way down.
                assert!(parent.capability.object == entry.capability.object, "another object");
                let above = self.caps.node(self.spaces[parent.space], parent.handle).unwrap();
                assert_eq!(self.caps.nodes.get(node.0).unwrap().links()[0], Some(above), "another parent");
            }
        }
        for (space, handle) in &self.model.dead {
            assert_eq!(
                self.caps.port(self.spaces[*space], *handle).filter(|port| **port != space::Port::default()),
                None
            );
            assert_eq!(self.caps.look(self.spaces[*space], *handle), Err(Error::BAD_HANDLE), "{handle:?}");
        }
        for object in [ENDPOINT, Object::Console] {
            let held = || self.model.live.iter().filter(move |e| e.capability.object == object);
            assert_eq!(self.caps.holders(object) as usize, held().count());
            let readers = held().filter(|e| e.capability.rights.contains(Rights::READ)).count();
            assert_eq!(self.caps.readers(object) as usize, readers);
        }
        let badges = [1, 2].iter().filter(|b| self.model.badge_is_held(**b) || self.model.ended.contains(b));
        assert_eq!(self.caps.badge_records(), badges.count());
    }

    fn steps(&self) -> Vec<Step> {
        let live = 0..self.model.live.len();
        let menu = self.menu;
        let mut steps = alloc::vec![Step::TakeBadges];
        let spaces = || (0..SPACES).filter(|space| self.open[*space]);
        for of in live.clone() {
            steps.extend([Step::Delete { of }, Step::Revoke { of }, Step::RevokeBadge { of, badge: 1 }]);
            if self.model.live.len() < self.menu.live_max() {
                for (rights, badge) in
                    menu.some(&[(Rights::ALL, 0), (Rights::ALL, 1), (LOOK, 0), (CALL, 2)], 2)
                {
                    steps.push(Step::Derive { of, rights, badge });
                }
                for (to, rights) in spaces().flat_map(|to| menu.some(&[(to, CALL), (to, Rights::ALL)], 1)) {
                    steps.push(Step::Copy { of, to, rights });
                }
                steps.extend(spaces().map(|to| Step::Badge { of, to, badge: 1 }));
                for (second, to) in live.clone().flat_map(|second| spaces().map(move |to| (second, to))) {
                    if self.menu == Menu::Wide
                        && second != of
                        && self.entry(second).space == self.entry(of).space
                    {
                        steps.push(Step::Both { first: of, second, to });
                    }
                }
            }
            for (to, rights) in spaces().flat_map(|to| menu.some(&[(to, Rights::ALL), (to, LOOK)], 1)) {
                steps.push(Step::Move { of, to, rights });
            }
        }
        steps.extend(spaces().map(|space| Step::EndSpace { space }));
        steps.push(Step::DropObject);
        steps
    }

    /// What tells this state from others: everything but the positions of nodes, which nobody can see.
    fn key(&self) -> Vec<u64> {
        let mut key = Vec::new();
        for (space, open) in self.spaces.iter().zip(self.open) {
            key.push(u64::from(open));
            key.extend(self.caps.space(*space).into_iter().flat_map(|space| space.outline()));
        }
        let place = |id: Option<NodeId>| {
            let place = id.and_then(|id| self.caps.place(id));
            place.map_or(0, |(space, slot)| u64::from(space.0 + 1) << 32 | u64::from(slot))
        };
        let mut nodes: Vec<[u64; 8]> = Vec::new();
        for (at, node) in self.caps.nodes.iter() {
            let [parent, child, previous, next] = node.links().map(place);
            let Capability { object, rights, badge } = node.capability();
            let kind = object.kind() as u64;
            nodes.push([
                place(Some(NodeId(at))),
                kind,
                rights.0.into(),
                badge,
                parent,
                child,
                previous,
                next,
            ]);
        }
        nodes.sort_unstable();
        key.extend(nodes.into_flattened());
        key.push(u64::MAX);
        key.extend(&self.model.ended);
        key
    }
}

/// What was passed on, if the capability allows that.
fn may_grant(entry: Entry, came: Result<Passed, Error>) -> Option<Passed> {
    if entry.capability.rights.contains(Rights::GRANT) {
        return Some(came.unwrap());
    }
    assert_eq!(came, Err(Error::DENIED));
    None
}

fn explore(menu: Menu, depth: usize) -> Explored {
    let explored = explore::breadth_first(World::new(menu), depth, World::key, |world| {
        let next = world.steps().into_iter().map(|step| {
            let mut after = world.clone();
            after.take(step);
            after.settle();
            after.check();
            after
        });
        next.collect()
    });
    extern crate std;
    std::println!("capabilities, {menu:?}: {explored:?}, depth {depth}");
    explored
}

#[test]
fn in_every_short_history_no_right_grows_and_what_is_revoked_is_gone_everywhere() {
    let explored = explore(Menu::Wide, explore::depth("BAILIWICK_EXPLORE_WIDE", 3));
    assert!(explored.states > 10_000, "{explored:?}");
}

#[test]
fn in_every_long_history_of_few_capabilities_slots_that_are_used_up_name_nothing_again() {
    let explored = explore(Menu::Deep, explore::depth("BAILIWICK_EXPLORE_DEEP", 6));
    assert!(explored.states > 10_000, "{explored:?}");
}
