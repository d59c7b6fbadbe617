//! Page tables: those of processes, and the upper half that all of them have.
//!
//! ```text
//!   0 .. USER_END                 a process's pages
//!   0xffff_8000_0000_0000 ..      memory, one to one: never executable, the kernel's constants and text read-only
//!   0xffff_ffff_8000_0000 ..      the kernel's image: text, constants, variables, each with its own rights
//!   0xffff_ffff_fee0_0000         the local interrupt controller
//! ```
//!
//! A table is a frame like any other and is written through the same bytes. Only loading one touches the processor.

use crate::ISOLATION;
use crate::image::{self, Part};
use crate::machine::Machine;
use crate::physical;
use bailiwick_kernel_core::hw::{Frame, Hw, OutOfFrames, PAGE, Page, Protection, Space};
use bailiwick_kernel_core::ranges::Ranges;
use x86_64::structures::paging::PageTableFlags as Flags;

/// Entries of a table.
const ENTRIES: usize = 512;
/// Bytes that an entry of a directory maps.
const LARGE: u64 = 2 << 20;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The page has a frame, but ring 3 may do nothing with it. The processor takes the entry for empty.
const KEPT: Flags = Flags::BIT_9;
/// Where the local interrupt controller is mapped.
pub(crate) const INTERRUPT_CONTROLLER: u64 = 0xffff_ffff_fee0_0000;

/// A page of the kernel stays remembered when other tables are loaded, unless it is only in its own.
const GLOBAL: Flags = if ISOLATION { Flags::empty() } else { Flags::GLOBAL };

/// A table entry.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    const EMPTY: Entry = Entry(0);

    fn new(frame: Frame, flags: Flags) -> Entry {
        Entry(address(frame) | flags.bits())
    }
    fn flags(self) -> Flags {
        Flags::from_bits_truncate(self.0)
    }
    fn has(self, flags: Flags) -> bool {
        self.flags().contains(flags)
    }
    fn frame(self) -> Frame {
        Frame(((self.0 & ADDRESS) / PAGE as u64) as u32)
    }
    /// The table that a directory's entry leads to.
    fn table(self) -> Option<Frame> {
        (self.has(Flags::PRESENT) && !self.has(Flags::HUGE_PAGE)).then(|| self.frame())
    }
    /// The frame that a lowest table's entry holds.
    fn held(self) -> Option<Frame> {
        self.flags().intersects(Flags::PRESENT | KEPT).then(|| self.frame())
    }
}

/// A frame's physical address.
pub(crate) fn address(frame: Frame) -> u64 {
    u64::from(frame.0) * PAGE as u64
}

/// The entry for `address` in a table of `level`; the lowest is 1, the root 4.
fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize % ENTRIES
}

/// Flags of a page of ring 3.
fn user_flags(protection: Protection) -> Flags {
    if protection.is_empty() {
        return KEPT;
    }
    let mut flags = Flags::PRESENT | Flags::USER_ACCESSIBLE | Flags::NO_EXECUTE;
    if protection.contains(Protection::WRITE) {
        flags |= Flags::WRITABLE;
    } else if protection.contains(Protection::EXECUTE) {
        flags -= Flags::NO_EXECUTE;
    }
    flags
}

/// Makes the processor forget the page at `address`.
fn flush(address: u64) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address));
}

fn protection(entry: Entry) -> Protection {
    if !entry.has(Flags::PRESENT) {
        return Protection::empty();
    }
    let mut protection = Protection::READ;
    protection.set(Protection::WRITE, entry.has(Flags::WRITABLE));
    protection.set(Protection::EXECUTE, !entry.has(Flags::NO_EXECUTE));
    protection
}

impl Machine {
    fn entry(&self, table: Frame, index: usize) -> Entry {
        Entry(self.bytes(table).as_chunks().0.get(index).map_or(0, |raw| u64::from_le_bytes(*raw)))
    }
    fn set_entry(&mut self, table: Frame, index: usize, entry: Entry) {
        if let Some(raw) = self.bytes_mut(table).as_chunks_mut().0.get_mut(index) {
            *raw = entry.0.to_le_bytes();
        }
    }

    /// The table of `level` for `address`; missing ones on the way are made, of frames from `new`.
    fn make_table(
        &mut self,
        root: Frame,
        address: u64,
        level: u32,
        flags: Flags,
        new: &mut dyn FnMut() -> Option<Frame>,
    ) -> Option<Frame> {
        let mut table = root;
        for above in (level + 1..=4).rev() {
            let at = index(address, above);
            table = match self.entry(table, at).table() {
                Some(next) => next,
                None => {
                    let next = new()?;
                    self.set_entry(table, at, Entry::new(next, flags));
                    next
                }
            };
        }
        Some(table)
    }

    /// The lowest table for `address`, if there is one.
    fn find_table(&self, root: Frame, address: u64) -> Option<Frame> {
        (2..=4).rev().try_fold(root, |table, level| self.entry(table, index(address, level)).table())
    }

