//! System calls of the kernel for native processes: numbers, layouts, errors.
//!
//! ```text
//!   rax  number                     ─ syscall ─►   rax  0, or an Error
//!   rdi rsi rdx r10 r8 r9  arguments               rdi rsi rdx  results
//!
//!   messages:  rdi  handle                         rdi  badge, or the bits of an event
//!              rsi  MessageInfo                    rsi  MessageInfo
//!              rdx r8 r9 r10 r12 r13 r14 r15       the same: the first 64 bytes
//! ```
//!
//! A call changes `rax`, `rcx`, `r11`, `rdi`, `rsi`, `rdx` (a receiving one all registers of messages), and the
//! floating-point state, which is reset (all xmm zero, MXCSR 0x1F80, x87 control word 0x37F). All other registers are
//! kept.
//!
//! Authority is a [`Handle`]: a slot in the process's capability space with the generation of its content. There
//! is no call that names anything else, and a number that was made up is refused.
#![no_std]
#![forbid(unsafe_code)]

mod call;
mod census;
mod container;
mod error;
mod message;

pub use call::Call;
pub use census::Census;
pub use container::{CONTAINER_TEXT_MAX, ContainerEvent, ContainerRequest, Which};
pub use error::Error;
pub use message::{
    BUFFER_BADGES, BUFFER_CAPABILITIES, CAPABILITIES_MAX, CapabilityWord, MESSAGE_MAX, MessageBuffer,
    MessageInfo, SMALL_MAX, Transfer, WORDS,
};

/// Names a capability: the slot it is in, and which content of that slot is meant. A handle whose capability was
/// deleted, revoked or moved away never comes to mean another one: each content of a slot has its own generation,
/// and a slot whose generations are used up (2³²) is not used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Handle(pub u64);

impl Handle {
    /// The handle of the `generation`th content of `slot`.
    pub const fn new(slot: u32, generation: u32) -> Self {
        Handle((generation as u64) << 32 | slot as u64)
    }
    /// The first content of a slot: what was granted there before the process started.
    pub const fn first(slot: u32) -> Self {
        Handle::new(slot, 0)
    }
    /// The slot.
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }
    /// Which content.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Slots below this number are filled only by [`Call::ProcessGrant`]; capabilities that arrive later go above.
pub const SLOTS_WELL_KNOWN: u32 = 32;
/// Most slots of one capability space.
pub const SLOTS_MAX: u32 = 1024;

/// What the kernel gives `init`, by slot.
pub mod slot {
    /// The serial console.
    pub const CONSOLE: u32 = 1;
    /// Power.
    pub const POWER: u32 = 2;
    /// The root directory of the boot image.
    pub const ROOT: u32 = 3;
    /// The root resource group: the authority to make processes, containers and groups.
    pub const GROUP: u32 = 4;
    /// The clocks.
    pub const CLOCK: u32 = 5;
    /// Statistics of the whole system.
    pub const SYSTEM: u32 = 6;
}

/// What a capability stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Where calls go.
    Endpoint = 1,
    /// The right to answer one call, once.
    Reply = 2,
    /// A word of bits that can be set and waited for.
    Notification = 3,
    /// Pages that can be mapped.
    Memory = 4,
    /// A native process.
    Process = 5,
    /// A container.
    Container = 6,
    /// A directory, and all below it.
    Directory = 7,
    /// A resource group.
    Group = 8,
    /// The serial console.
    Console = 9,
    /// The power switch.
    Power = 10,
    /// The clocks.
    Clock = 11,
    /// Statistics of the whole system.
    System = 12,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Endpoint,
            2 => Kind::Reply,
            3 => Kind::Notification,
            4 => Kind::Memory,
            5 => Kind::Process,
            6 => Kind::Container,
            7 => Kind::Directory,
            8 => Kind::Group,
            9 => Kind::Console,
            10 => Kind::Power,
            11 => Kind::Clock,
            12 => Kind::System,
            _ => return None,
        })
    }
}

/// What a capability allows. A derived one has a subset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rights(pub u8);

impl Rights {
    /// Endpoint: call. Notification: signal. Others: change, write, kill.
    pub const WRITE: Rights = Rights(1);
    /// Endpoint: receive. Notification: wait. Others: look, read.
    pub const READ: Rights = Rights(2);
    /// Group: make processes, containers and groups in it. Endpoint: make badged capabilities.
    pub const CREATE: Rights = Rights(4);
    /// Directory: run programs of it. Memory: map as instructions.
    pub const EXECUTE: Rights = Rights(8);
    /// It may be handed on: copied or moved into another space.
    pub const GRANT: Rights = Rights(16);
    /// All of them.
    pub const ALL: Rights = Rights(31);
    /// None.
    pub const NONE: Rights = Rights(0);

    /// The rights that are in both.
    #[must_use]
    pub const fn restrict(self, mask: Rights) -> Rights {
        Rights(self.0 & mask.0)
    }
    /// Whether everything in `needed` is in `self`.
    pub const fn contains(self, needed: Rights) -> bool {
        needed.0 & !self.0 == 0
    }
    /// Those of both.
    #[must_use]
    pub const fn with(self, more: Rights) -> Rights {
        Rights(self.0 | more.0)
    }
}

/// How a process ended, as [`Call::ProcessWait`] and container events give it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Exit {
    /// It called exit with this status.
    Code(u8),
    /// This signal (or the exception it stands for) ended it.
    Signal(u8),
    /// The kernel killed it because its group was out of memory.
    OutOfMemory,
}

impl Exit {
    /// As one register.
    pub const fn to_word(self) -> u64 {
        match self {
            Exit::Code(code) => code as u64,
            Exit::Signal(signal) => 0x100 | signal as u64,
            Exit::OutOfMemory => 0x200,
        }
    }
    /// From one register.
    pub const fn from_word(word: u64) -> Exit {
        match word >> 8 & 0xFF {
            0 => Exit::Code(word as u8),
            1 => Exit::Signal(word as u8),
            _ => Exit::OutOfMemory,
        }
    }
}
