//! Promises of `signal`.

use super::context::{Context, failed};
use super::{Case, Fixture, Row};
use crate::glue::{KernelGlue, ProcessKey};
use crate::plan::Namespace;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, Scope};

const KILL: u8 = 9;
const TERM: u8 = 15;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("SIGKILL ends a process, and the end names the signal", kill as fn(&mut Context<'_, F>) -> Case),
        ("a process that handles a signal ends as it chooses", handled),
        ("a signal without handler does not end the first process of a pid namespace", init),
        ("a signal without handler ends a further process", further),
        ("a signal to a process that has ended is ESRCH", ended),
        ("a signal to what was never there fails", unknown),
        ("a signal to all reaches every process of the container and no other", all),
        ("a signal to all is EINVAL for a further process", all_of_further),
        ("the end of the first process of a pid namespace ends all others", last),
    ])
}

fn kill<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    ensure_eq!(c.glue().signal(ProcessKey::First(key), KILL, Scope::First), Ok(()), "the signal");
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Signal(KILL), "the end");
    Ok(())
}

fn handled<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let script = "trap 'exit 5' TERM; echo ready; sleep 1000 & wait";
    let (key, _) = c.start(&["/bin/sh", "-c", script])?;
    c.lines(ProcessKey::First(key), 1)?;
    ensure_eq!(c.glue().signal(ProcessKey::First(key), TERM, Scope::First), Ok(()), "the signal");
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Code(5), "the end");
    Ok(())
}

fn init<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Pid)?;
    let (key, _) = c.start(&["/bin/sh", "-c", "echo ready; exec sleep 1000"])?;
    c.lines(ProcessKey::First(key), 1)?;
    for signal in [TERM, KILL] {
        ensure_eq!(c.glue().signal(ProcessKey::First(key), signal, Scope::First), Ok(()), "the signal");
    }
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Signal(KILL), "the end");
    Ok(())
}

fn further<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let process = c.execute(key, 1, &["/bin/sleep", "1000"])?;
    ensure_eq!(c.glue().signal(process, TERM, Scope::First), Ok(()), "the signal");
    ensure_eq!(c.exit(process)?, Exit::Signal(TERM), "the end");
    Ok(())
}

fn ended<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/true"])?;
    c.exit(ProcessKey::First(key))?;
    for signal in [TERM, KILL] {
        let result = c.glue().signal(ProcessKey::First(key), signal, Scope::First);
        ensure_eq!(result, Err(Errno::ESRCH), "a signal after the end");
    }
    Ok(())
}

fn unknown<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    ensure!(c.glue().signal(ProcessKey::First(key), KILL, Scope::First).is_err(), "no container, no error");
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let process = ProcessKey::Exec(key, crate::glue::ExecKey(77));
    ensure!(c.glue().signal(process, KILL, Scope::First).is_err(), "no process, no error");
    Ok(())
}

fn all<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (neighbour, _) = c.start(&["/bin/sleep", "1000"])?;
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let processes =
        [c.execute(key, 1, &["/bin/sleep", "1000"])?, c.execute(key, 2, &["/bin/sleep", "1000"])?];
    ensure_eq!(c.glue().signal(ProcessKey::First(key), KILL, Scope::All), Ok(()), "the signal");
    for process in [ProcessKey::First(key)].into_iter().chain(processes) {
        ensure_eq!(c.exit(process)?, Exit::Signal(KILL), "the end");
    }
    c.never("a neighbour ended", |event| super::context::ends(event, ProcessKey::First(neighbour)))
}

fn all_of_further<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let process = c.execute(key, 1, &["/bin/sleep", "1000"])?;
    ensure_eq!(c.glue().signal(process, KILL, Scope::All), Err(Errno::EINVAL), "the signal");
    c.never("it ended", |event| super::context::ends(event, process))
}

fn last<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs_namespace(Namespace::Pid)?;
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let process = c.execute(key, 1, &["/bin/sleep", "1000"])?;
    ensure_eq!(c.glue().signal(ProcessKey::First(key), KILL, Scope::First), Ok(()), "the signal");
    match (c.exit(ProcessKey::First(key))?, c.exit(process)?) {
        (Exit::Signal(KILL), Exit::Signal(KILL)) => Ok(()),
        ends => failed(alloc::format!("they ended with {ends:?}")),
    }
}
