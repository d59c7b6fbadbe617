//! What a process wrote, as far back as there is room.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bailiwick_protocol::message::LogsReply;

/// Bytes kept of each process's output.
pub const LOG_MAX: usize = 64 * 1024;
/// Longest line that goes to the console in one piece.
pub const LINE_MAX: usize = 1024;

/// A bounded log. Positions count every byte ever written, so a reader can tell what it has missed.
#[derive(Clone, Debug, Default)]
pub struct Log {
    bytes: VecDeque<u8>,
    /// Position of the oldest byte kept.
    start: u64,
}

impl Log {
    /// Position after the newest byte.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// Adds `bytes`; the oldest make room.
    pub fn append(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(LOG_MAX);
        let kept = bytes.get(skipped..).unwrap_or_default();
        let excess = (self.bytes.len() + kept.len()).saturating_sub(LOG_MAX);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.start = self.start.saturating_add(excess as u64 + skipped as u64);
        self.bytes.extend(kept);
    }

    /// Notes that `count` bytes were lost before they got here. What stood before them is dropped as well, so
    /// that what a reader gets is always whole between two reported gaps.
    pub fn lose(&mut self, count: u64) {
        if count > 0 {
            self.start = self.end().saturating_add(count);
            self.bytes.clear();
        }
    }

    /// What stands at `cursor` or, if that was dropped, after it: at most `limit` bytes, perhaps fewer than there
    /// are. `ended` says whether nothing will be added any more. None if `cursor` is past the end.
    pub fn read(&self, cursor: u64, limit: usize, ended: Ended) -> Option<LogsReply<'_>> {
        if cursor > self.end() {
            return None;
        }
        let from = cursor.max(self.start);
        let offset = (from - self.start) as usize;
        let (front, back) = self.bytes.as_slices();
        let piece = match front.get(offset..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => back.get(offset - front.len()..).unwrap_or_default(),
        };
        let bytes = piece.get(..limit).unwrap_or(piece);
        let next = from + bytes.len() as u64;
        let end = ended == Ended::Yes && next == self.end();
        Some(LogsReply { next, lost: from - cursor, end, bytes })
    }
}

/// Whether a stream has come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// More may come.
    No,
    /// Nothing more will come.
    Yes,
}

/// Cuts a stream into lines for the console.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The line begun and not ended, at most [`LINE_MAX`] bytes. Nothing is allocated unless there is one.
    begun: Vec<u8>,
}

impl Lines {
    /// Calls `line` with each line that `bytes` completes, without its line feed. A line longer than [`LINE_MAX`]
    /// comes in pieces.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for byte in bytes {
            if *byte == b'\n' || self.begun.len() >= LINE_MAX {
                line(&self.begun);
                self.begun.clear();
            }
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
        }
    }

    /// Calls `line` with what is left at the end of the stream, if anything is.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            line(&self.begun);
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn all(log: &Log, mut cursor: u64) -> (u64, Vec<u8>) {
        let (mut lost, mut bytes) = (0, vec![]);
        loop {
            let piece = log.read(cursor, 1000, Ended::Yes).unwrap();
            lost += piece.lost;
            bytes.extend(piece.bytes);
            cursor = piece.next;
            if piece.end {
                return (lost, bytes);
            }
        }
    }

    #[test]
    fn what_was_written_is_read_and_what_was_dropped_is_counted() {
        let mut log = Log::default();
        let written: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        for piece in written.chunks(777) {
            log.append(piece);
        }
        let (lost, bytes) = all(&log, 0);
        assert_eq!(lost as usize, written.len() - LOG_MAX);
        assert_eq!(bytes, &written[lost as usize..]);
        assert_eq!(log.end() as usize, written.len());
    }

    #[test]
    fn one_write_larger_than_the_log_keeps_its_end() {
        let mut log = Log::default();
        log.append(b"old");
        let mut large = vec![0; LOG_MAX + 5];
        large.push(7);
        log.append(&large);
        let (lost, bytes) = all(&log, 0);
        assert_eq!((lost, bytes.len()), (3 + 6, LOG_MAX));
        assert_eq!(bytes.last(), Some(&7));
    }

    #[test]
    fn bytes_lost_by_the_kernel_are_counted() {
        let mut log = Log::default();
        log.append(b"abc");
        log.lose(10);
        log.append(b"def");
        assert_eq!(all(&log, 0), (13, b"def".to_vec()));
        assert_eq!(all(&log, 14), (0, b"ef".to_vec()));
    }

    #[test]
    fn the_end_is_told_once_nothing_follows() {
        let mut log = Log::default();
        assert!(log.read(0, 10, Ended::Yes).unwrap().end);
        log.append(b"abc");
        assert!(!log.read(0, 2, Ended::Yes).unwrap().end);
        assert!(log.read(0, 3, Ended::Yes).unwrap().end);
        assert!(!log.read(3, 3, Ended::No).unwrap().end);
        assert_eq!(log.read(4, 3, Ended::No), None);
    }

    #[test]
    fn lines_are_cut_at_line_feeds_and_at_their_longest() {
        let (mut lines, mut out) = (Lines::default(), vec![]);
        lines.feed(b"a\nb", |line| out.push(line.to_vec()));
        lines.feed(b"c\n\n", |line| out.push(line.to_vec()));
        assert_eq!(out, [b"a".to_vec(), b"bc".to_vec(), b"".to_vec()]);
        out.clear();
        lines.feed(&[b'x'; LINE_MAX + 3], |line| out.push(line.to_vec()));
        lines.finish(|line| out.push(line.to_vec()));
        lines.finish(|_| panic!("nothing is left"));
        assert_eq!(out.iter().map(Vec::len).collect::<Vec<_>>(), [LINE_MAX, 3]);
    }
}
