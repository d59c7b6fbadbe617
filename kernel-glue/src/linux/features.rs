//! What this host can do, as the planner wants to know it.

use super::cgroup::Hierarchies;
use crate::plan::{Feature, Features, Namespace};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Kernel parameters that belong to an IPC or network namespace (`sysctl` of config-linux.md).
const SYSCTLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "fs.mqueue.",
    "net.",
];

/// Looks once; what it finds lives as long as the process. `status` is this process's `/proc/self/status`.
pub(super) fn of(hierarchies: &Hierarchies, status: &str) -> Features {
    let namespaces: Vec<Namespace> = Namespace::ALL
        .into_iter()
        .filter(|kind| std::path::Path::new("/proc/self/ns").join(kind.proc_name()).exists())
        .collect();
    let mut all =
        Feature::HOOKS | Feature::OOM_SCORE | Feature::RECURSIVE_ATTRIBUTES | hierarchies.features();
    all |= Feature::TERMINAL | Feature::TERMINAL_SIZE | Feature::INPUT;
    if namespaces.contains(&Namespace::Time) {
        all |= Feature::TIME_OFFSETS;
    }
    if std::path::Path::new("/proc/sys/kernel/seccomp").exists() {
        all |= Feature::SECCOMP;
    }
    Features {
        kernel: "Linux",
        namespaces: Box::leak(namespaces.into_boxed_slice()),
        file_systems: file_systems(),
        features: all,
        capabilities: capabilities(status),
        sysctls: SYSCTLS,
        devices: &[],
    }
}

/// What can be given is what this process may have at all: its bounding set within its permitted set.
fn capabilities(status: &str) -> u64 {
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
    };
    set("CapBnd:") & set("CapPrm:")
}

/// The kernel's list, and those that it loads on demand.
fn file_systems() -> &'static [&'static str] {
    let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut names: Vec<String> =
        list.lines().filter_map(|line| line.split('\t').nth(1)).map(ToString::to_string).collect();
    names.push("cgroup".to_string());
    names.push("overlay".to_string());
    names.sort();
    names.dedup();
    let names: Vec<&'static str> = names.into_iter().map(|name| &*Box::leak(name.into_boxed_str())).collect();
    Box::leak(names.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_the_server_could_not_regain_is_not_offered() {
        let status = "CapPrm:\t00000000000000ff\nCapBnd:\t000000000000000f\n";
        assert_eq!(capabilities(status), 0xf);
    }
}
