//! Promises of resource groups and `statistics`.

use super::context::{Context, failed, replace};
use super::{Case, Fixture, Row};
use crate::glue::{Event, KernelGlue, ProcessKey};
use crate::plan::{Feature, Plan, Resources, Step};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::message::Exit;

/// The memory limit the cases use, in bytes: enough for a shell.
const LIMIT: u64 = 16 << 20;
/// A shell that takes memory until there is no more.
const HOG: &str = "a=xxxxxxxx; while :; do a=$a$a; done";

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("statistics tell the plan's limits and count the living", counts as fn(&mut Context<'_, F>) -> Case),
        ("CPU time never goes back", cpu),
        ("a process beyond the memory limit is killed, and its neighbour lives", memory),
        ("statistics of an unknown container fail", unknown),
    ])
}

fn limit(plan: &mut Plan, resources: Resources) {
    let group = plan.create.iter().find_map(|step| match step {
        Step::ResourceGroup { path, .. } => Some(path.clone()),
        _ => None,
    });
    let step = Step::ResourceGroup {
        path: group.unwrap_or_else(|| "contract".to_string()),
        resources,
        devices: Vec::new(),
    };
    replace(plan, |s| matches!(s, Step::ResourceGroup { .. }), step);
}

fn counts<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::MEMORY | Feature::PIDS, "memory and process limits")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/sleep", "1000"]);
    limit(&mut plan, Resources { memory: Some(LIMIT), pids: Some(10), ..Resources::default() });
    c.prepare(key, &plan)?;
    c.release(key)?;
    c.execute(key, 1, &["/bin/sleep", "1000"])?;
    let Ok(statistics) = c.glue().statistics(key) else { return failed("statistics") };
    ensure_eq!(statistics.memory_limit, Some(LIMIT), "memory limit");
    ensure_eq!(statistics.pids_limit, Some(10), "process limit");
    ensure_eq!(statistics.pids, 2, "processes");
    ensure!(statistics.memory > 0, "two processes take no memory");
    ensure!(statistics.memory_peak >= statistics.memory, "the peak is below the use: {statistics:?}");
    ensure_eq!(statistics.oom_kills, 0, "out-of-memory kills");
    Ok(())
}

fn cpu<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/yes"])?;
    c.lines_of_endless(ProcessKey::First(key))?;
    let mut last = c.glue().statistics(key).map(|s| s.cpu);
    for _ in 0..10 {
        let now = c.glue().statistics(key).map(|s| s.cpu);
        ensure!(now.is_ok() && now >= last, "{last:?}, then {now:?}");
        last = now;
    }
    Ok(())
}

fn memory<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::MEMORY, "memory limits")?;
    let (neighbour, _) = c.start(&["/bin/sleep", "1000"])?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/sh", "-c", HOG]);
    // The limit of memory and swap together, so that the hog cannot move out.
    let swap = c.glue().features().features.contains(Feature::SWAP).then_some(LIMIT);
    limit(&mut plan, Resources { memory: Some(LIMIT), memory_swap: swap, ..Resources::default() });
    c.prepare(key, &plan)?;
    c.release(key)?;
    ensure_eq!(c.exit(ProcessKey::First(key))?, Exit::OutOfMemory, "the end");
    c.until("the kernel's word that memory ran out", |event| {
        matches!(event, Event::OutOfMemory { key: of } if *of == key).then_some(())
    })?;
    let Ok(statistics) = c.glue().statistics(key) else { return failed("statistics") };
    ensure!(statistics.oom_kills >= 1, "out-of-memory kills: {}", statistics.oom_kills);
    ensure!(statistics.memory_peak <= LIMIT, "the peak is above the limit: {}", statistics.memory_peak);
    c.never("a neighbour ended", |event| super::context::ends(event, ProcessKey::First(neighbour)))
}

fn unknown<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    ensure!(c.glue().statistics(key).is_err(), "no container, no error");
    Ok(())
}
