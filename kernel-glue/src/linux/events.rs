//! What happens by itself, and what the backend makes of it.

use super::container::{ActiveHook, Container, Phase};
use super::control::{self, Go, Told};
use super::fault::{Fault, Outcome};
use super::hooks::{self, Ended, reap};
use super::launch::told_fault;
use super::sys::send_signal;
use super::watch::{Mode, Watched, Watcher};
use super::{Linux, put_down};
use crate::glue::{ContainerKey, Event, Pid, Prepared, ProcessKey, Progress, StepFault};
use crate::plan::{Hook, Step};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;
use rustix::fd::AsFd;
use std::io::Write;
use std::time::Instant;

/// SIGKILL, by which the kernel ends what has used up its memory.
const KILLED: Exit = Exit::Signal(9);

/// Something failed that the specification wants told, but that changes nothing.
fn warn(fault: &Fault) {
    let _ = writeln!(std::io::stderr(), "warning: {}: {}", fault.what, fault.errno);
}

impl Linux {
    pub(super) fn happened(&mut self, what: Watched) {
        match what {
            Watched::Control(key) => self.control_ready(key),
            Watched::Process(key) => self.process_ended(key),
            Watched::Output(process) => self.events.push_back(Event::Output { process }),
            Watched::Hook(key) => self.hook_over(key, Ended::ByItself),
            Watched::Memory(key) => self.memory_ran_out(key),
            Watched::Timer => self.time_over(),
        }
    }

    fn memory_ran_out(&mut self, key: ContainerKey) {
        if let Some((event, _)) = self.containers.get(&key).and_then(|c| c.memory.as_ref()) {
            let mut count = [0; 8];
            let _ = rustix::io::read(event, &mut count);
            self.events.push_back(Event::OutOfMemory { key });
        }
    }

