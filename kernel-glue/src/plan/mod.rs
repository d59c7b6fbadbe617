//! The plan: what turns a configuration into a container, step by step, as plain data.
//!
//! A plan is made by the server's planner from a checked configuration and from [`Features`], and carried out by a
//! backend in exactly this order. Every step names what it needs; no backend looks into the configuration.
//! Paths of mounts, devices and masks are paths *inside the new root*: a backend resolves them below the root
//! and never through a link that leads out of it.
//!
//! Steps carry numbers as Linux has them (mount(2) flags, capability bits, rlimit numbers): both kernels speak
//! that language.

mod features;
mod hook;
mod mount;
mod resources;
mod show;

pub use features::{Feature, Features, Namespace, NamespaceSource};
pub use hook::{Hook, HookKind, HookState};
pub use mount::{Mount, MountFlags, MountSource, Propagation, Reach, Within};
pub use resources::{Device, DeviceAccess, DeviceKind, DeviceRule, Resources};
pub use show::RLIMITS;

use crate::filter::Filter;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::message::Stdio;
use serde::{Deserialize, Serialize};

/// One range of a user or group map (user_namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many. `inside + count` and `outside + count` are at most 2³² - 1: the planner checked.
    pub count: u32,
}

/// One limit of setrlimit(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rlimit {
    /// Its number, `RLIMIT_*`.
    pub resource: u8,
    /// Soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// The five capability sets of capabilities(7), one bit a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// The ceiling of what can ever be gained.
    pub bounding: u64,
    /// What may be used after asking.
    pub permitted: u64,
    /// What is in use.
    pub effective: u64,
    /// What survives an execve of a file with inheritable capabilities.
    pub inheritable: u64,
    /// What survives an execve of an ordinary file.
    pub ambient: u64,
}

/// One kernel step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// A resource group with these limits; everything that follows is charged to it.
    ResourceGroup {
        /// Its path in the kernel's tree, relative to where the server's containers live unless absolute.
        path: String,
        /// Its limits.
        resources: Resources,
        /// Which devices may be opened and made; empty allows what the kernel's default allows.
        devices: Vec<DeviceRule>,
    },
    /// The namespaces, in the order of [`Namespace::ALL`]; kinds not named are the server's own.
    Namespaces(Vec<(Namespace, NamespaceSource)>),
    /// Maps of a new user namespace.
    IdMaps {
        /// Users.
        users: Vec<IdMap>,
        /// Groups.
        groups: Vec<IdMap>,
    },
    /// Offsets of a new time namespace: clock, seconds, nanoseconds.
    TimeOffset {
        /// "monotonic" or "boottime".
        clock: String,
        /// Seconds.
        seconds: i64,
        /// Nanoseconds, below 10⁹.
        nanoseconds: u32,
    },
    /// Sets the propagation of the whole tree the new mount namespace began with, then makes the bundle's root
    /// file system a mount of its own: the new root.
    Root {
        /// Path of the root file system: relative to the bundle, or absolute on the host.
        path: String,
        /// Propagation of the old tree.
        propagation: Propagation,
    },
    /// One mount below the new root.
    Mount(Mount),
    /// One device node.
    Device(Device),
    /// A symbolic link, such as `/dev/fd`; left alone if something is there.
    Link {
        /// Where, inside the new root.
        path: String,
        /// What it points to, as text.
        target: String,
    },
    /// Runs a hook and waits for it.
    Hook(Hook),
    /// Makes the new root the root and drops the old one (pivot_root(2)).
    PivotRoot {
        /// The directory that becomes the root, as the configuration names it.
        new: String,
        /// Where the old root is put until it is unmounted, seen from the new one.
        old: String,
    },
    /// The host name.
    Hostname(String),
    /// The NIS domain name.
    Domainname(String),
    /// A kernel parameter.
    Sysctl {
        /// Its name with dots.
        name: String,
        /// Its value.
        value: String,
    },
    /// Makes a path unreadable: files read empty, directories look empty. Missing paths are left alone.
    Mask(String),
    /// Makes a path and what is mounted below read-only. Missing paths are left alone.
    ReadonlyPath(String),
    /// Makes the root mount read-only.
    ReadonlyRoot,
    /// Propagation of the new root, as `rootfsPropagation` asks.
    RootPropagation(Propagation),
    /// A limit of the process.
    Rlimit(Rlimit),
    /// The out-of-memory score, -1,000 to 1,000.
    OomScore(i16),
    /// User, groups and file-mode mask of the process.
    User {
        /// User id inside.
        uid: u32,
        /// Group id inside.
        gid: u32,
        /// Supplementary groups inside: exactly these.
        groups: Vec<u32>,
        /// umask(2); none keeps 0o022.
        umask: Option<u32>,
    },
    /// Capability sets of the process.
    Capabilities(CapabilitySets),
    /// The process and its children can gain no privileges by execve.
    NoNewPrivileges,
    /// Which system calls the program may make, and its children. Before [`Step::Capabilities`] where
    /// [`Step::NoNewPrivileges`] does not come first, for then it is a privilege to load one (seccomp(2)). Holds for
    /// the program at the latest; whether also for the steps that follow is the kernel's choice.
    Filter(Filter),
    /// Working directory, inside the root; it must exist and be inside.
    WorkingDirectory(String),
    /// Finds the program and its interpreter and leaves the process waiting at the gate.
    Load {
        /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
        args: Vec<String>,
        /// Environment.
        env: Vec<String>,
    },
}

/// The whole plan of one container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Up to the gate: the container is `created` after the last one.
    pub create: Vec<Step>,
    /// `startContainer` hooks, run inside before the gate opens.
    pub start: Vec<Hook>,
    /// `poststart` hooks, run after it opened.
    pub poststart: Vec<Hook>,
    /// `poststop` hooks, run after the container is gone.
    pub poststop: Vec<Hook>,
    /// What hooks are told.
    pub state: HookState,
    /// Standard streams of the first process.
    pub stdio: Stdio,
}

impl Plan {
    /// The limits of its resource group; none of any kind if it has no group.
    pub fn resources(&self) -> &Resources {
        let group = self.create.iter().find_map(|step| match step {
            Step::ResourceGroup { resources, .. } => Some(resources),
            _ => None,
        });
        group.unwrap_or(&Resources::UNLIMITED)
    }
}

/// The plan of one further process in a running container: which joins all its namespaces and its group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// `Rlimit`, `OomScore`, `User`, `Capabilities`, `NoNewPrivileges`, `Filter`, `WorkingDirectory`, and last `Load`.
    pub steps: Vec<Step>,
    /// Its standard streams.
    pub stdio: Stdio,
}
