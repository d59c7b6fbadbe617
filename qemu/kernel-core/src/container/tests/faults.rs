//! Every step can fail, and nothing is left then.

use super::*;
use bailiwick_kernel_glue::plan::{
    DeviceAccess, DeviceKind, DeviceRule, IdMap, Mount, MountSource, NamespaceSource, Propagation, Resources,
    Rlimit,
};

/// A step of the same kind that cannot be done.
fn broken(step: &Step) -> Step {
    let text = |text: &str| text.to_string();
    match step.clone() {
        Step::ResourceGroup { resources, devices, .. } => {
            Step::ResourceGroup { path: text("/a/../b"), resources, devices }
        }
        Step::Namespaces(mut list) => {
            let path = NamespaceSource::Path(text("/proc/4000000/ns/net"));
            list.iter_mut()
                .filter(|(kind, _)| *kind == Namespace::Network)
                .for_each(|(_, s)| *s = path.clone());
            Step::Namespaces(list)
        }
        Step::Root { propagation, .. } => Step::Root { path: text("nowhere"), propagation },
        Step::Mount(mount) => Step::Mount(Mount {
            source: MountSource::FileSystem { kind: text("nosuchfs"), device: text("none") },
            ..mount
        }),
        Step::Device(device) => {
            Step::Device(bailiwick_kernel_glue::plan::Device { path: text("/dev/.."), ..device })
        }
        Step::Link { target, .. } => Step::Link { path: text("/"), target },
        Step::PivotRoot { old, .. } => Step::PivotRoot { new: text("rootfs/tmp"), old },
        Step::Hostname(_) => Step::Hostname("x".repeat(65)),
        Step::Domainname(_) => Step::Domainname("x".repeat(65)),
        Step::Mask(_) => Step::Mask(text("/")),
        Step::ReadonlyPath(_) => Step::ReadonlyPath(text("/proc/self/\0")),
        Step::Rlimit(limit) => Step::Rlimit(Rlimit { soft: 2, hard: 1, ..limit }),
        Step::User { gid, groups, umask, .. } => Step::User { uid: u32::MAX, gid, groups, umask },
        Step::Capabilities(sets) => Step::Capabilities(CapabilitySets { bounding: 1 << 60, ..sets }),
        Step::WorkingDirectory(_) => Step::WorkingDirectory(text("/nowhere")),
        Step::Load { env, .. } => Step::Load { args: Vec::from([text("/bin/none")]), env },
        // These have no argument that could be wrong: a hook has no place among the steps.
        _ => Step::Hook(bailiwick_kernel_glue::plan::Hook {
            kind: bailiwick_kernel_glue::plan::HookKind::Prestart,
            path: text("/bin/hook"),
            args: Vec::new(),
            env: Vec::new(),
            timeout: None,
        }),
    }
}

#[test]
fn a_broken_argument_at_any_step_fails_there_and_leaves_nothing() {
    let mut w = World::new();
    let plan = spec_plan(|c| {
        c.domainname = Some("domain".to_string());
        c.process.oom_score_adj = Some(100);
    });
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    for at in 0..plan.create.len() {
        let id = w.create();
        let bad = with(&plan, at, broken(&plan.create[at]));
        let (failed, fault) = w.steps(id, &bad.create).unwrap_err();
        assert_eq!(failed, at, "{fault}");
        assert!(!fault.what.is_empty());
        assert_eq!(w.k.container_fault(id), Some(&fault));
        let again = w.k.container_step(id, &plan.create[at]).unwrap_err();
        assert_eq!(again.errno, Errno::EINVAL, "a failed container took a step");
        assert_eq!(w.k.container_release(id), Err(Errno::EINVAL));
        w.k.container_remove(id);
        assert_eq!(w.census(), before, "after {}", bad.create[at]);
    }
}

#[test]
fn a_container_abandoned_after_any_step_leaves_nothing() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    for count in 0..=plan.create.len() {
        let id = w.create();
        w.steps(id, &plan.create[..count]).unwrap();
        w.k.container_remove(id);
        assert_eq!(w.census(), before, "after {count} steps");
    }
}

