//! What a container may use: memory, processes, CPU time, devices.

use alloc::string::String;
use serde::{Deserialize, Serialize};

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

    /// The period of a CPU quota whose period is not named, in microseconds (`cpu.cfs_period_us` of cgroups(7)).
    pub const CPU_PERIOD: u64 = 100_000;

    /// Thousandths of a CPU's time, rounded up; none if that is not limited.
    pub fn cpu_thousandths(&self) -> Option<u64> {
        let period = self.cpu_period.unwrap_or(Self::CPU_PERIOD).max(1);
        self.cpu_quota.map(|quota| quota.saturating_mul(1000).div_ceil(period))
    }
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
