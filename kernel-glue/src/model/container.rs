//! Carrying out a plan, and undoing it.

use super::directory::{Above, Directory, Mode, Node, PROGRAM};
use super::objects::Objects;
use super::process::{Identity, Process, Run};
use super::script::{Script, base};
use super::shared::Shared;
use super::{Model, Pace};
use crate::glue::{ContainerKey, ExecKey, Pid, Prepared, ProcessKey, Progress, StepFault};
use crate::plan::{
    Hook, HookKind, IdMap, Mount, MountSource, Namespace, NamespaceSource, Plan, ProcessPlan, Resources,
    Step, Within,
};
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, Nanos};

/// What a container holds of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Container {
    bundle: Directory,
    plan: Shared<Plan>,
    /// Namespaces by kind; kinds that are missing are the host's.
    pub namespaces: BTreeMap<Namespace, u64>,
    mounts: Vec<u64>,
    group: Option<String>,
    pub resources: Resources,
    /// The tree its root lies in, and where.
    pub root: Option<(Directory, String)>,
    /// Paths inside the root that mounts, devices and links made.
    made: BTreeSet<String>,
    pivot: Option<(String, String)>,
    identity: Identity,
    pub first: Option<Pid>,
    pub executed: BTreeMap<ExecKey, Pid>,
    pub gate: Gate,
    pub motion: Motion,
    pub job: Option<Job>,
    pub cpu: Nanos,
    pub memory_peak: u64,
    pub oom_kills: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Closed,
    Open,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Motion {
    Free,
    Frozen,
}

/// A verb that goes on.
#[derive(Clone, Debug)]
pub(super) struct Job {
    work: Work,
    pub due: Nanos,
    /// How the hook ends that is running.
    hook: Option<Result<(), StepFault>>,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// The next step of `plan.create`.
    Prepare(usize),
    /// The next of `plan.start`, then the gate, then `plan.poststart`.
    Release(usize),
    /// The next of `plan.poststop`.
    Destroy(usize),
}

/// A verb that has come to its end.
#[derive(Debug)]
pub(super) enum Ended {
    Prepared(Result<Prepared, StepFault>),
    Released(Result<(), StepFault>),
    Destroyed,
}

/// The step at this position failed.
fn fault(step: usize, errno: Errno, what: impl ToString) -> StepFault {
    StepFault { step: u16::try_from(step).ok(), ..outside(errno, what) }
}

/// Something failed that stands in no list of steps.
fn outside(errno: Errno, what: impl ToString) -> StepFault {
    StepFault { step: None, errno, what: what.to_string() }
}

impl Model {
    pub(super) fn begin_prepare(
        &mut self,
        key: ContainerKey,
        bundle: Directory,
        plan: &Plan,
    ) -> Progress<Prepared> {
        let lost = || outside(Errno::EEXIST, format!("container key {} is in use", key.0));
        if self.containers.contains_key(&key) {
            return Progress::Done(Err(lost()));
        }
        let container = Container {
            bundle,
            plan: Shared::new(plan.clone()),
            namespaces: BTreeMap::new(),
            mounts: Vec::new(),
            group: None,
            resources: Resources::default(),
            root: None,
            made: BTreeSet::new(),
            pivot: None,
            identity: Identity::default(),
            first: None,
            executed: BTreeMap::new(),
            gate: Gate::Closed,
            motion: Motion::Free,
            job: None,
            cpu: Nanos(0),
            memory_peak: 0,
            oom_kills: 0,
        };
        self.containers.insert(key, Shared::new(container));
        match self.begin(key, Work::Prepare(0)) {
            Some(Ended::Prepared(result)) => Progress::Done(result),
            Some(_) => Progress::Done(Err(lost())),
            None => Progress::Later,
        }
    }

    pub(super) fn begin_release(&mut self, key: ContainerKey) -> Progress<()> {
        let refuse = |errno, what: &str| Progress::Done(Err(outside(errno, what)));
        let Some(container) = self.containers.get(&key) else {
            return refuse(Errno::ESRCH, "no such container");
        };
        if container.job.is_some() {
            return refuse(Errno::EBUSY, "another operation has not finished");
        }
        if container.gate == Gate::Open {
            return refuse(Errno::EINVAL, "the gate is open already");
        }
        let waits = container.first.and_then(|pid| self.objects.processes.get(&pid)).map(|p| &p.run);
        if waits != Some(&Run::Gate) {
            return refuse(Errno::ESRCH, "the process at the gate has ended");
        }
        match self.begin(key, Work::Release(0)) {
            Some(Ended::Released(result)) => Progress::Done(result),
            Some(_) => refuse(Errno::EINVAL, "the container is gone"),
            None => Progress::Later,
        }
    }

