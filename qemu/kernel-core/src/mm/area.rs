//! Areas: ranges of addresses that mean the same thing.

use super::{Access, AddressSpace};
use crate::hw::{PAGE, Protection, USER_END};
use crate::vfs::FileId;
use bailiwick_protocol::error::Errno;

/// Whether a store is seen by others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// By nobody: who writes gets a copy.
    Private,
    /// By everyone who maps the same.
    Shared,
}

/// What a page holds before it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    /// A file's page.
    File {
        /// The file, held by the area.
        file: FileId,
        /// Offset of the area's first byte in it: a multiple of [`PAGE`].
        offset: u64,
    },
}

/// What an area is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Nothing special.
    Plain,
    /// It grows with brk(2).
    Heap,
    /// It grows downwards when an address below it is touched.
    Stack,
}

/// A range of addresses. `start` and `end` are multiples of [`PAGE`], `start < end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// What ring 3 may do.
    pub protection: Protection,
    /// Who sees stores.
    pub sharing: Sharing,
    /// What its pages hold.
    pub backing: Backing,
    /// What it is for.
    pub role: Role,
    /// Whether mprotect(2) may make it writable: not so for a shared mapping of a file opened for reading.
    pub may_write: bool,
    /// Pages that are mapped.
    pub resident: u32,
    /// Whether a page of it came to be written: a private mapping of a file has pages of its own only then.
    pub written: bool,
}

impl Area {
    /// Whether this access is allowed.
    pub fn allows(&self, access: Access) -> bool {
        self.protection.contains(match access {
            Access::Read => Protection::READ,
            Access::Write => Protection::WRITE,
            Access::Execute => Protection::EXECUTE,
        })
    }
    /// The file page that `address` shows.
    pub(super) fn file_index(&self, address: u64) -> Option<(FileId, u32)> {
        match self.backing {
            Backing::File { file, offset } => {
                let at = offset.checked_add(address.checked_sub(self.start)?)?;
                Some((file, u32::try_from(at / PAGE as u64).ok()?))
            }
            Backing::Anonymous => None,
        }
    }
    /// The part of it from `at` on, which lies inside. Its resident pages are to be counted again.
    pub(super) fn tail(&self, at: u64) -> Area {
        let backing = match self.backing {
            Backing::File { file, offset } => Backing::File { file, offset: offset + (at - self.start) },
            Backing::Anonymous => Backing::Anonymous,
        };
        Area { start: at, backing, ..*self }
    }
    /// Whether `next`, which follows it, can become part of it.
    pub(super) fn continues(&self, next: &Area) -> bool {
        self.end == next.start
            && self.backing == Backing::Anonymous
            && next.backing == Backing::Anonymous
            && self.protection == next.protection
            && self.sharing == next.sharing
            && self.role == next.role
            && self.role != Role::Stack
    }
}

/// Areas that are paid for at once.
pub(super) const BATCH: usize = 16;

/// What so many areas take of the kernel's heap: nodes of a B-tree may be half empty.
pub(super) const fn price(areas: usize) -> usize {
    2 * areas * size_of::<(u64, Area)>()
}

impl AddressSpace {
    /// Sees to it that there can be so many areas.
    ///
    /// # Errors
    /// `ENOMEM` beyond [`super::AREAS_MAX`], or if who pays for the space is at a limit.
    pub(super) fn pay_for(&mut self, areas: usize) -> Result<(), Errno> {
        let wanted = areas.next_multiple_of(BATCH);
        if areas > super::AREAS_MAX {
            return Err(Errno::ENOMEM);
        }
        // Less only if it is much less: a program that maps and unmaps one area does not pay each time.
        if wanted > self.paid || wanted + BATCH < self.paid {
            self.charged.resize(price(wanted)).map_err(|_| Errno::ENOMEM)?;
            self.paid = wanted;
        }
        Ok(())
    }
    /// The area that holds `address`.
    pub fn area_at(&self, address: u64) -> Option<&Area> {
        self.areas.range(..=address).next_back().map(|(_, area)| area).filter(|area| address < area.end)
    }
    pub(super) fn area_at_mut(&mut self, address: u64) -> Option<&mut Area> {
        self.areas.range_mut(..=address).next_back().map(|(_, area)| area).filter(|area| address < area.end)
    }
    /// The first area that ends after `address`.
    pub(super) fn area_after(&self, address: u64) -> Option<&Area> {
        self.area_at(address).or_else(|| self.areas.range(address..).next().map(|(_, area)| area))
    }
    /// Whether nothing is in `start..end`.
    pub(super) fn is_free(&self, start: u64, end: u64) -> bool {
        self.area_after(start).is_none_or(|area| area.start >= end)
    }
    /// Whether every address of `start..end` is in some area.
    pub(super) fn is_covered(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            match self.area_at(at) {
                Some(area) => at = area.end,
                None => return false,
            }
        }
        true
    }
    /// The highest free range of `length` bytes below `top`. A stack keeps its gap.
    pub(super) fn find_room(&self, length: u64) -> Option<u64> {
        let mut end = self.top;
        for area in self.areas.range(..self.top).rev().map(|(_, area)| area) {
            if area.end <= end && end - area.end >= length {
                break;
            }
            let gap = if area.role == Role::Stack { super::STACK_GAP } else { 0 };
            end = end.min(area.start.saturating_sub(gap));
        }
        end.checked_sub(length).filter(|start| *start >= super::LOWEST)
    }
    /// Puts an area where nothing is, joining it with its neighbours if they are of one kind.
    pub(super) fn insert(&mut self, mut area: Area) {
        if let Some((start, before)) = self.areas.range(..area.start).next_back()
            && before.continues(&area)
        {
            let (start, resident, written) = (*start, before.resident, before.written);
            self.areas.remove(&start);
            (area.start, area.resident) = (start, area.resident + resident);
            area.written |= written;
        }
        if let Some(after) = self.areas.get(&area.end)
            && area.continues(after)
        {
            let (end, resident, written) = (after.end, after.resident, after.written);
            self.areas.remove(&area.end);
            (area.end, area.resident) = (end, area.resident + resident);
            area.written |= written;
        }
        self.areas.insert(area.start, area);
    }
}

/// `length` rounded up to pages; none if it is 0 or too large.
pub(super) fn pages_of(length: u64) -> Option<u64> {
    let rounded = length.checked_add(PAGE as u64 - 1)? & !(PAGE as u64 - 1);
    (rounded > 0 && rounded <= USER_END).then_some(rounded)
}
