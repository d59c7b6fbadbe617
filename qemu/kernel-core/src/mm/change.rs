//! Changing areas: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2).

use super::area::pages_of;
use super::{Access, AddressSpace, Area, Backing, LOWEST, Role, STACK_GAP, Sharing, Supply};
use crate::hw::{Hw, PAGE, Page, Protection, USER_END};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

const MASK: u64 = PAGE as u64 - 1;

/// Where a mapping goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere, there if it is free.
    Hint(u64),
    /// Exactly there, replacing what is there (`MAP_FIXED`).
    Fixed(u64),
    /// Exactly there, if nothing is there (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(u64),
}

/// What mmap(2) is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapRequest {
    /// Where.
    pub place: Place,
    /// Bytes; rounded up to pages.
    pub length: u64,
    /// What ring 3 may do.
    pub protection: Protection,
    /// Who sees stores.
    pub sharing: Sharing,
    /// What the pages hold. A file is not yet held: it is once the call succeeds.
    pub backing: Backing,
    /// Whether it may become writable later.
    pub may_write: bool,
    /// What it is for.
    pub role: Role,
}

/// What madvise(2) is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// The contents are not needed any more (`MADV_DONTNEED`).
    DontNeed,
    /// Nothing that changes anything.
    Other,
}

impl AddressSpace {
    /// Maps; returns the first address.
    ///
    /// # Errors
    /// `EINVAL`: no length, an unaligned or impossible address. `EACCES`: writable and executable. `EEXIST`:
    /// something is there. `ENOMEM`: no room, too many areas, or a limit.
    pub fn map<H: Hw>(&mut self, s: &mut Supply<'_, H>, request: MapRequest) -> Result<u64, Errno> {
        let length = pages_of(request.length).ok_or(match request.length {
            0 => Errno::EINVAL,
            _ => Errno::ENOMEM,
        })?;
        let protection = self.checked(request.protection)?;
        let start = self.place(request.place, length)?;
        let replaced = matches!(request.place, Place::Fixed(_));
        self.grows_by(length)?;
        if replaced {
            self.unmap(s, start, length)?;
        }
        if let Backing::File { file, .. } = request.backing {
            s.files.hold(file);
        }
        self.insert(Area {
            start,
            end: start + length,
            protection,
            sharing: request.sharing,
            backing: request.backing,
            role: request.role,
            may_write: request.may_write,
            resident: 0,
            written: false,
        });
        Ok(start)
    }

    fn place(&self, place: Place, length: u64) -> Result<u64, Errno> {
        match place {
            Place::Hint(hint) => {
                let hint = hint & !MASK;
                let end = hint.saturating_add(length);
                if hint >= LOWEST && end <= USER_END && self.is_free(hint, end) {
                    return Ok(hint);
                }
                self.find_room(length).ok_or(Errno::ENOMEM)
            }
            Place::Fixed(start) | Place::FixedNoReplace(start) => {
                let end = start.checked_add(length).ok_or(Errno::ENOMEM)?;
                if start & MASK != 0 {
                    return Err(Errno::EINVAL);
                }
                if end > USER_END {
                    return Err(Errno::ENOMEM);
                }
                if start < LOWEST {
                    return Err(Errno::EPERM);
                }
                if matches!(place, Place::FixedNoReplace(_)) && !self.is_free(start, end) {
                    return Err(Errno::EEXIST);
                }
                Ok(start)
            }
        }
    }

    /// Whether `length` more bytes are within the limits.
    fn grows_by(&mut self, length: u64) -> Result<(), Errno> {
        if self.bytes().saturating_add(length) > self.bytes_max {
            return Err(Errno::ENOMEM);
        }
        self.pay_for(self.areas.len() + 1)
    }

    /// The protection with what it implies on this machine, if it is allowed at all.
    fn checked(&mut self, protection: Protection) -> Result<Protection, Errno> {
        if protection.contains(Protection::WRITE | Protection::EXECUTE) {
            self.refused_write_execute = self.refused_write_execute.saturating_add(1);
            return Err(Errno::EACCES);
        }
        Ok(if protection.is_empty() { protection } else { protection | Protection::READ })
    }

    /// Cuts areas so that none crosses `at`.
    fn split<H: Hw>(&mut self, s: &mut Supply<'_, H>, at: u64) -> Result<(), Errno> {
        let Some(area) = self.area_at(at).copied().filter(|area| area.start < at) else { return Ok(()) };
        self.pay_for(self.areas.len() + 1)?;
        if let Backing::File { file, .. } = area.backing {
            s.files.hold(file);
        }
        let mut tail = area.tail(at);
        tail.resident = if area.resident == 0 { 0 } else { self.count(s, at, area.end) };
        if let Some(head) = self.areas.get_mut(&area.start) {
            head.end = at;
            head.resident -= tail.resident.min(head.resident);
        }
        self.areas.insert(at, tail);
        Ok(())
    }

