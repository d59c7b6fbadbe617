//! Containers: kernel objects that carry out the steps of a plan.
//!
//! ```text
//!  container_create ─► steps in the order of the plan ─► at the gate ─► container_release ─► its program runs
//!                        group · namespaces · maps          │              container_execute ─► further processes
//!                        root · mounts · devices            │
//!                        hooks · pivot_root                 │   events are read off the object's state:
//!                        masks · limits · user · load       │   hook ended, out of memory, output, exited
//!                                                           ▼
//!  container_destroy at any time: everything it has is killed, taken apart and given back
//! ```
//!
//! A container begins with the kernel's own namespaces and with its bundle's directory as working directory. Steps
//! act with the kernel's full authority, but in the container's namespaces and for its resource group; paths inside
//! the new root are resolved component by component and never leave it. A step that fails may have done
//! half its work: the container takes no further one then and is to be destroyed, which leaves nothing.
//!
//! No event is ever queued: what there is to tell follows from the state of the container's processes and from what
//! was told before, so a container's part of kernel memory does not grow with what it does.

mod destroy;
mod event;
mod fault;
mod group;
mod hook;
mod input;
mod life;
mod mounts;
mod namespaces;
mod place;
mod process;
mod root;
#[cfg(test)]
mod tests;

use crate::cred::Credentials;
use crate::hw::Hw;
use crate::ipc::NotificationId;
use crate::kernel::Kernel;
use crate::linux::{Input, with_everything};
use crate::memory::GroupId;
use crate::ns::{NamespaceSet, ProcessId};
use crate::vfs::{Caller, Env, FsContext, FsKind, Location, NewFileSystem, Store, Vfs};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_abi::Which;
use bailiwick_kernel_glue::StepFault;
use bailiwick_kernel_glue::plan::{MountFlags, Namespace, Step};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Stdio;
use fault::Fault;
use process::Becoming;

/// Most containers there can be.
pub const CONTAINERS_MAX: usize = 256;
/// Most further processes of one container that are remembered at one time, and most hooks.
pub const FURTHER_MAX: usize = 64;

/// A container. A number is never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerId(pub u32);

/// Whether a container's processes may have the console as their terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsoleUse {
    /// They may.
    Allowed,
    /// They may not: `Stdio::Terminal` is `EPERM`.
    Refused,
}

/// Whether what a container takes from its bundle may be written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BundleWrites {
    /// It may.
    Allowed,
    /// It may not: the root, and every bind mount from the bundle, is read-only for good.
    Refused,
}

/// What a new container is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewContainer {
    /// The group below which its own is made.
    pub group: GroupId,
    /// The bundle. The container counts it for itself.
    pub bundle: Location,
    /// Whether that was handed over with the right to write.
    pub bundle_writes: BundleWrites,
    /// What absolute paths of the host begin at; the container counts it for itself. Without one they are refused.
    pub host: Option<Location>,
    /// Where its events go.
    pub events: NotificationId,
    /// The bits an event sets.
    pub bits: u64,
    /// Its number there.
    pub key: u64,
    /// Who may have the console.
    pub console: ConsoleUse,
    /// Standard streams of the first process.
    pub stdio: Stdio,
}

/// Where a container is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It takes steps.
    Building,
    /// A step failed: it can only be destroyed.
    Failed,
    /// Its first process waits at the gate.
    AtGate,
    /// The gate was opened.
    Released,
}

/// The kernel's end of a process's standard input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Feed {
    /// None: it is no pipe.
    None,
    /// It can be written to, and has to be closed.
    Open(Input),
    /// It was closed.
    Closed,
}

/// A process started from outside, and what was told of it.
#[derive(Debug)]
struct Member {
    process: ProcessId,
    /// What the kernel has of its standard input.
    feed: Feed,
    /// Its ring of output, held.
    output: Option<u32>,
    /// There is output of which nobody was told, or which was not read since.
    output_told: bool,
    exit_told: bool,
}

/// A container: a record that lasts until it is removed, and what was made for it, until it is destroyed.
#[derive(Debug)]
struct Container {
    of: NewContainer,
    /// Why the last step, process or hook was refused.
    fault: Option<StepFault>,
    hooks: BTreeMap<u32, hook::Hooked>,
    made: Option<Made>,
}

