//! Hooks: where they run, what they read, how they end.

use super::*;
use bailiwick_abi::Exit as Told;
use bailiwick_kernel_glue::plan::{Hook, HookKind};
use bailiwick_protocol::message::{Nanos, Scope};

fn hook(kind: HookKind, path: &str, timeout: Option<u32>) -> Hook {
    let (path, args) = (path.to_string(), Vec::from(["name".to_string()]));
    Hook { kind, path, args, env: Vec::from(["A=b".to_string()]), timeout }
}

/// Takes steps up to where hooks before `pivot_root` stand.
fn filled(w: &mut World, plan: &Plan) -> ContainerId {
    let id = w.create();
    let at = position(plan, |step| matches!(step, Step::PivotRoot { .. }));
    w.steps(id, &plan.create[..at]).unwrap();
    id
}

fn ended(number: u32, exit: Told) -> Option<ContainerEvent> {
    Some(ContainerEvent::Exited { which: Which::Hook(number), exit })
}

#[test]
fn hooks_of_all_kinds_run_where_they_belong_and_read_the_state() {
    let mut w = World::new();
    w.put("/bundles/web/rootfs/bin/inner", &program(62), 0o755);
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    let id = filled(&mut w, &plan);
    let pivot = position(&plan, |step| matches!(step, Step::PivotRoot { .. }));
    for (number, kind) in
        [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer].into_iter().enumerate()
    {
        let number = number as u32;
        let p =
            w.k.container_hook(id, number, &hook(kind, "/bin/hook", None), b"{\"status\":\"creating\"}")
                .unwrap();
        assert_eq!(w.k.container_step(id, &plan.create[pivot]).unwrap_err().errno, Errno::EBUSY);
        assert_eq!(w.read(p, "/secret/file").unwrap(), "secret", "the host's files");
        let set = w.k.processes.get(p).unwrap().linux().unwrap().namespaces.as_ref().unwrap();
        let inner = w.k.containers.made(id).unwrap().set.mount;
        assert_eq!(set.mount == inner, kind == HookKind::CreateContainer);
        let at = w.text(p, "");
        assert_eq!(w.call(p, 0, [0, at, 100, 0]), 21, "the state on its standard input");
        assert_eq!(w.call(p, 0, [0, at, 100, 0]), 0, "and its end");
        assert_eq!(w.write(p, 1, "out"), 3);
        w.exit(p, 0);
        assert_eq!(w.event(), ended(number, Told::Code(0)));
    }
    w.steps(id, &plan.create[pivot..=pivot]).unwrap();
    let gate = w.k.processes.get(w.first(id)).unwrap().linux().unwrap();
    let root = w.k.containers.made(id).unwrap().root;
    assert_eq!(gate.fs.as_ref().map(|fs| fs.root), root, "who waits at the gate follows to the new root");
    w.steps(id, &plan.create[pivot + 1..]).unwrap();
    assert!(w.k.host_number(w.first(id)).is_some());
    let p = w.k.container_hook(id, 9, &hook(HookKind::StartContainer, "/bin/inner", None), b"{}").unwrap();
    assert_eq!(w.read(p, "/secret/file"), Err(-2), "inside the container");
    assert_eq!(w.call(p, 39, [0; 4]), 3, "its number inside");
    assert_eq!(w.k.container_release(id), Err(Errno::EBUSY));
    w.exit(p, 0);
    assert_eq!(w.event(), ended(9, Told::Code(0)));
    w.k.container_release(id).unwrap();
    let p = w.k.container_hook(id, 9, &hook(HookKind::Poststart, "/bin/hook", None), b"{}").unwrap();
    w.exit(p, 1);
    assert_eq!(w.event(), ended(9, Told::Code(1)));
    let post = hook(HookKind::Poststop, "/bin/hook", None);
    assert_eq!(w.k.container_hook(id, 1, &post, b"{}").unwrap_err().errno, Errno::EINVAL, "it is there yet");
    w.k.container_destroy(id);
    let p = w.k.container_hook(id, 1, &post, b"{}").unwrap();
    assert_eq!(w.read(p, "/secret/file").unwrap(), "secret");
    w.exit(p, 0);
    assert_eq!(w.event(), ended(1, Told::Code(0)));
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn a_hook_beyond_its_time_is_killed_and_takes_what_it_started_with_it() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    let id = filled(&mut w, &plan);
    let p = w.k.container_hook(id, 1, &hook(HookKind::CreateRuntime, "/bin/hook", Some(2)), b"").unwrap();
    assert!(w.call(p, 57, [0; 4]) > 0, "fork");
    w.k.mem.hw.now = Nanos(w.k.mem.hw.now.0 + 1_900_000_000);
    w.k.tick();
    assert_eq!(w.event(), None);
    w.k.mem.hw.now = Nanos(w.k.mem.hw.now.0 + 200_000_000);
    w.k.tick();
    assert_eq!(w.event(), ended(1, Told::Signal(9)));
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn a_hook_that_cannot_start_fails_the_container_and_leaves_nothing() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    let big = alloc::vec![b'x'; 65_537];
    for (kind, path, state, errno) in [
        (HookKind::CreateRuntime, "/bin/none", &b"{}"[..], Errno::ENOENT),
        (HookKind::CreateContainer, "/bin", b"{}", Errno::EACCES),
        (HookKind::Prestart, "/bin/hook", &big, Errno::E2BIG),
        (HookKind::Prestart, "hook", b"{}", Errno::EINVAL),
        (HookKind::Poststart, "/bin/hook", b"{}", Errno::EINVAL),
        (HookKind::StartContainer, "/bin/hook", b"{}", Errno::EINVAL),
    ] {
        let id = filled(&mut w, &plan);
        let fault = w.k.container_hook(id, 1, &hook(kind, path, None), state).unwrap_err();
        assert_eq!(fault.errno, errno, "{fault}");
        assert!(fault.what.contains(path));
        w.k.container_remove(id);
        assert_eq!(w.census(), before, "{path}");
    }
}

#[test]
fn destroy_while_a_hook_runs_ends_both() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    for kind in [HookKind::CreateRuntime, HookKind::CreateContainer] {
        let id = filled(&mut w, &plan);
        w.k.container_hook(id, 1, &hook(kind, "/bin/hook", None), b"{}").unwrap();
        w.k.container_destroy(id);
        assert_eq!(w.event(), None);
        w.k.container_remove(id);
        assert_eq!(w.census(), before);
    }
    let id = filled(&mut w, &plan);
    w.k.container_hook(id, 1, &hook(HookKind::CreateRuntime, "/bin/hook", None), b"{}").unwrap();
    w.k.container_signal(id, Which::Hook(1), 15, Scope::First).unwrap();
    w.k.container_forget(id, Which::Hook(1)).unwrap();
    assert_eq!(w.event(), None, "what was forgotten is not told");
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}
