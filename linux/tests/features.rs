//! What a configuration can ask for beyond what `runc spec` writes, seen from within.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::bundle::Bundle;
use common::Home;
use serde_json::{Value, json};
use std::fs;

const READY: &str = "echo ready; exec sleep 1000";
/// Where the ids of a container begin on the host.
const BASE: u32 = 100_000;

/// A bundle with its configuration changed.
fn with(text: &str, edit: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = Bundle::script(text).unwrap();
    edit(&mut bundle.config);
    bundle.write().unwrap();
    bundle
}

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["linux"]["namespaces"].as_array_mut().unwrap()
}

fn with_users(config: &mut Value) {
    namespaces(config).push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": BASE, "size": 65536 }]);
    (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
}

/// Gives the root file system to the container's root, as an unpacker would.
fn give(bundle: &Bundle) {
    let owner = format!("{BASE}:{BASE}");
    let status = std::process::Command::new("chown").args(["-hR", &owner]).arg(bundle.rootfs()).status();
    assert!(status.unwrap().success());
    // Every directory above must let the mapped root through.
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    open(bundle.path());
}

#[test]
fn a_user_namespace_maps_its_root_to_nobody_of_the_host() {
    let home = Home::new();
    let id = home.id("users");
    let look = "id -u; cat /proc/self/uid_map | tr -s ' '; touch /tmp/mine; ls -ln /tmp/mine | cut -c1-20; 
        echo n > /dev/null; head -c 4 /dev/zero | wc -c; ls /dev | grep -c .; hostname";
    let bundle = with(&format!("{look}; {READY}"), with_users);
    give(&bundle);
    let mut lines = home.start(&bundle, &id);
    assert_eq!(lines.next(), "0");
    assert_eq!(lines.next().trim(), format!("0 {BASE} 65536"));
    assert!(lines.next().starts_with("-rw-r--r--"));
    assert_eq!(lines.next(), "4");
    assert!(lines.next().parse::<u32>().unwrap() >= 10);
    assert_eq!((lines.next().as_str(), lines.next().as_str()), ("bailiwick", "ready"));
    let pid = home.state(&id)["pid"].to_string();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("\nUid:\t{BASE}\t{BASE}\t{BASE}\t{BASE}\n")), "{status}");
    let exec = home.ok(&["exec", &id, "sh", "-c", "id -u; readlink /proc/self/ns/user"]);
    let inside = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_eq!(exec, format!("0\n{}\n", inside.display()));
    let facts = fs::metadata(bundle.rootfs().join("tmp/mine")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&facts), BASE);
}

#[test]
fn namespaces_joined_by_path_are_the_same_objects() {
    let home = Home::new();
    let (first, second) = (home.id("first"), home.id("second"));
    let running = with(READY, |_| {});
    home.start(&running, &first).next();
    let pid = home.state(&first)["pid"].to_string();
    let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
    let look = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; hostname";
    let bundle = with(look, |config| {
        for namespace in namespaces(config) {
            if let Some((_, name)) = kinds.iter().find(|(kind, _)| namespace["type"] == *kind) {
                namespace["path"] = format!("/proc/{pid}/ns/{name}").into();
            }
        }
        config.as_object_mut().unwrap().remove("hostname");
    });
    let output = home.says(&bundle, &second);
    let lines: Vec<&str> = output.lines().collect();
    for ((_, name), line) in kinds.iter().zip(&lines) {
        let wanted = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(*line, wanted.to_str().unwrap());
    }
    assert_eq!(lines[4], "bailiwick");
    home.ok(&["exec", &first, "true"]);
}

#[test]
fn a_user_namespace_can_be_joined_by_path() {
    let home = Home::new();
    let (first, second) = (home.id("ufirst"), home.id("usecond"));
    let bundle = with(READY, with_users);
    give(&bundle);
    home.start(&bundle, &first).next();
    let pid = home.state(&first)["pid"].to_string();
    let bundle = with("readlink /proc/self/ns/user; id -u", |config| {
        namespaces(config).push(json!({ "type": "user", "path": format!("/proc/{pid}/ns/user") }));
    });
    give(&bundle);
    let wanted = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_eq!(home.says(&bundle, &second), format!("{}\n0\n", wanted.display()));
}