    pub(super) fn begin_destroy(&mut self, key: ContainerKey) -> Progress<()> {
        let Some(container) = self.containers.get(&key) else { return Progress::Done(Ok(())) };
        if let Some(Job { work: Work::Destroy(_), .. }) = container.job {
            return Progress::Later;
        }
        self.tear_down(key);
        self.events.retain(|event| super::time::container_of(event) != key);
        match self.begin(key, Work::Destroy(0)) {
            Some(_) => Progress::Done(Ok(())),
            None => Progress::Later,
        }
    }

    /// Starts a verb: at once, or later if the pace says so.
    fn begin(&mut self, key: ContainerKey, work: Work) -> Option<Ended> {
        let later = self.pace == Pace::Varied && self.chance(2) == 0;
        let delay = if later { self.chance(2_000_000) + 1 } else { 0 };
        let due = Nanos(self.clock.0 + delay);
        self.containers.get_mut(&key)?.job = Some(Job { work, due, hook: None });
        if delay > 0 { None } else { self.go_on(key) }
    }

    /// Goes on with a container's verb until it ends or has to wait.
    pub(super) fn go_on(&mut self, key: ContainerKey) -> Option<Ended> {
        loop {
            let job = self.containers.get_mut(&key)?.job.take()?;
            let ended = match job.work {
                Work::Prepare(at) => self.go_on_prepare(key, at, job.hook),
                Work::Release(at) => self.go_on_release(key, at, job.hook),
                Work::Destroy(at) => self.go_on_destroy(key, at, job.hook),
            };
            match ended {
                Next::Work(work) => {
                    self.containers.get_mut(&key)?.job = Some(Job { work, due: self.clock, hook: None });
                }
                Next::Hook { after, result, work } => {
                    let due = Nanos(self.clock.0.saturating_add(after.0));
                    self.containers.get_mut(&key)?.job = Some(Job { work, due, hook: Some(result) });
                    if after.0 > 0 {
                        return None;
                    }
                }
                Next::Ended(ended) => return Some(ended),
            }
        }
    }

    fn go_on_prepare(&mut self, key: ContainerKey, at: usize, hook: Option<Result<(), StepFault>>) -> Next {
        let plan = self.containers.get(&key).map(|container| container.plan.clone());
        let done = match (hook, plan.as_ref().and_then(|plan| plan.create.get(at))) {
            (Some(result), _) => result,
            (None, Some(Step::Hook(hook))) => {
                let (after, result) = self.run_hook(hook, at);
                return Next::Hook { after, result, work: Work::Prepare(at) };
            }
            (None, Some(step)) => self.carry_out(key, step).map_err(|errno| fault(at, errno, step)),
            (None, None) => return Next::Ended(Ended::Prepared(self.finish_prepare(key))),
        };
        match done {
            Ok(()) => Next::Work(Work::Prepare(at + 1)),
            Err(fault) => {
                self.abandon(key);
                Next::Ended(Ended::Prepared(Err(fault)))
            }
        }
    }

    fn finish_prepare(&mut self, key: ContainerKey) -> Result<Prepared, StepFault> {
        let made = self.containers.get(&key).and_then(|c| Some((c.first?, c.pivot.clone())));
        match made {
            Some((pid, pivot)) => Ok(Prepared { pid, pivot }),
            None => {
                self.abandon(key);
                Err(outside(Errno::EINVAL, "the plan loads no program"))
            }
        }
    }

    fn go_on_release(&mut self, key: ContainerKey, at: usize, hook: Option<Result<(), StepFault>>) -> Next {
        let Some(container) = self.containers.get(&key) else {
            return Next::Ended(Ended::Released(Ok(())));
        };
        let before = container.plan.start.len();
        if let Some(result) = hook {
            return match result {
                Err(fault) if at < before => {
                    if let Some(pid) = container.first {
                        self.end(pid, Exit::Signal(9));
                    }
                    Next::Ended(Ended::Released(Err(fault)))
                }
                _ => Next::Work(Work::Release(at + 1)),
            };
        }
        let hook = match at.checked_sub(before) {
            None => container.plan.start.get(at).cloned(),
            Some(0) => {
                return match self.open_gate(key) {
                    Ok(()) => Next::Work(Work::Release(at + 1)),
                    Err(errno) => Next::Ended(Ended::Released(Err(outside(errno, "open the gate")))),
                };
            }
            Some(after) => container.plan.poststart.get(after - 1).cloned(),
        };
        match hook {
            Some(hook) => {
                let (after, result) = self.run_hook(&hook, at);
                Next::Hook { after, result, work: Work::Release(at) }
            }
            None => Next::Ended(Ended::Released(Ok(()))),
        }
    }

