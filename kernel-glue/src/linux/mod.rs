//! The Linux backend: namespaces, `pivot_root`, control groups, of the kernel this process runs on.
//!
//! ```text
//!   launch ──► sources (clones of what the host gives) ──► child (the steps, in the new process) ──► execve
//!      │        path, mounts, process, load: by descriptor                │
//!      └── cgroup, limits                control (one socket) ◄───────────┘
//!   Linux: the table of containers, one epoll descriptor over all that can happen
//! ```
//!
//! Rules that hold everywhere here: a path from a bundle is resolved below a descriptor of the new root and nowhere
//! else; mounts are made detached and attached to descriptors; `/proc` means a procfs of our own; a process is named by
//! a pidfd. A step that fails ends the new process, and with it go its namespaces and mounts; the server removes the
//! group.
//!
//! The process that uses this backend must have one thread, be root, and leave `SIGCHLD` at its default.
#![allow(unsafe_code, reason = "system calls; every block says why it is sound")]

mod binary;
mod cgroup;
mod child;
mod container;
mod control;
mod events;
mod fault;
mod features;
mod hooks;
mod launch;
mod limits;
mod load;
mod mounts;
mod path;
mod proc;
mod process;
mod sources;
mod sys;
mod terminal;
mod watch;

pub use binary::own_program;
pub use cgroup::DEFAULT_PARENT;

use crate::glue::{
    BundleError, ContainerKey, Event, ExecKey, KernelGlue, OutputRead, Pid, Prepared, ProcessKey, Progress,
    StepFault,
};
use crate::plan::{Features, Plan, ProcessPlan, Resources};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{InputEnd, Nanos, ProcessPage, ProcessRow, Scope, Statistics, Waiting};
use cgroup::{Frozen, Hierarchies};
use container::{Container, Input, Output, Phase, Process};
use fault::{Context, Fault, Outcome, errno, io_errno};
use launch::{Ends, Tools};
use proc::{Part, Proc};
use rustix::event::EventfdFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode as FileMode, OFlags, ResolveFlags};
use std::io::{Read, Write};
use watch::{Block, Mode, Watched, Watcher};

/// The backend.
#[derive(Debug)]
pub struct Linux {
    proc: Proc,
    hierarchies: Hierarchies,
    parent: String,
    features: Features,
    watcher: Watcher,
    containers: BTreeMap<ContainerKey, Container>,
    events: VecDeque<Event>,
    inherited: Option<[OwnedFd; 3]>,
    console: Option<OwnedFd>,
    parent_of_first: sys::Parent,
}

/// Whose children the first processes of containers are, and so who takes their statuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaper {
    /// This process.
    Server,
    /// The parent of this process, or who adopts its children when it ends: a subreaper, such as conmon. How a
    /// container has ended is known here nevertheless: always from Linux 6.15 on; before, unless the parent takes
    /// the status before it was seen here, which then tells SIGKILL.
    Parent,
}

impl From<Fault> for StepFault {
    fn from(fault: Fault) -> Self {
        StepFault { step: None, errno: fault.errno, what: fault.what }
    }
}

/// Authority over a directory: an open descriptor of it, shared by its copies.
pub type Directory = Arc<OwnedFd>;

impl AsFd for Linux {
    /// Becomes readable when [`KernelGlue::next_event`] may have something to tell. Events that were found beside
    /// another one are not shown by it: call until there is none before waiting.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watcher.as_fd()
    }
}