#[test]
fn clocks_are_moved_by_the_offsets_of_the_configuration() {
    let home = Home::new();
    let bundle = with("cat /proc/self/timens_offsets /proc/uptime | tr -s ' '", |config| {
        namespaces(config).push(json!({ "type": "time" }));
        config["linux"]["timeOffsets"] =
            json!({ "monotonic": { "secs": 1000 }, "boottime": { "secs": 5_000_000, "nanosecs": 7 } });
    });
    let output = home.says(&bundle, &home.id("time"));
    assert!(output.contains("monotonic 1000 0"), "{output}");
    assert!(output.contains("boottime 5000000 7"), "{output}");
    let uptime: f64 = output.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(uptime >= 5_000_000.0, "{output}");
}

#[test]
fn bind_mounts_bring_files_and_directories_with_their_options() {
    let home = Home::new();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("inner")).unwrap();
    fs::write(outside.path().join("inner/file"), "from outside\n").unwrap();
    let look =
        "cat /data/inner/file /etc/one; echo x > /data/new; echo y > /etc/one; echo z > /rw/z; cat /rw/z";
    let bundle = with(look, |config| {
        let source = |name: &str| outside.path().join(name);
        config["mounts"].as_array_mut().unwrap().extend([
            json!({ "destination": "/data", "source": outside.path(), "options": ["rbind", "ro"] }),
            json!({ "destination": "/etc/one", "type": "none", "source": source("inner/file"),
                "options": ["bind", "ro", "nosuid"] }),
            json!({ "destination": "/rw", "type": "bind", "source": source("inner"), "options": ["bind"] }),
        ]);
    });
    let (status, output, errors) = home.run_bundle(&bundle, &home.id("bind"));
    assert_eq!((status, output.as_str()), (0, "from outside\nfrom outside\nz\n"), "{errors}");
    assert_eq!(errors.matches("Read-only file system").count(), 2, "{errors}");
    assert_eq!(fs::read_to_string(outside.path().join("inner/z")).unwrap(), "z\n");
}

#[test]
fn kernel_parameters_are_set_in_the_container_and_nowhere_else() {
    let home = Home::new();
    let host = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap();
    let before = (host("net/ipv4/ip_unprivileged_port_start"), host("kernel/msgmax"));
    let look = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    let bundle = with(look, |config| {
        config["linux"]["sysctl"] =
            json!({ "net.ipv4.ip_unprivileged_port_start": "77", "kernel.msgmax": "4444" });
    });
    assert_eq!(home.says(&bundle, &home.id("sysctl")), "77\n4444\n");
    assert_eq!((host("net/ipv4/ip_unprivileged_port_start"), host("kernel/msgmax")), before);
}

#[test]
fn devices_are_made_and_ruled_as_configured() {
    let home = Home::new();
    let look = "ls -l /dev/mine | cut -c1-10; head -c 3 /dev/mine | wc -c; mknod /tmp/log c 1 11;
        true < /tmp/log && echo read; true > /tmp/log; echo wrote $?";
    for (access, wanted) in [("r", "read\nwrote 1\n"), ("w", "wrote 0\n"), ("rw", "read\nwrote 0\n")] {
        let bundle = with(look, |config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] = json!(["CAP_MKNOD", "CAP_SYSLOG"]);
            }
            config["linux"]["devices"] = json!([
                { "path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666 }
            ]);
            config["linux"]["resources"]["devices"] = json!([
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "minor": 11, "access": format!("m{access}") },
            ]);
        });
        let (_, output, errors) = home.run_bundle(&bundle, &home.id("devices"));
        assert_eq!(output, format!("crw-rw-rw-\n3\n{wanted}"), "{access}: {errors}");
    }
}

