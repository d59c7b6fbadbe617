//! Policies: what each item allows and what it does not, and that narrowing only narrows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::KernelGlue;
use bailiwick_kernel_glue::model::Model;
use bailiwick_kernel_glue::plan::{Feature, Features, MountSource, Step, Within};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Exec, Stdio};
use bailiwick_server::plan::{Request, exec_plan, plan};
use bailiwick_server::policy::READY_MADE;
use bailiwick_server::{Policy, ValidConfig};
use serde_json::{Value, json};

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap()
}

/// What `runc spec` writes.
fn spec() -> Value {
    let mut config: Value = serde_json::from_str(include_str!("data/runc-spec.json")).unwrap();
    config["process"]["terminal"] = false.into();
    config
}

/// A bundle that just fits `restricted`.
fn strict() -> Value {
    let mut config = spec();
    config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    for set in ["bounding", "effective", "permitted", "ambient"] {
        config["process"]["capabilities"][set] = json!(["CAP_NET_BIND_SERVICE"]);
    }
    config
}

fn check_on(features: &Features, policy: &Policy, config: &Value) -> Result<(), Refusal> {
    policy.check(&ValidConfig::parse(&config.to_string()).unwrap(), features)
}

fn check(policy: &Policy, config: &Value) -> Result<(), Refusal> {
    check_on(&Model::new(1).features(), policy, config)
}

/// The place that a refusal names.
fn place(result: Result<(), Refusal>) -> String {
    let refusal = result.expect_err("it was allowed");
    assert_eq!(refusal.code, RefusalCode::Policy);
    refusal.detail.as_str().strip_prefix("config.json: ").expect("it names the file").to_owned()
}

fn change(base: &Value, pointer: &str, value: Value) -> Value {
    let mut config = base.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[key] = value;
    config
}

fn push(base: &Value, pointer: &str, value: Value) -> Value {
    let mut config = base.clone();
    config.pointer_mut(pointer).unwrap().as_array_mut().unwrap().push(value);
    config
}

fn bind(source: &str, options: &[&str]) -> Value {
    json!({ "destination": "/mnt", "type": "bind", "source": source, "options": options })
}

#[test]
fn the_ready_made_policies_are_within_one_another() {
    let [restricted, baseline, privileged] = READY_MADE.map(|(_, text)| policy(text));
    assert_eq!(privileged, Policy::default());
    assert!(restricted.is_within(&baseline) && baseline.is_within(&privileged));
    assert!(!baseline.is_within(&restricted) && !privileged.is_within(&baseline));
    for (name, text) in READY_MADE {
        assert_eq!(policy(&format!("include {name}")), policy(text));
        assert!(policy(text).to_text().len() < 2048, "{name} leaves no room for more lines");
    }
}

#[test]
fn the_text_of_a_policy_reads_as_the_same_policy() {
    for (_, text) in READY_MADE {
        assert_eq!(policy(&policy(text).to_text()), policy(text));
    }
    let all = "include baseline\nbind ro /srv/my data\nhook /usr/lib/hooks\nrlimit RLIMIT_NOFILE 1024\ndevice c 10:*";
    assert_eq!(policy(&policy(all).to_text()), policy(all));
    assert_eq!(policy("").to_text(), "seccomp required\n");
}

