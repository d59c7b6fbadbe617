//! The planner: what a configuration comes to, step by step, and what is refused by its place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_kernel_glue::plan::{
    DeviceAccess, DeviceKind, DeviceRule, Feature, Features, HookKind, Mount, MountFlags, MountSource,
    Namespace, Propagation, Reach, Resources, Step, Within,
};
use bailiwick_protocol::message::{Exec, Stdio};
use bailiwick_server::Policy;
use bailiwick_server::oci::ValidConfig;
use bailiwick_server::plan::{Text, exec_plan};
use common::{all, planned, refused, runc_spec, spec_with};
use serde_json::{Value, json};

#[test]
fn what_runc_spec_writes_comes_to_these_steps() {
    let text = Text(&planned(&runc_spec(), &all()).unwrap()).to_string();
    assert!(text == include_str!("data/runc-spec.plan"), "the plan is now:\n{text}");
}

#[test]
fn planning_is_a_pure_function() {
    let document = runc_spec();
    assert_eq!(planned(&document, &all()), planned(&document, &all()));
}

#[test]
fn what_a_kernel_lacks_is_refused_by_the_place_that_asks_for_it() {
    let resources = |path: &str| format!("/linux/resources/{path}");
    let hook = json!([{ "path": "/bin/true" }]);
    let time = json!([{ "type": "mount" }, { "type": "uts" }, { "type": "time" }]);
    let cases = [
        (Feature::MEMORY, resources("memory"), json!({ "limit": 1 << 20 }), "linux.resources.memory.limit"),
        (
            Feature::MEMORY,
            resources("memory"),
            json!({ "reservation": 1 << 20 }),
            "linux.resources.memory.reservation",
        ),
        (Feature::SWAP, resources("memory"), json!({ "limit": 9, "swap": 9 }), "linux.resources.memory.swap"),
        (Feature::CPU, resources("cpu"), json!({ "shares": 512 }), "linux.resources.cpu.shares"),
        (Feature::CPU, resources("cpu"), json!({ "quota": 5000 }), "linux.resources.cpu.quota"),
        (Feature::CPU, resources("cpu"), json!({ "period": 5000 }), "linux.resources.cpu.period"),
        (Feature::CPUSET, resources("cpu"), json!({ "cpus": "0-1" }), "linux.resources.cpu.cpus"),
        (Feature::CPUSET, resources("cpu"), json!({ "mems": "0" }), "linux.resources.cpu.mems"),
        (Feature::PIDS, resources("pids"), json!({ "limit": 9 }), "linux.resources.pids.limit"),
        (Feature::DEVICE_RULES, resources("pids"), json!({}), "linux.resources.devices"),
        (Feature::TERMINAL, resources("pids"), json!({}), "process.terminal"),
        (Feature::HOOKS, "/hooks".into(), json!({ "prestart": hook }), "hooks.prestart"),
        (Feature::HOOKS, "/hooks".into(), json!({ "createRuntime": hook }), "hooks.createRuntime"),
        (Feature::HOOKS, "/hooks".into(), json!({ "createContainer": hook }), "hooks.createContainer"),
        (Feature::HOOKS, "/hooks".into(), json!({ "startContainer": hook }), "hooks.startContainer"),
        (Feature::HOOKS, "/hooks".into(), json!({ "poststart": hook }), "hooks.poststart"),
        (Feature::HOOKS, "/hooks".into(), json!({ "poststop": hook }), "hooks.poststop"),
        (
            Feature::TIME_OFFSETS,
            "/linux".into(),
            json!({ "namespaces": time, "timeOffsets": { "boottime": { "secs": 1 } } }),
            "linux.timeOffsets.boottime",
        ),
        (Feature::OOM_SCORE, "/process/oomScoreAdj".into(), json!(5), "process.oomScoreAdj"),
        (
            Feature::TERMINAL_SIZE,
            "/process/consoleSize".into(),
            json!({ "height": 24, "width": 80 }),
            "process.consoleSize",
        ),
        (
            Feature::RECURSIVE_ATTRIBUTES,
            "/mounts/0/options".into(),
            json!(["rro"]),
            "mounts[0].options: attributes of a whole tree",
        ),
    ];
    let mut seen = Feature::empty();
    for (feature, pointer, value, place) in cases {
        let document = spec_with(&pointer, value);
        planned(&document, &all()).unwrap_or_else(|refusal| panic!("{pointer}: {refusal}"));
        let without = Features { features: Feature::all().difference(feature), ..all() };
        assert_eq!(refused(planned(&document, &without)), place);
        seen |= feature;
    }
    // The others have no step yet: `what_no_plan_can_say` holds them. One that gets a step belongs above.
    let no_step = Feature::all().difference(seen);
    let document = runc_spec();
    assert_eq!(
        planned(&document, &Features { features: seen, ..all() }),
        planned(&document, &all()),
        "{no_step:?} has an influence and no case"
    );
}

