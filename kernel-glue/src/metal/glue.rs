//! The trait, verb by verb.

use super::channel::Directory;
use super::steps::{Steps, TooLarge};
use super::sys;
use super::work::{Container, Outcome, errno};
use crate::glue::{
    BundleError, ContainerKey, Event, ExecKey, KernelGlue, OutputRead, Pid, Prepared, ProcessKey, Progress,
    StepFault,
};
use crate::own_kernel::FEATURES;
use crate::plan::{Features, Plan, ProcessPlan, Resources};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_abi::{Call, ContainerEvent, ContainerRequest, Error, Handle, Which};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, InputEnd, Nanos, ProcessPage, Scope, Statistics, Stdio, Waiting};

/// What the backend may use: handles that the process holds.
#[derive(Clone, Copy, Debug)]
pub struct Authority {
    /// The group (`CREATE`) below which containers get theirs.
    pub group: Handle,
    /// The directory (`READ`) that absolute paths of configurations are below.
    pub host: Handle,
    /// The notification (`READ`, `WRITE`) that containers belong to.
    pub events: Handle,
    /// The bits of it that events set.
    pub bits: u64,
    /// The console (`READ`, `WRITE`).
    pub console: Handle,
    /// The clock (`READ`).
    pub clock: Handle,
}

/// Our own kernel.
#[derive(Debug)]
pub struct Metal {
    authority: Authority,
    containers: BTreeMap<ContainerKey, Container>,
}

/// Bytes read from a file at once: most configurations, and no more, for the room is cleared first.
const PIECE: usize = 4 << 10;

impl Metal {
    /// A backend that uses this authority.
    pub fn new(authority: Authority) -> Self {
        Metal { authority, containers: BTreeMap::new() }
    }

    fn handle(&self, key: ContainerKey) -> Result<Handle, Errno> {
        self.containers.get(&key).map(|container| container.handle).ok_or(Errno::ESRCH)
    }

    fn create(&mut self, key: ContainerKey, bundle: &Directory, plan: &Plan) -> Result<(), StepFault> {
        let fault = |errno| StepFault { step: None, errno, what: "make a container".to_string() };
        if self.containers.contains_key(&key) {
            return Err(fault(Errno::EEXIST));
        }
        let Authority { group, host, events, bits, console, .. } = self.authority;
        let request = ContainerRequest {
            host: host.0,
            bits,
            console: console.0,
            stdio: match plan.stdio {
                Stdio::Log => 0,
                Stdio::Console => 1,
                Stdio::Terminal => 2,
                // A manager with an address space of its own has no streams to pass on.
                Stdio::Inherit => return Err(fault(Errno::EINVAL)),
                Stdio::Piped => 4,
            },
            ..ContainerRequest::new(group, bundle.handle(), events, key.0)
        };
        let steps = Steps::new(&plan.create).map_err(|TooLarge| fault(Errno::E2BIG))?;
        let handle = sys::container_create(&request).map_err(|error| fault(errno(error)))?;
        self.containers.insert(key, Container::new(handle, steps, plan));
        Ok(())
    }

    /// Works on a container until a hook runs or there is an outcome, and forgets it if that ends it.
    fn advance(&mut self, key: ContainerKey) -> Outcome {
        let outcome = self.containers.get_mut(&key).map_or(Outcome::Nothing, Container::advance);
        self.settle(key, outcome)
    }

    fn settle(&mut self, key: ContainerKey, outcome: Outcome) -> Outcome {
        if let Outcome::NotPrepared(_) | Outcome::Destroyed = outcome
            && let Some(container) = self.containers.remove(&key)
        {
            // It destroys what nobody destroyed, and takes the capability with it.
            let _ = sys::container(Call::ContainerRemove, container.handle);
        }
        outcome
    }

