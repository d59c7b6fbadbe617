//! The console, for reading and writing.

use crate::sys;
use bailiwick_abi::Handle;
use bailiwick_userland_core::Console;
use bailiwick_userland_core::shell::Terminal;

/// A capability on the serial console.
#[derive(Clone, Copy, Debug)]
pub struct Serial(pub Handle);

impl Console for Serial {
    fn write(&mut self, mut bytes: &[u8]) {
        while let Ok(count @ 1..) = sys::console_write(self.0, bytes) {
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }
}

impl Terminal for Serial {
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        sys::console_read(self.0, buffer, u64::MAX).ok().filter(|count| *count > 0)
    }
}