/// What was made for a container.
#[derive(Debug)]
struct Made {
    /// The group it was made in: its own lies below.
    home: GroupId,
    /// Its own group.
    group: Option<GroupId>,
    stage: Stage,
    /// Who makes things inside: the kernel's authority, with the ids of the container's root.
    maker: Credentials,
    set: NamespaceSet,
    /// Kinds of namespace that were made for it.
    own: Vec<Namespace>,
    /// Root and working directory of the steps: the kernel's root and the bundle at first, the new root at last.
    fs: FsContext,
    /// What absolute paths of the host begin at, in the mount namespace of the steps; counted.
    host: Option<Location>,
    /// The new root, counted.
    root: Option<Location>,
    /// What pivot_root exchanged: (old, new).
    pivoted: Option<(String, String)>,
    /// Mounts that become read-only once everything is in them; counted.
    late_read_only: Vec<Location>,
    /// What its first process will be.
    becoming: Becoming,
    first: Option<Member>,
    execs: BTreeMap<u32, Member>,
    /// How many processes killed for want of memory were told.
    oom_told: u32,
}

impl Made {
    fn group(&self) -> Result<GroupId, Errno> {
        self.group.ok_or(Errno::EINVAL)
    }
    fn root(&self) -> Result<Location, Errno> {
        self.root.ok_or(Errno::EINVAL)
    }
    fn member(&self, which: Which) -> Option<&Member> {
        match which {
            Which::First => self.first.as_ref(),
            Which::Exec(number) => self.execs.get(&number),
            Which::Hook(_) => None,
        }
    }
    fn member_mut(&mut self, which: Which) -> Option<&mut Member> {
        match which {
            Which::First => self.first.as_mut(),
            Which::Exec(number) => self.execs.get_mut(&number),
            Which::Hook(_) => None,
        }
    }
    fn first(&self) -> Result<ProcessId, Errno> {
        self.first.as_ref().map(|first| first.process).ok_or(Errno::ESRCH)
    }
}

/// The kernel's own namespaces, and its view of files.
#[derive(Debug)]
struct Initial {
    set: NamespaceSet,
    fs: FsContext,
}

/// All containers.
#[derive(Debug, Default)]
pub struct Containers {
    all: BTreeMap<ContainerId, Container>,
    next: u32,
    initial: Option<Initial>,
    /// Groups that were made on the way to a container's own: they go with the last one in them.
    on_the_way: BTreeSet<GroupId>,
    processes: BTreeMap<ProcessId, ContainerId>,
    outputs: BTreeMap<u32, ContainerId>,
    /// Containers that may have something to tell.
    ready: BTreeSet<ContainerId>,
}

impl Containers {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }
    /// How many processes and rings of output are known to be a container's, and groups to be made on the way.
    pub fn parts(&self) -> usize {
        self.processes.len() + self.outputs.len() + self.on_the_way.len()
    }
    fn record(&self, id: ContainerId) -> Result<&Container, Errno> {
        self.all.get(&id).ok_or(Errno::ESRCH)
    }
    fn record_mut(&mut self, id: ContainerId) -> Result<&mut Container, Errno> {
        self.all.get_mut(&id).ok_or(Errno::ESRCH)
    }
    /// What was made; `ESRCH` once it was destroyed.
    fn made(&self, id: ContainerId) -> Result<&Made, Errno> {
        self.record(id)?.made.as_ref().ok_or(Errno::ESRCH)
    }
    fn bundle_writes(&self, id: ContainerId) -> Result<BundleWrites, Errno> {
        self.record(id).map(|record| record.of.bundle_writes)
    }
    fn made_mut(&mut self, id: ContainerId) -> Result<&mut Made, Errno> {
        self.record_mut(id)?.made.as_mut().ok_or(Errno::ESRCH)
    }
    /// Who pays for what is made for a container: its group, or where that will be made.
    fn payer(&self, id: ContainerId) -> Result<GroupId, Errno> {
        self.made(id).map(|made| made.group.unwrap_or(made.home))
    }
    fn initial(&self) -> Result<&Initial, Errno> {
        self.initial.as_ref().ok_or(Errno::EINVAL)
    }
    /// The kernel's root directory, unless the kernel is not started yet. Valid as long as it runs.
    pub fn host_root(&self) -> Option<Location> {
        self.initial.as_ref().map(|initial| initial.fs.root)
    }
}

