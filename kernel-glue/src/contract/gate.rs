//! Promises of `prepare` and `release`.

use super::context::{Context, ends, file_system, load, replace};
use super::{Case, Fixture, Row, Verdict};
use crate::glue::{ContainerKey, Event, KernelGlue, ProcessKey};
use crate::plan::{Mount, MountFlags, MountSource, Namespace, NamespaceSource, Plan, Reach, Step, Within};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, Scope};

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("a prepared process runs nothing before its gate opens", waits as fn(&mut Context<'_, F>) -> Case),
        ("output is complete when the end is told", complete),
        ("the end of a process is told once", once),
        ("output is told once until it is read", told),
        ("prepare under a key in use is EEXIST and changes nothing", key_in_use),
        ("a plan's pivot_root pair is what prepare reports", pivot),
        ("a missing root file system fails at its step and leaves nothing", no_root),
        ("a root file system that is a file fails at its step and leaves nothing", root_is_file),
        ("an unknown file system fails at its mount and leaves nothing", no_file_system),
        ("a missing bind source fails at its mount and leaves nothing", no_source),
        (
            "a bind source within the bundle may lie behind links that stay there, and no others",
            within_bundle,
        ),
        ("a bind source within a directory of the host lies there or is EXDEV", within_directory),
        ("a missing working directory fails at its step and leaves nothing", no_directory),
        ("a missing program fails at its load with ENOENT and leaves nothing", no_program),
        ("a directory as program fails at its load with EACCES and leaves nothing", directory_program),
        ("a file that may not be executed fails at its load with EACCES and leaves nothing", plain_program),
        ("a missing namespace path fails at its step and leaves nothing", no_namespace),
        ("a namespace path of another kind is refused and leaves nothing", wrong_namespace),
        ("a failed key can be used again", again),
        ("release called twice is EINVAL and changes nothing", release_twice),
        ("release of an unknown key fails", release_unknown),
        ("release fails once the process at the gate was killed", release_killed),
    ])
}

fn waits<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    let plan = c.plan(&["/bin/echo", "ran"]);
    c.prepare(key, &plan)?;
    c.never("before the gate opened", |event| super::context::about(event, key))?;
    ensure_eq!(c.output(ProcessKey::First(key)), "", "output before the gate opened");
    c.release(key)?;
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Code(0), "the end");
    ensure_eq!(c.output(ProcessKey::First(key)), "ran\n", "output");
    Ok(())
}

fn complete<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    for _ in 0..5 {
        let plan = c.plan(&["/bin/sh", "-c", "echo one; echo two; exit 7"]);
        ensure_eq!(c.run(&plan)?, (Exit::Code(7), "one\ntwo\n".to_string()), "the run");
    }
    Ok(())
}

fn once<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/true"])?;
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Code(0), "the end");
    c.never("told again", |event| ends(event, ProcessKey::First(key)))
}

fn told<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sh", "-c", "echo one; echo two; echo three"])?;
    let process = ProcessKey::First(key);
    let output =
        |event: &Event| matches!(event, Event::Output { process: of } if *of == process).then_some(());
    c.until("output", output)?;
    c.exit(process)?;
    c.never("told again without a read", |event| output(event).is_some())?;
    ensure_eq!(c.output(process), "one\ntwo\nthree\n", "output");
    Ok(())
}

fn key_in_use<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    let plan = c.plan(&["/bin/echo", "first"]);
    c.prepare(key, &plan)?;
    let second = c.plan(&["/bin/echo", "second"]);
    match c.try_prepare(key, &second)? {
        Err(fault) => ensure_eq!(fault.errno, Errno::EEXIST, "the second prepare"),
        Ok(_) => return super::context::failed("the second prepare succeeded"),
    }
    c.release(key)?;
    c.exit(ProcessKey::First(key))?;
    ensure_eq!(c.output(ProcessKey::First(key)), "first\n", "output");
    Ok(())
}

