//! Accounts: what of memory each resource group has taken.
//!
//! A group's account is below that of the group it is in. A limit binds everything below it, so a charge climbs to the
//! top: either every account on the way has room, or nothing is charged. Frames are given back by
//! [`crate::memory::Memory::release`], and nowhere else. Objects of the kernel keep a [`Charged`] for what they take of its
//! heap, which gives that back when it goes, however it goes: what the objects of a group take together is charged by the
//! page. So an account is exact by construction, and what a group leaves behind stays on the accounts above it when the
//! group is removed.

use crate::hw::PAGE;
use crate::memory::{GroupId, NoMemory};
use alloc::rc::Rc;
use core::cell::Cell;

/// What one group has taken.
#[derive(Debug)]
pub(crate) struct Account {
    group: GroupId,
    above: Option<Rc<Account>>,
    /// Most frames; none is unlimited.
    limit: Cell<Option<u64>>,
    /// Frames in use, with everything below: those handed out, and those that objects would fill.
    frames: Cell<u64>,
    /// The most there ever were.
    peak: Cell<u64>,
    /// Bytes of the kernel's heap that objects of this very group take,
    bytes: Cell<u64>,
    /// the pages of them that are charged, in bytes,
    charged: Cell<u64>,
    /// and what objects of all groups take.
    total: Rc<Cell<u64>>,
}

const PAGE_BYTES: u64 = PAGE as u64;

impl Account {
    /// An account on which there is nothing.
    pub(crate) fn new(group: GroupId, above: Option<Rc<Account>>, limit: Option<u64>) -> Rc<Account> {
        let total = above.as_ref().map(|above| Rc::clone(&above.total)).unwrap_or_default();
        let [frames, peak, bytes, charged] = [const { Cell::new(0) }; 4];
        Rc::new(Account { group, above, limit: Cell::new(limit), frames, peak, bytes, charged, total })
    }
    /// Frames in use, with everything below: those handed out, and those that the objects of each group would fill.
    pub(crate) fn in_use(&self) -> u64 {
        self.frames.get()
    }
    /// The most frames that were ever in use.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.get()
    }
    /// Those of them that were handed out, if there is nothing below.
    pub(crate) fn handed_out(&self) -> u64 {
        self.frames.get().saturating_sub(self.charged.get() / PAGE_BYTES)
    }
    /// Bytes of the kernel's heap that objects of all groups take.
    pub(crate) fn total(&self) -> u64 {
        self.total.get()
    }
    /// Another limit. What is in use already stays.
    pub(crate) fn set_limit(&self, frames: Option<u64>) {
        self.limit.set(frames);
    }

    fn chain(&self) -> impl Iterator<Item = &Account> {
        core::iter::successors(Some(self), |at| at.above.as_deref())
    }
    /// Takes so many frames' worth here and on all accounts above, or on none.
    ///
    /// # Errors
    /// [`NoMemory::Group`] names the one that is at its limit.
    pub(crate) fn take(&self, frames: u64) -> Result<(), NoMemory> {
        let full = |at: &&Account| at.limit.get().is_some_and(|limit| at.frames.get() + frames > limit);
        if let Some(full) = self.chain().find(full) {
            return Err(NoMemory::Group(full.group));
        }
        for at in self.chain() {
            let now = at.frames.get() + frames;
            at.frames.set(now);
            at.peak.set(at.peak.get().max(now));
        }
        Ok(())
    }
    /// Gives so many frames' worth back.
    pub(crate) fn give_back(&self, frames: u64) {
        self.chain().for_each(|at| at.frames.set(at.frames.get().saturating_sub(frames)));
    }

    /// Objects of the group take `after` bytes from now on where they took `before`.
    #[inline]
    fn exchange(&self, before: u64, after: u64) -> Result<(), NoMemory> {
        let bytes = self.bytes.get() - before + after;
        // Mostly it is the same pages.
        if self.charged.get().wrapping_sub(bytes) >= PAGE_BYTES {
            self.charge_pages(bytes)?;
        }
        self.bytes.set(bytes);
        self.total.set(self.total.get() - before + after);
        Ok(())
    }
    #[inline(never)]
    fn charge_pages(&self, bytes: u64) -> Result<(), NoMemory> {
        let (had, has) = (self.charged.get() / PAGE_BYTES, bytes.div_ceil(PAGE_BYTES));
        match has.checked_sub(had) {
            Some(more) => self.take(more)?,
            None => self.give_back(had - has),
        }
        self.charged.set(has * PAGE_BYTES);
        Ok(())
    }
}

