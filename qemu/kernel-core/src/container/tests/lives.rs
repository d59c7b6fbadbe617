//! Whole lives: from nothing to the gate, through it, and back to nothing.

use super::*;
use bailiwick_abi::Exit as Told;
use bailiwick_kernel_glue::plan::ProcessPlan;
use bailiwick_protocol::message::Scope;

fn process_plan() -> ProcessPlan {
    let load = Step::Load { args: Vec::from(["sh".to_string()]), env: Vec::from(["PATH=/bin".to_string()]) };
    ProcessPlan {
        steps: Vec::from([
            Step::User { uid: 1000, gid: 1000, groups: Vec::from([5]), umask: Some(0o077) },
            Step::Capabilities(CapabilitySets::default()),
            Step::WorkingDirectory("/home".to_string()),
            load,
        ]),
        stdio: Stdio::Log,
    }
}

#[test]
fn what_runc_spec_writes_reaches_the_gate_runs_and_leaves_nothing() {
    let mut w = World::new();
    // Mount points are made in the bundle's own root file system: a first container makes them.
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    let id = w.made(&plan);
    assert!(w.event().is_none());
    let pid = w.first(id);
    assert_ne!(w.k.host_number(pid), Some(0));
    w.k.container_release(id).unwrap();
    assert_eq!(w.k.container_release(id), Err(Errno::EINVAL));
    assert_eq!(w.write(pid, 1, "hello\n"), 6);
    w.exit(pid, 3);
    assert_eq!(w.event(), Some(ContainerEvent::Output { which: Which::First }));
    assert_eq!(w.event(), Some(ContainerEvent::Exited { which: Which::First, exit: Told::Code(3) }));
    assert_eq!(w.event(), None);
    assert_eq!(w.k.container_statistics(id).unwrap().pids, 0, "it has ended");
    let mut buffer = [0; 64];
    let read = w.k.container_output(id, Which::First, &mut buffer).unwrap();
    assert_eq!((&buffer[..read.len], read.lost), (&b"hello\n"[..], 0));
    w.k.container_destroy(id);
    w.k.container_destroy(id);
    w.k.container_remove(id);
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn a_thousand_containers_come_and_go_and_leave_nothing() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    for round in 0..1000 {
        let id = w.started(&plan);
        let pid = w.first(id);
        w.write(pid, 1, "x\n");
        if round % 2 == 0 {
            w.exit(pid, 0);
        }
        while w.event().is_some() {}
        w.k.container_destroy(id);
        w.k.container_remove(id);
        assert_eq!(w.census(), before, "round {round}");
    }
}

#[test]
fn the_pair_of_pivot_root_is_what_the_plan_says_and_the_kernel_did() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let id = w.create();
    let at = position(&plan, |step| matches!(step, Step::PivotRoot { .. }));
    w.steps(id, &plan.create[..at]).unwrap();
    let root = w.k.containers.made(id).unwrap().root().unwrap();
    assert_eq!(w.k.container_pivot(id), None);
    assert_ne!(w.k.containers.made(id).unwrap().fs.root, root);
    w.steps(id, &plan.create[at..]).unwrap();
    assert_eq!(w.k.container_pivot(id), Some(("/", "rootfs")));
    assert_eq!(w.k.containers.made(id).unwrap().fs.root, root);
    let linux = w.k.processes.get(w.first(id)).unwrap().linux().unwrap();
    assert_eq!(linux.fs.as_ref().unwrap().root, root);
    // The new root is at the top of the tree of its namespace, and nothing of the old one is there.
    let set = &w.k.containers.made(id).unwrap().set;
    assert_eq!(w.k.vfs.namespace_root(set.mount), Ok(root));
    let seen = w.k.vfs.mounts_seen_from(root, set.mount);
    assert_eq!(seen.len(), w.k.vfs.mounts_in(set.mount).count() - 1, "all but the bottom are below the root");
}

