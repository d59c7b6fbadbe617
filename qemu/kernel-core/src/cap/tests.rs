//! Histories of random operations, held against a model that keeps lists and searches them.

use super::*;
use crate::ipc::EndpointId;
use crate::testing::Dice;
use alloc::vec::Vec;
use bailiwick_abi::{CapabilityWord, Error, Handle, SLOTS_MAX, SLOTS_WELL_KNOWN, Transfer};

/// One capability of the model.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    parent: Option<u32>,
    capability: Capability,
    space: usize,
    handle: Handle,
}

#[derive(Default)]
struct Model {
    live: Vec<Entry>,
    dead: Vec<(usize, Handle)>,
    next: u32,
}

impl Model {
    fn add(&mut self, parent: Option<u32>, capability: Capability, space: usize, handle: Handle) {
        self.next += 1;
        self.live.push(Entry { id: self.next, parent, capability, space, handle });
    }
    fn is_below(&self, id: u32, ancestor: u32) -> bool {
        let parent = |id: u32| self.live.iter().find(|e| e.id == id).and_then(|e| e.parent);
        core::iter::successors(parent(id), |id| parent(*id)).any(|at| at == ancestor)
    }
    fn bury(&mut self, gone: impl Fn(&Entry) -> bool) {
        let (dead, live): (Vec<Entry>, Vec<Entry>) = self.live.iter().partition(|entry| gone(entry));
        self.dead.extend(dead.iter().map(|entry| (entry.space, entry.handle)));
        self.live = live;
    }
    fn delete(&mut self, id: u32) {
        let parent = self.live.iter().find(|e| e.id == id).and_then(|e| e.parent);
        for entry in self.live.iter_mut().filter(|entry| entry.parent == Some(id)) {
            entry.parent = parent;
        }
        self.bury(|entry| entry.id == id);
    }
    fn revoke(&mut self, id: u32, badge: Option<u64>) {
        let below: Vec<u32> = self
            .live
            .iter()
            .filter(|e| self.is_below(e.id, id) && badge.is_none_or(|badge| e.capability.badge == badge))
            .map(|e| e.id)
            .collect();
        self.bury(|entry| below.contains(&entry.id));
    }
}

struct World {
    caps: Capabilities,
    spaces: Vec<SpaceId>,
    model: Model,
    dice: Dice,
}

/// What deriving from this must give.
fn derived(had: Capability, rights: Rights, badge: u64) -> Result<Capability, Error> {
    let is_endpoint = matches!(had.object, Object::Endpoint(_));
    match badge {
        0 => {}
        _ if !is_endpoint || had.badge != 0 => return Err(Error::WRONG_KIND),
        _ if !had.rights.contains(Rights::CREATE) => return Err(Error::DENIED),
        _ => {}
    }
    let badge = if badge == 0 { had.badge } else { badge };
    let mask = if badge == 0 { rights } else { Rights(rights.0 & 17) };
    Ok(Capability { rights: had.rights.restrict(mask), badge, ..had })
}