    /// The first entry from position `from` on that is not empty. Tables are sparse, and looked through often: empty
    /// ones are passed over eight at a time.
    fn next_entry(&self, table: Frame, from: usize) -> Option<(usize, Entry)> {
        let entries: &[[u8; 8]] = self.bytes(table).as_chunks().0.get(from..)?;
        let bits = |all: u64, raw: &[u8; 8]| all | u64::from_le_bytes(*raw);
        let empty = |eight: &&[[u8; 8]; 8]| eight.iter().fold(0, bits) == 0;
        let passed = 8 * entries.as_chunks().0.iter().take_while(empty).count();
        let left = entries.get(passed..)?.iter().map(|raw| Entry(u64::from_le_bytes(*raw)));
        let mut left = (from + passed..).zip(left);
        left.find(|(_, entry)| *entry != Entry::EMPTY)
    }

    /// Gives back what is below an entry of a table of `level`.
    fn clear_entry(&mut self, entry: Entry, level: u32, release: &mut dyn FnMut(Frame)) {
        let Some(table) = entry.table() else { return };
        let mut from = if level > 2 { 0 } else { ENTRIES };
        while let Some((at, entry)) = self.next_entry(table, from) {
            self.clear_entry(entry, level - 1, release);
            from = at + 1;
        }
        release(table);
    }

    // ---- what `Hw` promises ----------------------------------------------------------------------------------

    pub(crate) fn new_space(&mut self, root: Frame) -> Space {
        // The lower half of both is empty.
        self.copy(self.common_root, root, PAGE);
        Space(root.0)
    }

    pub(crate) fn clear_space(&mut self, space: Space, release: &mut dyn FnMut(Frame)) {
        if self.is_loaded(space) {
            self.load_space(Space(self.kernel_root.0));
        }
        let root = Frame(space.0);
        let mut from = 0;
        while let Some((at, entry)) = self.next_entry(root, from).filter(|(at, _)| *at < ENTRIES / 2) {
            self.set_entry(root, at, Entry::EMPTY);
            self.clear_entry(entry, 4, release);
            from = at + 1;
        }
    }

