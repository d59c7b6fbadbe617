//! The server's part in making a process: groups and sources before, id maps and the group's membership while it
//! waits, and everything undone if it fails.

use super::cgroup::{Group, Hierarchies};
use super::child::{First, Further, Staged};
use super::control::{self, Go, Told};
use super::fault::{Context, Fault, Outcome};
use super::hooks::reap;
use super::limits;
use super::proc::Proc;
use super::process::Streams;
use super::sources::{Sources, open_null};
use super::sys::{Child, Parent, duplicate, send_signal};
use crate::glue::StepFault;
use crate::plan::{IdMap, Namespace, Plan, ProcessPlan, Step};
use alloc::format;
use alloc::string::String;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Stdio;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::thread::ThreadNameSpaceType;

/// What both kinds of process need.
#[derive(Debug)]
pub(super) struct Tools<'a> {
    pub(super) proc: &'a Proc,
    pub(super) hierarchies: &'a Hierarchies,
    pub(super) parent: &'a str,
    pub(super) inherited: Option<&'a [OwnedFd; 3]>,
    /// Who is given the terminals of processes.
    pub(super) console: Option<&'a OwnedFd>,
    /// Whose children first processes are.
    pub(super) parent_of_first: Parent,
}

/// A process under way.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) control: OwnedFd,
    pub(super) ends: Ends,
}

/// The server's ends of a process's streams.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) output: Option<OwnedFd>,
    pub(super) input: Option<OwnedFd>,
}

fn step_fault(step: Option<usize>, fault: Fault) -> StepFault {
    StepFault { step: step.and_then(|s| u16::try_from(s).ok()), errno: fault.errno, what: fault.what }
}

fn at(step: usize) -> impl Fn(Fault) -> StepFault {
    move |fault| step_fault(Some(step), fault)
}

fn nowhere(fault: Fault) -> StepFault {
    step_fault(None, fault)
}

/// A fault as the new process told it.
pub(super) fn told_fault(step: Option<u16>, errno: u16, what: String) -> StepFault {
    StepFault { step, errno: Errno(errno), what }
}

