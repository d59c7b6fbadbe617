//! The serial console: a ring of input that keeps the oldest bytes when nobody reads, and lines as they go out.
//!
//! On the wire every line ends with CR LF, whoever wrote it. What native programs and the kernel write are lines that
//! end with LF, and `write_lines` puts the CR before it; the line discipline of the containers' terminal does so
//! itself where its program has not switched it off (`ONLCR`), and its bytes go out as they are.

use crate::hw::Hw;
use crate::ipc::NotificationId;
use heapless::Deque;

/// Bytes kept for whoever reads next.
pub const INPUT_MAX: usize = 1024;

/// The serial console.
#[derive(Debug, Default)]
pub struct Console {
    input: Deque<u8, INPUT_MAX>,
    lost: u64,
    /// Which bits of which notification tell that there is more to read.
    pub(crate) watch: Option<(NotificationId, u64)>,
}

impl Console {
    /// Takes over what the machine received. True if there is something to read that was not there before.
    pub(crate) fn fill(&mut self, hw: &mut impl Hw) -> bool {
        let mut any = false;
        while let Some(byte) = hw.console_read() {
            match self.input.push_back(byte) {
                Ok(()) => any = true,
                Err(_) => self.lost += 1,
            }
        }
        any
    }
    /// The next byte typed.
    pub fn take(&mut self) -> Option<u8> {
        self.input.pop_front()
    }
    /// How many bytes can be taken.
    pub fn len(&self) -> usize {
        self.input.len()
    }
    /// Whether nothing can be taken.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }
    /// Bytes dropped because nobody read in time.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Writes text whose lines end with LF.
pub(crate) fn write_lines(hw: &mut impl Hw, text: &[u8]) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                hw.console_write(line);
                hw.console_write(b"\r\n");
            }
            None => hw.console_write(line),
        }
    }
}
