//! The serial console's input: a ring that keeps the oldest bytes when nobody reads.

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
