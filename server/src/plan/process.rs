//! The process itself: the last steps of a container's plan, and the whole plan of a further process.

use super::refuse::{Feature, need};
use super::{filter, unsupported};
use crate::oci::{OciCapabilities, OciCapabilitySet, OciProcess, OciSeccomp, ValidConfig};
use crate::policy::Policy;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{CapabilitySets, Features, ProcessPlan, Rlimit, Step};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Exec, Stdio};

/// From the limits of the process to its program.
pub(super) fn steps(
    process: &OciProcess,
    seccomp: Option<&OciSeccomp>,
    features: &Features,
    steps: &mut Vec<Step>,
) -> Result<(), Refusal> {
    for limit in &process.rlimits {
        steps.push(Step::Rlimit(Rlimit {
            resource: limit.kind.number(),
            soft: limit.soft,
            hard: limit.hard,
        }));
    }
    steps.extend(oom_score(process, features)?);
    steps.push(Step::User {
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone(),
        umask: process.user.umask,
    });
    // Without the promise to gain no privileges, loading a filter needs one: it comes before they are given up.
    let filter = filter::step(seccomp, features)?;
    let (before, after) = if process.no_new_privileges { (None, filter) } else { (filter, None) };
    steps.extend(before);
    steps.push(Step::Capabilities(capabilities(process, features)?));
    steps.extend(process.no_new_privileges.then_some(Step::NoNewPrivileges));
    steps.extend(after);
    steps.push(Step::WorkingDirectory(process.cwd.clone()));
    steps.push(Step::Load { args: process.args.clone(), env: process.env.clone() });
    Ok(())
}

fn oom_score(process: &OciProcess, features: &Features) -> Result<Option<Step>, Refusal> {
    let Some(score) = process.oom_score_adj else { return Ok(None) };
    need(features, Feature::OOM_SCORE, "process.oomScoreAdj")?;
    let text = "config.json: process.oomScoreAdj: is not within -1000 to 1000";
    let score = i16::try_from(score).ok().filter(|score| (-1000..=1000).contains(score));
    score.map(|score| Some(Step::OomScore(score))).ok_or(Refusal::new(RefusalCode::BadConfig, text))
}

/// A process without the object has no capabilities.
fn capabilities(process: &OciProcess, features: &Features) -> Result<CapabilitySets, Refusal> {
    let none = OciCapabilities::default();
    let asked = process.capabilities.as_deref().unwrap_or(&none);
    let there = OciCapabilitySet::from_bits_truncate(features.capabilities);
    let sets = [
        ("bounding", asked.bounding),
        ("permitted", asked.permitted),
        ("effective", asked.effective),
        ("inheritable", asked.inheritable),
        ("ambient", asked.ambient),
    ];
    for (set, held) in sets {
        if let Some(name) = held.without(there).names().next() {
            return Err(unsupported(format_args!("process.capabilities.{set}: {name}")));
        }
    }
    Ok(CapabilitySets {
        bounding: asked.bounding.bits(),
        permitted: asked.permitted.bits(),
        effective: asked.effective.bits(),
        inheritable: asked.inheritable.bits(),
        ambient: asked.ambient.bits(),
    })
}

fn bad(fault: &str) -> Refusal {
    Refusal::new(RefusalCode::BadValue, fault)
}

/// Takes a run of strings apart of which each one is ended by a NUL byte.
fn words(run: &str, fault: &str) -> Result<Vec<String>, Refusal> {
    match run.strip_suffix('\0') {
        Some(words) => Ok(words.split('\0').map(String::from).collect()),
        None if run.is_empty() => Ok(Vec::new()),
        None => Err(bad(fault)),
    }
}

/// The plan of a further process in a container that was made from `config`: as its first process, but for what
/// `exec` says. Capabilities, limits and `noNewPrivileges` are those of the configuration, which fit the policy the
/// container was made under; what `exec` can choose is checked here.
///
/// # Errors
/// [`RefusalCode::BadValue`] or [`RefusalCode::Policy`] naming the field of `exec`; [`RefusalCode::Unsupported`].
pub fn exec_plan(
    config: &ValidConfig,
    features: &Features,
    policy: &Policy,
    exec: &Exec<'_>,
) -> Result<ProcessPlan, Refusal> {
    if exec.stdio == Stdio::Terminal && !features.features.contains(Feature::TERMINAL) {
        return Err(Refusal::new(RefusalCode::Unsupported, "stdio: a terminal"));
    }
    if exec.stdio == Stdio::Piped {
        super::refuse::pipe(features)?;
    }
    let mut process = config.process.clone();
    process.args = words(exec.args, "args: the last one is not ended by a NUL")?;
    if process.args.first().is_none_or(String::is_empty) {
        return Err(bad("args: there is no program"));
    }
    for variable in words(exec.env, "env: the last one is not ended by a NUL")? {
        let name = match variable.split_once('=') {
            Some((name, _)) if !name.is_empty() => format!("{name}="),
            _ => return Err(bad("env: one is not NAME=value")),
        };
        process.env.retain(|old| !old.starts_with(&name));
        process.env.push(variable);
    }
    if let Some(cwd) = exec.cwd {
        if !cwd.starts_with('/') || cwd.contains('\0') {
            return Err(bad("cwd: is not an absolute path"));
        }
        process.cwd = String::from(cwd);
    }
    if let Some((uid, gid)) = exec.user {
        policy.check_user(&config.linux, uid, gid)?;
        // Supplementary groups belong to the configured user.
        (process.user.uid, process.user.gid) = (uid, gid);
        process.user.additional_gids.clear();
    }
    let mut planned = Vec::new();
    steps(&process, config.linux.seccomp.as_deref(), features, &mut planned)?;
    Ok(ProcessPlan { steps: planned, stdio: exec.stdio })
}
