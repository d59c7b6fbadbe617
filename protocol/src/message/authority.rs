//! What is asked of any capability: what it allows, and to derive from it and take back.

use super::Nanos;
use crate::id::GrantHandle;
use crate::op::ObjectKind;
use crate::quota::Quota;
use crate::rights::Rights;
use serde::{Deserialize, Serialize};

/// `Hello`: what the client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest version the client speaks.
    pub version_min: u16,
    /// Highest version the client speaks.
    pub version_max: u16,
}

/// Reply to `Hello`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelloReply {
    /// Lowest version the server speaks.
    pub version_min: u16,
    /// Highest version the server speaks.
    pub version_max: u16,
    /// Largest frame either side may send, in bytes.
    pub frame_max: u32,
    /// Hash of all message types ([`crate::frame::schema_hash`]).
    pub schema: u64,
}

/// Reply to `Describe`: a holder's own authority, nothing about others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Description {
    /// What the capability stands for.
    pub kind: ObjectKind,
    /// What it allows.
    pub rights: Rights,
    /// How many derivations it is away from the capability the system began with.
    pub depth: u16,
    /// On a factory, what is left of its own quota; an ancestor may have less. None on anything else.
    pub left: Option<Quota>,
    /// In how long it ends by itself; none if it does not.
    pub lifetime: Option<Nanos>,
    /// How many calls that need a right it is good for; none if for any number.
    pub uses: Option<u32>,
}

/// `Derive`: what to keep; nothing that the sender does not hold is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Derive {
    /// Mask put over the sender's rights.
    pub rights: Rights,
    /// In how long the copy, and whatever is derived from it, ends by itself, if not earlier.
    pub lifetime: Option<Nanos>,
    /// How many calls that need a right the copy, and whatever is derived from it, is good for.
    pub uses: Option<u32>,
}

impl Derive {
    /// A copy with at most these rights, good as long and as often as the sender's own.
    pub const fn new(rights: Rights) -> Self {
        Derive { rights, lifetime: None, uses: None }
    }
}

/// Reply to `Derive`, with the capability beside it, and to `Grant`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeriveReply {
    /// What the sender knows the new capability by, to take it back alone.
    pub handle: GrantHandle,
}

/// Most handles in one [`GrantPath`].
pub const PATH_MAX: usize = 16;

/// Names a capability from another one down: a handle that `Derive` on that one gave, then one that `Derive` on the
/// capability so named gave, and so on. At most [`PATH_MAX`] long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantPath {
    handles: [GrantHandle; PATH_MAX],
    len: usize,
}

impl GrantPath {
    /// The path along these handles; none if they are too many.
    pub fn new(path: &[GrantHandle]) -> Option<Self> {
        let mut handles = [GrantHandle(0); PATH_MAX];
        handles.get_mut(..path.len())?.copy_from_slice(path);
        Some(GrantPath { handles, len: path.len() })
    }
    /// Its handles, the first one first.
    pub fn as_slice(&self) -> &[GrantHandle] {
        self.handles.get(..self.len).unwrap_or_default()
    }
}
impl Serialize for GrantPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(s)
    }
}
impl<'de> Deserialize<'de> for GrantPath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_seq(PathVisitor)
    }
}

struct PathVisitor;

impl<'de> serde::de::Visitor<'de> for PathVisitor {
    type Value = GrantPath;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "at most {PATH_MAX} handles")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<GrantPath, A::Error> {
        let mut path = GrantPath { handles: [GrantHandle(0); PATH_MAX], len: 0 };
        while let Some(handle) = seq.next_element()? {
            let too_long = || serde::de::Error::invalid_length(PATH_MAX + 1, &self);
            *path.handles.get_mut(path.len).ok_or_else(too_long)? = handle;
            path.len += 1;
        }
        Ok(path)
    }
}

/// `RevokeOne`: which of the capabilities derived from the sender's, directly or further down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevokeOne {
    /// From the sender's capability down; not empty.
    pub path: GrantPath,
}
