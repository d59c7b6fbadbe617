//! The contents of a stored file: pages of its own, pages of the boot image, and holes.

use super::{Access, Frames};
use crate::hw::{Frame, PAGE};
use crate::memory::GroupId;
use crate::mm::Run;
use alloc::collections::BTreeMap;
use bailiwick_protocol::error::Errno;

/// Largest file, in bytes: what a 32-bit page number reaches.
pub(super) const SIZE_MAX: u64 = (u32::MAX as u64) * PAGE as u64;

/// Bytes of the boot image that a file begins with. The frames are fixed: shared by all, written by none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Image {
    first: Frame,
    bytes: u64,
}

/// Pages a file system may still use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    pub(crate) used: u64,
    pub(crate) max: Option<u64>,
}

impl Quota {
    fn take(&mut self) -> Result<(), Errno> {
        if self.max.is_some_and(|max| self.used >= max) {
            return Err(Errno::ENOSPC);
        }
        self.used += 1;
        Ok(())
    }
}

/// Who pays for new pages, and within which bounds.
pub(crate) struct Payer<'a> {
    pub(crate) frames: &'a mut dyn Frames,
    pub(crate) quota: &'a mut Quota,
    pub(crate) group: GroupId,
}

/// The contents of a regular file.
#[derive(Debug, Default)]
pub(crate) struct Data {
    size: u64,
    pages: BTreeMap<u32, Frame>,
    image: Option<Image>,
}

/// What a page is made of.
enum Source {
    Hole,
    Own(Frame),
    /// A frame of the image, and how many of its bytes are the file's.
    Image(Frame, usize),
}

impl Data {
    /// Contents that are `bytes` bytes of the image from frame `first` on.
    pub(crate) fn image(first: Frame, bytes: u64) -> Self {
        Data { size: bytes, pages: BTreeMap::new(), image: Some(Image { first, bytes }) }
    }
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
    /// Pages that hold data, image pages included.
    pub(crate) fn resident(&self) -> u64 {
        self.pages.len() as u64 + self.image.map_or(0, |image| image.bytes.div_ceil(PAGE as u64))
    }

    fn source(&self, index: u32) -> Source {
        if let Some(frame) = self.pages.get(&index) {
            return Source::Own(*frame);
        }
        let start = u64::from(index) * PAGE as u64;
        match self.image {
            Some(image) if start < image.bytes => {
                let length = (image.bytes - start).min(PAGE as u64) as usize;
                Source::Image(Frame(image.first.0.saturating_add(index)), length)
            }
            _ => Source::Hole,
        }
    }

