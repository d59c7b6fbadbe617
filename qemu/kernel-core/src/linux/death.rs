//! The end of processes: exit(2), what is left until wait(2), orphans, the end of a pid namespace.

use super::call::{Call, Outcome, Stop, linux_of, linux_of_mut, task_of};
use super::deliver::{self, Origin};
use super::descriptor;
use super::process::{Job, Keeper, LinuxProcess, Report};
use super::signal::*;
use super::source::wait_status;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::ns::ProcessId;
use crate::thread::{Channel, ThreadId};
use crate::vfs::Store;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

/// A process names `group` and `session` as its leaders.
pub(crate) fn lead<H: Hw>(k: &mut Kernel<H>, process: ProcessId, group: ProcessId, session: ProcessId) {
    for leader in [group, session] {
        if leader != process
            && let Ok(leader) = linux_of_mut(k, leader)
        {
            leader.led += 1;
        }
    }
}

/// A process names a leader no more.
pub(crate) fn unlead<H: Hw>(k: &mut Kernel<H>, process: ProcessId, leader: ProcessId) {
    if leader == process {
        return;
    }
    let Ok(linux) = linux_of_mut(k, leader) else { return };
    linux.led = linux.led.saturating_sub(1);
    if linux.led == 0 && linux.reaped {
        forget(k, leader);
    }
}

/// Everything that a process had besides its record: files, places, namespaces.
fn give_back<H: Hw>(k: &mut Kernel<H>, linux: &mut LinuxProcess) {
    for (_, descriptor) in core::mem::take(&mut linux.descriptors).iter() {
        descriptor::release(k, descriptor.description);
    }
    if let Some(file) = linux.executable.take() {
        descriptor::close_file(k, file);
    }
    let mut frames = Store { memory: &mut k.mem, groups: &mut k.groups };
    if let Some(fs) = linux.fs.take() {
        k.vfs.release_context(&mut frames, fs);
    }
    if let Some(set) = linux.namespaces.take() {
        k.vfs.release_set(&mut frames, set);
    }
}

/// Gives back what a process would have had that could not be made.
pub(crate) fn discard<H: Hw>(k: &mut Kernel<H>, mut linux: LinuxProcess) {
    give_back(k, &mut linux);
}

/// Ends a process that has never run, without telling anybody.
pub(crate) fn abandon<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    if let Ok(linux) = linux_of_mut(k, process) {
        (linux.parent, linux.keeper) = (None, Keeper::Parent);
    }
    k.end_process(process, Exit::Signal(SIGKILL));
}

/// A thread of a process with several ends.
pub(super) fn end_thread<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, exit: Exit) {
    let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return };
    if k.processes.get(process).is_some_and(|process| process.threads.len() > 1) {
        let clear = task_of(k, thread).map_or(0, |task| task.clear_tid);
        if clear != 0 {
            let _ = k.with_memory(process, |space, s| space.write(s, clear, &[0; 4]));
            super::futex::wake(k, process, clear, 1);
        }
    }
    k.end_thread(thread, exit);
}

/// Ends every other thread of a process: it gets a new program.
pub(crate) fn end_others<H: Hw>(k: &mut Kernel<H>, process: ProcessId, but: ThreadId) {
    let threads = k.processes.get(process).map(|process| process.threads.clone()).unwrap_or_default();
    for thread in threads.into_iter().filter(|thread| *thread != but) {
        end_thread(k, thread, Exit::Code(0));
    }
}

