//! Sending signals, and what they do before a thread goes on (signal(7), sigreturn(2)).

use super::call::{linux_of, linux_of_mut, task_of, task_of_mut};
use super::frame;
use super::process::{Interrupted, Job, Progress, Report};
use super::signal::*;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::ns::ProcessId;
use crate::thread::{Channel, ThreadId};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, Nanos};

/// Where a signal comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// From a process of the receiver's pid namespace or below, or from itself.
    Inside,
    /// From outside its pid namespace: the kernel, a manager, an ancestor.
    Outside,
}

/// Sends a signal to a process: any thread that does not block it may deal with it.
pub(crate) fn send<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    signal: u8,
    info: SignalInfo,
    origin: Origin,
) {
    let Some(found) = k.processes.get_mut(process).filter(|found| found.exit.is_none()) else { return };
    let threads = found.threads.clone();
    let Some(linux) = found.linux_mut() else { return };
    let from_outside = origin == Origin::Outside && Signals::UNSTOPPABLE.has(signal);
    // The first process of a namespace only gets what it has a handler for.
    if linux.is_init() && linux.actions.get(signal).handler == SIG_DFL && !from_outside {
        return;
    }
    if signal == SIGKILL {
        return k.end_process(process, Exit::Signal(SIGKILL));
    }
    if signal == SIGCONT {
        linux.pending.remove(Signals::STOPS);
        if linux.job != Job::Runs {
            linux.job = Job::Runs;
            linux.report = Some(Report::Continued);
            tell_parent_of_job(k, process, SIGCONT);
        }
        k.wake(Channel::Process(process));
    } else if Signals::STOPS.has(signal) {
        linux.pending.remove(Signals::one(SIGCONT));
    }
    let blocked = !threads.iter().any(|id| task_of(k, *id).is_ok_and(|task| !task.mask.has(signal)));
    let Ok(linux) = linux_of_mut(k, process) else { return };
    if linux.actions.ignores(signal) && !blocked {
        return;
    }
    linux.pending.add(signal, info);
    k.wake(Channel::Process(process));
}

/// Sends a signal to one thread.
pub(crate) fn send_to_thread<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, signal: u8, info: SignalInfo) {
    let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return };
    if signal == SIGKILL || signal == SIGCONT || Signals::STOPS.has(signal) {
        return send(k, process, signal, info, Origin::Inside);
    }
    let ignored = linux_of(k, process).is_ok_and(|linux| {
        linux.actions.ignores(signal) || linux.is_init() && linux.actions.get(signal).handler == SIG_DFL
    });
    let Ok(task) = task_of_mut(k, thread) else { return };
    if ignored && !task.mask.has(signal) {
        return;
    }
    task.pending.add(signal, info);
    k.wake(Channel::Process(process));
}

/// A fault of the thread itself: it cannot be blocked or ignored, and the first process of a namespace is not spared.
pub(crate) fn force<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, signal: u8, info: SignalInfo) {
    let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return };
    let blocked = task_of(k, thread).is_ok_and(|task| task.mask.has(signal));
    let action = linux_of(k, process).map(|linux| linux.actions.get(signal)).unwrap_or_default();
    if blocked || action.handler <= SIG_IGN {
        return k.end_process(process, Exit::Signal(signal));
    }
    if let Ok(task) = task_of_mut(k, thread) {
        task.pending.add(signal, info);
    }
}

/// Sends a signal to every process of a process group.
pub(crate) fn send_to_group<H: Hw>(k: &mut Kernel<H>, group: ProcessId, signal: u8, info: SignalInfo) {
    for process in members(k, group) {
        send(k, process, signal, info, Origin::Inside);
    }
}

/// Living members of a process group.
pub(crate) fn members<H: Hw>(k: &Kernel<H>, group: ProcessId) -> alloc::vec::Vec<ProcessId> {
    k.processes
        .iter()
        .filter(|(_, p)| p.exit.is_none() && p.linux().is_some_and(|linux| linux.process_group == group))
        .map(|(id, _)| id)
        .collect()
}