#[test]
fn a_text_that_is_wrong_is_refused_by_its_line() {
    let cases = [
        ("\n# fine\nbnid ro /srv", "policy: line 3: \"bnid\" is no word of a policy"),
        ("include royal", "policy: line 1: include: \"royal\" is not what stands behind it"),
        ("uid 5-4", "policy: line 1: uid: \"5-4\" "),
        ("bind /srv", "policy: line 1: bind: "),
        ("bind ro srv", "policy: line 1: bind: "),
        ("bind ro /srv/../etc", "policy: line 1: bind: "),
        ("capability CAP_FLY", "policy: line 1: capability: "),
        ("host-namespace", "policy: line 1: host-namespace: "),
        ("allow flying", "policy: line 1: allow: "),
        ("device x 1:3", "policy: line 1: device: "),
        ("sysctl n*t", "policy: line 1: sysctl: "),
        ("seccomp maybe", "policy: line 1: seccomp: "),
        ("rlimit RLIMIT_CORE 5\nrlimit RLIMIT_CORE 6", "policy: line 2: rlimit: "),
    ];
    for (text, expected) in cases {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

/// Lines that policies are put together from.
const LINES: [&str; 40] = [
    "include restricted",
    "include baseline",
    "include privileged",
    "join-namespace network",
    "host-namespace network pid",
    "host-namespace *",
    "uid 0-5",
    "uid 4-9",
    "uid 6-6",
    "gid 1-4294967295",
    "host-uid 100000-165535",
    "host-uid 0-120000",
    "host-gid 7",
    "capability CAP_KILL",
    "capability CAP_KILL CAP_CHOWN",
    "device c 10:*",
    "device * *:229",
    "device b *:*",
    "device c 10:229",
    "file-system rw proc",
    "file-system ro *",
    "file-system rw tmp*",
    "bind ro /",
    "bind rw /srv",
    "bind ro /srv/data",
    "bind rw /srv/data/mine",
    "sysctl net.*",
    "sysctl net.ipv4.*",
    "sysctl net.ipv4.ip_forward",
    "hook /usr/lib",
    "hook /usr/lib/hooks",
    "annotation org.*",
    "annotation *",
    "seccomp required",
    "seccomp where-possible",
    "allow writable-root",
    "allow * ",
    "rlimit RLIMIT_NOFILE 1024",
    "rlimit RLIMIT_NOFILE 64",
    "rlimit RLIMIT_CORE 0",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
    fn policy(&mut self) -> Policy {
        loop {
            let count = self.below(12);
            let lines: Vec<&str> = (0..count).map(|_| LINES[self.below(LINES.len())]).collect();
            // Two ceilings for the same limit are refused.
            if let Ok(policy) = Policy::parse(&lines.join("\n")) {
                return policy;
            }
        }
    }
}

#[test]
fn narrowing_is_the_meet_of_an_order_and_never_adds_anything() {
    let mut random = Random(1);
    let top = Policy::default();
    for _ in 0..3000 {
        let (a, b, c) = (random.policy(), random.policy(), random.policy());
        assert_eq!(a.narrow(&a), a, "idempotent");
        assert_eq!(a.narrow(&b), b.narrow(&a), "commutative");
        assert_eq!(a.narrow(&b).narrow(&c), a.narrow(&b.narrow(&c)), "associative");
        let both = a.narrow(&b);
        assert!(both.is_within(&a) && both.is_within(&b), "{a}\nand\n{b}\ngave\n{both}");
        assert!(a.is_within(&top), "nothing is more than privileged: {a}");
        assert_eq!(Policy::parse(&both.to_text()).as_ref(), Ok(&both), "the text is whole");
    }
}

/// One configuration for each thing a policy can forbid, made from one that fits `restricted`.
fn offences() -> Vec<(&'static str, Value)> {
    let base = strict();
    let new = |kind: &str| {
        let mut config = base.clone();
        let list = config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
        config.as_object_mut().unwrap().remove("hostname");
        config
    };
    let hook = json!([{ "path": "/bin/true" }]);
    vec![
        ("linux.namespaces: no new network namespace", new("network")),
        ("linux.namespaces: no new pid namespace", new("pid")),
        ("linux.namespaces: no new ipc namespace", new("ipc")),
        ("linux.namespaces: no new uts namespace", new("uts")),
        (
            "linux.namespaces[5].path: /proc/1/ns/user",
            push(&base, "/linux/namespaces", json!({ "type": "user", "path": "/proc/1/ns/user" })),
        ),
        ("process.user.uid: 0", change(&base, "/process/user/uid", 0.into())),
        (
            "process.capabilities.bounding: CAP_KILL",
            change(&base, "/process/capabilities/bounding", json!(["CAP_KILL"])),
        ),
        (
            "process.capabilities.inheritable: CAP_SYS_ADMIN",
            change(&base, "/process/capabilities/inheritable", json!(["CAP_SYS_ADMIN"])),
        ),
        ("process.noNewPrivileges: ", change(&base, "/process/noNewPrivileges", false.into())),
        ("process.oomScoreAdj: ", change(&base, "/process/oomScoreAdj", (-1).into())),
        ("root.path: /srv/root", change(&base, "/root/path", "/srv/root".into())),
        ("mounts[7].source: /etc", push(&base, "/mounts", bind("/etc", &["bind", "ro"]))),
        ("mounts[7].source: /", push(&base, "/mounts", bind("/", &["rbind", "rro"]))),
        (
            "mounts[7].type: ext4",
            push(&base, "/mounts", json!({ "destination": "/mnt", "type": "ext4", "source": "/dev/sda" })),
        ),
        (
            "mounts[7].type: overlay",
            push(
                &base,
                "/mounts",
                json!({ "destination": "/mnt", "type": "overlay", "options": ["lowerdir=/"] }),
            ),
        ),
        ("mounts[5].options: sysfs is not mounted ro", change(&base, "/mounts/5/options", json!(["nosuid"]))),
        (
            "mounts[5].options: sysfs is not mounted ro",
            change(&base, "/mounts/5/options", json!(["rro", "rrw", "ro"])),
        ),
        (
            "mounts[6].options: cgroup is not mounted ro",
            change(&base, "/mounts/6/options", json!(["ro", "rw"])),
        ),
        ("mounts[0].destination: proc on /p", change(&base, "/mounts/0/destination", "/p".into())),
        ("mounts[3].options: shared", change(&base, "/mounts/3/options", json!(["rshared"]))),
        ("linux.rootfsPropagation: shared", change(&base, "/linux/rootfsPropagation", "shared".into())),
        ("linux.maskedPaths: /proc/kcore is missing", {
            let mut config = base.clone();
            config["linux"]["maskedPaths"].as_array_mut().unwrap().retain(|path| path != "/proc/kcore");
            config
        }),
        ("linux.readonlyPaths: /proc/bus is missing", change(&base, "/linux/readonlyPaths", json!([]))),
        ("hooks.prestart[0].path: /bin/true", change(&base, "/hooks", json!({ "prestart": hook }))),
        ("hooks.poststop[0].path: /bin/true", change(&base, "/hooks", json!({ "poststop": hook }))),
        ("linux.cgroupsPath", change(&base, "/linux/cgroupsPath", "/system".into())),
        (
            "linux.devices[0]: b 8:0",
            change(
                &base,
                "/linux/devices",
                json!([{ "type": "b", "path": "/dev/sda", "major": 8, "minor": 0 }]),
            ),
        ),
        ("linux.resources.devices: does not begin", change(&base, "/linux/resources/devices", json!([]))),
        (
            "linux.resources.devices: does not begin",
            change(
                &base,
                "/linux/resources/devices",
                json!([{ "allow": false, "type": "c", "access": "rwm" }]),
            ),
        ),
        (
            "linux.resources.devices[1]: * *:*",
            push(&base, "/linux/resources/devices", json!({ "allow": true, "access": "rwm" })),
        ),
        (
            "linux.sysctl.kernel.domainname",
            change(&base, "/linux/sysctl", json!({ "kernel.domainname": "x" })),
        ),
        (
            "linux.sysctl.net.ipv4.ip_forward",
            change(&base, "/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" })),
        ),
    ]
}

