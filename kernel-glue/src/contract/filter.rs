//! Promises of the step that loads a system-call filter.

use super::context::{Context, position, process_plan};
use super::{Case, Fixture, Row};
use crate::filter::{
    ARCHITECTURE_X86_64, DATA_ARCHITECTURE, DATA_NUMBER, Filter, FilterFlags, Instruction, code, verdict,
};
use crate::glue::{ExecKey, KernelGlue, ProcessKey};
use crate::plan::{Feature, Plan, Step};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

/// open(2), openat(2) and umask(2) on x86_64.
const OPEN: u32 = 2;
const OPENAT: u32 = 257;
const UMASK: u32 = 95;
/// `EOPNOTSUPP`
const UNUSUAL: u32 = 95;
const SIGSYS: u8 = 31;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        (
            "a filtered call fails with the filter's number, in children too",
            fails as fn(&mut Context<'_, F>) -> Case,
        ),
        ("a filter that kills ends the process as SIGSYS does", kills),
        ("a trapped call is a signal that can be handled", traps),
        ("a further process has its own plan's filter", further),
        ("a filter that is no valid program fails at its step", invalid),
    ])
}

/// A program that gives this verdict on these calls, and allows the others.
fn filter(calls: &[u32], verdict: u32) -> Filter {
    let one = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut instructions = Vec::from([
        one(code::LOAD, 0, 0, DATA_ARCHITECTURE),
        one(code::JUMP_EQUAL, 1, 0, ARCHITECTURE_X86_64),
        one(code::RETURN, 0, 0, verdict::KILL_PROCESS),
        one(code::LOAD, 0, 0, DATA_NUMBER),
    ]);
    for call in calls {
        instructions.extend([one(code::JUMP_EQUAL, 0, 1, *call), one(code::RETURN, 0, 0, verdict)]);
    }
    instructions.push(one(code::RETURN, 0, 0, verdict::ALLOW));
    Filter { instructions, flags: FilterFlags::empty() }
}

/// Puts the filter where the planner does.
fn with(mut plan: Plan, filter: Filter) -> Plan {
    let at = position(&plan, |step| matches!(step, Step::NoNewPrivileges));
    plan.create.insert((at + 1).min(plan.create.len()), Step::Filter(filter));
    plan
}

fn fails<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::SECCOMP, "system-call filters")?;
    let plan = c.plan(&["/bin/sh", "-c", "/bin/cat /etc/plain; echo $?; /bin/readlink /bin/cat"]);
    let (exit, output) = c.run(&with(plan, filter(&[OPEN, OPENAT], verdict::ERRNO | UNUSUAL)))?;
    let told = "cat: can't open '/etc/plain': Operation not supported\n1\nbusybox\n";
    ensure_eq!((exit, output.as_str()), (Exit::Code(0), told), "opening a file");
    Ok(())
}

fn kills<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::SECCOMP, "system-call filters")?;
    for verdict in [verdict::KILL_PROCESS, verdict::KILL_THREAD, verdict::TRAP] {
        let plan = c.plan(&["/bin/cat", "/etc/plain"]);
        let (exit, output) = c.run(&with(plan, filter(&[OPEN, OPENAT], verdict)))?;
        ensure_eq!((exit, output.as_str()), (Exit::Signal(SIGSYS), ""), "the end");
    }
    Ok(())
}

fn traps<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::SECCOMP, "system-call filters")?;
    let plan = c.plan(&["/bin/sh", "-c", "trap 'echo trapped' SYS; umask 077; echo on"]);
    let (exit, output) = c.run(&with(plan, filter(&[UMASK], verdict::TRAP)))?;
    ensure_eq!(exit, Exit::Code(0), "the end");
    ensure!(output.starts_with("trapped\n") && output.ends_with("on\n"), "it wrote {output:?}");
    Ok(())
}

fn further<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::SECCOMP, "system-call filters")?;
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let mut plan = process_plan(&["/bin/cat", "/etc/plain"]);
    let load = plan.steps.len().saturating_sub(1);
    plan.steps.insert(load, Step::Filter(filter(&[OPEN, OPENAT], verdict::KILL_PROCESS)));
    if let Err(fault) = c.glue().execute(key, ExecKey(1), &plan) {
        return super::context::failed(alloc::format!("execute: {fault}"));
    }
    ensure_eq!(c.exit(ProcessKey::Exec(key, ExecKey(1)))?, Exit::Signal(SIGSYS), "the end");
    let free = c.execute(key, 2, &["/bin/cat", "/etc/plain"])?;
    ensure_eq!(c.exit(free)?, Exit::Code(0), "one without a filter");
    Ok(())
}

fn invalid<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::SECCOMP, "system-call filters")?;
    let mut endless = filter(&[OPEN], verdict::ALLOW);
    endless.instructions.pop();
    let plan = c.plan(&["/bin/true"]);
    let plan = with(plan, endless);
    let at = position(&plan, |step| matches!(step, Step::Filter(_)));
    let key = c.key();
    let prepared = c.try_prepare(key, &plan)?;
    let Err(fault) = prepared else {
        return super::context::failed("it was loaded".to_string());
    };
    ensure_eq!((fault.errno, fault.step.map(usize::from)), (Errno::EINVAL, Some(at)), "the fault");
    Ok(())
}
