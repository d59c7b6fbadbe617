//! The trait's verbs.

use super::Model;
use super::container::{Container, Motion};
use super::directory::{Above, Directory, Node};
use super::process::Run;
use super::time::Jump;
use crate::glue::{
    BundleError, ContainerKey, Event, ExecKey, KernelGlue, OutputRead, Pid, Prepared, ProcessKey, Progress,
    StepFault,
};
use crate::plan::{Features, Namespace, Plan, ProcessPlan, Resources};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{
    InputEnd, Nanos, PAGE_ROWS, ProcessPage, ProcessRow, Scope, Statistics, Waiting,
};

impl Model {
    /// A container with nothing going on.
    fn settled(&self, key: ContainerKey) -> Result<&Container, Errno> {
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        if container.job.is_some() { Err(Errno::EBUSY) } else { Ok(container) }
    }

    /// A container that signals can be sent to: one with nothing going on, or that is being released.
    fn reachable(&self, key: ContainerKey) -> Result<(), Errno> {
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        if container.is_releasing() { Ok(()) } else { self.settled(key).map(|_| ()) }
    }

    fn pid_of(&self, process: ProcessKey) -> Option<Pid> {
        let container = self.containers.get(&process.container())?;
        match process {
            ProcessKey::First(_) => container.first,
            ProcessKey::Exec(_, exec) => container.executed.get(&exec).copied(),
        }
    }
}

impl KernelGlue for Model {
    type Directory = Directory;

    fn features(&self) -> Features {
        self.features
    }

    fn now(&self) -> Nanos {
        self.clock
    }

    fn read_bundle(
        &mut self,
        directory: &Directory,
        path: &str,
        limit: usize,
    ) -> Result<Vec<u8>, BundleError> {
        self.step().map_err(BundleError::Errno)?;
        let found = directory.resolve("", path, Above::Refuse).map_err(|errno| match errno {
            Errno::EXDEV => BundleError::NotAFile,
            errno => BundleError::Errno(errno),
        })?;
        match directory.node(&found) {
            Some(Node::File { bytes, .. }) if bytes.len() > limit => Err(BundleError::TooLarge),
            Some(Node::File { bytes, .. }) => Ok(bytes.clone()),
            _ => Err(BundleError::NotAFile),
        }
    }

    fn prepare(&mut self, key: ContainerKey, bundle: Directory, plan: &Plan) -> Progress<Prepared> {
        self.begin_prepare(key, bundle, plan)
    }

    fn release(&mut self, key: ContainerKey) -> Progress<()> {
        self.begin_release(key)
    }

    fn execute(&mut self, key: ContainerKey, process: ExecKey, plan: &ProcessPlan) -> Result<Pid, StepFault> {
        self.begin_execute(key, process, plan)
    }

    fn signal(&mut self, process: ProcessKey, signal: u8, scope: Scope) -> Result<(), Errno> {
        let key = process.container();
        self.reachable(key)?;
        if !(1..=64).contains(&signal) || (scope == Scope::All && !matches!(process, ProcessKey::First(_))) {
            return Err(Errno::EINVAL);
        }
        self.settle();
        let pid = self.pid_of(process).ok_or(Errno::ESRCH)?;
        let lives = self.objects.processes.get(&pid).is_some_and(|process| process.lives());
        let reached: Vec<Pid> = match scope {
            Scope::First if lives => Vec::from([pid]),
            Scope::First => Vec::new(),
            Scope::All => self.living(key).map(|p| p.pid).collect(),
        };
        if reached.is_empty() {
            return Err(Errno::ESRCH);
        }
        self.step()?;
        for pid in reached {
            if self.objects.processes.get(&pid).is_some_and(|process| process.lives()) {
                self.deliver(pid, signal);
            }
        }
        Ok(())
    }

    fn freeze(&mut self, key: ContainerKey) -> Result<(), Errno> {
        self.settled(key)?;
        self.settle();
        self.step()?;
        let clock = self.clock;
        let container = self.containers.get_mut(&key).ok_or(Errno::ESRCH)?;
        if core::mem::replace(&mut container.motion, Motion::Frozen) == Motion::Free {
            // While frozen, `due` is the time that is left.
            self.shift(key, |due| due.0.saturating_sub(clock.0));
        }
        Ok(())
    }

    fn thaw(&mut self, key: ContainerKey) -> Result<(), Errno> {
        self.settled(key)?;
        self.step()?;
        let clock = self.clock;
        let container = self.containers.get_mut(&key).ok_or(Errno::ESRCH)?;
        if core::mem::replace(&mut container.motion, Motion::Free) == Motion::Frozen {
            self.shift(key, |left| left.0.saturating_add(clock.0));
            self.deliver_pending(key);
        }
        Ok(())
    }