impl Linux {
    /// Looks at what this host can do. Relative paths of resource groups are taken below `parent`, which is itself
    /// below this process's own control group unless it is absolute; [`DEFAULT_PARENT`] is usual.
    ///
    /// # Errors
    /// `EBUSY` if this process has more than one thread; else what the host refused, procfs and `/proc/self/cgroup`
    /// being needed.
    pub fn new(parent: &str) -> Result<Self, StepFault> {
        let proc = Proc::new(Part::Processes)?;
        let status = proc.read("self/status").context(|| "read the state of this process".into())?;
        if status.lines().find_map(|l| l.strip_prefix("Threads:")).map(str::trim) != Some("1") {
            return Err(
                Fault::new(Errno::EBUSY, "this process has several threads; the backend needs one").into()
            );
        }
        let hierarchies = Hierarchies::discover(&proc)?;
        let features = features::of(&hierarchies, &status);
        Ok(Linux {
            proc,
            hierarchies,
            parent: String::from(parent),
            features,
            watcher: Watcher::new()?,
            containers: BTreeMap::new(),
            events: VecDeque::new(),
            inherited: None,
            console: None,
            parent_of_first: sys::Parent::Caller,
        })
    }

    /// What [`bailiwick_protocol::message::Stdio::Inherit`] means from now on; none for this process's own streams.
    pub fn set_streams(&mut self, streams: Option<[OwnedFd; 3]>) {
        self.inherited = streams;
    }

    /// Who is given the terminal of a process with [`bailiwick_protocol::message::Stdio::Terminal`] from now on: over
    /// this connected socket the master side comes, beside the terminal's path inside the container. Without one such
    /// a process is refused with `EINVAL`. A size that waits on the socket, rows and columns of two bytes each, the lower
    /// one first, is the terminal's before its program begins.
    pub fn set_console(&mut self, console: Option<OwnedFd>) {
        self.console = console;
    }

    /// Says whose children the first processes of containers made from now on are; [`Reaper::Server`] if not called.
    pub fn set_reaper(&mut self, reaper: Reaper) {
        self.parent_of_first = match reaper {
            Reaper::Server => sys::Parent::Caller,
            Reaper::Parent => sys::Parent::Shared,
        };
    }

    /// Where the control groups of all containers are, to be kept for [`remove_abandoned`].
    pub fn group_paths(&self) -> Vec<String> {
        self.containers.values().filter_map(|c| c.group.as_ref()).flat_map(cgroup::Group::paths).collect()
    }