    /// The first process said something, or closed the socket.
    fn control_ready(&mut self, key: ContainerKey) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some((control, token)) = container.control.as_ref() else { return };
        let told = control::receive::<Told>(control.as_fd());
        if let (Phase::Releasing, Ok(Some((Told::Fault { .. }, _)))) = (container.phase, &told) {
            // It waits for this. One that has ended already needs no signal.
            let _ = send_signal(container.first.child.pidfd.as_fd(), 9);
        }
        if !matches!(told, Ok(Some((Told::Hook { .. } | Told::Prepared { .. }, _)))) {
            self.watcher.remove(*token, control);
            container.control = None;
        }
        match (container.phase, told) {
            (Phase::Preparing, Ok(Some((Told::Hook { step }, _)))) => {
                self.run_create_hook(key, usize::from(step))
            }
            (Phase::Preparing, Ok(Some((Told::Prepared { pivot }, _)))) => {
                container.phase = Phase::Created;
                let pid = Pid(container.first.child.pid);
                self.events.push_back(Event::Prepared { key, result: Ok(Prepared { pid, pivot }) });
            }
            (Phase::Preparing, Ok(Some((Told::Fault { step, errno, what }, _)))) => {
                self.fail_preparing(key, told_fault(step, errno, what));
            }
            (Phase::Preparing, Ok(_)) => {
                let what = "the first process ended before its container was made".into();
                self.fail_preparing(key, StepFault { step: None, errno: Errno::ESRCH, what });
            }
            (Phase::Preparing, Err(fault)) => self.fail_preparing(key, fault.into()),
            (Phase::Releasing, Ok(Some((Told::Fault { step, errno, what }, _)))) => {
                container.phase = Phase::Running;
                let result = Err(told_fault(step, errno, what));
                self.events.push_back(Event::Released { key, result });
                self.tell_held_exit(key);
            }
            // Closed: it has executed its program.
            (Phase::Releasing, _) => {
                container.phase = Phase::Starting;
                self.next_hook(key, 0);
            }
            _ => {}
        }
    }

    fn fail_preparing(&mut self, key: ContainerKey, fault: StepFault) {
        if let Some(container) = self.containers.remove(&key) {
            self.remove_all_of(container);
        }
        self.events.push_back(Event::Prepared { key, result: Err(fault) });
    }

    fn run_create_hook(&mut self, key: ContainerKey, index: usize) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some(Step::Hook(hook)) = container.plan.create.get(index).cloned() else {
            let what = "the first process named a step that is no hook".into();
            return self.fail_preparing(key, StepFault { step: None, errno: Errno::EINVAL, what });
        };
        if let Err(fault) = start_hook(&mut self.watcher, key, container, &hook, index) {
            self.fail_preparing(key, at(index, fault));
        }
        self.set_timer();
    }

    /// Runs the next poststart or poststop hook, from position `index` on; after the last one the verb is over.
    fn next_hook(&mut self, key: ContainerKey, mut index: usize) {
        loop {
            let Some(container) = self.containers.get_mut(&key) else { return };
            let list = match container.phase {
                Phase::Starting => &container.plan.poststart,
                _ => &container.plan.poststop,
            };
            let Some(hook) = list.get(index).cloned() else { break };
            match start_hook(&mut self.watcher, key, container, &hook, index) {
                Ok(()) => return self.set_timer(),
                Err(fault) => warn(&fault),
            }
            index += 1;
        }
        let Some(container) = self.containers.get_mut(&key) else { return };
        if container.phase == Phase::Destroying {
            self.containers.remove(&key);
            self.events.push_back(Event::Destroyed { key });
            return;
        }
        container.phase = Phase::Running;
        self.events.push_back(Event::Released { key, result: Ok(()) });
        self.tell_held_exit(key);
    }

    fn hook_over(&mut self, key: ContainerKey, how: Ended) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some(ActiveHook { running, token, index }) = container.hook.take() else { return };
        self.watcher.remove(token, &running.child.pidfd);
        let result = running.finish(how);
        self.set_timer();
        let Some(container) = self.containers.get_mut(&key) else { return };
        match (container.phase, result) {
            (Phase::Preparing, Ok(())) => {
                let go = Go { pid: container.first.child.pid };
                let sent = container.control.as_ref().map(|(control, _)| control::send(control.as_fd(), &go));
                if let Some(Err(fault)) = sent {
                    self.fail_preparing(key, at(index, fault));
                }
            }
            (Phase::Preparing, Err(fault)) => self.fail_preparing(key, at(index, fault)),
            (_, result) => {
                if let Err(fault) = result {
                    warn(&fault);
                }
                self.next_hook(key, index + 1);
            }
        }
    }

    fn set_timer(&self) {
        let deadlines = self.containers.values().filter_map(|c| c.hook.as_ref()?.running.deadline);
        self.watcher.set_timer(deadlines.min());
    }

    fn time_over(&mut self) {
        let now = Instant::now();
        let late = |c: &Container| c.hook.as_ref().and_then(|h| h.running.deadline).is_some_and(|d| d <= now);
        let keys: alloc::vec::Vec<ContainerKey> =
            self.containers.iter().filter(|(_, c)| late(c)).map(|(key, _)| *key).collect();
        for key in keys {
            self.hook_over(key, Ended::Late);
        }
        self.set_timer();
    }

    fn process_ended(&mut self, key: ProcessKey) {
        // What the first process has said before it ended comes first.
        if let ProcessKey::First(container) = key {
            let busy = |p| matches!(p, Phase::Preparing | Phase::Releasing);
            while self
                .containers
                .get(&container)
                .is_some_and(|c| busy(c.phase) && c.control.is_some() && c.hook.is_none())
            {
                self.control_ready(container);
            }
            if self.containers.get(&container).is_some_and(|c| c.phase == Phase::Preparing) {
                let what = "the first process ended while a hook was running".into();
                self.fail_preparing(container, StepFault { step: None, errno: Errno::ESRCH, what });
            }
        }
        let Some(process) = self.process_mut(key) else { return };
        if process.exit.is_some() {
            return;
        }
        let exit = reap(&process.child).unwrap_or(KILLED);
        let token = process.token;
        process.exit = Some(exit);
        if let Some(process) = self.containers.get(&key.container()).and_then(|c| process_of(c, key)) {
            self.watcher.remove(token, &process.child.pidfd);
        }
        let exit = self.out_of_memory(key.container(), exit);
        let Some(container) = self.containers.get_mut(&key.container()) else { return };
        if container.phase == Phase::Starting && matches!(key, ProcessKey::First(_)) {
            container.held_exit = Some(exit);
        } else {
            self.events.push_back(Event::Exited { process: key, exit });
        }
    }

    /// A kill that came with a count of the kernel's is one for lack of memory.
    fn out_of_memory(&mut self, key: ContainerKey, exit: Exit) -> Exit {
        let Some(container) = self.containers.get_mut(&key) else { return exit };
        let Some(group) = container.group.as_mut().filter(|_| exit == KILLED) else { return exit };
        if !group.new_memory_kills() {
            return exit;
        }
        if container.memory.is_none() {
            self.events.push_back(Event::OutOfMemory { key });
        } else {
            self.memory_if_pending(key);
        }
        Exit::OutOfMemory
    }

    /// Tells that memory ran out before telling whom that ended.
    fn memory_if_pending(&mut self, key: ContainerKey) {
        let Some((event, _)) = self.containers.get(&key).and_then(|c| c.memory.as_ref()) else { return };
        let mut count = [0; 8];
        if rustix::io::read(event, &mut count).is_ok() {
            self.events.push_back(Event::OutOfMemory { key });
        }
    }

    fn tell_held_exit(&mut self, key: ContainerKey) {
        if let Some(exit) = self.containers.get_mut(&key).and_then(|c| c.held_exit.take()) {
            self.events.push_back(Event::Exited { process: ProcessKey::First(key), exit });
        }
    }

    pub(super) fn tear_down(&mut self, key: ContainerKey) -> Progress<()> {
        let Some(container) = self.containers.remove(&key) else { return Progress::Done(Ok(())) };
        if container.phase == Phase::Destroying {
            self.containers.insert(key, container);
            return Progress::Later;
        }
        let was_prepared = container.phase != Phase::Preparing;
        let container = self.remove_all_of(container);
        self.events.retain(|event| event_key(event) != key);
        if !was_prepared || container.plan.poststop.is_empty() {
            return Progress::Done(Ok(()));
        }
        self.containers.insert(key, container);
        self.next_hook(key, 0);
        Progress::Later
    }

    /// Ends every process, hook and group of a container.
    pub(super) fn remove_all_of(&mut self, mut container: Container) -> Container {
        if let Some(hook) = container.hook.take() {
            self.watcher.remove(hook.token, &hook.running.child.pidfd);
            let _ = hook.running.finish(Ended::Late);
            self.set_timer();
        }
        if let Some((control, token)) = container.control.take() {
            self.watcher.remove(token, &control);
        }
        if let Some((memory, token)) = container.memory.take() {
            self.watcher.remove(token, &memory);
        }
        // The group is thawed on the way; a frozen process would not end, and be waited for in vain.
        if let Some(group) = &container.group
            && !group.kill_all()
        {
            warn(&Fault::new(
                Errno::EBUSY,
                "remove the container: a process in its control group does not end",
            ));
        }
        // The first process of a PID namespace ends only when all others there were waited for, and those that
        // were started later are this process's children: they come first.
        for (_, mut process) in core::mem::take(&mut container.execs) {
            put_down(&mut self.watcher, &mut process);
        }
        put_down(&mut self.watcher, &mut container.first);
        if let Some(mut group) = container.group.take() {
            group.remove();
        }
        container.phase = Phase::Destroying;
        container
    }
}