fn pivot<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    let plan = c.plan(&["/bin/true"]);
    let prepared = c.prepare(key, &plan)?;
    ensure_eq!(prepared.pivot, Some(("/".to_string(), "rootfs".to_string())), "(old root, new root)");
    ensure!(prepared.pid.0 != 0, "the process number is 0");
    Ok(())
}

/// Prepares a plan that must fail at this step, and looks for what it left.
fn fails<F: Fixture>(c: &mut Context<'_, F>, plan: &Plan, at: usize, errno: Option<Errno>) -> Case {
    let key = c.key();
    let before = c.fixture().census();
    let fault = match c.try_prepare(key, plan)? {
        Err(fault) => fault,
        Ok(_) => return super::context::failed("prepare succeeded"),
    };
    ensure_eq!(c.fixture().census(), before, "kernel objects after the failure");
    ensure_eq!(fault.step, u16::try_from(at).ok(), "the failing step");
    ensure!(!fault.what.is_empty(), "the failure does not say what was done");
    if let Some(errno) = errno {
        ensure_eq!(fault.errno, errno, "the kernel's number");
    }
    ensure!(released_fails(c, key)?, "the container can still be released");
    Ok(())
}

fn released_fails<F: Fixture>(c: &mut Context<'_, F>, key: ContainerKey) -> Result<bool, Verdict> {
    Ok(c.try_release(key)?.is_err())
}

fn root_at(path: &str) -> Step {
    Step::Root { path: path.to_string(), propagation: crate::plan::Propagation::Private }
}

fn no_root<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/true"]);
    let at = replace(&mut plan, |s| matches!(s, Step::Root { .. }), root_at("nowhere"));
    fails(c, &plan, at, Some(Errno::ENOENT))
}

fn root_is_file<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/true"]);
    let at = replace(&mut plan, |s| matches!(s, Step::Root { .. }), root_at("note"));
    fails(c, &plan, at, Some(Errno::ENOTDIR))
}

fn no_file_system<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/true"]);
    let mount = Step::Mount(file_system("nosuchfs", "/tmp"));
    let at = replace(&mut plan, |s| matches!(s, Step::Mount(_)), mount);
    fails(c, &plan, at, Some(Errno::ENODEV))
}

fn no_source<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/true"]);
    let source = MountSource::Bind { path: "nowhere".to_string(), reach: Reach::One, within: Within::Host };
    let mount = Mount { source, flags: MountFlags::RDONLY, ..file_system("bind", "/tmp") };
    let at = replace(&mut plan, |s| matches!(s, Step::Mount(_)), Step::Mount(mount));
    fails(c, &plan, at, Some(Errno::ENOENT))
}

/// A plan whose first mount is this file or directory of the bundle or host, on a file; and where it stands.
fn bound<F: Fixture>(c: &mut Context<'_, F>, path: &str, within: Within) -> (Plan, usize) {
    let mut plan = c.plan(&["/bin/true"]);
    let source = MountSource::Bind { path: path.to_string(), reach: Reach::One, within };
    let mount = Mount { source, flags: MountFlags::RDONLY, ..file_system("bind", "/etc/plain") };
    let at = replace(&mut plan, |s| matches!(s, Step::Mount(_)), Step::Mount(mount));
    (plan, at)
}

fn within_bundle<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    for path in ["note", "inside", "directory/../note"] {
        let (plan, _) = bound(c, path, Within::Bundle);
        let key = c.key();
        c.prepare(key, &plan)?;
    }
    for path in ["above", "absolute", "../contract", "directory/../../etc/passwd"] {
        let (plan, at) = bound(c, path, Within::Bundle);
        fails(c, &plan, at, Some(Errno::EXDEV))?;
    }
    let (plan, at) = bound(c, "nowhere", Within::Bundle);
    fails(c, &plan, at, Some(Errno::ENOENT))
}