#[test]
fn restricted_takes_what_just_fits_and_refuses_each_thing_more_by_its_place() {
    let restricted = policy("include restricted");
    assert_eq!(check(&restricted, &strict()), Ok(()));
    for (expected, config) in offences() {
        let found = place(check(&restricted, &config));
        assert!(found.starts_with(expected), "{found} should begin with {expected}");
        assert_eq!(check(&Policy::default(), &config), Ok(()), "privileged takes {expected}");
    }
}

#[test]
fn baseline_takes_what_ordinary_images_need_and_refuses_the_known_ways_out() {
    let baseline = policy("include baseline");
    let capabilities = [
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ];
    let mut ordinary = spec();
    ordinary["process"]["capabilities"]["bounding"] = json!(capabilities);
    ordinary["process"]["noNewPrivileges"] = false.into();
    ordinary["root"]["readonly"] = false.into();
    ordinary["linux"]["sysctl"] = json!({ "net.ipv4.tcp_syncookies": "1" });
    ordinary["annotations"] = json!({ "org.example.key": "v" });
    assert_eq!(check(&baseline, &ordinary), Ok(()));
    let only_restricted =
        ["process.user.uid", "process.noNewPrivileges", "process.capabilities.bounding: CAP_KILL"];
    for (expected, config) in offences() {
        match only_restricted.iter().any(|rule| expected.starts_with(rule)) {
            true => assert_eq!(check(&baseline, &config), Ok(()), "{expected}"),
            false => assert!(place(check(&baseline, &config)).starts_with(expected), "{expected}"),
        }
    }
    for capability in ["CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"] {
        let config = change(&spec(), "/process/capabilities/ambient", json!([capability]));
        assert_eq!(place(check(&baseline, &config)), format!("process.capabilities.ambient: {capability}"));
    }
}

