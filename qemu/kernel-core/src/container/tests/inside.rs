//! What a process inside sees.

use super::*;
use bailiwick_kernel_glue::plan::NamespaceSource;
use bailiwick_server::oci::{OciCapabilitySet, OciIdMapping, OciMount};

const WRITE: u64 = 1;
const CREATE: u64 = 0o101;
const EROFS: i64 = -30;

#[test]
fn masks_are_empty_read_only_paths_and_roots_refuse_writes() {
    let mut w = World::new();
    let plan = spec_plan(|c| {
        c.linux
            .masked_paths
            .extend(["/etc/plain", "/home", "/nowhere", "/etc/plain/below"].map(str::to_string));
        c.linux.readonly_paths.extend(["/dev/shm", "/nowhere"].map(str::to_string));
    });
    let id = w.started(&plan);
    let p = w.first(id);
    assert_eq!(w.read(p, "/etc/plain"), Ok(String::new()));
    let at = w.text(p, "/etc/plain");
    assert_eq!(w.call(p, 90, [at, 0o777, 0, 0]), EROFS, "chmod of a mask");
    assert_eq!(w.open(p, "/home/new", CREATE), EROFS);
    assert_eq!(w.open(p, "/etc/new", CREATE), EROFS);
    assert_eq!(w.open(p, "/dev/shm/new", CREATE), EROFS);
    assert!(w.open(p, "/dev/new", CREATE) >= 0);
    assert_eq!(w.open(p, "/proc/sys/kernel/hostname", WRITE), EROFS);
    assert_eq!(w.read(p, "/proc/sys/kernel/hostname").unwrap(), "runc\n");
    assert_eq!(w.read(p, "/secret/file"), Err(-2));
    assert_eq!(w.read(p, "/../../secret/file"), Err(-2));
    let info = w.read(p, "/proc/self/mountinfo").unwrap();
    assert!(
        info.lines().next().unwrap().contains(" / / ") || info.contains("/bundles/web/rootfs / "),
        "{info}"
    );
    for mounted in
        ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", "/etc/plain"]
    {
        assert!(
            info.lines().any(|line| line.split(' ').nth(4) == Some(mounted)),
            "{mounted} is missing: {info}"
        );
    }
    assert!(
        !info.contains("secret") && info.lines().filter(|l| l.split(' ').nth(4) == Some("/")).count() == 1
    );
}

#[test]
fn what_is_of_a_bundle_without_the_right_to_write_is_read_only_for_good() {
    const REMOUNT_BIND: u64 = 0x1020;
    let mut w = World::new();
    let plan = spec_plan(|c| {
        c.root.readonly = false;
        let capabilities = c.process.capabilities.as_mut().unwrap();
        let admin = OciCapabilitySet::from_name("CAP_SYS_ADMIN").unwrap();
        capabilities.bounding = admin;
        capabilities.effective = admin;
        capabilities.permitted = admin;
        c.mounts.push(OciMount {
            destination: "/etc/plain".to_string(),
            mount_type: Some("bind".to_string()),
            source: Some("note".to_string()),
            options: Vec::new(),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
        });
    });
    for (writes, came) in [(BundleWrites::Allowed, 0), (BundleWrites::Refused, EROFS)] {
        let id = w.create_of(Stdio::Log, writes);
        w.steps(id, &plan.create).unwrap();
        w.k.container_release(id).unwrap();
        let p = w.first(id);
        let opened = w.open(p, "/bin/new", CREATE);
        let bound = w.open(p, "/etc/plain", WRITE);
        assert_eq!((opened.min(0), bound.min(0)), (came, came), "{writes:?}");
        let at = w.text(p, "/");
        let remounted = w.call(p, 165, [0, at, 0, REMOUNT_BIND]);
        assert_eq!(remounted.min(0), if writes == BundleWrites::Allowed { 0 } else { -1 }, "{writes:?}");
        assert!(w.open(p, "/dev/new", CREATE) >= 0, "what is not of the bundle is as the plan says");
        w.k.container_destroy(id);
    }
}

