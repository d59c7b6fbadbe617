//! `linux.resources`: limits of the container's cgroup (config-linux.md "Control groups"). The same object alone is
//! what `update` takes.

use super::error::ConfigError;
use super::read::{Field, Read, spec_object, spec_words};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::DeviceAccess;

spec_object! {
    /// `linux.resources`.
    OciResources or Default {
        /// Rules on devices; later ones win.
        devices: Vec<OciDeviceRule> = "devices",
        /// Memory.
        memory: Option<Box<OciMemory>> = "memory",
        /// CPU time.
        cpu: Option<Box<OciCpu>> = "cpu",
        /// Number of processes.
        pids: Option<OciPids> = "pids",
        /// Block devices.
        block_io: Option<Box<OciBlockIo>> = "blockIO",
        /// Huge pages, by page size.
        hugepage_limits: Vec<OciHugepageLimit> = "hugepageLimits",
        /// Network traffic.
        network: Option<Box<OciNetwork>> = "network",
        /// RDMA devices, by name.
        rdma: BTreeMap<String, OciRdma> = "rdma",
        /// Files of cgroup v2 and what is written into them, by name.
        unified: BTreeMap<String, String> = "unified",
    }
}

spec_object! {
    /// One of `linux.resources.devices`.
    OciDeviceRule {
        /// Whether it allows or denies.
        allow: OciDeviceAllow = "allow",
        /// Kind of device; none means all.
        kind: Option<OciDeviceRuleKind> = "type",
        /// Major number; none and -1 mean all.
        major: Option<i64> = "major",
        /// Minor number; none and -1 mean all.
        minor: Option<i64> = "minor",
        /// Letters of `rwm`: read, write, mknod. None means all three.
        access: Option<String> = "access",
    }
}

/// `allow` of a device rule: a word instead of a bare truth value, and it must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OciDeviceAllow(pub DeviceAccess);

impl Read for OciDeviceAllow {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        bool::read(field)
            .map(|allow| OciDeviceAllow(if allow { DeviceAccess::Allow } else { DeviceAccess::Deny }))
    }
}

spec_words! {
    /// Kind of device of a rule.
    OciDeviceRuleKind {
        /// All.
        All = "a",
        /// Character devices.
        Character = "c",
        /// Block devices.
        Block = "b",
    }
}

spec_object! {
    /// `linux.resources.memory`, in bytes; -1 is unlimited.
    OciMemory or Default {
        /// Hard limit.
        limit: Option<i64> = "limit",
        /// Below this, memory is reclaimed last.
        reservation: Option<i64> = "reservation",
        /// Hard limit of memory and swap together.
        swap: Option<i64> = "swap",
        /// Hard limit of kernel memory; deprecated.
        kernel: Option<i64> = "kernel",
        /// Hard limit of TCP buffers; deprecated.
        kernel_tcp: Option<i64> = "kernelTCP",
        /// Readiness to swap, 0 to 100.
        swappiness: Option<u64> = "swappiness",
        /// Whether processes wait for memory instead of being killed.
        disable_oom_killer: bool = "disableOOMKiller",
        /// Whether children are charged to their parents; cgroup v1 only.
        use_hierarchy: bool = "useHierarchy",
        /// Whether an update that would kill is refused.
        check_before_update: bool = "checkBeforeUpdate",
    }
}

spec_object! {
    /// `linux.resources.cpu`.
    OciCpu or Default {
        /// Relative share, as cgroup v1 counts: up to 262,144; 0 is the default.
        shares: Option<u64> = "shares",
        /// Microseconds in each period; -1 is unlimited.
        quota: Option<i64> = "quota",
        /// Microseconds that may be saved up for later.
        burst: Option<u64> = "burst",
        /// Microseconds of a period, 1,000 to 1,000,000.
        period: Option<u64> = "period",
        /// Microseconds for real-time processes in each real-time period.
        realtime_runtime: Option<i64> = "realtimeRuntime",
        /// Microseconds of a real-time period.
        realtime_period: Option<u64> = "realtimePeriod",
        /// CPUs, as a list such as `0-3,7`.
        cpus: Option<String> = "cpus",
        /// Memory nodes, as such a list.
        mems: Option<String> = "mems",
        /// 1 lets it run only when nothing else does.
        idle: Option<i64> = "idle",
    }
}

spec_object! {
    /// `linux.resources.pids`.
    OciPids {
        /// Most processes; -1 is unlimited.
        limit: Option<i64> = "limit",
    }
}

spec_object! {
    /// `linux.resources.blockIO`.
    OciBlockIo or Default {
        /// Relative share, 10 to 1,000.
        weight: Option<u16> = "weight",
        /// The same against the group's own children; cgroup v1 only.
        leaf_weight: Option<u16> = "leafWeight",
        /// The shares by device.
        weight_device: Vec<OciWeightDevice> = "weightDevice",
        /// Bytes read a second.
        throttle_read_bps_device: Vec<OciThrottleDevice> = "throttleReadBpsDevice",
        /// Bytes written a second.
        throttle_write_bps_device: Vec<OciThrottleDevice> = "throttleWriteBpsDevice",
        /// Reads a second.
        throttle_read_iops_device: Vec<OciThrottleDevice> = "throttleReadIOPSDevice",
        /// Writes a second.
        throttle_write_iops_device: Vec<OciThrottleDevice> = "throttleWriteIOPSDevice",
    }
}

spec_object! {
    /// One of `weightDevice`.
    OciWeightDevice {
        /// Major number.
        major: u32 = "major",
        /// Minor number.
        minor: u32 = "minor",
        /// Relative share, 10 to 1,000.
        weight: Option<u16> = "weight",
        /// The same against the group's own children.
        leaf_weight: Option<u16> = "leafWeight",
    }
}

spec_object! {
    /// One of the throttled devices.
    OciThrottleDevice {
        /// Major number.
        major: u32 = "major",
        /// Minor number.
        minor: u32 = "minor",
        /// Bytes or operations a second.
        rate: u64 = "rate",
    }
}

spec_object! {
    /// One of `linux.resources.hugepageLimits`.
    OciHugepageLimit {
        /// Page size, such as `2MB`.
        page_size: String = "pageSize",
        /// Bytes.
        limit: u64 = "limit",
    }
}

spec_object! {
    /// `linux.resources.network`; cgroup v1 only.
    OciNetwork or Default {
        /// Class of the traffic.
        class_id: Option<u32> = "classID",
        /// Priorities by interface.
        priorities: Vec<OciInterfacePriority> = "priorities",
    }
}

spec_object! {
    /// One of `linux.resources.network.priorities`.
    OciInterfacePriority {
        /// The interface.
        name: String = "name",
        /// Its priority.
        priority: u32 = "priority",
    }
}

spec_object! {
    /// One of `linux.resources.rdma`.
    OciRdma {
        /// Handles.
        hca_handles: Option<u32> = "hcaHandles",
        /// Objects.
        hca_objects: Option<u32> = "hcaObjects",
    }
}
