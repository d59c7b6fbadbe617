//! Hooks: programs that run at certain points of a container's life (runtime-spec, config.md "POSIX-platform Hooks").
//!
//! A hook gets the state document on its standard input; what it writes goes nowhere. Hooks of the runtime run in
//! the kernel's own namespaces and in a group of their own, which ends with them: nothing they left behind goes on.

use super::fault::Fault;
use super::{ContainerId, FURTHER_MAX, Stage};
use crate::cred::{CapabilityState, Credentials};
use crate::group::Limits;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux::{self, Gate, Streams};
use crate::memory::GroupId;
use crate::ns::{NamespaceSet, ProcessId};
use crate::vfs::{FsContext, Location};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::StepFault;
use bailiwick_kernel_glue::plan::{Hook, HookKind};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;

/// A hook that was started and whose end was not told.
#[derive(Debug)]
pub(super) struct Hooked {
    pub(super) process: ProcessId,
    /// A group of its own.
    group: Option<GroupId>,
    deadline: Option<Nanos>,
}

/// Where a hook runs, and as whom. Its set and its places are counted.
struct Surroundings {
    credentials: Credentials,
    namespaces: NamespaceSet,
    fs: FsContext,
}

impl<H: Hw> Kernel<H> {
    /// Starts a hook, which can then be called `Which::Hook(number)`, with `state` as its standard input. The kind of
    /// hook says in which namespaces and below which root. It is killed when its timeout has passed; its end is told
    /// as an event, which also frees the number. While it runs no step is taken and no gate opened.
    ///
    /// # Errors
    /// [`StepFault`], kept for [`Kernel::container_fault`]; no process is left then, and a container that is being
    /// made takes no further step. Without any change: `EBUSY` while another runs; `EINVAL` for a path that is not
    /// absolute, a timeout of 0 seconds, or a kind that has no place at this point. `E2BIG` for a state beyond 64 KiB;
    /// those of execve(2).
    pub fn container_hook(
        &mut self,
        id: ContainerId,
        number: u32,
        hook: &Hook,
        state: &[u8],
    ) -> Result<ProcessId, StepFault> {
        let started = self.may_hook(id, hook).and_then(|()| {
            let started = self.start_hook(id, number, hook, state);
            if started.is_err()
                && let Ok(c) = self.containers.made_mut(id)
                && c.stage == Stage::Building
            {
                c.stage = Stage::Failed;
            }
            Ok(started?)
        });
        let kept = started.and_then(|hooked| {
            let process = hooked.process;
            self.containers.processes.insert(process, id);
            self.containers.record_mut(id)?.hooks.insert(number, hooked);
            Ok(process)
        });
        kept.map_err(|fault: Fault| {
            let fault = fault.of(format_args!("hook {} {}", hook.kind.as_str(), hook.path));
            self.refused(id, fault)
        })
    }

    fn may_hook(&self, id: ContainerId, hook: &Hook) -> Result<(), Fault> {
        if self.hook_runs(id)? {
            return Err(Fault::new(Errno::EBUSY, "another hook runs; its end has to be waited for"));
        }
        let made = self.containers.record(id)?.made.as_ref();
        let fits = match (hook.kind, made) {
            (HookKind::Prestart | HookKind::CreateRuntime | HookKind::CreateContainer, Some(c)) => {
                c.stage == Stage::Building && c.root.is_some() && c.pivoted.is_none()
            }
            (HookKind::StartContainer, Some(c)) => c.stage == Stage::AtGate,
            (HookKind::Poststart, Some(c)) => c.stage == Stage::Released,
            (HookKind::Poststop, None) => true,
            _ => false,
        };
        if !fits {
            return Err(Fault::new(Errno::EINVAL, "hooks of this kind do not run at this point"));
        }
        if !hook.path.starts_with('/') {
            return Err(Fault::new(Errno::EINVAL, "its path is not absolute"));
        }
        if hook.timeout == Some(0) {
            return Err(Fault::new(Errno::EINVAL, "its timeout is 0 seconds"));
        }
        Ok(())
    }

    /// Whether a hook of the container has not ended.
    pub(super) fn hook_runs(&self, id: ContainerId) -> Result<bool, Errno> {
        let hooks = self.containers.record(id)?.hooks.values();
        Ok(hooks.map(|hook| hook.process).any(|process| self.lives(process).is_ok()))
    }

    fn start_hook(
        &mut self,
        id: ContainerId,
        number: u32,
        hook: &Hook,
        state: &[u8],
    ) -> Result<Hooked, Errno> {
        self.room()?;
        let record = self.containers.record(id)?;
        if record.hooks.contains_key(&number) {
            return Err(Errno::EEXIST);
        }
        if record.hooks.len() >= FURTHER_MAX {
            return Err(Errno::EAGAIN);
        }
        let home = record.of.group;
        let own = match hook.kind {
            HookKind::CreateContainer | HookKind::StartContainer => None,
            _ => Some(self.groups.create(home, &format!("hook:{}.{number}", id.0), Limits::default())?),
        };
        let inner = self.containers.made(id).ok().and_then(|c| c.group);
        let group = own.or(inner).unwrap_or(home);
        let spawned = self.on_behalf_of(group, |k| k.spawn_hook(id, hook, state, group));
        let deadline =
            hook.timeout.map(|s| Nanos(self.mem.hw.now().0.saturating_add(u64::from(s) * 1_000_000_000)));
        match spawned {
            Ok(process) => Ok(Hooked { process, group: own, deadline }),
            Err(errno) => {
                if let Some(group) = own {
                    self.remove_group(group);
                }
                Err(errno)
            }
        }
    }

