//! What the container's processes do on their way to their program.
//!
//! ```text
//!   server ── spawn ──► [helper: joins namespaces, sets clocks] ── spawn ──► first process
//!   first process:  (maps, group) ◄ Go ► steps … ► Prepared ► (gate) ◄ Go ► startContainer hooks ► execve
//! ```
//!
//! The helper exists only where a namespace is joined or a clock is set: both take effect for children. It announces
//! what it has made over the same socket, so nobody else may speak there before the server has answered.
//! Everything here runs in a process with one thread that is a copy of the server's, and that closes the server's
//! descriptors first of all.

use super::control::{self, Go, Told};
use super::fault::{Context, Fault, Outcome};
use super::hooks;
use super::mounts::{Tree, attach, propagation, set_readonly};
use super::path::{Root, same_file};
use super::proc::Proc;
use super::process::{Becoming, Streams};
use super::sources::{RootSource, Sources, link_kind};
use super::sys::{self, Child, Parent, Recursive, mount_setattr};
use crate::plan::{HookKind, Namespace, Plan, ProcessPlan, Propagation, Step};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use core::mem::ManuallyDrop;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::UnmountFlags;
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

/// What a new first process works with.
#[derive(Debug)]
pub(super) struct First<'a> {
    pub(super) plan: &'a Plan,
    pub(super) sources: &'a Sources,
    pub(super) streams: &'a Streams,
    pub(super) proc: &'a Proc,
    pub(super) control: BorrowedFd<'a>,
}

/// What a further process works with.
#[derive(Debug)]
pub(super) struct Further<'a> {
    pub(super) plan: &'a ProcessPlan,
    pub(super) streams: &'a Streams,
    pub(super) proc: &'a Proc,
    pub(super) control: BorrowedFd<'a>,
    /// The container's first process and the kinds of namespace that it has for itself.
    pub(super) target: BorrowedFd<'a>,
    pub(super) kinds: ThreadNameSpaceType,
}

/// A fault and the step it belongs to.
type Failed = (Option<u16>, Fault);

fn at(index: usize) -> impl Fn(Fault) -> Failed {
    move |fault| (u16::try_from(index).ok(), fault)
}

fn nowhere(fault: Fault) -> Failed {
    (None, fault)
}

/// Leaves the server's descriptors and signals behind. Afterwards nothing may look into this process (R6).
fn leave_server(keep: &[BorrowedFd<'_>]) -> Outcome<()> {
    let mut keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    sys::close_all_but(&mut keep).context(|| "close the server's descriptors".into())?;
    sys::reset_signals();
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context(|| "become non-dumpable".into())
}

/// Runs `body`; if it fails, tells the server. The status is that of a process that was never anything else.
fn report(control: BorrowedFd<'_>, body: impl FnOnce() -> Result<(), Failed>) -> u8 {
    match body() {
        Ok(()) => 0,
        Err((step, fault)) => {
            control::send_fault(control, step, fault);
            1
        }
    }
}

/// Sends what a helper has made to the server.
fn hand_over(control: BorrowedFd<'_>, child: rustix::io::Result<Child>) -> Outcome<()> {
    let child = child.context(|| "make the process".into())?;
    control::send_spawned(control, child.pid, child.pidfd.as_fd())
}

fn raw(e: std::io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO)
}