/// A process has ended; it has no threads and no memory any more.
pub(crate) fn ended<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    let Ok(linux) = linux_of_mut(k, process) else { return };
    let (is_init, namespace) = (linux.is_init(), linux.numbers.first().map(|(id, _)| *id));
    linux.job = Job::Runs;
    linux.alarm = Default::default();
    if let (true, Some(namespace)) = (is_init, namespace) {
        k.vfs.namespaces.end_pid_namespace(namespace);
        let others: Vec<ProcessId> = k
            .vfs
            .namespaces
            .pid(namespace)
            .map(|pid| pid.processes().map(|(_, other)| other).filter(|other| *other != process).collect())
            .unwrap_or_default();
        for other in others {
            k.end_process(other, Exit::Signal(SIGKILL));
        }
    }
    hang_up(k, process);
    if let Ok(linux) = linux_of_mut(k, process) {
        let mut had = LinuxProcess {
            descriptors: core::mem::take(&mut linux.descriptors),
            executable: linux.executable.take(),
            fs: linux.fs.take(),
            namespaces: linux.namespaces.take(),
            ..LinuxProcess::empty(linux.credentials.clone())
        };
        linux.arguments = Vec::new();
        linux.environment = Vec::new();
        give_back(k, &mut had);
    }
    if let Some(ended) = k.processes.get_mut(process) {
        // Less is never refused.
        let _ = ended.pay_for_text(0);
    }
    let children =
        linux_of_mut(k, process).map(|linux| core::mem::take(&mut linux.children)).unwrap_or_default();
    for child in children {
        hand_over(k, process, child);
    }
    report(k, process);
}

/// The end of a session's leader takes its terminal away.
fn hang_up<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    if k.linux.terminal.session != Some(process) {
        return;
    }
    let foreground = k.linux.terminal.foreground.take();
    k.linux.terminal.session = None;
    if let Some(group) = foreground {
        deliver::send_to_group(k, group, SIGHUP, SignalInfo::KERNEL);
        deliver::send_to_group(k, group, SIGCONT, SignalInfo::KERNEL);
    }
}

/// A child whose parent ended goes to the nearest subreaper, else to the first process of its pid namespace.
fn hand_over<H: Hw>(k: &mut Kernel<H>, from: ProcessId, child: ProcessId) {
    let heir = heir(k, from);
    let Ok(linux) = linux_of_mut(k, child) else { return };
    linux.parent = heir;
    if heir.is_some() {
        linux.exit_signal = SIGCHLD;
    }
    let (death_signal, stopped) = (linux.parent_death_signal, linux.job != Job::Runs);
    let group = linux.process_group;
    if let Some(heir) = heir
        && let Ok(heir) = linux_of_mut(k, heir)
    {
        heir.children.push(child);
    }
    let is_dead = k.processes.get(child).is_none_or(|process| process.exit.is_some());
    if is_dead {
        report(k, child);
        return;
    }
    if death_signal != 0 {
        deliver::send(k, child, death_signal, SignalInfo::KERNEL, Origin::Inside);
    }
    if stopped {
        deliver::send_to_group(k, group, SIGHUP, SignalInfo::KERNEL);
        deliver::send_to_group(k, group, SIGCONT, SignalInfo::KERNEL);
    }
}

fn heir<H: Hw>(k: &Kernel<H>, process: ProcessId) -> Option<ProcessId> {
    let lives = |id: &ProcessId| k.processes.get(*id).is_some_and(|process| process.exit.is_none());
    let namespace = linux_of(k, process).ok()?.numbers.first()?.0;
    let mut at = linux_of(k, process).ok()?.parent;
    while let Some(id) = at {
        let linux = linux_of(k, id).ok()?;
        // A subreaper counts up to the border of the pid namespace.
        if linux.number_in(namespace) == 0 {
            break;
        }
        if linux.subreaper && lives(&id) {
            return Some(id);
        }
        at = linux.parent;
    }
    let (init, _) = k.vfs.namespaces.pid(namespace)?.find(1)?;
    (init != process).then_some(init).filter(lives)
}

/// Tells the parent, or nobody.
fn report<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    let Ok(linux) = linux_of(k, process) else { return };
    let (parent, signal, keeper) = (linux.parent, linux.exit_signal, linux.keeper);
    let Some(parent) = parent else {
        if keeper == Keeper::Parent {
            reap(k, process);
        }
        return;
    };
    let exit = k.processes.get(process).and_then(|process| process.exit).unwrap_or(Exit::Code(0));
    let (code, status) = match exit {
        Exit::Code(code) => (1, i32::from(code)),
        Exit::Signal(signal) => (2, i32::from(signal)),
        Exit::OutOfMemory => (2, i32::from(SIGKILL)),
    };
    let action = linux_of(k, parent).map(|parent| parent.actions.get(SIGCHLD)).unwrap_or_default();
    let unwanted = signal == SIGCHLD && (action.handler == SIG_IGN || action.flags & SA_NOCLDWAIT != 0);
    if signal != 0 {
        let info = deliver::child_info(k, process, parent, code, status);
        deliver::send(k, parent, signal, info, Origin::Inside);
    }
    if unwanted {
        reap(k, process);
    }
    k.wake(Channel::Process(parent));
}

