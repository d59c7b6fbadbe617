//! Devices and links that every container has, and those the configuration adds.

use super::unsupported;
use crate::oci::{OciDevice, OciDeviceKind, ValidConfig};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{Device, DeviceKind, Features, Step};
use bailiwick_protocol::error::Refusal;
use core::fmt;

/// Character devices of every container: path, major, minor (config-linux.md "Default Devices").
pub(super) const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links of every container (runtime-linux.md "Dev symbolic links").
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// The steps. A `/dev` that is bind-mounted is somebody else's and gets nothing put into it but what the
/// configuration names.
pub(super) fn steps(config: &ValidConfig, features: &Features, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    let mounted =
        |path: &str| config.mounts.iter().find(|mount| mount.destination.trim_end_matches('/') == path);
    let own_dev = !mounted("/dev").is_some_and(|mount| mount.is_bind());
    if own_dev {
        default_devices(config, features, steps)?;
    }
    for (index, device) in config.linux.devices.iter().enumerate() {
        let planned = config_device(device);
        makeable(&planned, features, format_args!("linux.devices[{index}]"))?;
        steps.push(Step::Device(planned));
    }
    if own_dev {
        if mounted("/dev/pts").is_some_and(|mount| mount.mount_type.as_deref() == Some("devpts")) {
            steps.push(link("/dev/ptmx", "pts/ptmx"));
        }
        steps.extend(LINKS.map(|(path, target)| link(path, target)));
    }
    Ok(())
}

/// Those the configuration does not itself describe.
fn default_devices(config: &ValidConfig, features: &Features, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    let described = |path: &str| config.linux.devices.iter().any(|device| device.path == path);
    for (path, major, minor) in DEFAULT_DEVICES {
        let device = character(path, major, minor, 0o666);
        if !described(path) {
            makeable(&device, features, format_args!("linux.devices: the default device {path}"))?;
            steps.push(Step::Device(device));
        }
    }
    if config.process.terminal && !described("/dev/console") {
        steps.push(Step::Device(character("/dev/console", 5, 1, 0o620)));
    }
    Ok(())
}

fn character(path: &str, major: u32, minor: u32, mode: u32) -> Device {
    let (path, kind) = (String::from(path), DeviceKind::Character);
    Device { path, kind, major, minor, mode, uid: 0, gid: 0 }
}

fn config_device(device: &OciDevice) -> Device {
    Device {
        path: device.path.clone(),
        kind: match device.kind {
            OciDeviceKind::Character | OciDeviceKind::Unbuffered => DeviceKind::Character,
            OciDeviceKind::Block => DeviceKind::Block,
            OciDeviceKind::Fifo => DeviceKind::Fifo,
        },
        major: device.major.unwrap_or(0),
        minor: device.minor.unwrap_or(0),
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    }
}

fn makeable(device: &Device, features: &Features, path: impl fmt::Display) -> Result<(), Refusal> {
    let known = features.devices.is_empty()
        || device.kind == DeviceKind::Fifo
        || features.devices.contains(&(device.kind, device.major, device.minor));
    if known { Ok(()) } else { Err(unsupported(path)) }
}

fn link(path: &str, target: &str) -> Step {
    Step::Link { path: String::from(path), target: String::from(target) }
}