    fn spawn_hook(
        &mut self,
        id: ContainerId,
        hook: &Hook,
        document: &[u8],
        group: GroupId,
    ) -> Result<ProcessId, Errno> {
        let bytes = |strings: &[String]| -> Vec<Vec<u8>> {
            strings.iter().map(|text| text.clone().into_bytes()).collect()
        };
        if hook.args.iter().chain(&hook.env).any(|text| text.contains('\0')) {
            return Err(Errno::EINVAL);
        }
        // The container's first process takes number 1 before a hook inside could.
        if hook.kind == HookKind::CreateContainer {
            self.first_process(id)?;
        }
        let input = linux::new_input(self, group, document)?;
        let around = match self.surroundings(id, hook.kind) {
            Ok(around) => around,
            Err(errno) => {
                linux::discard_input(self, input);
                return Err(errno);
            }
        };
        let gate = Gate {
            group,
            credentials: around.credentials,
            fs: around.fs,
            namespaces: around.namespaces,
            limits: Gate::default_limits(),
            oom_score: 0,
            streams: Streams::Input(input),
        };
        let process = linux::spawn(self, gate)?;
        let started =
            linux::load_at(self, process, hook.path.as_bytes(), bytes(&hook.args), bytes(&hook.env))
                .and_then(|()| linux::release(self, process));
        if let Err(errno) = started {
            self.end_process(process, bailiwick_protocol::message::Exit::Signal(9));
            linux::collect(self, process);
            return Err(errno);
        }
        Ok(process)
    }

    fn surroundings(&mut self, id: ContainerId, kind: HookKind) -> Result<Surroundings, Errno> {
        let root = Credentials::root(self.vfs.namespaces.first_user());
        match kind {
            HookKind::Prestart | HookKind::CreateRuntime | HookKind::Poststart | HookKind::Poststop => {
                let (initial, of) = (self.containers.initial()?, self.containers.record(id)?.of);
                let (host, bundle) = (of.host.ok_or(Errno::EPERM)?, of.bundle);
                let namespaces = self.vfs.namespaces.copy_set(&initial.set);
                Ok(Surroundings { credentials: root, namespaces, fs: self.context(host, bundle) })
            }
            HookKind::CreateContainer => {
                let c = self.containers.made(id)?;
                let credentials = match c.set.user == root.user_namespace {
                    true => root,
                    false => Credentials {
                        user_namespace: c.set.user,
                        capabilities: CapabilityState {
                            inheritable: crate::cred::Capabilities::NONE,
                            ambient: crate::cred::Capabilities::NONE,
                            ..root.capabilities
                        },
                        ..c.maker.clone()
                    },
                };
                let (host, bundle) = (c.host.ok_or(Errno::EPERM)?, c.fs.cwd);
                let namespaces = self.set_for_process(id)?;
                Ok(Surroundings { credentials, namespaces, fs: self.context(host, bundle) })
            }
            HookKind::StartContainer => {
                let c = self.containers.made(id)?;
                let (new_root, first) = (c.root()?, c.first()?);
                let linux = self.processes.get(first).and_then(|p| p.linux()).ok_or(Errno::ESRCH)?;
                // What the program may not do, the hook may: it prepares the way for it.
                let credentials = Credentials { filter: None, ..linux.credentials.clone() };
                let namespaces = self.set_for_process(id)?;
                Ok(Surroundings { credentials, namespaces, fs: self.context(new_root, new_root) })
            }
        }
    }

    /// A context of these two places, counted for it.
    fn context(&mut self, root: Location, cwd: Location) -> FsContext {
        self.vfs.hold(root);
        self.vfs.hold(cwd);
        FsContext { root, cwd, umask: 0o022 }
    }

    /// Ends a hook and whatever it left in its group.
    pub(super) fn end_hook(&mut self, hooked: &Hooked) {
        self.end_process(hooked.process, bailiwick_protocol::message::Exit::Signal(9));
        self.containers.processes.remove(&hooked.process);
        linux::collect(self, hooked.process);
        if let Some(group) = hooked.group {
            self.clear_group(group);
            self.remove_group(group);
        }
    }

    /// Ends hooks whose time is over: the kernel's clock calls it.
    pub(crate) fn end_overdue_hooks(&mut self) {
        let now = self.mem.hw.now();
        let hooks = self.containers.all.values().flat_map(|c| c.hooks.values());
        let overdue = |hook: &&Hooked| hook.deadline.is_some_and(|deadline| deadline <= now);
        let late: Vec<ProcessId> = hooks.filter(overdue).map(|hook| hook.process).collect();
        for process in late {
            self.end_process(process, bailiwick_protocol::message::Exit::Signal(9));
        }
    }
}
