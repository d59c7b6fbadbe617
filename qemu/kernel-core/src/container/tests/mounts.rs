//! Mounts, devices and links stay inside the new root, whatever the bundle holds.

use super::*;
use bailiwick_kernel_glue::plan::{Device, DeviceKind, Mount, MountSource, Propagation, Reach, Within};

fn tmpfs(destination: &str) -> Mount {
    Mount {
        destination: destination.to_string(),
        source: MountSource::FileSystem { kind: "tmpfs".to_string(), device: "tmpfs".to_string() },
        flags: MountFlags::empty(),
        clear: MountFlags::empty(),
        tree_flags: MountFlags::empty(),
        tree_clear: MountFlags::empty(),
        propagation: Vec::new(),
        data: String::new(),
    }
}
fn bind(path: &str, destination: &str, reach: Reach) -> Mount {
    Mount {
        source: MountSource::Bind { path: path.to_string(), reach, within: Within::Host },
        ..tmpfs(destination)
    }
}

/// A container with its new root, and nothing in it yet.
fn rooted(w: &mut World) -> ContainerId {
    let plan = spec_plan(|_| {});
    let id = w.create();
    let at = position(&plan, |step| matches!(step, Step::Root { .. }));
    w.steps(id, &plan.create[..=at]).unwrap();
    id
}

/// Finishes it.
fn finish(w: &mut World, id: ContainerId) -> ProcessId {
    let plan = spec_plan(|c| c.root.readonly = false);
    let pivot = position(&plan, |step| matches!(step, Step::PivotRoot { .. }));
    w.steps(id, &plan.create[pivot..]).unwrap();
    w.k.container_release(id).unwrap();
    w.first(id)
}

#[test]
fn no_destination_leads_out_of_the_root() {
    let mut w = World::new();
    for (target, path) in [
        ("/secret", "absolute"),
        ("../../../../secret", "above"),
        ("/", "root"),
        ("etc/../../../../secret", "through"),
        ("/proc/self/root", "magic"),
        ("missing/deep", "dangling"),
        ("absolute", "chain"),
        ("loop", "loop"),
    ] {
        w.link(target, &format!("/bundles/web/rootfs/{path}"));
    }
    let before: Vec<_> = ["/secret/in", "/secret/null", "/secret/link"].to_vec();
    for base in ["absolute", "above", "through", "chain", "dangling", "root", "../..", "etc/../../..", "loop"]
    {
        let id = rooted(&mut w);
        let device = Device {
            path: format!("/{base}/null"),
            kind: DeviceKind::Character,
            major: 1,
            minor: 3,
            mode: 0o666,
            uid: 0,
            gid: 0,
        };
        let steps = [
            Step::Mount(tmpfs(&format!("/{base}/in"))),
            Step::Mount(bind("/bin", &format!("/{base}/in"), Reach::One)),
            Step::Mount(bind("note", &format!("/{base}/file"), Reach::One)),
            Step::Device(device),
            Step::Link { path: format!("/{base}/link"), target: "x".to_string() },
        ];
        // What climbs above the root is refused, whatever would stand there; other ways begin again at the root.
        let climbs = ["above", "through", "../..", "etc/../../.."].contains(&base);
        let wanted = match base {
            "loop" => Err(Errno::ELOOP),
            _ if climbs => Err(Errno::EXDEV),
            _ => Ok(()),
        };
        let errno = |(_, fault): (usize, StepFault)| fault.errno;
        assert_eq!(w.steps(id, &steps).map_err(errno), wanted, "{base}");
        for path in &before {
            assert!(!w.exists(path), "{base} made {path}");
        }
        assert!(!w.exists("/in") && !w.exists("/null") && !w.exists("/link"));
        let root = w.k.containers.made(id).unwrap().root().unwrap();
        let set = w.k.containers.made(id).unwrap().set.mount;
        let own: Vec<_> = w.k.vfs.mounts_in(set).map(|(mount, _)| mount).collect();
        for mount in own {
            let at = w.k.vfs.mount_root(mount).unwrap();
            let is_tmpfs = w.k.vfs.fs_kind(at) == Ok(FsKind::Tmpfs);
            assert!(!is_tmpfs || w.k.vfs.is_reachable(at, root), "{base}: a mount stands outside the root");
        }
        w.k.container_remove(id);
        // A step that failed ends the container, so each of the others fails in one of its own.
        for step in steps.iter().skip(1).filter(|_| wanted.is_err()) {
            let other = rooted(&mut w);
            assert_eq!(w.steps(other, core::slice::from_ref(step)).map_err(errno), wanted, "{base}: {step}");
            w.k.container_remove(other);
        }
        for path in &before {
            assert!(!w.exists(path), "{base} made {path}");
        }
    }
}

#[test]
fn links_begin_again_at_the_root_or_where_they_stand() {
    let mut w = World::new();
    w.link("/tmp", "/bundles/web/rootfs/home/absolute");
    w.link("../etc", "/bundles/web/rootfs/home/relative");
    let id = rooted(&mut w);
    let link = |path: &str| Step::Link { path: path.to_string(), target: "x".to_string() };
    w.steps(id, &[link("/home/absolute/a/one"), link("/home/relative/two"), link("home/./../three")])
        .unwrap();
    for path in ["tmp/a/one", "etc/two", "three"] {
        assert!(w.exists(&format!("/bundles/web/rootfs/{path}")), "{path}");
    }
}

