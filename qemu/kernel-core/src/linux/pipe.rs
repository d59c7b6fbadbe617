//! Pipes (pipe(7)): bytes in frames, charged to whoever wrote them.

use crate::account::{Charged, price_of};
use crate::hw::{Frame, PAGE};
use crate::memory::GroupId;
use crate::vfs::Frames;
use alloc::collections::VecDeque;
use bailiwick_protocol::error::Errno;

/// Bytes a pipe holds.
pub(super) const CAPACITY: usize = 16 * PAGE;
/// Writes of at most so many bytes are not mixed with others (`PIPE_BUF`).
pub(super) const ATOMIC: usize = 4096;

/// What a pipe takes of the kernel's heap.
const PRICE: usize = price_of::<Pipe>() + CAPACITY / PAGE * size_of::<Frame>();

/// A pipe. Empty it with [`Pipe::clear`] before it is dropped.
#[derive(Debug)]
pub(crate) struct Pipe {
    _charged: Charged,
    frames: VecDeque<Frame>,
    /// Where the first byte is, in the first frame.
    start: usize,
    len: usize,
    /// Open ends for reading.
    pub(crate) readers: u32,
    /// Open ends for writing.
    pub(crate) writers: u32,
    /// How often an end for reading, and one for writing, was opened.
    pub(crate) opens: (u32, u32),
}

impl Pipe {
    /// An empty pipe without ends.
    ///
    /// # Errors
    /// As [`Frames::charge`].
    pub(super) fn new(frames: &dyn Frames) -> Result<Pipe, Errno> {
        let _charged = frames.charge(PRICE)?;
        let (start, len, readers, writers, opens) = Default::default();
        Ok(Pipe { _charged, frames: VecDeque::new(), start, len, readers, writers, opens })
    }
    /// Bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
    /// Bytes that can be written.
    pub(crate) fn room(&self) -> usize {
        CAPACITY - self.len
    }

    /// Takes bytes out; returns how many.
    pub(crate) fn read(&mut self, frames: &mut dyn Frames, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() && self.len > 0 {
            let Some(frame) = self.frames.front().copied() else { break };
            let count = (PAGE - self.start).min(self.len).min(buffer.len() - done);
            if let (Some(to), Some(from)) =
                (buffer.get_mut(done..done + count), frames.bytes(frame).get(self.start..self.start + count))
            {
                to.copy_from_slice(from);
            }
            done += count;
            self.start += count;
            self.len -= count;
            if self.start == PAGE || self.len == 0 {
                self.frames.pop_front();
                frames.release(frame);
                self.start = 0;
            }
        }
        done
    }

    /// Puts bytes in, as many as there is room for; returns how many.
    ///
    /// # Errors
    /// `ENOMEM` if there is no frame for the first of them.
    pub(crate) fn write(
        &mut self,
        frames: &mut dyn Frames,
        group: GroupId,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while done < bytes.len() && self.room() > 0 {
            let end = self.start + self.len;
            if end == self.frames.len() * PAGE {
                match frames.alloc(group) {
                    Ok(frame) => self.frames.push_back(frame),
                    Err(errno) if done == 0 => return Err(errno),
                    Err(_) => break,
                }
            }
            let Some(frame) = self.frames.back().copied() else { break };
            let within = end % PAGE;
            let count = (PAGE - within).min(bytes.len() - done).min(self.room());
            if let (Some(to), Some(from)) =
                (frames.bytes_mut(frame).get_mut(within..within + count), bytes.get(done..done + count))
            {
                to.copy_from_slice(from);
            }
            done += count;
            self.len += count;
        }
        Ok(done)
    }

    /// Forgets everything in it.
    pub(crate) fn clear(&mut self, frames: &mut dyn Frames) {
        self.frames.drain(..).for_each(|frame| frames.release(frame));
        (self.start, self.len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Counts, FakeHw};
    use crate::vfs::Store;

    #[test]
    fn bytes_come_out_in_order_and_every_frame_comes_back() {
        let mut memory = FakeHw::memory(64);
        let mut groups = Counts::default();
        let before = memory.free();
        let mut store = Store { memory: &mut memory, groups: &mut groups };
        let mut pipe = Pipe::new(&store).unwrap();
        let (mut put, mut got) = (0u8, 0u8);
        for step in [1usize, 4096, 5000, 3, 70_000, 4095, 9000] {
            let bytes: alloc::vec::Vec<u8> = (0..step).map(|i| put.wrapping_add(i as u8)).collect();
            let written = pipe.write(&mut store, GroupId(1), &bytes).unwrap();
            assert_eq!(written, step.min(CAPACITY - (pipe.len() - written)));
            put = put.wrapping_add(written as u8);
            let mut buffer = alloc::vec![0; step / 2 + 1];
            let read = pipe.read(&mut store, &mut buffer);
            for byte in &buffer[..read] {
                assert_eq!(*byte, got);
                got = got.wrapping_add(1);
            }
        }
        let mut rest = alloc::vec![0; CAPACITY];
        let read = pipe.read(&mut store, &mut rest);
        assert!(rest[..read].iter().all(|b| {
            let ok = *b == got;
            got = got.wrapping_add(1);
            ok
        }));
        assert_eq!(pipe.len(), 0);
        assert_eq!(memory.free(), before);
    }

    #[test]
    fn without_memory_a_write_is_short_or_refused() {
        let mut memory = FakeHw::memory(64);
        let mut groups = Counts::default();
        groups.limits.insert(GroupId(1), 2);
        let mut store = Store { memory: &mut memory, groups: &mut groups };
        let mut pipe = Pipe::new(&store).unwrap();
        assert_eq!(pipe.write(&mut store, GroupId(1), &[1; 9000]), Ok(2 * PAGE));
        assert_eq!(pipe.write(&mut store, GroupId(1), &[1; 1]), Err(Errno::ENOMEM));
        pipe.clear(&mut store);
        assert_eq!(groups.used(GroupId(1)), 0);
    }
}