impl Tools<'_> {
    /// Starts carrying out `plan`. On success the first process is on its way through the steps; on failure nothing
    /// is left.
    pub(super) fn first(
        &self,
        plan: &Plan,
        bundle: BorrowedFd<'_>,
    ) -> Result<(Launched, Option<Group>), StepFault> {
        let mut group = None;
        match self.try_first(plan, bundle, &mut group) {
            Ok(launched) => Ok((launched, group)),
            Err(fault) => {
                if let Some(group) = group {
                    group.put_down();
                }
                Err(fault)
            }
        }
    }

    fn try_first(
        &self,
        plan: &Plan,
        bundle: BorrowedFd<'_>,
        group: &mut Option<Group>,
    ) -> Result<Launched, StepFault> {
        let mut sources = Sources::default();
        for (index, step) in plan.create.iter().enumerate() {
            if let Step::ResourceGroup { path, resources, devices } = step {
                let made = Group::create(self.hierarchies, self.parent, path).map_err(at(index))?;
                limits::apply(group.insert(made), resources, devices).map_err(at(index))?;
            } else {
                sources.add(index, step, bundle, self.proc, group.as_ref()).map_err(at(index))?;
            }
        }
        let (streams, ends) = self.streams(plan.stdio).map_err(nowhere)?;
        let (control, theirs) = control::pair().map_err(nowhere)?;
        let first =
            First { plan, sources: &sources, streams: &streams, proc: self.proc, control: theirs.as_fd() };
        let made = first.spawn(self.parent_of_first).context(|| "make the first process".into());
        let namespaces = sources.namespaces_step;
        let (child, staged) = made.map_err(|fault| step_fault(namespaces, fault))?;
        drop(theirs);
        let mut child = self.proper(child, staged, &control)?;
        if self.parent_of_first == Parent::Shared {
            let opened = self.proc.open(&format!("{}/stat", child.pid), OFlags::RDONLY);
            child.stat = Some(opened.context(|| "watch the first process".into()).map_err(nowhere)?);
        }
        let users = sources.new.contains(&Namespace::User);
        match self.admit(&child, &control, group.as_ref(), &plan.create, users) {
            Ok(()) => Ok(Launched { child, control, ends }),
            Err(fault) => {
                kill(&child);
                Err(fault)
            }
        }
    }

    /// Starts a process in the container whose first process is `target`, and waits until it executes its program.
    pub(super) fn further(
        &self,
        plan: &ProcessPlan,
        target: &Child,
        group: Option<&Group>,
    ) -> Result<Launched, StepFault> {
        let (streams, ends) = self.streams(plan.stdio).map_err(nowhere)?;
        let (control, theirs) = control::pair().map_err(nowhere)?;
        let further = Further {
            plan,
            streams: &streams,
            proc: self.proc,
            control: theirs.as_fd(),
            target: target.pidfd.as_fd(),
            kinds: self.kinds_of(target.pid).map_err(nowhere)?,
        };
        let helper = further.spawn().context(|| "make a process".into()).map_err(nowhere)?;
        drop(theirs);
        let child = self.proper(helper, Staged::Helper, &control)?;
        let started =
            self.admit(&child, &control, group, &plan.steps, false).and_then(|()| until_executed(&control));
        match started {
            Ok(()) => Ok(Launched { child, control, ends }),
            Err(fault) => {
                kill(&child);
                Err(fault)
            }
        }
    }

    /// The process proper: `child` itself, or the one that it as a helper announces.
    fn proper(&self, child: Child, staged: Staged, control: &OwnedFd) -> Result<Child, StepFault> {
        if staged == Staged::Proper {
            return Ok(child);
        }
        let told = control::expect(control).map_err(nowhere);
        let _ = reap(&child);
        match told? {
            (Told::Spawned { pid }, Some(pidfd)) => Ok(Child { pid, pidfd, stat: None }),
            (Told::Fault { step, errno, what }, _) => Err(told_fault(step, errno, what)),
            _ => Err(nowhere(Fault::new(Errno::EINVAL, "the helper said something unexpected"))),
        }
    }

    /// Gives the waiting process what it cannot take itself, and lets it go on.
    fn admit(
        &self,
        child: &Child,
        control: &OwnedFd,
        group: Option<&Group>,
        steps: &[Step],
        users: bool,
    ) -> Result<(), StepFault> {
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::IdMaps { users: uids, groups: gids } if users => {
                    self.write_map(child.pid, "uid_map", uids).map_err(at(index))?;
                    self.write_map(child.pid, "gid_map", gids).map_err(at(index))?;
                }
                Step::OomScore(score) => {
                    let path = format!("{}/oom_score_adj", child.pid);
                    self.proc.write_and_verify(&path, &format!("{score}")).map_err(at(index))?;
                }
                _ => {}
            }
        }
        if let Some(group) = group {
            group.add(child.pid).map_err(nowhere)?;
        }
        control::send(control.as_fd(), &Go { pid: child.pid }).map_err(nowhere)
    }

    fn write_map(&self, pid: u32, file: &str, map: &[IdMap]) -> Outcome<()> {
        if map.is_empty() {
            return Ok(());
        }
        let lines: String = map.iter().map(|m| format!("{} {} {}\n", m.inside, m.outside, m.count)).collect();
        self.proc.write(&format!("{pid}/{file}"), &lines)
    }

    /// The kinds of namespace that `pid`, a child not waited for, has for itself.
    fn kinds_of(&self, pid: u32) -> Outcome<ThreadNameSpaceType> {
        let mut kinds = ThreadNameSpaceType::empty();
        for kind in Namespace::ALL {
            let of = |who: &str| {
                let path = format!("{who}/ns/{}", kind.proc_name());
                rustix::fs::readlinkat(self.proc, path.as_str(), alloc::vec::Vec::new())
                    .context(|| format!("look at the {} namespace of process {who}", kind.as_str()))
            };
            if of(&format!("{pid}"))? != of("self")? {
                kinds |= ThreadNameSpaceType::from_bits_retain(kind.clone_flag() as u32);
            }
        }
        Ok(kinds)
    }

    fn streams(&self, stdio: Stdio) -> Outcome<(Streams, Ends)> {
        let what = || "prepare standard streams".to_string();
        match (stdio, self.inherited) {
            (Stdio::Log | Stdio::Console | Stdio::Piped, _) => {
                let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context(what)?;
                rustix::io::ioctl_fionbio(&ours, true).context(what)?;
                let (null, input) = match stdio {
                    Stdio::Piped => {
                        let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context(what)?;
                        rustix::io::ioctl_fionbio(&ours, true).context(what)?;
                        (theirs, Some(ours))
                    }
                    _ => (open_null()?, None),
                };
                Ok((Streams::Pipe { null, output: theirs }, Ends { output: Some(ours), input }))
            }
            (Stdio::Inherit, Some([a, b, c])) => {
                let copy = |fd: &OwnedFd| duplicate(fd).context(what);
                Ok((Streams::Given([copy(a)?, copy(b)?, copy(c)?]), Ends::default()))
            }
            (Stdio::Inherit, None) => {
                let (a, b, c) = (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
                let copy = |fd: BorrowedFd<'_>| duplicate(fd).context(what);
                Ok((Streams::Given([copy(a)?, copy(b)?, copy(c)?]), Ends::default()))
            }
            (Stdio::Terminal, _) => {
                let nobody = || Fault::new(Errno::EINVAL, "terminal: there is nobody to hand it over to");
                let to = self.console.ok_or_else(nobody)?;
                Ok((Streams::Terminal(duplicate(to).context(what)?), Ends::default()))
            }
        }
    }
}

/// Ends a process and takes its status, so that nothing of it is left.
pub(super) fn kill(child: &Child) {
    let _ = send_signal(child.pidfd.as_fd(), 9);
    let _ = reap(child);
}

/// The control socket closes when the process executes its program. If it was killed before, that shows by itself.
fn until_executed(control: &OwnedFd) -> Result<(), StepFault> {
    match control::receive(control.as_fd()).map_err(nowhere)? {
        None => Ok(()),
        Some((Told::Fault { step, errno, what }, _)) => Err(told_fault(step, errno, what)),
        Some(_) => Err(nowhere(Fault::new(Errno::EINVAL, "the process said something unexpected"))),
    }
}

use alloc::string::ToString;
