//! A bounded table of records with handles that carry a generation.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

/// Names one incarnation of a record: its slot, and which use of the slot is meant.
///
/// Holding a handle proves neither that the record still exists nor that anybody has rights on it.
/// [`Table::get`] is the way in, and gives nothing for a handle whose record is gone, even if the slot holds
/// another one now.
pub struct Handle<T> {
    index: u32,
    generation: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    const fn new(index: u32, generation: u32) -> Self {
        Handle { index, generation, kind: PhantomData }
    }
    /// Both numbers in one, never used for another record of the same table.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }
    /// The handle with these bits. Any number is allowed: most name nothing.
    pub const fn from_bits(bits: u64) -> Self {
        Handle::new(bits as u32, (bits >> 32) as u32)
    }
}

// Written out, because a derive would ask the same of `T`.
impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Handle<T> {}
impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
impl<T> Eq for Handle<T> {}
impl<T> PartialOrd for Handle<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Handle<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.to_bits().cmp(&other.to_bits())
    }
}
impl<T> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}
impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    record: Option<T>,
}

/// At most `capacity` records. Finding, adding and removing one take constant time.
///
/// A slot begins with generation 1 and takes the next one each time its record is removed. When its generations
/// are used up (after 2³² - 1 records) the slot is retired: no handle ever names two records. A table that has
/// lost all its slots that way is full.
#[derive(Clone, Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    capacity: u32,
    len: u32,
}

impl<T> Table<T> {
    /// An empty table.
    pub const fn new(capacity: u32) -> Self {
        Table { slots: Vec::new(), free: Vec::new(), capacity, len: 0 }
    }

    /// A table with one record, and its handle. The capacity is at least 1.
    pub fn with_first(capacity: u32, record: T) -> (Self, Handle<T>) {
        let slots = Vec::from([Slot { generation: 1, record: Some(record) }]);
        (Table { slots, free: Vec::new(), capacity: capacity.max(1), len: 1 }, Handle::new(0, 1))
    }

    /// Records in it.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a record; gives it back if the table is full.
    pub fn insert(&mut self, record: T) -> Result<Handle<T>, T> {
        let Some(index) = self.free.pop().or_else(|| self.grow()) else { return Err(record) };
        match self.slots.get_mut(index as usize) {
            Some(slot) => {
                slot.record = Some(record);
                self.len += 1;
                Ok(Handle::new(index, slot.generation))
            }
            None => Err(record),
        }
    }

    /// One more slot.
    fn grow(&mut self) -> Option<u32> {
        let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < self.capacity)?;
        self.slots.push(Slot { generation: 1, record: None });
        Some(index)
    }

    fn slot_mut(&mut self, handle: Handle<T>) -> Option<&mut Slot<T>> {
        self.slots.get_mut(handle.index as usize).filter(|slot| slot.generation == handle.generation)
    }

    /// The record, if it is still there.
    pub fn get(&self, handle: Handle<T>) -> Option<&T> {
        self.slots
            .get(handle.index as usize)
            .filter(|slot| slot.generation == handle.generation)?
            .record
            .as_ref()
    }

    /// As [`Table::get`], to change it.
    pub fn get_mut(&mut self, handle: Handle<T>) -> Option<&mut T> {
        self.slot_mut(handle)?.record.as_mut()
    }

    /// Takes the record out; every handle on it is stale from now on.
    pub fn remove(&mut self, handle: Handle<T>) -> Option<T> {
        let slot = self.slot_mut(handle)?;
        let record = slot.record.take()?;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(handle.index);
        }
        self.len -= 1;
        Some(record)
    }

    /// Every record with its handle, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (Handle<T>, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            slot.record.as_ref().map(|record| (Handle::new(index, slot.generation), record))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_handle_is_refused_after_slot_reuse() {
        let mut table = Table::new(1);
        let old = table.insert("old").unwrap();
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new").unwrap();
        assert_eq!(old.index, new.index);
        assert_eq!(table.get(old), None);
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(new), Some(&"new"));
    }

    #[test]
    fn a_full_table_gives_the_record_back() {
        let mut table = Table::new(2);
        let first = table.insert(1).unwrap();
        table.insert(2).unwrap();
        assert_eq!(table.insert(3), Err(3));
        table.remove(first);
        assert!(table.insert(3).is_ok());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut table = Table::new(2);
        let first = table.insert(1).unwrap();
        table.slots[0].generation = u32::MAX;
        assert_eq!(table.remove(Handle::new(first.index, u32::MAX)), Some(1));
        let next = table.insert(2).unwrap();
        assert_ne!(next.index, first.index);
        assert_eq!(table.insert(3), Err(3));
    }

    #[test]
    fn bits_name_the_same_record() {
        let (table, first) = Table::with_first(0, 'x');
        assert_eq!(table.get(Handle::from_bits(first.to_bits())), Some(&'x'));
        assert_eq!(table.get(Handle::from_bits(0)), None);
        assert_eq!(table.get(Handle::from_bits(u64::MAX)), None);
        assert_eq!(table.iter().map(|(handle, _)| handle).next(), Some(first));
    }

    #[test]
    fn random_histories_agree_with_a_naive_map() {
        let mut state = 3u64;
        let mut random = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let (mut table, mut naive) = (Table::new(50), Vec::new());
        let mut gone = Vec::new();
        for value in 0..20_000 {
            if naive.is_empty() || random(2) == 0 {
                match table.insert(value) {
                    Ok(handle) => naive.push((handle, value)),
                    Err(_) => assert_eq!(naive.len(), 50),
                }
            } else {
                let (handle, value) = naive.swap_remove(random(naive.len()));
                assert_eq!(table.remove(handle), Some(value));
                gone.push(handle);
            }
            assert_eq!(table.len() as usize, naive.len());
        }
        assert!(naive.iter().all(|(handle, value)| table.get(*handle) == Some(value)));
        assert!(gone.iter().all(|handle| table.get(*handle).is_none()));
    }
}