/// The end of a process was reported, or nobody wants to know.
fn reap<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    let Ok(linux) = linux_of_mut(k, process) else { return };
    if core::mem::replace(&mut linux.reaped, true) {
        return;
    }
    let (parent, group, session, led) = (linux.parent.take(), linux.process_group, linux.session, linux.led);
    if let Some(parent) = parent.and_then(|parent| linux_of_mut(k, parent).ok()) {
        parent.children.retain(|child| *child != process);
    }
    if led == 0 {
        forget(k, process);
    }
    unlead(k, process, group);
    unlead(k, process, session);
}

/// Nothing names the process any more: its numbers are free.
fn forget<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    let numbers = linux_of(k, process).map(|linux| linux.numbers.clone()).unwrap_or_default();
    k.vfs.namespaces.put_numbers(&numbers);
    if let Some((namespace, _)) = numbers.first() {
        let mut frames = Store { memory: &mut k.mem, groups: &mut k.groups };
        k.vfs.release_namespace(&mut frames, *namespace);
    }
    k.forget_process(process);
}

/// Forgets a process that has ended, whoever might still ask for its end.
pub(crate) fn forget_ended<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    if k.processes.get(process).is_some_and(|process| process.exit.is_some()) {
        reap(k, process);
    }
}

/// How a process that was made by [`super::spawn`] ended, and the end of its record. None while it lives.
pub fn collect<H: Hw>(k: &mut Kernel<H>, process: ProcessId) -> Option<Exit> {
    let exit = k.processes.get(process)?.exit?;
    if linux_of(k, process).ok()?.keeper != Keeper::Kernel {
        return None;
    }
    reap(k, process);
    Some(exit)
}

// ---- system calls --------------------------------------------------------------------------------------------

const WNOHANG: u32 = 1;
const WUNTRACED: u32 = 2;
const WEXITED: u32 = 4;
const WCONTINUED: u32 = 8;
const WNOWAIT: u32 = 0x0100_0000;

/// Which children are waited for.
#[derive(Clone, Copy)]
enum Whom {
    Any,
    Process(ProcessId),
    Group(ProcessId),
    Nobody,
}

/// What a child has to tell.
#[derive(Clone, Copy)]
enum News {
    Ended(Exit),
    Stopped(u8),
    Continued,
}

impl News {
    fn status(self) -> i32 {
        match self {
            News::Ended(exit) => wait_status(exit),
            News::Stopped(by) => i32::from(by) << 8 | 0x7f,
            News::Continued => 0xffff,
        }
    }
}

