//! The plan: what turns a configuration into a container, step by step, as plain data.
//!
//! A plan is made by the server's planner from a checked configuration and from [`Features`], and carried out by a
//! backend in exactly this order. Every step names what it needs; no backend looks into the configuration.
//! Paths of mounts, devices and masks are paths *inside the new root*: a backend resolves them below the root
//! and never through a link that leads out of it.
//!
//! Steps carry numbers as Linux has them (mount(2) flags, capability bits, rlimit numbers): both kernels speak
//! that language.

use crate::filter::Filter;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::message::Stdio;
use bitflags::bitflags;
use core::fmt;
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

/// Limits of a resource group. `None` means unlimited, or the kernel's default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes below which memory is not reclaimed first.
    pub memory_reservation: Option<u64>,
    /// Bytes of memory and swap together.
    pub memory_swap: Option<u64>,
    /// Relative share of CPU time, as cgroup v1 counts it: 2 to 262,144, default 1,024.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU time in each period.
    pub cpu_quota: Option<u64>,
    /// The period, in microseconds.
    pub cpu_period: Option<u64>,
    /// CPUs, in the kernel's list format.
    pub cpus: Option<String>,
    /// Memory nodes, in the kernel's list format.
    pub mems: Option<String>,
    /// Processes.
    pub pids: Option<u32>,
}

impl Resources {
    /// No limit of any kind.
    pub const UNLIMITED: Resources = Resources {
        memory: None,
        memory_reservation: None,
        memory_swap: None,
        cpu_shares: None,
        cpu_quota: None,
        cpu_period: None,
        cpus: None,
        mems: None,
        pids: None,
    };
}

/// One rule about devices (config-linux.md "Allowed Device list"); later rules win.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub access: DeviceAccess,
    /// Kind of device; none for both.
    pub kind: Option<DeviceKind>,
    /// Major number; none for all.
    pub major: Option<u32>,
    /// Minor number; none for all.
    pub minor: Option<u32>,
    /// Letters of `rwm`.
    pub letters: String,
}

/// What a device rule says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DeviceAccess {
    /// These accesses are allowed.
    Allow,
    /// These accesses are denied.
    Deny,
}

/// What mknod(2) makes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Character device.
    Character,
    /// Block device.
    Block,
    /// Named pipe.
    Fifo,
}

/// A device node to be made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Where, inside the new root.
    pub path: String,
    /// What.
    pub kind: DeviceKind,
    /// Its major number (0 for a pipe).
    pub major: u32,
    /// Its minor number (0 for a pipe).
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner inside.
    pub uid: u32,
    /// Group inside.
    pub gid: u32,
}

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

/// When a hook runs (config.md "POSIX-platform Hooks").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HookKind {
    /// Deprecated: after the environment is made, in the runtime's namespaces.
    Prestart,
    /// The same place, its successor.
    CreateRuntime,
    /// Before `pivot_root`, in the container's namespaces; the path is the host's.
    CreateContainer,
    /// Before the program, in the container; the path is the container's.
    StartContainer,
    /// After the program was started, in the runtime's namespaces. A failure is a warning.
    Poststart,
    /// After the container was deleted, in the runtime's namespaces. A failure is a warning.
    Poststop,
}

impl HookKind {
    /// All kinds, in the order in which they run.
    pub const ALL: [HookKind; 6] = [
        HookKind::Prestart,
        HookKind::CreateRuntime,
        HookKind::CreateContainer,
        HookKind::StartContainer,
        HookKind::Poststart,
        HookKind::Poststop,
    ];

    /// The key in config.json.
    pub const fn as_str(self) -> &'static str {
        match self {
            HookKind::Prestart => "prestart",
            HookKind::CreateRuntime => "createRuntime",
            HookKind::CreateContainer => "createContainer",
            HookKind::StartContainer => "startContainer",
            HookKind::Poststart => "poststart",
            HookKind::Poststop => "poststop",
        }
    }
}

/// One hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// When it runs.
    pub kind: HookKind,
    /// The program.
    pub path: String,
    /// Its arguments, the first being its name.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Seconds after which it is killed and has failed.
    pub timeout: Option<u32>,
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

