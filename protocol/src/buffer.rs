//! Room for one frame.

use crate::error::FrameError;
use crate::frame::{FRAME_MAX, HEADER, SMALL_FRAME};
use core::fmt;
use core::ops::Deref;

/// Room for a frame of at most [`FRAME_MAX`] bytes.
///
/// Most frames are shorter than a hundredth of that, so what a frame does not fill is never written to: clearing it
/// would cost more than all else there is to do for a request. Only of the first [`SMALL_FRAME`] bytes there are all or
/// none, zero behind the frame's end. A transport that carries them in registers takes them as they are, whatever the
/// frame's length.
#[derive(Clone)]
pub struct FrameBuffer {
    /// Empty if the frame is; else never shorter than [`SMALL_FRAME`], and zero from `len` on.
    bytes: heapless::Vec<u8, FRAME_MAX>,
    /// The frame's length, at most that of `bytes`.
    len: usize,
}

impl FrameBuffer {
    /// Room with an empty frame in it.
    #[inline]
    pub fn new() -> Self {
        // Collected, not `Vec::new()`: with that the whole value is a constant to the compiler, which copies all of it.
        FrameBuffer { bytes: core::iter::empty().collect(), len: 0 }
    }

    /// Makes the frame an empty one.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }

    /// Makes the first `len` of these bytes the frame, all of them if it is more. What is behind goes along where the
    /// frame is sent in registers.
    #[inline]
    pub fn set_small(&mut self, bytes: [u8; SMALL_FRAME], len: usize) {
        self.bytes.clear();
        // They always fit.
        let _ = self.bytes.extend_from_slice(&bytes);
        self.len = len.min(SMALL_FRAME);
    }

    /// The frame's first bytes and, if it is a small one, what is behind them; none if it is empty.
    #[inline]
    pub fn block(&self) -> Option<&[u8; SMALL_FRAME]> {
        self.bytes.first_chunk()
    }

    /// Makes the frame `head` and what `write` puts behind it: it is given the first [`SMALL_FRAME`] bytes, zero behind
    /// `head`, and tells how long the frame has become.
    ///
    /// # Errors
    /// What `write` says; the frame is any then.
    #[inline]
    pub(crate) fn write_small<E>(
        &mut self,
        head: [u8; HEADER],
        write: impl FnOnce(&mut [u8; SMALL_FRAME]) -> Result<usize, E>,
    ) -> Result<(), E> {
        if let Some(block) = self.begin_small(head) {
            let len = write(block)?;
            self.end_small(len);
        }
        Ok(())
    }

    /// Makes the frame `head`, and lends its first [`SMALL_FRAME`] bytes, zero behind `head`, for more to be written there:
    /// [`FrameBuffer::end_small`] tells how long it has become. It is in two halves for who has to have it compiled in.
    #[inline(always)]
    pub(crate) fn begin_small(&mut self, head: [u8; HEADER]) -> Option<&mut [u8; SMALL_FRAME]> {
        let mut block = [0; SMALL_FRAME];
        block[..HEADER].copy_from_slice(&head);
        self.set_small(block, HEADER);
        self.bytes.first_chunk_mut()
    }

    /// Tells how long the frame is that was begun.
    #[inline(always)]
    pub(crate) fn end_small(&mut self, len: usize) {
        self.len = len.min(SMALL_FRAME);
    }

    /// Makes the frame what `write` adds to nothing.
    ///
    /// # Errors
    /// What `write` says; the frame is empty then.
    pub(crate) fn write_long<E>(
        &mut self,
        write: impl FnOnce(&mut heapless::Vec<u8, FRAME_MAX>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.clear();
        let written = write(&mut self.bytes);
        if written.is_err() {
            self.bytes.clear();
        }
        self.len = self.bytes.len();
        if (1..SMALL_FRAME).contains(&self.len) {
            // There is room for as many.
            let _ = self.bytes.resize(SMALL_FRAME, 0);
        }
        written
    }

    /// The frame's length in bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a byte to the frame.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] if it has [`FRAME_MAX`] already; it is as before then.
    #[inline]
    pub fn push(&mut self, byte: u8) -> Result<(), FrameError> {
        match self.bytes.get_mut(self.len) {
            Some(place) => *place = byte,
            None if self.len == 0 => self.grow(&[byte])?,
            None => self.bytes.push(byte).map_err(|_| FrameError::TooLarge)?,
        }
        self.len += 1;
        Ok(())
    }

    /// Adds bytes to the frame.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] if it would have more than [`FRAME_MAX`]; it is as before then.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let end = self.len + bytes.len();
        match self.bytes.get_mut(self.len..end) {
            Some(place) => place.copy_from_slice(bytes),
            None => self.grow(bytes)?,
        }
        self.len = end;
        Ok(())
    }

