//! What is written into a resource group, and what is read from it.

use super::cgroup::{Group, Version, field};
use super::fault::Outcome;
use crate::plan::{DeviceAccess, DeviceKind, DeviceRule, Resources};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::message::{Nanos, Statistics};

/// What version 1 shows for "no limit": the largest multiple of a page, or more.
const UNLIMITED: u64 = 1 << 62;

/// Sets every limit that is given, then the device rules in their order.
pub(super) fn apply(group: &Group, resources: &Resources, devices: &[DeviceRule]) -> Outcome<()> {
    memory(group, resources)?;
    cpu(group, resources)?;
    for (file, value) in [("cpuset.cpus", &resources.cpus), ("cpuset.mems", &resources.mems)] {
        if let Some(value) = value {
            group.write("cpuset", file, value)?;
        }
    }
    if let Some(pids) = resources.pids {
        group.write("pids", "pids.max", &pids.to_string())?;
    }
    devices.iter().try_for_each(|rule| device_rule(group, rule))
}

fn memory(group: &Group, r: &Resources) -> Outcome<()> {
    let (limit, reservation) = match group.version("memory") {
        Some(Version::Two) => ("memory.max", "memory.low"),
        _ => ("memory.limit_in_bytes", "memory.soft_limit_in_bytes"),
    };
    if let Some(bytes) = r.memory {
        group.write("memory", limit, &bytes.to_string())?;
    }
    if let Some(bytes) = r.memory_reservation {
        group.write("memory", reservation, &bytes.to_string())?;
    }
    match (r.memory_swap, group.version("memory")) {
        (None, _) => Ok(()),
        // Version 2 counts swap alone, the configuration memory and swap together.
        (Some(both), Some(Version::Two)) => {
            let swap = both.saturating_sub(r.memory.unwrap_or(0));
            group.write("memory", "memory.swap.max", &swap.to_string())
        }
        (Some(both), _) => group.write("memory", "memory.memsw.limit_in_bytes", &both.to_string()),
    }
}

fn cpu(group: &Group, r: &Resources) -> Outcome<()> {
    if group.version("cpu") == Some(Version::Two) {
        if let Some(shares) = r.cpu_shares {
            group.write("cpu", "cpu.weight", &weight(shares).to_string())?;
        }
        return match (r.cpu_quota, r.cpu_period) {
            (None, None) => Ok(()),
            (quota, period) => {
                let quota = quota.map_or_else(|| "max".to_string(), |q| q.to_string());
                group.write("cpu", "cpu.max", &format!("{quota} {}", period.unwrap_or(100_000)))
            }
        };
    }
    // The period first: the quota is checked against it.
    for (file, value) in
        [("cpu.shares", r.cpu_shares), ("cpu.cfs_period_us", r.cpu_period), ("cpu.cfs_quota_us", r.cpu_quota)]
    {
        if let Some(value) = value {
            group.write("cpu", file, &value.to_string())?;
        }
    }
    Ok(())
}

/// Version 2's weight (1 to 10,000) for version 1's shares (2 to 262,144), as every OCI runtime converts it.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn device_rule(group: &Group, rule: &DeviceRule) -> Outcome<()> {
    let file = match rule.access {
        DeviceAccess::Allow => "devices.allow",
        DeviceAccess::Deny => "devices.deny",
    };
    rule_lines(rule).iter().try_for_each(|line| group.write("devices", file, line))
}

fn rule_lines(rule: &DeviceRule) -> Vec<String> {
    let all = |n: Option<u32>| n.map_or_else(|| "*".to_string(), |n| n.to_string());
    let numbers = format!("{}:{}", all(rule.major), all(rule.minor));
    let line = |kind: &str| format!("{kind} {numbers} {}", rule.letters);
    match rule.kind {
        Some(DeviceKind::Character) => [line("c")].into(),
        Some(DeviceKind::Block) => [line("b")].into(),
        // The kernel has no rules about pipes.
        Some(DeviceKind::Fifo) => Vec::new(),
        None if numbers == "*:*" && rule.letters.len() == 3 => [line("a")].into(),
        None => [line("b"), line("c")].into(),
    }
}

/// What the group has used and uses. What a controller does not tell stays 0.
pub(super) fn statistics(group: &Group) -> Statistics {
    let number = |controller: &str, one: &str, two: &str| {
        let file = if group.version(controller) == Some(Version::Two) { two } else { one };
        group.read(controller, file).ok().and_then(|text| text.trim().parse::<u64>().ok())
    };
    let limit = |n: Option<u64>| n.filter(|n| *n < UNLIMITED);
    Statistics {
        memory: number("memory", "memory.usage_in_bytes", "memory.current").unwrap_or(0),
        memory_peak: number("memory", "memory.max_usage_in_bytes", "memory.peak").unwrap_or(0),
        memory_limit: limit(number("memory", "memory.limit_in_bytes", "memory.max")),
        cpu: Nanos(cpu_time(group)),
        pids: number("pids", "pids.current", "pids.current").map_or(0, saturate),
        pids_limit: number("pids", "pids.max", "pids.max").map(saturate),
        oom_kills: saturate(group.memory_kills()),
        unknown_calls: 0,
    }
}

fn saturate(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn cpu_time(group: &Group) -> u64 {
    match group.version("cpuacct") {
        Some(Version::One) => {
            group.read("cpuacct", "cpuacct.usage").ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
        }
        _ => {
            let stat = group.read("cpuacct", "cpu.stat").unwrap_or_default();
            field(&stat, "usage_usec").unwrap_or(0).saturating_mul(1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn rule(kind: Option<DeviceKind>, major: Option<u32>, letters: &str) -> DeviceRule {
        DeviceRule { access: DeviceAccess::Allow, kind, major, minor: None, letters: letters.to_string() }
    }

    #[test]
    fn a_rule_for_both_kinds_is_two_lines_unless_it_is_about_everything() {
        assert_eq!(rule_lines(&rule(None, None, "rwm")), vec!["a *:* rwm"]);
        assert_eq!(rule_lines(&rule(None, None, "r")), vec!["b *:* r", "c *:* r"]);
        assert_eq!(rule_lines(&rule(Some(DeviceKind::Character), Some(1), "rw")), vec!["c 1:* rw"]);
    }

    #[test]
    fn the_ends_of_shares_become_the_ends_of_weight() {
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
        assert_eq!((weight(0), weight(u64::MAX)), (1, 10_000));
    }
}
