//! The processes of a container: what they are to be, and the gate they wait at.

use super::fault::Fault;
use super::{ConsoleUse, ContainerId, FURTHER_MAX, Feed, Member, Stage};
use crate::cred::{Capabilities, CapabilityState, Credentials, GROUPS_MAX, Gid};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux::{self, Gate, NOFILE, NOFILE_MAX, Streams};
use crate::memory::GroupId;
use crate::ns::{Body, NamespaceSet, ProcessId};
use crate::vfs::{FsContext, Location, Store};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_kernel_glue::StepFault;
use bailiwick_kernel_glue::filter::Filter;
use bailiwick_kernel_glue::plan::{CapabilitySets, ProcessPlan, Rlimit, Step};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Stdio;

/// What a process is to be. Give it back with [`Kernel::unbecome`].
#[derive(Debug, Default)]
pub(super) struct Becoming {
    user: Option<User>,
    capabilities: CapabilityState,
    no_new_privileges: bool,
    filter: Option<Arc<Filter>>,
    limits: Vec<Rlimit>,
    oom_score: i16,
    /// Working directory, counted.
    directory: Option<Location>,
}

#[derive(Clone, Debug)]
struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    umask: u32,
}

impl Default for User {
    fn default() -> Self {
        User { uid: 0, gid: 0, groups: Vec::new(), umask: 0o022 }
    }
}

/// Checks a limit as setrlimit(2) does.
fn limit(limit: Rlimit) -> Result<Rlimit, Errno> {
    if usize::from(limit.resource) >= 16 || limit.soft > limit.hard {
        return Err(Errno::EINVAL);
    }
    if usize::from(limit.resource) == NOFILE && limit.hard > NOFILE_MAX {
        return Err(Errno::EPERM);
    }
    Ok(limit)
}

/// Checks the sets as capset(2) does; the ambient set is kept within permitted and inheritable, as the kernel keeps
/// it at every later change.
fn capability_state(sets: &CapabilitySets) -> Result<CapabilityState, Errno> {
    let all = [sets.bounding, sets.permitted, sets.effective, sets.inheritable, sets.ambient];
    if all.iter().any(|set| !Capabilities::ALL.contains(Capabilities(*set))) {
        return Err(Errno::EINVAL);
    }
    let [bounding, permitted, effective, inheritable, ambient] = all.map(Capabilities);
    if !permitted.contains(effective) {
        return Err(Errno::EPERM);
    }
    let ambient = ambient & permitted & inheritable;
    Ok(CapabilityState { inheritable, permitted, effective, bounding, ambient })
}

impl<H: Hw> Kernel<H> {
    /// A step about the first process.
    pub(super) fn become_first(&mut self, id: ContainerId, step: &Step) -> Result<(), Errno> {
        let mut becoming = core::mem::take(&mut self.containers.made_mut(id)?.becoming);
        let done = self.become_step(id, &mut becoming, step);
        self.containers.made_mut(id)?.becoming = becoming;
        done
    }

