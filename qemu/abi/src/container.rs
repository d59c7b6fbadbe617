//! Containers: what is asked of the kernel when one is made, and what it tells about them.
//!
//! ```text
//!   ContainerCreate ─► ContainerSteps … (Load is the last) ─► ContainerRelease ─► the program runs
//!                                                            ContainerExecute, ContainerSignal, ContainerFreeze …
//!   ContainerEvent  ◄─ exited · output · out of memory       ContainerDestroy ─► ContainerRemove
//! ```
//!
//! A container belongs to a notification: its events set a bit there and are taken there. It lives on when the
//! process that made it ends, for as long as anybody holds the notification; who comes after it finds the
//! container again by its key.

use crate::{Exit, Handle};

/// Most bytes of one encoded step, process plan, hook or state text.
pub const CONTAINER_TEXT_MAX: usize = 128 << 10;

/// What [`crate::Call::ContainerCreate`] is given.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContainerRequest {
    /// The resource group (`CREATE`) below which the container's own is made.
    pub group: u64,
    /// The bundle's directory (`READ`): relative paths of steps begin here.
    pub bundle: u64,
    /// The directory (`READ`) that absolute paths of the host are below, or 0: then such paths are refused.
    pub host: u64,
    /// The notification (`READ` and `WRITE`) it belongs to.
    pub events: u64,
    /// The bits that an event sets there.
    pub bits: u64,
    /// The number by which its events name it. No two containers of a notification have the same.
    pub key: u64,
    /// The console (`READ` and `WRITE`), or 0: then no process inside can have it as its terminal.
    pub console: u64,
    /// Standard streams of the first process: the position in `protocol`'s `Stdio` (0 log, 1 console,
    /// 2 terminal, 4 piped).
    pub stdio: u64,
}

impl ContainerRequest {
    /// Its size in bytes.
    pub const BYTES: usize = 64;

    /// As it lies in memory.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes.iter().skip(at * 8)).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(word)
        };
        ContainerRequest {
            group: word(0),
            bundle: word(1),
            host: word(2),
            events: word(3),
            bits: word(4),
            key: word(5),
            console: word(6),
            stdio: word(7),
        }
    }

    /// A request without console and host directory.
    pub const fn new(group: Handle, bundle: Handle, events: Handle, key: u64) -> Self {
        ContainerRequest {
            group: group.0,
            bundle: bundle.0,
            host: 0,
            events: events.0,
            bits: 1,
            key,
            console: 0,
            stdio: 0,
        }
    }
}

/// A process of a container, as calls and events name it. Numbers are the caller's choice; one in use is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Which {
    /// The first process.
    First,
    /// One started by [`crate::Call::ContainerExecute`].
    Exec(u32),
    /// One started by [`crate::Call::ContainerHook`].
    Hook(u32),
}

impl Which {
    /// As one register.
    pub const fn to_word(self) -> u64 {
        match self {
            Which::First => 0,
            Which::Exec(number) => 1 << 32 | number as u64,
            Which::Hook(number) => 2 << 32 | number as u64,
        }
    }
    /// From one register.
    pub const fn from_word(word: u64) -> Option<Which> {
        match word >> 32 {
            0 if word == 0 => Some(Which::First),
            1 => Some(Which::Exec(word as u32)),
            2 => Some(Which::Hook(word as u32)),
            _ => None,
        }
    }
}

/// What happened in a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContainerEvent {
    /// A process has ended, and everything it wrote can be read.
    Exited {
        /// Which.
        which: Which,
        /// How.
        exit: Exit,
    },
    /// There is output to be read. Not repeated until it was.
    Output {
        /// Whose.
        which: Which,
    },
    /// The kernel killed something inside because memory ran out.
    OutOfMemory,
}

impl ContainerEvent {
    /// As two registers.
    pub const fn to_words(self) -> (u64, u64) {
        match self {
            ContainerEvent::Exited { which, exit } => (which.to_word(), 1 << 32 | exit.to_word()),
            ContainerEvent::Output { which } => (which.to_word(), 2 << 32),
            ContainerEvent::OutOfMemory => (0, 3 << 32),
        }
    }
    /// From two registers.
    pub const fn from_words(which: u64, what: u64) -> Option<ContainerEvent> {
        let Some(which) = Which::from_word(which) else { return None };
        match what >> 32 {
            1 => Some(ContainerEvent::Exited { which, exit: Exit::from_word(what) }),
            2 => Some(ContainerEvent::Output { which }),
            3 => Some(ContainerEvent::OutOfMemory),
            _ => None,
        }
    }
}