fn within_directory<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    // Every host that is tried has this one.
    let directory = || Within::Directory("/bin".to_string());
    let (plan, _) = bound(c, "busybox", directory());
    let key = c.key();
    c.prepare(key, &plan)?;
    for path in ["..", "../bin/busybox", "./../etc"] {
        let (plan, at) = bound(c, path, directory());
        fails(c, &plan, at, Some(Errno::EXDEV))?;
    }
    let (plan, at) = bound(c, "contract-nowhere", directory());
    fails(c, &plan, at, Some(Errno::ENOENT))?;
    let (plan, at) = bound(c, "busybox", Within::Directory("/contract-nowhere".to_string()));
    fails(c, &plan, at, Some(Errno::ENOENT))
}

fn no_directory<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut plan = c.plan(&["/bin/true"]);
    let step = Step::WorkingDirectory("/nowhere".to_string());
    let at = replace(&mut plan, |s| matches!(s, Step::WorkingDirectory(_)), step);
    fails(c, &plan, at, Some(Errno::ENOENT))
}

fn program<F: Fixture>(c: &mut Context<'_, F>, name: &str, errno: Errno) -> Case {
    let mut plan = c.plan(&[]);
    let at = replace(&mut plan, |s| matches!(s, Step::Load { .. }), load(&[name]));
    fails(c, &plan, at, Some(errno))
}

fn no_program<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    program(c, "/bin/nowhere", Errno::ENOENT)?;
    program(c, "nowhere", Errno::ENOENT)
}

fn directory_program<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    program(c, "/tmp", Errno::EACCES)
}

fn plain_program<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    program(c, "/etc/plain", Errno::EACCES)
}

fn join(plan: &mut Plan, kind: Namespace, path: &str) -> usize {
    let at = super::context::position(plan, |s| matches!(s, Step::Namespaces(_)));
    if let Some(Step::Namespaces(list)) = plan.create.get_mut(at) {
        list.retain(|(have, _)| *have != kind);
        list.push((kind, NamespaceSource::Path(path.to_string())));
        list.sort_by_key(|(kind, _)| *kind);
    }
    at
}

fn no_namespace<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Ipc)?;
    let mut plan = c.plan(&["/bin/true"]);
    let at = join(&mut plan, Namespace::Ipc, "/proc/4000000/ns/ipc");
    fails(c, &plan, at, Some(Errno::ENOENT))
}

fn wrong_namespace<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Ipc)?;
    c.needs_namespace(Namespace::Uts)?;
    let (_, pid) = c.start(&["/bin/sleep", "1000"])?;
    let mut plan = c.plan(&["/bin/true"]);
    let at = join(&mut plan, Namespace::Ipc, &format!("/proc/{}/ns/uts", pid.0));
    fails(c, &plan, at, Some(Errno::EINVAL))
}

fn again<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    let plan = c.plan(&["/bin/nowhere"]);
    ensure!(c.try_prepare(key, &plan)?.is_err(), "prepare succeeded");
    let plan = c.plan(&["/bin/echo", "again"]);
    c.prepare(key, &plan)?;
    c.release(key)?;
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Code(0), "the end");
    Ok(())
}

fn release_twice<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    match c.try_release(key)? {
        Err(fault) => ensure_eq!(fault.errno, Errno::EINVAL, "the second release"),
        Ok(()) => return super::context::failed("the second release succeeded"),
    }
    c.never("after the second release", |event| ends(event, ProcessKey::First(key)))
}

fn release_unknown<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    ensure!(c.try_release(key)?.is_err(), "release succeeded");
    Ok(())
}

fn release_killed<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    let plan = c.plan(&["/bin/echo", "ran"]);
    c.prepare(key, &plan)?;
    ensure_eq!(c.glue().signal(ProcessKey::First(key), 9, Scope::First), Ok(()), "the signal");
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Signal(9), "the end");
    ensure!(c.try_release(key)?.is_err(), "release succeeded");
    ensure_eq!(c.output(ProcessKey::First(key)), "", "output");
    Ok(())
}