    fn tools(&self) -> Tools<'_> {
        Tools {
            proc: &self.proc,
            hierarchies: &self.hierarchies,
            parent: &self.parent,
            inherited: self.inherited.as_ref(),
            console: self.console.as_ref(),
            parent_of_first: self.parent_of_first,
        }
    }

    /// The record of a process that was started. If it cannot be watched it is ended again.
    fn watch_process(
        watcher: &mut Watcher,
        key: ProcessKey,
        child: sys::Child,
        Ends { output, input }: Ends,
    ) -> Outcome<Process> {
        let token = watcher
            .add(&child.pidfd, Watched::Process(key), Mode::Level)
            .inspect_err(|_| launch::kill(&child))?;
        let input = input.map_or(Input::None, Input::Pipe);
        let mut process = Process { child, token, exit: None, output: None, input };
        if let Some(pipe) = output {
            match watcher.add(&pipe, Watched::Output(key), Mode::Once) {
                Ok(token) => process.output = Some(Output { pipe, token }),
                Err(fault) => {
                    put_down(watcher, &mut process);
                    return Err(fault);
                }
            }
        }
        Ok(process)
    }

    fn start_preparing(
        &mut self,
        key: ContainerKey,
        bundle: &Directory,
        plan: &Plan,
    ) -> Result<(), StepFault> {
        if self.containers.contains_key(&key) {
            return Err(Fault::new(Errno::EEXIST, format!("container {} exists already", key.0)).into());
        }
        let (launched, group) = self.tools().first(plan, bundle.as_fd())?;
        let name = ProcessKey::First(key);
        let first = match Self::watch_process(&mut self.watcher, name, launched.child, launched.ends) {
            Ok(first) => first,
            Err(fault) => {
                group.into_iter().for_each(cgroup::Group::put_down);
                return Err(fault.into());
            }
        };
        let memory = group.as_ref().and_then(|group| watch_memory(&mut self.watcher, key, group));
        let mut container = Container {
            plan: plan.clone(),
            limits: plan.resources().clone(),
            phase: Phase::Preparing,
            group,
            control: None,
            first,
            execs: BTreeMap::new(),
            hook: None,
            memory,
            held_exit: None,
        };
        match self.watcher.add(&launched.control, Watched::Control(key), Mode::Level) {
            Ok(token) => container.control = Some((launched.control, token)),
            Err(fault) => {
                self.remove_all_of(container);
                return Err(fault.into());
            }
        }
        self.containers.insert(key, container);
        Ok(())
    }

    fn open_gate(&mut self, key: ContainerKey) -> Result<(), StepFault> {
        let gone = || Fault::new(Errno::ESRCH, "open the gate: the process at it has ended");
        let container = self.containers.get_mut(&key).ok_or_else(gone)?;
        if container.phase != Phase::Created {
            return Err(Fault::new(Errno::EINVAL, "open the gate: the container is not waiting at it").into());
        }
        if container.first.exit.is_some() {
            return Err(gone().into());
        }
        let (control, _) = container.control.as_ref().ok_or_else(gone)?;
        control::send(control.as_fd(), &control::Go { pid: container.first.child.pid })?;
        container.phase = Phase::Releasing;
        Ok(())
    }

    fn start_further(
        &mut self,
        key: ContainerKey,
        exec: ExecKey,
        plan: &ProcessPlan,
    ) -> Result<Pid, StepFault> {
        let gone = || Fault::new(Errno::ESRCH, "execute: the container's first process has ended");
        let container = self.containers.get(&key).ok_or_else(gone)?;
        if container.execs.contains_key(&exec) {
            return Err(Fault::new(Errno::EEXIST, format!("process {} exists already", exec.0)).into());
        }
        if !matches!(container.phase, Phase::Starting | Phase::Running) {
            return Err(Fault::new(Errno::EINVAL, "execute: the container's program does not run yet").into());
        }
        if container.first.exit.is_some() || container.held_exit.is_some() {
            return Err(gone().into());
        }
        let group = container.group.as_ref();
        let launched = self.tools().further(plan, &container.first.child, group)?;
        let pid = Pid(launched.child.pid);
        let name = ProcessKey::Exec(key, exec);
        let process = Self::watch_process(&mut self.watcher, name, launched.child, launched.ends)?;
        if let Some(container) = self.containers.get_mut(&key) {
            container.execs.insert(exec, process);
        }
        Ok(pid)
    }

    fn process(&self, key: ProcessKey) -> Option<&Process> {
        let container = self.containers.get(&key.container())?;
        match key {
            ProcessKey::First(_) => Some(&container.first),
            ProcessKey::Exec(_, exec) => container.execs.get(&exec),
        }
    }

    fn process_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        let container = self.containers.get_mut(&key.container())?;
        match key {
            ProcessKey::First(_) => Some(&mut container.first),
            ProcessKey::Exec(_, exec) => container.execs.get_mut(&exec),
        }
    }

    fn group(&self, key: ContainerKey) -> Result<&cgroup::Group, Errno> {
        self.containers.get(&key).ok_or(Errno::ESRCH)?.group.as_ref().ok_or(Errno::EOPNOTSUPP)
    }
}

/// Ends a process if it runs and stops watching it.
fn put_down(watcher: &mut Watcher, process: &mut Process) {
    watcher.remove(process.token, &process.child.pidfd);
    if process.exit.is_none() {
        launch::kill(&process.child);
    }
    if let Some(output) = process.output.take() {
        watcher.remove(output.token, &output.pipe);
    }
}

/// Kills what runs in control groups whose server has been killed, and removes them. Paths as
/// [`Linux::group_paths`] gave them; those that are gone are no error.
///
/// # Errors
/// `EBUSY` if something in them does not end; what the host refused.
pub fn remove_abandoned(paths: &[String]) -> Result<(), StepFault> {
    let hierarchies = Hierarchies::discover(&Proc::new(Part::Processes)?)?;
    let mut group = cgroup::Group::find(&hierarchies, paths);
    if !group.kill_all() {
        return Err(Fault::new(Errno::EBUSY, "kill what an earlier server left running").into());
    }
    group.remove();
    Ok(())
}