/// Tells the parent that a process was stopped or goes on, unless it does not want to know.
fn tell_parent_of_job<H: Hw>(k: &mut Kernel<H>, process: ProcessId, by: u8) {
    let Ok(linux) = linux_of(k, process) else { return };
    let Some(parent) = linux.parent else { return };
    let stopped = matches!(linux.job, Job::Stopped(_));
    let info = child_info(k, process, parent, if stopped { 5 } else { 6 }, i32::from(by));
    let quiet = linux_of(k, parent).is_ok_and(|parent| parent.actions.get(SIGCHLD).flags & SA_NOCLDSTOP != 0);
    if !quiet {
        send(k, parent, SIGCHLD, info, Origin::Inside);
    }
    k.wake(Channel::Process(parent));
}

/// What a parent is told with `SIGCHLD`.
pub(crate) fn child_info<H: Hw>(
    k: &Kernel<H>,
    child: ProcessId,
    parent: ProcessId,
    code: i32,
    status: i32,
) -> SignalInfo {
    let (Ok(child), Ok(parent)) = (linux_of(k, child), linux_of(k, parent)) else {
        return SignalInfo::KERNEL;
    };
    let pid = parent.numbers.first().map_or(0, |(namespace, _)| child.number_in(*namespace));
    let user = k.vfs.namespaces.user(parent.credentials.user_namespace);
    let uid = user.map_or(0, |user| user.map_from(child.credentials.uid));
    SignalInfo { code, pid, uid, status, address: 0 }
}

/// Signals that have come for `thread` and that it deals with as soon as it goes on.
pub(crate) fn open_signals<H: Hw>(k: &Kernel<H>, thread: ThreadId, process: ProcessId) -> Signals {
    let (Ok(task), Ok(linux)) = (task_of(k, thread), linux_of(k, process)) else { return Signals::default() };
    let open = task.pending.set.with(linux.pending.set).without(task.mask);
    match task.waits {
        Some(Interrupted::Never) => open.without(linux.actions.caught()),
        _ => open,
    }
}

/// Before `thread` goes to ring 3: alarms, stops, signals. It may end the thread or make it wait.
pub(crate) fn before_user<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) {
    loop {
        let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return };
        ring_alarm(k, process);
        let Ok(linux) = linux_of(k, process) else { return };
        if let Job::Stopped(_) = linux.job {
            // Not a call that is undone: whatever was under way has been undone or is complete.
            k.threads.note_waits(thread, &[Channel::Process(process)], None);
            return k.leave(thread);
        }
        let Some(signal) = open_signals(k, thread, process).first() else { return };
        if !deal_with(k, thread, process, signal) {
            return;
        }
    }
}

/// Deals with one signal; false if the thread is no more.
fn deal_with<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, process: ProcessId, signal: u8) -> bool {
    let own = task_of(k, thread).is_ok_and(|task| task.pending.set.has(signal));
    let info = if own {
        task_of_mut(k, thread).map(|task| task.pending.take(signal))
    } else {
        linux_of_mut(k, process).map(|linux| linux.pending.take(signal))
    };
    let (Ok(info), Ok(linux)) = (info, linux_of_mut(k, process)) else { return false };
    let action = linux.actions.get(signal);
    match (action.handler, default_of(signal)) {
        (SIG_IGN, _) | (SIG_DFL, Default_::Ignore | Default_::Continue) => true,
        (SIG_DFL, Default_::Stop) => {
            if signal != SIGSTOP && is_orphaned(k, process) {
                return true;
            }
            if let Ok(linux) = linux_of_mut(k, process) {
                linux.job = Job::Stopped(signal);
                linux.report = Some(Report::Stopped(signal));
            }
            tell_parent_of_job(k, process, signal);
            true
        }
        (SIG_DFL, Default_::Terminate) => {
            k.end_process(process, Exit::Signal(signal));
            false
        }
        _ => {
            if action.flags & SA_RESETHAND != 0 {
                linux.actions.set(signal, Action { handler: SIG_DFL, ..action });
            }
            interrupt(k, thread, action);
            if frame::push(k, thread, signal, info, action).is_err() {
                k.end_process(process, Exit::Signal(SIGSEGV));
                return false;
            }
            true
        }
    }
}