    fn update(&mut self, key: ContainerKey, resources: &Resources) -> Result<(), StepFault> {
        let fault = |errno, what: &str| StepFault { step: None, errno, what: what.to_string() };
        let old = self.settled(key).map_err(|errno| fault(errno, "change the limits"))?.resources.clone();
        self.settle();
        // One step each, as files of a control group would be.
        let changed = [
            ("limit processes", old.pids != resources.pids),
            ("limit CPU time", old.cpu_thousandths() != resources.cpu_thousandths()),
            ("limit memory", old.memory != resources.memory),
        ];
        for (what, _) in changed.iter().filter(|(_, changed)| *changed) {
            self.step().map_err(|errno| fault(errno, what))?;
        }
        if resources.memory.is_some_and(|limit| limit < self.memory(key)) {
            return Err(fault(Errno::EBUSY, "limit memory: more than that is in use"));
        }
        if let Some(container) = self.containers.get_mut(&key) {
            container.resources = resources.clone();
        }
        Ok(())
    }

    fn statistics(&mut self, key: ContainerKey) -> Result<Statistics, Errno> {
        self.settled(key)?;
        self.settle();
        self.step()?;
        let memory = self.memory(key);
        let pids = self.living(key).count() as u32;
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        Ok(Statistics {
            memory,
            memory_peak: container.memory_peak,
            memory_limit: container.resources.memory,
            cpu: container.cpu,
            cpu_limit: container.resources.cpu_thousandths(),
            pids,
            pids_limit: container.resources.pids,
            oom_kills: container.oom_kills,
            unknown_calls: 0,
        })
    }

    fn processes(&mut self, key: ContainerKey, from: u32) -> Result<ProcessPage, Errno> {
        let own = self.settled(key)?.namespaces.contains_key(&Namespace::Pid);
        self.settle();
        self.step()?;
        let mut page = ProcessPage::default();
        let count = self.living(key).count() as u32;
        let end = from.saturating_add(PAGE_ROWS as u32);
        for process in self.living(key).skip(from as usize).take(PAGE_ROWS) {
            let row = ProcessRow { pid: Some(process.pid.0), inner_pid: own.then_some(process.inner) };
            if page.rows.push(row).is_err() {
                break;
            }
        }
        page.next = (end < count).then_some(end);
        Ok(page)
    }

    fn read_output(&mut self, process: ProcessKey, buffer: &mut [u8]) -> OutputRead {
        let Some(pid) = self.pid_of(process) else { return OutputRead::default() };
        let read = self.objects.processes.get_mut(&pid).map(|p| p.take_output(buffer));
        self.wake_writer(pid);
        let (len, lost) = read.unwrap_or_default();
        OutputRead { len, lost }
    }

    fn write_input(&mut self, process: ProcessKey, bytes: &[u8], then: InputEnd) -> Result<usize, Errno> {
        self.settle();
        let pid = self.pid_of(process).ok_or(Errno::ESRCH)?;
        self.step()?;
        self.feed(pid, bytes, then)
    }

    fn console(&mut self, name: &str, line: &[u8]) {
        self.console.push((name.to_string(), line.to_vec()));
    }

    fn forget(&mut self, key: ContainerKey, process: ExecKey) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        if let Some(pid) = container.executed.remove(&process) {
            self.objects.remove_process(pid);
            let gone = ProcessKey::Exec(key, process);
            self.events.retain(|event| !matches!(event, Event::Exited { process, .. } | Event::Output { process } if *process == gone));
        }
    }

    fn destroy(&mut self, key: ContainerKey) -> Progress<()> {
        self.begin_destroy(key)
    }

    fn next_event(&mut self, waiting: Waiting) -> Option<Event> {
        self.settle();
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match waiting {
                Waiting::No => return None,
                Waiting::Yes => {
                    if let Jump::Nothing = self.jump() {
                        return None;
                    }
                }
            }
        }
    }
}

impl Model {
    fn shift(&mut self, key: ContainerKey, change: impl Fn(Nanos) -> u64) {
        let pids: Vec<Pid> = self.objects.processes_of(key).collect();
        for pid in pids {
            if let Some(Run::Ready { due }) = self.objects.processes.get_mut(&pid).map(|p| &mut p.run) {
                *due = Nanos(change(*due));
            }
        }
    }
}