    /// Writes bytes behind the frame, where not as much is there yet.
    fn grow(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if bytes.len() > FRAME_MAX - self.len {
            return Err(FrameError::TooLarge);
        }
        self.bytes.truncate(self.len);
        self.bytes.extend_from_slice(bytes).map_err(|_| FrameError::TooLarge)?;
        if self.bytes.len() < SMALL_FRAME {
            self.bytes.resize(SMALL_FRAME, 0).map_err(|_| FrameError::TooLarge)?;
        }
        Ok(())
    }
}

impl Default for FrameBuffer {
    #[inline]
    fn default() -> Self {
        FrameBuffer::new()
    }
}

impl Deref for FrameBuffer {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // It is never longer than what is there.
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for FrameBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Whether nothing of an earlier frame would go along with this one in registers.
    fn clean(room: &FrameBuffer) -> bool {
        room.block().is_none_or(|block| block.iter().skip(room.len()).all(|byte| *byte == 0))
    }

    #[test]
    fn a_frame_of_any_length_is_what_was_added_however_it_was_added() {
        let bytes: Vec<u8> = (0..FRAME_MAX).map(|at| at as u8 | 1).collect();
        for len in 0..=FRAME_MAX {
            let cut = len * 7 % (len + 1);
            let (mut pushed, mut extended, mut mixed) =
                (FrameBuffer::new(), FrameBuffer::new(), FrameBuffer::new());
            bytes[..len].iter().for_each(|byte| pushed.push(*byte).unwrap());
            extended.extend_from_slice(&bytes[..cut]).unwrap();
            extended.extend_from_slice(&bytes[cut..len]).unwrap();
            bytes[..cut.min(len)].iter().for_each(|byte| mixed.push(*byte).unwrap());
            mixed.extend_from_slice(&bytes[cut..len]).unwrap();
            for room in [&pushed, &extended, &mixed] {
                assert_eq!(**room, bytes[..len], "{len}");
                assert_eq!(room.block().is_some(), len > 0, "{len}");
                assert!(clean(room), "{len}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut room = FrameBuffer::new();
        assert_eq!(room.extend_from_slice(&[7; FRAME_MAX + 1]), Err(FrameError::TooLarge));
        assert!(room.is_empty());
        room.extend_from_slice(&[7; FRAME_MAX - 1]).unwrap();
        assert_eq!(room.extend_from_slice(&[8; 2]), Err(FrameError::TooLarge));
        room.push(7).unwrap();
        assert_eq!(room.push(8), Err(FrameError::TooLarge));
        assert_eq!(*room, [7; FRAME_MAX]);
    }

    #[test]
    fn nothing_of_an_earlier_frame_is_behind_a_later_one() {
        let mut room = FrameBuffer::new();
        for len in [3, SMALL_FRAME, 2000] {
            room.extend_from_slice(&[7; 2000][..len]).unwrap();
            room.clear();
            room.push(1).unwrap();
            assert!(clean(&room), "{len}");
            room.clear();
            room.extend_from_slice(&[7; 2000][..len]).unwrap();
            let written = room.write_small([1; HEADER], |block| {
                block[HEADER] = 2;
                Ok::<_, ()>(HEADER + 1)
            });
            assert_eq!((written, &*room, clean(&room)), (Ok(()), &[1, 1, 1, 1, 2][..], true), "{len}");
            room.clear();
        }
    }
}