impl First<'_> {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = self.sources.descriptors();
        all.extend(self.streams.descriptors());
        all.extend([self.proc.as_fd(), self.control]);
        all
    }

    /// Whether a helper is needed.
    fn is_staged(&self) -> bool {
        !self.sources.joins.is_empty() || self.sources.new.contains(&Namespace::Time)
    }

    /// Namespaces that come with the process. The cgroup namespace begins where the process is, so it has to wait
    /// for that; the time namespace needs its offsets before anyone enters.
    fn flags(&self) -> u64 {
        let later = [Namespace::Cgroup, Namespace::Time];
        self.sources.new.iter().filter(|k| !later.contains(k)).fold(0, |all, kind| all | kind.clone_flag())
    }

    /// Makes it. With a helper the process proper is announced by [`Told::Spawned`].
    pub(super) fn spawn(&self, parent: Parent) -> std::io::Result<(Child, Staged)> {
        if self.is_staged() {
            sys::spawn(0, parent, || report(self.control, || self.helper())).map(|c| (c, Staged::Helper))
        } else {
            sys::spawn(self.flags(), parent, || self.main(Staged::Proper)).map(|c| (c, Staged::Proper))
        }
    }

    fn helper(&self) -> Result<(), Failed> {
        leave_server(&self.descriptors()).map_err(nowhere)?;
        let step = self.sources.namespaces_step.unwrap_or(0);
        // The user namespace last: before, this process has all authority over the others.
        let (users, others): (Vec<_>, Vec<_>) =
            self.sources.joins.iter().partition(|j| j.kind == Namespace::User);
        for join in others.into_iter().chain(users) {
            rustix::thread::move_into_link_name_space(join.fd.as_fd(), Some(link_kind(join.kind)))
                .context(|| format!("join the {} namespace", join.kind.as_str()))
                .map_err(at(step))?;
        }
        if self.sources.new.contains(&Namespace::Time) {
            sys::unshare(UnshareFlags::NEWTIME)
                .context(|| "make a time namespace".into())
                .map_err(at(step))?;
            for (index, step) in self.plan.create.iter().enumerate() {
                if let Step::TimeOffset { clock, seconds, nanoseconds } = step {
                    let line = format!("{clock} {seconds} {nanoseconds}\n");
                    self.proc.write("self/timens_offsets", &line).map_err(at(index))?;
                }
            }
        }
        let child = sys::spawn(self.flags(), Parent::Shared, || self.main(Staged::Helper)).map_err(raw);
        hand_over(self.control, child).map_err(at(step))
    }

    fn main(&self, made_by: Staged) -> u8 {
        let status = report(self.control, || {
            // A helper has done it already.
            if made_by == Staged::Proper {
                leave_server(&self.descriptors()).map_err(nowhere)?;
            }
            let (go, _): (Go, _) = control::expect(self.control).map_err(nowhere)?;
            let _ = rustix::process::setsid();
            sys::umask(0);
            sys::new_session_keyring();
            self.begin().map_err(at(self.sources.namespaces_step.unwrap_or(0)))?;
            self.steps(&go)
        });
        // The server kills this process once it has read why; a server that has gone has closed the socket.
        let _ = control::receive::<Go>(self.control);
        status
    }

    /// What could not come with the process's making.
    fn begin(&self) -> Outcome<()> {
        if self.sources.new.contains(&Namespace::Cgroup) {
            sys::unshare(UnshareFlags::NEWCGROUP).context(|| "make a cgroup namespace".into())?;
        }
        if self.sources.new.contains(&Namespace::Network) {
            sys::loopback_up().context(|| "bring up the loopback device".into())?;
        }
        if self.sources.has(Namespace::User) && self.sources.root.is_none() {
            become_inner_root();
        }
        Ok(())
    }

    fn steps(&self, go: &Go) -> Result<(), Failed> {
        let build = Build { first: self, go, tree: None, becoming: Becoming::new(self.streams), pivot: None };
        // Never dropped: its descriptors are closed all at once below.
        let mut build = ManuallyDrop::new(build);
        for (index, step) in self.plan.create.iter().enumerate() {
            build.step(index, step).map_err(at(index))?;
        }
        let mut keep = Vec::from([self.control.as_raw_fd()]);
        keep.extend(build.becoming.program().map(|program| program.as_raw_fd()));
        sys::close_all_but(&mut keep)
            .context(|| "close what the container's making needed".into())
            .map_err(nowhere)?;
        control::send(self.control, &Told::Prepared { pivot: build.pivot.take() }).map_err(nowhere)?;
        let (go, _): (Go, _) = control::expect(self.control).map_err(nowhere)?;
        for hook in &self.plan.start {
            hooks::start(hook, &self.plan.state, go.pid).and_then(hooks::Running::wait).map_err(nowhere)?;
        }
        Err(nowhere(build.becoming.execute()))
    }
}

/// Which process [`First::spawn`] has made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Staged {
    Helper,
    Proper,
}

/// Takes the identity that id 0 of the new user namespace has. Where 0 is not mapped the process stays nobody with
/// all capabilities.
fn become_inner_root() {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    let _ = rustix::thread::set_thread_groups(&[]);
    let _ = rustix::thread::set_thread_res_gid(gid, gid, gid);
    let _ = rustix::thread::set_thread_res_uid(uid, uid, uid);
}