    fn open_gate(&mut self, key: ContainerKey) -> Result<(), Errno> {
        self.step()?;
        let container = self.containers.get_mut(&key).ok_or(Errno::ESRCH)?;
        let process = container.first.and_then(|pid| self.objects.processes.get_mut(&pid));
        let process = process.filter(|p| p.run == Run::Gate).ok_or(Errno::ESRCH)?;
        process.run = Run::Ready { due: self.clock };
        container.gate = Gate::Open;
        Ok(())
    }

    fn go_on_destroy(&mut self, key: ContainerKey, at: usize, hook: Option<Result<(), StepFault>>) -> Next {
        if hook.is_some() {
            return Next::Work(Work::Destroy(at + 1)); // a poststop hook's failure is a warning
        }
        match self.containers.get(&key).and_then(|c| c.plan.poststop.get(at).cloned()) {
            Some(hook) => {
                let (after, result) = self.run_hook(&hook, at);
                Next::Hook { after, result, work: Work::Destroy(at) }
            }
            None => {
                self.containers.remove(&key);
                Next::Ended(Ended::Destroyed)
            }
        }
    }

    /// Runs a hook: how long it takes, and how it ends.
    fn run_hook(&mut self, hook: &Hook, at: usize) -> (Nanos, Result<(), StepFault>) {
        let failed = |errno, how: &str| {
            let what = format!("hook {} {}{how}", hook.kind.as_str(), hook.path);
            match hook.kind {
                HookKind::StartContainer | HookKind::Poststart | HookKind::Poststop => {
                    Err(outside(errno, what))
                }
                _ => Err(fault(at, errno, what)),
            }
        };
        if let Err(errno) = self.step() {
            return (Nanos(0), failed(errno, ""));
        }
        if !super::COMMANDS.contains(&base(&hook.path)) {
            return (Nanos(0), failed(Errno::ENOENT, ""));
        }
        self.hooks.push(hook.kind);
        let mut args = hook.args.clone();
        match args.first_mut() {
            Some(name) => *name = hook.path.clone(),
            None => args.push(hook.path.clone()),
        }
        let (takes, status) = Script::of(&args).outcome();
        let limit = hook.timeout.map_or(u64::MAX, |seconds| u64::from(seconds) * 1_000_000_000);
        if takes.0 > limit {
            return (Nanos(limit), failed(Errno::ETIMEDOUT, " took too long"));
        }
        match status {
            0 => (takes, Ok(())),
            status => (takes, failed(Errno::EIO, &format!(" ended with status {status}"))),
        }
    }