/// Nobody outside the process group but in its session could continue it.
fn is_orphaned<H: Hw>(k: &Kernel<H>, process: ProcessId) -> bool {
    let Ok(linux) = linux_of(k, process) else { return true };
    let (group, session) = (linux.process_group, linux.session);
    !members(k, group).into_iter().filter_map(|id| linux_of(k, id).ok()?.parent).any(|parent| {
        linux_of(k, parent).is_ok_and(|parent| parent.process_group != group && parent.session == session)
    })
}

/// A handler is about to run: a waiting call ends with `EINTR` or is made again after it.
fn interrupt<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, action: Action) {
    let Ok(task) = task_of_mut(k, thread) else { return };
    let (Some(waits), progress) = (task.waits.take(), core::mem::take(&mut task.progress)) else { return };
    let again = waits == Interrupted::Restarts && action.flags & SA_RESTART != 0;
    if let Progress::Written(count) = progress
        && count > 0
    {
        return complete(k, thread, count);
    }
    if again {
        return;
    }
    if let Progress::Deadline(at) = progress {
        tell_remaining(k, thread, at);
    }
    complete(k, thread, (-i64::from(Errno::EINTR.0)) as u64);
}

/// An undone call is complete after all, with this result.
fn complete<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, result: u64) {
    if let Some(thread) = k.threads.get_mut(thread) {
        let registers = thread.registers_mut();
        registers.rip = registers.rip.wrapping_add(2);
        registers.rax = result;
    }
}

/// nanosleep(2) says how long it would have slept on.
fn tell_remaining<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, until: Nanos) {
    let Some(found) = k.threads.get(thread) else { return };
    let (process, r) = (found.process, *found.registers());
    let to = match r.rax {
        super::table::NANOSLEEP => r.rsi,
        super::table::CLOCK_NANOSLEEP if r.rsi & 1 == 0 => r.r10,
        _ => 0,
    };
    if to != 0 {
        let left = until.0.saturating_sub(k.mem.hw.now().0);
        let bytes = super::time::timespec(left);
        let _ = k.with_memory(process, |space, s| space.write(s, to, &bytes));
    }
}

/// Sends `SIGALRM` if it is time.
fn ring_alarm<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    let now = k.mem.hw.now();
    let Ok(linux) = linux_of_mut(k, process) else { return };
    let Some(at) = linux.alarm.at.filter(|at| *at <= now) else { return };
    linux.alarm.at = match linux.alarm.interval {
        0 => None,
        interval => {
            let missed = (now.0 - at.0) / interval + 1;
            Some(Nanos(at.0.saturating_add(missed.saturating_mul(interval))))
        }
    };
    send(k, process, SIGALRM, SignalInfo::KERNEL, Origin::Inside);
}

/// What an exception of the processor means to a process.
pub(crate) fn exception<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, vector: u8) {
    let address = k.threads.get(thread).map_or(0, |thread| thread.registers().rip);
    let (signal, code) = match vector {
        0 => (SIGFPE, 1),
        1 | 3 => (SIGTRAP, SI_KERNEL),
        6 => (SIGILL, 2),
        16 | 19 => (SIGFPE, 7),
        17 => (SIGBUS, 1),
        _ => (SIGSEGV, SI_KERNEL),
    };
    force(k, thread, signal, SignalInfo { code, address, ..SignalInfo::default() });
}
