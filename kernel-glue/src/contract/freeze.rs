//! Promises of `freeze` and `thaw`.

use super::context::{Context, LOOKS};
use super::{Case, Fixture, Row};
use crate::glue::{Event, KernelGlue, ProcessKey};
use alloc::vec::Vec;
use bailiwick_protocol::message::{Exit, Scope};

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("freeze and thaw may be called twice", twice as fn(&mut Context<'_, F>) -> Case),
        ("a frozen process makes no progress, and goes on after thaw", progress),
        ("a process killed while frozen has ended after thaw", killed),
        ("freeze and thaw of an unknown container fail", unknown),
        ("a frozen container can be destroyed", destroyed),
    ])
}

fn twice<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    ensure_eq!(c.glue().thaw(key), Ok(()), "thaw of what is not frozen");
    ensure_eq!((c.glue().freeze(key), c.glue().freeze(key)), (Ok(()), Ok(())), "freeze, twice");
    ensure_eq!((c.glue().thaw(key), c.glue().thaw(key)), (Ok(()), Ok(())), "thaw, twice");
    Ok(())
}

fn progress<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/yes"])?;
    let process = ProcessKey::First(key);
    c.lines_of_endless(process)?;
    ensure_eq!(c.glue().freeze(key), Ok(()), "freeze");
    c.drain(process)?;
    let cpu = c.glue().statistics(key).map(|s| s.cpu);
    let mut buffer = [0; 64];
    for _ in 0..LOOKS {
        let read = c.glue().read_output(process, &mut buffer);
        ensure!(read.len == 0, "{} bytes were written while frozen", read.len);
    }
    ensure_eq!(c.glue().statistics(key).map(|s| s.cpu), cpu, "CPU time used while frozen");
    c.forget_events();
    ensure_eq!(c.glue().thaw(key), Ok(()), "thaw");
    c.until("output after thaw", |event| {
        matches!(event, Event::Output { process: of } if *of == process).then_some(())
    })
}

fn killed<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    ensure_eq!(c.glue().freeze(key), Ok(()), "freeze");
    ensure_eq!(c.glue().signal(ProcessKey::First(key), 9, Scope::First), Ok(()), "the signal");
    ensure_eq!(c.glue().thaw(key), Ok(()), "thaw");
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Signal(9), "the end");
    Ok(())
}

fn unknown<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    ensure!(c.glue().freeze(key).is_err() && c.glue().thaw(key).is_err(), "no container, no error");
    Ok(())
}

fn destroyed<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/yes"])?;
    ensure_eq!(c.glue().freeze(key), Ok(()), "freeze");
    c.destroy(key)
}
