//! `linux.resources`.

use super::rules::{device_number, file_name, interface, limit, no_nul, number_list, range};
use crate::oci::OciResources;
use crate::oci::error::{ConfigError, Place};
use crate::oci::resources::{
    OciBlockIo, OciCpu, OciDeviceRule, OciHugepageLimit, OciMemory, OciNetwork, OciThrottleDevice,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

pub(in crate::oci) fn resources(at: &Place<'_>, limits: &OciResources) -> Result<(), ConfigError> {
    for (index, rule) in limits.devices.iter().enumerate() {
        device_rule(&at.key("devices").index(index), rule)?;
    }
    if let Some(values) = &limits.memory {
        memory(&at.key("memory"), values)?;
    }
    if let Some(values) = &limits.cpu {
        cpu(&at.key("cpu"), values)?;
    }
    limit(&at.key("pids").key("limit"), limits.pids.as_ref().and_then(|pids| pids.limit))?;
    if let Some(values) = &limits.block_io {
        block_io(&at.key("blockIO"), values)?;
    }
    hugepages(&at.key("hugepageLimits"), &limits.hugepage_limits)?;
    if let Some(values) = &limits.network {
        network(&at.key("network"), values)?;
    }
    for (name, values) in &limits.rdma {
        let at = at.key("rdma");
        file_name(&at.key(name), name)?;
        if values.hca_handles.is_none() && values.hca_objects.is_none() {
            return Err(at.key(name).fault("has neither hcaHandles nor hcaObjects"));
        }
    }
    unified(&at.key("unified"), &limits.unified)
}

fn device_rule(at: &Place<'_>, rule: &OciDeviceRule) -> Result<(), ConfigError> {
    range(&at.key("major"), rule.major, -1..=0xfff)?;
    range(&at.key("minor"), rule.minor, -1..=0xf_ffff)?;
    match &rule.access {
        Some(access) if access.contains(|c| !matches!(c, 'r' | 'w' | 'm')) => {
            Err(at.key("access").text_fault(access, "holds other letters than r, w and m"))
        }
        _ => Ok(()),
    }
}

fn memory(at: &Place<'_>, memory: &OciMemory) -> Result<(), ConfigError> {
    for (key, value) in [
        ("limit", memory.limit),
        ("reservation", memory.reservation),
        ("swap", memory.swap),
        ("kernel", memory.kernel),
        ("kernelTCP", memory.kernel_tcp),
    ] {
        limit(&at.key(key), value)?;
    }
    range(&at.key("swappiness"), memory.swappiness, 0..=100)?;
    match (memory.limit, memory.swap) {
        (Some(limit), Some(swap)) if 0 < swap && swap < limit => Err(at
            .key("swap")
            .value_fault(swap, "is less than the limit, and it means memory and swap together")),
        _ => Ok(()),
    }
}

fn cpu(at: &Place<'_>, cpu: &OciCpu) -> Result<(), ConfigError> {
    range(&at.key("shares"), cpu.shares, 0..=262_144)?;
    limit(&at.key("quota"), cpu.quota)?;
    range(&at.key("quota"), cpu.quota.filter(|quota| *quota > 0), 1_000..=i64::MAX)?;
    range(&at.key("period"), cpu.period.filter(|period| *period != 0), 1_000..=1_000_000)?;
    limit(&at.key("realtimeRuntime"), cpu.realtime_runtime)?;
    number_list(&at.key("cpus"), cpu.cpus.as_deref())?;
    number_list(&at.key("mems"), cpu.mems.as_deref())?;
    range(&at.key("idle"), cpu.idle, 0..=1)
}

/// 0 means the default, as engines write it.
fn weight(at: &Place<'_>, weight: Option<u16>) -> Result<(), ConfigError> {
    range(at, weight.filter(|weight| *weight != 0), 10..=1_000)
}

fn block_io(at: &Place<'_>, io: &OciBlockIo) -> Result<(), ConfigError> {
    weight(&at.key("weight"), io.weight)?;
    weight(&at.key("leafWeight"), io.leaf_weight)?;
    for (index, device) in io.weight_device.iter().enumerate() {
        let at = at.key("weightDevice");
        let at = at.index(index);
        device_number(&at, Some(device.major), Some(device.minor))?;
        weight(&at.key("weight"), device.weight)?;
        weight(&at.key("leafWeight"), device.leaf_weight)?;
    }
    throttled(&at.key("throttleReadBpsDevice"), &io.throttle_read_bps_device)?;
    throttled(&at.key("throttleWriteBpsDevice"), &io.throttle_write_bps_device)?;
    throttled(&at.key("throttleReadIOPSDevice"), &io.throttle_read_iops_device)?;
    throttled(&at.key("throttleWriteIOPSDevice"), &io.throttle_write_iops_device)
}

fn throttled(at: &Place<'_>, devices: &[OciThrottleDevice]) -> Result<(), ConfigError> {
    devices.iter().enumerate().try_for_each(|(index, device)| {
        device_number(&at.index(index), Some(device.major), Some(device.minor))
    })
}

/// Page sizes as the files of the hugetlb controller are named: `64KB`, `2MB`, `1GB`.
fn hugepages(at: &Place<'_>, limits: &[OciHugepageLimit]) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for (index, limit) in limits.iter().enumerate() {
        let at = at.index(index);
        let at = at.key("pageSize");
        let size = limit.page_size.as_str();
        let digits = size.strip_suffix("B").and_then(|size| size.strip_suffix(['K', 'M', 'G']));
        let known = digits.is_some_and(|digits| {
            !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if !known {
            return Err(at.text_fault(size, "is no page size such as 2MB"));
        }
        if !seen.insert(size) {
            return Err(at.text_fault(size, "stands there twice"));
        }
    }
    Ok(())
}

fn network(at: &Place<'_>, network: &OciNetwork) -> Result<(), ConfigError> {
    network.priorities.iter().enumerate().try_for_each(|(index, priority)| {
        interface(&at.key("priorities").index(index).key("name"), &priority.name)
    })
}

/// Files of the container's own cgroup: a plain name with a controller in front.
fn unified(at: &Place<'_>, files: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, value) in files {
        let at = at.key(name);
        let known = name.split_once('.').is_some_and(|(controller, file)| {
            !controller.is_empty() && !file.is_empty() && !name.contains('/')
        });
        if !known {
            return Err(at.fault("is no file of a cgroup such as memory.high"));
        }
        no_nul(&at, value)?;
    }
    Ok(())
}
