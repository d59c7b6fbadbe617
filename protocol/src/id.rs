//! Identifiers: the container's name and the kernel's badge.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Longest container id in bytes. (runc has no own bound; 64 hex digits are what engines generate.)
pub const ID_MAX: usize = 64;

/// The number the kernel delivers beside each message, chosen by the server when it minted the capability.
///
/// Holding a `Badge` proves which capability a message was sent on. It does not prove that the grant behind it
/// still exists: `index` may have been reused, which `generation` tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Badge(pub u64);

impl Badge {
    /// Packs a grant's index and generation.
    pub const fn new(index: u32, generation: u32) -> Self {
        Badge((generation as u64) << 32 | index as u64)
    }
    /// Position of the grant in the server's table.
    pub const fn index(self) -> u32 {
        self.0 as u32
    }
    /// Which use of that position is meant.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What the holder of a capability knows a capability derived from it by.
///
/// It is no authority: it means something only beside the capability that it was derived from, to take the derived one
/// back. Numbered for each capability by itself and never used again. It travels as eight bytes, little-endian: its upper
/// half is used as much as its lower one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrantHandle(pub u64);

impl Serialize for GrantHandle {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.to_le_bytes().serialize(s)
    }
}
impl<'de> Deserialize<'de> for GrantHandle {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <[u8; 8]>::deserialize(d).map(|bytes| GrantHandle(u64::from_le_bytes(bytes)))
    }
}

/// A container id that was checked: 1 to [`ID_MAX`] bytes of `[A-Za-z0-9_+.-]`, the first one not a dot.
///
/// This is runc's alphabet (libcontainer `validateID`), with crun's rule on the first character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(heapless::String<ID_MAX>);

/// Why a string is no container id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdError {
    /// It is empty.
    Empty,
    /// It is longer than [`ID_MAX`] bytes.
    TooLong,
    /// It begins with a dot.
    LeadingDot,
    /// It holds a character outside `[A-Za-z0-9_+.-]`.
    Character(char),
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdError::Empty => f.write_str("container id: is empty"),
            IdError::TooLong => write!(f, "container id: longer than {ID_MAX} bytes"),
            IdError::LeadingDot => f.write_str("container id: begins with a dot"),
            IdError::Character(c) => write!(f, "container id: {c:?} is not one of A-Z a-z 0-9 _ + . -"),
        }
    }
}
impl core::error::Error for IdError {}

impl ContainerId {
    /// Checks `text` and takes a copy.
    ///
    /// # Errors
    /// [`IdError`] names the first rule that is broken.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.starts_with('.') {
            return Err(IdError::LeadingDot);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-');
        if let Some(c) = text.chars().find(|c| !allowed(*c)) {
            return Err(IdError::Character(c));
        }
        heapless::String::try_from(text).map(ContainerId).map_err(|_| IdError::TooLong)
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerId({:?})", self.as_str())
    }
}
impl Serialize for ContainerId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for ContainerId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(d)?;
        ContainerId::new(text).map_err(serde::de::Error::custom)
    }
}