/// What the state document for hooks holds, all but status and pid (runtime.md "State").
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HookState {
    /// `ociVersion`.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The bundle's path.
    pub bundle: String,
    /// Annotations, in the order of keys.
    pub annotations: Vec<(String, String)>,
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

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::ResourceGroup { path, resources, devices } => {
                write!(f, "resource group {path}")?;
                show_resources(f, resources)?;
                if devices.is_empty() { Ok(()) } else { write!(f, ", {} device rules", devices.len()) }
            }
            Step::Namespaces(list) => {
                f.write_str("namespaces")?;
                list.iter().try_for_each(|(kind, source)| match source {
                    NamespaceSource::New => write!(f, " {}", kind.as_str()),
                    NamespaceSource::Path(path) => write!(f, " {}={path}", kind.as_str()),
                })
            }
            Step::IdMaps { users, groups } => {
                f.write_str("id maps")?;
                show_maps(f, " uid", users)?;
                show_maps(f, " gid", groups)
            }
            Step::TimeOffset { clock, seconds, nanoseconds } => {
                write!(f, "time offset {clock} {seconds}.{nanoseconds:09} s")
            }
            Step::Root { path, propagation } => write!(f, "root {path}, old tree {propagation}"),
            Step::Mount(mount) => mount.fmt(f),
            Step::Device(d) => {
                write!(
                    f,
                    "device {} {} {}:{} mode {:04o} owner {}:{}",
                    d.path, d.kind, d.major, d.minor, d.mode, d.uid, d.gid
                )
            }
            Step::Link { path, target } => write!(f, "link {path} -> {target}"),
            Step::Hook(hook) => write!(f, "hook {} {}", hook.kind.as_str(), hook.path),
            Step::PivotRoot { new, old } => write!(f, "pivot_root {new} {old}"),
            Step::Hostname(name) => write!(f, "hostname {name}"),
            Step::Domainname(name) => write!(f, "domainname {name}"),
            Step::Sysctl { name, value } => write!(f, "sysctl {name}={value}"),
            Step::Mask(path) => write!(f, "mask {path}"),
            Step::ReadonlyPath(path) => write!(f, "read-only {path}"),
            Step::ReadonlyRoot => f.write_str("read-only /"),
            Step::RootPropagation(p) => write!(f, "propagation of / {p}"),
            Step::Rlimit(l) => {
                write!(f, "rlimit {} soft {} hard {}", rlimit_name(l.resource), Limit(l.soft), Limit(l.hard))
            }
            Step::OomScore(score) => write!(f, "oom score {score}"),
            Step::User { uid, gid, groups, umask } => {
                write!(f, "user {uid}:{gid}")?;
                groups.iter().try_for_each(|group| write!(f, " +{group}"))?;
                umask.map_or(Ok(()), |mask| write!(f, " umask {mask:04o}"))
            }
            Step::Capabilities(c) => write!(
                f,
                "capabilities bounding {:#x} permitted {:#x} effective {:#x} inheritable {:#x} ambient {:#x}",
                c.bounding, c.permitted, c.effective, c.inheritable, c.ambient
            ),
            Step::NoNewPrivileges => f.write_str("no new privileges"),
            Step::Filter(filter) => {
                write!(f, "system-call filter of {} instructions", filter.instructions.len())?;
                filter.flags.iter_names().try_for_each(|(name, _)| write!(f, " {}", Lower(name)))
            }
            Step::WorkingDirectory(path) => write!(f, "working directory {path}"),
            Step::Load { args, .. } => {
                f.write_str("load")?;
                args.iter().try_for_each(|arg| write!(f, " {arg}"))
            }
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            MountSource::FileSystem { kind, .. } => write!(f, "mount {kind} on {}", self.destination)?,
            MountSource::Bind { path, reach, within } => {
                f.write_str(if *reach == Reach::Tree { "rbind " } else { "bind " })?;
                match within {
                    Within::Host => write!(f, "{path} on {}", self.destination)?,
                    Within::Bundle => write!(f, "{path} within the bundle on {}", self.destination)?,
                    Within::Directory(at) => write!(f, "{path:?} within {at} on {}", self.destination)?,
                }
            }
        }
        for (name, _) in self.flags.iter_names() {
            write!(f, " {}", Lower(name))?;
        }
        for (name, _) in self.tree_flags.iter_names() {
            write!(f, " r{}", Lower(name))?;
        }
        for (propagation, reach) in &self.propagation {
            f.write_str(if *reach == Reach::Tree { " r" } else { " " })?;
            propagation.fmt(f)?;
        }
        if self.data.is_empty() { Ok(()) } else { write!(f, " data {}", self.data) }
    }
}

struct Lower(&'static str);
impl fmt::Display for Lower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| f.write_char(c.to_ascii_lowercase()))
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Propagation::Private => "private",
            Propagation::Slave => "slave",
            Propagation::Shared => "shared",
            Propagation::Unbindable => "unbindable",
        })
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Character => "c",
            DeviceKind::Block => "b",
            DeviceKind::Fifo => "p",
        })
    }
}

fn show_resources(f: &mut fmt::Formatter<'_>, r: &Resources) -> fmt::Result {
    let numbers = [
        ("memory", r.memory),
        ("memory reservation", r.memory_reservation),
        ("memory+swap", r.memory_swap),
        ("cpu shares", r.cpu_shares),
        ("cpu quota", r.cpu_quota),
        ("cpu period", r.cpu_period),
        ("pids", r.pids.map(u64::from)),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            write!(f, ", {name} {value}")?;
        }
    }
    for (name, value) in [("cpus", &r.cpus), ("mems", &r.mems)] {
        if let Some(value) = value {
            write!(f, ", {name} {value}")?;
        }
    }
    Ok(())
}

fn show_maps(f: &mut fmt::Formatter<'_>, what: &str, maps: &[IdMap]) -> fmt::Result {
    maps.iter().try_for_each(|m| write!(f, "{what} {}+{} -> {}", m.inside, m.count, m.outside))
}

struct Limit(u64);
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { f.write_str("unlimited") } else { write!(f, "{}", self.0) }
    }
}

/// Names of the limits of setrlimit(2), by their number on x86_64.
pub const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

fn rlimit_name(resource: u8) -> &'static str {
    RLIMITS.get(resource as usize).copied().unwrap_or("RLIMIT_?")
}
