//! What there is at one moment, as a graph without names: for tests that explore every state of a small world and must
//! know whether they have seen one before.
//!
//! Slots, generations, serial numbers, tokens and process numbers differ from history to history and change nothing.
//! Here a thing is what was said of it ([`Picture::mark`]) and what it hangs on ([`Picture::link`]), so things that
//! can be told apart by nothing else change places freely. Server, model and test draw into one picture.
//!
//! [`Picture::fingerprint`] refines colours, as is usual for telling graphs apart: each thing takes on those of its
//! neighbours, a fixed number of times. Graphs that are alike have the same fingerprint. Two that differ have the
//! same one only if 64 bits collide, or if they differ in nothing that lies within that many links of one thing.

use crate::glue::{ContainerKey, ProcessKey};
use alloc::vec::Vec;
use bailiwick_protocol::id::Badge;
use core::hash::{Hash, Hasher};

/// Times that a colour spreads along a link.
const ROUNDS: usize = 6;

/// Something in a picture, by the name it has where it is kept. The name itself is not drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thing {
    /// The whole.
    World,
    /// The record behind a badge.
    Grant(Badge),
    /// A factory.
    Factory(u64),
    /// A container or a process in it.
    Process(ProcessKey),
    /// Work that goes on.
    Job(u64),
}

impl Thing {
    /// A container.
    pub const fn container(key: ContainerKey) -> Thing {
        Thing::Process(ProcessKey::First(key))
    }

    fn name(self) -> u64 {
        let (kind, number) = match self {
            Thing::World => (1, 0),
            Thing::Grant(badge) => (3, badge.0),
            Thing::Factory(number) => (4, number),
            Thing::Process(ProcessKey::First(key)) => (5, key.0),
            Thing::Process(ProcessKey::Exec(key, exec)) => (6 + u64::from(exec.0), key.0),
            Thing::Job(number) => (u64::MAX, number),
        };
        mix(number, kind)
    }
}

/// A graph of things. It can be cleared and drawn again without allocating.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    names: Vec<u64>,
    colours: Vec<u64>,
    links: Vec<(u16, u16, u64)>,
    next: Vec<u64>,
}

impl Picture {
    /// Nothing at all.
    pub fn clear(&mut self) {
        self.names.clear();
        self.colours.clear();
        self.links.clear();
    }

    fn place(&mut self, thing: Thing) -> usize {
        let name = thing.name();
        if let Some(place) = self.names.iter().position(|known| *known == name) {
            return place;
        }
        self.names.push(name);
        self.colours.push(0);
        self.names.len() - 1
    }

    /// Says something of a thing. The order in which things are said means nothing.
    pub fn mark(&mut self, thing: Thing, said: impl Hash) {
        let place = self.place(thing);
        if let Some(colour) = self.colours.get_mut(place) {
            *colour = colour.wrapping_add(digest(said));
        }
    }

    /// Says that one thing has to do with another, and what.
    pub fn link(&mut self, from: Thing, to: Thing, said: impl Hash) {
        // More than 65,536 things is no small world; then some are taken for one another.
        let (from, to) = (self.place(from) as u16, self.place(to) as u16);
        self.links.push((from, to, digest(said)));
    }

    /// A number that is the same for every picture that differs from this one in names only.
    pub fn fingerprint(&mut self) -> u64 {
        for _ in 0..ROUNDS {
            self.spread();
        }
        self.colours.iter().fold(0, |sum, colour| sum.wrapping_add(mix(*colour, 0)))
    }

    fn spread(&mut self) {
        let Picture { colours, links, next, .. } = self;
        next.clear();
        next.extend(colours.iter().map(|colour| mix(*colour, 1)));
        for (from, to, said) in links.iter() {
            let (from, to) = (usize::from(*from), usize::from(*to));
            let (Some(one), Some(other)) = (colours.get(from), colours.get(to)) else { continue };
            let (into, back) = (mix(*other ^ said, 2), mix(*one ^ said, 3));
            if let Some(colour) = next.get_mut(from) {
                *colour = colour.wrapping_add(into);
            }
            if let Some(colour) = next.get_mut(to) {
                *colour = colour.wrapping_add(back);
            }
        }
        core::mem::swap(colours, next);
    }
}