#[test]
fn a_kind_of_namespace_that_is_not_there_is_refused_by_its_position() {
    let kinds: Vec<Value> = Namespace::ALL.iter().map(|kind| json!({ "type": kind.as_str() })).collect();
    let mut document = spec_with("/linux/namespaces", kinds.into());
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    document["linux"]["uidMappings"] = map.clone();
    document["linux"]["gidMappings"] = map;
    planned(&document, &all()).unwrap();
    // Features are part of a kernel's program, so they live as long as it does.
    let without = |kind: Namespace| {
        let rest: Vec<Namespace> = Namespace::ALL.into_iter().filter(|other| *other != kind).collect();
        Features { namespaces: rest.leak(), ..all() }
    };
    for (index, kind) in Namespace::ALL.into_iter().enumerate() {
        let place = format!("linux.namespaces[{index}]: {}", kind.as_str());
        assert_eq!(refused(planned(&document, &without(kind))), place);
    }
    let shared = spec_with("/linux/namespaces", json!([{ "type": "uts" }]));
    let place = "linux.namespaces: a container without a new mount namespace";
    assert_eq!(refused(planned(&shared, &all())), place);
    let joined =
        spec_with("/linux/namespaces", json!([{ "type": "uts" }, { "type": "mount", "path": "/x" }]));
    assert_eq!(refused(planned(&joined, &all())), place);
}

#[test]
fn file_systems_capabilities_parameters_and_devices_that_are_not_there_are_refused() {
    let document = runc_spec();
    let few = Features { file_systems: &["proc", "tmpfs"], ..all() };
    assert_eq!(refused(planned(&document, &few)), "mounts[2].type: devpts");
    let without_kill = Features { capabilities: all().capabilities & !(1 << 5), ..all() };
    assert_eq!(refused(planned(&document, &without_kill)), "process.capabilities.bounding: CAP_KILL");
    let sysctl = spec_with("/linux/sysctl", json!({ "net.core.somaxconn": "9" }));
    assert_eq!(
        refused(planned(&sysctl, &Features { sysctls: &[], ..all() })),
        "linux.sysctl.net.core.somaxconn"
    );
    let exact = Features { sysctls: &["net.core.somaxconn"], ..all() };
    planned(&sysctl, &exact).unwrap();
    let only_null = Features { devices: &[(DeviceKind::Character, 1, 3)], ..all() };
    assert_eq!(refused(planned(&document, &only_null)), "linux.devices: the default device /dev/zero");
    const DEFAULT: &[(DeviceKind, u32, u32)] = &[
        (DeviceKind::Character, 1, 3),
        (DeviceKind::Character, 1, 5),
        (DeviceKind::Character, 1, 7),
        (DeviceKind::Character, 1, 8),
        (DeviceKind::Character, 1, 9),
        (DeviceKind::Character, 5, 0),
    ];
    let fuse =
        json!([{ "type": "p", "path": "/p" }, { "type": "c", "path": "/f", "major": 10, "minor": 229 }]);
    let document = spec_with("/linux/devices", fuse);
    assert_eq!(refused(planned(&document, &Features { devices: DEFAULT, ..all() })), "linux.devices[1]");
}

