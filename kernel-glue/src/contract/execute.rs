//! Promises of `execute`, `forget` and `processes`.

use super::context::{Context, ends, failed, process_plan};
use super::inside::tells;
use super::{Case, Fixture, Row};
use crate::glue::{ExecKey, KernelGlue, ProcessKey};
use crate::plan::{Namespace, Step};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("a further process has its own output and its own end", own as fn(&mut Context<'_, F>) -> Case),
        ("a further process is in every namespace of the container", namespaces),
        ("no further process starts before the gate opens", closed),
        ("no further process starts after the first has ended", late),
        ("a process key in use is EEXIST", key_in_use),
        ("a further process whose program is missing leaves nothing", missing),
        ("forget kills a process that runs, and nothing is told of it", forget),
        ("forget of what is not there does nothing", forget_unknown),
        ("processes lists the living, in the order of their numbers", processes),
    ])
}

fn own<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sh", "-c", "echo first; exec sleep 1000"])?;
    let process = c.execute(key, 1, &["/bin/sh", "-c", "echo further; exit 3"])?;
    ensure_eq!(c.exit(process)?, Exit::Code(3), "the end");
    ensure_eq!(c.output(process), "further\n", "its output");
    ensure_eq!(c.lines(ProcessKey::First(key), 1)?, ["first".to_string()], "the first's output");
    c.never("the first ended", |event| ends(event, ProcessKey::First(key)))
}

fn namespaces<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let kinds = c.glue().features().namespaces.to_vec();
    let script = tells(&kinds);
    let (key, _) = c.start(&["/bin/sh", "-c", &script])?;
    let process = c.execute(key, 1, &["/bin/sh", "-c", &script])?;
    let first = c.lines(ProcessKey::First(key), kinds.len())?;
    ensure_eq!(c.lines(process, kinds.len())?, first, "the namespaces");
    Ok(())
}

fn closed<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    let plan = c.plan(&["/bin/true"]);
    c.prepare(key, &plan)?;
    let before = c.fixture().census();
    let result = c.glue().execute(key, ExecKey(1), &process_plan(&["/bin/true"]));
    ensure!(result.is_err(), "it started: {result:?}");
    ensure_eq!(c.fixture().census(), before, "kernel objects after the failure");
    Ok(())
}

fn late<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Pid)?;
    let (key, _) = c.start(&["/bin/true"])?;
    c.exit(ProcessKey::First(key))?;
    let result = c.glue().execute(key, ExecKey(1), &process_plan(&["/bin/true"]));
    ensure!(result.is_err(), "it started: {result:?}");
    Ok(())
}

fn key_in_use<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let process = c.execute(key, 1, &["/bin/sleep", "1000"])?;
    match c.glue().execute(key, ExecKey(1), &process_plan(&["/bin/true"])) {
        Err(fault) => ensure_eq!(fault.errno, Errno::EEXIST, "the second"),
        Ok(_) => return failed("the second started"),
    }
    c.never("the first of that key ended", |event| ends(event, process))
}

fn missing<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let before = c.fixture().census();
    let plan = process_plan(&["/bin/nowhere"]);
    let at = plan.steps.iter().position(|s| matches!(s, Step::Load { .. }));
    match c.glue().execute(key, ExecKey(1), &plan) {
        Err(fault) => {
            ensure_eq!(fault.errno, Errno::ENOENT, "the kernel's number");
            ensure_eq!(fault.step.map(usize::from), at, "the failing step");
        }
        Ok(_) => return failed("it started"),
    }
    ensure_eq!(c.fixture().census(), before, "kernel objects after the failure");
    c.execute(key, 1, &["/bin/true"]).map(|_| ())
}

fn forget<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let before = c.fixture().census();
    let process = c.execute(key, 1, &["/bin/sleep", "1000"])?;
    c.glue().forget(key, ExecKey(1));
    c.never("told of a forgotten process", |event| ends(event, process))?;
    ensure_eq!(c.fixture().census(), before, "kernel objects");
    ensure_eq!(c.glue().processes(key, 0).map(|page| page.rows.len()), Ok(1), "processes");
    Ok(())
}

fn forget_unknown<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    c.glue().forget(key, ExecKey(9));
    let other = c.key();
    c.glue().forget(other, ExecKey(1));
    c.never("something ended", |event| super::context::about(event, key))
}

fn processes<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, pid) = c.start(&["/bin/sleep", "1000"])?;
    let Ok(further) = c.glue().execute(key, ExecKey(1), &process_plan(&["/bin/sleep", "1000"])) else {
        return failed("execute");
    };
    let Ok(page) = c.glue().processes(key, 0) else { return failed("processes") };
    let listed: Vec<Option<u32>> = page.rows.iter().map(|row| row.pid).collect();
    let mut expected = Vec::from([Some(pid.0), Some(further.0)]);
    expected.sort_unstable();
    ensure_eq!(listed, expected, "the numbers");
    ensure_eq!(page.next, None, "the next page");
    let first = page.rows.iter().find(|row| row.pid == Some(pid.0)).and_then(|row| row.inner_pid);
    ensure!(first.is_none_or(|inner| inner == 1), "the first is number {first:?} inside");
    let Ok(page) = c.glue().processes(key, 2) else { return failed("processes from 2") };
    ensure!(page.rows.is_empty() && page.next.is_none(), "a page after the end: {page:?}");
    let unknown = c.key();
    ensure!(c.glue().processes(unknown, 0).is_err(), "no container, no error");
    Ok(())
}
