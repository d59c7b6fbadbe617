//! The console: reading, writing, and being interrupted there.

use crate::sys;
use crate::waiter::Waiters;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bailiwick_abi::{Error, Handle};
use bailiwick_kernel_glue::metal::EndpointChannel;
use bailiwick_protocol::message::Request;
use bailiwick_userland_core::shell::Terminal;
use bailiwick_userland_core::{Attention, Console, Waited};
use core::cell::{Cell, RefCell};

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;
/// Most bytes kept that were typed during a wait.
const TYPED_MAX: usize = 1024;
/// The bit that tells of input.
const INPUT: u64 = 1;

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

/// The console with somebody at it, who may type ahead.
#[derive(Clone, Debug)]
pub struct Attended {
    console: Serial,
    /// What was typed while nobody read.
    typed: Rc<RefCell<Vec<u8>>>,
}

impl Attended {
    /// The console that this capability is on.
    pub fn new(console: Handle) -> Self {
        Attended { console: Serial(console), typed: Rc::default() }
    }
}

impl Console for Attended {
    fn write(&mut self, bytes: &[u8]) {
        self.console.write(bytes);
    }
}

impl Terminal for Attended {
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut typed = self.typed.borrow_mut();
        if !typed.is_empty() {
            let count = typed.len().min(buffer.len());
            buffer.iter_mut().zip(typed.drain(..count)).for_each(|(to, byte)| *to = byte);
            return Some(count);
        }
        sys::console_read(self.console.0, buffer, u64::MAX).ok().filter(|count| *count > 0)
    }
}

/// Waits for answers and listens to the console meanwhile.
#[derive(Debug)]
pub struct Listener {
    at: Attended,
    bell: Handle,
    waiters: Waiters,
    /// Numbers waits, so that what comes late of one that was given up is not taken for the next one's.
    waits: Cell<u32>,
}

impl Listener {
    /// Listens to this console.
    ///
    /// # Errors
    /// The kernel's reason for giving no notification.
    pub fn new(at: Attended) -> Result<Self, Error> {
        Ok(Listener { at, bell: sys::notification()?, waiters: Waiters::default(), waits: Cell::new(0) })
    }

    /// Takes what was typed; true if that ends with everything before it by Ctrl-C.
    fn interrupted(&self) -> bool {
        let mut typed = self.at.typed.borrow_mut();
        let mut room = [0; 64];
        while let Ok(count @ 1..) = sys::console_read(self.at.console.0, &mut room, 0) {
            let read = room.get(..count).unwrap_or_default();
            if let Some(at) = read.iter().rposition(|byte| *byte == INTERRUPT) {
                typed.clear();
                typed.extend(read.iter().skip(at + 1));
                return true;
            }
            let space = TYPED_MAX.saturating_sub(typed.len());
            typed.extend(read.iter().take(space));
        }
        false
    }

    fn listen(&self, answered: u64) -> Waited {
        loop {
            match sys::wait(self.bell, u64::MAX) {
                Ok(bits) if bits & answered == 0 => {
                    if self.interrupted() {
                        return Waited::Interrupted;
                    }
                }
                _ => return Waited::Answered,
            }
        }
    }
}

impl Attention<EndpointChannel> for Listener {
    fn until_answered(&self, channel: &EndpointChannel, request: &Request<'_>) -> Waited {
        let wait = self.waits.get();
        self.waits.set(wait.wrapping_add(1));
        let answered = 2 << (wait % 62);
        if self.waiters.when_answered(channel, request, self.bell, answered).is_err() {
            return Waited::Answered;
        }
        // Without a watch it waits all the same, only that nobody can interrupt it.
        let _ = sys::console_watch(self.at.console.0, self.bell, INPUT);
        let waited = self.listen(answered);
        let _ = sys::console_watch(self.at.console.0, self.bell, 0);
        waited
    }
}
