//! `linux`: namespaces, ids, devices and the rest of config-linux.md. Limits are in [`super::resources`], the
//! system-call filter in [`super::seccomp`].

use super::error::ConfigError;
use super::mount::propagation;
use super::read::{Field, Read, spec_object, spec_words};
use super::resources::OciResources;
use super::seccomp::OciSeccomp;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{Namespace, Propagation, Reach};

spec_object! {
    /// `linux`: the Linux part of a configuration.
    OciLinuxConfig or Default {
        /// Namespaces that are not the server's own.
        namespaces: Vec<OciNamespace> = "namespaces",
        /// Users of a new user namespace.
        uid_mappings: Vec<OciIdMapping> = "uidMappings",
        /// Groups of a new user namespace.
        gid_mappings: Vec<OciIdMapping> = "gidMappings",
        /// Clock offsets of a new time namespace, by clock (`monotonic`, `boottime`).
        time_offsets: BTreeMap<String, OciTimeOffset> = "timeOffsets",
        /// Devices to be made beside the default ones.
        devices: Vec<OciDevice> = "devices",
        /// Network devices of the host to be moved inside, by their name on the host.
        net_devices: BTreeMap<String, OciNetDevice> = "netDevices",
        /// Where the container's cgroup is.
        cgroups_path: Option<String> = "cgroupsPath",
        /// Limits.
        resources: Option<Box<OciResources>> = "resources",
        /// Kernel parameters, by name.
        sysctl: BTreeMap<String, String> = "sysctl",
        /// System-call filter.
        seccomp: Option<Box<OciSeccomp>> = "seccomp",
        /// Propagation of the root mount.
        rootfs_propagation: Option<OciRootfsPropagation> = "rootfsPropagation",
        /// Paths that cannot be read inside.
        masked_paths: Vec<String> = "maskedPaths",
        /// Paths that cannot be written inside.
        readonly_paths: Vec<String> = "readonlyPaths",
        /// SELinux context of the mounts.
        mount_label: Option<String> = "mountLabel",
        /// Intel Resource Director Technology.
        intel_rdt: Option<Box<OciIntelRdt>> = "intelRdt",
        /// Execution domain (personality(2)).
        personality: Option<Box<OciPersonality>> = "personality",
        /// NUMA memory policy (set_mempolicy(2)).
        memory_policy: Option<Box<OciMemoryPolicy>> = "memoryPolicy",
    }
}

impl OciLinuxConfig {
    /// The namespace of this kind, if the configuration names one.
    pub fn namespace(&self, kind: OciNamespaceKind) -> Option<&OciNamespace> {
        self.namespaces.iter().find(|namespace| namespace.kind == kind)
    }
    /// Whether there is to be a new namespace of this kind, not one that is there already.
    pub fn is_new(&self, kind: OciNamespaceKind) -> bool {
        self.namespace(kind).is_some_and(|namespace| namespace.path.is_none())
    }
    /// `resources.memory.limit` in bytes; none if unlimited.
    pub fn memory_limit(&self) -> Option<u64> {
        let limit = self.resources.as_ref()?.memory.as_ref()?.limit?;
        u64::try_from(limit).ok()
    }
    /// `resources.cpu.shares`; 1,024 if the configuration says nothing, as cgroups(7) has it.
    pub fn cpu_shares(&self) -> u64 {
        self.cpu(|cpu| cpu.shares).filter(|shares| *shares != 0).unwrap_or(1024)
    }
    /// `resources.cpu.quota` in microseconds a period; none if unlimited.
    pub fn cpu_quota(&self) -> Option<u64> {
        self.cpu(|cpu| cpu.quota).and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota != 0)
    }
    /// `resources.cpu.period` in microseconds; 100,000 if the configuration says nothing.
    pub fn cpu_period(&self) -> u64 {
        self.cpu(|cpu| cpu.period).filter(|period| *period != 0).unwrap_or(100_000)
    }
    fn cpu<T>(&self, get: impl Fn(&super::resources::OciCpu) -> Option<T>) -> Option<T> {
        self.resources.as_ref()?.cpu.as_ref().and_then(|cpu| get(cpu))
    }
}

spec_words! {
    /// Kinds of namespace.
    OciNamespaceKind {
        /// Process numbers.
        Pid = "pid",
        /// Network devices, addresses, sockets.
        Network = "network",
        /// Mounts.
        Mount = "mount",
        /// System V IPC, POSIX message queues.
        Ipc = "ipc",
        /// Host and domain name.
        Uts = "uts",
        /// Users and groups.
        User = "user",
        /// Root of the cgroup tree.
        Cgroup = "cgroup",
        /// Boot-time and monotonic clocks.
        Time = "time",
    }
}

impl OciNamespaceKind {
    /// The kind for a word of the specification, if it is one.
    pub fn from_str_kind(word: &str) -> Option<Self> {
        OciNamespaceKind::from_word(word)
    }
}

impl From<OciNamespaceKind> for Namespace {
    fn from(kind: OciNamespaceKind) -> Self {
        match kind {
            OciNamespaceKind::Pid => Namespace::Pid,
            OciNamespaceKind::Network => Namespace::Network,
            OciNamespaceKind::Mount => Namespace::Mount,
            OciNamespaceKind::Ipc => Namespace::Ipc,
            OciNamespaceKind::Uts => Namespace::Uts,
            OciNamespaceKind::User => Namespace::User,
            OciNamespaceKind::Cgroup => Namespace::Cgroup,
            OciNamespaceKind::Time => Namespace::Time,
        }
    }
}

