//! The kernel's objects, in tables of their own: a container that forgets one leaves it here to be counted.

use super::process::Process;
use super::shared::Shared;
use crate::glue::{ContainerKey, Pid};
use crate::plan::Namespace;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use bailiwick_protocol::error::Errno;

/// Number of the host's own namespaces, as Linux numbers them.
const FIRST_NAMESPACE: u64 = 4_026_531_834;
/// First process number that is given out.
const FIRST_PID: u32 = 100;

/// How many objects of each kind there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Processes, those that have ended and were not forgotten included.
    pub processes: usize,
    /// Namespaces, the host's own not counted.
    pub namespaces: usize,
    /// Mounts, the host's own not counted.
    pub mounts: usize,
    /// Resource groups.
    pub groups: usize,
    /// Container keys in use.
    pub keys: usize,
}

/// One namespace.
#[derive(Clone, Debug)]
pub(super) struct NamespaceObject {
    pub kind: Namespace,
    users: u32,
    /// Host name and domain name, for [`Namespace::Uts`].
    pub hostname: String,
    pub domainname: String,
    /// The number of the next process, for [`Namespace::Pid`].
    next_inner: u32,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub processes: BTreeMap<Pid, Shared<Process>>,
    /// The same processes, by container: what is asked of one must not take longer for what others have.
    by_container: BTreeSet<(ContainerKey, Pid)>,
    namespaces: BTreeMap<u64, NamespaceObject>,
    mounts: BTreeSet<u64>,
    groups: BTreeMap<String, u32>,
    given: u64,
    pub(super) pids_given: u32,
}

impl Objects {
    pub(super) fn census(&self, keys: usize) -> Census {
        Census {
            processes: self.processes.len(),
            namespaces: self.namespaces.len(),
            mounts: self.mounts.len(),
            groups: self.groups.len(),
            keys,
        }
    }

    fn serial(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// A process number nobody has.
    pub(super) fn new_pid(&mut self) -> Pid {
        self.pids_given = self.pids_given.wrapping_add(1) % (1 << 22);
        Pid(FIRST_PID + self.pids_given)
    }

    /// Takes a process in.
    pub(super) fn add_process(&mut self, process: Process) {
        self.by_container.insert((process.key.container(), process.pid));
        self.processes.insert(process.pid, Shared::new(process));
    }

    /// Forgets a process.
    pub(super) fn remove_process(&mut self, pid: Pid) {
        if let Some(process) = self.processes.remove(&pid) {
            self.by_container.remove(&(process.key.container(), pid));
        }
    }

    /// Numbers of a container's processes, in order; those that have ended and were not forgotten included.
    pub(super) fn processes_of(&self, key: ContainerKey) -> impl Iterator<Item = Pid> {
        self.by_container.range((key, Pid(0))..=(key, Pid(u32::MAX))).map(|(_, pid)| *pid)
    }

    /// The host's namespace of this kind.
    pub(super) fn host_namespace(kind: Namespace) -> u64 {
        FIRST_NAMESPACE + Namespace::ALL.iter().position(|k| *k == kind).unwrap_or(0) as u64
    }

    /// A new namespace with one user.
    pub(super) fn new_namespace(&mut self, kind: Namespace) -> u64 {
        let id = FIRST_NAMESPACE + 100 + self.serial();
        let hostname = String::from("host");
        let object =
            NamespaceObject { kind, users: 1, hostname, domainname: String::from("(none)"), next_inner: 1 };
        self.namespaces.insert(id, object);
        id
    }

    /// One user more for a namespace that must be of this kind; the host's are of no concern.
    pub(super) fn join_namespace(&mut self, id: u64, kind: Namespace) -> Result<(), Errno> {
        if id == Objects::host_namespace(kind) {
            return Ok(());
        }
        let object = self.namespaces.get_mut(&id).ok_or(Errno::ENOENT)?;
        if object.kind != kind {
            return Err(Errno::EINVAL);
        }
        object.users += 1;
        Ok(())
    }

    /// One user less; the last one ends it.
    pub(super) fn leave_namespace(&mut self, id: u64) {
        if let Some(object) = self.namespaces.get_mut(&id) {
            object.users -= 1;
            if object.users == 0 {
                self.namespaces.remove(&id);
            }
        }
    }

    pub(super) fn namespace(&mut self, id: u64) -> Option<&mut NamespaceObject> {
        self.namespaces.get_mut(&id)
    }

    /// The number a new process gets in this namespace; none if it is the host's.
    pub(super) fn new_inner_pid(&mut self, id: u64) -> Option<u32> {
        let object = self.namespaces.get_mut(&id)?;
        let pid = object.next_inner;
        object.next_inner += 1;
        Some(pid)
    }

    pub(super) fn new_mount(&mut self) -> u64 {
        let id = self.serial();
        self.mounts.insert(id);
        id
    }

    pub(super) fn drop_mount(&mut self, id: u64) {
        self.mounts.remove(&id);
    }

    /// One user more for a resource group, which is made by its first.
    pub(super) fn join_group(&mut self, path: &str) {
        *self.groups.entry(path.into()).or_insert(0) += 1;
    }

    pub(super) fn leave_group(&mut self, path: &str) {
        if let Some(users) = self.groups.get_mut(path) {
            *users -= 1;
            if *users == 0 {
                self.groups.remove(path);
            }
        }
    }
}
