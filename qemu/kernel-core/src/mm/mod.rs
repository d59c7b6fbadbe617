//! Address spaces of Linux processes: which addresses mean something, and what a page fault does about it.
//!
//! ```text
//!  mmap · munmap · mprotect · mremap · brk ─► areas (plain data, no page is touched)
//!                                              │
//!  fault, or a user copy that finds no page ─► resolve: zeroed frame · the file's own frame · copy of a shared one
//!  fork ─► the same areas, the same frames, nothing writable: whoever writes first copies
//! ```
//!
//! The page tables are the only record of which frame a page has: what a space holds is what is mapped in it. A
//! frame that others hold too is never mapped writable in a private area.
//!
//! No page is ever writable and executable. A program that asks for both gets `EACCES`, and the space counts it.

mod area;
mod change;
mod fault;
mod fork;
mod load;
mod seen;
mod user;

pub use area::{Area, Backing, Role, Sharing};
pub use change::{Advice, MapRequest, Place};
pub use fault::Fault;
pub use load::{Image, Loaded, MAX_HEADERS, parse};
pub(crate) use seen::{Generation, Seen};

use crate::account::Charged;
use crate::hw::{Frame, Hw, Page, Protection, Space};
use crate::memory::{Charge, GroupId, Memory, NoMemory};
use crate::vfs::{FileId, Frames, Store};
use alloc::collections::BTreeMap;
use bailiwick_protocol::error::Errno;

/// Lowest address that can be mapped (`/proc/sys/vm/mmap_min_addr`).
pub const LOWEST: u64 = 0x1_0000;
/// Most areas of one space (`/proc/sys/vm/max_map_count` is larger; the kernel's heap pays for each).
pub const AREAS_MAX: usize = 4096;
/// Pages that stay free below a stack that grows.
pub const STACK_GAP: u64 = 256 * crate::hw::PAGE as u64;

/// What a page is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Pages of a file that are in memory in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The frame that the first of them is in, as [`Files::page`] would give it for [`Access::Read`]; the others are in
    /// those after it. None if they would have to be made, or are beyond the end.
    pub frame: Option<Frame>,
    /// How many there are, at least 1.
    pub pages: u32,
}

/// Where the pages of mapped files come from: the virtual file system.
pub trait Files {
    /// The frame that a mapping of page `index` of `file` shows. The file keeps it: the caller shares it. With
    /// [`Access::Write`] it is the file's own frame, one that may be written.
    ///
    /// # Errors
    /// `ENXIO` beyond the end, `ENOMEM` or `ENOSPC` if a page had to be made.
    fn page(
        &mut self,
        frames: &mut dyn Frames,
        group: GroupId,
        file: FileId,
        index: u32,
        access: Access,
    ) -> Result<Frame, Errno>;
    /// What the first of the pages of `file` from `index` on are in, at most `most` of them and at least one. Nothing is
    /// made.
    fn present(&self, file: FileId, index: u32, most: u32) -> Run;
    /// One more holder of an open file.
    fn hold(&mut self, file: FileId);
    /// One holder less.
    fn close(&mut self, frames: &mut dyn Frames, file: FileId);
}

/// What address spaces are made of, lent for one call.
pub struct Supply<'a, H> {
    /// All frames.
    pub memory: &'a mut Memory<H>,
    /// Who pays.
    pub groups: &'a mut dyn Charge,
    /// Mapped files.
    pub files: &'a mut dyn Files,
    /// The last refusal of a frame: whoever runs the system call decides what ends for it.
    pub starved: &'a mut Option<NoMemory>,
}

