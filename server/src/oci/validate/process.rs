//! `process`.

use super::rules::{absolute_path, environment, id, no_nul, number_list, range};
use crate::oci::error::{ConfigError, Place};
use crate::oci::process::{OciRlimit, OciScheduler, OciSchedulerPolicy, OciUser};
use crate::oci::{OciCapabilities, OciProcess};

pub(in crate::oci) fn process(at: &Place<'_>, process: &OciProcess) -> Result<(), ConfigError> {
    program(&at.key("args"), process)?;
    environment(&at.key("env"), &process.env)?;
    absolute_path(&at.key("cwd"), &process.cwd)?;
    user(&at.key("user"), &process.user)?;
    rlimits(&at.key("rlimits"), &process.rlimits)?;
    if let Some(sets) = &process.capabilities {
        capabilities(&at.key("capabilities"), sets)?;
    }
    range(&at.key("oomScoreAdj"), process.oom_score_adj, -1000..=1000)?;
    if let Some(values) = &process.scheduler {
        scheduler(&at.key("scheduler"), values)?;
    }
    range(&at.key("ioPriority").key("priority"), process.io_priority.as_ref().map(|io| io.priority), 0..=7)?;
    if let Some(affinity) = &process.exec_cpu_affinity {
        let at = at.key("execCPUAffinity");
        number_list(&at.key("initial"), affinity.initial.as_deref())?;
        number_list(&at.key("final"), affinity.r#final.as_deref())?;
    }
    for (key, label) in
        [("apparmorProfile", &process.apparmor_profile), ("selinuxLabel", &process.selinux_label)]
    {
        no_nul(&at.key(key), label.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

fn program(at: &Place<'_>, process: &OciProcess) -> Result<(), ConfigError> {
    match process.args.first() {
        None => return Err(at.fault("names no program")),
        Some(program) if program.is_empty() => return Err(at.index(0).text_fault(program, "is no program")),
        Some(_) => {}
    }
    process.args.iter().enumerate().try_for_each(|(index, arg)| no_nul(&at.index(index), arg))
}

fn user(at: &Place<'_>, user: &OciUser) -> Result<(), ConfigError> {
    id(&at.key("uid"), user.uid)?;
    id(&at.key("gid"), user.gid)?;
    for (index, gid) in user.additional_gids.iter().enumerate() {
        id(&at.key("additionalGids").index(index), *gid)?;
    }
    match user.umask {
        Some(umask) if umask > 0o777 => {
            Err(at.key("umask").value_fault(umask, "is more than 511 (octal 777)"))
        }
        _ => Ok(()),
    }
}

fn rlimits(at: &Place<'_>, limits: &[OciRlimit]) -> Result<(), ConfigError> {
    let mut seen = 0u32;
    for (index, limit) in limits.iter().enumerate() {
        let at = at.index(index);
        let bit = 1u32 << (limit.kind.number() & 31);
        if seen & bit != 0 {
            return Err(at.key("type").text_fault(limit.kind.as_str(), "stands there twice"));
        }
        seen |= bit;
        if limit.soft > limit.hard {
            return Err(at.key("soft").value_fault(limit.soft, "is more than the hard limit"));
        }
    }
    Ok(())
}

/// What capset(2) refuses. Ambient capabilities that cannot be raised are left out by the kernel's own rule, so
/// they are no fault: `runc spec` writes such a list.
fn capabilities(at: &Place<'_>, sets: &OciCapabilities) -> Result<(), ConfigError> {
    match sets.effective.without(sets.permitted).names().next() {
        Some(name) => Err(at.key("effective").text_fault(name, "is not among the permitted ones")),
        None => Ok(()),
    }
}

/// sched_setattr(2).
fn scheduler(at: &Place<'_>, values: &OciScheduler) -> Result<(), ConfigError> {
    range(&at.key("nice"), values.nice, -20..=19)?;
    let priority = match values.policy {
        OciSchedulerPolicy::Fifo | OciSchedulerPolicy::RoundRobin => {
            range(&at.key("priority"), Some(values.priority.unwrap_or_default()), 1..=99)
        }
        _ => range(&at.key("priority"), values.priority, 0..=0),
    };
    priority?;
    let times = [("runtime", values.runtime), ("deadline", values.deadline), ("period", values.period)];
    if values.policy != OciSchedulerPolicy::Deadline {
        let given = times.into_iter().find_map(|(key, time)| time.filter(|time| *time != 0).zip(Some(key)));
        return match given {
            Some((time, key)) => Err(at.key(key).value_fault(time, "is only for SCHED_DEADLINE")),
            None => Ok(()),
        };
    }
    let runtime = values.runtime.unwrap_or_default();
    let deadline = values.deadline.unwrap_or_default();
    if runtime == 0 || runtime > deadline {
        return Err(at.key("runtime").value_fault(runtime, "is zero or more than the deadline"));
    }
    match values.period {
        Some(period) if period != 0 && period < deadline => {
            Err(at.key("period").value_fault(period, "is less than the deadline"))
        }
        _ => Ok(()),
    }
}