struct Build<'a> {
    first: &'a First<'a>,
    go: &'a Go,
    tree: Option<Tree>,
    becoming: Becoming<'a>,
    pivot: Option<(String, String)>,
}

impl Build<'_> {
    fn step(&mut self, index: usize, step: &Step) -> Outcome<()> {
        let source = self.first.sources.by_step.get(&index);
        match step {
            // Done by the server, by the helper, or with the process's making.
            Step::ResourceGroup { .. }
            | Step::Namespaces(_)
            | Step::IdMaps { .. }
            | Step::TimeOffset { .. } => Ok(()),
            Step::Root { .. } => self.root(),
            Step::Mount(mount) => self.tree()?.mount(mount, source),
            Step::Device(device) => self.tree()?.device(device, source),
            Step::Link { path, target } => self.tree()?.link(path, target),
            Step::Hook(hook) if matches!(hook.kind, HookKind::Prestart | HookKind::CreateRuntime) => {
                let step =
                    u16::try_from(index).map_err(|_| Fault::new(Errno::E2BIG, "the plan is too long"))?;
                control::send(self.first.control, &Told::Hook { step })?;
                control::expect::<Go>(self.first.control).map(drop)
            }
            Step::Hook(hook) => {
                hooks::start(hook, &self.first.plan.state, self.go.pid).and_then(hooks::Running::wait)
            }
            Step::PivotRoot { new, old } => self.pivot(new, old),
            Step::Hostname(name) => {
                rustix::system::sethostname(name.as_bytes()).context(|| format!("set host name {name}"))
            }
            Step::Domainname(name) => sys::set_domainname(name).context(|| format!("set domain name {name}")),
            Step::Sysctl { name, value } => self.sysctl(name, value),
            Step::Mask(path) => self.tree()?.mask(path),
            Step::ReadonlyPath(path) => self.tree()?.read_only(path),
            Step::ReadonlyRoot => set_readonly(self.tree()?.root.as_fd(), Recursive::No)
                .context(|| "make the root read-only".into()),
            Step::RootPropagation(kind) => {
                mount_setattr(self.tree()?.root.as_fd(), Recursive::Yes, propagation(*kind))
                    .context(|| "set the propagation of the root".into())
            }
            other => {
                let Some(tree) = &self.tree else { return Err(no_root()) };
                match self.becoming.step(&tree.root, other)? {
                    true => Ok(()),
                    false => Err(Fault::new(
                        Errno::ENOSYS,
                        format!("{other}: this backend does not know the step"),
                    )),
                }
            }
        }
    }

    fn tree(&mut self) -> Outcome<&mut Tree> {
        self.tree.as_mut().ok_or_else(no_root)
    }

    /// Sets the old tree's propagation and puts the clone of the root where its directory is, so that hooks
    /// find it by its path.
    fn root(&mut self) -> Outcome<()> {
        let Some(source) = &self.first.sources.root else { return Err(no_root()) };
        let what = || format!("root {}", source.path);
        let old =
            rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context(what)?;
        mount_setattr(old.as_fd(), Recursive::Yes, propagation(source.propagation))
            .context(|| "set the propagation of the old tree".into())?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let here = rustix::fs::openat(CWD, source.path.as_str(), flags, Mode::empty()).context(what)?;
        if !same_file(here.as_fd(), source.directory.as_fd()).context(what)? {
            let what = format!("{}: it was replaced while the container was being made", what());
            return Err(Fault::new(Errno::ESTALE, what));
        }
        attach(source.tree.as_fd(), here.as_fd()).context(what)?;
        if source.propagation == Propagation::Shared {
            unshare_parent(source)?;
        }
        if self.first.sources.has(Namespace::User) {
            become_inner_root();
        }
        let root = Root::new(sys::duplicate(&source.tree).context(what)?);
        let null = self.first.sources.null.as_ref();
        let null = null.map_or_else(|| sys::duplicate(&source.tree), sys::duplicate).context(what)?;
        self.tree = Some(Tree::new(root, null));
        Ok(())
    }

    /// pivot_root(2) with the old root put on top of the new one and taken off at once (the manual's
    /// `pivot_root(".", ".")`): no directory is needed for it, and no path is resolved.
    fn pivot(&mut self, new: &str, old: &str) -> Outcome<()> {
        let what = || format!("pivot_root {new} {old}");
        let Some(tree) = &mut self.tree else { return Err(no_root()) };
        if let Some(terminal) = self.becoming.open_terminal(&tree.root)? {
            tree.console(terminal)?;
        }
        tree.seal()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let before: OwnedFd = rustix::fs::openat(CWD, "/", flags, Mode::empty()).context(what)?;
        rustix::process::fchdir(&tree.root).context(what)?;
        rustix::process::pivot_root(".", ".").context(what)?;
        rustix::process::fchdir(&before).context(what)?;
        // What is unmounted here must not be unmounted on the host.
        mount_setattr(before.as_fd(), Recursive::Yes, propagation(Propagation::Slave)).context(what)?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).context(what)?;
        rustix::process::chdir("/").context(what)?;
        let root = rustix::fs::openat(CWD, "/", flags, Mode::empty()).context(what)?;
        if !same_file(root.as_fd(), tree.root.as_fd()).context(what)? {
            return Err(Fault::new(
                Errno::ESTALE,
                format!("{}: the root is not the new one afterwards", what()),
            ));
        }
        self.pivot = Some((old.to_string(), new.to_string()));
        Ok(())
    }

    fn sysctl(&mut self, name: &str, value: &str) -> Outcome<()> {
        let Some(proc) = &self.first.sources.sysctl else {
            return Err(Fault::new(Errno::EINVAL, format!("sysctl {name}: no procfs was prepared for it")));
        };
        if name.split('.').any(|part| part.is_empty() || part.contains('/')) {
            return Err(Fault::new(Errno::EINVAL, format!("sysctl {name}: not a name of words and dots")));
        }
        proc.write_and_verify(&format!("sys/{}", name.replace('.', "/")), value)
    }
}

