//! Capabilities of capabilities(7), as sets of bits.

use super::error::ConfigError;
use super::read::{Field, Read, spec_object};
use core::fmt;

/// The names, by number. `CAP_CHECKPOINT_RESTORE` (Linux 5.9) is the last.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A set of capabilities: bit *n* is the capability with number *n*.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OciCapabilitySet(u64);

impl OciCapabilitySet {
    /// Its bits, as capset(2) numbers them.
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// The set with these bits; those that name no capability are dropped.
    pub const fn from_bits_truncate(bits: u64) -> Self {
        OciCapabilitySet(bits & ((1 << CAPABILITIES.len()) - 1))
    }
    /// The capability called `name` (`CAP_KILL`) alone, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        CAPABILITIES.iter().position(|known| *known == name).map(|number| OciCapabilitySet(1 << number))
    }
    /// What is in this set and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        OciCapabilitySet(self.0 & !other.0)
    }
    /// The names of what is in it, by number.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let held = move |number: &usize| self.0 >> number & 1 == 1;
        CAPABILITIES.iter().enumerate().filter(move |(number, _)| held(number)).map(|(_, name)| *name)
    }
}

impl fmt::Debug for OciCapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Read for OciCapabilitySet {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        let one = |item: &Field<'_>| {
            OciCapabilitySet::from_name(item.text()?)
                .ok_or_else(|| item.fault("is no capability: see capabilities(7)"))
        };
        Ok(OciCapabilitySet(field.list(one)?.iter().fold(0, |bits, set| bits | set.0)))
    }
    fn absent(_: &super::error::Place<'_>) -> Result<Self, ConfigError> {
        Ok(OciCapabilitySet::default())
    }
}

spec_object! {
    /// `process.capabilities`: the five sets.
    OciCapabilities or Default {
        /// The ceiling of what can ever be gained.
        bounding: OciCapabilitySet = "bounding",
        /// What is in use.
        effective: OciCapabilitySet = "effective",
        /// What survives an execve of a file with inheritable capabilities.
        inheritable: OciCapabilitySet = "inheritable",
        /// What may be used after asking.
        permitted: OciCapabilitySet = "permitted",
        /// What survives an execve of an ordinary file.
        ambient: OciCapabilitySet = "ambient",
    }
}