/// What an object of the kernel has taken of its heap, on the account of the group that it was made for. It is given
/// back with the object.
#[derive(Debug)]
#[must_use]
pub struct Charged {
    account: Rc<Account>,
    bytes: u64,
}

impl Charged {
    /// Takes so many bytes on `account` and all above it.
    ///
    /// # Errors
    /// [`NoMemory::Group`] names the one that is at its limit; nothing is taken then.
    pub(crate) fn new(account: &Rc<Account>, bytes: usize) -> Result<Charged, NoMemory> {
        let bytes = bytes as u64;
        account.exchange(0, bytes)?;
        Ok(Charged { account: Rc::clone(account), bytes })
    }
    /// So many bytes in all from now on.
    ///
    /// # Errors
    /// As [`Charged::new`], if they are more: it is as it was then.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), NoMemory> {
        self.account.exchange(self.bytes, bytes as u64)?;
        self.bytes = bytes as u64;
        Ok(())
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        // Less is never refused.
        let _ = self.account.exchange(self.bytes, 0);
    }
}

/// What the heap needs for a piece of memory besides its bytes, mostly.
pub(crate) const PIECE: usize = 2 * size_of::<usize>();

/// What an object takes that is by position in an arena, whose lists may be half empty.
pub(crate) const fn price_of<T>() -> usize {
    PIECE + size_of::<T>() + 2 * (size_of::<usize>() + size_of::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(limit: Option<u64>) -> (Rc<Account>, Rc<Account>) {
        let above = Account::new(GroupId(1), None, limit);
        let below = Account::new(GroupId(2), Some(Rc::clone(&above)), None);
        (above, below)
    }

    #[test]
    fn a_charge_is_taken_on_every_account_or_on_none() {
        let (above, below) = family(Some(2));
        below.take(1).unwrap();
        let object = Charged::new(&below, PAGE).unwrap();
        assert_eq!(Charged::new(&below, 1).err(), Some(NoMemory::Group(GroupId(1))));
        assert_eq!(below.take(1), Err(NoMemory::Group(GroupId(1))));
        assert_eq!((above.in_use(), below.in_use()), (2, 2));
        drop(object);
        below.give_back(1);
        assert_eq!((above.in_use(), below.in_use(), above.peak()), (0, 0, 2));
    }

    #[test]
    fn objects_of_a_group_fill_pages_together() {
        let (above, below) = family(Some(1));
        let objects: alloc::vec::Vec<Charged> =
            (0..10).map_while(|_| Charged::new(&below, 1000).ok()).collect();
        assert_eq!((objects.len(), above.in_use(), above.total()), (4, 1, 4000));
        assert_eq!((below.handed_out(), Charged::new(&above, 1).is_err()), (0, true));
        drop(objects);
        assert_eq!((above.in_use(), above.total()), (0, 0));
    }

    #[test]
    fn an_object_that_outlives_its_group_stays_on_the_accounts_above() {
        let (above, below) = family(None);
        let object = Charged::new(&below, 100).unwrap();
        drop(below);
        assert_eq!((above.in_use(), above.total()), (1, 100));
        drop(object);
        assert_eq!((above.in_use(), above.total()), (0, 0));
    }

    #[test]
    fn an_object_that_may_not_grow_keeps_what_it_had() {
        let (above, below) = family(Some(1));
        let mut object = Charged::new(&below, 100).unwrap();
        assert!(object.resize(PAGE + 1).is_err());
        assert_eq!(above.total(), 100);
        object.resize(PAGE).unwrap();
        object.resize(7).unwrap();
        assert_eq!((above.total(), above.in_use(), below.in_use()), (7, 1, 1));
    }
}