#[test]
fn what_no_plan_can_say_is_refused_by_its_place_even_on_a_kernel_that_can_do_everything() {
    let id = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let cases = [
        ("/process/apparmorProfile", json!("p"), "process.apparmorProfile"),
        ("/process/selinuxLabel", json!("l"), "process.selinuxLabel"),
        ("/process/scheduler", json!({ "policy": "SCHED_OTHER" }), "process.scheduler"),
        ("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 1 }), "process.ioPriority"),
        ("/process/execCPUAffinity", json!({ "initial": "0" }), "process.execCPUAffinity"),
        ("/linux/netDevices", json!({ "eth0": {} }), "linux.netDevices"),
        ("/linux/mountLabel", json!("l"), "linux.mountLabel"),
        ("/linux/intelRdt", json!({ "closID": "a" }), "linux.intelRdt"),
        ("/linux/personality", json!({ "domain": "LINUX32" }), "linux.personality"),
        ("/linux/memoryPolicy", json!({ "mode": "MPOL_DEFAULT" }), "linux.memoryPolicy"),
        ("/linux/resources/memory", json!({ "kernel": 1 }), "linux.resources.memory.kernel"),
        ("/linux/resources/memory", json!({ "kernelTCP": 1 }), "linux.resources.memory.kernelTCP"),
        ("/linux/resources/memory", json!({ "swappiness": 1 }), "linux.resources.memory.swappiness"),
        (
            "/linux/resources/memory",
            json!({ "disableOOMKiller": true }),
            "linux.resources.memory.disableOOMKiller",
        ),
        ("/linux/resources/memory", json!({ "useHierarchy": true }), "linux.resources.memory.useHierarchy"),
        ("/linux/resources/cpu", json!({ "burst": 1 }), "linux.resources.cpu.burst"),
        ("/linux/resources/cpu", json!({ "realtimeRuntime": 1 }), "linux.resources.cpu.realtimeRuntime"),
        ("/linux/resources/cpu", json!({ "realtimePeriod": 1000 }), "linux.resources.cpu.realtimePeriod"),
        ("/linux/resources/cpu", json!({ "idle": 1 }), "linux.resources.cpu.idle"),
        ("/linux/resources/blockIO", json!({ "weight": 10 }), "linux.resources.blockIO"),
        (
            "/linux/resources/hugepageLimits",
            json!([{ "pageSize": "2MB", "limit": 1 }]),
            "linux.resources.hugepageLimits",
        ),
        ("/linux/resources/network", json!({ "classID": 1 }), "linux.resources.network"),
        ("/linux/resources/rdma", json!({ "m": { "hcaHandles": 1 } }), "linux.resources.rdma"),
        ("/linux/resources/unified", json!({ "memory.high": "1" }), "linux.resources.unified"),
        ("/mounts/0/options", json!(["ro", "remount"]), "mounts[0].options[1]: remount"),
        ("/mounts/1/options", json!(["tmpcopyup"]), "mounts[1].options[0]: tmpcopyup"),
        (
            "/mounts/0",
            json!({ "destination": "/d", "source": "/s", "options": ["rbind", "ro", "size=1m"] }),
            "mounts[0].options[2]: size=1m: no option of a bind mount",
        ),
        (
            "/mounts/0",
            json!({ "destination": "/d", "type": "bind", "source": "/s", "options": ["readonly"] }),
            "mounts[0].options[0]: readonly: no option of a bind mount",
        ),
        (
            "/mounts/0",
            json!({
                "destination": "/d", "source": "/s", "options": ["rbind"],
                "uidMappings": id, "gidMappings": id,
            }),
            "mounts[0].uidMappings",
        ),
    ];
    for (pointer, value, place) in cases {
        assert_eq!(refused(planned(&spec_with(pointer, value), &all())), place);
    }
    // What asks for the default asks for nothing.
    for (pointer, value) in [
        ("/linux/personality", json!({ "domain": "LINUX" })),
        ("/linux/resources/blockIO", json!({})),
        ("/linux/resources/network", json!({})),
        ("/linux/resources/memory", json!({ "limit": -1, "checkBeforeUpdate": true })),
    ] {
        planned(&spec_with(pointer, value), &all()).unwrap();
    }
}

/// Takes every place out of the most complete configuration that a refusal names, until nothing is refused.
#[test]
fn each_field_of_a_complete_configuration_has_a_step_or_is_refused() {
    let mut document: Value = serde_json::from_str(include_str!("data/complete.json")).unwrap();
    let mut places = Vec::new();
    let last = loop {
        match planned(&document, &all()) {
            Ok(plan) => break plan,
            Err(refusal) => {
                let place = refusal.detail.as_str().strip_prefix("config.json: ").unwrap().to_owned();
                let path = place.split(": ").next().unwrap().replace('[', ".").replace(']', "");
                assert!(remove(&mut document, &path), "{refusal} names no place");
                // The two go together, by another rule.
                remove(&mut document, &path.replace("uidMappings", "gidMappings"));
                places.push(place);
            }
        }
        assert!(places.len() < 100);
    };
    let expected: Vec<&str> = include_str!("data/complete.refused").lines().collect();
    assert!(places == expected, "refused are now:\n{}", places.join("\n"));
    let text = Text(&last).to_string();
    assert!(text == include_str!("data/complete.plan"), "the plan is now:\n{text}");
}

/// Removes what is at a path like `linux.resources.cpu.burst` or `mounts.2.options.0`; a key may hold dots.
fn remove(document: &mut Value, path: &str) -> bool {
    match document {
        Value::Object(fields) => {
            if fields.remove(path).is_some() {
                return true;
            }
            let found = fields.iter_mut().find_map(|(key, value)| {
                let rest = path.strip_prefix(key.as_str())?.strip_prefix('.')?;
                Some((value, rest.to_owned()))
            });
            found.is_some_and(|(value, rest)| remove(value, &rest))
        }
        Value::Array(items) => {
            let (index, rest) = path.split_once('.').map_or((path, None), |(i, rest)| (i, Some(rest)));
            match (index.parse::<usize>(), rest) {
                (Ok(index), None) if index < items.len() => {
                    items.remove(index);
                    true
                }
                (Ok(index), Some(rest)) if index < items.len() => remove(&mut items[index], rest),
                _ => false,
            }
        }
        _ => false,
    }
}

/// The one mount of a configuration that has only this one.
fn mount(options: &[&str], source: Value) -> Mount {
    let mut mount = json!({ "destination": "/d", "type": "tmpfs", "options": options });
    mount["source"] = source;
    let plan = planned(&spec_with("/mounts", json!([mount])), &all()).unwrap();
    let mut mounts = plan.create.into_iter().filter_map(|step| match step {
        Step::Mount(mount) => Some(mount),
        _ => None,
    });
    let only = mounts.next().unwrap();
    assert_eq!(mounts.next(), None);
    only
}

#[test]
fn every_word_of_a_mount_does_what_mount_8_says() {
    use MountFlags as F;
    let set = [
        ("ro", F::RDONLY),
        ("nosuid", F::NOSUID),
        ("nodev", F::NODEV),
        ("noexec", F::NOEXEC),
        ("nosymfollow", F::NOSYMFOLLOW),
        ("noatime", F::NOATIME),
        ("nodiratime", F::NODIRATIME),
        ("relatime", F::RELATIME),
        ("strictatime", F::STRICTATIME),
        ("sync", F::SYNCHRONOUS),
        ("dirsync", F::DIRSYNC),
        ("mand", F::MANDLOCK),
        ("iversion", F::I_VERSION),
        ("lazytime", F::LAZYTIME),
        ("silent", F::SILENT),
    ];
    for (word, flag) in set {
        let planned = mount(&[word], json!("t"));
        assert_eq!((planned.flags, planned.clear, planned.data.as_str()), (flag, F::empty(), ""), "{word}");
    }
    let clear = [
        ("rw", F::RDONLY),
        ("suid", F::NOSUID),
        ("dev", F::NODEV),
        ("exec", F::NOEXEC),
        ("symfollow", F::NOSYMFOLLOW),
        ("atime", F::NOATIME),
        ("diratime", F::NODIRATIME),
        ("norelatime", F::RELATIME),
        ("nostrictatime", F::STRICTATIME),
        ("async", F::SYNCHRONOUS),
        ("nomand", F::MANDLOCK),
        ("noiversion", F::I_VERSION),
        ("nolazytime", F::LAZYTIME),
        ("loud", F::SILENT),
    ];
    for (word, flag) in clear {
        let planned = mount(&[word], json!("t"));
        assert_eq!((planned.flags, planned.clear, planned.data.as_str()), (F::empty(), flag, ""), "{word}");
    }
    let tree = F::RDONLY | F::NOSUID | F::NODEV | F::NOEXEC | F::NOSYMFOLLOW;
    let tree = tree | F::NOATIME | F::NODIRATIME | F::RELATIME | F::STRICTATIME;
    for (words, on) in [(&set[..], true), (&clear[..], false)] {
        for (word, flag) in words {
            let recursive = format!("r{word}");
            let planned = mount(&[&recursive], json!("t"));
            let expected = if tree.contains(*flag) { *flag } else { F::empty() };
            let got = if on { planned.tree_flags } else { planned.tree_clear };
            assert_eq!(got, expected, "{recursive}");
            // Without a meaning it is for the file system, which will say what it thinks of it.
            assert_eq!(planned.data.is_empty(), tree.contains(*flag), "{recursive}");
        }
    }
    use Propagation::{Private, Shared, Slave, Unbindable};
    let changes = [("private", Private), ("slave", Slave), ("shared", Shared), ("unbindable", Unbindable)];
    for (word, change) in changes {
        assert_eq!(mount(&[word], json!("t")).propagation, [(change, Reach::One)]);
        assert_eq!(mount(&[&format!("r{word}")], json!("t")).propagation, [(change, Reach::Tree)]);
    }
    let planned = mount(&["ro", "mode=755", "rw", "defaults", "size=64k", "rprivate", "shared"], json!("t"));
    assert_eq!((planned.flags, planned.clear), (F::empty(), F::RDONLY), "the later word wins");
    assert_eq!(planned.data, "mode=755,size=64k");
    assert_eq!(planned.propagation, [(Private, Reach::Tree), (Shared, Reach::One)]);
}

#[test]
fn a_bind_mount_shows_its_source_and_any_other_mounts_a_file_system() {
    let bind = |path: &str, reach| MountSource::Bind { path: path.into(), reach, within: Within::Host };
    assert_eq!(mount(&["bind"], json!("/s")).source, bind("/s", Reach::One));
    assert_eq!(mount(&["rbind", "ro"], json!("data")).source, bind("data", Reach::Tree));
    let tmpfs = |device: &str| MountSource::FileSystem { kind: "tmpfs".into(), device: device.into() };
    assert_eq!(mount(&[], json!("none")).source, tmpfs("none"));
    assert_eq!(mount(&[], Value::Null).source, tmpfs("tmpfs"));
}

fn group(resources: Value) -> (Resources, Vec<DeviceRule>) {
    let mut document = runc_spec();
    document["linux"]["resources"] = resources;
    let plan = planned(&document, &all()).unwrap();
    match plan.create.into_iter().next() {
        Some(Step::ResourceGroup { path, resources, devices }) => {
            assert_eq!(path, "web");
            (resources, devices)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_taken_over_and_unlimited_is_no_limit() {
    let (limits, rules) = group(json!({
        "memory": { "limit": 1000, "reservation": 900, "swap": 2000 },
        "cpu": { "shares": 512, "quota": 5000, "period": 10000, "cpus": "0-1", "mems": "0" },
        "pids": { "limit": 7 },
    }));
    let expected = Resources {
        memory: Some(1000),
        memory_reservation: Some(900),
        memory_swap: Some(2000),
        cpu_shares: Some(512),
        cpu_quota: Some(5000),
        cpu_period: Some(10000),
        cpus: Some("0-1".into()),
        mems: Some("0".into()),
        pids: Some(7),
    };
    assert_eq!((limits, rules), (expected, vec![]));
    let unlimited = json!({
        "memory": { "limit": -1, "reservation": -1, "swap": -1 },
        "cpu": { "shares": 0, "quota": -1 },
        "pids": { "limit": -1 },
    });
    assert_eq!(group(unlimited).0, Resources::default());
    assert_eq!(group(json!({ "pids": { "limit": 0 } })).0.pids, Some(1), "the first process needs one");
}

#[test]
fn device_rules_stand_in_order_before_those_of_every_container() {
    assert_eq!(group(json!({ "devices": [] })).1, []);
    let (_, rules) = group(json!({ "devices": [
        { "allow": false },
        { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
        { "allow": true, "type": "b", "major": 8, "minor": -1, "access": "r" },
        { "allow": false, "type": "a", "access": "m" },
    ] }));
    let rule = |access, kind, major, minor, letters: &str| DeviceRule {
        access,
        kind,
        major,
        minor,
        letters: letters.into(),
    };
    use DeviceAccess::{Allow, Deny};
    use DeviceKind::{Block, Character};
    assert_eq!(
        rules[..4],
        [
            rule(Deny, None, None, None, "rwm"),
            rule(Allow, Some(Character), Some(10), Some(229), "rw"),
            rule(Allow, Some(Block), Some(8), None, "r"),
            rule(Deny, None, None, None, "m"),
        ]
    );
    assert!(rules[4..].iter().all(|rule| rule.access == Allow && rule.kind.is_some()));
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)] {
        assert!(rules[4..].contains(&rule(Allow, Some(Character), Some(major), Some(minor), "rwm")));
    }
    // Nothing with a number that was not asked for and that no container has: no disk, no memory.
    assert!(!rules[4..].iter().any(|r| r.letters != "m" && (r.major == Some(8) || r.major.is_none())));
}

#[test]
fn hooks_stand_where_the_specification_has_them_run() {
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let mut document = runc_spec();
    for kind in kinds {
        let hooks = json!([{ "path": "/one", "timeout": 5 }, { "path": "/two", "args": ["two", kind] }]);
        document["hooks"][kind] = hooks;
    }
    let plan = planned(&document, &all()).unwrap();
    let position = |what: &dyn Fn(&Step) -> bool| plan.create.iter().position(what).unwrap();
    let create: Vec<HookKind> = plan
        .create
        .iter()
        .filter_map(|step| match step {
            Step::Hook(hook) => Some(hook.kind),
            _ => None,
        })
        .collect();
    use HookKind as H;
    assert_eq!(create, [H::Prestart, H::CreateRuntime, H::CreateContainer].map(|kind| [kind; 2]).concat());
    let first_hook = position(&|step| matches!(step, Step::Hook(_)));
    let pivot = position(&|step| matches!(step, Step::PivotRoot { .. }));
    let mount = position(&|step| matches!(step, Step::Mount(_)));
    assert!(mount < first_hook && first_hook + 6 == pivot);
    for (list, kind) in
        [(&plan.start, H::StartContainer), (&plan.poststart, H::Poststart), (&plan.poststop, H::Poststop)]
    {
        assert_eq!(list.iter().map(|hook| hook.kind).collect::<Vec<_>>(), [kind; 2]);
        assert_eq!((list[0].args.clone(), list[0].timeout), (vec!["/one".to_owned()], Some(5)));
        assert_eq!((list[1].args[0].as_str(), list[1].timeout), ("two", None));
    }
}

#[test]
fn a_further_process_is_as_the_first_but_for_what_the_call_says() {
    let config = ValidConfig::parse(&runc_spec().to_string()).unwrap();
    let exec = Exec { args: "ls\0-l\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
    let first = planned(&runc_spec(), &all()).unwrap();
    let plan = exec_plan(&config, &all(), &Policy::default(), &exec).unwrap();
    let tail = &first.create[first.create.len() - plan.steps.len()..];
    assert_eq!(plan.steps[..plan.steps.len() - 1], tail[..tail.len() - 1], "all but the program is the same");
    let env = config.process.env.clone();
    let args = vec!["ls".to_owned(), "-l".to_owned()];
    assert_eq!(plan.steps.last(), Some(&Step::Load { args, env }));
    let other = Exec {
        args: "id\0",
        env: "TERM=dumb\0NEW=1\0",
        cwd: Some("/tmp"),
        user: Some((5, 6)),
        stdio: Stdio::Console,
    };
    let plan = exec_plan(&config, &all(), &Policy::default(), &other).unwrap();
    assert_eq!(plan.stdio, Stdio::Console);
    assert!(plan.steps.contains(&Step::WorkingDirectory("/tmp".into())));
    assert!(plan.steps.contains(&Step::User { uid: 5, gid: 6, groups: vec![], umask: None }));
    let Some(Step::Load { env, .. }) = plan.steps.last() else { panic!("no program") };
    assert_eq!(env[1..], ["TERM=dumb", "NEW=1"], "set again, not twice");
    assert!(env[0].starts_with("PATH="));
}