impl<H: Hw> Supply<'_, H> {
    /// A zeroed frame; a refusal is noted.
    fn frame(&mut self, group: GroupId) -> Result<Frame, NoMemory> {
        self.memory.alloc(self.groups, group).inspect_err(|none| *self.starved = Some(*none))
    }
    fn release(&mut self, frame: Frame) {
        self.memory.release(self.groups, frame);
    }
    fn close(&mut self, file: FileId) {
        let mut store = Store { memory: &mut *self.memory, groups: &mut *self.groups };
        self.files.close(&mut store, file);
    }
    fn file_page(
        &mut self,
        group: GroupId,
        file: FileId,
        index: u32,
        access: Access,
    ) -> Result<Frame, Errno> {
        let mut store = Store { memory: &mut *self.memory, groups: &mut *self.groups };
        self.files.page(&mut store, group, file, index, access)
    }
    fn copy_frame(&mut self, group: GroupId, from: Frame) -> Result<Frame, NoMemory> {
        self.memory.alloc_copy(self.groups, group, from).inspect_err(|none| *self.starved = Some(*none))
    }
    /// Maps a page where none is ([`AddressSpace::replace_page`] where one is); page tables that are missing are paid by
    /// `group`.
    fn map(
        &mut self,
        group: GroupId,
        space: Space,
        page: Page,
        frame: Frame,
        protection: Protection,
    ) -> Result<(), NoMemory> {
        if self.memory.hw.map(space, page, frame, protection, &mut || None).is_ok() {
            return Ok(());
        }
        // Three tables may be missing. Each that was made stays, if there is no frame for the next.
        for _ in 0..3 {
            let mut table = Some(self.frame(group)?);
            let mapped = self.memory.hw.map(space, page, frame, protection, &mut || table.take());
            if let Some(left) = table {
                self.release(left);
            }
            if mapped.is_ok() {
                return Ok(());
            }
        }
        Err(NoMemory::Machine)
    }
}

/// One address space. End it with [`AddressSpace::destroy`]: what it holds is not given back by itself.
#[derive(Debug)]
pub struct AddressSpace {
    space: Space,
    group: GroupId,
    areas: BTreeMap<u64, Area>,
    /// Areas that are paid for.
    paid: usize,
    charged: Charged,
    /// Whether somebody has seen where a page of it is.
    watched: seen::Watched,
    /// Where searching for room begins, downwards.
    top: u64,
    heap_start: u64,
    heap_end: u64,
    /// Most bytes of all areas together (`RLIMIT_AS`).
    pub bytes_max: u64,
    /// Most bytes of a stack (`RLIMIT_STACK`).
    pub stack_max: u64,
    /// How often a page that is writable and executable was asked for, and refused.
    pub refused_write_execute: u32,
}

impl AddressSpace {
    /// An empty space, paid by `group`, for which the kernel works.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no frame for its page tables, or no room for areas.
    pub fn new<H: Hw>(s: &mut Supply<'_, H>, group: GroupId) -> Result<Self, NoMemory> {
        let charged = s.memory.charge(area::price(area::BATCH)).map_err(|_| NoMemory::Group(group))?;
        let root = s.frame(group)?;
        let space = s.memory.hw.space_new(root);
        Ok(AddressSpace {
            space,
            group,
            areas: BTreeMap::new(),
            paid: area::BATCH,
            charged,
            watched: seen::Watched::default(),
            top: crate::hw::USER_END,
            heap_start: 0,
            heap_end: 0,
            bytes_max: u64::MAX,
            stack_max: 8 << 20,
            refused_write_execute: 0,
        })
    }

    /// Gives back every frame and file it holds, and its page tables.
    pub fn destroy<H: Hw>(mut self, s: &mut Supply<'_, H>) {
        let areas = core::mem::take(&mut self.areas);
        for area in areas.into_values() {
            self.drop_area(s, area);
        }
        self.moves(s);
        let mut tables = alloc::vec::Vec::new();
        s.memory.hw.space_clear(self.space, &mut |frame| tables.push(frame));
        let root = s.memory.hw.space_root(self.space);
        tables.into_iter().for_each(|frame| s.release(frame));
        s.release(root);
    }

    /// The page tables, to be loaded when a thread of it runs.
    pub fn space(&self) -> Space {
        self.space
    }
    /// Who pays for its pages.
    pub fn group(&self) -> GroupId {
        self.group
    }
    /// Bytes of all areas.
    pub fn bytes(&self) -> u64 {
        self.areas.values().map(|area| area.end - area.start).sum()
    }
    /// Pages that are in memory.
    pub fn resident(&self) -> u64 {
        self.areas.values().map(|area| u64::from(area.resident)).sum()
    }
    /// Its areas, lowest first.
    pub fn areas(&self) -> impl Iterator<Item = &Area> {
        self.areas.values()
    }
}

#[cfg(test)]
mod tests;