#[test]
fn destroy_kills_what_is_frozen_and_what_further_processes_do() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let id = w.started(&plan);
    w.k.container_remove(id);
    let before = w.census();
    let id = w.started(&plan);
    let child = w.first(id);
    assert!(w.call(child, 57, [0; 4]) > 0, "fork");
    let exec = w.k.container_execute(id, 4, &process_plan()).unwrap();
    assert_eq!(w.k.container_execute(id, 4, &process_plan()).unwrap_err().errno, Errno::EEXIST);
    assert_eq!(w.k.container_processes(id, 0).unwrap().rows.len(), 3);
    w.k.container_freeze(id).unwrap();
    w.k.container_freeze(id).unwrap();
    w.k.yield_now();
    assert!(matches!(w.k.next(), crate::kernel::Next::Idle), "a frozen process runs");
    assert!(w.k.processes.get(exec).is_some());
    w.k.container_destroy(id);
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn a_further_process_is_in_the_same_namespaces_as_another_user_and_ends_by_itself() {
    let mut w = World::new();
    let id = w.started(&spec_plan(|_| {}));
    let exec = w.k.container_execute(id, 1, &process_plan()).unwrap();
    let (first, second) = (w.first(id), exec);
    let sets = [first, second]
        .map(|p| w.k.processes.get(p).unwrap().linux().unwrap().namespaces.as_ref().unwrap().ids());
    assert_eq!(sets[0], sets[1]);
    assert_eq!(w.call(exec, 102, [0; 4]), 1000, "getuid");
    assert_eq!(w.call(exec, 39, [0; 4]), 2, "getpid");
    w.exit(exec, 9);
    assert_eq!(w.event(), Some(ContainerEvent::Exited { which: Which::Exec(1), exit: Told::Code(9) }));
    assert_eq!(w.k.container_signal(id, Which::Exec(1), 15, Scope::First), Err(Errno::ESRCH));
    w.k.container_forget(id, Which::Exec(1)).unwrap();
    w.k.container_forget(id, Which::Exec(1)).unwrap();
    assert_eq!(w.k.container_forget(id, Which::First), Err(Errno::EINVAL));
    let mut bad = process_plan();
    bad.steps[2] = Step::WorkingDirectory("/nowhere".to_string());
    let fault = w.k.container_execute(id, 1, &bad).unwrap_err();
    assert_eq!((fault.step, fault.errno), (Some(2), Errno::ENOENT));
    bad.steps[2] = Step::WorkingDirectory("/".to_string());
    bad.steps[3] = Step::Load { args: Vec::from(["/bin/none".to_string()]), env: Vec::new() };
    let before = w.census();
    let fault = w.k.container_execute(id, 1, &bad).unwrap_err();
    assert_eq!((fault.step, fault.errno), (Some(3), Errno::ENOENT));
    assert_eq!(w.census(), before);
    w.k.container_signal(id, Which::First, 9, Scope::All).unwrap();
    assert_eq!(w.k.container_execute(id, 2, &process_plan()).unwrap_err().errno, Errno::ESRCH);
}

#[test]
fn signals_reach_whom_they_are_for() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let id = w.started(&plan);
    let neighbour = {
        let plan = spec_plan(|c| c.linux.cgroups_path = Some("/other/one".to_string()));
        w.started(&plan)
    };
    let exec = w.k.container_execute(id, 1, &process_plan()).unwrap();
    for bad in [0, 65, 255] {
        assert_eq!(w.k.container_signal(id, Which::First, bad, Scope::First), Err(Errno::EINVAL));
    }
    assert_eq!(w.k.container_signal(id, Which::Exec(1), 9, Scope::All), Err(Errno::EINVAL));
    assert_eq!(w.k.container_signal(id, Which::Exec(3), 9, Scope::First), Err(Errno::ESRCH));
    // The first process of a pid namespace is spared what it has no handler for.
    w.k.container_signal(id, Which::First, 15, Scope::First).unwrap();
    assert!(w.k.processes.get(w.first(id)).unwrap().exit.is_none());
    w.k.container_signal(id, Which::First, 9, Scope::All).unwrap();
    let exits = [w.first(id), exec].map(|p| w.k.processes.get(p).unwrap().exit);
    assert_eq!(exits, [Some(Exit::Signal(9)); 2]);
    assert!(w.k.processes.get(w.first(neighbour)).unwrap().exit.is_none());
    assert_eq!(w.k.container_signal(id, Which::First, 9, Scope::First), Err(Errno::ESRCH));
    w.k.container_remove(id);
    assert!(w.k.groups.child(GroupId::ROOT, "other").is_some());
    w.k.container_remove(neighbour);
    assert!(w.k.groups.child(GroupId::ROOT, "other").is_none(), "a group made on the way stayed");
}