    /// Ends the processes of a container and gives back what it holds; the key stays.
    fn tear_down(&mut self, key: ContainerKey) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        container.job = None;
        for pid in
            container.first.take().into_iter().chain(core::mem::take(&mut container.executed).into_values())
        {
            self.objects.remove_process(pid);
        }
        for mount in core::mem::take(&mut container.mounts) {
            self.objects.drop_mount(mount);
        }
        for namespace in core::mem::take(&mut container.namespaces).into_values() {
            self.objects.leave_namespace(namespace);
        }
        if let Some(group) = container.group.take() {
            self.objects.leave_group(&group);
        }
    }

    fn abandon(&mut self, key: ContainerKey) {
        self.tear_down(key);
        self.containers.remove(&key);
    }

    /// One step of `plan.create`, but a hook.
    fn carry_out(&mut self, key: ContainerKey, step: &Step) -> Result<(), Errno> {
        match step {
            Step::Mount(mount) => return self.mount(key, mount),
            Step::Namespaces(list) => return self.namespaces(key, list),
            Step::Load { args, env } => return self.load_first(key, args, env),
            _ => {}
        }
        self.step()?;
        let container = self.containers.get_mut(&key).ok_or(Errno::ESRCH)?;
        match step {
            Step::ResourceGroup { path, resources, .. } => {
                if container.group.is_some() {
                    return Err(Errno::EINVAL);
                }
                self.objects.join_group(path);
                container.group = Some(path.clone());
                container.resources = resources.clone();
                Ok(())
            }
            Step::IdMaps { users, groups } => container.id_maps(users, groups),
            Step::Root { path, .. } => {
                container.root = Some(find_root(&container.bundle, &self.host, path)?);
                container.mounts.push(self.objects.new_mount());
                Ok(())
            }
            Step::PivotRoot { new, old } => container.pivot_root(new, old),
            Step::Hostname(name) => self.rename(key, |uts| uts.hostname = name.clone()),
            Step::Domainname(name) => self.rename(key, |uts| uts.domainname = name.clone()),
            Step::TimeOffset { .. } => container.needs(Namespace::Time),
            Step::Device(device) => container.make(&device.path),
            Step::Link { path, .. } => container.make(path),
            Step::Mask(path) | Step::ReadonlyPath(path) => {
                if container.exists(path) {
                    container.mounts.push(self.objects.new_mount());
                }
                Ok(())
            }
            Step::ReadonlyRoot | Step::RootPropagation(_) => {
                container.root.as_ref().map(|_| ()).ok_or(Errno::EINVAL)
            }
            Step::User { .. } | Step::WorkingDirectory(_) => {
                let mut identity = core::mem::take(&mut container.identity);
                let result = container.identify(&mut identity, step);
                container.identity = identity;
                result
            }
            _ => Ok(()),
        }
    }

    fn namespaces(&mut self, key: ContainerKey, list: &[(Namespace, NamespaceSource)]) -> Result<(), Errno> {
        for (kind, source) in list {
            self.step()?;
            let id = match source {
                NamespaceSource::New => self.objects.new_namespace(*kind),
                NamespaceSource::Path(path) => {
                    let id = self.namespace_at(path)?;
                    self.objects.join_namespace(id, *kind)?;
                    id
                }
            };
            let container = self.containers.get_mut(&key).ok_or(Errno::ESRCH)?;
            if let Some(before) = container.namespaces.insert(*kind, id) {
                self.objects.leave_namespace(before);
            }
        }
        Ok(())
    }

    /// The namespace a path like `/proc/7/ns/net` stands for.
    fn namespace_at(&self, path: &str) -> Result<u64, Errno> {
        let rest = path.strip_prefix("/proc/").ok_or(Errno::ENOENT)?;
        let (pid, name) = rest.split_once("/ns/").ok_or(Errno::ENOENT)?;
        let kind = Namespace::ALL.into_iter().find(|k| k.proc_name() == name).ok_or(Errno::ENOENT)?;
        let pid = pid.parse().map_err(|_| Errno::ENOENT)?;
        if pid == 1 {
            return Ok(Objects::host_namespace(kind));
        }
        let process = self.objects.processes.get(&Pid(pid)).filter(|p| p.lives()).ok_or(Errno::ENOENT)?;
        let container = self.containers.get(&process.key.container()).ok_or(Errno::ENOENT)?;
        Ok(container.namespace(kind))
    }

    fn rename(
        &mut self,
        key: ContainerKey,
        change: impl FnOnce(&mut super::objects::NamespaceObject),
    ) -> Result<(), Errno> {
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        // The host's own name is not a container's to change.
        let uts = self.objects.namespace(container.namespace(Namespace::Uts)).ok_or(Errno::EPERM)?;
        change(uts);
        Ok(())
    }

    /// A mount in as many kernel steps as a real one takes: itself, its attributes, its propagation.
    fn mount(&mut self, key: ContainerKey, mount: &Mount) -> Result<(), Errno> {
        self.step()?;
        let known = |kind: &str| self.features.file_systems.contains(&kind);
        let container = self.containers.get_mut(&key).ok_or(Errno::ESRCH)?;
        match &mount.source {
            MountSource::FileSystem { kind, .. } if !known(kind) => return Err(Errno::ENODEV),
            MountSource::FileSystem { .. } => {}
            MountSource::Bind { path, within, .. } => match within {
                Within::Host | Within::Bundle => drop(find(&container.bundle, &self.host, path)?),
                Within::Directory(directory) => {
                    let top = self.host.resolve("", directory, Above::Stay)?;
                    self.host.resolve(&top, path, Above::Refuse)?;
                }
            },
        }
        container.needs(Namespace::Mount)?;
        container.make(&mount.destination)?;
        container.mounts.push(self.objects.new_mount());
        if !(mount.flags | mount.clear | mount.tree_flags | mount.tree_clear).is_empty() {
            self.step()?;
        }
        mount.propagation.iter().try_for_each(|_| self.step())
    }

    fn load_first(&mut self, key: ContainerKey, args: &[String], env: &[String]) -> Result<(), Errno> {
        let identity = self.containers.get(&key).map(|c| c.identity.clone()).ok_or(Errno::ESRCH)?;
        let pid = self.load(key, ProcessKey::First(key), args, env, identity)?;
        self.containers.get_mut(&key).ok_or(Errno::ESRCH)?.first = Some(pid);
        Ok(())
    }

    /// Finds a program and makes a process of it that waits at the gate. One kernel step to find the program
    /// and one to make the process.
    fn load(
        &mut self,
        key: ContainerKey,
        process: ProcessKey,
        args: &[String],
        env: &[String],
        identity: Identity,
    ) -> Result<Pid, Errno> {
        self.step()?;
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        let script = container.find_program(args, env)?;
        let stdio = container.plan.stdio;
        self.step()?;
        self.admit(key)?;
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        let inner = self.objects.new_inner_pid(container.namespace(Namespace::Pid));
        let pid = self.objects.new_pid();
        let made = Process::new(pid, inner.unwrap_or(pid.0), process, script, identity, stdio, env);
        self.objects.add_process(made);
        self.note_memory(key);
        Ok(pid)
    }

    /// Starts a further process.
    pub(super) fn begin_execute(
        &mut self,
        key: ContainerKey,
        exec: ExecKey,
        plan: &ProcessPlan,
    ) -> Result<Pid, StepFault> {
        self.may_execute(key, exec)?;
        let mut identity = Identity::default();
        let mut loaded = None;
        for (at, step) in plan.steps.iter().enumerate() {
            let result = match step {
                Step::Load { args, env } => self
                    .load(key, ProcessKey::Exec(key, exec), args, env, identity.clone())
                    .map(|pid| loaded = Some(pid)),
                _ => self.step().and_then(|()| {
                    let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
                    container.identify(&mut identity, step)
                }),
            };
            if let Err(errno) = result {
                if let Some(pid) = loaded {
                    self.objects.remove_process(pid);
                }
                return Err(fault(at, errno, step));
            }
        }
        let process = loaded.and_then(|pid| Some((pid, self.objects.processes.get_mut(&pid)?)));
        let (pid, process) = process.ok_or_else(|| outside(Errno::EINVAL, "the plan loads no program"))?;
        process.run = Run::Ready { due: self.clock };
        process.stdio = plan.stdio;
        if let Some(container) = self.containers.get_mut(&key) {
            container.executed.insert(exec, pid);
        }
        Ok(pid)
    }

    fn may_execute(&self, key: ContainerKey, exec: ExecKey) -> Result<(), StepFault> {
        let refuse = |errno, what: &str| Err(outside(errno, what));
        let Some(container) = self.containers.get(&key) else {
            return refuse(Errno::ESRCH, "no such container");
        };
        if container.job.is_some() {
            return refuse(Errno::EBUSY, "another operation has not finished");
        }
        if container.gate == Gate::Closed {
            return refuse(Errno::EINVAL, "the gate is closed");
        }
        if container.executed.contains_key(&exec) {
            return refuse(Errno::EEXIST, "the process key is in use");
        }
        let first = container.first.and_then(|pid| self.objects.processes.get(&pid));
        if !first.is_some_and(|process| process.lives()) {
            return refuse(Errno::ESRCH, "the container's first process has ended");
        }
        Ok(())
    }
}