    /// What a kernel event means; none if it concerns this backend alone.
    fn translate(&mut self, key: ContainerKey, event: ContainerEvent) -> Option<Event> {
        let process = |which| match which {
            Which::First => Some(ProcessKey::First(key)),
            Which::Exec(number) => Some(ProcessKey::Exec(key, ExecKey(number))),
            Which::Hook(_) => None,
        };
        match event {
            ContainerEvent::Exited { which: Which::Hook(number), exit } => {
                let outcome = self.containers.get_mut(&key)?.hook_ended(number, exit_of(exit))?;
                self.settle(key, outcome).event(key)
            }
            ContainerEvent::Exited { which, exit } => {
                Some(Event::Exited { process: process(which)?, exit: exit_of(exit) })
            }
            ContainerEvent::Output { which } => Some(Event::Output { process: process(which)? }),
            ContainerEvent::OutOfMemory => Some(Event::OutOfMemory { key }),
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        loop {
            let [key, which, what] = sys::container_event(self.authority.events).ok()?;
            let key = ContainerKey(key);
            let event = ContainerEvent::from_words(which, what);
            if let Some(event) = event.and_then(|event| self.translate(key, event)) {
                return Some(event);
            }
        }
    }
}

const fn exit_of(exit: bailiwick_abi::Exit) -> Exit {
    match exit {
        bailiwick_abi::Exit::Code(status) => Exit::Code(status),
        bailiwick_abi::Exit::Signal(signal) => Exit::Signal(signal),
        bailiwick_abi::Exit::OutOfMemory => Exit::OutOfMemory,
    }
}

const fn which(process: ProcessKey) -> Which {
    match process {
        ProcessKey::First(_) => Which::First,
        ProcessKey::Exec(_, ExecKey(number)) => Which::Exec(number),
    }
}

impl KernelGlue for Metal {
    type Directory = Directory;

    fn features(&self) -> Features {
        FEATURES
    }

    fn now(&self) -> Nanos {
        Nanos(sys::now(self.authority.clock))
    }

    fn read_bundle(
        &mut self,
        directory: &Directory,
        path: &str,
        limit: usize,
    ) -> Result<Vec<u8>, BundleError> {
        let mut bytes = Vec::new();
        loop {
            let start = bytes.len();
            bytes.resize(start + PIECE, 0);
            let room = bytes.get_mut(start..).unwrap_or_default();
            let (count, size) = sys::file_read(directory.handle(), path, start as u64, room).map_err(
                |error| match errno(error) {
                    Errno::EISDIR | Errno::EXDEV => BundleError::NotAFile,
                    other => BundleError::Errno(other),
                },
            )?;
            bytes.truncate(start + count);
            if size > limit as u64 || bytes.len() > limit {
                return Err(BundleError::TooLarge);
            }
            if count == 0 || bytes.len() as u64 >= size {
                return Ok(bytes);
            }
        }
    }

    fn prepare(&mut self, key: ContainerKey, bundle: Directory, plan: &Plan) -> Progress<Prepared> {
        match self.create(key, &bundle, plan) {
            Ok(()) => self.advance(key).prepared(),
            Err(fault) => Progress::Done(Err(fault)),
        }
    }

    fn release(&mut self, key: ContainerKey) -> Progress<()> {
        let Some(container) = self.containers.get_mut(&key) else {
            let what = "open the gate".to_string();
            return Progress::Done(Err(StepFault { step: None, errno: Errno::ESRCH, what }));
        };
        match container.release() {
            Ok(()) => self.advance(key).done(),
            Err(fault) => Progress::Done(Err(fault)),
        }
    }

    fn execute(&mut self, key: ContainerKey, process: ExecKey, plan: &ProcessPlan) -> Result<Pid, StepFault> {
        let fault = |errno| StepFault { step: None, errno, what: "run a program".to_string() };
        let container = self.containers.get(&key).ok_or_else(|| fault(Errno::ESRCH))?;
        if !container.is_open() {
            return Err(fault(Errno::EINVAL));
        }
        let encoded = postcard::to_allocvec(plan).map_err(|_| fault(Errno::ENOMEM))?;
        let pid = sys::container_execute(container.handle, process.0, &encoded).map_err(|error| {
            let fault = fault(errno(error));
            match container.reason() {
                Some((what, step)) => StepFault { step, what, ..fault },
                None => fault,
            }
        })?;
        u32::try_from(pid).map(Pid).map_err(|_| fault(Errno::EOVERFLOW))
    }

