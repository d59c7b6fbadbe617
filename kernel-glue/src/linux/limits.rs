//! What is written into a resource group, and what is read from it.

use super::cgroup::{Group, Version, field};
use super::fault::{Fault, Outcome};
use crate::plan::{DeviceAccess, DeviceKind, DeviceRule, Resources};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Nanos, Statistics};

/// What version 1 shows for "no limit": the largest multiple of a page, or more.
const UNLIMITED: u64 = 1 << 62;

/// One file of a controller, and what is to be in it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Setting {
    controller: &'static str,
    file: &'static str,
    value: String,
}

/// Sets every limit that is given, then the device rules in their order.
pub(super) fn apply(group: &Group, resources: &Resources, devices: &[DeviceRule]) -> Outcome<()> {
    let versions = ["memory", "cpu"].map(|controller| group.version(controller));
    settings(versions, resources)
        .iter()
        .try_for_each(|setting| group.write(setting.controller, setting.file, &setting.value))?;
    devices.iter().try_for_each(|rule| device_rule(group, rule))
}

/// Changes the limits that differ; if one is refused, those before it go back to what they were.
pub(super) fn update(group: &Group, from: &Resources, to: &Resources) -> Outcome<()> {
    let versions = ["memory", "cpu"].map(|controller| group.version(controller));
    if let (Some(Version::Two), Some(limit)) = (group.version("memory"), to.memory) {
        fits_what_cannot_be_reclaimed(group, limit)?;
    }
    let mut undo: Vec<(Setting, String)> = Vec::new();
    for setting in changes(versions, from, to) {
        let before = group.read(setting.controller, setting.file).unwrap_or_default();
        if let Err(fault) = group.write(setting.controller, setting.file, &setting.value) {
            for (setting, before) in undo.into_iter().rev() {
                // What was there a moment ago is taken again.
                let _ = group.write(setting.controller, setting.file, before.trim());
            }
            return Err(fault);
        }
        undo.push((setting, before));
    }
    Ok(())
}

/// Version 1 refuses a limit that reclaiming cannot reach; version 2 takes it and kills. The memory of processes is
/// what cannot be reclaimed: a limit below that is refused here as well.
fn fits_what_cannot_be_reclaimed(group: &Group, limit: u64) -> Outcome<()> {
    let stat = group.read("memory", "memory.stat").unwrap_or_default();
    let used = field(&stat, "anon").unwrap_or(0);
    if used <= limit {
        return Ok(());
    }
    Err(Fault::new(Errno::EBUSY, format!("limit memory to {limit}: {used} bytes are in use by processes")))
}

/// What there is to be written, in an order in which each step is possible: the limit of memory and swap together is
/// never below that of memory alone, and the share of CPU time never larger than both the old and the new one.
fn changes(versions: [Option<Version>; 2], from: &Resources, to: &Resources) -> Vec<Setting> {
    let (old, new) = (settings(versions, from), settings(versions, to));
    let gone = old.iter().filter(|old| new.iter().all(|new| new.file != old.file));
    let gone: Vec<Setting> = gone.filter_map(Setting::lifted).collect();
    let mut changed: Vec<Setting> = new.into_iter().filter(|new| !old.contains(new)).chain(gone).collect();
    let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let period = |r: &Resources| r.cpu_period.unwrap_or(Resources::CPU_PERIOD);
    let (more, longer) = (most(to.memory) > most(from.memory), period(to) > period(from));
    changed.sort_by_key(|setting| match setting.file {
        "memory.memsw.limit_in_bytes" => {
            if more {
                3
            } else {
                5
            }
        }
        "cpu.cfs_period_us" => {
            if longer {
                0
            } else {
                2
            }
        }
        "cpu.cfs_quota_us" => 1,
        _ if setting.controller == "memory" => 4,
        _ => 0,
    });
    changed
}

impl Setting {
    /// The same without a limit; none where what was set stays.
    fn lifted(&self) -> Option<Setting> {
        let value = match self.file {
            "memory.max" | "memory.swap.max" | "cpu.max" | "pids.max" => "max",
            "memory.low" => "0",
            "cpu.shares" => "1024",
            "cpu.weight" => "100",
            "cpu.cfs_period_us" => "100000",
            "cpuset.cpus" | "cpuset.mems" => return None,
            _ => "-1",
        };
        Some(Setting { value: value.to_string(), ..self.clone() })
    }
}

/// The files for these limits, where `versions` are those of the memory and the cpu controller.
fn settings([memory_version, cpu_version]: [Option<Version>; 2], r: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    memory(memory_version, r, &mut settings);
    cpu(cpu_version, r, &mut settings);
    let others = [
        ("cpuset", "cpuset.cpus", r.cpus.clone()),
        ("cpuset", "cpuset.mems", r.mems.clone()),
        ("pids", "pids.max", r.pids.map(|pids| pids.to_string())),
    ];
    add(&mut settings, others);
    settings
}

