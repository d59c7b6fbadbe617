//! What a factory lets a bundle ask for.
//!
//! A policy is a set of permissions: what no line of its text allows is refused, by the JSON path of what asked for
//! it, before anything happens. So there is one order among policies, the subset, and one way to get a policy from
//! another, [`Policy::narrow`], which keeps what both allow. Nothing a bundle says changes a policy.
//!
//! ```text
//!   text ──► Policy ──┐
//!   parent's Policy ──┴─► narrow ──► the sub-factory's Policy ──► check: config.json, and each `Exec`
//! ```
//!
//! The text (`text`) is the one form of a policy: in the boot manifest, in a `Delegate` request, in the reply to
//! `Limits`. `include NAME` adds all lines of one that is ready-made.

mod check;
mod pattern;
pub(crate) mod text;

pub use text::{PolicyError, READY_MADE};

use alloc::string::String;
use bailiwick_kernel_glue::plan::{Namespace, RLIMITS};
use bitflags::bitflags;
use core::fmt;
use pattern::{Devices, Glob, Ids, Mountable, Set, Tree};

/// Kinds of namespace, as a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Kinds(u16);

impl Kinds {
    const fn of(kind: Namespace) -> Self {
        Kinds(1 << kind as u16)
    }
    fn all() -> Self {
        Namespace::ALL.into_iter().map(Kinds::of).fold(Kinds(0), Kinds::with)
    }
    const fn with(self, other: Kinds) -> Self {
        Kinds(self.0 | other.0)
    }
    pub(crate) const fn holds(self, kind: Namespace) -> bool {
        self.0 & Kinds::of(kind).0 != 0
    }
}

/// What a system-call filter is to the policy, the strictest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) enum Filter {
    /// There must be one.
    #[default]
    Required,
    /// There must be one if the kernel can filter at all.
    WherePossible,
    /// There may be none.
    Optional,
}

bitflags! {
    /// Things that are either allowed or not.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub(crate) struct Allow: u8 {
        /// The root file system may be writable.
        const WRITABLE_ROOT = 1 << 0;
        /// `noNewPrivileges` need not be set.
        const NEW_PRIVILEGES = 1 << 1;
        /// The paths of proc and sysfs that leak or change the host need not be masked.
        const UNMASKED_PROC = 1 << 2;
        /// The configuration may name the resource group itself.
        const GROUP_PATH = 1 << 3;
        /// Mounts may be shared with the host.
        const SHARED_MOUNTS = 1 << 4;
        /// The out-of-memory score may be below 0, which makes others die first.
        const OOM_PROTECTION = 1 << 5;
        /// A namespace may be one that a path of the host names.
        const NAMESPACE_PATHS = 1 << 6;
        /// Whoever may look at a container is told which numbers the host has for its processes: what others start and end
        /// shows in them.
        const HOST_PIDS = 1 << 7;
    }
}

/// What a factory lets a bundle ask for. The default is everything, as of the ready-made `privileged`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Policy {
    /// Kinds that may be those of another container of the same factory.
    join: Kinds,
    /// Kinds that may be the host's.
    host: Kinds,
    /// Ids inside, that a process may have.
    uids: Set<Ids>,
    gids: Set<Ids>,
    /// Ids outside, that a process may have or a user namespace may map.
    host_uids: Set<Ids>,
    host_gids: Set<Ids>,
    capabilities: u64,
    /// Beside those that every container has.
    devices: Set<Devices>,
    file_systems: Set<Mountable<Glob>>,
    binds: Set<Mountable<Tree>>,
    sysctls: Set<Glob>,
    hooks: Set<Tree>,
    annotations: Set<Glob>,
    filter: Filter,
    allow: Allow,
    /// Highest hard limit of each kind of setrlimit(2); none has no ceiling.
    rlimits: [Option<u64>; RLIMITS.len()],
}

impl Default for Policy {
    fn default() -> Self {
        // The text is part of the build, and a test reads it.
        Policy::parse("include privileged").unwrap_or_else(|_| Policy::nothing())
    }
}

impl Policy {
    /// Allows nothing that could be forbidden.
    fn nothing() -> Self {
        Policy {
            join: Kinds::default(),
            host: Kinds::default(),
            uids: Set::default(),
            gids: Set::default(),
            host_uids: Set::default(),
            host_gids: Set::default(),
            capabilities: 0,
            devices: Set::default(),
            file_systems: Set::default(),
            binds: Set::default(),
            sysctls: Set::default(),
            hooks: Set::default(),
            annotations: Set::default(),
            filter: Filter::default(),
            allow: Allow::default(),
            rlimits: [None; RLIMITS.len()],
        }
    }

    /// What both allow: the only way to get one policy from another.
    #[must_use]
    pub fn narrow(&self, other: &Policy) -> Policy {
        let mut rlimits = self.rlimits;
        for (ceiling, other) in rlimits.iter_mut().zip(other.rlimits) {
            *ceiling = match (*ceiling, other) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, none) => one.or(none),
            };
        }
        Policy {
            join: Kinds(self.join.0 & other.join.0),
            host: Kinds(self.host.0 & other.host.0),
            uids: self.uids.meet(&other.uids),
            gids: self.gids.meet(&other.gids),
            host_uids: self.host_uids.meet(&other.host_uids),
            host_gids: self.host_gids.meet(&other.host_gids),
            capabilities: self.capabilities & other.capabilities,
            devices: self.devices.meet(&other.devices),
            file_systems: self.file_systems.meet(&other.file_systems),
            binds: self.binds.meet(&other.binds),
            sysctls: self.sysctls.meet(&other.sysctls),
            hooks: self.hooks.meet(&other.hooks),
            annotations: self.annotations.meet(&other.annotations),
            filter: self.filter.min(other.filter),
            allow: self.allow.intersection(other.allow),
            rlimits,
        }
    }

    /// Whether this allows nothing that `other` does not.
    pub fn is_within(&self, other: &Policy) -> bool {
        self.narrow(other) == *self
    }

    /// Whether the host's process numbers are told.
    pub(crate) const fn tells_pids(&self) -> bool {
        self.allow.contains(Allow::HOST_PIDS)
    }

    /// Its text, in the order of `text`'s table.
    pub fn to_text(&self) -> String {
        alloc::format!("{self}")
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}