impl<H: Hw> Call<'_, H> {
    /// exit(2)
    pub(crate) fn exit(&mut self) -> Outcome {
        end_thread(self.k, self.thread, Exit::Code(self.arg(0) as u8));
        Err(Stop::Gone)
    }
    /// exit_group(2)
    pub(crate) fn exit_group(&mut self) -> Outcome {
        self.k.end_process(self.process, Exit::Code(self.arg(0) as u8));
        Err(Stop::Gone)
    }

    /// wait4(2)
    pub(crate) fn wait4(&mut self) -> Outcome {
        let options = self.word(2);
        if options & !(WNOHANG | WUNTRACED | WCONTINUED | 0xe000_0000) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let whom = match self.int(0) {
            -1 => Whom::Any,
            0 => Whom::Group(self.me()?.process_group),
            pid if pid > 0 => self.find(pid as u32).map_or(Whom::Nobody, Whom::Process),
            pid => self.find_any(pid.unsigned_abs()).map_or(Whom::Nobody, Whom::Group),
        };
        let Some((child, news)) = self.news(whom, options | WEXITED)? else { return Ok(0) };
        let number = linux_of(self.k, child)?.number_in(self.pid_namespace()?);
        if self.arg(1) != 0 {
            self.write_u32(self.arg(1), news.status() as u32)?;
        }
        if self.arg(3) != 0 {
            let time = self.time_of(child);
            self.write_bytes(self.arg(3), &super::info::rusage(time))?;
        }
        self.take(child, news);
        Ok(u64::from(number))
    }

    /// waitid(2)
    pub(crate) fn waitid(&mut self) -> Outcome {
        let (options, at) = (self.word(3), self.arg(2));
        if options & (WEXITED | WUNTRACED | WCONTINUED) == 0 {
            return Err(Errno::EINVAL.into());
        }
        let whom = match self.word(0) {
            0 => Whom::Any,
            1 => self.find(self.word(1)).map_or(Whom::Nobody, Whom::Process),
            2 if self.word(1) == 0 => Whom::Group(self.me()?.process_group),
            2 => self.find_any(self.word(1)).map_or(Whom::Nobody, Whom::Group),
            _ => return Err(Errno::EINVAL.into()),
        };
        let Some((child, news)) = self.news(whom, options)? else {
            if at != 0 {
                self.write_bytes(at, &[0; 128])?;
            }
            return Ok(0);
        };
        let (code, status) = match news {
            News::Ended(Exit::Code(code)) => (1, i32::from(code)),
            News::Ended(Exit::Signal(signal)) => (2, i32::from(signal)),
            News::Ended(Exit::OutOfMemory) => (2, i32::from(SIGKILL)),
            News::Stopped(by) => (5, i32::from(by)),
            News::Continued => (6, i32::from(SIGCONT)),
        };
        if at != 0 {
            let info = deliver::child_info(self.k, child, self.process, code, status);
            self.write_bytes(at, &info.to_bytes(SIGCHLD))?;
        }
        if options & WNOWAIT == 0 {
            self.take(child, news);
        }
        Ok(0)
    }

    /// The first child with something to tell; none with `WNOHANG`.
    fn news(&mut self, whom: Whom, options: u32) -> Result<Option<(ProcessId, News)>, Stop> {
        let mut any = false;
        for child in self.me()?.children.clone() {
            let Ok(linux) = linux_of(self.k, child) else { continue };
            let meant = match whom {
                Whom::Any => true,
                Whom::Process(id) => id == child,
                Whom::Group(group) => linux.process_group == group,
                Whom::Nobody => false,
            };
            if !meant {
                continue;
            }
            any = true;
            let exit = self.k.processes.get(child).and_then(|process| process.exit);
            let news = match (exit, linux.report) {
                (Some(exit), _) if options & WEXITED != 0 => News::Ended(exit),
                (None, Some(Report::Stopped(by))) if options & WUNTRACED != 0 => News::Stopped(by),
                (None, Some(Report::Continued)) if options & WCONTINUED != 0 => News::Continued,
                _ => continue,
            };
            return Ok(Some((child, news)));
        }
        if !any {
            return Err(Errno::ECHILD.into());
        }
        if options & WNOHANG != 0 {
            return Ok(None);
        }
        Err(Stop::on(Channel::Process(self.process)))
    }

    /// The news were told.
    fn take(&mut self, child: ProcessId, news: News) {
        if let News::Ended(_) = news {
            let (user, system) = self.time_of(child);
            if let Ok(me) = self.me_mut() {
                me.children_time.0 += user;
                me.children_time.1 += system;
            }
            reap(self.k, child);
        } else if let Ok(linux) = linux_of_mut(self.k, child) {
            linux.report = None;
        }
    }

    /// User and system time of a child and the children it waited for.
    fn time_of(&self, process: ProcessId) -> (u64, u64) {
        let total = self.k.processes.get(process).map_or(0, |process| process.cpu_of_ended);
        let below = linux_of(self.k, process).map(|linux| linux.children_time).unwrap_or_default();
        (total + below.0, below.1)
    }

    /// The living process or zombie with this number in the caller's pid namespace.
    pub(crate) fn find(&self, number: u32) -> Option<ProcessId> {
        let id = self.find_any(number)?;
        linux_of(self.k, id).is_ok_and(|linux| !linux.reaped).then_some(id)
    }
    /// As [`Self::find`], and leaders of groups and sessions that are no more themselves.
    pub(crate) fn find_any(&self, number: u32) -> Option<ProcessId> {
        let namespace = self.pid_namespace().ok()?;
        let (id, _) = self.k.vfs.namespaces.pid(namespace)?.find(number)?;
        linux_of(self.k, id).is_ok().then_some(id)
    }
}