    fn count<H: Hw>(&self, s: &Supply<'_, H>, start: u64, end: u64) -> u32 {
        self.mapped(s, start, end).count() as u32
    }

    /// The pages of `start..end` that are there.
    fn mapped<H: Hw>(&self, s: &Supply<'_, H>, start: u64, end: u64) -> impl Iterator<Item = Page> {
        let next = move |at| s.memory.hw.next_mapped(self.space, at, end);
        core::iter::successors(next(start), move |page| next(page.address() + PAGE as u64))
    }

    /// Takes the areas that lie in `start..end`, which none crosses.
    fn within(&self, start: u64, end: u64) -> Vec<Area> {
        self.areas.range(start..end).map(|(_, area)| *area).collect()
    }

    /// Gives back the pages of `start..end`, of which at most `resident` are there.
    fn drop_pages<H: Hw>(&mut self, s: &mut Supply<'_, H>, start: u64, end: u64, resident: u32) -> u32 {
        if resident == 0 {
            return 0;
        }
        self.moves(s);
        s.memory.unmap(s.groups, self.space, (start, end), resident)
    }

    pub(super) fn drop_area<H: Hw>(&mut self, s: &mut Supply<'_, H>, area: Area) {
        self.drop_pages(s, area.start, area.end, area.resident);
        if let Backing::File { file, .. } = area.backing {
            s.close(file);
        }
    }

    /// Removes everything in a range.
    ///
    /// # Errors
    /// `EINVAL`: unaligned, empty or beyond the lower half. `ENOMEM`: too many areas after a cut.
    pub fn unmap<H: Hw>(&mut self, s: &mut Supply<'_, H>, start: u64, length: u64) -> Result<(), Errno> {
        let end = self.range(start, length)?;
        self.split(s, start)?;
        self.split(s, end)?;
        for area in self.within(start, end) {
            self.areas.remove(&area.start);
            self.drop_area(s, area);
        }
        // Fewer are never refused.
        let _ = self.pay_for(self.areas.len());
        Ok(())
    }

    fn range(&self, start: u64, length: u64) -> Result<u64, Errno> {
        let length = pages_of(length).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
        if start & MASK != 0 || end > USER_END {
            return Err(Errno::EINVAL);
        }
        Ok(end)
    }