impl<H: Hw> Kernel<H> {
    /// Prepares what containers begin with: the machine's namespaces, which hooks of the runtime run in too, with proc
    /// mounted on `/proc`, by whose files namespaces are joined.
    ///
    /// # Errors
    /// `EEXIST` at a second call; `ENOMEM` if the machine is too small.
    pub(crate) fn begin_containers(&mut self) -> Result<(), Errno> {
        if self.containers.initial.is_some() {
            return Err(Errno::EEXIST);
        }
        let set = self.vfs.namespaces.copy_set(&self.machine);
        let fs = self.vfs.new_context(set.mount)?;
        self.containers.initial = Some(Initial { set, fs });
        self.as_host(|vfs, env, by| {
            let at = place::make(
                vfs,
                env,
                by,
                by.fs.root,
                "/proc",
                place::Missing::Directory,
                place::Links::Follow,
            )?;
            let new = NewFileSystem {
                kind: FsKind::Proc,
                source: "proc",
                flags: MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
                data: "",
                group: None,
            };
            vfs.mount_new(env, by, new, at.at).map(|_| ())
        })
    }

    /// Lends the files as the kernel itself sees them.
    fn as_host<T>(
        &mut self,
        work: impl FnOnce(&mut Vfs, &mut Env<'_>, &Caller<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let who = Credentials::root(self.vfs.namespaces.first_user());
        with_everything(self, |vfs, env, containers| {
            let Initial { set, fs } = containers.initial()?;
            let caller =
                Caller { process: None, credentials: &who, fs, namespaces: set, group: GroupId::ROOT };
            work(vfs, env, &caller)
        })
    }

    /// Lends the files as the steps of a container see them.
    fn inside<T, E: From<Errno>>(
        &mut self,
        id: ContainerId,
        work: impl FnOnce(&mut Vfs, &mut Env<'_>, &Caller<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        with_everything(self, |vfs, env, containers| {
            let c = containers.made(id)?;
            let caller = Caller {
                process: None,
                credentials: &c.maker,
                fs: &c.fs,
                namespaces: &c.set,
                group: c.group.unwrap_or(c.home),
            };
            work(vfs, env, &caller)
        })
    }

    /// Makes a container with nothing in it.
    ///
    /// # Errors
    /// `EEXIST` if the notification has one with this key, `ENOSPC` if there are too many, `ENOMEM`; `ENOTDIR` if
    /// the bundle is no directory; `EPERM` for a terminal without the console; `EOPNOTSUPP` for streams that nobody
    /// has here ([`Stdio::Inherit`]).
    pub fn container_create(&mut self, new: NewContainer) -> Result<ContainerId, Errno> {
        self.room()?;
        if self.container_find(new.events, new.key).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.containers.count() >= CONTAINERS_MAX {
            return Err(Errno::ENOSPC);
        }
        match new.stdio {
            Stdio::Inherit => return Err(Errno::EOPNOTSUPP),
            Stdio::Terminal if new.console == ConsoleUse::Refused => return Err(Errno::EPERM),
            _ => {}
        }
        if !self.vfs.is_directory(new.bundle.node) {
            return Err(Errno::ENOTDIR);
        }
        let initial = self.containers.initial()?;
        let set = self.vfs.namespaces.copy_set(&initial.set);
        let mut fs = self.vfs.copy_context(&initial.fs);
        self.vfs.set_cwd(&mut Store { memory: &mut self.mem, groups: &mut self.groups }, &mut fs, new.bundle);
        // Twice: for the record, and for the steps, whose places move into the new mount namespace.
        [Some(new.bundle), new.host, new.host].into_iter().flatten().for_each(|at| self.vfs.hold(at));
        let id = ContainerId(self.containers.next);
        self.containers.next = id.0.wrapping_add(1);
        let made = Made {
            home: new.group,
            group: None,
            stage: Stage::Building,
            maker: Credentials::root(set.user),
            set,
            own: Vec::new(),
            fs,
            host: new.host,
            root: None,
            pivoted: None,
            late_read_only: Vec::new(),
            becoming: Becoming::default(),
            first: None,
            execs: BTreeMap::new(),
            oom_told: 0,
        };
        let record = Container { of: new, fault: None, hooks: BTreeMap::new(), made: Some(made) };
        self.containers.all.insert(id, record);
        Ok(id)
    }

    /// The container with this key.
    pub fn container_find(&self, events: NotificationId, key: u64) -> Option<ContainerId> {
        let is_it = |c: &Container| (c.of.events, c.of.key) == (events, key);
        self.containers.all.iter().find(|(_, c)| is_it(c)).map(|(id, _)| *id)
    }

    /// Why the last step, process or hook was refused.
    pub fn container_fault(&self, id: ContainerId) -> Option<&StepFault> {
        self.containers.all.get(&id)?.fault.as_ref()
    }

