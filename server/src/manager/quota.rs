//! What things cost, and whom they are charged to: a factory and each of its ancestors.
//!
//! Every cost is checked before anything is allocated and charged when the thing is there. A container costs its
//! limits, so that all containers of a factory together cannot use more memory, CPU time or processes than its quota
//! says, whatever they do.

use super::{Factory, FactoryHandle, Limits, Manager, Record};
use crate::grant::GRANTS_MAX;
use crate::log::LOG_MAX;
use crate::stream::{self, Event};
use bailiwick_kernel_glue::plan::Resources;
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::Stdio;
use bailiwick_protocol::quota::{Amounts, Excess, Quota};

/// One capability.
pub(crate) const CAPABILITY: Amounts = Amounts { capabilities: 1, ..Amounts::NONE };
/// One sub-factory, and the stream of what happens below it.
pub(crate) const FACTORY: Amounts = Amounts { factories: 1, event_bytes: STREAM, ..Amounts::NONE };

/// Bytes a stream of events is charged for: it is never longer, and a row is smaller than 128 bytes, its id included.
const STREAM: u64 = 128 * stream::EVENTS_MAX as u64;
const _: () = assert!(size_of::<Event>() + size_of::<ContainerId>() + 16 <= 128);

/// So many calls that wait.
pub(crate) const fn waiting(calls: usize) -> Amounts {
    Amounts { waiting: calls as u64, ..Amounts::NONE }
}

/// A container with these streams and limits.
pub(crate) fn container(stdio: Stdio, resources: &Resources) -> Amounts {
    Amounts { containers: 1, log_bytes: log_of(stdio), event_bytes: STREAM, ..Amounts::NONE }
        .plus(reserved(resources))
}

/// A process started by `Exec` with these streams.
pub(crate) fn exec(stdio: Stdio) -> Amounts {
    Amounts { execs: 1, log_bytes: log_of(stdio), ..Amounts::NONE }
}

/// A log is charged as long as it can become.
const fn log_of(stdio: Stdio) -> u64 {
    match stdio {
        Stdio::Log | Stdio::Console | Stdio::Piped => LOG_MAX as u64,
        Stdio::Terminal | Stdio::Inherit => 0,
    }
}

/// What a container with these limits may take at most. What has no limit costs nothing here: whether that may be is
/// for [`bounded`] to say.
pub(crate) fn reserved(resources: &Resources) -> Amounts {
    Amounts {
        memory: resources.memory.unwrap_or(0),
        processes: resources.pids.map_or(0, u64::from),
        cpu: resources.cpu_thousandths().unwrap_or(0),
        ..Amounts::NONE
    }
}

/// Whether these limits are what a factory with this quota can count: a container without a limit could take
/// everything, so it is refused by the name of the limit. `place` is where limits stand in the document.
pub(crate) fn bounded(resources: &Resources, quota: &Quota, place: &str) -> Result<(), Refusal> {
    let rows = [
        ("memory.limit", resources.memory.is_none(), quota.memory),
        ("pids.limit", resources.pids.is_none(), quota.processes),
        ("cpu.quota", resources.cpu_quota.is_none(), quota.cpu),
    ];
    match rows.iter().find(|(_, missing, quota)| *missing && quota.is_some()) {
        None => Ok(()),
        Some((name, ..)) => Err(Refusal::new(
            RefusalCode::Quota,
            format_args!("{place}{name}: is unlimited, and the factory has a quota of it: set a limit"),
        )),
    }
}

/// What the whole server has room for.
pub(super) fn of_server(limits: &Limits) -> Quota {
    let (containers, execs) = (u64::from(limits.containers), u64::from(limits.processes));
    Quota {
        containers: Some(containers),
        // The root factory itself is not below it.
        factories: Some(u64::from(limits.factories).saturating_sub(1)),
        execs: Some(execs),
        capabilities: Some(GRANTS_MAX as u64),
        waiting: Some(GRANTS_MAX as u64),
        event_bytes: Some((containers + u64::from(limits.factories)) * STREAM),
        log_bytes: Some((containers + execs) * LOG_MAX as u64),
        ..Quota::UNBOUNDED
    }
}

/// The quota of a factory below one with quota `above`. Whoever may have few containers may not fill the server with
/// the rest either: where nothing is asked for, a number of containers brings bounds of its own.
pub(crate) fn below(above: Quota, asked: Quota) -> Quota {
    let with = asked.containers.map_or(Quota::UNBOUNDED, |containers| {
        let each = |count: u64| Some(containers.saturating_add(1).saturating_mul(count));
        Quota {
            factories: each(1),
            execs: each(8),
            capabilities: each(64),
            waiting: each(64),
            event_bytes: each(2 * STREAM),
            log_bytes: each(9 * LOG_MAX as u64),
            ..Quota::UNBOUNDED
        }
    });
    let said = |asked: Option<u64>, with: Option<u64>| asked.or(with);
    let filled = Quota {
        factories: said(asked.factories, with.factories),
        execs: said(asked.execs, with.execs),
        capabilities: said(asked.capabilities, with.capabilities),
        waiting: said(asked.waiting, with.waiting),
        event_bytes: said(asked.event_bytes, with.event_bytes),
        log_bytes: said(asked.log_bytes, with.log_bytes),
        ..asked
    };
    above.narrow(filled)
}