#[test]
fn limits_and_scores_of_the_process_take_effect() {
    let home = Home::new();
    let bundle = with("ulimit -n; ulimit -c; cat /proc/self/oom_score_adj; umask", |config| {
        config["process"]["rlimits"] = json!([
            { "type": "RLIMIT_NOFILE", "soft": 55, "hard": 66 }, { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }
        ]);
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["user"]["umask"] = json!(0o027);
    });
    assert_eq!(home.says(&bundle, &home.id("limits")), "55\n0\n321\n0027\n");
}

#[test]
fn masked_and_read_only_paths_are_what_they_say() {
    let home = Home::new();
    let bundle =
        with("cat /etc/passwd | wc -c; ls /home | wc -l; echo x >> /etc/group; cat /etc/group", |config| {
            config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/home", "/not/there"]);
            config["linux"]["readonlyPaths"] = json!(["/etc/group", "/not/there"]);
        });
    fs::write(bundle.rootfs().join("home/file"), "x").unwrap();
    let (_, output, errors) = home.run_bundle(&bundle, &home.id("masked"));
    assert!(output.starts_with("0\n0\nroot:x:0:\n"), "{output}{errors}");
    assert!(errors.contains("Read-only file system"), "{errors}");
}

#[test]
fn a_container_without_a_network_namespace_shares_the_host_s() {
    let home = Home::new();
    let bundle = with("readlink /proc/self/ns/net; readlink /proc/self/ns/uts", |config| {
        namespaces(config).retain(|namespace| namespace["type"] != "network");
    });
    let output = home.says(&bundle, &home.id("hostnet"));
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], own("net").to_str().unwrap());
    assert_ne!(lines[1], own("uts").to_str().unwrap());
}

/// A profile that forbids what it does not name, as those of container engines do: with everything a shell needs.
fn strict() -> Value {
    let names = [
        "access",
        "arch_prctl",
        "brk",
        "clone",
        "close",
        "dup2",
        "execve",
        "exit",
        "exit_group",
        "fcntl",
        "fstat",
        "getcwd",
        "getegid",
        "geteuid",
        "getgid",
        "getpgrp",
        "getpid",
        "getppid",
        "getrandom",
        "getuid",
        "ioctl",
        "lseek",
        "mmap",
        "mprotect",
        "munmap",
        "newfstatat",
        "open",
        "openat",
        "pipe",
        "pipe2",
        "poll",
        "prctl",
        "prlimit64",
        "read",
        "readlink",
        "readlinkat",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "set_robust_list",
        "set_tid_address",
        "setgid",
        "setuid",
        "stat",
        "uname",
        "vfork",
        "wait4",
        "write",
    ];
    let personality = json!({
        "names": ["personality"], "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }],
    });
    json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            { "names": names.as_slice(), "action": "SCMP_ACT_ALLOW" },
            { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122 },
            personality,
        ],
    })
}

#[test]
fn a_system_call_filter_holds_for_the_program_and_not_for_its_making() {
    let home = Home::new();
    let script = "mkdir /tmp/x; kill -0 $$; grep ^Seccomp: /proc/self/status; echo on";
    let mut bundle = Bundle::script(script).unwrap();
    bundle.config["linux"]["seccomp"] = strict();
    bundle.write().unwrap();
    let output = home.says(&bundle, &home.id("filter"));
    assert_eq!(output, "Seccomp:\t2\non\n");
    let (_, _, errors) = home.run_bundle(&bundle, &home.id("filter"));
    assert!(errors.contains("'/tmp/x': Disk quota exceeded"), "{errors}");
    assert!(errors.contains("Function not implemented"), "{errors}");
    // Without the promise to gain no privileges the filter is loaded earlier.
    bundle.config["process"]["noNewPrivileges"] = false.into();
    for name in [
        "sendto",
        "sendmsg",
        "recvmsg",
        "recvfrom",
        "close_range",
        "openat2",
        "fchdir",
        "capset",
        "capget",
        "faccessat2",
        "dup3",
    ] {
        let all = bundle.config["linux"]["seccomp"]["syscalls"][0]["names"].as_array_mut().unwrap();
        all.push(name.into());
    }
    bundle.write().unwrap();
    let output = home.says(&bundle, &home.id("filter"));
    assert_eq!(output, "Seccomp:\t2\non\n");
}
