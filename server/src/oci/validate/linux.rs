//! `linux`.

use super::resources::resources;
use super::rules::{
    absolute_path, device_number, file_name, id, inner_path, interface, no_nul, no_parent, number_list,
};
use super::seccomp::seccomp;
use crate::oci::OciConfig;
use crate::oci::error::{ConfigError, Place};
use crate::oci::linux::{
    OciDevice, OciDeviceKind, OciIdMapping, OciIntelRdt, OciLinuxConfig, OciMemoryPolicy,
    OciMemoryPolicyMode, OciNamespaceKind,
};
use alloc::collections::BTreeSet;
use alloc::format;

/// Most ranges in one id map (user_namespaces(7)).
const ID_MAPPINGS_MAX: usize = 340;

pub(super) fn all(at: &Place<'_>, config: &OciConfig) -> Result<(), ConfigError> {
    let linux = &config.linux;
    namespaces(&at.key("namespaces"), linux)?;
    user_namespace(at, linux)?;
    time_offsets(&at.key("timeOffsets"), linux)?;
    for (index, one) in linux.devices.iter().enumerate() {
        device(&at.key("devices").index(index), one)?;
    }
    net_devices(&at.key("netDevices"), linux)?;
    if let Some(path) = &linux.cgroups_path {
        no_nul(&at.key("cgroupsPath"), path)?;
        no_parent(&at.key("cgroupsPath"), path)?;
    }
    if let Some(limits) = &linux.resources {
        resources(&at.key("resources"), limits)?;
    }
    for (name, value) in &linux.sysctl {
        sysctl(&at.key("sysctl").key(name), name, value, linux)?;
    }
    if let Some(filter) = &linux.seccomp {
        seccomp(&at.key("seccomp"), filter)?;
    }
    for (key, paths) in [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)] {
        for (index, path) in paths.iter().enumerate() {
            inner_path(&at.key(key).index(index), path)?;
        }
    }
    rare(at, linux)
}

fn rare(at: &Place<'_>, linux: &OciLinuxConfig) -> Result<(), ConfigError> {
    no_nul(&at.key("mountLabel"), linux.mount_label.as_deref().unwrap_or_default())?;
    if let Some(rdt) = &linux.intel_rdt {
        intel_rdt(&at.key("intelRdt"), rdt)?;
    }
    if let Some(flag) = linux.personality.as_ref().and_then(|personality| personality.flags.first()) {
        let at = at.key("personality");
        return Err(at.key("flags").index(0).text_fault(flag, "is no flag: the specification has none"));
    }
    match &linux.memory_policy {
        Some(policy) => memory_policy(&at.key("memoryPolicy"), policy),
        None => Ok(()),
    }
}

fn namespaces(at: &Place<'_>, linux: &OciLinuxConfig) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let at = at.index(index);
        if !seen.insert(namespace.kind) {
            return Err(at.key("type").text_fault(namespace.kind.as_str(), "stands there twice"));
        }
        if let Some(path) = &namespace.path {
            absolute_path(&at.key("path"), path)?;
        }
    }
    Ok(())
}

/// A new user namespace has maps, and nothing else has.
fn user_namespace(at: &Place<'_>, linux: &OciLinuxConfig) -> Result<(), ConfigError> {
    for (key, list) in [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)] {
        let at = at.key(key);
        match linux.namespace(OciNamespaceKind::User) {
            None if !list.is_empty() => return Err(at.fault("needs a user namespace in linux.namespaces")),
            Some(namespace) if namespace.path.is_none() && list.is_empty() => {
                return Err(at.fault("is missing, and a new user namespace needs it"));
            }
            _ => id_mappings(&at, list)?,
        }
    }
    Ok(())
}

/// Ranges that are not empty, stay below 2³² - 1 and overlap neither inside nor outside (user_namespaces(7)).
pub(super) fn id_mappings(at: &Place<'_>, list: &[OciIdMapping]) -> Result<(), ConfigError> {
    if list.len() > ID_MAPPINGS_MAX {
        return Err(at.fault(format!("has more than {ID_MAPPINGS_MAX} ranges")));
    }
    for (index, one) in list.iter().enumerate() {
        let at = at.index(index);
        if one.size == 0 {
            return Err(at.key("size").value_fault(0, "maps nothing"));
        }
        for (key, first) in [("containerID", one.container_id), ("hostID", one.host_id)] {
            if first.checked_add(one.size).is_none() {
                return Err(at
                    .key(key)
                    .value_fault(first, format!("and {} more ids go beyond 32 bits", one.size)));
            }
        }
        for (other_index, other) in list.iter().take(index).enumerate() {
            let meet = |a: u32, b: u32| {
                let (a, b) = (u64::from(a), u64::from(b));
                a < b + u64::from(other.size) && b < a + u64::from(one.size)
            };
            for (key, meets) in [
                ("containerID", meet(one.container_id, other.container_id)),
                ("hostID", meet(one.host_id, other.host_id)),
            ] {
                if meets {
                    let first = if key == "hostID" { one.host_id } else { one.container_id };
                    return Err(at.key(key).value_fault(first, format!("overlaps range {other_index}")));
                }
            }
        }
    }
    Ok(())
}

