//! Promises about hooks.

use super::context::{Context, about, ends, failed, hook, position};
use super::{Case, Fixture, Row, Verdict};
use crate::glue::{Event, KernelGlue, ProcessKey, Progress};
use crate::plan::{Feature, HookKind, Step};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::message::Exit;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        (
            "hooks of all kinds run in the order of the specification",
            order as fn(&mut Context<'_, F>) -> Case,
        ),
        ("a failing createRuntime hook fails prepare at its step and leaves nothing", runtime),
        ("a failing createContainer hook fails prepare at its step and leaves nothing", container),
        ("a failing startContainer hook kills the process at the gate", start),
        ("a failing poststart hook is no failure", poststart),
        ("a failing poststop hook is no failure", poststop),
        ("a hook beyond its timeout fails", timeout),
        ("destroy while a hook runs ends both, and prepare's event never comes", destroy),
    ])
}

fn order<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let mut traced = |kind| {
        let none = || Verdict::Skipped("hooks leave no trace here".to_string());
        c.fixture().traced(kind).ok_or_else(none)
    };
    let outer = [traced(HookKind::Prestart)?, traced(HookKind::CreateRuntime)?];
    let inner = traced(HookKind::CreateContainer)?;
    let (start, poststart) = (traced(HookKind::StartContainer)?, traced(HookKind::Poststart)?);
    let poststop = traced(HookKind::Poststop)?;
    let mut plan = c.plan(&["/bin/true"]);
    let pivot = position(&plan, |s| matches!(s, Step::PivotRoot { .. }));
    let hooks = outer.into_iter().chain([inner]).map(Step::Hook);
    plan.create.splice(pivot..pivot, hooks);
    plan.start.push(start);
    plan.poststart.push(poststart);
    plan.poststop.push(poststop);
    c.fixture().trail();
    let key = c.key();
    c.prepare(key, &plan)?;
    let create = [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer];
    ensure_eq!(c.fixture().trail(), create, "hooks run by prepare");
    c.release(key)?;
    ensure_eq!(c.fixture().trail(), [HookKind::StartContainer, HookKind::Poststart], "hooks run by release");
    c.exit(ProcessKey::First(key))?;
    c.destroy(key)?;
    ensure_eq!(c.fixture().trail(), [HookKind::Poststop], "hooks run by destroy");
    Ok(())
}

fn fails_in_prepare<F: Fixture>(c: &mut Context<'_, F>, kind: HookKind) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/true"]);
    let at = position(&plan, |s| matches!(s, Step::PivotRoot { .. }));
    plan.create.insert(at, Step::Hook(hook(kind, &["false"], None)));
    let before = c.fixture().census();
    match c.try_prepare(key, &plan)? {
        Err(fault) => ensure_eq!(fault.step, u16::try_from(at).ok(), "the failing step"),
        Ok(_) => return failed("prepare succeeded"),
    }
    ensure_eq!(c.fixture().census(), before, "kernel objects after the failure");
    Ok(())
}

fn runtime<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    fails_in_prepare(c, HookKind::CreateRuntime)
}

fn container<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    fails_in_prepare(c, HookKind::CreateContainer)
}

fn start<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/echo", "ran"]);
    plan.start.push(hook(HookKind::StartContainer, &["false"], None));
    c.prepare(key, &plan)?;
    ensure!(c.try_release(key)?.is_err(), "release succeeded");
    c.not_yet("the end was told before the failure", |event| ends(event, ProcessKey::First(key)))?;
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Signal(9), "the end");
    ensure_eq!(c.output(ProcessKey::First(key)), "", "output");
    Ok(())
}

fn poststart<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/true"]);
    plan.poststart.push(hook(HookKind::Poststart, &["false"], None));
    c.prepare(key, &plan)?;
    c.release(key)?;
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::Code(0), "the end");
    Ok(())
}

fn poststop<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/true"]);
    plan.poststop.push(hook(HookKind::Poststop, &["false"], None));
    c.prepare(key, &plan)?;
    c.destroy(key)
}

fn timeout<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/true"]);
    let at = position(&plan, |s| matches!(s, Step::PivotRoot { .. }));
    plan.create.insert(at, Step::Hook(hook(HookKind::CreateRuntime, &["sleep", "1000"], Some(1))));
    ensure!(c.try_prepare(key, &plan)?.is_err(), "prepare succeeded");
    Ok(())
}

fn destroy<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::HOOKS, "hooks")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/true"]);
    let at = position(&plan, |s| matches!(s, Step::PivotRoot { .. }));
    plan.create.insert(at, Step::Hook(hook(HookKind::CreateRuntime, &["sleep", "1000"], None)));
    let before = c.fixture().census();
    let directory = c.directory()?;
    ensure_eq!(c.glue().prepare(key, directory, &plan), Progress::Later, "prepare with a hook that sleeps");
    c.destroy(key)?;
    c.never("after destroy", |event| about(event, key) && !matches!(event, Event::Destroyed { .. }))?;
    ensure_eq!(c.fixture().census(), before, "kernel objects");
    Ok(())
}
