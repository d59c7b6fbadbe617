//! Commands about no container: `features` says what this runtime understands, `spec` writes a configuration to begin with.

use crate::failure::Failure;
use crate::output::print;
use bailiwick_kernel_glue::plan::Namespace;
use bailiwick_server::oci::{
    CAPABILITIES, OCI_VERSION, OciSeccompAction, OciSeccompArch, OciSeccompFlag, OciSeccompOperator,
};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The specification's versions that are understood, first and last.
const VERSIONS: [&str; 2] = ["1.0.0", "1.3.0"];

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Words of mounts that a plan has a step for.
const MOUNT_OPTIONS: &str = "\
    async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev \
    nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private \
    ratime rbind rdev rdiratime relatime rexec rnoatime rnodev rnodiratime rnoexec rnorelatime \
    rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid \
    rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync unbindable";

/// `features` (features.md and features-linux.md of the specification).
pub(crate) fn features() -> Result<(), Failure> {
    print(format_args!("{:#}\n", features_document()))
}

fn features_document() -> Value {
    let actions: Vec<&str> = OciSeccompAction::ALL
        .iter()
        .filter(|action| **action != OciSeccompAction::Notify)
        .map(|action| action.as_str())
        .collect();
    let flags: Vec<&str> = OciSeccompFlag::ALL.iter().map(|flag| flag.as_str()).collect();
    let supported: Vec<&str> = OciSeccompFlag::ALL
        .iter()
        .filter(|flag| **flag != OciSeccompFlag::WaitKillable)
        .map(|flag| flag.as_str())
        .collect();
    let architectures = [OciSeccompArch::X86, OciSeccompArch::X86_64, OciSeccompArch::X32];
    json!({
        "ociVersionMin": VERSIONS[0],
        "ociVersionMax": VERSIONS[1],
        "hooks": HOOKS,
        "mountOptions": MOUNT_OPTIONS.split(' ').collect::<Vec<_>>(),
        "linux": {
            "namespaces": Namespace::ALL.map(|kind| kind.as_str()),
            "capabilities": CAPABILITIES.as_slice(),
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false },
            "seccomp": {
                "enabled": true,
                "actions": actions,
                "operators": OciSeccompOperator::ALL.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
                "archs": architectures.map(OciSeccompArch::as_str),
                "knownFlags": flags,
                "supportedFlags": supported,
            },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": false } },
            "netDevices": { "enabled": false },
        },
        "annotations": { "bailiwick.version": env!("CARGO_PKG_VERSION") },
    })
}

/// `spec`: a config.json that runs a shell in `rootfs`, in the bundle's directory; one that is there stays.
pub(crate) fn spec(bundle: &Path) -> Result<(), Failure> {
    let path = bundle.join("config.json");
    let about = |error: std::io::Error| Failure::about(path.display(), error);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(about)?;
    file.write_all(format!("{:#}\n", first_configuration()).as_bytes()).map_err(about)
}

fn first_configuration() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    // With version 2 of control groups a container sees a hierarchy of its own.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        namespaces.push("cgroup");
    }
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    let plain = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [plain.as_slice(), more].concat();
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "ambient": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "bailiwick",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount(
                "/dev/pts",
                "devpts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            ),
            mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777", "size=65536k"])),
            mount("/dev/mqueue", "mqueue", "mqueue", &plain),
            mount("/sys", "sysfs", "sysfs", &with(&["ro"])),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["relatime", "ro"])),
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_server::oci::{MountOption, ValidConfig};

    #[test]
    fn every_word_of_mounts_that_is_announced_is_one() {
        for word in MOUNT_OPTIONS.split(' ') {
            let option = MountOption::from_word(word);
            let refused = [MountOption::Remount, MountOption::TmpCopyUp];
            assert!(!matches!(option, MountOption::Data(_)) && !refused.contains(&option), "{word}");
        }
    }

    #[test]
    fn the_first_configuration_and_the_announced_versions_are_valid() {
        let mut document = first_configuration();
        for version in VERSIONS {
            document["ociVersion"] = version.into();
            ValidConfig::parse(&document.to_string()).unwrap();
        }
    }
}