fn time_offsets(at: &Place<'_>, linux: &OciLinuxConfig) -> Result<(), ConfigError> {
    for (clock, offset) in &linux.time_offsets {
        let at = at.key(clock);
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(at.fault("is neither monotonic nor boottime"));
        }
        if !linux.is_new(OciNamespaceKind::Time) {
            return Err(at.fault("needs a new time namespace in linux.namespaces"));
        }
        if let Some(nanosecs) = offset.nanosecs.filter(|nanosecs| *nanosecs > 999_999_999) {
            return Err(at.key("nanosecs").value_fault(nanosecs, "is a second or more"));
        }
    }
    Ok(())
}

fn device(at: &Place<'_>, device: &OciDevice) -> Result<(), ConfigError> {
    inner_path(&at.key("path"), &device.path)?;
    for (key, number) in [("major", device.major), ("minor", device.minor)] {
        if number.is_none() && device.kind != OciDeviceKind::Fifo {
            return Err(at.key(key).fault("is missing, and only a pipe needs none"));
        }
    }
    device_number(at, device.major, device.minor)?;
    for (key, owner) in [("uid", device.uid), ("gid", device.gid)] {
        id(&at.key(key), owner.unwrap_or_default())?;
    }
    Ok(())
}

fn net_devices(at: &Place<'_>, linux: &OciLinuxConfig) -> Result<(), ConfigError> {
    let mut inside = BTreeSet::new();
    for (host, device) in &linux.net_devices {
        let at = at.key(host);
        interface(&at, host)?;
        if linux.namespace(OciNamespaceKind::Network).is_none() {
            return Err(at.fault("needs a network namespace in linux.namespaces"));
        }
        let name = device.name.as_ref().unwrap_or(host);
        interface(&at.key("name"), name)?;
        if !inside.insert(name) {
            return Err(at.key("name").text_fault(name, "is the name of another one already"));
        }
    }
    Ok(())
}

/// A parameter that belongs to a namespace of the container: anything else would change the host.
fn sysctl(at: &Place<'_>, name: &str, value: &str, linux: &OciLinuxConfig) -> Result<(), ConfigError> {
    no_nul(at, value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
    if !name.chars().all(plain) || name.split('.').any(str::is_empty) {
        return Err(at.fault("is no parameter: write its name with single dots"));
    }
    let kind = match name {
        "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced" => OciNamespaceKind::Ipc,
        "kernel.hostname" => return Err(at.fault("is set by hostname")),
        "kernel.domainname" => OciNamespaceKind::Uts,
        _ if name.starts_with("fs.mqueue.") => OciNamespaceKind::Ipc,
        _ if name.starts_with("net.") => OciNamespaceKind::Network,
        _ if name.starts_with("user.") => OciNamespaceKind::User,
        _ => return Err(at.fault("belongs to no namespace, so it would change the host")),
    };
    match linux.namespace(kind) {
        Some(_) => Ok(()),
        None => Err(at.fault(format!("needs {} {kind} namespace in linux.namespaces", article(kind)))),
    }
}

fn article(kind: OciNamespaceKind) -> &'static str {
    if kind == OciNamespaceKind::Ipc { "an" } else { "a" }
}

/// The class becomes a directory, its schemata lines of a file (resctrl).
fn intel_rdt(at: &Place<'_>, rdt: &OciIntelRdt) -> Result<(), ConfigError> {
    if let Some(class) = &rdt.clos_id {
        file_name(&at.key("closID"), class)?;
    }
    let lines = rdt.schemata.iter().enumerate().map(|(index, line)| ("schemata", Some(index), line));
    let fields = [("l3CacheSchema", &rdt.l3_cache_schema), ("memBwSchema", &rdt.mem_bw_schema)];
    let fields = fields.into_iter().filter_map(|(key, line)| line.as_ref().map(|line| (key, None, line)));
    for (key, index, line) in lines.chain(fields) {
        if line.contains(['\n', '\0']) {
            let at = at.key(key);
            let at = index.map_or(at, |index| at.index(index));
            return Err(at.text_fault(line, "is not one line"));
        }
    }
    Ok(())
}

/// set_mempolicy(2).
fn memory_policy(at: &Place<'_>, policy: &OciMemoryPolicy) -> Result<(), ConfigError> {
    use OciMemoryPolicyMode as Mode;
    let at_nodes = at.key("nodes");
    number_list(&at_nodes, policy.nodes.as_deref())?;
    match (policy.mode, &policy.nodes) {
        (Mode::Default | Mode::Local, Some(nodes)) => {
            Err(at_nodes.text_fault(nodes, format!("is not possible with {}", policy.mode)))
        }
        (Mode::Default | Mode::Local | Mode::Preferred, _) | (_, Some(_)) => Ok(()),
        (_, None) => Err(at_nodes.fault(format!("is missing, and {} needs it", policy.mode))),
    }
}
