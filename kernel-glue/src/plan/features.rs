//! What a kernel can do, and the kinds of namespace.

use super::DeviceKind;
use alloc::string::String;
use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Kinds of namespace (namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Namespace {
    /// Users and groups.
    User,
    /// Mounts.
    Mount,
    /// Process numbers.
    Pid,
    /// Host and domain name.
    Uts,
    /// System V IPC, POSIX message queues.
    Ipc,
    /// Network devices, addresses, sockets.
    Network,
    /// Root of the resource-group tree.
    Cgroup,
    /// Boot-time and monotonic clocks.
    Time,
}

impl Namespace {
    /// All kinds, in the order in which they are made.
    pub const ALL: [Namespace; 8] = [
        Namespace::User,
        Namespace::Mount,
        Namespace::Pid,
        Namespace::Uts,
        Namespace::Ipc,
        Namespace::Network,
        Namespace::Cgroup,
        Namespace::Time,
    ];
    /// The runtime-spec's word (config-linux.md "Namespaces").
    pub const fn as_str(self) -> &'static str {
        match self {
            Namespace::User => "user",
            Namespace::Mount => "mount",
            Namespace::Pid => "pid",
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::Network => "network",
            Namespace::Cgroup => "cgroup",
            Namespace::Time => "time",
        }
    }
    /// The name below `/proc/PID/ns`.
    pub const fn proc_name(self) -> &'static str {
        match self {
            Namespace::User => "user",
            Namespace::Mount => "mnt",
            Namespace::Pid => "pid",
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::Network => "net",
            Namespace::Cgroup => "cgroup",
            Namespace::Time => "time",
        }
    }
    /// Its flag for clone(2) and setns(2).
    pub const fn clone_flag(self) -> u64 {
        match self {
            Namespace::User => 0x1000_0000,
            Namespace::Mount => 0x0002_0000,
            Namespace::Pid => 0x2000_0000,
            Namespace::Uts => 0x0400_0000,
            Namespace::Ipc => 0x0800_0000,
            Namespace::Network => 0x4000_0000,
            Namespace::Cgroup => 0x0200_0000,
            Namespace::Time => 0x0000_0080,
        }
    }
}

/// Where a container's namespace of one kind comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NamespaceSource {
    /// A new one.
    New,
    /// The one this path of the host stands for, such as `/proc/7/ns/net`. The backend checks its kind.
    Path(String),
}

bitflags! {
    /// Things a kernel may or may not be able to do, beyond namespaces and file systems.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Feature: u64 {
        /// Memory limits.
        const MEMORY = 1 << 0;
        /// Swap limits.
        const SWAP = 1 << 1;
        /// CPU weight and quota.
        const CPU = 1 << 2;
        /// Pinning to CPUs and memory nodes.
        const CPUSET = 1 << 3;
        /// Limit on the number of processes.
        const PIDS = 1 << 4;
        /// Block-device limits.
        const BLOCK_IO = 1 << 5;
        /// Huge-page limits.
        const HUGEPAGES = 1 << 6;
        /// RDMA limits.
        const RDMA = 1 << 7;
        /// Network class and priorities.
        const NET_CLASS = 1 << 8;
        /// Device access rules.
        const DEVICE_RULES = 1 << 9;
        /// Raw cgroup v2 files.
        const UNIFIED = 1 << 10;
        /// A terminal for the process.
        const TERMINAL = 1 << 11;
        /// System-call filters.
        const SECCOMP = 1 << 12;
        /// AppArmor profiles.
        const APPARMOR = 1 << 13;
        /// SELinux labels.
        const SELINUX = 1 << 14;
        /// Scheduling policy.
        const SCHEDULER = 1 << 15;
        /// I/O priority.
        const IO_PRIORITY = 1 << 16;
        /// CPU affinity at exec.
        const CPU_AFFINITY = 1 << 17;
        /// Execution domain.
        const PERSONALITY = 1 << 18;
        /// Intel RDT.
        const INTEL_RDT = 1 << 19;
        /// NUMA memory policy.
        const MEMORY_POLICY = 1 << 20;
        /// Moving network devices into the container.
        const NET_DEVICES = 1 << 21;
        /// Mounts with mapped ids.
        const IDMAP_MOUNTS = 1 << 22;
        /// Recursive mount attributes (`rro` and its family).
        const RECURSIVE_ATTRIBUTES = 1 << 23;
        /// `tmpcopyup`.
        const TMP_COPY_UP = 1 << 24;
        /// Hooks.
        const HOOKS = 1 << 25;
        /// Offsets of a time namespace.
        const TIME_OFFSETS = 1 << 26;
        /// The out-of-memory score.
        const OOM_SCORE = 1 << 27;
        /// Real-time CPU limits, burst, idle.
        const CPU_EXTRA = 1 << 28;
        /// A first size for the terminal, set by whoever is given it.
        const TERMINAL_SIZE = 1 << 29;
        /// A pipe as a process's standard input.
        const INPUT = 1 << 30;
    }
}

/// What this kernel can do: the planner refuses the rest by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// The kernel's name, for error texts ("the bailiwick kernel", "Linux").
    pub kernel: &'static str,
    /// Kinds of namespace that can be made new.
    pub namespaces: &'static [Namespace],
    /// File-system types that can be mounted. `bind` is always possible and not listed.
    pub file_systems: &'static [&'static str],
    /// The rest.
    pub features: Feature,
    /// Capabilities that exist and that this server may give, one bit each (capabilities(7)).
    pub capabilities: u64,
    /// Kernel parameters that can be set: exact names, or prefixes that end in a dot.
    pub sysctls: &'static [&'static str],
    /// Devices a process inside may be given: (kind, major, minor); empty if any can be made.
    pub devices: &'static [(DeviceKind, u32, u32)],
}
