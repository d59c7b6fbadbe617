//! The resource group: limits and device rules.

use super::devices::DEFAULT_DEVICES;
use super::refuse::{self, Feature, need};
use super::unsupported;
use crate::oci::{OciDeviceRule, OciDeviceRuleKind, OciLinuxConfig, OciPids, OciResources};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{DeviceAccess, DeviceKind, DeviceRule, Features, Resources, Step};
use bailiwick_protocol::error::{Refusal, RefusalCode};

/// The step that makes the group. Its path is empty if the configuration names none.
pub(super) fn group(linux: &OciLinuxConfig, features: &Features) -> Result<Step, Refusal> {
    let path = linux.cgroups_path.clone().unwrap_or_default();
    let Some(asked) = linux.resources.as_deref() else {
        return Ok(Step::ResourceGroup { path, resources: Resources::default(), devices: Vec::new() });
    };
    let resources = limits(asked);
    supported(&resources, features, |name| unsupported(format_args!("linux.resources.{name}")))?;
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

/// The limits of a container that has `now`, once they are changed as `asked`: what is not asked for stays, and 0 of memory
/// or CPU time asks for nothing.
///
/// # Errors
/// [`RefusalCode::Unsupported`] for what this kernel cannot limit or a container has from its creation on,
/// [`RefusalCode::BadConfig`] if the outcome makes no sense; with the place in the document.
pub fn update(asked: &OciResources, now: &Resources, features: &Features) -> Result<Resources, Refusal> {
    let place = |name: &str| alloc::format!("resources.json: {name}");
    let no = |name: &str| Refusal::new(RefusalCode::Unsupported, place(name));
    refuse::resources(asked, no)?;
    if !asked.devices.is_empty() {
        return Err(no("devices: a container keeps the rules it was made with"));
    }
    let given = limits(asked);
    supported(&given, features, no)?;
    let memory = asked.memory.as_deref().cloned().unwrap_or_default();
    let cpu = asked.cpu.as_deref().cloned().unwrap_or_default();
    let lifted = memory.limit == Some(-1);
    let new = Resources {
        memory: changed(memory.limit, given.memory, now.memory),
        memory_reservation: changed(memory.reservation, given.memory_reservation, now.memory_reservation),
        // Memory without a limit within a limit of memory and swap would be none.
        memory_swap: match memory.swap {
            None if lifted => None,
            swap => changed(swap, given.memory_swap, now.memory_swap),
        },
        cpu_shares: given.cpu_shares.or(now.cpu_shares),
        cpu_quota: changed(cpu.quota, given.cpu_quota, now.cpu_quota),
        cpu_period: given.cpu_period.or(now.cpu_period),
        cpus: given.cpus.or_else(|| now.cpus.clone()),
        mems: given.mems.or_else(|| now.mems.clone()),
        pids: match asked.pids {
            Some(OciPids { limit: Some(_) }) => given.pids,
            _ => now.pids,
        },
    };
    match (new.memory, new.memory_swap) {
        (Some(limit), Some(both)) if both < limit => {
            let fault = "would be less than the limit of memory, and it means memory and swap together";
            Err(Refusal::new(RefusalCode::BadConfig, place(&alloc::format!("memory.swap: {both} {fault}"))))
        }
        _ => Ok(new),
    }
}

/// What a limit becomes: 0 asks for nothing, and what was asked for and is none of `given` is unlimited.
fn changed(asked: Option<i64>, given: Option<u64>, now: Option<u64>) -> Option<u64> {
    match asked {
        None | Some(0) => now,
        Some(_) => given,
    }
}

fn supported(r: &Resources, features: &Features, no: impl Fn(&str) -> Refusal) -> Result<(), Refusal> {
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
    let lacking =
        |(asked, feature, _): &&(bool, Feature, &str)| *asked && !features.features.contains(*feature);
    places.iter().find(lacking).map_or(Ok(()), |(_, _, name)| Err(no(name)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use bailiwick_kernel_glue::model::Model;

    fn updated(text: &str, now: &Resources) -> Result<Resources, Refusal> {
        update(&OciResources::parse(text).unwrap(), now, &Model::default_features())
    }

    #[test]
    fn what_an_update_does_not_name_stays_and_minus_one_takes_a_limit_away() {
        let now = Resources {
            memory: Some(100),
            memory_swap: Some(200),
            cpu_shares: Some(5),
            cpu_quota: Some(2000),
            cpu_period: Some(4000),
            pids: Some(7),
            ..Resources::default()
        };
        assert_eq!(updated("{}", &now), Ok(now.clone()));
        let zeros = r#"{"memory":{"limit":0,"swap":0},"cpu":{"shares":0,"quota":0,"period":0},"pids":{}}"#;
        assert_eq!(updated(zeros, &now), Ok(now.clone()));
        let some = r#"{"memory":{"limit":150},"cpu":{"quota":3000},"pids":{"limit":9}}"#;
        let expected = Resources { memory: Some(150), cpu_quota: Some(3000), pids: Some(9), ..now.clone() };
        assert_eq!(updated(some, &now), Ok(expected));
        let none = r#"{"memory":{"limit":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}"#;
        let expected = Resources { cpu_shares: Some(5), cpu_period: Some(4000), ..Resources::default() };
        assert_eq!(updated(none, &now), Ok(expected));
    }

    #[test]
    fn what_cannot_be_changed_is_refused_with_its_place() {
        let now = Resources { memory_swap: Some(200), ..Resources::default() };
        for (text, refused) in [
            (r#"{"devices":[{"allow":false}]}"#, "unsupported: resources.json: devices: "),
            (r#"{"memory":{"kernel":5}}"#, "unsupported: resources.json: memory.kernel"),
            (r#"{"memory":{"limit":300}}"#, "bad: resources.json: memory.swap: 200 would be less"),
        ] {
            let refusal = updated(text, &now).unwrap_err();
            let code = if refusal.code == RefusalCode::Unsupported { "unsupported" } else { "bad" };
            let shown = format!("{code}: {}", refusal.detail.as_str());
            assert!(shown.starts_with(refused), "{text}: {shown}");
        }
    }
}