#[test]
fn a_filter_is_asked_for_as_the_kernel_can_filter() {
    let (plain, filtering) = (Model::new(1).features(), {
        let features = Model::new(1).features();
        Features { features: features.features | Feature::SECCOMP, ..features }
    });
    let plain = Features { features: plain.features - Feature::SECCOMP, ..plain };
    let with = |action: &str| change(&strict(), "/linux/seccomp", json!({ "defaultAction": action }));
    let restricted = policy("include restricted");
    let required = restricted.narrow(&policy("include privileged\n")).narrow(&{
        let text = restricted.to_text().replace("where-possible", "required");
        policy(&text)
    });
    assert_eq!(check_on(&plain, &restricted, &strict()), Ok(()));
    assert_eq!(place(check_on(&filtering, &restricted, &strict())), "linux.seccomp: is missing");
    assert_eq!(place(check_on(&plain, &required, &strict())), "linux.seccomp: is missing");
    assert_eq!(check_on(&filtering, &restricted, &with("SCMP_ACT_ERRNO")), Ok(()));
    let open = with("SCMP_ACT_ALLOW");
    assert_eq!(place(check_on(&filtering, &restricted, &open)), "linux.seccomp: lets every call through");
    let rule = json!([{ "names": ["reboot"], "action": "SCMP_ACT_ERRNO" }]);
    assert_eq!(check_on(&filtering, &restricted, &change(&open, "/linux/seccomp/syscalls", rule)), Ok(()));
    assert_eq!(check_on(&filtering, &policy("include baseline"), &strict()), Ok(()));
}