#[test]
fn the_first_process_is_number_one_with_its_own_names_and_streams() {
    let mut w = World::new();
    let plan = spec_plan(|c| {
        c.domainname = Some("example".to_string());
        c.process.cwd = "/home".to_string();
        c.process.user.umask = Some(0o027);
    });
    let id = w.started(&plan);
    let p = w.first(id);
    assert_eq!(w.call(p, 39, [0; 4]), 1, "getpid");
    assert_eq!(w.call(p, 110, [0; 4]), 0, "getppid");
    assert_eq!(w.call(p, 95, [0o022, 0, 0, 0]), 0o027, "umask");
    assert_eq!(w.read(p, "/proc/sys/kernel/domainname").unwrap(), "example\n");
    let at = w.text(p, "");
    assert_eq!(w.call(p, 79, [at, 256, 0, 0]), 6, "getcwd");
    let listed = w.read(p, "/proc/1/cgroup").unwrap();
    assert_eq!(listed, "0::/web\n");
    let status = w.read(p, "/proc/self/status").unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("CapBnd:\t0000000020000420"), "{status}");
    assert!(status.contains("CapEff:\t0000000020000420"), "{status}");
    assert!(status.contains("CapAmb:\t0000000000000000"), "{status}");
    let limits = w.read(p, "/proc/self/limits").unwrap();
    assert!(
        limits.lines().any(|l| l.starts_with("Max open files") && l.contains("1024                 1024"))
    );
    // The host's own names are as they were.
    let initial = w.k.containers.initial().unwrap().set.uts;
    assert_eq!(w.k.vfs.namespaces.names(initial).0, crate::start::HOST_NAME.as_bytes());
}

#[test]
fn a_namespace_joined_by_path_is_the_same_object_and_outlives_its_maker() {
    let mut w = World::new();
    let one = w.started(&spec_plan(|_| {}));
    let pid = w.k.host_number(w.first(one)).unwrap();
    let joined = [Namespace::Network, Namespace::Uts, Namespace::Ipc, Namespace::Pid];
    let plan = spec_plan(|c| {
        c.hostname = None;
        c.linux.cgroups_path = Some("two".to_string());
        for namespace in &mut c.linux.namespaces {
            let kind = Namespace::from(namespace.kind);
            if joined.contains(&kind) {
                namespace.path = Some(format!("/proc/{pid}/ns/{}", kind.proc_name()));
            }
        }
    });
    let two = w.started(&plan);
    let set = |w: &World, id| w.k.containers.made(id).unwrap().set.ids();
    let (a, b) = (set(&w, one), set(&w, two));
    let kind = |w: &World, id: ContainerId, kind| w.k.containers.made(id).unwrap().set.get(kind);
    for shared in joined {
        assert_eq!(kind(&w, one, shared), kind(&w, two, shared));
    }
    assert_ne!(kind(&w, one, Namespace::Mount), kind(&w, two, Namespace::Mount));
    assert_ne!(a, b);
    let p = w.first(two);
    assert_eq!(w.read(p, "/proc/sys/kernel/hostname").unwrap(), "runc\n");
    assert_eq!(w.call(p, 39, [0; 4]), 2, "the second process of the first one's pid namespace");
    let number = w.k.vfs.namespaces.number(kind(&w, one, Namespace::Uts));
    // The end of the first process of a pid namespace ends everybody in it; the other kinds live on.
    w.k.container_remove(one);
    assert_eq!(w.k.processes.get(p).unwrap().exit, Some(Exit::Signal(9)));
    assert_eq!(w.k.vfs.namespaces.number(kind(&w, two, Namespace::Uts)), number);
    w.k.container_remove(two);
    assert_eq!(w.k.vfs.namespaces.with_number(number), None);
}

#[test]
fn new_namespaces_are_no_other_containers() {
    let mut w = World::new();
    let one = w.started(&spec_plan(|_| {}));
    let two = w.started(&spec_plan(|c| c.linux.cgroups_path = Some("two".to_string())));
    for kind in [Namespace::Mount, Namespace::Pid, Namespace::Uts, Namespace::Ipc, Namespace::Network] {
        let of = |id| w.k.containers.made(id).unwrap().set.get(kind);
        assert_ne!(of(one), of(two), "{}", kind.as_str());
    }
    let p = w.first(two);
    w.put("/tmp/host", b"", 0o644);
    assert_eq!(w.read(p, "/proc/2/comm"), Err(-2), "a process of another container is seen");
}