/// A number of what was said.
#[inline(always)]
pub fn digest(said: impl Hash) -> u64 {
    let mut mixer = Mixer(0);
    said.hash(&mut mixer);
    mixer.finish()
}

/// Both halves of a product: quick, and every bit of both counts, but for the highest of the second.
#[inline(always)]
const fn mix(one: u64, other: u64) -> u64 {
    let factor = ((other << 1) ^ 0xbf58_476d_1ce4_e5b8) | 1;
    let product = (one ^ 0x9e37_79b9_7f4a_7c15) as u128 * factor as u128;
    (product as u64) ^ (product >> 64) as u64
}

struct Mixer(u64);

impl Mixer {
    #[inline(always)]
    fn take(&mut self, number: u64) {
        self.0 = mix(self.0.rotate_left(23) ^ number, 0x94d0_49bb_1331_11eb);
    }
}

impl Hasher for Mixer {
    #[inline]
    fn finish(&self) -> u64 {
        mix(self.0, 4)
    }
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        let (pieces, rest) = bytes.as_chunks::<8>();
        pieces.iter().for_each(|piece| self.take(u64::from_le_bytes(*piece)));
        let rest = rest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.take(rest ^ (bytes.len() as u64) << 56);
    }
    #[inline(always)]
    fn write_u8(&mut self, number: u8) {
        self.take(number.into());
    }
    #[inline(always)]
    fn write_u16(&mut self, number: u16) {
        self.take(number.into());
    }
    #[inline(always)]
    fn write_u32(&mut self, number: u32) {
        self.take(number.into());
    }
    #[inline(always)]
    fn write_u64(&mut self, number: u64) {
        self.take(number);
    }
    #[inline(always)]
    fn write_usize(&mut self, number: usize) {
        self.take(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two jobs that have to do with one factory's capabilities, by these names; one of them may ask for more.
    fn drawn(jobs: [u64; 2], badges: [u64; 3], factory: u64) -> Picture {
        let mut picture = Picture::default();
        let [root, one, other] = badges.map(|badge| Thing::Grant(Badge(badge)));
        picture.link(one, root, "below");
        picture.link(other, root, "below");
        picture.mark(other, 7);
        picture.link(root, Thing::Factory(factory), "on");
        picture.link(Thing::Job(jobs[0]), one, "about");
        picture.link(Thing::Job(jobs[1]), other, "about");
        picture
    }

    #[test]
    fn names_mean_nothing_and_everything_else_does() {
        let print = |mut picture: Picture| picture.fingerprint();
        let known = print(drawn([1, 2], [1, 2, 3], 1));
        assert_eq!(known, print(drawn([2, 1], [9, 8, 7], 5)));
        let mut more = drawn([1, 2], [1, 2, 3], 1);
        more.mark(Thing::World, 1);
        assert_ne!(known, print(more));
        let mut both = drawn([1, 1], [1, 2, 3], 1);
        assert_ne!(known, both.fingerprint());
        let mut other = drawn([1, 2], [1, 2, 3], 1);
        other.link(Thing::Job(1), Thing::Grant(Badge(1)), "about");
        assert_ne!(known, print(other));
    }

    #[test]
    fn what_lies_between_two_things_counts() {
        // Two rows of four, a mark at the end of each: at the same end, or at different ones.
        let rows = |marks: [u64; 2]| {
            let mut picture = Picture::default();
            for row in [0, 10] {
                for at in 0..3 {
                    picture.link(Thing::Factory(row + at), Thing::Factory(row + at + 1), "next");
                }
            }
            marks.iter().for_each(|mark| picture.mark(Thing::Factory(*mark), "marked"));
            picture.fingerprint()
        };
        assert_eq!(rows([0, 10]), rows([10, 0]));
        assert_eq!(rows([0, 3]), rows([10, 13]));
        assert_ne!(rows([0, 3]), rows([0, 13]));
    }
}
