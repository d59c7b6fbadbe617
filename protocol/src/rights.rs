//! Rights: a set that only narrows.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// What the holder of a capability may ask for.
    ///
    /// There is one way to get a set from another, [`Rights::restrict`], and it adds nothing.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Rights: u32 {
        /// Read state, configuration, annotations, the `pivot_root` pair.
        const INSPECT = 1 << 0;
        /// Wait, logs, statistics, processes, events.
        const OBSERVE = 1 << 1;
        /// Start a created container.
        const START = 1 << 2;
        /// Send signals.
        const SIGNAL = 1 << 3;
        /// Pause and resume.
        const PAUSE = 1 << 4;
        /// Run a further process inside.
        const EXEC = 1 << 5;
        /// Take over the standard streams.
        const ATTACH = 1 << 6;
        /// Change limits of a running container.
        const UPDATE = 1 << 7;
        /// Remove the container.
        const DELETE = 1 << 8;
        /// On a factory: create containers.
        const CREATE = 1 << 9;
        /// On a factory: list what was made below it, and look up by id.
        const LIST = 1 << 10;
        /// On a factory: make a narrower sub-factory.
        const DELEGATE = 1 << 11;
        /// On anything: derive a narrower copy, and revoke what was derived.
        const DERIVE = 1 << 12;
    }
}

impl Rights {
    /// All rights that mean something on a container.
    pub const CONTAINER: Rights = Rights::INSPECT
        .union(Rights::OBSERVE)
        .union(Rights::START)
        .union(Rights::SIGNAL)
        .union(Rights::PAUSE)
        .union(Rights::EXEC)
        .union(Rights::ATTACH)
        .union(Rights::UPDATE)
        .union(Rights::DELETE)
        .union(Rights::DERIVE);
    /// All rights that mean something on a factory. The container rights are the ceiling of what is created or
    /// looked up through it.
    pub const FACTORY: Rights =
        Rights::CONTAINER.union(Rights::CREATE).union(Rights::LIST).union(Rights::DELEGATE);
    /// All rights that mean something on a process started by `Exec`.
    pub const PROCESS: Rights = Rights::INSPECT
        .union(Rights::OBSERVE)
        .union(Rights::SIGNAL)
        .union(Rights::ATTACH)
        .union(Rights::DERIVE);

    /// The rights that are in both: the only derivation there is.
    #[must_use]
    pub const fn restrict(self, mask: Rights) -> Rights {
        self.intersection(mask)
    }
}

impl Serialize for Rights {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.bits().serialize(s)
    }
}
impl<'de> Deserialize<'de> for Rights {
    /// Bits that this build does not know are dropped: an unknown right is never held.
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Rights::from_bits_truncate(u32::deserialize(d)?))
    }
}