    /// Changes what ring 3 may do with a range.
    ///
    /// # Errors
    /// `EINVAL`: unaligned. `ENOMEM`: a hole. `EACCES`: writable and executable, or stores to a file that was
    /// not opened for writing.
    pub fn protect<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        start: u64,
        length: u64,
        protection: Protection,
    ) -> Result<(), Errno> {
        if length == 0 && start & MASK == 0 {
            return Ok(());
        }
        let end = self.range(start, length)?;
        let protection = self.checked(protection)?;
        if !self.is_covered(start, end) {
            return Err(Errno::ENOMEM);
        }
        self.split(s, start)?;
        self.split(s, end)?;
        let areas = self.within(start, end);
        if protection.contains(Protection::WRITE) && areas.iter().any(|area| !area.may_write) {
            return Err(Errno::EACCES);
        }
        for area in areas {
            let area = Area { protection, ..area };
            self.areas.remove(&area.start);
            self.remap(s, &area)?;
            self.insert(area);
        }
        Ok(())
    }

    /// Maps the pages of an area again, with what may be done with them now.
    fn remap<H: Hw>(&mut self, s: &mut Supply<'_, H>, area: &Area) -> Result<(), Errno> {
        let (mut left, mut at) = (area.resident, area.start);
        while left > 0
            && let Some(page) = s.memory.hw.next_mapped(self.space, at, area.end)
        {
            at = page.address() + PAGE as u64;
            if let Some((frame, _)) = s.memory.hw.translate(self.space, page) {
                left -= 1;
                let protection = self.mapped_protection(s, area, frame, Access::Read);
                self.replace_page(s, page, frame, protection).map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }

    /// Takes advice.
    ///
    /// # Errors
    /// `EINVAL`: unaligned. `ENOMEM`: a hole; the rest of the range was advised.
    pub fn advise<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        start: u64,
        length: u64,
        advice: Advice,
    ) -> Result<(), Errno> {
        if length == 0 {
            return Ok(());
        }
        let end = self.range(start, length)?;
        let covered = self.is_covered(start, end);
        if advice == Advice::DontNeed {
            let areas: Vec<Area> = self.areas.range(..end).map(|(_, area)| *area).collect();
            for area in areas.into_iter().filter(|area| area.end > start && area.sharing == Sharing::Private)
            {
                let gone = self.drop_pages(s, start.max(area.start), end.min(area.end), area.resident);
                if let Some(area) = self.areas.get_mut(&area.start) {
                    area.resident -= gone.min(area.resident);
                }
            }
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Changes the length of a mapping, moving it if it must and may; returns where it is then.
    ///
    /// # Errors
    /// `EINVAL`: unaligned or empty. `EFAULT`: not one area. `ENOMEM`: no room where it is, or at all.
    pub fn resize<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        start: u64,
        old: u64,
        new: u64,
        moving: Option<Place>,
    ) -> Result<u64, Errno> {
        let old_end = self.range(start, old)?;
        let (old, new) = (old_end - start, pages_of(new).ok_or(Errno::EINVAL)?);
        if self.area_at(start).is_none_or(|area| old_end > area.end) {
            return Err(Errno::EFAULT);
        }
        let fixed = matches!(moving, Some(Place::Fixed(_)));
        if new <= old && !fixed {
            if new < old {
                self.unmap(s, start + new, old - new)?;
            }
            return Ok(start);
        }
        if !fixed {
            self.grows_by(new - old)?;
            let end = start.checked_add(new).filter(|end| *end <= USER_END);
            let at_end = self.area_at(start).is_some_and(|area| area.end == old_end);
            if let Some(end) = end
                && at_end
                && self.is_free(old_end, end)
            {
                if let Some(area) = self.area_at_mut(start) {
                    area.end = end;
                }
                return Ok(start);
            }
        }
        let place = moving.ok_or(Errno::ENOMEM)?;
        self.relocate(s, (start, old_end), new, place)
    }

    fn relocate<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        (start, end): (u64, u64),
        length: u64,
        place: Place,
    ) -> Result<u64, Errno> {
        let to = self.place(place, length)?;
        if to < end && start < to + length {
            return Err(Errno::EINVAL);
        }
        if matches!(place, Place::Fixed(_)) {
            self.unmap(s, to, length)?;
        }
        let kept = (end - start).min(length);
        if kept < end - start {
            self.unmap(s, start + kept, end - start - kept)?;
        }
        self.split(s, start)?;
        self.split(s, start + kept)?;
        let Some(area) = self.areas.remove(&start) else { return Err(Errno::EFAULT) };
        let moved = Area { start: to, end: to + length, ..area };
        for offset in (0..kept).step_by(PAGE) {
            let (Some(from), Some(page)) = (Page::containing(start + offset), Page::containing(to + offset))
            else {
                continue;
            };
            let Some((frame, protection)) = s.memory.hw.translate(self.space, from) else { continue };
            if s.map(self.group, self.space, page, frame, protection).is_err() {
                // What was moved already stays mapped in both places until the area goes; undo it.
                for offset in (0..offset).step_by(PAGE) {
                    let (Some(back), Some(page)) =
                        (Page::containing(start + offset), Page::containing(to + offset))
                    else {
                        continue;
                    };
                    if let Some((frame, protection)) = s.memory.hw.translate(self.space, page) {
                        let _ = s.map(self.group, self.space, back, frame, protection);
                        self.clear_page(s, page);
                    }
                }
                self.areas.insert(start, area);
                return Err(Errno::ENOMEM);
            }
            self.clear_page(s, from);
        }
        self.insert(moved);
        Ok(to)
    }

    /// Where the heap begins; it is empty then.
    pub fn set_heap(&mut self, start: u64) {
        let start = start.saturating_add(MASK) & !MASK;
        (self.heap_start, self.heap_end) = (start, start);
    }

    /// Moves the end of the heap to `end` if that is possible; returns where it is then (brk(2), raw).
    pub fn set_heap_end<H: Hw>(&mut self, s: &mut Supply<'_, H>, end: u64) -> u64 {
        if end < self.heap_start || self.heap_start == 0 {
            return self.heap_end;
        }
        let up = |address: u64| address.checked_add(MASK).map_or(!MASK, |a| a & !MASK);
        let (old, new) = (up(self.heap_end), up(end));
        if new > old {
            let gap = new.saturating_add(STACK_GAP.min(MASK + 1));
            if new > USER_END || !self.is_free(old, gap) || self.grows_by(new - old).is_err() {
                return self.heap_end;
            }
            self.insert(Area {
                start: old,
                end: new,
                protection: Protection::READ | Protection::WRITE,
                sharing: Sharing::Private,
                backing: Backing::Anonymous,
                role: Role::Heap,
                may_write: true,
                resident: 0,
                written: false,
            });
        } else if new < old && self.unmap(s, new, old - new).is_err() {
            return self.heap_end;
        }
        self.heap_end = end;
        end
    }

    /// Mappings that ask for no address are made below this one.
    pub fn set_top(&mut self, top: u64) {
        self.top = top & !MASK;
    }
}
