//! What a badge can stand for, and what the manager keeps of it.

use super::parked::{LogWait, Parked, Waits};
use super::tell::Watch;
use super::{ContainerHandle, FactoryHandle, ProcessHandle, quota};
use crate::container::OciContainer;
use crate::grant::{Peers, Resolved};
use crate::log::{Ended, Lines, Log};
use crate::oci::ValidConfig;
use crate::policy::Policy;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use bailiwick_kernel_glue::plan::Resources;
use bailiwick_kernel_glue::{ContainerKey, ExecKey, Pid, ProcessKey};
use bailiwick_protocol::id::{Badge, ContainerId};
use bailiwick_protocol::message::{EventKind, Exit, Status, Stdio};
use bailiwick_protocol::quota::Amounts;

/// The object behind a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Object {
    Factory(FactoryHandle),
    Container(ContainerHandle),
    Process(ProcessHandle),
}

/// A call that was let through: its sender holds the rights the operation needs.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) parked: Parked,
    /// What it was let through on.
    pub(crate) grant: Resolved<Object>,
}

impl Call {
    /// What it is about.
    pub(crate) const fn object(&self) -> Object {
        self.grant.object
    }
}

/// What goes on with a container's kernel side, and the call that is answered at its end. A call whose capability
/// was taken back meanwhile has been answered already; the work goes on.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Nothing.
    Idle,
    /// `prepare`. The grant was made at the beginning, so that the end cannot fail for want of room.
    Creating { call: Option<Parked>, grant: Badge },
    /// `release`.
    Starting { call: Option<Parked> },
    /// `destroy`, and what is told of it at its end.
    Deleting { call: Option<Parked>, told: EventKind },
}

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) oci: OciContainer<ValidConfig>,
    /// What its factory knows it by: its id, unless that was taken in a factory it was left to.
    pub(crate) name: Arc<ContainerId>,
    /// Where its name is known and what it is charged to.
    pub(crate) factory: FactoryHandle,
    /// What it was made under, whoever it belongs to now.
    pub(crate) policy: Arc<Policy>,
    /// Its limits: it is charged for them.
    pub(crate) resources: Resources,
    pub(crate) work: Work,
    /// Its first process, once it waits at the gate.
    pub(crate) pid: Option<Pid>,
    /// The same, if its number is told.
    pub(crate) told: Option<Pid>,
    pub(crate) first: Execution,
    /// Processes started by `Exec` that are not forgotten.
    pub(crate) execs: BTreeMap<ExecKey, ProcessHandle>,
    /// What is told of it.
    pub(crate) watch: Watch,
    /// The next such process's key.
    pub(crate) next_exec: u32,
    /// Grants stored with it, by their names, those that have ended meanwhile included. Nobody holds one.
    pub(crate) stored: BTreeMap<ContainerId, Badge>,
}

impl Record {
    /// The first process as the state shows it: from `created` until `stopped`.
    pub(crate) fn visible_pid(&self) -> Option<u32> {
        self.until_stopped(self.told)
    }
    /// The first process for as long as others may join it.
    pub(crate) fn joined_pid(&self) -> Option<u32> {
        self.until_stopped(self.pid)
    }
    fn until_stopped(&self, pid: Option<Pid>) -> Option<u32> {
        match self.oci.state().status() {
            Status::Creating | Status::Stopped => None,
            Status::Created | Status::Running | Status::Paused => pid.map(|pid| pid.0),
        }
    }
}

/// One process started by `Exec`.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) container: ContainerHandle,
    pub(crate) key: ExecKey,
    pub(crate) execution: Execution,
}

/// What is the same for a container's first process and for one started by `Exec`.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    /// The grants on the object.
    pub(crate) peers: Peers,
    pub(crate) stdio: Stdio,
    pub(crate) exit: Option<Exit>,
    pub(crate) log: Log,
    pub(crate) lines: Lines,
    pub(crate) waits: Waits<Parked>,
    pub(crate) log_waits: Waits<LogWait>,
}

impl Execution {
    pub(crate) fn new(stdio: Stdio) -> Self {
        Execution {
            peers: Peers::new(),
            stdio,
            exit: None,
            log: Log::default(),
            lines: Lines::default(),
            waits: Waits::new(),
            log_waits: Waits::new(),
        }
    }

    /// What is charged for who holds it and who waits for it.
    pub(crate) fn held(&self) -> Amounts {
        let capabilities = u64::from(self.peers.records());
        Amounts { capabilities, ..quota::waiting(self.waits.len() + self.log_waits.len()) }
    }

    /// Whether its output has come to an end.
    pub(crate) const fn ended(&self) -> Ended {
        if self.exit.is_some() { Ended::Yes } else { Ended::No }
    }
}

/// The kernel's name for a container: its handle, which is never used again.
pub(crate) const fn key_of(handle: ContainerHandle) -> ContainerKey {
    ContainerKey(handle.to_bits())
}

pub(crate) const fn handle_of(key: ContainerKey) -> ContainerHandle {
    ContainerHandle::from_bits(key.0)
}

impl super::Manager {
    /// The kernel's name for the process behind a container or a process.
    pub(crate) fn process_key(&self, object: Object) -> Option<ProcessKey> {
        match object {
            Object::Factory(_) => None,
            Object::Container(handle) => Some(ProcessKey::First(key_of(handle))),
            Object::Process(handle) => {
                let process = self.processes.get(handle)?;
                Some(ProcessKey::Exec(key_of(process.container), process.key))
            }
        }
    }

    /// The object behind a kernel's name for a process.
    pub(crate) fn object_of(&self, process: ProcessKey) -> Option<Object> {
        let handle = handle_of(process.container());
        let record = self.containers.get(handle)?;
        match process {
            ProcessKey::First(_) => Some(Object::Container(handle)),
            ProcessKey::Exec(_, key) => record.execs.get(&key).copied().map(Object::Process),
        }
    }
}
