//! Messages: what travels in registers, and the buffer for what does not.

/// Words of a message that travel in registers.
pub const WORDS: usize = 8;
/// Bytes of a message that travel in registers.
pub const SMALL_MAX: usize = WORDS * 8;
/// Most bytes of a message.
pub const MESSAGE_MAX: usize = 4096;
/// Most capabilities beside a message.
pub const CAPABILITIES_MAX: usize = 4;

/// What a message consists of, as one register.
///
/// ```text
///  bits  0..=12  length in bytes, 0 to 4,096: up to 64 are in the registers, more are in the MessageBuffer
///  bits 16..=18  capabilities beside it, 0 to 4: in the MessageBuffer
///  bits 20..=22  (sent) how many capabilities the sender has slots for in what it receives
///  bit  24       (received) an event of the bound notification, not a message: its bits are in rdi
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct MessageInfo(pub u64);

impl MessageInfo {
    const EVENT: u64 = 1 << 24;

    /// A message of `length` bytes and nothing else.
    pub const fn new(length: usize) -> Self {
        MessageInfo(length as u64 & 0x1FFF)
    }
    /// With this many capabilities beside it.
    #[must_use]
    pub const fn with_capabilities(self, count: usize) -> Self {
        MessageInfo(self.0 & !(7 << 16) | (count as u64 & 7) << 16)
    }
    /// With room for this many capabilities in the answer.
    #[must_use]
    pub const fn with_room(self, count: usize) -> Self {
        MessageInfo(self.0 & !(7 << 20) | (count as u64 & 7) << 20)
    }
    /// An event.
    pub const fn event() -> Self {
        MessageInfo(Self::EVENT)
    }
    /// Length in bytes: at most 8,191 as a number, at most [`MESSAGE_MAX`] in a valid one.
    pub const fn length(self) -> usize {
        (self.0 & 0x1FFF) as usize
    }
    /// Capabilities beside it.
    pub const fn capabilities(self) -> usize {
        (self.0 >> 16 & 7) as usize
    }
    /// Room offered for capabilities.
    pub const fn room(self) -> usize {
        (self.0 >> 20 & 7) as usize
    }
    /// Whether the thread must have named a buffer for it.
    pub const fn needs_buffer(self) -> bool {
        self.length() > SMALL_MAX || self.capabilities() > 0 || self.room() > 0
    }
    /// Whether it goes in registers: nothing but at most [`SMALL_MAX`] bytes, and room for what comes back.
    #[inline]
    pub const fn is_small(self) -> bool {
        self.0 & !(7 << 20) <= SMALL_MAX as u64
    }
    /// Whether it goes in registers, but for one capability.
    #[inline]
    pub const fn is_small_with_one(self) -> bool {
        MessageInfo(self.0 ^ 1 << 16).is_small()
    }
    /// Whether it is an event rather than a message.
    pub const fn is_event(self) -> bool {
        self.0 & Self::EVENT != 0
    }
    /// Whether it has nothing a message can't have.
    pub const fn is_valid(self) -> bool {
        self.length() <= MESSAGE_MAX
            && self.capabilities() <= CAPABILITIES_MAX
            && self.room() <= CAPABILITIES_MAX
            && self.0 >> 23 == 0
    }
}

/// How a capability is handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// The receiver gets a derived one, the sender keeps its own and can revoke.
    Copy,
    /// The receiver gets this one.
    Move,
    /// The receiver gets one with a badge ([`MessageBuffer::badges`]), derived by the rules of `Derive` from the sender's,
    /// which has none.
    Badged,
}

/// One capability beside a message. Sent: which, and how. Received: where it is now, and what it allows.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapabilityWord {
    /// The handle.
    pub handle: u64,
    /// Bits 0..=7 the mask over its rights (sent) or its rights (received), bits 8..=15 its kind (received),
    /// bit 16: move instead of copy (sent), bit 17: copy with a badge, whatever bit 16 is (sent).
    pub details: u64,
}

impl CapabilityWord {
    /// Hands over the capability `handle`, with no more than these rights.
    pub const fn new(handle: crate::Handle, rights: crate::Rights, transfer: Transfer) -> Self {
        let mode = match transfer {
            Transfer::Copy => 0,
            Transfer::Move => 1 << 16,
            Transfer::Badged => 1 << 17,
        };
        CapabilityWord { handle: handle.0, details: rights.0 as u64 | mode }
    }
    /// What was received.
    pub const fn received(handle: crate::Handle, kind: crate::Kind, rights: crate::Rights) -> Self {
        CapabilityWord { handle: handle.0, details: rights.0 as u64 | (kind as u64) << 8 }
    }
    /// Which capability.
    pub const fn handle(self) -> crate::Handle {
        crate::Handle(self.handle)
    }
    /// Its rights, or the mask over them.
    pub const fn rights(self) -> crate::Rights {
        crate::Rights(self.details as u8)
    }
    /// Its kind, on receipt.
    pub const fn kind(self) -> Option<crate::Kind> {
        crate::Kind::from_number((self.details >> 8) as u8)
    }
    /// How it is handed over.
    pub const fn transfer(self) -> Transfer {
        match self.details >> 16 & 3 {
            0 => Transfer::Copy,
            1 => Transfer::Move,
            _ => Transfer::Badged,
        }
    }
}

/// Where [`MessageBuffer::capabilities`] begins.
pub const BUFFER_CAPABILITIES: u64 = MESSAGE_MAX as u64;
/// Where [`MessageBuffer::badges`] begins.
pub const BUFFER_BADGES: u64 = BUFFER_CAPABILITIES + (CAPABILITIES_MAX * size_of::<CapabilityWord>()) as u64;

/// What does not fit into registers. Each thread names one by `SetBuffer`; the kernel reads it when the thread
/// sends and writes it when the thread receives.
#[repr(C, align(4096))]
#[derive(Clone, Copy, Debug)]
pub struct MessageBuffer {
    /// Bytes of messages longer than [`SMALL_MAX`].
    pub bytes: [u8; MESSAGE_MAX],
    /// Capabilities.
    pub capabilities: [CapabilityWord; CAPABILITIES_MAX],
    /// The badge of each capability that is handed over as [`Transfer::Badged`]. Only read by the kernel, never written.
    pub badges: [u64; CAPABILITIES_MAX],
}

impl MessageBuffer {
    /// An empty one.
    pub const fn new() -> Self {
        MessageBuffer {
            bytes: [0; MESSAGE_MAX],
            capabilities: [CapabilityWord { handle: 0, details: 0 }; CAPABILITIES_MAX],
            badges: [0; CAPABILITIES_MAX],
        }
    }
}
impl Default for MessageBuffer {
    fn default() -> Self {
        MessageBuffer::new()
    }
}