impl World {
    fn new(seed: u64) -> World {
        let mut caps = Capabilities::default();
        let spaces = (0..3).map(|_| caps.new_space()).collect();
        // With and without records of badges.
        if seed.is_multiple_of(2) {
            for id in [1, 2] {
                caps.watch_badges(EndpointId(id), 1).unwrap();
            }
        }
        World { caps, spaces, model: Model::default(), dice: Dice::new(seed) }
    }
    fn pick(&mut self) -> Option<Entry> {
        let count = self.model.live.len() as u64;
        if count == 0 { None } else { self.model.live.get(self.dice.below(count) as usize).copied() }
    }
    fn insert(&mut self) {
        let space = self.dice.below(3) as usize;
        let object = match self.dice.below(3) {
            0 => Object::Console,
            number => Object::Endpoint(EndpointId(number as u32)),
        };
        let capability = Capability::all(object);
        let handle = self.caps.insert(self.spaces[space], capability).unwrap();
        self.model.add(None, capability, space, handle);
    }
    fn derive(&mut self, from: Entry) {
        let rights = Rights(self.dice.below(32) as u8);
        let badge = self.dice.below(4);
        let had = from.capability;
        let made = self.caps.derive(self.spaces[from.space], from.handle, rights, badge);
        match derived(had, rights, badge) {
            Err(error) => assert_eq!(made, Err(error)),
            Ok(capability) => self.model.add(Some(from.id), capability, from.space, made.unwrap()),
        }
    }
    fn transfer(&mut self) {
        let (from, to) = (self.dice.below(3) as usize, self.dice.below(3) as usize);
        let mut wanted = Wanted::new();
        let mut chosen = Vec::new();
        for _ in 0..self.dice.below(5) {
            let Some(entry) = self.pick() else { return };
            let how = [Transfer::Copy, Transfer::Move, Transfer::Badged][self.dice.below(3) as usize];
            let (mask, badge) = (Rights(self.dice.below(32) as u8), self.dice.below(4));
            wanted.push(Offer { word: CapabilityWord::new(entry.handle, mask, how), badge }).unwrap();
            chosen.push((entry, mask, how, badge));
        }
        let foreign = chosen.iter().any(|(entry, ..)| {
            entry.space != from
                && !self.model.live.iter().any(|e| e.space == from && e.handle == entry.handle)
        });
        // A number means in the sender's space whatever it means there.
        for (entry, ..) in &mut chosen {
            if let Some(meant) = self.model.live.iter().find(|e| e.space == from && e.handle == entry.handle)
            {
                *entry = *meant;
            }
        }
        let twice = chosen.iter().enumerate().any(|(at, (entry, _, how, _))| {
            chosen[..at].iter().any(|(before, _, earlier, _)| {
                before.handle == entry.handle && (*earlier == Transfer::Move || *how == Transfer::Move)
            })
        });
        let ungranted = chosen.iter().any(|(entry, ..)| !entry.capability.rights.contains(Rights::GRANT));
        let unbadged = chosen.iter().any(|(entry, mask, how, badge)| {
            *how == Transfer::Badged && derived(entry.capability, *mask, *badge).is_err()
        });
        let before = self.caps.count();
        let passed = self.caps.transfer(self.spaces[from], self.spaces[to], &wanted);
        if foreign || twice || ungranted || unbadged {
            assert!(passed.is_err(), "{chosen:?}");
            assert_eq!(self.caps.count(), before, "a transfer that was refused changed something");
            return;
        }
        for ((entry, mask, how, badge), word) in chosen.iter().zip(passed.unwrap()) {
            let rights = entry.capability.rights.restrict(*mask);
            let capability = match how {
                Transfer::Badged => derived(entry.capability, *mask, *badge).unwrap(),
                Transfer::Copy | Transfer::Move => Capability { rights, ..entry.capability },
            };
            assert_eq!(word.rights(), capability.rights);
            match how {
                Transfer::Copy | Transfer::Badged => {
                    self.model.add(Some(entry.id), capability, to, word.handle())
                }
                Transfer::Move => {
                    let moved = self.model.live.iter_mut().find(|e| e.id == entry.id).unwrap();
                    self.model.dead.push((moved.space, moved.handle));
                    (moved.space, moved.handle, moved.capability) = (to, word.handle(), capability);
                }
            }
        }
    }
    fn step(&mut self) {
        let entry = self.pick();
        match (self.dice.below(10), entry) {
            (0 | 1, _) | (_, None) => self.insert(),
            (2..=4, Some(entry)) => self.derive(entry),
            (5, Some(entry)) => {
                self.caps.delete(self.spaces[entry.space], entry.handle).unwrap();
                self.model.delete(entry.id);
            }
            (6, Some(entry)) => {
                self.caps.revoke(self.spaces[entry.space], entry.handle).unwrap();
                self.model.revoke(entry.id, None);
            }
            (7, Some(entry)) => {
                let badge = 1 + self.dice.below(3);
                let done = self.caps.revoke_badge(self.spaces[entry.space], entry.handle, badge);
                if done.is_ok() {
                    self.model.revoke(entry.id, Some(badge));
                }
            }
            (8, _) => self.transfer(),
            (_, Some(_)) if self.dice.below(8) == 0 => {
                let at = self.dice.below(3) as usize;
                let ids: Vec<u32> = self.model.live.iter().filter(|e| e.space == at).map(|e| e.id).collect();
                self.caps.end_space(self.spaces[at]);
                ids.into_iter().for_each(|id| self.model.delete(id));
                self.spaces[at] = self.caps.new_space();
                // Handles of the space that ended mean nothing: there is nobody to use them.
                self.model.dead.retain(|(space, _)| *space != at);
            }
            (_, Some(_)) => self.transfer(),
        }
    }
    fn check(&mut self) {
        assert_eq!(self.caps.count(), self.model.live.len());
        for entry in &self.model.live {
            let found = self.caps.look(self.spaces[entry.space], entry.handle);
            assert_eq!(found, Ok(entry.capability), "{entry:?}");
        }
        for (space, handle) in &self.model.dead {
            let found = self.caps.look(self.spaces[*space], *handle);
            assert_eq!(found, Err(Error::BAD_HANDLE), "{handle:?} came to mean something again");
        }
        for object in [Object::Console, Object::Endpoint(EndpointId(1)), Object::Endpoint(EndpointId(2))] {
            let of = || self.model.live.iter().filter(|e| e.capability.object == object);
            assert_eq!(self.caps.holders(object) as usize, of().count());
            let readers = of().filter(|e| e.capability.rights.contains(Rights::READ)).count();
            assert_eq!(self.caps.readers(object) as usize, readers);
        }
        while self.caps.next_gone().is_some() {}
    }
    fn check_tree(&self) {
        let node = |e: &Entry| self.caps.node(self.spaces[e.space], e.handle).unwrap();
        for a in &self.model.live {
            for b in &self.model.live {
                let below = self.caps.is_below(node(a), node(b));
                assert_eq!(below, self.model.is_below(a.id, b.id), "{a:?} below {b:?}");
            }
        }
    }
}