enum Next {
    Work(Work),
    Hook { after: Nanos, result: Result<(), StepFault>, work: Work },
    Ended(Ended),
}

impl Job {
    /// Which verb, which step, and how the hook ends that is running.
    pub(super) fn place(&self) -> (u8, usize, Option<bool>) {
        let (verb, at) = match self.work {
            Work::Prepare(at) => (0, at),
            Work::Release(at) => (1, at),
            Work::Destroy(at) => (2, at),
        };
        (verb, at, self.hook.as_ref().map(Result::is_ok))
    }
}

impl Container {
    /// Whether it has exchanged its root.
    pub(super) fn pivot_known(&self) -> bool {
        self.pivot.is_some()
    }

    /// The namespace of this kind it is in.
    pub(super) fn namespace(&self, kind: Namespace) -> u64 {
        self.namespaces.get(&kind).copied().unwrap_or_else(|| Objects::host_namespace(kind))
    }

    /// Whether a release goes on.
    pub(super) fn is_releasing(&self) -> bool {
        matches!(self.job, Some(Job { work: Work::Release(_), .. }))
    }

    fn needs(&self, kind: Namespace) -> Result<(), Errno> {
        self.namespaces.get(&kind).map(|_| ()).ok_or(Errno::EPERM)
    }

    fn id_maps(&self, users: &[IdMap], groups: &[IdMap]) -> Result<(), Errno> {
        self.needs(Namespace::User)?;
        if users.is_empty() || groups.is_empty() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn pivot_root(&mut self, new: &str, old: &str) -> Result<(), Errno> {
        self.needs(Namespace::Mount).map_err(|_| Errno::EINVAL)?;
        if self.root.is_none() || self.pivot.is_some() {
            return Err(Errno::EINVAL);
        }
        self.pivot = Some((old.to_owned(), new.to_owned()));
        Ok(())
    }

    /// Notes that something was put at a path inside the root. A file where a directory is needed is in the way.
    fn make(&mut self, path: &str) -> Result<(), Errno> {
        let (tree, top) = self.root.as_ref().ok_or(Errno::EINVAL)?;
        match tree.resolve(top, path, Above::Stay) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        self.made.insert(path.to_owned());
        Ok(())
    }

    fn exists(&self, path: &str) -> bool {
        let below = |made: &String| {
            path.strip_prefix(made.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let in_tree = |(tree, top): &(Directory, String)| tree.resolve(top, path, Above::Stay).is_ok();
        self.made.iter().any(below) || self.root.as_ref().is_some_and(in_tree)
    }

    fn identify(&self, identity: &mut Identity, step: &Step) -> Result<(), Errno> {
        match step {
            Step::User { uid, gid, .. } => (identity.uid, identity.gid) = (*uid, *gid),
            Step::WorkingDirectory(path) => {
                let (tree, top) = self.root.as_ref().ok_or(Errno::EINVAL)?;
                if !self.made.contains(path) {
                    let found = tree.resolve(top, path, Above::Stay)?;
                    if !matches!(tree.node(&found), Some(Node::Directory)) {
                        return Err(Errno::ENOTDIR);
                    }
                }
                identity.cwd = path.clone();
            }
            Step::Rlimit(_)
            | Step::OomScore(_)
            | Step::Capabilities(_)
            | Step::NoNewPrivileges
            | Step::Filter(_) => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// The script of the program that `args` and the `PATH` of `env` name.
    fn find_program(&self, args: &[String], env: &[String]) -> Result<Script, Errno> {
        let (tree, top) = self.root.as_ref().ok_or(Errno::EINVAL)?;
        let name = args.first().ok_or(Errno::EINVAL)?;
        let found = if name.contains('/') {
            let path =
                if name.starts_with('/') { name.clone() } else { format!("{}/{name}", self.identity.cwd) };
            tree.resolve(top, &path, Above::Stay)?
        } else {
            let path = env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or("/bin:/usr/bin");
            let hit = |dir| tree.resolve(top, &format!("{dir}/{name}"), Above::Stay).ok();
            path.split(':').find_map(hit).ok_or(Errno::ENOENT)?
        };
        match tree.node(&found) {
            Some(Node::File { mode: Mode::Plain, .. } | Node::Directory) => Err(Errno::EACCES),
            Some(Node::File { bytes, .. }) if bytes.starts_with(PROGRAM) => Ok(Script::of(args)),
            Some(Node::File { bytes, .. }) if bytes.starts_with(b"#!/bin/sh\n") => {
                Ok(Script::parse(&String::from_utf8_lossy(bytes.get(10..).unwrap_or_default())))
            }
            Some(Node::File { .. }) => Err(Errno::ENOEXEC),
            Some(Node::Link(_)) | None => Err(Errno::ENOENT),
        }
    }
}

/// A path of the bundle, or of the host if it is absolute.
fn find(bundle: &Directory, host: &Directory, path: &str) -> Result<(Directory, String), Errno> {
    let (tree, above) = if path.starts_with('/') { (host, Above::Stay) } else { (bundle, Above::Refuse) };
    Ok((tree.clone(), tree.resolve("", path, above)?))
}

fn find_root(bundle: &Directory, host: &Directory, path: &str) -> Result<(Directory, String), Errno> {
    let (tree, top) = find(bundle, host, path)?;
    match tree.node(&top) {
        Some(Node::Directory) => Ok((tree, top)),
        _ => Err(Errno::ENOTDIR),
    }
}
