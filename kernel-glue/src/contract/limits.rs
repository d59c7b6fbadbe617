//! Promises of resource groups, `update` and `statistics`.

use super::context::{Context, failed, replace};
use super::{Case, Fixture, Row};
use crate::glue::{ContainerKey, Event, ExecKey, KernelGlue, ProcessKey};
use crate::plan::{Feature, Plan, Resources, Step};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
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
        ("new limits are what statistics tell from then on, at the gate, running and frozen", updated),
        ("a limit of memory that came later binds as one from the beginning", memory_later),
        ("limits of which one is refused stay as they were, all of them", all_or_nothing),
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

fn updated<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::MEMORY | Feature::PIDS | Feature::CPU, "limits of memory, processes and CPU time")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/sleep", "1000"]);
    let first = Resources { memory: Some(LIMIT), pids: Some(10), ..Resources::default() };
    limit(&mut plan, first.clone());
    c.prepare(key, &plan)?;
    let half = Resources { cpu_quota: Some(25_000), cpu_period: Some(50_000), ..first };
    shows(c, key, half.clone(), 500)?;
    c.release(key)?;
    let more = Resources { memory: Some(2 * LIMIT), pids: Some(4), ..half.clone() };
    shows(c, key, more, 500)?;
    ensure_eq!(c.glue().freeze(key), Ok(()), "freeze");
    let less =
        Resources { cpu_quota: Some(10_000), cpu_period: Some(100_000), pids: Some(3), ..half.clone() };
    shows(c, key, less, 100)?;
    ensure_eq!(c.glue().thaw(key), Ok(()), "thaw");
    let none = c.glue().update(key, &Resources { memory: Some(LIMIT), ..Resources::default() });
    ensure_eq!(none, Ok(()), "taking limits away");
    let Ok(statistics) = c.glue().statistics(key) else { return failed("statistics") };
    let left = (statistics.memory_limit, statistics.pids_limit, statistics.cpu_limit);
    ensure_eq!(left, (Some(LIMIT), None, None), "what is left of the limits");
    let unknown = c.key();
    ensure!(c.glue().update(unknown, &half).is_err(), "no container, no error");
    Ok(())
}

/// Sets these limits and looks whether they are there.
fn shows<F: Fixture>(c: &mut Context<'_, F>, key: ContainerKey, resources: Resources, cpu: u64) -> Case {
    let set = c.glue().update(key, &resources);
    ensure!(set.is_ok(), "limits {resources:?}: {set:?}");
    let Ok(statistics) = c.glue().statistics(key) else { return failed("statistics") };
    let shown = (statistics.memory_limit, statistics.pids_limit, statistics.cpu_limit);
    ensure_eq!(shown, (resources.memory, resources.pids, Some(cpu)), "the limits");
    Ok(())
}

fn memory_later<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::MEMORY, "memory limits")?;
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    let swap = c.glue().features().features.contains(Feature::SWAP).then_some(LIMIT);
    let limits = Resources { memory: Some(LIMIT), memory_swap: swap, ..Resources::default() };
    ensure_eq!(c.glue().update(key, &limits), Ok(()), "the limit");
    c.execute(key, 1, &["/bin/sh", "-c", HOG])?;
    ensure_eq!(c.exit(ProcessKey::Exec(key, ExecKey(1)))?, Exit::OutOfMemory, "the end");
    let Ok(statistics) = c.glue().statistics(key) else { return failed("statistics") };
    ensure!(statistics.oom_kills >= 1, "out-of-memory kills: {}", statistics.oom_kills);
    Ok(())
}

fn all_or_nothing<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    c.needs(Feature::MEMORY | Feature::PIDS | Feature::CPU, "limits of memory, processes and CPU time")?;
    let key = c.key();
    let mut plan = c.plan(&["/bin/sleep", "1000"]);
    let first = Resources {
        memory: Some(LIMIT),
        pids: Some(10),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        ..Resources::default()
    };
    limit(&mut plan, first.clone());
    c.prepare(key, &plan)?;
    c.release(key)?;
    let too_small = Resources { memory: Some(4096), pids: Some(7), cpu_quota: Some(20_000), ..first };
    match c.glue().update(key, &too_small) {
        Err(fault) => ensure_eq!(fault.errno, Errno::EBUSY, "the refusal"),
        Ok(()) => return failed("a process fits a page"),
    }
    let Ok(statistics) = c.glue().statistics(key) else { return failed("statistics") };
    let shown = (statistics.memory_limit, statistics.pids_limit, statistics.cpu_limit);
    ensure_eq!(shown, (Some(LIMIT), Some(10), Some(500)), "the limits");
    Ok(())
}