#[test]
fn random_histories_agree_with_a_model_that_searches_lists() {
    for seed in 1..=40 {
        let mut world = World::new(seed);
        for step in 0..400 {
            world.step();
            world.check();
            if step % 50 == 0 {
                world.check_tree();
            }
        }
    }
}

/// Who may make badges may have handed that on: each takes back what is below its own capability.
#[test]
fn a_badge_that_two_have_made_is_taken_back_by_each_from_its_own() {
    for watched in [false, true] {
        let mut caps = Capabilities::default();
        let (space, other) = (caps.new_space(), caps.new_space());
        let endpoint = EndpointId(1);
        if watched {
            caps.watch_badges(endpoint, 1).unwrap();
        }
        let first = caps.insert(space, Capability::all(Object::Endpoint(endpoint))).unwrap();
        let second = caps.derive(space, first, Rights::ALL, 0).unwrap();
        let by_first = caps.derive(space, first, Rights::ALL, 7).unwrap();
        let by_second = caps.derive(space, second, Rights::ALL, 7).unwrap();
        let copy = CapabilityWord::new(by_second, Rights::ALL, Transfer::Copy);
        let copy = caps.transfer(space, other, &Wanted::from_slice(&[copy.into()]).unwrap()).unwrap()[0];
        let further = caps.derive(space, by_first, Rights::ALL, 0).unwrap();
        let unlike = caps.derive(space, second, Rights::ALL, 8).unwrap();
        caps.revoke_badge(space, second, 7).unwrap();
        let lives = |caps: &Capabilities, handle| caps.look(space, handle).is_ok();
        assert_eq!([by_first, further, unlike].map(|handle| lives(&caps, handle)), [true; 3], "{watched}");
        assert!(!lives(&caps, by_second) && caps.look(other, copy.handle()).is_err(), "{watched}");
        caps.revoke_badge(space, first, 7).unwrap();
        assert_eq!([by_first, further, unlike].map(|handle| lives(&caps, handle)), [false, false, true]);
        assert_eq!(caps.take_badge(endpoint), None, "who takes a badge back is not told");
    }
}

#[test]
fn a_slot_whose_generations_are_used_up_is_not_used_again() {
    let mut caps = Capabilities::default();
    let space = caps.new_space();
    let put = |caps: &mut Capabilities| caps.insert(space, Capability::all(Object::Clock)).unwrap();
    let first = put(&mut caps);
    caps.delete(space, first).unwrap();
    caps.space_mut(space).unwrap().age(first.slot(), u32::MAX - 1);
    let before_last = put(&mut caps);
    assert_eq!((before_last.slot(), before_last.generation()), (first.slot(), u32::MAX - 1));
    caps.delete(space, before_last).unwrap();
    let last = put(&mut caps);
    assert_eq!((last.slot(), last.generation()), (first.slot(), u32::MAX));
    caps.delete(space, last).unwrap();
    let mut seen = Vec::new();
    while let Ok(handle) = caps.insert(space, Capability::all(Object::Clock)) {
        seen.push(handle);
    }
    assert!(seen.iter().all(|handle| handle.slot() != first.slot()));
    assert_eq!(seen.len(), (SLOTS_MAX - SLOTS_WELL_KNOWN) as usize - 1);
    for dead in [first, before_last, last] {
        assert_eq!(caps.look(space, dead), Err(Error::BAD_HANDLE));
    }
}

