//! What cases are written with: a plan that works everywhere, verbs that wait, events that are kept.

use super::{Case, Fixture, Verdict};
use crate::glue::{ContainerKey, Event, ExecKey, KernelGlue, Pid, Prepared, ProcessKey, Progress, StepFault};
use crate::plan::{
    CapabilitySets, Feature, Hook, HookKind, HookState, Mount, MountFlags, MountSource, Namespace,
    NamespaceSource, Plan, ProcessPlan, Propagation, Resources, Step,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::message::{Exit, Stdio, Waiting};

/// Most events a case looks at while it waits for one; more means that it will not come.
const EVENTS_MAX: usize = 100_000;
/// How often a case looks for something that must not happen.
pub(super) const LOOKS: usize = 200;
/// Reads after which output counts as endless: 8 MiB.
const DRAIN_READS: usize = 16 * 1024;
/// First key the suite uses, far away from keys that others may use.
const FIRST_KEY: u64 = 0xc0_0000;

/// One case's hold on the backend.
pub(super) struct Context<'f, F: Fixture> {
    fixture: &'f mut F,
    used: &'f mut u64,
    keys: Vec<ContainerKey>,
    /// Events that came while another one was waited for.
    kept: Vec<Event>,
}

/// Fails the case.
pub(super) fn failed<T>(what: impl ToString) -> Result<T, Verdict> {
    Err(Verdict::Failed(what.to_string()))
}

impl<'f, F: Fixture> Context<'f, F> {
    pub(super) fn new(fixture: &'f mut F, used: &'f mut u64) -> Self {
        Context { fixture, used, keys: Vec::new(), kept: Vec::new() }
    }

    pub(super) fn glue(&mut self) -> &mut F::Glue {
        self.fixture.glue()
    }

    pub(super) fn fixture(&mut self) -> &mut F {
        self.fixture
    }

    /// A key never used before. What is prepared under it is destroyed after the case.
    pub(super) fn key(&mut self) -> ContainerKey {
        *self.used += 1;
        let key = ContainerKey(FIRST_KEY + *self.used);
        self.keys.push(key);
        key
    }

    pub(super) fn directory(&mut self) -> Result<<F::Glue as KernelGlue>::Directory, Verdict> {
        self.fixture.directory().or_else(|why| failed(format!("the fixture has no bundle: {why}")))
    }

    /// Skips the case on kernels that cannot do this.
    pub(super) fn needs(&mut self, feature: Feature, what: &str) -> Case {
        let features = self.glue().features();
        if features.features.contains(feature) {
            return Ok(());
        }
        Err(Verdict::Skipped(format!("{} has no {what}", features.kernel)))
    }

    /// Skips the case on kernels without namespaces of this kind.
    pub(super) fn needs_namespace(&mut self, kind: Namespace) -> Case {
        let features = self.glue().features();
        if features.namespaces.contains(&kind) {
            return Ok(());
        }
        Err(Verdict::Skipped(format!("{} has no {} namespaces", features.kernel, kind.as_str())))
    }

    /// The kinds of namespace that [`Context::plan`] makes new.
    pub(super) fn kinds(&mut self) -> Vec<Namespace> {
        let can = self.glue().features().namespaces;
        let wanted = [
            Namespace::Mount,
            Namespace::Pid,
            Namespace::Uts,
            Namespace::Ipc,
            Namespace::Network,
            Namespace::Cgroup,
        ];
        wanted.into_iter().filter(|kind| can.contains(kind)).collect()
    }

    /// A plan for this command in the contract's bundle, with its own namespaces and its own group.
    pub(super) fn plan(&mut self, args: &[&str]) -> Plan {
        let namespaces = self.kinds().into_iter().map(|kind| (kind, NamespaceSource::New)).collect();
        *self.used += 1;
        let group = format!("contract-{}", self.used);
        Plan {
            create: Vec::from([
                Step::ResourceGroup { path: group, resources: Resources::default(), devices: Vec::new() },
                Step::Namespaces(namespaces),
                Step::Root { path: "rootfs".to_string(), propagation: Propagation::Private },
                Step::Mount(file_system("proc", "/proc")),
                Step::PivotRoot { new: "rootfs".to_string(), old: "/".to_string() },
                Step::Hostname("contract".to_string()),
                Step::User { uid: 0, gid: 0, groups: Vec::new(), umask: None },
                Step::Capabilities(CapabilitySets::default()),
                Step::NoNewPrivileges,
                Step::WorkingDirectory("/".to_string()),
                load(args),
            ]),
            start: Vec::new(),
            poststart: Vec::new(),
            poststop: Vec::new(),
            state: HookState {
                oci_version: "1.3.0".to_string(),
                id: "contract".to_string(),
                bundle: "/contract".to_string(),
                annotations: Vec::new(),
            },
            stdio: Stdio::Log,
        }
    }

