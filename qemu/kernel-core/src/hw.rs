//! The machine, as the rest of the kernel sees it.

use bailiwick_protocol::message::Nanos;
use bitflags::bitflags;

/// Bytes in a page, and in a frame.
pub const PAGE: usize = 4096;

/// A frame of physical memory, by number: its address is the number times [`PAGE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frame(pub u32);

/// A set of page tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Space(pub u32);

/// The address of a page in an address space: a multiple of [`PAGE`] in the lower half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Page(u64);

/// First address that is not a user's (end of the canonical lower half, less one guard page).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

impl Page {
    /// The page that holds `address`, if it is a user address.
    pub const fn containing(address: u64) -> Option<Page> {
        if address < USER_END { Some(Page(address & !(PAGE as u64 - 1))) } else { None }
    }
    /// Its first address.
    pub const fn address(self) -> u64 {
        self.0
    }
}

bitflags! {
    /// What ring 3 may do with a page. Never both `WRITE` and `EXECUTE`: [`Hw::map`] refuses.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Protection: u8 {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXECUTE = 4;
    }
}

/// The machine has no frame left for a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfFrames;

/// What the kernel needs of the machine. Implemented once for x86_64 and once, with ordinary memory, for tests.
///
/// Frames are handed to the kernel once, at start ([`crate::memory::Memory::new`]); which are free is the
/// kernel's own business, and page tables are made of frames it gives.
pub trait Hw {
    /// The bytes of a frame.
    fn bytes(&self, frame: Frame) -> &[u8; PAGE];
    /// The bytes of a frame, to be written.
    fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE];
    /// Copies the first `length` bytes of a frame, at most [`PAGE`], to the same place of another, which may be the same
    /// one.
    fn copy(&mut self, from: Frame, to: Frame, length: usize);

    /// Makes page tables whose upper half is the kernel's and whose lower half is empty. `root` is a zeroed frame.
    fn space_new(&mut self, root: Frame) -> Space;
    /// The frame that was given as root. Every other table frame was given back by [`Hw::space_clear`].
    fn space_root(&self, space: Space) -> Frame;
    /// Removes every mapping of the lower half, handing each inner table frame to `release`.
    fn space_clear(&mut self, space: Space, release: &mut dyn FnMut(Frame));
    /// Maps `page` to `frame`, replacing what was there. `table` gives zeroed frames for inner tables.
    ///
    /// # Errors
    /// [`OutOfFrames`] if `table` had none: the inner tables that were made stay, and nothing else was changed.
    fn map(
        &mut self,
        space: Space,
        page: Page,
        frame: Frame,
        protection: Protection,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<(), OutOfFrames>;
    /// Removes the mapping of `page`, if any, and returns the frame it had.
    fn unmap(&mut self, space: Space, page: Page) -> Option<Frame>;
    /// Removes the first `most` mappings of the pages of `start..end`, handing each frame to `each`. Returns how many
    /// there were. Both are addresses of pages.
    fn unmap_range(&mut self, space: Space, range: (u64, u64), most: u32, each: impl FnMut(Frame)) -> u32;
    /// Maps the `count` frames from `frame` on to as many pages from `page` on, handing each frame that was mapped to
    /// `each`. Pages that are mapped already, and those whose inner tables are missing, stay as they are. Returns how many
    /// were mapped.
    fn map_run(
        &mut self,
        space: Space,
        pages: (Page, u32),
        frame: Frame,
        protection: Protection,
        each: impl FnMut(Frame),
    ) -> u32;
    /// The frame `page` is mapped to and what ring 3 may do with it.
    fn translate(&self, space: Space, page: Page) -> Option<(Frame, Protection)>;
    /// The first page from `from` on, and before `end`, that has a frame. Both are addresses of pages.
    fn next_mapped(&self, space: Space, from: u64, end: u64) -> Option<Page>;

    /// Time since start; never goes back.
    fn now(&self) -> Nanos;
    /// Seconds and nanoseconds since 1970, UTC, as far as the machine knows.
    fn realtime(&self) -> (u64, u32);
    /// A number nobody inside can foresee, as good as the machine has.
    fn random(&mut self) -> u64;
    /// Bytes left in the kernel's own heap: calls that make objects are refused when it gets low.
    fn heap_free(&self) -> usize;
    /// Writes these bytes to the serial console, as they are.
    fn console_write(&mut self, bytes: &[u8]);
    /// Takes a received byte from the serial console.
    fn console_read(&mut self) -> Option<u8>;
    /// Ends the machine with this status (0 is success).
    fn power_off(&mut self, status: u8) -> !;
}