#[test]
fn made_up_handles_are_refused() {
    let mut caps = Capabilities::default();
    let space = caps.new_space();
    caps.insert_at(space, 1, Capability::all(Object::Console), None).unwrap();
    for number in [0, 2, 31, 32, 1 << 32 | 1, u64::from(u32::MAX), u64::MAX, 1 << 63 | 1] {
        assert_eq!(caps.look(space, Handle(number)), Err(Error::BAD_HANDLE), "{number:#x}");
    }
    assert!(caps.look(space, Handle(1)).is_ok());
}

#[test]
fn a_well_known_slot_is_filled_once_and_slot_zero_never() {
    let mut caps = Capabilities::default();
    let space = caps.new_space();
    let clock = Capability::all(Object::Clock);
    assert_eq!(caps.insert_at(space, 0, clock, None), Err(Error::RANGE));
    assert_eq!(caps.insert_at(space, SLOTS_WELL_KNOWN, clock, None), Err(Error::RANGE));
    caps.insert_at(space, 5, clock, None).unwrap();
    assert_eq!(caps.insert_at(space, 5, clock, None), Err(Error::EXISTS));
    caps.delete(space, Handle::first(5)).unwrap();
    assert_eq!(caps.insert_at(space, 5, clock, None), Err(Error::EXISTS));
    let later = caps.insert(space, clock).unwrap();
    assert!(later.slot() >= SLOTS_WELL_KNOWN);
}

#[test]
fn there_are_so_many_capabilities_at_most_in_however_many_spaces() {
    let mut caps = Capabilities::default();
    let clock = Capability::all(Object::Clock);
    let (space, other) = (caps.new_space(), caps.new_space());
    let handle = caps.insert(space, clock).unwrap();
    while caps.count() < NODES_MAX {
        let filled = caps.new_space();
        while caps.count() < NODES_MAX && caps.insert(filled, clock).is_ok() {}
    }
    let pass = |caps: &mut Capabilities, how| {
        let word = CapabilityWord::new(handle, Rights::ALL, how);
        caps.transfer(space, other, &Wanted::from_slice(&[word.into()]).unwrap()).map(|passed| passed.len())
    };
    assert_eq!(caps.insert(other, clock), Err(Error::FULL));
    assert_eq!(caps.insert_at(other, 5, clock, None), Err(Error::FULL));
    assert_eq!(caps.derive(space, handle, Rights::ALL, 0), Err(Error::FULL));
    assert_eq!(pass(&mut caps, Transfer::Copy), Err(Error::FULL));
    assert_eq!(caps.count(), NODES_MAX);
    let one =
        caps.transfer_one((space, other), CapabilityWord::new(handle, Rights::ALL, Transfer::Copy), || 0);
    assert_eq!(one, Err(Error::FULL));
    caps.delete(space, handle).unwrap();
    let again = caps.insert(space, clock).unwrap();
    assert_ne!(again, handle);
    // Of two there is room for one: neither goes.
    let last = *caps.nodes_of(Object::Clock).last().unwrap();
    caps.drop_node(last);
    let word = CapabilityWord::new(again, Rights::ALL, Transfer::Copy).into();
    let two = Wanted::from_slice(&[word, word]).unwrap();
    assert_eq!(caps.transfer(space, other, &two), Err(Error::FULL));
    assert_eq!(caps.count(), NODES_MAX - 1);
}

#[test]
fn a_space_that_is_full_refuses_all_that_a_message_carries() {
    let mut caps = Capabilities::default();
    let (from, to) = (caps.new_space(), caps.new_space());
    let handle = caps.insert(from, Capability::all(Object::Clock)).unwrap();
    for _ in 0..SLOTS_MAX - SLOTS_WELL_KNOWN - 1 {
        caps.insert(to, Capability::all(Object::Clock)).unwrap();
    }
    let word = CapabilityWord::new(handle, Rights::ALL, Transfer::Copy);
    let two = Wanted::from_slice(&[word.into(), word.into()]).unwrap();
    assert_eq!(caps.transfer(from, to, &two), Err(Error::FULL));
    assert_eq!(caps.room(to), 1);
    let one = Wanted::from_slice(&[word.into()]).unwrap();
    assert_eq!(caps.transfer(from, to, &one).unwrap().len(), 1);
}