    /// Copies from `offset` on into `buffer`; returns how many bytes there were before the end.
    pub(crate) fn read(&self, frames: &dyn Frames, offset: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset.saturating_add(done as u64);
            if at >= self.size {
                break;
            }
            let within = (at % PAGE as u64) as usize;
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            let count = (PAGE - within).min(buffer.len() - done).min(left);
            let Some(target) = buffer.get_mut(done..done + count) else { break };
            let (frame, valid) = match self.source((at / PAGE as u64) as u32) {
                Source::Hole => (None, 0),
                Source::Own(frame) => (Some(frame), PAGE),
                Source::Image(frame, length) => (Some(frame), length),
            };
            target.fill(0);
            if let Some(frame) = frame {
                let end = valid.min(within + count);
                if let Some(bytes) = frames.bytes(frame).get(within..end)
                    && let Some(target) = target.get_mut(..bytes.len())
                {
                    target.copy_from_slice(bytes);
                }
            }
            done += count;
        }
        done
    }

    /// Writes `bytes` at `offset`, growing the file. Returns how many were written: fewer than asked if pages ran
    /// out midway.
    ///
    /// # Errors
    /// `EFBIG` beyond [`SIZE_MAX`]; `ENOSPC` or `ENOMEM` if not one byte could be written.
    pub(crate) fn write(&mut self, by: &mut Payer<'_>, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        if offset >= SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let room = usize::try_from(SIZE_MAX - offset).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % PAGE as u64) as usize;
            let frame = match self.own_page((at / PAGE as u64) as u32, by) {
                Ok(frame) => frame,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            };
            let count = (PAGE - within).min(bytes.len() - done);
            if let Some(target) = by.frames.bytes_mut(frame).get_mut(within..within + count)
                && let Some(source) = bytes.get(done..done + count)
            {
                target.copy_from_slice(source);
            }
            done += count;
        }
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    /// The file's own frame for a page: made from the image or from a hole if there is none.
    fn own_page(&mut self, index: u32, by: &mut Payer<'_>) -> Result<Frame, Errno> {
        let source = self.source(index);
        if let Source::Own(frame) = source {
            return Ok(frame);
        }
        by.quota.take()?;
        let frame = match by.frames.alloc(by.group) {
            Ok(frame) => frame,
            Err(errno) => {
                by.quota.used -= 1;
                return Err(errno);
            }
        };
        if let Source::Image(image, length) = source {
            let copy = *by.frames.bytes(image);
            if let (Some(to), Some(from)) = (by.frames.bytes_mut(frame).get_mut(..length), copy.get(..length))
            {
                to.copy_from_slice(from);
            }
        }
        self.pages.insert(index, frame);
        Ok(frame)
    }

    /// The frame that a mapping of page `index` shows. The file keeps it: the mapping must share it.
    ///
    /// # Errors
    /// `ENXIO` beyond the end; `ENOSPC` or `ENOMEM` if a page had to be made.
    pub(crate) fn page(&mut self, index: u32, access: Access, by: &mut Payer<'_>) -> Result<Frame, Errno> {
        if u64::from(index) * PAGE as u64 >= self.size {
            return Err(Errno::ENXIO);
        }
        match (self.source(index), access) {
            (Source::Image(frame, PAGE), Access::Read) => Ok(frame),
            // What follows the file in the last frame of the image is not the file's: it is given an own page,
            // unless it is zeros anyway.
            (Source::Image(frame, length), Access::Read)
                if by.frames.bytes(frame).get(length..).is_some_and(|rest| rest.iter().all(|b| *b == 0)) =>
            {
                Ok(frame)
            }
            _ => self.own_page(index, by),
        }
    }

    /// What mappings of the pages from `first` on show for [`Access::Read`], as [`Data::page`] would give it, for as many
    /// of them, at most `most`, as are in frames one after the other: none for pages that it would have to look into, to
    /// make, or to refuse.
    pub(crate) fn present(&self, first: u32, most: u32) -> Run {
        let end = u64::from(first) + u64::from(most.max(1));
        let end = if self.pages.is_empty() {
            end
        } else {
            let inside = end.min(self.size.div_ceil(PAGE as u64)).min(u64::from(u32::MAX)) as u32;
            let own = (first < inside).then(|| self.pages.range(first..inside).next()).flatten();
            match own {
                Some((index, frame)) if *index == first => return Run { frame: Some(*frame), pages: 1 },
                Some((index, _)) => u64::from(*index),
                None => end,
            }
        };
        let whole = self.image.map_or(0, |image| image.bytes.min(self.size) / PAGE as u64);
        let (frame, end) = match self.image {
            Some(image) if u64::from(first) < whole => {
                (Some(Frame(image.first.0.saturating_add(first))), end.min(whole))
            }
            _ => (None, end),
        };
        Run { frame, pages: (end - u64::from(first)) as u32 }
    }

    /// Sets the size. What is cut off is gone: growing again shows zeros.
    ///
    /// # Errors
    /// `EFBIG` beyond [`SIZE_MAX`]; `ENOMEM` if the page that is cut in two could not be made.
    pub(crate) fn truncate(&mut self, size: u64, by: &mut Payer<'_>) -> Result<(), Errno> {
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        if size < self.size {
            let keep = size.div_ceil(PAGE as u64) as u32;
            for frame in self.pages.split_off(&keep).into_values() {
                by.frames.release(frame);
                by.quota.used = by.quota.used.saturating_sub(1);
            }
            if let Some(image) = &mut self.image {
                image.bytes = image.bytes.min(size);
            }
            let within = (size % PAGE as u64) as usize;
            if within > 0
                && let Some(frame) = self.pages.get(&(keep - 1))
                && let Some(tail) = by.frames.bytes_mut(*frame).get_mut(within..)
            {
                tail.fill(0);
            }
            self.image = self.image.filter(|image| image.bytes > 0);
        }
        self.size = size;
        Ok(())
    }

    /// Gives every page back. Returns how many.
    pub(crate) fn clear(&mut self, frames: &mut dyn Frames) -> u64 {
        let pages = core::mem::take(&mut self.pages);
        let count = pages.len() as u64;
        pages.into_values().for_each(|frame| frames.release(frame));
        self.image = None;
        self.size = 0;
        count
    }
}