/// Replaces the first step of this kind and expects this number there.
fn refused(w: &mut World, plan: &Plan, wanted: impl Fn(&Step) -> bool, step: Step, errno: Errno) {
    let at = position(plan, wanted);
    let text = step.to_string();
    let id = w.create();
    let result = w.steps(id, &with(plan, at, step).create);
    w.k.container_remove(id);
    let (failed, fault) = result.expect_err(&text);
    assert_eq!((failed, fault.errno), (at, errno), "{fault}");
}

#[test]
fn bad_bundles_are_refused_by_their_number() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    w.link("/secret", "/bundles/web/absolute");
    w.link("../../secret", "/bundles/web/above");
    w.link("rootfs", "/bundles/web/inside");
    w.put("/bundles/web/rootfs/bin/script", b"#!/bin/none\n", 0o755);
    let mut interpreted = program(62);
    interpreted[56] = 2;
    interpreted[120..124].copy_from_slice(&3u32.to_le_bytes());
    interpreted[128..136].copy_from_slice(&200u64.to_le_bytes());
    interpreted[152..160].copy_from_slice(&8u64.to_le_bytes());
    interpreted[200..208].copy_from_slice(b"/lib/ld\0");
    w.put("/bundles/web/rootfs/bin/dynamic", &interpreted, 0o755);

    let root = |path: &str| Step::Root { path: path.to_string(), propagation: Propagation::Slave };
    let is_root = |s: &Step| matches!(s, Step::Root { .. });
    for (path, errno) in [
        ("nowhere", Errno::ENOENT),
        ("note", Errno::ENOTDIR),
        ("absolute", Errno::EXDEV),
        ("above", Errno::EXDEV),
        ("../../secret", Errno::EXDEV),
        ("rootfs/../../..", Errno::EXDEV),
        ("", Errno::ENOENT),
        ("a\0b", Errno::EINVAL),
    ] {
        refused(&mut w, &plan, is_root, root(path), errno);
    }
    let load = |name: &str| Step::Load {
        args: Vec::from([name.to_string()]),
        env: Vec::from(["PATH=/bin".to_string()]),
    };
    let is_load = |s: &Step| matches!(s, Step::Load { .. });
    for (name, errno) in [
        ("/bin/none", Errno::ENOENT),
        ("none", Errno::ENOENT),
        ("", Errno::ENOENT),
        ("/tmp", Errno::EACCES),
        ("/etc/plain", Errno::EACCES),
        ("/bin/other", Errno::ENOEXEC),
        ("/bin/script", Errno::ENOENT),
        ("/bin/dynamic", Errno::ENOENT),
        ("/bin/sh\0", Errno::EINVAL),
    ] {
        refused(&mut w, &plan, is_load, load(name), errno);
    }
    let directory = |path: &str| Step::WorkingDirectory(path.to_string());
    let is_directory = |s: &Step| matches!(s, Step::WorkingDirectory(_));
    for (path, errno) in
        [("/nowhere", Errno::ENOENT), ("/etc/plain", Errno::ENOTDIR), ("relative", Errno::EINVAL)]
    {
        refused(&mut w, &plan, is_directory, directory(path), errno);
    }
    // A link to the root file system inside the bundle is as good as its name.
    let at = position(&plan, is_root);
    let mut inside = with(&plan, at, root("inside"));
    let pivot = position(&plan, |s| matches!(s, Step::PivotRoot { .. }));
    inside.create[pivot] = Step::PivotRoot { new: "inside".to_string(), old: "/".to_string() };
    let id = w.made(&inside);
    w.k.container_remove(id);
}