/// Asks to be told when memory runs out. Where that cannot be had, it is seen when a process ends.
fn watch_memory(
    watcher: &mut Watcher,
    key: ContainerKey,
    group: &cgroup::Group,
) -> Option<(OwnedFd, watch::Token)> {
    use rustix::fd::AsRawFd;
    if group.version("memory") != Some(cgroup::Version::One) {
        return None;
    }
    let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    let state = group.open("memory", "memory.oom_control", OFlags::RDONLY).ok()?;
    let line = format!("{} {}", event.as_raw_fd(), state.as_raw_fd());
    group.write("memory", "cgroup.event_control", &line).ok()?;
    let token = watcher.add(&event, Watched::Memory(key), Mode::Level).ok()?;
    Some((event, token))
}

/// Number inside, the last of `NSpid` (proc_pid_status(5)).
fn inner_pid(proc: &Proc, pid: u32) -> Option<u32> {
    let status = proc.read(&format!("{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("NSpid:"))?.split_whitespace().next_back()?.parse().ok()
}

impl KernelGlue for Linux {
    type Directory = Directory;

    fn features(&self) -> Features {
        self.features
    }

    fn now(&self) -> Nanos {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
        Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0)))
    }

    fn read_bundle(
        &mut self,
        directory: &Directory,
        path: &str,
        limit: usize,
    ) -> Result<Vec<u8>, BundleError> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file =
            path::open_below(directory.as_fd(), path, flags, FileMode::empty(), resolve).map_err(|e| {
                if e == rustix::io::Errno::XDEV {
                    BundleError::NotAFile
                } else {
                    BundleError::Errno(errno(e))
                }
            })?;
        match path::kind_of(file.as_fd()) {
            Ok(FileType::RegularFile) => {}
            Ok(_) => return Err(BundleError::NotAFile),
            Err(e) => return Err(BundleError::Errno(errno(e))),
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        std::fs::File::from(file)
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(|e| BundleError::Errno(io_errno(&e)))?;
        if bytes.len() > limit { Err(BundleError::TooLarge) } else { Ok(bytes) }
    }

    fn prepare(&mut self, key: ContainerKey, bundle: Directory, plan: &Plan) -> Progress<Prepared> {
        match self.start_preparing(key, &bundle, plan) {
            Ok(()) => Progress::Later,
            Err(fault) => Progress::Done(Err(fault)),
        }
    }

    fn release(&mut self, key: ContainerKey) -> Progress<()> {
        match self.open_gate(key) {
            Ok(()) => Progress::Later,
            Err(fault) => Progress::Done(Err(fault)),
        }
    }

    fn execute(&mut self, key: ContainerKey, process: ExecKey, plan: &ProcessPlan) -> Result<Pid, StepFault> {
        self.start_further(key, process, plan)
    }

    fn signal(&mut self, process: ProcessKey, signal: u8, scope: Scope) -> Result<(), Errno> {
        if !(1..=64).contains(&signal) || (scope == Scope::All && matches!(process, ProcessKey::Exec(..))) {
            return Err(Errno::EINVAL);
        }
        if scope == Scope::All {
            let container = self.containers.get_mut(&process.container()).ok_or(Errno::ESRCH)?;
            if let Some(group) = container.group.as_mut() {
                group.new_memory_kills();
                return if group.signal_all(signal).is_empty() { Err(Errno::ESRCH) } else { Ok(()) };
            }
        }
        if let Some(group) = self.containers.get_mut(&process.container()).and_then(|c| c.group.as_mut()) {
            group.new_memory_kills();
        }
        match self.process(process) {
            Some(found) if found.exit.is_none() => {
                sys::send_signal(found.child.pidfd.as_fd(), signal).map_err(|e| io_errno(&e))
            }
            _ => Err(Errno::ESRCH),
        }
    }

    fn freeze(&mut self, key: ContainerKey) -> Result<(), Errno> {
        self.group(key)?.set_frozen(Frozen::Yes).map_err(|fault| fault.errno)
    }

    fn thaw(&mut self, key: ContainerKey) -> Result<(), Errno> {
        self.group(key)?.set_frozen(Frozen::No).map_err(|fault| fault.errno)
    }

    fn update(&mut self, key: ContainerKey, resources: &Resources) -> Result<(), StepFault> {
        let fault = |errno| Fault::new(errno, "change the limits");
        let container = self.containers.get_mut(&key).ok_or_else(|| fault(Errno::ESRCH))?;
        let group = container.group.as_ref().ok_or_else(|| fault(Errno::EOPNOTSUPP))?;
        limits::update(group, &container.limits, resources)?;
        container.limits = resources.clone();
        Ok(())
    }

    fn statistics(&mut self, key: ContainerKey) -> Result<Statistics, Errno> {
        Ok(limits::statistics(self.group(key)?))
    }

    fn processes(&mut self, key: ContainerKey, from: u32) -> Result<ProcessPage, Errno> {
        let all = self.group(key)?.processes();
        let mut page = ProcessPage::default();
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        for (position, pid) in all.iter().enumerate().skip(start) {
            let row = ProcessRow { pid: Some(*pid), inner_pid: inner_pid(&self.proc, *pid) };
            if page.rows.push(row).is_err() {
                page.next = u32::try_from(position).ok();
                break;
            }
        }
        Ok(page)
    }

    fn read_output(&mut self, process: ProcessKey, buffer: &mut [u8]) -> OutputRead {
        let mut read = OutputRead::default();
        let Some(output) = self.process(process).and_then(|p| p.output.as_ref()) else { return read };
        let mut ended = false;
        while let Some(room) = buffer.get_mut(read.len..).filter(|room| !room.is_empty()) {
            match rustix::io::read(&output.pipe, room) {
                Ok(0) => ended = true,
                Ok(n) => {
                    read.len += n;
                    continue;
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => {}
            }
            break;
        }
        self.watcher.rearm(output.token, &output.pipe);
        if ended && let Some(output) = self.process_mut(process).and_then(|p| p.output.take()) {
            self.watcher.remove(output.token, &output.pipe);
        }
        read
    }

    fn write_input(&mut self, process: ProcessKey, bytes: &[u8], then: InputEnd) -> Result<usize, Errno> {
        let found = self.process_mut(process).ok_or(Errno::ESRCH)?;
        let input = match &mut found.input {
            Input::None => return Err(Errno::EINVAL),
            Input::Ended => return Err(Errno::EPIPE),
            Input::Pipe(pipe) => pipe,
        };
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(&*input, rest) {
                Ok(count) => taken += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(errno(error)),
            }
        }
        if then == InputEnd::Close && taken == bytes.len() {
            found.input = Input::Ended;
        }
        Ok(taken)
    }

    fn console(&mut self, name: &str, line: &[u8]) {
        let mut out = std::io::stdout().lock();
        let text = [name.as_bytes(), b" | ", line, b"\n"].concat();
        let _ = out.write_all(&text).and_then(|()| out.flush());
    }

    fn forget(&mut self, key: ContainerKey, process: ExecKey) {
        if let Some(mut found) = self.containers.get_mut(&key).and_then(|c| c.execs.remove(&process)) {
            put_down(&mut self.watcher, &mut found);
        }
    }

    fn destroy(&mut self, key: ContainerKey) -> Progress<()> {
        self.tear_down(key)
    }

    fn next_event(&mut self, waiting: Waiting) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let block = match waiting {
                Waiting::Yes if self.watcher.is_empty() => return None,
                Waiting::Yes => Block::Yes,
                Waiting::No => Block::No,
            };
            let what = self.watcher.next(block)?;
            self.happened(what);
        }
    }
}