    /// Notes which of the steps of one call the last refusal is about.
    pub(crate) fn container_fault_at(&mut self, id: ContainerId, position: u16) {
        if let Some(fault) = self.containers.all.get_mut(&id).and_then(|record| record.fault.as_mut()) {
            fault.step = Some(position);
        }
    }

    /// What pivot_root exchanged, as the plan named it and the kernel found it to be: where the old root was put,
    /// seen from the new one, and what became the root, seen from the old one. None before.
    pub fn container_pivot(&self, id: ContainerId) -> Option<(&str, &str)> {
        let pivoted = self.containers.made(id).ok()?.pivoted.as_ref()?;
        Some((pivoted.0.as_str(), pivoted.1.as_str()))
    }

    /// Carries out one step of `plan.create`. Gives the first process once `Load` has made it. Hooks need to be told
    /// the state and are run by [`Kernel::container_hook`] instead: [`Step::Hook`] is `EINVAL` here.
    ///
    /// # Errors
    /// [`StepFault`], kept for [`Kernel::container_fault`]; `step` is none. The container takes no further step then.
    /// `EBUSY` while a hook runs, `EINVAL` after a failure or once the gate is reached, `ESRCH` once it was destroyed:
    /// nothing changes then.
    pub fn container_step(&mut self, id: ContainerId, step: &Step) -> Result<Option<ProcessId>, StepFault> {
        let done = self.may_step(id).and_then(|()| {
            let done = self.room().map_err(Fault::from).and_then(|()| {
                let payer = self.containers.payer(id)?;
                self.on_behalf_of(payer, |k| k.step(id, step))
            });
            if done.is_err() {
                self.containers.made_mut(id)?.stage = Stage::Failed;
            }
            done
        });
        done.map_err(|fault| self.refused(id, fault.of(step)))
    }

    fn may_step(&self, id: ContainerId) -> Result<(), Fault> {
        if self.hook_runs(id)? {
            return Err(Fault::new(Errno::EBUSY, "a hook runs; its end has to be waited for"));
        }
        match self.containers.made(id)?.stage {
            Stage::Building => Ok(()),
            Stage::Failed => Err(Fault::new(Errno::EINVAL, "a step before it failed; destroy the container")),
            _ => Err(Fault::new(Errno::EINVAL, "the first process is at the gate already")),
        }
    }

    /// Keeps a refusal for whoever asks for its text.
    fn refused(&mut self, id: ContainerId, fault: StepFault) -> StepFault {
        if let Ok(record) = self.containers.record_mut(id) {
            record.fault = Some(fault.clone());
        }
        fault
    }

    fn step(&mut self, id: ContainerId, step: &Step) -> Result<Option<ProcessId>, Fault> {
        match step {
            Step::ResourceGroup { path, resources, devices } => {
                self.make_group(id, path, resources, devices)?
            }
            Step::Namespaces(list) => self.enter_namespaces(id, list)?,
            Step::IdMaps { users, groups } => self.map_ids(id, users, groups)?,
            Step::TimeOffset { clock, seconds, nanoseconds } => {
                self.offset_time(id, clock, *seconds, *nanoseconds)?;
            }
            Step::Root { path, propagation } => self.make_root(id, path, *propagation)?,
            Step::Mount(mount) => self.make_mount(id, mount)?,
            Step::Device(device) => self.make_device(id, device)?,
            Step::Link { path, target } => self.make_link(id, path, target)?,
            Step::Hook(_) => return Err(Fault::new(Errno::EINVAL, "a hook is started by a call of its own")),
            Step::PivotRoot { new, old } => self.pivot(id, new, old)?,
            Step::Hostname(name) => self.set_name(id, "kernel.hostname", name)?,
            Step::Domainname(name) => self.set_name(id, "kernel.domainname", name)?,
            Step::Sysctl { name, value } => self.set_name(id, name, value)?,
            Step::Mask(path) => self.mask(id, path)?,
            Step::ReadonlyPath(path) => self.make_read_only(id, path)?,
            Step::ReadonlyRoot => self.make_root_read_only(id)?,
            Step::RootPropagation(to) => self.propagate_root(id, *to)?,
            Step::Load { args, env } => return Ok(Some(self.load_first(id, args, env)?)),
            Step::Rlimit(_)
            | Step::OomScore(_)
            | Step::User { .. }
            | Step::Capabilities(_)
            | Step::NoNewPrivileges
            | Step::Filter(_)
            | Step::WorkingDirectory(_) => self.become_first(id, step)?,
        }
        Ok(None)
    }
}