spec_object! {
    /// One of `linux.namespaces`.
    OciNamespace {
        /// Its kind.
        kind: OciNamespaceKind = "type",
        /// The existing one it is, as an absolute path of the host; none for a new one.
        path: Option<String> = "path",
    }
}

spec_object! {
    /// A range of ids, inside and outside (user_namespaces(7)).
    OciIdMapping {
        /// First id inside.
        container_id: u32 = "containerID",
        /// First id outside.
        host_id: u32 = "hostID",
        /// How many.
        size: u32 = "size",
    }
}

spec_object! {
    /// One of `linux.timeOffsets`.
    OciTimeOffset {
        /// Seconds.
        secs: Option<i64> = "secs",
        /// Nanoseconds on top, below 10⁹.
        nanosecs: Option<u32> = "nanosecs",
    }
}

spec_object! {
    /// One of `linux.devices`.
    OciDevice {
        /// What it is.
        kind: OciDeviceKind = "type",
        /// Where, absolute inside the container.
        path: String = "path",
        /// Major number; only a pipe has none.
        major: Option<u32> = "major",
        /// Minor number; only a pipe has none.
        minor: Option<u32> = "minor",
        /// File mode. Some generators include the bits for the type; they mean nothing.
        file_mode: Option<u32> = "fileMode",
        /// Owner inside the container.
        uid: Option<u32> = "uid",
        /// Group inside the container.
        gid: Option<u32> = "gid",
    }
}

spec_words! {
    /// `linux.devices[].type` (mknod(1)).
    OciDeviceKind {
        /// Character device.
        Character = "c",
        /// Block device.
        Block = "b",
        /// Unbuffered character device: on Linux the same as `c`.
        Unbuffered = "u",
        /// Named pipe.
        Fifo = "p",
    }
}

spec_object! {
    /// One of `linux.netDevices`.
    OciNetDevice {
        /// Its name inside; none keeps the host's.
        name: Option<String> = "name",
    }
}

/// `linux.rootfsPropagation`: one of the propagation words, with or without `r`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OciRootfsPropagation {
    /// How mount events travel.
    pub propagation: Propagation,
    /// Whether the mounts below are meant as well.
    pub reach: Reach,
}

impl Read for OciRootfsPropagation {
    const EMPTY_IS_ABSENT: bool = true;
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        let (propagation, reach) = propagation(field.text()?).ok_or_else(|| {
            field.fault(
                "is none of private, slave, shared, unbindable, rprivate, rslave, rshared, runbindable",
            )
        })?;
        Ok(OciRootfsPropagation { propagation, reach })
    }
}

spec_object! {
    /// `linux.intelRdt`.
    OciIntelRdt {
        /// Class of service; none stands for the container's id.
        clos_id: Option<String> = "closID",
        /// Lines for the `schemata` file of the class.
        schemata: Vec<String> = "schemata",
        /// Its cache line, written before.
        l3_cache_schema: Option<String> = "l3CacheSchema",
        /// Its memory-bandwidth line, written before.
        mem_bw_schema: Option<String> = "memBwSchema",
        /// Whether the container gets a monitoring group of its own.
        enable_monitoring: bool = "enableMonitoring",
        /// Cache monitoring, in documents before 1.3.
        enable_cmt: bool = "enableCMT",
        /// Memory-bandwidth monitoring, in documents before 1.3.
        enable_mbm: bool = "enableMBM",
    }
}

spec_object! {
    /// `linux.personality`.
    OciPersonality {
        /// The domain.
        domain: OciPersonalityDomain = "domain",
        /// Flags: the specification has none yet.
        flags: Vec<String> = "flags",
    }
}

spec_words! {
    /// `linux.personality.domain`.
    OciPersonalityDomain {
        /// The kernel's own.
        Linux = "LINUX",
        /// 32 bits: uname(2) shows `i686`.
        Linux32 = "LINUX32",
    }
}

spec_object! {
    /// `linux.memoryPolicy`.
    OciMemoryPolicy {
        /// The mode.
        mode: OciMemoryPolicyMode = "mode",
        /// Memory nodes, as a list such as `0-3,7`.
        nodes: Option<String> = "nodes",
        /// Flags of the mode.
        flags: Vec<OciMemoryPolicyFlag> = "flags",
    }
}

spec_words! {
    /// `linux.memoryPolicy.mode`.
    OciMemoryPolicyMode {
        /// The system's policy.
        Default = "MPOL_DEFAULT",
        /// Only these nodes.
        Bind = "MPOL_BIND",
        /// These nodes in turns.
        Interleave = "MPOL_INTERLEAVE",
        /// These nodes in turns, by weight.
        WeightedInterleave = "MPOL_WEIGHTED_INTERLEAVE",
        /// This node first.
        Preferred = "MPOL_PREFERRED",
        /// These nodes first.
        PreferredMany = "MPOL_PREFERRED_MANY",
        /// The node of the CPU.
        Local = "MPOL_LOCAL",
    }
}

spec_words! {
    /// One of `linux.memoryPolicy.flags`.
    OciMemoryPolicyFlag {
        /// NUMA balancing stays on.
        NumaBalancing = "MPOL_F_NUMA_BALANCING",
        /// Nodes count within those allowed.
        RelativeNodes = "MPOL_F_RELATIVE_NODES",
        /// Nodes are physical ones.
        StaticNodes = "MPOL_F_STATIC_NODES",
    }
}