#[test]
fn groups_and_namespaces_that_cannot_be_are_refused() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let is_group = |s: &Step| matches!(s, Step::ResourceGroup { .. });
    let group = |path: &str, resources: Resources, letters: Option<&str>| Step::ResourceGroup {
        path: path.to_string(),
        resources,
        devices: letters
            .map(|letters| DeviceRule {
                access: DeviceAccess::Allow,
                kind: Some(DeviceKind::Character),
                major: None,
                minor: None,
                letters: letters.to_string(),
            })
            .into_iter()
            .collect(),
    };
    let none = Resources::default;
    for (step, errno) in [
        (group("", none(), None), Errno::EINVAL),
        (group("/", none(), None), Errno::EINVAL),
        (group("a/../b", none(), None), Errno::EINVAL),
        (group(&"x/".repeat(20), none(), None), Errno::ENOSPC),
        (group(&"x".repeat(200), none(), None), Errno::EINVAL),
        (group("a", Resources { memory_swap: Some(1), ..none() }, None), Errno::EOPNOTSUPP),
        (group("a", Resources { cpus: Some("0".to_string()), ..none() }, None), Errno::EOPNOTSUPP),
        (group("a", Resources { cpu_quota: Some(1), ..none() }, None), Errno::EINVAL),
        (group("a", Resources { cpu_quota: Some(5000), cpu_period: Some(1), ..none() }, None), Errno::EINVAL),
        (group("a", none(), Some("rwx")), Errno::EINVAL),
        (group("a", none(), Some("")), Errno::EINVAL),
    ] {
        refused(&mut w, &plan, is_group, step, errno);
    }
    w.put("/secret/plain", b"", 0o644);
    let before = w.census();
    let other = w.made(&plan);
    refused(&mut w, &plan, is_group, group("web", none(), None), Errno::EEXIST);
    let pid = w.k.host_number(w.first(other)).unwrap();

    let is_namespaces = |s: &Step| matches!(s, Step::Namespaces(_));
    let replaced = |kind: Namespace, path: String| {
        let mut plan = plan.clone();
        let at = position(&plan, is_namespaces);
        let Step::Namespaces(list) = &mut plan.create[at] else { panic!() };
        list.retain(|(have, _)| *have != kind);
        list.push((kind, NamespaceSource::Path(path)));
        list.sort_by_key(|(kind, _)| *kind);
        plan.create[at].clone()
    };
    for (kind, path, errno) in [
        (Namespace::Ipc, "/proc/4000000/ns/ipc".to_string(), Errno::ENOENT),
        (Namespace::Ipc, format!("/proc/{pid}/ns/uts"), Errno::EINVAL),
        (Namespace::Ipc, "/secret/plain".to_string(), Errno::EINVAL),
        (Namespace::Mount, format!("/proc/{pid}/ns/mnt"), Errno::EOPNOTSUPP),
        (Namespace::User, format!("/proc/{pid}/ns/user"), Errno::EINVAL),
    ] {
        let mut apart = plan.clone();
        let at = position(&apart, is_group);
        apart.create[at] = group("apart", none(), None);
        refused(&mut w, &apart, is_namespaces, replaced(kind, path), errno);
    }
    let twice = Step::Namespaces(Vec::from([
        (Namespace::Uts, NamespaceSource::New),
        (Namespace::Uts, NamespaceSource::New),
    ]));
    let mut apart = plan.clone();
    apart.create[0] = group("apart", none(), None);
    refused(&mut w, &apart, is_namespaces, twice, Errno::EINVAL);
    w.k.container_remove(other);
    assert_eq!(w.census(), before);
}

#[test]
fn maps_and_clocks_belong_to_new_namespaces() {
    let mut w = World::new();
    let id = w.create();
    let map = |outside| Vec::from([IdMap { inside: 0, outside, count: 1000 }]);
    let maps = Step::IdMaps { users: map(100_000), groups: map(100_000) };
    assert_eq!(w.k.container_step(id, &maps).unwrap_err().errno, Errno::EINVAL);
    w.k.container_remove(id);
    for (clock, seconds, nanoseconds, errno) in [
        ("monotonic", 5, 0, None),
        ("boottime", -1, 999_999_999, None),
        ("realtime", 5, 0, Some(Errno::EINVAL)),
        ("monotonic", 5, 1_000_000_000, Some(Errno::EINVAL)),
        ("monotonic", -5, 0, Some(Errno::ERANGE)),
        ("monotonic", i64::MAX, 0, Some(Errno::ERANGE)),
    ] {
        let id = w.create();
        let list = Vec::from([(Namespace::Time, NamespaceSource::New)]);
        w.k.container_step(id, &Step::Namespaces(list)).unwrap();
        let step = Step::TimeOffset { clock: clock.to_string(), seconds, nanoseconds };
        assert_eq!(w.k.container_step(id, &step).err().map(|fault| fault.errno), errno, "{step}");
        w.k.container_remove(id);
    }
}