#[test]
fn each_line_allows_just_what_it_says() {
    let with = |line: &str| policy(&format!("include restricted\n{line}"));
    let base = strict();
    let mount = |source: &str, options: &[&str]| push(&base, "/mounts", bind(source, options));
    let device = |minor: u32| {
        change(
            &base,
            "/linux/devices",
            json!([{ "type": "c", "path": "/dev/x", "major": 10, "minor": minor }]),
        )
    };
    let hook = |path: &str| change(&base, "/hooks", json!({ "createRuntime": [{ "path": path }] }));
    let limit = |hard: u64| {
        change(&base, "/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "hard": hard, "soft": 1 }]))
    };
    let join = |path: &str| change(&base, "/linux/namespaces/1/path", path.into());
    let maps = |host: u32, size: u32| {
        let map = json!([{ "containerID": 0, "hostID": host, "size": size }]);
        let config = push(&base, "/linux/namespaces", json!({ "type": "user" }));
        change(&change(&config, "/linux/uidMappings", map.clone()), "/linux/gidMappings", map)
    };
    let mapped = policy(
        &policy("include restricted")
            .to_text()
            .replace("host-namespace user ", "host-namespace ")
            .replace("uid 1-4294967294", "uid 0-4294967294")
            .replace("host-uid 0-4294967294", "host-uid 100000-165535"),
    );
    let cases: Vec<(Policy, Value, Option<&str>)> = vec![
        (with("bind ro /srv/data"), mount("/srv/data/x", &["bind", "ro"]), None),
        (
            with("bind ro /srv/data"),
            mount("/srv/data/x", &["bind"]),
            Some("mounts[7].options: /srv/data/x is not mounted ro"),
        ),
        (
            with("bind ro /srv/data"),
            mount("/srv/data", &["rbind", "ro"]),
            Some("mounts[7].options: /srv/data is not mounted ro"),
        ),
        (with("bind ro /srv/data"), mount("/srv/data", &["rbind", "rro"]), None),
        (with("bind rw /srv/data"), mount("/srv/data", &["rbind"]), None),
        (with("bind rw /srv/data"), mount("/srv/data2", &["bind"]), Some("mounts[7].source: /srv/data2")),
        (
            with("bind rw /srv/data"),
            mount("/srv/data/../x", &["bind"]),
            Some("mounts[7].source: /srv/data/../x"),
        ),
        (with("device c 10:229"), device(229), None),
        (with("device c 10:229"), device(200), Some("linux.devices[0]: c 10:200")),
        (with("device b 10:229"), device(229), Some("linux.devices[0]: c 10:229")),
        (with("hook /usr/lib"), hook("/usr/lib/a"), None),
        (with("hook /usr/lib"), hook("/usr/lib/../bin/a"), Some("hooks.createRuntime[0].path: ")),
        (with("rlimit RLIMIT_NOFILE 64"), limit(64), None),
        (
            with("rlimit RLIMIT_NOFILE 64"),
            limit(65),
            Some("process.rlimits[0].hard: RLIMIT_NOFILE 65 of at most 64"),
        ),
        (with("rlimit RLIMIT_CORE 0"), limit(65), Some("process.rlimits: RLIMIT_CORE is missing, at most 0")),
        (with(""), join("/run/containers/web/ns/net"), None),
        (with(""), join("/run/containers/web/ns/pid"), Some("linux.namespaces[1].path: ")),
        (with(""), join("/proc/1/ns/net"), Some("linux.namespaces[1].path: ")),
        (with("allow namespace-paths"), join("/proc/1/ns/net"), None),
        (with("allow group-path"), change(&base, "/linux/cgroupsPath", "/x".into()), None),
        (with("annotation x"), change(&base, "/annotations", json!({ "y": "" })), None),
        (
            policy(&with("").to_text().replace("annotation *", "annotation org.*")),
            change(&base, "/annotations", json!({ "com": "" })),
            Some("annotations.com"),
        ),
        (
            policy(&with("").to_text().replace("allow writable-root\n", "")),
            change(&base, "/root/readonly", false.into()),
            Some("root.readonly: "),
        ),
        (mapped.clone(), base.clone(), Some("process.user.uid: 1000")),
        (mapped.clone(), maps(100_000, 65536), None),
        (mapped.clone(), maps(100_000, 65537), Some("linux.uidMappings[0].hostID: 100000-165536")),
        (mapped, maps(0, 10), Some("linux.uidMappings[0].hostID: 0-9")),
    ];
    for (policy, config, expected) in cases {
        match (check(&policy, &config), expected) {
            (Ok(()), None) => {}
            (result @ Err(_), Some(expected)) => {
                assert!(place(result.clone()).starts_with(expected), "{result:?} for {expected}")
            }
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn a_bind_source_is_bound_to_the_directory_that_allowed_it() {
    let within = |policy: &Policy, source: &str| {
        let config = push(&strict(), "/mounts", bind(source, &["bind", "ro"]));
        let config = ValidConfig::parse(&config.to_string()).unwrap();
        let request = Request { id: "a", bundle: "/b", group: "a", stdio: Stdio::Log };
        let plan = plan(&config, &Model::new(1).features(), policy, &request).unwrap();
        plan.create
            .into_iter()
            .find_map(|step| match step {
                Step::Mount(mount) => match mount.source {
                    MountSource::Bind { within, path, .. } => Some((within, path)),
                    MountSource::FileSystem { .. } => None,
                },
                _ => None,
            })
            .unwrap()
    };
    let narrow = policy("include restricted\nbind ro /srv/data");
    let directory = Within::Directory("/srv/data".to_owned());
    assert_eq!(within(&narrow, "/srv//data/./a/b"), (directory.clone(), "a/b".to_owned()));
    assert_eq!(within(&narrow, "/srv/data"), (directory, String::new()));
    assert_eq!(within(&narrow, "data"), (Within::Bundle, "data".to_owned()));
    assert_eq!(within(&Policy::default(), "/srv/data"), (Within::Host, "/srv/data".to_owned()));
}

#[test]
fn a_further_process_obeys_the_policy_of_its_container() {
    let config = ValidConfig::parse(&strict().to_string()).unwrap();
    let exec = |user| Exec { args: "true\0", env: "", cwd: None, user, stdio: Stdio::Log };
    let features = Model::new(1).features();
    let restricted = policy("include restricted");
    let refusal = exec_plan(&config, &features, &restricted, &exec(Some((0, 5)))).unwrap_err();
    assert_eq!((refusal.code, refusal.detail.as_str()), (RefusalCode::Policy, "user: uid 0"));
    let planned = exec_plan(&config, &features, &restricted, &exec(Some((5, 5)))).unwrap();
    assert!(planned.steps.contains(&Step::NoNewPrivileges));
    let capabilities = planned.steps.iter().find_map(|step| match step {
        Step::Capabilities(sets) => Some(*sets),
        _ => None,
    });
    assert_eq!(capabilities.unwrap().bounding, 1 << 10);
    assert!(exec_plan(&config, &features, &Policy::default(), &exec(Some((0, 0)))).is_ok());
}