    /// Carries a plan out, waiting if it takes longer.
    pub(super) fn try_prepare(
        &mut self,
        key: ContainerKey,
        plan: &Plan,
    ) -> Result<Result<Prepared, StepFault>, Verdict> {
        let directory = self.directory()?;
        match self.glue().prepare(key, directory, plan) {
            Progress::Done(result) => Ok(result),
            Progress::Later => self.until("the end of prepare", |event| match event {
                Event::Prepared { key: of, result } if *of == key => Some(result.clone()),
                _ => None,
            }),
        }
    }

    /// The same where it must succeed.
    pub(super) fn prepare(&mut self, key: ContainerKey, plan: &Plan) -> Result<Prepared, Verdict> {
        self.try_prepare(key, plan)?.or_else(|fault| failed(format!("prepare: {fault}")))
    }

    /// Opens the gate, waiting if it takes longer.
    pub(super) fn try_release(&mut self, key: ContainerKey) -> Result<Result<(), StepFault>, Verdict> {
        match self.glue().release(key) {
            Progress::Done(result) => Ok(result),
            Progress::Later => self.until("the end of release", |event| match event {
                Event::Released { key: of, result } if *of == key => Some(result.clone()),
                _ => None,
            }),
        }
    }

    /// The same where it must succeed.
    pub(super) fn release(&mut self, key: ContainerKey) -> Case {
        self.try_release(key)?.or_else(|fault| failed(format!("release: {fault}")))
    }

    /// Starts this command in a container of its own.
    pub(super) fn start(&mut self, args: &[&str]) -> Result<(ContainerKey, Pid), Verdict> {
        let key = self.key();
        let plan = self.plan(args);
        let prepared = self.prepare(key, &plan)?;
        self.release(key)?;
        Ok((key, prepared.pid))
    }

    /// Starts a further process.
    pub(super) fn execute(
        &mut self,
        key: ContainerKey,
        exec: u32,
        args: &[&str],
    ) -> Result<ProcessKey, Verdict> {
        match self.glue().execute(key, ExecKey(exec), &process_plan(args)) {
            Ok(_) => Ok(ProcessKey::Exec(key, ExecKey(exec))),
            Err(fault) => failed(format!("execute: {fault}")),
        }
    }

    /// Destroys a container, waiting if it takes longer.
    pub(super) fn destroy(&mut self, key: ContainerKey) -> Case {
        match self.glue().destroy(key) {
            Progress::Done(Ok(())) => {}
            Progress::Done(Err(fault)) => return failed(format!("destroy: {fault}")),
            Progress::Later => self.until("the end of destroy", |event| {
                matches!(event, Event::Destroyed { key: of } if *of == key).then_some(())
            })?,
        }
        self.kept.retain(|event| !about(event, key));
        Ok(())
    }

    /// Destroys everything the case made.
    pub(super) fn clear(&mut self) -> Case {
        for key in core::mem::take(&mut self.keys) {
            self.destroy(key)?;
        }
        Ok(())
    }

