//! Promises of `write_input`.

use super::context::{Context, failed, process_plan};
use super::{Case, Fixture, Row};
use crate::glue::{ExecKey, KernelGlue, ProcessKey};
use crate::plan::{Feature, Plan};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, InputEnd, Stdio};

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        (
            "what is written to an input that is a pipe is read, to its end",
            read as fn(&mut Context<'_, F>) -> Case,
        ),
        ("a further process has an input of its own", further),
        ("an input that nobody reads takes what there is room for and no more", full),
        ("an input that is no pipe, has ended or is nobody's takes nothing", none),
    ])
}

fn piped<F: Fixture>(c: &mut Context<'_, F>, args: &[&str]) -> Plan {
    Plan { stdio: Stdio::Piped, ..c.plan(args) }
}

fn needs<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::INPUT, "pipes as input")
}

fn read<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    needs(c)?;
    let key = c.key();
    let plan = piped(c, &["/bin/cat"]);
    c.prepare(key, &plan)?;
    let process = ProcessKey::First(key);
    ensure_eq!(c.glue().write_input(process, b"early\n", InputEnd::Open), Ok(6), "before the gate opens");
    c.release(key)?;
    ensure_eq!(c.glue().write_input(process, b"one\ntwo\n", InputEnd::Open), Ok(8), "the second write");
    ensure_eq!(c.glue().write_input(process, b"", InputEnd::Close), Ok(0), "the end");
    ensure_eq!(c.exit(process)?, Exit::Code(0), "the process's end");
    ensure_eq!(c.output(process), "early\none\ntwo\n", "what was read");
    ensure!(c.glue().write_input(process, b"more", InputEnd::Open).is_err(), "written after the end");
    Ok(())
}

fn further<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    needs(c)?;
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let plan = crate::plan::ProcessPlan { stdio: Stdio::Piped, ..process_plan(&["/bin/cat"]) };
    let started = c.glue().execute(key, ExecKey(1), &plan);
    ensure!(started.is_ok(), "execute: {started:?}");
    let process = ProcessKey::Exec(key, ExecKey(1));
    ensure_eq!(c.glue().write_input(process, b"own\n", InputEnd::Close), Ok(4), "the write");
    ensure_eq!(c.exit(process)?, Exit::Code(0), "its end");
    ensure_eq!(c.output(process), "own\n", "what was read");
    ensure_eq!(
        c.glue().write_input(ProcessKey::First(key), b"x", InputEnd::Open),
        Err(Errno::EINVAL),
        "the first process, whose input is none"
    );
    Ok(())
}

fn full<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    needs(c)?;
    let key = c.key();
    let plan = piped(c, &["/bin/sleep", "1000"]);
    c.prepare(key, &plan)?;
    c.release(key)?;
    let (process, piece) = (ProcessKey::First(key), [b'x'; 4096]);
    for _ in 0..1000 {
        if c.glue().write_input(process, &piece, InputEnd::Open) == Ok(0) {
            // What is not taken whole does not end it.
            ensure_eq!(c.glue().write_input(process, &piece, InputEnd::Close), Ok(0), "the same and its end");
            ensure_eq!(c.glue().write_input(process, b"", InputEnd::Close), Ok(0), "the end");
            ensure_eq!(
                c.glue().write_input(process, b"x", InputEnd::Open),
                Err(Errno::EPIPE),
                "after the end"
            );
            return Ok(());
        }
    }
    failed("4 MB were taken that nobody read")
}

fn none<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let written = c.glue().write_input(ProcessKey::First(key), b"x", InputEnd::Open);
    ensure_eq!(written, Err(Errno::EINVAL), "an input that is no pipe");
    let unknown = ProcessKey::First(c.key());
    ensure_eq!(c.glue().write_input(unknown, b"x", InputEnd::Open), Err(Errno::ESRCH), "an unknown process");
    Ok(())
}
