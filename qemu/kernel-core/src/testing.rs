//! The machine for tests: ordinary memory behind [`Hw`], groups that only count.

#![allow(clippy::panic, clippy::expect_used, reason = "a test that breaks its machine should stop")]

#[cfg(test)]
pub mod explore;

use crate::hw::{Frame, Hw, OutOfFrames, PAGE, Page, Protection, Space};
use crate::memory::{Charge, GroupId, Memory, NoMemory};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;
use core::cell::Cell;

/// Frames below this number are a boot image: [`Memory`] counts them as fixed.
pub const IMAGE_FRAMES: u32 = 256;

type Mappings = BTreeMap<Page, (Frame, Protection)>;

/// A machine of ordinary memory. Time advances only when a test says so.
#[derive(Debug)]
pub struct FakeHw {
    frames: Vec<[u8; PAGE]>,
    /// The root frame of each space, and its mappings.
    spaces: BTreeMap<u32, (Frame, Mappings)>,
    next_space: u32,
    /// What [`Hw::now`] says.
    pub now: Nanos,
    /// What [`Hw::realtime`] says.
    pub realtime: (u64, u32),
    random: u64,
    /// What [`Hw::heap_free`] says.
    pub heap_free: usize,
    /// After so many looks at it, it says once that nothing is left.
    pub heap_full_after: Cell<Option<u32>>,
    /// What was written to the console.
    pub console: Vec<u8>,
    /// What will be read from the console, last byte first.
    pub input: Vec<u8>,
}

impl FakeHw {
    /// A machine with [`IMAGE_FRAMES`] fixed frames and `frames` free ones after them.
    pub fn memory(frames: u32) -> Memory<FakeHw> {
        Memory::new(FakeHw::new(IMAGE_FRAMES + frames), &[(IMAGE_FRAMES, frames)])
    }
    /// A machine with this many frames.
    pub fn new(frames: u32) -> FakeHw {
        FakeHw {
            frames: alloc::vec![[0xA5; PAGE]; frames as usize],
            spaces: BTreeMap::new(),
            next_space: 1,
            now: Nanos(1_000_000_000),
            realtime: (1_800_000_000, 0),
            random: 0x9E37_79B9_7F4A_7C15,
            heap_free: 64 << 20,
            heap_full_after: Cell::new(None),
            console: Vec::new(),
            input: Vec::new(),
        }
    }
    /// Puts `bytes` into the fixed frames from frame 0 on, as a boot loader would.
    pub fn put_image(&mut self, bytes: &[u8]) {
        for (frame, chunk) in self.frames.iter_mut().take(IMAGE_FRAMES as usize).zip(bytes.chunks(PAGE)) {
            *frame = [0; PAGE];
            frame[..chunk.len()].copy_from_slice(chunk);
        }
        assert!(bytes.len() <= IMAGE_FRAMES as usize * PAGE, "the image is too large for the fake machine");
    }
}

impl Hw for FakeHw {
    fn bytes(&self, frame: Frame) -> &[u8; PAGE] {
        &self.frames[frame.0 as usize]
    }
    fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        &mut self.frames[frame.0 as usize]
    }
    fn copy(&mut self, from: Frame, to: Frame, length: usize) {
        let bytes = self.frames[from.0 as usize];
        self.frames[to.0 as usize][..length].copy_from_slice(&bytes[..length]);
    }
    fn space_new(&mut self, root: Frame) -> Space {
        let space = self.next_space;
        self.next_space += 1;
        self.spaces.insert(space, (root, BTreeMap::new()));
        Space(space)
    }
    fn space_root(&self, space: Space) -> Frame {
        self.spaces[&space.0].0
    }
    fn space_clear(&mut self, space: Space, _release: &mut dyn FnMut(Frame)) {
        if let Some((_, pages)) = self.spaces.get_mut(&space.0) {
            pages.clear();
        }
    }
    fn map(
        &mut self,
        space: Space,
        page: Page,
        frame: Frame,
        protection: Protection,
        _table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<(), OutOfFrames> {
        assert!(
            !protection.contains(Protection::WRITE | Protection::EXECUTE),
            "a page is never both writable and executable"
        );
        if let Some((_, pages)) = self.spaces.get_mut(&space.0) {
            pages.insert(page, (frame, protection));
        }
        Ok(())
    }
    fn unmap(&mut self, space: Space, page: Page) -> Option<Frame> {
        self.spaces.get_mut(&space.0)?.1.remove(&page).map(|(frame, _)| frame)
    }
    fn unmap_range(
        &mut self,
        space: Space,
        (start, end): (u64, u64),
        most: u32,
        mut each: impl FnMut(Frame),
    ) -> u32 {
        let mut count = 0;
        while count < most
            && let Some(page) = self.next_mapped(space, start, end)
        {
            self.unmap(space, page).into_iter().for_each(&mut each);
            count += 1;
        }
        count
    }
    fn map_run(
        &mut self,
        space: Space,
        (first, pages): (Page, u32),
        frame: Frame,
        protection: Protection,
        mut each: impl FnMut(Frame),
    ) -> u32 {
        let mut count = 0;
        for (at, number) in (first.address()..).step_by(PAGE).zip(frame.0..).take(pages as usize) {
            if let Some(page) = Page::containing(at)
                && self.translate(space, page).is_none()
            {
                let _ = self.map(space, page, Frame(number), protection, &mut || None);
                each(Frame(number));
                count += 1;
            }
        }
        count
    }
    fn translate(&self, space: Space, page: Page) -> Option<(Frame, Protection)> {
        self.spaces.get(&space.0)?.1.get(&page).copied()
    }
    fn next_mapped(&self, space: Space, from: u64, end: u64) -> Option<Page> {
        let pages = &self.spaces.get(&space.0)?.1;
        let (first, _) = pages.range(Page::containing(from)?..).next()?;
        Some(*first).filter(|page| page.address() < end)
    }
    fn now(&self) -> Nanos {
        self.now
    }
    fn realtime(&self) -> (u64, u32) {
        self.realtime
    }
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
    fn heap_free(&self) -> usize {
        let after = self.heap_full_after.get();
        self.heap_full_after.set(after.and_then(|looks| looks.checked_sub(1)));
        if after == Some(0) { 0 } else { self.heap_free }
    }
    fn console_write(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
    }
    fn console_read(&mut self) -> Option<u8> {
        self.input.pop()
    }
    fn power_off(&mut self, status: u8) -> ! {
        panic!("powered off with status {status}")
    }
}

/// Numbers that look random and are the same for the same seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A sequence.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// Groups that count frames and have one limit each.
#[derive(Debug, Default)]
pub struct Counts {
    used: BTreeMap<GroupId, usize>,
    /// Limits, by group; no entry is no limit.
    pub limits: BTreeMap<GroupId, usize>,
}

impl Counts {
    /// Frames charged to `group` now.
    pub fn used(&self, group: GroupId) -> usize {
        self.used.get(&group).copied().unwrap_or(0)
    }
}

impl Charge for Counts {
    fn charge(&mut self, group: GroupId) -> Result<(), NoMemory> {
        let used = self.used.entry(group).or_default();
        if self.limits.get(&group).is_some_and(|limit| *used >= *limit) {
            return Err(NoMemory::Group(group));
        }
        *used += 1;
        Ok(())
    }
    fn uncharge(&mut self, group: GroupId) {
        let used = self.used.entry(group).or_default();
        assert!(*used > 0, "a frame of {group:?} was given back twice");
        *used -= 1;
    }
}
