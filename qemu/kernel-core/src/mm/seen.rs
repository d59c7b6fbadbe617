//! Where a page was when somebody last looked, so that the next look need not walk through areas and tables.
//!
//! Whoever looks ([`AddressSpace::see`]) is not told when the page comes to be elsewhere, may not be written any more, or
//! goes. Instead there is one [`Generation`] for all spaces together. The first such change of a space that somebody has
//! looked at begins a new one, and what was seen in an earlier generation has to be looked for again. Every change of a
//! page that is mapped goes through [`AddressSpace::replace_page`] and [`AddressSpace::clear_page`], gives back the pages
//! of a range, or is the end of the space. That a page comes to be where none was changes nothing that was seen.
//!
//! Only spaces of native processes are looked at so: what Linux processes do to theirs begins no generation.

use super::{AddressSpace, Supply};
use crate::hw::{Frame, Hw, Page, Protection};
use crate::memory::NoMemory;
use bailiwick_abi::BUFFER_CAPABILITIES;
use core::num::NonZero;

/// How often a page that somebody may have seen came to be elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Generation(NonZero<u64>);

impl Default for Generation {
    fn default() -> Self {
        Generation(NonZero::<u64>::MIN)
    }
}

/// A frame, in four bytes also if there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FrameAfter(NonZero<u32>);

impl FrameAfter {
    fn new(frame: Frame) -> Option<FrameAfter> {
        frame.0.checked_add(1).and_then(NonZero::new).map(FrameAfter)
    }
    #[inline]
    fn frame(self) -> Frame {
        Frame(self.0.get() - 1)
    }
}

/// Where the two pages of a message buffer are, as far as they are there and ring 3 may read and write them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    bytes: Option<FrameAfter>,
    words: Option<FrameAfter>,
    /// They are there as long as this is the generation.
    generation: Generation,
}

impl Seen {
    /// The frame with the bytes of messages, if it is certain to be there still.
    #[inline]
    pub(crate) fn bytes(self, now: Generation) -> Option<Frame> {
        if self.generation == now { self.bytes.map(FrameAfter::frame) } else { None }
    }
    /// The frame with the words of capabilities, if it is.
    #[inline]
    pub(crate) fn words(self, now: Generation) -> Option<Frame> {
        if self.generation == now { self.words.map(FrameAfter::frame) } else { None }
    }
}

/// Whether somebody may rely on where a page of a space is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Watched {
    #[default]
    No,
    Yes,
}

impl AddressSpace {
    /// Where the pages of the message buffer at `address` are; none of one that is not there, or may not be read and
    /// written. What is so mapped, its area allows.
    pub(crate) fn see<H: Hw>(&mut self, s: &Supply<'_, H>, address: u64) -> Seen {
        self.watched = Watched::Yes;
        let page = |address| {
            let (frame, protection) = s.memory.hw.translate(self.space, Page::containing(address)?)?;
            let both = Protection::READ | Protection::WRITE;
            if protection.contains(both) { FrameAfter::new(frame) } else { None }
        };
        let (bytes, words) = (page(address), page(address.saturating_add(BUFFER_CAPABILITIES)));
        Seen { bytes, words, generation: s.memory.generation }
    }

    /// Pages are about to move: nobody may rely any more on where they are.
    pub(super) fn moves<H: Hw>(&mut self, s: &mut Supply<'_, H>) {
        if core::mem::take(&mut self.watched) == Watched::Yes {
            // It does not come to its end: a thousand million a second would take 500 years.
            s.memory.generation = Generation(s.memory.generation.0.saturating_add(1));
        }
    }
    /// Maps a page that is mapped to another frame, or with other rights.
    pub(super) fn replace_page<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        page: Page,
        frame: Frame,
        protection: Protection,
    ) -> Result<(), NoMemory> {
        self.moves(s);
        s.map(self.group, self.space, page, frame, protection)
    }
    /// Removes the mapping of a page, if there is one, and gives the frame it had.
    pub(super) fn clear_page<H: Hw>(&mut self, s: &mut Supply<'_, H>, page: Page) -> Option<Frame> {
        self.moves(s);
        s.memory.hw.unmap(self.space, page)
    }
}
