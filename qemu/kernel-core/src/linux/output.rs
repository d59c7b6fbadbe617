//! What a container's processes write to their standard streams when those are no terminal: a bounded ring.
//!
//! Both streams go into one ring, in the order of the writes. Nobody is made to wait: when the ring is full the
//! oldest bytes are dropped, and counted.

use alloc::collections::VecDeque;

/// Bytes that are kept.
pub const RING: usize = 64 << 10;

/// A ring of output.
#[derive(Debug, Default)]
pub struct Output {
    bytes: VecDeque<u8>,
    lost: u64,
    /// Open descriptors and others that hold it.
    pub(crate) holders: u32,
}

impl Output {
    /// An empty ring that is held once.
    pub(super) fn held() -> Output {
        Output { holders: 1, ..Output::default() }
    }

    /// Adds bytes, dropping the oldest if they do not fit.
    pub fn write(&mut self, bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(RING)..).unwrap_or(bytes);
        let over = (self.bytes.len() + kept.len()).saturating_sub(RING);
        self.bytes.drain(..over);
        self.lost += (over + bytes.len() - kept.len()) as u64;
        self.bytes.extend(kept);
    }

    /// Takes the oldest bytes out; returns how many, and how many were lost before them since the last read.
    pub fn read(&mut self, buffer: &mut [u8]) -> (usize, u64) {
        let count = buffer.len().min(self.bytes.len());
        for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        (count, core::mem::take(&mut self.lost))
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_kept_and_the_others_counted() {
        let mut output = Output::default();
        output.write(&[1; RING - 1]);
        output.write(&[2; 3]);
        let mut buffer = [0; RING];
        assert_eq!(output.read(&mut buffer), (RING, 2));
        assert_eq!((buffer[RING - 4], buffer[RING - 3]), (1, 2));
        output.write(&alloc::vec![3; 2 * RING]);
        assert_eq!(output.read(&mut buffer[..10]), (10, RING as u64));
        assert_eq!(output.read(&mut buffer), (RING - 10, 0));
        assert!(output.is_empty());
    }
}