    /// The first event, kept or to come, that `wanted` finds something in. It is used up; others are kept.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Result<T, Verdict> {
        if let Some((at, found)) = self.kept.iter().enumerate().find_map(|(i, e)| Some((i, wanted(e)?))) {
            self.kept.remove(at);
            return Ok(found);
        }
        for _ in 0..EVENTS_MAX {
            let Some(event) = self.fixture.glue().next_event(Waiting::Yes) else {
                return failed(format!("waiting for {what}: no event can ever come"));
            };
            if let Some(found) = wanted(&event) {
                return Ok(found);
            }
            self.kept.push(event);
        }
        failed(format!("waiting for {what}: {EVENTS_MAX} events, but not this one"))
    }

    /// Waits for a process to end.
    pub(super) fn exit(&mut self, process: ProcessKey) -> Result<Exit, Verdict> {
        self.until(&format!("the end of {process:?}"), |event| match event {
            Event::Exited { process: of, exit } if *of == process => Some(*exit),
            _ => None,
        })
    }

    /// Looks again and again, without waiting, for events that `unwanted` accepts.
    pub(super) fn never(&mut self, what: &str, unwanted: impl Fn(&Event) -> bool) -> Case {
        for _ in 0..LOOKS {
            if let Some(event) = self.glue().next_event(Waiting::No) {
                self.kept.push(event);
            }
        }
        self.not_yet(what, unwanted)
    }

    /// None of the events that came while another one was waited for is one that `unwanted` accepts.
    pub(super) fn not_yet(&self, what: &str, unwanted: impl Fn(&Event) -> bool) -> Case {
        match self.kept.iter().find(|event| unwanted(event)) {
            Some(event) => failed(format!("{what}: {event:?}")),
            None => Ok(()),
        }
    }

    /// Everything a process has written and nobody has read.
    pub(super) fn output(&mut self, process: ProcessKey) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 512];
        loop {
            let read = self.glue().read_output(process, &mut buffer);
            match buffer.get(..read.len) {
                Some(bytes) if !bytes.is_empty() => text.extend_from_slice(bytes),
                _ => return String::from_utf8_lossy(&text).into_owned(),
            }
        }
    }

    /// Reads what a process writes until it has written `lines` lines.
    pub(super) fn lines(&mut self, process: ProcessKey, lines: usize) -> Result<Vec<String>, Verdict> {
        let mut text = self.output(process);
        while text.lines().count() < lines || !text.ends_with('\n') {
            self.until(&format!("line {lines} of {process:?}, which wrote {text:?}"), |event| match event {
                Event::Output { process: of } if *of == process => Some(Ok(())),
                Event::Exited { process: of, exit } if *of == process => Some(Err(*exit)),
                _ => None,
            })?
            .or_else(|exit| failed(format!("ended ({exit:?}) after writing {text:?}")))?;
            text.push_str(&self.output(process));
        }
        Ok(text.lines().map(ToString::to_string).collect())
    }

    /// Waits until a process that never stops writing has written something.
    pub(super) fn lines_of_endless(&mut self, process: ProcessKey) -> Case {
        self.until("the first output", |event| {
            matches!(event, Event::Output { process: of } if *of == process).then_some(())
        })
    }

    /// Reads away what a process wrote before it was frozen, but not for ever.
    pub(super) fn drain(&mut self, process: ProcessKey) -> Case {
        let mut buffer = [0; 512];
        for _ in 0..DRAIN_READS {
            if self.glue().read_output(process, &mut buffer).len == 0 {
                return Ok(());
            }
        }
        failed("the output of a frozen process does not end")
    }

    /// Drops the events that have come so far.
    pub(super) fn forget_events(&mut self) {
        self.kept.clear();
        while self.glue().next_event(Waiting::No).is_some() {}
    }

    /// Runs a command in a container of its own to its end: how it ended, and what it wrote.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<(Exit, String), Verdict> {
        let key = self.key();
        self.prepare(key, plan)?;
        self.release(key)?;
        let exit = self.exit(ProcessKey::First(key))?;
        let output = self.output(ProcessKey::First(key));
        self.destroy(key)?;
        Ok((exit, output))
    }
}

/// Whether an event is about this container.
pub(super) fn about(event: &Event, key: ContainerKey) -> bool {
    match event {
        Event::Prepared { key: of, .. }
        | Event::Released { key: of, .. }
        | Event::Destroyed { key: of }
        | Event::OutOfMemory { key: of } => *of == key,
        Event::Exited { process, .. } | Event::Output { process } => process.container() == key,
    }
}

/// Whether an event tells the end of a process.
pub(super) fn ends(event: &Event, process: ProcessKey) -> bool {
    matches!(event, Event::Exited { process: of, .. } if *of == process)
}

/// The step that loads this command.
pub(super) fn load(args: &[&str]) -> Step {
    Step::Load {
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::from(["PATH=/bin".to_string(), "CONTRACT=kept".to_string()]),
    }
}

/// The plan of a further process.
pub(super) fn process_plan(args: &[&str]) -> ProcessPlan {
    ProcessPlan {
        steps: Vec::from([
            Step::User { uid: 0, gid: 0, groups: Vec::new(), umask: None },
            Step::Capabilities(CapabilitySets::default()),
            Step::NoNewPrivileges,
            Step::WorkingDirectory("/".to_string()),
            load(args),
        ]),
        stdio: Stdio::Log,
    }
}

/// A mount of a new file system.
pub(super) fn file_system(kind: &str, destination: &str) -> Mount {
    Mount {
        destination: destination.to_string(),
        source: MountSource::FileSystem { kind: kind.to_string(), device: kind.to_string() },
        flags: MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        clear: MountFlags::empty(),
        tree_flags: MountFlags::empty(),
        tree_clear: MountFlags::empty(),
        propagation: Vec::new(),
        data: String::new(),
    }
}

/// A hook of the host's busybox.
pub(super) fn hook(kind: HookKind, args: &[&str], timeout: Option<u32>) -> Hook {
    Hook {
        kind,
        path: "/bin/busybox".to_string(),
        args: core::iter::once("busybox").chain(args.iter().copied()).map(ToString::to_string).collect(),
        env: Vec::new(),
        timeout,
    }
}

/// Position of the first step that `wanted` accepts.
pub(super) fn position(plan: &Plan, wanted: impl Fn(&Step) -> bool) -> usize {
    plan.create.iter().position(wanted).unwrap_or(plan.create.len())
}

/// Replaces the first step that `wanted` accepts; gives its position.
pub(super) fn replace(plan: &mut Plan, wanted: impl Fn(&Step) -> bool, with: Step) -> usize {
    let at = position(plan, wanted);
    if let Some(step) = plan.create.get_mut(at) {
        *step = with;
    }
    at
}
