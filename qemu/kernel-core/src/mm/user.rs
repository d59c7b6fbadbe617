//! The one checked door to user memory. Every pointer of a system call goes through here.
//!
//! An address is walked page by page: it must lie in an area that allows the access, and a page that is missing is
//! brought in as a fault would. Kernel addresses, holes and read-only pages are `EFAULT`.

use super::{Access, AddressSpace, Fault, Supply};
use crate::hw::{Frame, Hw, PAGE};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// Bytes of a path, with the zero byte at its end (`PATH_MAX`).
pub(super) const PATH_MAX: usize = 4096;

impl AddressSpace {
    /// Calls `each` with the frames behind `length` bytes from `address` on: frame, offset in it, count, bytes done.
    fn walk<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        address: u64,
        length: usize,
        access: Access,
        mut each: impl FnMut(&mut Supply<'_, H>, Frame, usize, usize, usize),
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < length {
            let at = address.checked_add(done as u64).ok_or(Fault::Unmapped)?;
            let frame = self.touch(s, at, access)?;
            let within = (at % PAGE as u64) as usize;
            let count = (PAGE - within).min(length - done);
            each(s, frame, within, count, done);
            done += count;
        }
        Ok(())
    }

    /// Reads `buffer.len()` bytes from `address` on.
    ///
    /// # Errors
    /// [`Fault`] at the first byte that cannot be read; the buffer's contents are then undefined.
    pub fn read<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        let length = buffer.len();
        self.walk(s, address, length, Access::Read, |s, frame, within, count, done| {
            if let (Some(to), Some(from)) =
                (buffer.get_mut(done..done + count), s.memory.bytes(frame).get(within..within + count))
            {
                to.copy_from_slice(from);
            }
        })
    }

    /// Writes `bytes` from `address` on.
    ///
    /// # Errors
    /// [`Fault`] at the first byte that cannot be written; the bytes before it were.
    pub fn write<H: Hw>(&mut self, s: &mut Supply<'_, H>, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.walk(s, address, bytes.len(), Access::Write, |s, frame, within, count, done| {
            if let (Some(to), Some(from)) =
                (s.memory.bytes_mut(frame).get_mut(within..within + count), bytes.get(done..done + count))
            {
                to.copy_from_slice(from);
            }
        })
    }

    /// Writes zeros.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn clear<H: Hw>(&mut self, s: &mut Supply<'_, H>, address: u64, length: usize) -> Result<(), Fault> {
        self.walk(s, address, length, Access::Write, |s, frame, within, count, _| {
            if let Some(to) = s.memory.bytes_mut(frame).get_mut(within..within + count) {
                to.fill(0);
            }
        })
    }

    /// How many bytes from `address` on, at most `length`, allow this access. 0 if the first does not.
    pub fn reach<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        address: u64,
        length: usize,
        access: Access,
    ) -> usize {
        let mut reached = 0;
        let _ = self.walk(s, address, length, access, |_, _, _, count, done| reached = done + count);
        reached
    }

    /// A number of `N` bytes, as they lie in memory.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_array<H: Hw, const N: usize>(
        &mut self,
        s: &mut Supply<'_, H>,
        address: u64,
    ) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.read(s, address, &mut bytes)?;
        Ok(bytes)
    }
    /// A 64-bit number.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_u64<H: Hw>(&mut self, s: &mut Supply<'_, H>, address: u64) -> Result<u64, Fault> {
        self.read_array(s, address).map(u64::from_le_bytes)
    }
    /// A 32-bit number.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_u32<H: Hw>(&mut self, s: &mut Supply<'_, H>, address: u64) -> Result<u32, Fault> {
        self.read_array(s, address).map(u32::from_le_bytes)
    }

    /// The bytes up to a zero byte, which is not part of them.
    ///
    /// # Errors
    /// `EFAULT`, or `ENAMETOOLONG` if no zero byte is among the first `max` bytes.
    pub fn read_string<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        address: u64,
        max: usize,
    ) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < max {
            let frame = self.touch(s, at, Access::Read)?;
            let within = (at % PAGE as u64) as usize;
            let count = (PAGE - within).min(max - text.len());
            let bytes = s.memory.bytes(frame).get(within..within + count).unwrap_or(&[]);
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(bytes.get(..end).unwrap_or(&[]));
                return Ok(text);
            }
            text.extend_from_slice(bytes);
            at = at.checked_add(count as u64).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::ENAMETOOLONG)
    }
}