    pub(crate) fn map_page(
        &mut self,
        space: Space,
        page: Page,
        frame: Frame,
        protection: Protection,
        new: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<(), OutOfFrames> {
        let flags = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE;
        let table = self.make_table(Frame(space.0), page.address(), 1, flags, new).ok_or(OutOfFrames)?;
        let at = index(page.address(), 1);
        let old = self.entry(table, at);
        self.set_entry(table, at, Entry::new(frame, user_flags(protection)));
        self.forget(space, page, old);
        Ok(())
    }

    pub(crate) fn unmap_page(&mut self, space: Space, page: Page) -> Option<Frame> {
        let table = self.find_table(Frame(space.0), page.address())?;
        let at = index(page.address(), 1);
        let old = self.entry(table, at);
        self.set_entry(table, at, Entry::EMPTY);
        self.forget(space, page, old);
        old.held()
    }

    pub(crate) fn unmap_pages(
        &mut self,
        space: Space,
        (start, end): (u64, u64),
        most: u32,
        mut each: impl FnMut(Frame),
    ) -> u32 {
        let loaded = self.is_loaded(space);
        let (mut at, mut left) = (start, most);
        while at < end && left > 0 {
            let base = at - at % LARGE;
            let stop = if end - base < LARGE { index(end, 1) } else { ENTRIES };
            let from = index(at, 1);
            at = base + LARGE;
            let Some(table) = self.find_table(Frame(space.0), base) else { continue };
            let entries =
                self.bytes_mut(table).as_chunks_mut::<8>().0.get_mut(from..stop).unwrap_or_default();
            // Empty ones are passed over eight at a time.
            for (first, eight) in (from..).step_by(8).zip(entries.chunks_mut(8)) {
                if eight.iter().fold(0, |all, raw| all | u64::from_le_bytes(*raw)) == 0 {
                    continue;
                }
                for (number, raw) in (first..).zip(eight) {
                    let Some(frame) = Entry(u64::from_le_bytes(*raw)).held() else { continue };
                    if left == 0 {
                        return most;
                    }
                    *raw = [0; 8];
                    if loaded {
                        flush(base + (number * PAGE) as u64);
                    }
                    each(frame);
                    left -= 1;
                }
            }
        }
        most - left
    }

    pub(crate) fn map_pages(
        &mut self,
        space: Space,
        (first, pages): (Page, u32),
        frame: Frame,
        protection: Protection,
        mut each: impl FnMut(Frame),
    ) -> u32 {
        let flags = user_flags(protection);
        let (mut at, mut numbers, mut count) = (first.address(), frame.0..frame.0.saturating_add(pages), 0);
        while !numbers.is_empty() && Page::containing(at).is_some() {
            let from = index(at, 1);
            let here = numbers.len().min(ENTRIES - from);
            let beyond = numbers.start + here as u32;
            if let Some(table) = self.find_table(Frame(space.0), at)
                && let Some(entries) = self.bytes_mut(table).as_chunks_mut::<8>().0.get_mut(from..from + here)
            {
                for (raw, number) in entries.iter_mut().zip(numbers.start..) {
                    if *raw == [0; 8] {
                        // What was empty, the processor does not remember.
                        *raw = Entry::new(Frame(number), flags).0.to_le_bytes();
                        each(Frame(number));
                        count += 1;
                    }
                }
            }
            at += (here * PAGE) as u64;
            numbers.start = beyond;
        }
        count
    }

    pub(crate) fn translate_page(&self, space: Space, page: Page) -> Option<(Frame, Protection)> {
        let table = self.find_table(Frame(space.0), page.address())?;
        let entry = self.entry(table, index(page.address(), 1));
        entry.held().map(|frame| (frame, protection(entry)))
    }

    /// The first page of `from..end` that has a frame. What has no table is passed over table by table.
    pub(crate) fn next_page(&self, space: Space, from: u64, end: u64) -> Option<Page> {
        let mut at = from;
        while at < end {
            let base = at - at % LARGE;
            if let Some(table) = self.find_table(Frame(space.0), at)
                && let Some((found, _)) = self.next_entry(table, index(at, 1))
            {
                let page = base + (found * PAGE) as u64;
                return Page::containing(page).filter(|_| page < end);
            }
            at = base + LARGE;
        }
        None
    }

    /// The processor may remember `old`. What it remembers of spaces that are not loaded goes when one is loaded.
    fn forget(&self, space: Space, page: Page, old: Entry) {
        if old.has(Flags::PRESENT) && self.is_loaded(space) {
            flush(page.address());
        }
    }

    // ---- the upper half --------------------------------------------------------------------------------------

    /// Fills the root of the kernel's own tables: `memory`, the image, the interrupt controller at `controller`.
    /// None if `new` gave no frame.
    pub(crate) fn map_kernel(
        &mut self,
        memory: &Ranges,
        controller: u64,
        new: &mut dyn FnMut() -> Option<Frame>,
    ) -> Option<()> {
        for range in memory.iter() {
            let mut at = range.start;
            while at < range.end {
                at += self.map_memory(at, range.end, new)?;
            }
        }
        for (part, start, end) in image::parts() {
            for at in (start..end).step_by(PAGE).filter(|at| !image::is_guard(*at)) {
                self.map_fixed(self.kernel_root, at, at - image::BASE, part_flags(part), new)?;
            }
        }
        if ISOLATION {
            for (part, start, end) in image::entry_parts() {
                for at in (start..end).step_by(PAGE) {
                    self.map_fixed(self.common_root, at, at - image::BASE, part_flags(part), new)?;
                }
            }
        }
        let device = Flags::WRITABLE | Flags::NO_EXECUTE | Flags::NO_CACHE | Flags::WRITE_THROUGH;
        self.map_fixed(self.kernel_root, INTERRUPT_CONTROLLER, controller, device, new)
    }

    /// Maps a stretch of memory that begins at `physical` and ends before `end`; returns how long it is.
    fn map_memory(&mut self, physical: u64, end: u64, new: &mut dyn FnMut() -> Option<Frame>) -> Option<u64> {
        let flags = Flags::WRITABLE | Flags::NO_EXECUTE;
        let away = physical + LARGE <= image::PHYSICAL_START || physical >= image::physical_end();
        if physical.is_multiple_of(LARGE) && physical + LARGE <= end && away {
            let directory =
                self.make_table(self.kernel_root, physical::MAP + physical, 2, table_flags(), new)?;
            let at = index(physical::MAP + physical, 2);
            let flags = flags | Flags::PRESENT | GLOBAL | Flags::HUGE_PAGE;
            self.set_entry(directory, at, Entry(physical | flags.bits()));
            return Some(LARGE);
        }
        let flags = match image::part_at(physical) {
            Some(Part::Text | Part::Constants) => Flags::NO_EXECUTE,
            _ => flags,
        };
        if !image::is_guard(physical + image::BASE) {
            self.map_fixed(self.kernel_root, physical::MAP + physical, physical, flags, new)?;
        }
        Some(PAGE as u64)
    }

    fn map_fixed(
        &mut self,
        root: Frame,
        at: u64,
        physical: u64,
        flags: Flags,
        new: &mut dyn FnMut() -> Option<Frame>,
    ) -> Option<()> {
        let table = self.make_table(root, at, 1, table_flags(), new)?;
        let flags = flags | Flags::PRESENT | GLOBAL;
        self.set_entry(table, index(at, 1), Entry(physical | flags.bits()));
        Some(())
    }
}

fn table_flags() -> Flags {
    Flags::PRESENT | Flags::WRITABLE
}

fn part_flags(part: Part) -> Flags {
    match part {
        Part::Text => Flags::empty(),
        Part::Constants => Flags::NO_EXECUTE,
        Part::Variables => Flags::NO_EXECUTE | Flags::WRITABLE,
    }
}