    /// A step about a process.
    ///
    /// # Errors
    /// `EINVAL` for what no process can be and for any other step; `EPERM` for a limit on descriptors beyond the
    /// kernel's or capabilities in use that are not permitted; `ENOENT`, `ENOTDIR` for the working directory.
    fn become_step(&mut self, id: ContainerId, b: &mut Becoming, step: &Step) -> Result<(), Errno> {
        match step {
            Step::Rlimit(wanted) => b.limits.push(limit(*wanted)?),
            Step::OomScore(score) if (-1000..=1000).contains(score) => b.oom_score = *score,
            Step::User { uid, gid, groups, umask } => {
                if groups.len() > GROUPS_MAX || umask.is_some_and(|mask| mask > 0o777) {
                    return Err(Errno::EINVAL);
                }
                let umask = umask.unwrap_or(0o022);
                let user = User { uid: *uid, gid: *gid, groups: groups.clone(), umask };
                self.identity(self.containers.made(id)?.set.user, &user)?;
                b.user = Some(user);
            }
            Step::Capabilities(sets) => b.capabilities = capability_state(sets)?,
            Step::NoNewPrivileges => b.no_new_privileges = true,
            Step::Filter(filter) => {
                filter.verify().map_err(|_| Errno::EINVAL)?;
                b.filter = Some(Arc::new(filter.clone()));
            }
            Step::WorkingDirectory(path) => {
                let at = self.working_directory(id, path)?;
                self.vfs.hold(at);
                if let Some(old) = b.directory.replace(at) {
                    let frames = &mut Store { memory: &mut self.mem, groups: &mut self.groups };
                    self.vfs.release(frames, old);
                }
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn working_directory(&mut self, id: ContainerId, path: &str) -> Result<Location, Errno> {
        use super::place::{Links, Missing, make};
        let root = self.containers.made(id)?.root()?;
        if !path.starts_with('/') {
            return Err(Errno::EINVAL);
        }
        self.inside(id, |vfs, env, by| {
            let place = make(vfs, env, by, root, path, Missing::Nothing, Links::Follow)?;
            if vfs.is_directory(place.at.node) { Ok(place.at) } else { Err(Errno::ENOTDIR) }
        })
    }

    /// Ids inside a user namespace as the kernel's.
    fn identity(&self, namespace: crate::ns::NamespaceId, user: &User) -> Result<Credentials, Errno> {
        let ids = self.vfs.namespaces.user(namespace).ok_or(Errno::EINVAL)?;
        let mut who = Credentials::root(namespace);
        who.set_all_uids(ids.map_into(user.uid).ok_or(Errno::EINVAL)?);
        who.set_all_gids(ids.map_group_into(user.gid).ok_or(Errno::EINVAL)?);
        let groups = user.groups.iter().map(|gid| ids.map_group_into(*gid).ok_or(Errno::EINVAL));
        who.groups = groups.collect::<Result<Vec<Gid>, Errno>>()?;
        Ok(who)
    }

    /// Who a process is to be.
    fn identity_of(&self, id: ContainerId, b: &Becoming) -> Result<Credentials, Errno> {
        let user = b.user.clone().unwrap_or_default();
        let mut who = self.identity(self.containers.made(id)?.set.user, &user)?;
        who.capabilities = b.capabilities;
        who.no_new_privs = b.no_new_privileges;
        who.filter = b.filter.clone();
        Ok(who)
    }

    /// Gives back what a process would have been.
    pub(super) fn unbecome(&mut self, becoming: Becoming) {
        if let Some(at) = becoming.directory {
            self.vfs.release(&mut Store { memory: &mut self.mem, groups: &mut self.groups }, at);
        }
    }

    // ---- the gate ----------------------------------------------------------------------------------------------

    /// The number of a process in the first pid namespace, as the host has it.
    pub fn host_number(&self, process: ProcessId) -> Option<u32> {
        let first = self.containers.initial.as_ref()?.set.pid;
        self.vfs.namespaces.pid(first)?.number(process)
    }

    /// A copy of the container's namespaces for one process more in them.
    pub(super) fn set_for_process(&mut self, id: ContainerId) -> Result<NamespaceSet, Errno> {
        let Kernel { vfs, containers, .. } = self;
        let c = containers.made_mut(id)?;
        let time = c.set.time_for_children;
        if c.set.time != time {
            vfs.namespaces.hold(time);
            vfs.namespaces.release(core::mem::replace(&mut c.set.time, time));
        }
        if let Some(Body::Time { entered, .. }) = vfs.namespaces.body_mut(time) {
            *entered = true;
        }
        Ok(vfs.namespaces.copy_set(&c.set))
    }

    /// The container's first process. It is made now if it is not there yet: with all its namespaces, at the gate,
    /// without a program.
    ///
    /// # Errors
    /// `EINVAL` before the root is made, `EBUSY` if the terminal is another's, `EAGAIN` and `ENOMEM` at limits.
    pub(super) fn first_process(&mut self, id: ContainerId) -> Result<ProcessId, Errno> {
        let record = self.containers.record(id)?;
        let c = record.made.as_ref().ok_or(Errno::ESRCH)?;
        if let Some(first) = &c.first {
            return Ok(first.process);
        }
        c.root()?;
        let (stdio, user) = (record.of.stdio, c.set.user);
        // Its root may have no name outside. Who the process is follows with its program, before it runs.
        let mut who = self.identity(user, &User::default()).unwrap_or(Credentials::root(user));
        who.capabilities = CapabilityState::default();
        let fs = self.vfs.copy_context(&self.containers.made(id)?.fs);
        let member = self.spawn_member(id, who, fs, stdio)?;
        let process = member.process;
        self.containers.made_mut(id)?.first = Some(member);
        Ok(process)
    }

    /// A process at the gate, in all namespaces and the group of the container. `fs` is taken over.
    fn spawn_member(
        &mut self,
        id: ContainerId,
        credentials: Credentials,
        fs: FsContext,
        stdio: Stdio,
    ) -> Result<Member, Errno> {
        let prepared = self
            .containers
            .made(id)
            .and_then(super::Made::group)
            .and_then(|group| Ok((group, self.streams_for(group, stdio)?)));
        let (group, streams) = match prepared {
            Ok(prepared) => prepared,
            Err(errno) => {
                let frames = &mut Store { memory: &mut self.mem, groups: &mut self.groups };
                self.vfs.release_context(frames, fs);
                return Err(errno);
            }
        };
        let gate = Gate {
            group,
            credentials,
            fs,
            namespaces: self.set_for_process(id)?,
            limits: Gate::default_limits(),
            oom_score: 0,
            streams,
        };
        let (feed, output) = match streams {
            Streams::Output(output) => (Feed::None, Some(output)),
            Streams::Piped(input, output) => (Feed::Open(input), Some(output)),
            Streams::Terminal | Streams::Input(_) => (Feed::None, None),
        };
        match linux::spawn(self, gate) {
            Ok(process) => {
                if let Feed::Open(input) = feed {
                    linux::keep_input(self, input);
                }
                self.containers.processes.insert(process, id);
                self.containers.outputs.extend(output.map(|output| (output, id)));
                Ok(Member { process, feed, output, output_told: false, exit_told: false })
            }
            Err(errno) => {
                if let Some(output) = output {
                    linux::release_output(self, output);
                }
                Err(errno)
            }
        }
    }

    /// What the standard streams of a process are made of.
    fn streams_for(&mut self, group: GroupId, stdio: Stdio) -> Result<Streams, Errno> {
        match stdio {
            Stdio::Log | Stdio::Console => Ok(Streams::Output(linux::new_output(self)?)),
            Stdio::Terminal if self.linux.terminal.session.is_some() => Err(Errno::EBUSY),
            Stdio::Terminal => Ok(Streams::Terminal),
            Stdio::Piped => {
                let output = linux::new_output(self)?;
                match linux::new_input(self, group, &[]) {
                    Ok(input) => Ok(Streams::Piped(input, output)),
                    Err(errno) => {
                        linux::release_output(self, output);
                        Err(errno)
                    }
                }
            }
            Stdio::Inherit => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Ends a member and forgets it.
    pub(super) fn end_member(&mut self, member: &Member) {
        self.end_process(member.process, bailiwick_protocol::message::Exit::Signal(9));
        self.containers.processes.remove(&member.process);
        linux::collect(self, member.process);
        if let Feed::Open(input) = member.feed {
            linux::close_input(self, input);
        }
        if let Some(output) = member.output {
            self.containers.outputs.remove(&output);
            linux::release_output(self, output);
        }
    }

    /// Makes a process at the gate what it is to be, and gives it its program.
    fn arrive(
        &mut self,
        id: ContainerId,
        process: ProcessId,
        becoming: Becoming,
        args: &[String],
        env: &[String],
    ) -> Result<(), Errno> {
        let done = self.apply(id, process, &becoming);
        self.unbecome(becoming);
        done?;
        let bytes = |strings: &[String]| -> Result<Vec<Vec<u8>>, Errno> {
            let one = |text: &String| match text.contains('\0') {
                true => Err(Errno::EINVAL),
                false => Ok(text.clone().into_bytes()),
            };
            strings.iter().map(one).collect()
        };
        linux::load(self, process, bytes(args)?, bytes(env)?)
    }

    fn apply(&mut self, id: ContainerId, process: ProcessId, b: &Becoming) -> Result<(), Errno> {
        let root = self.containers.made(id)?.root()?;
        let who = self.identity_of(id, b)?;
        let umask = b.user.as_ref().map_or(0o022, |user| user.umask);
        let Kernel { vfs, mem, groups, processes, .. } = self;
        let linux = processes.get_mut(process).and_then(|p| p.linux_mut()).ok_or(Errno::ESRCH)?;
        linux.credentials = who;
        linux.oom_score = b.oom_score;
        for limit in &b.limits {
            if let Some(slot) = linux.limits.get_mut(usize::from(limit.resource)) {
                *slot = (limit.soft, limit.hard);
            }
        }
        let fs = linux.fs.as_mut().ok_or(Errno::ESRCH)?;
        let mut frames = Store { memory: mem, groups };
        vfs.set_root(&mut frames, fs, root);
        vfs.set_cwd(&mut frames, fs, b.directory.unwrap_or(root));
        fs.umask = umask;
        Ok(())
    }

    /// The last step: the first process gets its program and waits at the gate.
    ///
    /// # Errors
    /// `EINVAL` before pivot_root; those of execve(2).
    pub(super) fn load_first(
        &mut self,
        id: ContainerId,
        args: &[String],
        env: &[String],
    ) -> Result<ProcessId, Fault> {
        if self.containers.made(id)?.pivoted.is_none() {
            return Err(Fault::new(Errno::EINVAL, "the new root is not the root yet"));
        }
        let process = self.first_process(id)?;
        let becoming = core::mem::take(&mut self.containers.made_mut(id)?.becoming);
        self.arrive(id, process, becoming, args, env)?;
        self.containers.made_mut(id)?.stage = Stage::AtGate;
        Ok(process)
    }

    /// Starts a further process, which can then be called `Which::Exec(number)`: it runs when this returns.
    ///
    /// # Errors
    /// [`StepFault`], kept for [`Kernel::container_fault`]; nothing is left of the process then. `EEXIST` if the
    /// number is in use, `EINVAL` if the gate is closed, `ESRCH` if the first process has ended, `EAGAIN` if too many
    /// are remembered; as the steps have it.
    pub fn container_execute(
        &mut self,
        id: ContainerId,
        number: u32,
        plan: &ProcessPlan,
    ) -> Result<ProcessId, StepFault> {
        let started = self.may_execute(id, number, plan.stdio).and_then(|()| {
            let payer =
                self.containers.payer(id).map_err(|errno| Fault::from(errno).of("start a process"))?;
            self.on_behalf_of(payer, |k| k.execute_plan(id, plan))
        });
        match started {
            Ok(member) => {
                let process = member.process;
                if let Ok(c) = self.containers.made_mut(id) {
                    c.execs.insert(number, member);
                }
                Ok(process)
            }
            Err(fault) => Err(self.refused(id, fault)),
        }
    }

    fn may_execute(&self, id: ContainerId, number: u32, stdio: Stdio) -> Result<(), StepFault> {
        let check = || {
            let record = self.containers.record(id)?;
            let c = record.made.as_ref().ok_or(Errno::ESRCH)?;
            if c.stage != Stage::Released {
                return Err(Fault::new(Errno::EINVAL, "the container's gate is closed"));
            }
            if c.execs.contains_key(&number) {
                return Err(Fault::new(
                    Errno::EEXIST,
                    "a process has this number; forget it or choose another",
                ));
            }
            if c.execs.len() >= FURTHER_MAX {
                return Err(Fault::new(
                    Errno::EAGAIN,
                    "too many processes are remembered; forget some that ended",
                ));
            }
            if stdio == Stdio::Terminal && record.of.console == ConsoleUse::Refused {
                return Err(Fault::new(Errno::EPERM, "the container was not given the console"));
            }
            self.lives(c.first()?)
                .map_err(|errno| Fault::new(errno, "the container's first process has ended"))
        };
        check().map_err(|fault| fault.of("start a process"))
    }

    fn execute_plan(&mut self, id: ContainerId, plan: &ProcessPlan) -> Result<Member, StepFault> {
        let Some((last @ Step::Load { args, env }, steps)) = plan.steps.split_last() else {
            return Err(Fault::new(Errno::EINVAL, "the last step is no load").of("start a process"));
        };
        let at = |index: usize, fault: Fault, step: &Step| StepFault {
            step: u16::try_from(index).ok(),
            ..fault.of(step)
        };
        let mut becoming = Becoming::default();
        for (index, step) in steps.iter().enumerate() {
            if let Err(errno) = self.become_step(id, &mut becoming, step) {
                self.unbecome(becoming);
                return Err(at(index, errno.into(), step));
            }
        }
        self.start_further(id, becoming, plan.stdio, args, env)
            .map_err(|errno| at(steps.len(), errno.into(), last))
    }

    fn start_further(
        &mut self,
        id: ContainerId,
        becoming: Becoming,
        stdio: Stdio,
        args: &[String],
        env: &[String],
    ) -> Result<Member, Errno> {
        let spawned = self.identity_of(id, &becoming).and_then(|who| {
            let fs = self.vfs.copy_context(&self.containers.made(id)?.fs);
            self.spawn_member(id, who, fs, stdio)
        });
        let member = match spawned {
            Ok(member) => member,
            Err(errno) => {
                self.unbecome(becoming);
                return Err(errno);
            }
        };
        let process = member.process;
        let started =
            self.arrive(id, process, becoming, args, env).and_then(|()| linux::release(self, process));
        match started {
            Ok(()) => Ok(member),
            Err(errno) => {
                self.end_member(&member);
                Err(errno)
            }
        }
    }

    /// Whether a process has not ended.
    ///
    /// # Errors
    /// `ESRCH` if it has.
    pub(super) fn lives(&self, process: ProcessId) -> Result<(), Errno> {
        let lives = self.processes.get(process).is_some_and(|process| process.exit.is_none());
        if lives { Ok(()) } else { Err(Errno::ESRCH) }
    }
}
