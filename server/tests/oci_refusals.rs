//! One broken rule, one line: where, what, why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_server::oci::{OciConfig, ValidConfig};
use serde_json::{Value, json};

/// `document` with `value` put at `pointer`, and objects made on the way.
fn put(document: &mut Value, pointer: &str, value: Value) {
    let mut here = document;
    for part in pointer.split('/').skip(1) {
        here = match here {
            Value::Array(items) => {
                let index: usize = part.parse().unwrap();
                if index == items.len() {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            other => {
                if !other.is_object() {
                    *other = json!({});
                }
                &mut other[part]
            }
        };
    }
    *here = value;
}

/// Checks that each change of what `runc spec` writes is refused with exactly that line.
fn refused(cases: &[(&str, Value, &str)]) {
    for (pointer, value, line) in cases {
        let mut document: Value = serde_json::from_str(include_str!("data/runc-spec.json")).unwrap();
        put(&mut document, pointer, value.clone());
        match ValidConfig::parse(&document.to_string()) {
            Ok(_) => panic!("{pointer} = {value} was taken"),
            Err(error) => {
                assert_eq!(error.to_string(), format!("config.json: {line}"), "{pointer} = {value}")
            }
        }
    }
}

#[test]
fn json_that_says_two_things_or_none_is_refused() {
    for (text, line) in [
        ("", "config.json: EOF while parsing a value at line 1 column 0"),
        ("[]", "config.json: a list is not an object"),
        ("{} {}", "config.json: trailing characters at line 1 column 4"),
        ("{}", "config.json: ociVersion: is missing"),
        (r#"{"a": 1, "a": 1}"#, "config.json: a: stands there twice"),
        (
            r#"{"annotations": {"k.v": "", "k.v": ""}}"#,
            r#"config.json: annotations["k.v"]: stands there twice"#,
        ),
        (r#"{"unknown": [{"\u0061": 1, "a": 2}]}"#, "config.json: unknown[0].a: stands there twice"),
        (r#"{"unknown": "a\u0000b"}"#, r#"config.json: unknown: "a\0b" holds a NUL character"#),
        (r#"{"ociVersion": 1e400}"#, "config.json: number out of range at line 1 column 20"),
        (r#"{"ociVersion": 1.5}"#, "config.json: ociVersion: 1.5 is not a string"),
    ] {
        assert_eq!(OciConfig::parse(text).unwrap_err().to_string(), line);
    }
}

#[test]
fn identity_and_root() {
    refused(&[
        ("/ociVersion", json!("2.0.0"), r#"ociVersion: "2.0.0" is no version of the form 1.x.y"#),
        ("/ociVersion", json!("1.0"), r#"ociVersion: "1.0" is no version of the form 1.x.y"#),
        ("/root", Value::Null, "root: is missing"),
        ("/root/path", json!(""), r#"root.path: "" is empty"#),
        ("/root/path", json!("../other"), r#"root.path: "../other" leads up with .."#),
        (
            "/hostname",
            json!("h".repeat(65)),
            &format!("hostname: {:?}… is longer than 64 bytes", "h".repeat(60)),
        ),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}]),
            r#"hostname: "runc" would rename the host: linux.namespaces has no uts namespace"#,
        ),
        ("/annotations", json!({"": "v"}), r#"annotations: "v" has no key"#),
        ("/annotations", json!({"a": 1}), "annotations.a: 1 is not a string"),
    ]);
}

#[test]
fn process() {
    refused(&[
        ("/process", Value::Null, "process: is missing"),
        ("/process/args", json!([]), "process.args: names no program"),
        ("/process/args", json!([""]), r#"process.args[0]: "" is no program"#),
        ("/process/args/0", json!(7), "process.args[0]: 7 is not a string"),
        ("/process/env/1", json!("TERM"), r#"process.env[1]: "TERM" is not of the form NAME=value"#),
        ("/process/env/1", json!("=x"), r#"process.env[1]: "=x" is not of the form NAME=value"#),
        ("/process/cwd", json!("home"), r#"process.cwd: "home" is not an absolute path"#),
        ("/process/user/uid", json!(-1), "process.user.uid: -1 is negative"),
        ("/process/user/uid", json!("0"), r#"process.user.uid: "0" is not an integer"#),
        ("/process/user/uid", json!(1.0), "process.user.uid: 1.0 is not an integer"),
        ("/process/user/gid", json!(1u64 << 32), "process.user.gid: 4294967296 is more than 4294967295"),
        ("/process/user/gid", json!(u32::MAX), "process.user.gid: 4294967295 is no id: it means none"),
        ("/process/user/umask", json!(0o1000), "process.user.umask: 512 is more than 511 (octal 777)"),
        ("/process/terminal", json!("yes"), r#"process.terminal: "yes" is neither true nor false"#),
        (
            "/process/rlimits/0/type",
            json!("RLIMIT_FOO"),
            r#"process.rlimits[0].type: "RLIMIT_FOO" is no limit of this kernel: see RLIMIT_* in setrlimit(2)"#,
        ),
        ("/process/rlimits/0/soft", json!(2000), "process.rlimits[0].soft: 2000 is more than the hard limit"),
        (
            "/process/rlimits/1",
            json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}),
            r#"process.rlimits[1].type: "RLIMIT_NOFILE" stands there twice"#,
        ),
        (
            "/process/capabilities/bounding/1",
            json!("CAP_FLY"),
            r#"process.capabilities.bounding[1]: "CAP_FLY" is no capability: see capabilities(7)"#,
        ),
        (
            "/process/capabilities/effective/0",
            json!("CAP_CHOWN"),
            r#"process.capabilities.effective: "CAP_CHOWN" is not among the permitted ones"#,
        ),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj: 1001 is not from -1000 to 1000"),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_FIFO", "priority": 0}),
            "process.scheduler.priority: 0 is not from 1 to 99",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "runtime": 5}),
            "process.scheduler.runtime: 5 is only for SCHED_DEADLINE",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "process.ioPriority.priority: 8 is not from 0 to 7",
        ),
        (
            "/process/execCPUAffinity",
            json!({"initial": "3-1"}),
            r#"process.execCPUAffinity.initial: "3-1" is not a list of numbers such as 0-3,7"#,
        ),
    ]);
}

#[test]
fn mounts() {
    refused(&[
        ("/mounts/0/destination", json!("/a/../b"), r#"mounts[0].destination: "/a/../b" leads up with .."#),
        ("/mounts/0/destination", json!(""), r#"mounts[0].destination: "" is not an absolute path"#),
        ("/mounts/0/type", json!(""), "mounts[0].type: is missing, and only a bind mount needs none"),
        (
            "/mounts/0",
            json!({"destination": "/d", "options": ["bind"]}),
            "mounts[0].source: is missing, and a bind mount needs it",
        ),
        (
            "/mounts/0",
            json!({"destination": "/d", "source": "../x", "options": ["rbind"]}),
            r#"mounts[0].source: "../x" leads up with .."#,
        ),
        (
            "/mounts/0",
            json!({"destination": "/d", "source": "/x", "options": ["rbind", "idmap"]}),
            r#"mounts[0].options[1]: "idmap" needs uidMappings and gidMappings, or a new user namespace"#,
        ),
        (
            "/mounts/0/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
            "mounts[0].gidMappings: is missing, and users and groups are mapped together",
        ),
    ]);
}

#[test]
fn hooks() {
    refused(&[
        ("/hooks/poststop", json!([{"path": "a"}]), r#"hooks.poststop[0].path: "a" is not an absolute path"#),
        (
            "/hooks/startContainer",
            json!([{"path": "/a", "timeout": 0}]),
            "hooks.startContainer[0].timeout: 0 is not greater than zero",
        ),
        (
            "/hooks/prestart",
            json!([{"path": "/a", "timeout": -1}]),
            "hooks.prestart[0].timeout: -1 is negative",
        ),
        (
            "/hooks/createRuntime",
            json!([{"path": "/a", "env": ["x"]}]),
            r#"hooks.createRuntime[0].env[0]: "x" is not of the form NAME=value"#,
        ),
    ]);
}

#[test]
fn namespaces_and_ids() {
    let range = |inside: u32, outside: u32, size: u32| json!({"containerID": inside, "hostID": outside, "size": size});
    let mapped = |list: Value| json!({"namespaces": [{"type": "user"}, {"type": "uts"}], "uidMappings": list, "gidMappings": [range(0, 0, 1)]});
    refused(&[
        (
            "/linux/namespaces/0/type",
            json!("net"),
            r#"linux.namespaces[0].type: "net" is none of pid, network, mount, ipc, uts, user, cgroup, time"#,
        ),
        ("/linux/namespaces/1/type", json!("pid"), r#"linux.namespaces[1].type: "pid" stands there twice"#),
        (
            "/linux/namespaces/0/path",
            json!("proc/1/ns/pid"),
            r#"linux.namespaces[0].path: "proc/1/ns/pid" is not an absolute path"#,
        ),
        (
            "/linux/uidMappings",
            json!([range(0, 0, 1)]),
            "linux.uidMappings: needs a user namespace in linux.namespaces",
        ),
        ("/linux", mapped(json!([])), "linux.uidMappings: is missing, and a new user namespace needs it"),
        ("/linux", mapped(json!([range(0, 0, 0)])), "linux.uidMappings[0].size: 0 maps nothing"),
        (
            "/linux",
            mapped(json!([range(0, u32::MAX, 1)])),
            "linux.uidMappings[0].hostID: 4294967295 and 1 more ids go beyond 32 bits",
        ),
        (
            "/linux",
            mapped(json!([range(0, 0, 10), range(9, 100, 1)])),
            "linux.uidMappings[1].containerID: 9 overlaps range 0",
        ),
        (
            "/linux",
            mapped(json!([range(0, 5, 10), range(10, 0, 6)])),
            "linux.uidMappings[1].hostID: 0 overlaps range 0",
        ),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"secs": 1}}),
            "linux.timeOffsets.boottime: needs a new time namespace in linux.namespaces",
        ),
        (
            "/linux/timeOffsets",
            json!({"realtime": {}}),
            "linux.timeOffsets.realtime: is neither monotonic nor boottime",
        ),
    ]);
}

#[test]
fn devices_and_parameters() {
    refused(&[
        (
            "/linux/devices",
            json!([{"type": "x", "path": "/d"}]),
            r#"linux.devices[0].type: "x" is none of c, b, u, p"#,
        ),
        (
            "/linux/devices",
            json!([{"type": "c", "path": "d", "major": 1, "minor": 1}]),
            r#"linux.devices[0].path: "d" is not an absolute path"#,
        ),
        (
            "/linux/devices",
            json!([{"type": "c", "path": "/d", "major": 1}]),
            "linux.devices[0].minor: is missing, and only a pipe needs none",
        ),
        (
            "/linux/devices",
            json!([{"type": "b", "path": "/d", "major": 4096, "minor": 0}]),
            "linux.devices[0].major: 4096 is not from 0 to 4095",
        ),
        (
            "/linux/netDevices",
            json!({"a/b": {}}),
            r#"linux.netDevices["a/b"]: "a/b" is no name of a network device"#,
        ),
        (
            "/linux/sysctl",
            json!({"vm.swappiness": "1"}),
            r#"linux.sysctl["vm.swappiness"]: belongs to no namespace, so it would change the host"#,
        ),
        (
            "/linux/sysctl",
            json!({"net/ipv4/ip_forward": "1"}),
            r#"linux.sysctl["net/ipv4/ip_forward"]: is no parameter: write its name with single dots"#,
        ),
        (
            "/linux/sysctl",
            json!({"net..x": "1"}),
            r#"linux.sysctl["net..x"]: is no parameter: write its name with single dots"#,
        ),
        (
            "/linux/sysctl",
            json!({"kernel.hostname": "x"}),
            r#"linux.sysctl["kernel.hostname"]: is set by hostname"#,
        ),
        (
            "/linux",
            json!({"namespaces": [{"type": "uts"}], "sysctl": {"kernel.sem": "1"}}),
            r#"linux.sysctl["kernel.sem"]: needs an ipc namespace in linux.namespaces"#,
        ),
        ("/linux/maskedPaths/0", json!("proc"), r#"linux.maskedPaths[0]: "proc" is not an absolute path"#),
        ("/linux/readonlyPaths/0", json!("/a/.."), r#"linux.readonlyPaths[0]: "/a/.." leads up with .."#),
        (
            "/linux/rootfsPropagation",
            json!("none"),
            "linux.rootfsPropagation: \"none\" is none of private, slave, shared, unbindable, rprivate, rslave, \
             rshared, runbindable",
        ),
        ("/linux/cgroupsPath", json!("/../x"), r#"linux.cgroupsPath: "/../x" leads up with .."#),
        ("/linux/intelRdt", json!({"closID": "a/b"}), r#"linux.intelRdt.closID: "a/b" is not a file name"#),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["x"]}),
            r#"linux.personality.flags[0]: "x" is no flag: the specification has none"#,
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND"}),
            "linux.memoryPolicy.nodes: is missing, and MPOL_BIND needs it",
        ),
    ]);
}

#[test]
fn limits() {
    refused(&[
        (
            "/linux/resources/memory/limit",
            json!(-5),
            "linux.resources.memory.limit: -5 is negative, and only -1 means unlimited",
        ),
        (
            "/linux/resources/memory",
            json!({"limit": 100, "swap": 50}),
            "linux.resources.memory.swap: 50 is less than the limit, and it means memory and swap together",
        ),
        (
            "/linux/resources/memory/swappiness",
            json!(101),
            "linux.resources.memory.swappiness: 101 is not from 0 to 100",
        ),
        (
            "/linux/resources/cpu/shares",
            json!(262_145),
            "linux.resources.cpu.shares: 262145 is not from 0 to 262144",
        ),
        (
            "/linux/resources/cpu/period",
            json!(999),
            "linux.resources.cpu.period: 999 is not from 1000 to 1000000",
        ),
        (
            "/linux/resources/cpu/quota",
            json!(-2),
            "linux.resources.cpu.quota: -2 is negative, and only -1 means unlimited",
        ),
        (
            "/linux/resources/cpu/cpus",
            json!("0-"),
            r#"linux.resources.cpu.cpus: "0-" is not a list of numbers such as 0-3,7"#,
        ),
        (
            "/linux/resources/pids/limit",
            json!("many"),
            r#"linux.resources.pids.limit: "many" is not an integer"#,
        ),
        (
            "/linux/resources/blockIO/weight",
            json!(9),
            "linux.resources.blockIO.weight: 9 is not from 10 to 1000",
        ),
        ("/linux/resources/devices", json!([{}]), "linux.resources.devices[0].allow: is missing"),
        (
            "/linux/resources/devices",
            json!([{"allow": true, "access": "rx"}]),
            r#"linux.resources.devices[0].access: "rx" holds other letters than r, w and m"#,
        ),
        (
            "/linux/resources/hugepageLimits",
            json!([{"pageSize": "2mb", "limit": 1}]),
            r#"linux.resources.hugepageLimits[0].pageSize: "2mb" is no page size such as 2MB"#,
        ),
        (
            "/linux/resources/unified",
            json!({"../memory.max": "1"}),
            r#"linux.resources.unified["../memory.max"]: is no file of a cgroup such as memory.high"#,
        ),
        (
            "/linux/resources/rdma",
            json!({"m": {}}),
            "linux.resources.rdma.m: has neither hcaHandles nor hcaObjects",
        ),
    ]);
}

#[test]
fn seccomp() {
    let filter = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    refused(&[
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "linux.seccomp.defaultAction: \"SCMP_ACT_NOTIFY\" cannot be the default: the agent's own calls would wait",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}),
            "linux.seccomp.defaultErrnoRet: 1 is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}),
            "linux.seccomp.listenerMetadata: is for nobody: listenerPath is missing",
        ),
        (
            "/linux/seccomp",
            filter(json!({"names": ["bpf"], "action": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.listenerPath: is missing, and SCMP_ACT_NOTIFY needs it",
        ),
        (
            "/linux/seccomp",
            filter(json!({"names": [], "action": "SCMP_ACT_ERRNO"})),
            "linux.seccomp.syscalls[0].names: names no system call",
        ),
        (
            "/linux/seccomp",
            filter(json!({"names": ["a b"], "action": "SCMP_ACT_ERRNO"})),
            r#"linux.seccomp.syscalls[0].names[0]: "a b" is no name of a system call"#,
        ),
        (
            "/linux/seccomp",
            filter(json!({"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
            "linux.seccomp.syscalls[0].errnoRet: 4096 is not from 0 to 4095",
        ),
        (
            "/linux/seccomp",
            filter(json!({
                "names": ["bpf"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}],
            })),
            "linux.seccomp.syscalls[0].args[0].index: 6 is not from 0 to 5",
        ),
    ]);
}