fn no_root() -> Fault {
    Fault::new(Errno::EINVAL, "the plan has no root before this step")
}

/// pivot_root(2) refuses a new root below a shared mount: the mount that holds the root's directory becomes private.
fn unshare_parent(source: &RootSource) -> Outcome<()> {
    let what = || format!("root {}: make the mount that holds it private", source.path);
    let mut path = std::path::Path::new(&source.path).parent();
    while let Some(directory) = path {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, directory, flags, Mode::empty()).context(what)?;
        match mount_setattr(fd.as_fd(), Recursive::No, propagation(Propagation::Private)) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => path = directory.parent(),
            other => return other.context(what),
        }
    }
    Ok(())
}

impl Further<'_> {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = self.streams.descriptors();
        all.extend([self.proc.as_fd(), self.control, self.target]);
        all
    }

    /// Makes the helper, which announces the process proper.
    pub(super) fn spawn(&self) -> std::io::Result<Child> {
        sys::spawn(0, Parent::Caller, || report(self.control, || self.helper()))
    }

    /// Joins every namespace at once, by the descriptor of the container's first process.
    fn helper(&self) -> Result<(), Failed> {
        leave_server(&self.descriptors()).map_err(nowhere)?;
        rustix::thread::move_into_thread_name_spaces(self.target, self.kinds)
            .context(|| "join the container's namespaces".into())
            .map_err(nowhere)?;
        let child = sys::spawn(0, Parent::Shared, || self.main()).map_err(raw);
        hand_over(self.control, child).map_err(nowhere)
    }

    fn main(&self) -> u8 {
        report(self.control, || {
            control::expect::<Go>(self.control).map_err(nowhere)?;
            let _ = rustix::process::setsid();
            sys::umask(0);
            sys::new_session_keyring();
            if self.kinds.contains(ThreadNameSpaceType::USER) {
                become_inner_root();
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::openat(CWD, "/", flags, Mode::empty())
                .context(|| "open the container's root".into())
                .map_err(nowhere)?;
            let root = Root::new(root);
            let mut becoming = Becoming::new(self.streams);
            becoming.open_terminal(&root).map_err(nowhere)?;
            for (index, step) in self.plan.steps.iter().enumerate() {
                match becoming.step(&root, step).map_err(at(index))? {
                    true => {}
                    false => {
                        let fault = Fault::new(Errno::EINVAL, format!("{step}: not for a further process"));
                        return Err(at(index)(fault));
                    }
                }
            }
            Err(nowhere(becoming.execute()))
        })
    }
}
