//! Mounts, and where their sources may lie.

use alloc::string::String;
use alloc::vec::Vec;
use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// How mount events travel (mount_namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Into this mount.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bind-mounted.
    Unbindable,
}

/// Whether something applies to one mount or to the whole tree below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reach {
    /// To the mount alone.
    One,
    /// To it and everything below.
    Tree,
}

bitflags! {
    /// Attributes of a mount, with the numbers of mount(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u64 {
        /// `ro`
        const RDONLY = 1;
        /// `nosuid`
        const NOSUID = 2;
        /// `nodev`
        const NODEV = 4;
        /// `noexec`
        const NOEXEC = 8;
        /// `sync`
        const SYNCHRONOUS = 16;
        /// `mand`
        const MANDLOCK = 64;
        /// `dirsync`
        const DIRSYNC = 128;
        /// `nosymfollow`
        const NOSYMFOLLOW = 256;
        /// `noatime`
        const NOATIME = 1024;
        /// `nodiratime`
        const NODIRATIME = 2048;
        /// `silent`
        const SILENT = 1 << 15;
        /// `relatime`
        const RELATIME = 1 << 21;
        /// `iversion`
        const I_VERSION = 1 << 23;
        /// `strictatime`
        const STRICTATIME = 1 << 24;
        /// `lazytime`
        const LAZYTIME = 1 << 25;
    }
}

impl Serialize for MountFlags {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.bits().serialize(s)
    }
}
impl<'de> Deserialize<'de> for MountFlags {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        MountFlags::from_bits(u64::deserialize(d)?).ok_or(serde::de::Error::custom("unknown mount flag"))
    }
}

/// What is mounted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MountSource {
    /// A new file system of this type.
    FileSystem {
        /// Its type ("proc", "tmpfs").
        kind: String,
        /// The device or name to show as its source.
        device: String,
    },
    /// An existing file or directory: a path of the host; relative ones begin at `within`, or else at the bundle.
    Bind {
        /// The path.
        path: String,
        /// Whether mounts below come along (`rbind`).
        reach: Reach,
        /// How far the way to it may lead. A link that leads out of there is `EXDEV`.
        within: Within,
    },
}

/// Where a source must lie, whatever links are on the way to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Within {
    /// Anywhere on the host.
    Host,
    /// In the bundle; its path is relative.
    Bundle,
    /// In this directory of the host; its path is relative to it, and empty for the directory itself.
    Directory(String),
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where, inside the new root; made if it is missing.
    pub destination: String,
    /// What.
    pub source: MountSource,
    /// Attributes that are set; every attribute not named here is off, but for a bind mount see `clear`.
    pub flags: MountFlags,
    /// Attributes that were explicitly turned off (`rw`, `suid`, …); matters for bind mounts, which otherwise
    /// keep their source's.
    pub clear: MountFlags,
    /// Attributes set on the whole tree (`rro`, `rnosuid`, …), by mount_setattr(2).
    pub tree_flags: MountFlags,
    /// Attributes cleared on the whole tree (`rrw`, `rsuid`, …).
    pub tree_clear: MountFlags,
    /// Propagation changes, in order.
    pub propagation: Vec<(Propagation, Reach)>,
    /// Options for the file system itself, comma separated.
    pub data: String,
}