#[test]
fn the_list_that_plans_are_made_from_is_what_the_kernel_has() {
    let mut listed: Vec<&str> = FEATURES.file_systems.to_vec();
    let mut mountable: Vec<&str> = FsKind::MOUNTABLE.iter().map(|kind| kind.name()).collect();
    listed.sort_unstable();
    mountable.sort_unstable();
    assert_eq!(listed, mountable);
    assert_eq!(FEATURES.capabilities, crate::cred::Capabilities::ALL.0);
}

#[test]
fn what_a_container_leaves_in_its_bundle_is_the_groups_above_to_pay_for() {
    let mut w = World::new();
    let plan = spec_plan(|c| c.root.readonly = false);
    let id = w.started(&plan);
    w.k.container_remove(id);
    let before = w.k.census();
    let paid = |w: &World| w.k.groups.get(GroupId::ROOT).unwrap().account.in_use();
    let paid_before = paid(&w);
    for round in 0..2 * crate::group::GROUPS_MAX as u64 {
        let id = w.started(&plan);
        let pid = w.first(id);
        let fd = w.open(pid, &format!("/left{round}"), 0o101) as u64;
        assert_eq!(w.write(pid, fd, "left behind"), 11);
        w.k.container_remove(id);
        let now = w.k.census();
        let added = round + 1;
        let expected = bailiwick_abi::Census {
            free_frames: before.free_frames - added,
            entries: before.entries + added,
            inodes: before.inodes + added,
            charged_heap: now.charged_heap,
            ..before
        };
        assert_eq!(now, expected);
        // A page each, and one for what the kernel keeps of it.
        assert_eq!(paid(&w), paid_before + 2 * added);
        assert!(now.charged_heap > before.charged_heap + 100 * added);
    }
}

#[test]
fn limits_are_the_plans_and_numbers_come_from_the_group() {
    let mut w = World::new();
    let plan = spec_plan(|c| {
        let resources = c.linux.resources.as_mut().unwrap();
        resources.memory = Some(alloc::boxed::Box::new(bailiwick_server::oci::OciMemory {
            limit: Some(1 << 20),
            ..Default::default()
        }));
        resources.pids = Some(bailiwick_server::oci::OciPids { limit: Some(2) });
    });
    let id = w.started(&plan);
    let pid = w.first(id);
    assert_eq!(w.call(pid, 999, [0; 4]), -38);
    assert_eq!(w.call(pid, 998, [0; 4]), -38);
    let s = w.k.container_statistics(id).unwrap();
    assert_eq!((s.memory_limit, s.pids_limit, s.pids, s.unknown_calls), (Some(1 << 20), Some(2), 1, 2));
    assert!(s.memory > 0 && s.memory <= s.memory_peak && s.memory_peak <= 1 << 20);
    assert!(w.call(pid, 57, [0; 4]) > 0, "fork");
    assert_eq!(w.call(pid, 57, [0; 4]), -11, "fork beyond the limit");
    // More than there may be: the biggest process of the container ends, and that is told.
    let at = w.call(pid, 9, [0, 4 << 20, 3, 0x22]) as u64;
    for page in 0..1024 {
        if w.k.processes.get(pid).unwrap().exit.is_some() {
            break;
        }
        w.touch(pid, at + page * 4096);
    }
    assert_eq!(w.k.processes.get(pid).unwrap().exit, Some(Exit::OutOfMemory));
    assert_eq!(w.event(), Some(ContainerEvent::OutOfMemory));
    assert_eq!(w.event(), Some(ContainerEvent::Exited { which: Which::First, exit: Told::OutOfMemory }));
    assert!(w.k.container_statistics(id).unwrap().oom_kills >= 1);
}

#[test]
fn a_container_whose_notification_is_gone_is_removed_and_a_key_is_used_once() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let id = w.started(&plan);
    w.k.container_remove(id);
    let before = w.census();
    let id = w.started(&plan);
    let of = w.k.containers.record(id).unwrap().of;
    assert_eq!(w.k.container_create(of), Err(Errno::EEXIST));
    assert_eq!(w.k.container_find(EVENTS, of.key), Some(id));
    assert_eq!(w.k.container_find(NotificationId(8), of.key), None);
    w.k.containers_orphaned(NotificationId(8));
    assert!(w.k.containers.record(id).is_ok());
    w.k.containers_orphaned(EVENTS);
    assert_eq!(w.census(), before);
    assert_eq!(w.k.container_step(id, &Step::ReadonlyRoot).unwrap_err().errno, Errno::ESRCH);
    assert_eq!(w.k.container_freeze(id), Err(Errno::ESRCH));
}