    fn signal(&mut self, process: ProcessKey, signal: u8, scope: Scope) -> Result<(), Errno> {
        let all = match scope {
            Scope::First => 0,
            Scope::All => 1,
        };
        let handle = self.handle(process.container())?;
        sys::container_signal(handle, which(process), signal, all).map_err(errno)
    }

    fn freeze(&mut self, key: ContainerKey) -> Result<(), Errno> {
        sys::container(Call::ContainerFreeze, self.handle(key)?).map_err(errno)
    }

    fn thaw(&mut self, key: ContainerKey) -> Result<(), Errno> {
        sys::container(Call::ContainerThaw, self.handle(key)?).map_err(errno)
    }

    fn update(&mut self, key: ContainerKey, resources: &Resources) -> Result<(), StepFault> {
        let fault = |errno| StepFault { step: None, errno, what: "change the limits".to_string() };
        let encoded = postcard::to_allocvec(resources).map_err(|_| fault(Errno::ENOMEM))?;
        let handle = self.handle(key).map_err(fault)?;
        sys::container_update(handle, &encoded).map_err(|error| match errno(error) {
            Errno::EBUSY => {
                let what = "limit memory: more than that is in use, and nothing can be reclaimed".to_string();
                StepFault { step: None, errno: Errno::EBUSY, what }
            }
            other => fault(other),
        })
    }

    fn statistics(&mut self, key: ContainerKey) -> Result<Statistics, Errno> {
        let mut room = [0; 256];
        let len = sys::container_statistics(self.handle(key)?, &mut room).map_err(errno)?;
        postcard::from_bytes(room.get(..len).unwrap_or_default()).map_err(|_| Errno::EIO)
    }

    fn processes(&mut self, key: ContainerKey, from: u32) -> Result<ProcessPage, Errno> {
        let mut room = [0; 1024];
        let len = sys::container_processes(self.handle(key)?, from, &mut room).map_err(errno)?;
        postcard::from_bytes(room.get(..len).unwrap_or_default()).map_err(|_| Errno::EIO)
    }

    fn read_output(&mut self, process: ProcessKey, buffer: &mut [u8]) -> OutputRead {
        let read = |handle| sys::container_output(handle, which(process), buffer).map_err(errno);
        self.handle(process.container()).and_then(read).unwrap_or_default()
    }

    fn write_input(&mut self, process: ProcessKey, bytes: &[u8], then: InputEnd) -> Result<usize, Errno> {
        let handle = self.handle(process.container())?;
        sys::container_input(handle, which(process), bytes, then).map_err(errno)
    }

    fn console(&mut self, name: &str, line: &[u8]) {
        let mut text = Vec::with_capacity(name.len() + line.len() + 4);
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b" | ");
        text.extend_from_slice(line);
        text.push(b'\n');
        sys::console_write(self.authority.console, &text);
    }

    fn forget(&mut self, key: ContainerKey, process: ExecKey) {
        if let Ok(handle) = self.handle(key) {
            sys::container_forget(handle, Which::Exec(process.0));
        }
    }

    fn destroy(&mut self, key: ContainerKey) -> Progress<()> {
        match self.containers.get_mut(&key).map(Container::destroy) {
            None => Progress::Done(Ok(())),
            // It goes on already: its end is told once.
            Some(false) => Progress::Later,
            Some(true) => self.advance(key).done(),
        }
    }

    fn next_event(&mut self, waiting: Waiting) -> Option<Event> {
        loop {
            if let Some(event) = self.take_event() {
                return Some(event);
            }
            if waiting == Waiting::No {
                return None;
            }
            match sys::wait(self.authority.events) {
                Ok(_) | Err(Error::INTERRUPTED) => {}
                Err(_) => return None,
            }
        }
    }
}