/// Whose quota is used up.
enum Whose {
    Own,
    Above,
}

#[cold]
#[inline(never)]
fn exceeded(excess: &Excess, whose: Whose) -> Refusal {
    match whose {
        Whose::Own => Refusal::new(RefusalCode::Quota, excess),
        Whose::Above => Refusal::new(RefusalCode::Quota, excess.kind),
    }
}

impl Manager {
    /// Everything a container is charged for, its processes, capabilities and waiting calls included.
    pub(super) fn cost(&self, record: &Record) -> Amounts {
        let first = container(record.first.stdio, &record.resources)
            .plus(record.first.held())
            .plus(waiting(record.watch.waits.len()));
        record.execs.values().filter_map(|handle| self.processes.get(*handle)).fold(first, |sum, process| {
            sum.plus(exec(process.execution.stdio)).plus(process.execution.held())
        })
    }

    /// Whether so much more fits this factory and every ancestor.
    ///
    /// # Errors
    /// `Quota`; with the numbers only if it is the caller's own quota.
    pub(crate) fn check_quota(&self, handle: FactoryHandle, more: &Amounts) -> Result<(), Refusal> {
        self.check_each(handle, |factory| factory.used.exceeds(more, &factory.quota))
    }

    /// The same of one more capability.
    ///
    /// # Errors
    /// As [`Manager::check_quota`].
    pub(crate) fn check_capability(&self, handle: FactoryHandle) -> Result<(), Refusal> {
        // A function of its own, in which nothing is compared but this.
        self.check_each(handle, |factory| factory.used.exceeds(&CAPABILITY, &factory.quota))
    }

    #[inline(always)]
    fn check_each(
        &self,
        handle: FactoryHandle,
        exceeds: impl Fn(&Factory) -> Option<Excess>,
    ) -> Result<(), Refusal> {
        let mut at = Some(handle);
        while let Some(factory) = at.and_then(|handle| self.factories.get(handle)) {
            if let Some(excess) = exceeds(factory) {
                let whose = if at == Some(handle) { Whose::Own } else { Whose::Above };
                return Err(exceeded(&excess, whose));
            }
            at = factory.parent;
        }
        Ok(())
    }

    /// Counts something that is there now.
    pub(crate) fn charge(&mut self, handle: FactoryHandle, amounts: &Amounts) {
        self.for_ancestors(handle, |factory| factory.used = factory.used.plus(*amounts));
    }

    /// Counts something that is there no more.
    pub(crate) fn discharge(&mut self, handle: FactoryHandle, amounts: &Amounts) {
        self.for_ancestors(handle, |factory| factory.used = factory.used.minus(*amounts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_counted_in_thousandths_rounded_up() {
        let cpu = |quota, period| {
            reserved(&Resources { cpu_quota: quota, cpu_period: period, ..Resources::default() }).cpu
        };
        assert_eq!(cpu(Some(50_000), None), 500);
        assert_eq!(cpu(Some(1), Some(1_000_000)), 1);
        assert_eq!(cpu(Some(3000), Some(1000)), 3000);
        assert_eq!(cpu(None, Some(1000)), 0);
        assert_eq!(cpu(Some(u64::MAX), Some(0)), u64::MAX);
    }

    #[test]
    fn a_quota_below_another_is_within_it_and_within_what_was_asked() {
        let above = of_server(&Limits { containers: 10, factories: 9, processes: 100 });
        for asked in [
            Quota::UNBOUNDED,
            Quota { containers: Some(2), ..Quota::UNBOUNDED },
            Quota { containers: Some(99), memory: Some(5), capabilities: Some(7), ..Quota::UNBOUNDED },
        ] {
            let below = below(above, asked);
            assert!(below.is_within(above) && below.is_within(asked), "{asked:?} gave {below:?}");
        }
        assert_eq!(below(above, Quota { containers: Some(2), ..Quota::UNBOUNDED }).execs, Some(24));
    }

    #[test]
    fn a_container_without_a_limit_that_is_a_quota_is_refused_by_its_name() {
        let quota = Quota { processes: Some(9), ..Quota::UNBOUNDED };
        let refusal = bounded(&Resources::default(), &quota, "config.json: linux.resources.").unwrap_err();
        assert!(refusal.detail.as_str().starts_with("config.json: linux.resources.pids.limit: "));
        assert_eq!(bounded(&Resources { pids: Some(3), ..Resources::default() }, &quota, ""), Ok(()));
    }
}
