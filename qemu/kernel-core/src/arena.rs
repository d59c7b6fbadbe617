//! Arenas: objects by position, with places reused. Ids are positions, so references never borrow.
//!
//! In an [`Arena`] each object is a piece of memory of its own, which goes with it: what there is takes no more than it is
//! charged for, whatever there was. What is looked up with each message is in one piece, one step nearer: a [`Table`] is to
//! be asked for room before, which may be refused, and in a [`Pool`] a position that is not taken has an object too, an
//! inert one.

use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Objects for which room is made at first, where they are in one piece,
const FIRST: usize = 16;
/// and where only the list of them is: containers that come and go do not make it longer.
const FIRST_PIECES: usize = 64;

#[inline(never)]
fn has_room<T>(slots: &mut Vec<T>, free: &mut Vec<u32>, first: usize, most: usize) -> bool {
    let count = slots.len() - free.len();
    let more = (count * 2).clamp(first.min(most), most);
    count < most && (count < slots.capacity() || try_reserve(slots, free, more).is_ok())
}

fn try_reserve<T>(slots: &mut Vec<T>, free: &mut Vec<u32>, count: usize) -> Result<(), TryReserveError> {
    free.try_reserve_exact(count.saturating_sub(free.len()))?;
    slots.try_reserve_exact(count.saturating_sub(slots.len()))
}

/// Objects by position. A position is reused after [`Arena::remove`]: who keeps one must hold a reference count.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Arena<T> {
    slots: Vec<Option<Box<T>>>,
    /// As large as `slots`: ends allocate nothing.
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena::new()
    }
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Arena { slots: Vec::new(), free: Vec::new() }
    }
    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    /// Sees to it that there is a position for one more; none if there is no piece of memory large enough for all.
    #[inline]
    pub(crate) fn prepare(&mut self) -> Option<()> {
        let has_room = !self.free.is_empty()
            || self.slots.len() < self.slots.capacity()
            || has_room(&mut self.slots, &mut self.free, FIRST_PIECES, usize::MAX);
        has_room.then_some(())
    }
    /// Puts an object in. There is no bound: what may become many is prepared for before.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let object = Some(Box::new(value));
        // Who could be refused has asked before; if there is none for the others the kernel stops below.
        let _ = self.prepare();
        if let Some(at) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(at as usize)
        {
            *slot = object;
            return at;
        }
        self.slots.push(object);
        self.slots.len() as u32 - 1
    }
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.slots.get(at as usize)?.as_deref()
    }
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.slots.get_mut(at as usize)?.as_deref_mut()
    }
    pub(crate) fn remove(&mut self, at: u32) -> Option<Box<T>> {
        let object = self.slots.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(object)
    }
    /// All objects with their positions, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at as u32, slot.as_deref()?)))
    }
    /// All objects with their positions, lowest first, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(at, slot)| Some((at as u32, slot.as_deref_mut()?)))
    }
}

/// Objects by position, in one piece.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Table<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table::new()
    }
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Table { slots: Vec::new(), free: Vec::new() }
    }
    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    /// How many there is room for without memory being allocated.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }
    /// Whether there can be one more of so many at most. When it is full room is made for as many again.
    pub(crate) fn has_room(&mut self, most: usize) -> bool {
        has_room(&mut self.slots, &mut self.free, FIRST, most)
    }
    /// Makes room for as many objects in all, and for all of them to be taken out again.
    pub(crate) fn try_reserve(&mut self, count: usize) -> Result<(), TryReserveError> {
        try_reserve(&mut self.slots, &mut self.free, count)
    }
    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(at as usize)
        {
            *slot = Some(value);
            return at;
        }
        self.slots.push(Some(value));
        self.slots.len() as u32 - 1
    }
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.slots.get(at as usize)?.as_ref()
    }
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.slots.get_mut(at as usize)?.as_mut()
    }
    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.slots.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(value)
    }
    /// The same without giving the object back: not a large one is moved for a part of it.
    #[inline(always)]
    pub(crate) fn free(&mut self, at: u32) {
        if let Some(slot) = self.slots.get_mut(at as usize).filter(|slot| slot.is_some()) {
            *slot = None;
            self.free.push(at);
        }
    }
    /// All objects with their positions, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at as u32, slot.as_ref()?)))
    }
}

/// Objects by position, in one piece, inert ones where nobody has put one.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Pool<T> {
    slots: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Pool<T> {
    pub(crate) const fn new() -> Self {
        Pool { slots: Vec::new(), free: Vec::new() }
    }
    /// How many positions are taken.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    /// Whether there can be one more of so many at most. When it is full room is made for as many again.
    pub(crate) fn has_room(&mut self, most: usize) -> bool {
        has_room(&mut self.slots, &mut self.free, FIRST, most)
    }
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(at as usize)
        {
            *slot = value;
            return at;
        }
        self.slots.push(value);
        self.slots.len() as u32 - 1
    }
    /// An object; perhaps an inert one.
    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.slots.get(at as usize)
    }
    /// An object, to be changed; perhaps an inert one, which must be left as it is.
    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.slots.get_mut(at as usize)
    }
    /// Takes an object out. Called once for each that was put in.
    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let value = core::mem::take(self.slots.get_mut(at as usize)?);
        self.free.push(at);
        Some(value)
    }
}
