//! `linux.seccomp` becomes a program: the same one on both kernels.
//!
//! ```text
//!   architecture? ─► number? (a binary search over ranges of one verdict) ─► arguments? ─► verdict
//! ```
//!
//! Rules mean what libseccomp makes of them in runc: one without conditions beats those with; of several conditions
//! on one argument any suffices; what the default says already is left out. Names that the machine does not have
//! are passed over, as profiles name the calls of every architecture, unless that would let a forbidden call through.

mod names;
mod program;

use super::refuse::{Feature, need};
use super::unsupported;
use crate::oci::{
    OciSeccomp, OciSeccompAction, OciSeccompArch, OciSeccompFlag, OciSeccompOperator, OciSyscall,
    OciSyscallArg,
};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use bailiwick_kernel_glue::filter::{Filter, FilterFlags, INSTRUCTIONS_MAX, verdict};
use bailiwick_kernel_glue::plan::{Features, Step};
use bailiwick_protocol::error::Refusal;
use names::Interface;

/// The error number of an action that names none: `EPERM`.
const EPERM: u32 = 1;

/// A condition on one argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Condition {
    argument: u32,
    operator: OciSeccompOperator,
    mask: u64,
    value: u64,
}

/// What becomes of one call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Rules {
    /// Whatever its arguments are.
    always: Option<u32>,
    /// If all conditions hold; the first one wins.
    when: Vec<(Vec<Condition>, u32)>,
}

/// All calls that the default is not for, by number.
type Calls = BTreeMap<u32, Rules>;

/// The step that loads the filter, if there is one.
pub(super) fn step(filter: Option<&OciSeccomp>, features: &Features) -> Result<Option<Step>, Refusal> {
    let Some(filter) = filter else { return Ok(None) };
    need(features, Feature::SECCOMP, "linux.seccomp")?;
    Ok(Some(Step::Filter(compile(filter)?)))
}

fn compile(filter: &OciSeccomp) -> Result<Filter, Refusal> {
    no_agent(filter)?;
    let flags = flags(filter)?;
    let default = verdict_of(filter.default_action, filter.default_errno_ret)
        .ok_or_else(|| unsupported("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY"))?;
    let mut interfaces = [(Interface::X86_64, Calls::new()), (Interface::X86, Calls::new())];
    for (index, rule) in filter.syscalls.iter().enumerate() {
        let Some(verdict) = verdict_of(rule.action, rule.errno_ret) else { continue };
        if verdict == default {
            continue;
        }
        for (position, name) in rule.names.iter().enumerate() {
            if permits(default) && !permits(verdict) && !names::is_known(name) {
                let place = format!("linux.seccomp.syscalls[{index}].names[{position}]");
                return Err(unsupported(format_args!("{place}: {name:?} is no system call of this machine")));
            }
            for (interface, calls) in &mut interfaces {
                add(*interface, calls, name, &conditions(rule), verdict);
            }
        }
    }
    let [(_, mut native), (_, x86)] = interfaces;
    let asked = |architecture| filter.architectures.contains(&architecture);
    if asked(OciSeccompArch::X32) {
        names::add_x32(&mut native);
    }
    let x86 = asked(OciSeccompArch::X86).then_some(x86);
    let instructions = program::of(&native, asked(OciSeccompArch::X32), x86.as_ref(), default);
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(unsupported(format_args!("linux.seccomp: more than {INSTRUCTIONS_MAX} instructions")));
    }
    Ok(Filter { instructions, flags })
}

/// Nobody here hands the filter's questions to an agent.
fn no_agent(filter: &OciSeccomp) -> Result<(), Refusal> {
    let asks = |rule: &OciSyscall| verdict_of(rule.action, None).is_none();
    if let Some(index) = filter.syscalls.iter().position(asks) {
        return Err(unsupported(format_args!("linux.seccomp.syscalls[{index}]: SCMP_ACT_NOTIFY")));
    }
    for (field, value) in
        [("listenerMetadata", &filter.listener_metadata), ("listenerPath", &filter.listener_path)]
    {
        if value.is_some() {
            return Err(unsupported(format_args!("linux.seccomp.{field}")));
        }
    }
    Ok(())
}

fn flags(filter: &OciSeccomp) -> Result<FilterFlags, Refusal> {
    let mut flags = FilterFlags::empty();
    for (index, flag) in filter.flags.iter().enumerate() {
        match flag {
            // The process that loads it has one thread.
            OciSeccompFlag::Tsync => {}
            OciSeccompFlag::Log => flags |= FilterFlags::LOG,
            OciSeccompFlag::SpecAllow => flags |= FilterFlags::SPEC_ALLOW,
            OciSeccompFlag::WaitKillable => {
                return Err(unsupported(format_args!("linux.seccomp.flags[{index}]: {}", flag.as_str())));
            }
        }
    }
    Ok(flags)
}

/// What a program returns for an action; none for that which needs an agent.
fn verdict_of(action: OciSeccompAction, errno: Option<u32>) -> Option<u32> {
    let number = errno.unwrap_or(EPERM) & verdict::DATA;
    Some(match action {
        OciSeccompAction::Kill | OciSeccompAction::KillThread => verdict::KILL_THREAD,
        OciSeccompAction::KillProcess => verdict::KILL_PROCESS,
        OciSeccompAction::Trap => verdict::TRAP,
        OciSeccompAction::Errno => verdict::ERRNO | number,
        OciSeccompAction::Trace => verdict::TRACE | number,
        OciSeccompAction::Allow => verdict::ALLOW,
        OciSeccompAction::Log => verdict::LOG,
        OciSeccompAction::Notify => return None,
    })
}

fn permits(verdict: u32) -> bool {
    matches!(verdict, verdict::ALLOW | verdict::LOG)
}

/// The conditions of a rule: lists of which one must hold in full.
fn conditions(rule: &OciSyscall) -> Vec<Vec<Condition>> {
    let all: Vec<Condition> = rule.args.iter().map(condition).collect();
    let twice =
        all.iter().enumerate().any(|(at, one)| all.iter().take(at).any(|c| c.argument == one.argument));
    if twice { all.into_iter().map(|one| Vec::from([one])).collect() } else { Vec::from([all]) }
}

fn condition(arg: &OciSyscallArg) -> Condition {
    let (mask, value) = match arg.op {
        OciSeccompOperator::MaskedEqual => (arg.value, arg.value_two.unwrap_or(0)),
        _ => (u64::MAX, arg.value),
    };
    Condition { argument: arg.index, operator: arg.op, mask, value }
}

/// Adds a rule for a call, and on 32-bit x86 for the call that carries it as well.
fn add(interface: Interface, calls: &mut Calls, name: &str, lists: &[Vec<Condition>], verdict: u32) {
    if let Some(number) = interface.number(name) {
        let rules = calls.entry(number).or_default();
        for list in lists {
            if list.is_empty() {
                rules.always.get_or_insert(verdict);
            } else {
                rules.when.push((list.clone(), verdict));
            }
        }
    }
    // The arguments of a carried call are in memory, out of the filter's reach: what is not allowed whatever they
    // are is not allowed this way.
    let unconditional = lists.iter().any(Vec::is_empty);
    if let Some((number, kind)) = interface.carrier(name)
        && (unconditional || !permits(verdict))
    {
        let is_it = Condition {
            argument: 0,
            operator: OciSeccompOperator::Equal,
            mask: u64::MAX,
            value: u64::from(kind),
        };
        calls.entry(number).or_default().when.push((Vec::from([is_it]), verdict));
    }
}