fn add(
    settings: &mut Vec<Setting>,
    files: impl IntoIterator<Item = (&'static str, &'static str, Option<String>)>,
) {
    let setting = |(controller, file, value): (_, _, Option<String>)| {
        value.map(|value| Setting { controller, file, value })
    };
    settings.extend(files.into_iter().filter_map(setting));
}

fn memory(version: Option<Version>, r: &Resources, settings: &mut Vec<Setting>) {
    let text = |bytes: Option<u64>| bytes.map(|bytes| bytes.to_string());
    let (memory, reservation) = (text(r.memory), text(r.memory_reservation));
    match version {
        Some(Version::Two) => {
            // Version 2 counts swap alone, the configuration memory and swap together.
            let swap = r.memory_swap.map(|both| both.saturating_sub(r.memory.unwrap_or(0)));
            add(
                settings,
                [
                    ("memory", "memory.max", memory),
                    ("memory", "memory.low", reservation),
                    ("memory", "memory.swap.max", text(swap)),
                ],
            );
        }
        _ => add(
            settings,
            [
                ("memory", "memory.limit_in_bytes", memory),
                ("memory", "memory.soft_limit_in_bytes", reservation),
                ("memory", "memory.memsw.limit_in_bytes", text(r.memory_swap)),
            ],
        ),
    }
}

fn cpu(version: Option<Version>, r: &Resources, settings: &mut Vec<Setting>) {
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    if version == Some(Version::Two) {
        let period = r.cpu_period.unwrap_or(Resources::CPU_PERIOD);
        let quota = text(r.cpu_quota).unwrap_or_else(|| "max".to_string());
        let max = (r.cpu_quota.is_some() || r.cpu_period.is_some()).then(|| format!("{quota} {period}"));
        let weight = text(r.cpu_shares.map(weight));
        return add(settings, [("cpu", "cpu.weight", weight), ("cpu", "cpu.max", max)]);
    }
    // The period first: the quota is checked against it.
    add(
        settings,
        [
            ("cpu", "cpu.shares", text(r.cpu_shares)),
            ("cpu", "cpu.cfs_period_us", text(r.cpu_period)),
            ("cpu", "cpu.cfs_quota_us", text(r.cpu_quota)),
        ],
    );
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
        cpu_limit: cpu_limit(group),
        pids: number("pids", "pids.current", "pids.current").map_or(0, saturate),
        pids_limit: number("pids", "pids.max", "pids.max").map(saturate),
        oom_kills: saturate(group.memory_kills()),
        unknown_calls: 0,
    }
}

fn cpu_limit(group: &Group) -> Option<u64> {
    let (quota, period) = match group.version("cpu") {
        Some(Version::Two) => {
            let both = group.read("cpu", "cpu.max").ok()?;
            let (quota, period) = both.trim().split_once(' ')?;
            (quota.parse().ok(), period.parse().ok())
        }
        _ => {
            let read = |file| group.read("cpu", file).ok()?.trim().parse::<u64>().ok();
            (read("cpu.cfs_quota_us"), read("cpu.cfs_period_us"))
        }
    };
    Resources { cpu_quota: quota, cpu_period: period, ..Resources::UNLIMITED }.cpu_thousandths()
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
    fn limits_change_in_an_order_in_which_each_step_is_possible() {
        let limits = |memory, swap, quota, period| Resources {
            memory,
            memory_swap: swap,
            cpu_quota: quota,
            cpu_period: period,
            pids: Some(5),
            ..Resources::UNLIMITED
        };
        let (small, large) =
            (limits(Some(10), Some(20), Some(1), Some(2)), limits(Some(30), Some(30), Some(7), Some(9)));
        let files = |from: &Resources, to: &Resources| {
            changes([Some(Version::One); 2], from, to)
                .into_iter()
                .map(|s| format!("{} {}", s.file, s.value))
                .collect::<Vec<_>>()
        };
        let (memory, both) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
        let (quota, period) = ("cpu.cfs_quota_us", "cpu.cfs_period_us");
        let up = [(period, "9"), (quota, "7"), (both, "30"), (memory, "30")];
        let down = [(quota, "1"), (period, "2"), (memory, "10"), (both, "20")];
        assert_eq!(files(&small, &large), up.map(|(file, value)| format!("{file} {value}")));
        assert_eq!(files(&large, &small), down.map(|(file, value)| format!("{file} {value}")));
        let lifted = Resources { pids: None, ..large.clone() };
        assert_eq!(files(&large, &lifted), ["pids.max max"]);
        assert!(files(&large, &large).is_empty());
    }

    #[test]
    fn the_ends_of_shares_become_the_ends_of_weight() {
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
        assert_eq!((weight(0), weight(u64::MAX)), (1, 10_000));
    }
}