#[test]
fn proc_and_the_root_cannot_be_covered() {
    let mut w = World::new();
    w.link("proc", "/bundles/web/rootfs/linked");
    let proc = |at: &str| Mount {
        source: MountSource::FileSystem { kind: "proc".to_string(), device: "proc".to_string() },
        ..tmpfs(at)
    };
    for (mount, errno) in [
        (tmpfs("/"), Errno::EBUSY),
        (tmpfs("/etc/.."), Errno::EBUSY),
        (tmpfs("/proc"), Errno::EPERM),
        (tmpfs("/linked"), Errno::EPERM),
        (bind("/bin", "/proc", Reach::One), Errno::EPERM),
        (bind("/proc/sys", "/proc", Reach::One), Errno::EPERM),
        (proc("/linked"), Errno::ENOTDIR),
        (bind("note", "/etc", Reach::One), Errno::ENOTDIR),
        (bind("nothing", "/etc", Reach::One), Errno::ENOENT),
        (bind("/proc/self/root", "/etc", Reach::One), Errno::ENOENT),
        (Mount { data: "hidepid=2".to_string(), ..proc("/proc") }, Errno::EINVAL),
        (Mount { data: "size=x".to_string(), ..tmpfs("/tmp") }, Errno::EINVAL),
    ] {
        let id = rooted(&mut w);
        let fault = w.k.container_step(id, &Step::Mount(mount.clone())).unwrap_err();
        assert_eq!(fault.errno, errno, "{fault}");
        w.k.container_remove(id);
    }
    let id = rooted(&mut w);
    w.steps(id, &[Step::Mount(proc("/proc"))]).unwrap();
    for (path, errno) in [("/proc/sys", Some(Errno::EPERM)), ("/proc/meminfo", None)] {
        let mount = if path == "/proc/sys" { tmpfs(path) } else { bind("note", path, Reach::One) };
        let fault = w.k.container_step(id, &Step::Mount(mount)).err().map(|fault| fault.errno);
        assert_eq!(fault, errno, "{path}");
        if fault.is_some() {
            w.k.containers.made_mut(id).unwrap().stage = Stage::Building;
        }
    }
}

#[test]
fn binds_show_the_host_with_the_attributes_asked_for() {
    let mut w = World::new();
    w.mkdir("/secret/below");
    let id = rooted(&mut w);
    let steps = [
        Step::Mount(Mount { flags: MountFlags::RDONLY, ..bind("/secret", "/mnt/a", Reach::Tree) }),
        Step::Mount(bind("note", "/mnt/note", Reach::One)),
        Step::Mount(Mount {
            tree_flags: MountFlags::RDONLY,
            propagation: Vec::from([(Propagation::Private, Reach::Tree)]),
            ..bind("/bundles", "/mnt/b", Reach::Tree)
        }),
        Step::Mount(Mount { flags: MountFlags::RDONLY, data: "size=8k".to_string(), ..tmpfs("/late") }),
        Step::Link { path: "/late/link".to_string(), target: "/mnt/note".to_string() },
    ];
    w.steps(id, &steps).unwrap();
    let p = finish(&mut w, id);
    assert_eq!(w.read(p, "/mnt/note").unwrap(), "note");
    assert_eq!(w.read(p, "/late/link").unwrap(), "note");
    assert_eq!(w.read(p, "/mnt/a/file").unwrap(), "secret");
    let (write, create) = (1, 0o101);
    for path in ["/mnt/a/file", "/mnt/b/web/note"] {
        assert_eq!(w.open(p, path, write), -30, "{path}");
    }
    assert_eq!(w.open(p, "/late/new", create), -30);
    assert!(w.open(p, "/mnt/note", write) >= 0);
    assert_eq!(w.read(p, "/mnt/../../../../secret/file"), Err(-2));
}

#[test]
fn devices_have_exactly_the_mode_and_owner_asked_for_and_rules_are_kept() {
    let mut w = World::new();
    let plan = spec_plan(|c| {
        c.root.readonly = false;
        c.process.capabilities.as_mut().unwrap().bounding =
            bailiwick_server::oci::OciCapabilitySet::from_bits_truncate(u64::MAX >> 23);
    });
    let id = w.started(&plan);
    let p = w.first(id);
    for path in ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"] {
        let fd = w.open(p, path, 2);
        assert!(fd >= 0, "{path}: {fd}");
        w.call(p, 3, [fd as u64, 0, 0, 0]);
    }
    let at = w.text(p, "/dev/null");
    let to = at + 256;
    assert_eq!(w.call(p, 4, [at, to, 0, 0]), 0, "stat");
    let mut stat = [0; 144];
    w.k.with_memory(p, |space, s| space.read(s, to, &mut stat)).unwrap().unwrap();
    assert_eq!(u32::from_le_bytes(stat[24..28].try_into().unwrap()), 0o020_666);
    // The configuration denies all devices but those every container has.
    let at = w.text(p, "/tmp/disk");
    assert_eq!(w.call(p, 133, [at, 0o020_666, 4 << 8 | 64, 0]), 0, "making a node is allowed");
    assert_eq!(w.open(p, "/tmp/disk", 2), -1, "opening it is not");
    assert_eq!(w.read(p, "/dev/stdin"), Ok(String::new()));
}
