//! The resource group: limits and device rules.

use super::devices::DEFAULT_DEVICES;
use super::refuse::{Feature, need};
use crate::oci::{OciDeviceRule, OciDeviceRuleKind, OciLinuxConfig, OciResources};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{DeviceAccess, DeviceKind, DeviceRule, Features, Resources, Step};
use bailiwick_protocol::error::Refusal;

/// The step that makes the group.
pub(super) fn group(linux: &OciLinuxConfig, features: &Features, path: &str) -> Result<Step, Refusal> {
    let path = linux.cgroups_path.clone().unwrap_or_else(|| String::from(path));
    let Some(asked) = linux.resources.as_deref() else {
        return Ok(Step::ResourceGroup { path, resources: Resources::default(), devices: Vec::new() });
    };
    let resources = limits(asked);
    supported(&resources, features)?;
    let devices = device_rules(&asked.devices, features)?;
    Ok(Step::ResourceGroup { path, resources, devices })
}

/// The numbers, with the specification's "-1 is unlimited" and "0 is the default" turned into nothing.
fn limits(asked: &OciResources) -> Resources {
    let bytes = |value: Option<i64>| value.and_then(|bytes| u64::try_from(bytes).ok());
    let positive = |value: Option<u64>| value.filter(|value| *value != 0);
    let memory = asked.memory.as_deref();
    let cpu = asked.cpu.as_deref();
    Resources {
        memory: bytes(memory.and_then(|m| m.limit)),
        memory_reservation: bytes(memory.and_then(|m| m.reservation)),
        memory_swap: bytes(memory.and_then(|m| m.swap)),
        cpu_shares: positive(cpu.and_then(|c| c.shares)),
        cpu_quota: positive(bytes(cpu.and_then(|c| c.quota))),
        cpu_period: positive(cpu.and_then(|c| c.period)),
        cpus: cpu.and_then(|c| c.cpus.clone()),
        mems: cpu.and_then(|c| c.mems.clone()),
        pids: asked.pids.as_ref().and_then(|p| p.limit).and_then(processes),
    }
}

/// A limit of 0 still leaves room for the first process; a limit beyond what can be counted is none.
fn processes(limit: i64) -> Option<u32> {
    u32::try_from(limit).ok().map(|limit| limit.max(1))
}

fn supported(r: &Resources, features: &Features) -> Result<(), Refusal> {
    let places = [
        (r.memory.is_some(), Feature::MEMORY, "memory.limit"),
        (r.memory_reservation.is_some(), Feature::MEMORY, "memory.reservation"),
        (r.memory_swap.is_some(), Feature::SWAP, "memory.swap"),
        (r.cpu_shares.is_some(), Feature::CPU, "cpu.shares"),
        (r.cpu_quota.is_some(), Feature::CPU, "cpu.quota"),
        (r.cpu_period.is_some(), Feature::CPU, "cpu.period"),
        (r.cpus.is_some(), Feature::CPUSET, "cpu.cpus"),
        (r.mems.is_some(), Feature::CPUSET, "cpu.mems"),
        (r.pids.is_some(), Feature::PIDS, "pids.limit"),
    ];
    places
        .into_iter()
        .filter(|(asked, ..)| *asked)
        .try_for_each(|(_, feature, name)| need(features, feature, &alloc::format!("linux.resources.{name}")))
}

/// The configuration's rules and, after them, those for the devices every container has (config-linux.md "Default
/// Devices"): a configuration that denies everything still gets `/dev/null`.
fn device_rules(asked: &[OciDeviceRule], features: &Features) -> Result<Vec<DeviceRule>, Refusal> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    need(features, Feature::DEVICE_RULES, "linux.resources.devices")?;
    let mut rules: Vec<DeviceRule> = asked.iter().map(device_rule).collect();
    rules.extend([DeviceKind::Character, DeviceKind::Block].map(|kind| allow(kind, None, None, "m")));
    rules.extend(
        DEFAULT_DEVICES
            .iter()
            .map(|(_, major, minor)| allow(DeviceKind::Character, Some(*major), Some(*minor), "rwm")),
    );
    // /dev/console, /dev/ptmx and the pseudo-terminals behind it.
    rules.extend(
        [(5, Some(1)), (5, Some(2)), (136, None)]
            .map(|(major, minor)| allow(DeviceKind::Character, Some(major), minor, "rwm")),
    );
    Ok(rules)
}

fn device_rule(rule: &OciDeviceRule) -> DeviceRule {
    let number = |value: Option<i64>| value.and_then(|number| u32::try_from(number).ok());
    DeviceRule {
        access: rule.allow.0,
        kind: match rule.kind {
            None | Some(OciDeviceRuleKind::All) => None,
            Some(OciDeviceRuleKind::Character) => Some(DeviceKind::Character),
            Some(OciDeviceRuleKind::Block) => Some(DeviceKind::Block),
        },
        major: number(rule.major),
        minor: number(rule.minor),
        letters: rule.access.clone().unwrap_or_else(|| String::from("rwm")),
    }
}

fn allow(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, letters: &str) -> DeviceRule {
    DeviceRule { access: DeviceAccess::Allow, kind: Some(kind), major, minor, letters: String::from(letters) }
}
