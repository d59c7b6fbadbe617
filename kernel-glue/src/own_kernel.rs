//! What our own kernel can do: the one list, which its `metal` backend gives and which its steps are held to.

use crate::plan::{DeviceKind, Feature, Features, Namespace};

/// Everything else is refused by name.
pub const FEATURES: Features = Features {
    kernel: "the Bailiwick kernel",
    namespaces: &Namespace::ALL,
    file_systems: &["proc", "sysfs", "tmpfs", "cgroup", "cgroup2", "mqueue", "devpts"],
    features: Feature::MEMORY
        .union(Feature::CPU)
        .union(Feature::PIDS)
        .union(Feature::DEVICE_RULES)
        .union(Feature::TERMINAL)
        .union(Feature::INPUT)
        .union(Feature::RECURSIVE_ATTRIBUTES)
        .union(Feature::HOOKS)
        .union(Feature::TIME_OFFSETS)
        .union(Feature::OOM_SCORE)
        .union(Feature::SECCOMP),
    // All that capabilities(7) lists; those for what the kernel has not got allow nothing.
    capabilities: (1 << 41) - 1,
    sysctls: &["kernel.hostname", "kernel.domainname"],
    devices: &[
        (DeviceKind::Character, 1, 3),
        (DeviceKind::Character, 1, 5),
        (DeviceKind::Character, 1, 7),
        (DeviceKind::Character, 1, 8),
        (DeviceKind::Character, 1, 9),
        (DeviceKind::Character, 5, 0),
        (DeviceKind::Character, 5, 1),
        (DeviceKind::Character, 5, 2),
        (DeviceKind::Fifo, 0, 0),
    ],
};