#[test]
fn a_container_in_a_user_namespace_has_its_own_root() {
    let mut w = World::new();
    let first = w.made(&spec_plan(|_| {}));
    w.k.container_remove(first);
    let plan = spec_plan(|c| {
        let mut user = c.linux.namespaces[0].clone();
        user.kind = bailiwick_server::oci::OciNamespaceKind::User;
        c.linux.namespaces.push(user);
        let map = OciIdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
        c.linux.uid_mappings = Vec::from([map.clone()]);
        c.linux.gid_mappings = Vec::from([map]);
        c.root.readonly = false;
    });
    let id = w.made(&plan);
    w.k.container_remove(id);
    let before = w.census();
    let id = w.started(&plan);
    let p = w.first(id);
    let linux = w.k.processes.get(p).unwrap().linux().unwrap();
    assert_eq!(linux.credentials.uid, crate::cred::Uid(100_000));
    assert_eq!(w.call(p, 102, [0; 4]), 0, "getuid");
    assert_eq!(
        w.read(p, "/proc/self/uid_map").unwrap().split_whitespace().collect::<Vec<_>>(),
        ["0", "100000", "65536"]
    );
    assert!(w.open(p, "/dev/shm/new", CREATE) >= 0);
    assert_eq!(w.open(p, "/etc/new", CREATE), -13, "the bundle's files are the host root's");
    let at = w.text(p, "runc2");
    assert_eq!(w.call(p, 170, [at, 5, 0, 0]), -1, "sethostname without the capability");
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn steps_out_of_place_are_refused() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let find = |wanted: fn(&Step) -> bool| plan.create[position(&plan, wanted)].clone();
    let early = [
        find(|s| matches!(s, Step::Root { .. })),
        find(|s| matches!(s, Step::Mount(_))),
        find(|s| matches!(s, Step::PivotRoot { .. })),
        find(|s| matches!(s, Step::Load { .. })),
        find(|s| matches!(s, Step::Mask(_))),
        find(|s| matches!(s, Step::ReadonlyRoot)),
        find(|s| matches!(s, Step::WorkingDirectory(_))),
        Step::Hostname("host's own".to_string()),
        Step::Sysctl { name: "kernel.pid_max".to_string(), value: "1".to_string() },
    ];
    for step in early {
        let id = w.create();
        assert!(w.k.container_step(id, &step).is_err(), "{step}");
        w.k.container_remove(id);
    }
    let id = w.create();
    let first = NamespaceSource::New;
    w.steps(id, &[Step::Namespaces(Vec::from([(Namespace::Uts, first)]))]).unwrap();
    let sysctl = |name: &str| Step::Sysctl { name: name.to_string(), value: "v".to_string() };
    w.steps(id, &[sysctl("kernel.hostname"), sysctl("kernel.domainname")]).unwrap();
    assert_eq!(w.k.container_step(id, &sysctl("kernel.pid_max")).unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn a_terminal_that_was_inherited_is_dev_console_to_whoever_asks_for_its_name() {
    let mut w = World::new();
    let mut plan = spec_plan(|_| {});
    let null = position(&plan, |step| matches!(step, Step::Device(d) if d.path == "/dev/null"));
    let Step::Device(mut console) = plan.create[null].clone() else { panic!() };
    console.path = "/dev/console".to_string();
    (console.major, console.minor) = (5, 1);
    plan.create.insert(null, Step::Device(console));
    let id = w.create_with(Stdio::Terminal);
    w.steps(id, &plan.create).unwrap();
    w.k.container_release(id).unwrap();
    let pid = w.first(id);
    // Device, inode, and what it represents, as fstat(2) and stat(2) tell them.
    let name = w.text(pid, "/dev/console");
    let to = name - 4096;
    let [inherited, named] = [(5, 0), (4, name)].map(|(number, what)| {
        assert_eq!(w.call(pid, number, [what, to, 0, 0]), 0);
        let mut bytes = [0; 144];
        w.k.with_memory(pid, |space, s| space.read(s, to, &mut bytes)).unwrap().unwrap();
        (bytes[..16].to_vec(), bytes[40..48].to_vec())
    });
    assert_eq!(inherited, named);
}

#[test]
fn a_terminal_is_given_to_one_container_at_a_time_and_only_with_the_console() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let id = w.create_with(Stdio::Terminal);
    w.steps(id, &plan.create).unwrap();
    assert!(w.k.linux.terminal.session.is_some());
    let mut other = plan.clone();
    let Step::ResourceGroup { path, .. } = &mut other.create[0] else { panic!() };
    *path = "other".to_string();
    let second = w.create_with(Stdio::Terminal);
    assert_eq!(w.steps(second, &other.create).unwrap_err().1.errno, Errno::EBUSY);
    w.k.container_remove(id);
    assert!(w.k.linux.terminal.session.is_none());
    let of = w.k.containers.record(second).unwrap().of;
    let refused = NewContainer { console: ConsoleUse::Refused, key: 999, ..of };
    assert_eq!(w.k.container_create(refused), Err(Errno::EPERM));
    assert_eq!(
        w.k.container_create(NewContainer { stdio: Stdio::Inherit, ..refused }),
        Err(Errno::EOPNOTSUPP)
    );
    let file = w.at("/bundles/web/note");
    let no_directory = NewContainer { bundle: file, stdio: Stdio::Log, ..refused };
    assert_eq!(w.k.container_create(no_directory), Err(Errno::ENOTDIR));
}
