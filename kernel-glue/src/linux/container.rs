//! The server's record of a container and its processes, as this backend keeps it.

use super::cgroup::Group;
use super::hooks::Running;
use super::watch::Token;
use crate::glue::ExecKey;
use crate::plan::{Plan, Resources};
use alloc::collections::BTreeMap;
use bailiwick_protocol::message::Exit;
use rustix::fd::OwnedFd;

/// A process that the server started and waits for.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: super::sys::Child,
    pub(super) token: Token,
    /// How it ended; its number may belong to another one from then on.
    pub(super) exit: Option<Exit>,
    pub(super) output: Option<Output>,
    pub(super) input: Input,
}

/// What a process reads from.
#[derive(Debug)]
pub(super) enum Input {
    /// Nothing that the server writes.
    None,
    /// A pipe, and this is its writing end.
    Pipe(OwnedFd),
    /// A pipe that the server has closed.
    Ended,
}

/// The reading end of a process's output.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) pipe: OwnedFd,
    pub(super) token: Token,
}

/// How far a container has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The plan is being carried out.
    Preparing,
    /// The first process waits at the gate.
    Created,
    /// The gate is open; startContainer hooks may run.
    Releasing,
    /// The program runs or has ended; poststart hooks run.
    Starting,
    /// The program runs or has ended.
    Running,
    /// Everything is gone; poststop hooks run.
    Destroying,
}

/// A hook on the server's side.
#[derive(Debug)]
pub(super) struct ActiveHook {
    pub(super) running: Running,
    pub(super) token: Token,
    /// Its position: in `plan.create` while preparing, in `plan.poststart` or `plan.poststop` later.
    pub(super) index: usize,
}

/// One container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan: Plan,
    /// What its group is limited to: the plan's limits, until they are changed.
    pub(super) limits: Resources,
    pub(super) phase: Phase,
    pub(super) group: Option<Group>,
    pub(super) control: Option<(OwnedFd, Token)>,
    pub(super) first: Process,
    pub(super) execs: BTreeMap<ExecKey, Process>,
    pub(super) hook: Option<ActiveHook>,
    /// Told by the kernel when memory runs out (version 1 of control groups).
    pub(super) memory: Option<(OwnedFd, Token)>,
    /// The first process has ended, but its start has to be told first.
    pub(super) held_exit: Option<Exit>,
}