fn at(index: usize, fault: Fault) -> StepFault {
    StepFault { step: u16::try_from(index).ok(), errno: fault.errno, what: fault.what }
}

fn process_of(container: &Container, key: ProcessKey) -> Option<&super::container::Process> {
    match key {
        ProcessKey::First(_) => Some(&container.first),
        ProcessKey::Exec(_, exec) => container.execs.get(&exec),
    }
}

fn event_key(event: &Event) -> ContainerKey {
    match event {
        Event::Prepared { key, .. }
        | Event::Released { key, .. }
        | Event::Destroyed { key }
        | Event::OutOfMemory { key } => *key,
        Event::Exited { process, .. } | Event::Output { process } => process.container(),
    }
}

fn start_hook(
    watcher: &mut Watcher,
    key: ContainerKey,
    container: &mut Container,
    hook: &Hook,
    index: usize,
) -> Outcome<()> {
    let running = hooks::start(hook, &container.plan.state, container.first.child.pid)?;
    match watcher.add(&running.child.pidfd, Watched::Hook(key), Mode::Level) {
        Ok(token) => {
            container.hook = Some(ActiveHook { running, token, index });
            Ok(())
        }
        Err(fault) => {
            let _ = running.finish(Ended::Late);
            Err(fault)
        }
    }
}
