//! Steps about the process itself: limits, identity, capabilities, working directory.

use super::fault::{Context, Fault, Outcome};
use super::load::{self, Program, ProgramKind};
use super::path::{Root, set_owner};
use super::sys::{self, Strings, replace_standard, set_rlimit};
use super::terminal;
use crate::filter::Filter;
use crate::plan::{CapabilitySets, Rlimit, Step};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::thread::{CapabilitySet, CapabilitySets as KernelSets};

/// The mask of a process whose configuration names none.
const DEFAULT_UMASK: u32 = 0o022;

/// What the standard streams of a new process become.
#[derive(Debug)]
pub(super) enum Streams {
    /// Empty input; output and errors into this pipe.
    Pipe { null: OwnedFd, output: OwnedFd },
    /// Copies of these three.
    Given([OwnedFd; 3]),
    /// A terminal of the container's, whose master side is sent over this socket.
    Terminal(OwnedFd),
}

impl Streams {
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Streams::Pipe { null, output } => [null.as_fd(), output.as_fd()].into(),
            Streams::Given(three) => three.iter().map(AsFd::as_fd).collect(),
            Streams::Terminal(to) => [to.as_fd()].into(),
        }
    }

    /// Puts them where the program finds them.
    fn install(&self) -> Outcome<()> {
        let put =
            |from: BorrowedFd<'_>, to| replace_standard(from, to).context(|| "set standard streams".into());
        match self {
            Streams::Pipe { null, output } => {
                put(null.as_fd(), 0)?;
                put(output.as_fd(), 1)?;
                put(output.as_fd(), 2)
            }
            Streams::Given(three) => three.iter().zip(0..).try_for_each(|(from, to)| put(from.as_fd(), to)),
            Streams::Terminal(_) => {
                Err(Fault::new(Errno::EINVAL, "set standard streams: no terminal was opened"))
            }
        }
    }

    /// A pipe of ours goes to the program's user, so that it may open `/dev/stdout` again.
    fn give_to(&self, uid: u32, gid: u32) {
        if let Streams::Pipe { output, .. } = self {
            let _ = set_owner(output.as_fd(), uid, gid);
        }
    }
}

/// A process that is becoming what its plan says.
#[derive(Debug)]
pub(super) struct Becoming<'a> {
    streams: &'a Streams,
    /// Its terminal, once it is open.
    terminal: Option<OwnedFd>,
    cwd: String,
    loaded: Option<Loaded>,
    user_was_set: bool,
    no_new_privileges: bool,
    /// Loaded as the last thing, so that it need not allow what happens before.
    filter: Option<Filter>,
    is_filtered: bool,
}

/// A program that is ready.
#[derive(Debug)]
pub(super) struct Loaded {
    program: Program,
    args: Strings,
    env: Strings,
}

impl<'a> Becoming<'a> {
    pub(super) fn new(streams: &'a Streams) -> Self {
        Becoming {
            streams,
            terminal: None,
            cwd: String::from("/"),
            loaded: None,
            user_was_set: false,
            no_new_privileges: false,
            filter: None,
            is_filtered: false,
        }
    }

    /// Opens its terminal, if it is to have one: as soon as devpts is there, and before paths are masked.
    pub(super) fn open_terminal(&mut self, root: &Root) -> Outcome<Option<BorrowedFd<'_>>> {
        if let Streams::Terminal(to) = self.streams {
            self.terminal = Some(terminal::open(root, to.as_fd())?);
        }
        Ok(self.terminal.as_ref().map(AsFd::as_fd))
    }

    /// Carries out a step that is about the process; false if it is about something else.
    pub(super) fn step(&mut self, root: &Root, step: &Step) -> Outcome<bool> {
        match step {
            Step::Rlimit(limit) => rlimit(limit)?,
            // Done by the server from outside: a lower score needs its capabilities.
            Step::OomScore(_) => {}
            Step::User { uid, gid, groups, umask } => self.user(*uid, *gid, groups, *umask)?,
            Step::Capabilities(sets) => self.capabilities(sets)?,
            Step::NoNewPrivileges => {
                rustix::thread::set_no_new_privs(true).context(|| "set no new privileges".into())?;
                self.no_new_privileges = true;
            }
            Step::Filter(filter) => {
                filter.verify().map_err(|bad| Fault::new(Errno::EINVAL, bad.to_string()))?;
                self.is_filtered = true;
                if self.no_new_privileges {
                    self.filter = Some(filter.clone());
                } else {
                    load_filter(filter)?;
                }
            }
            Step::WorkingDirectory(path) => self.working_directory(root, path)?,
            Step::Load { args, env } => self.load(root, args, env)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn user(&mut self, uid: u32, gid: u32, groups: &[u32], umask: Option<u32>) -> Outcome<()> {
        use rustix::process::{Gid, Uid};
        let what = || format!("user {uid}:{gid}");
        if uid == u32::MAX || gid == u32::MAX || groups.contains(&u32::MAX) {
            return Err(Fault::new(Errno::EINVAL, format!("{}: 4294967295 is no id", what())));
        }
        self.streams.give_to(uid, gid);
        if let Some(own) = &self.terminal {
            terminal::give_to(own, uid);
        }
        rustix::thread::set_keep_capabilities(true).context(what)?;
        let groups: Vec<Gid> = groups.iter().map(|g| Gid::from_raw(*g)).collect();
        rustix::thread::set_thread_groups(&groups).context(|| format!("{}: set its groups", what()))?;
        let gid = Gid::from_raw(gid);
        rustix::thread::set_thread_res_gid(gid, gid, gid).context(what)?;
        let uid = Uid::from_raw(uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid).context(what)?;
        rustix::thread::set_keep_capabilities(false).context(what)?;
        sys::umask(umask.unwrap_or(DEFAULT_UMASK));
        self.user_was_set = true;
        raise_all().context(what)
    }

    /// All five sets (R8: the inheritable set is what the plan says, nothing inherited from the server).
    fn capabilities(&self, sets: &CapabilitySets) -> Outcome<()> {
        let what = || "set capabilities".to_string();
        let own = rustix::thread::capabilities(None).context(what)?;
        // Dropping from the bounding set needs CAP_SETPCAP, so it comes first.
        for number in 0..64u32 {
            let Some(one) = single(number) else { break };
            if sets.bounding & one.bits() == 0
                && rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false)
            {
                rustix::thread::remove_capability_from_bounding_set(one)
                    .context(|| format!("drop capability {number} from the bounding set"))?;
            }
        }
        let missing = sets.permitted & !own.permitted.bits();
        if missing != 0 {
            let what = format!("set capabilities: {missing:#x} are not this server's to give");
            return Err(Fault::new(Errno::EPERM, what));
        }
        let wanted = KernelSets {
            effective: CapabilitySet::from_bits_retain(sets.effective),
            permitted: CapabilitySet::from_bits_retain(sets.permitted),
            inheritable: CapabilitySet::from_bits_retain(sets.inheritable),
        };
        rustix::thread::clear_ambient_capability_set().context(what)?;
        rustix::thread::set_capabilities(None, wanted).context(what)?;
        // The kernel keeps the ambient set within permitted and inheritable (capabilities(7)); so do we.
        let ambient = sets.ambient & sets.permitted & sets.inheritable;
        for one in (0..64u32).filter_map(single).filter(|one| ambient & one.bits() != 0) {
            rustix::thread::configure_capability_in_ambient_set(one, true).context(what)?;
        }
        Ok(())
    }

    fn working_directory(&mut self, root: &Root, path: &str) -> Outcome<()> {
        let what = || format!("working directory {path}");
        let directory = root.open(path, OFlags::PATH | OFlags::DIRECTORY).context(what)?;
        rustix::process::fchdir(&directory).context(what)?;
        // "(unreachable)" is what the kernel says of a directory outside the root.
        let now = rustix::process::getcwd(Vec::new()).context(what)?.to_string_lossy().into_owned();
        if !now.starts_with('/') {
            return Err(Fault::new(Errno::EPERM, format!("{}: is outside the root", what())));
        }
        self.cwd = now;
        Ok(())
    }

    fn load(&mut self, root: &Root, args: &[String], env: &[String]) -> Outcome<()> {
        let Some(name) = args.first() else {
            return Err(Fault::new(Errno::EINVAL, "program: no arguments, not even its name"));
        };
        let program = load::find(root, name, &self.cwd, env)?;
        let strings = |list: &[String]| Strings::new(list).context(|| format!("program {name}"));
        self.loaded = Some(Loaded { program, args: strings(args)?, env: strings(env)? });
        self.terminal.as_ref().map_or_else(|| self.streams.install(), terminal::install)
    }

    /// The program that is ready to be executed.
    pub(super) fn program(&self) -> Option<BorrowedFd<'_>> {
        self.loaded.as_ref().map(|loaded| loaded.program.file.as_fd())
    }

    /// Becomes the program. Returns only on failure.
    pub(super) fn execute(&self) -> Fault {
        let Some(Loaded { program, args, env }) = &self.loaded else {
            return Fault::new(Errno::EINVAL, "the plan loads no program");
        };
        if !self.user_was_set {
            sys::umask(DEFAULT_UMASK);
        }
        if let Some(Err(fault)) = self.filter.as_ref().map(load_filter) {
            return fault;
        }
        // Filters are made for programs that use execve(2), so that is what they allow.
        let error = match program.kind {
            _ if self.is_filtered => sys::exec_path(&program.path, args, env),
            ProgramKind::Binary => sys::exec_descriptor(program.file.as_fd(), args, env),
            ProgramKind::Script => sys::exec_path(&program.path, args, env),
        };
        Fault::new(super::fault::io_errno(&error), format!("execute {}", program.path))
    }
}

fn single(number: u32) -> Option<CapabilitySet> {
    1u64.checked_shl(number).map(CapabilitySet::from_bits_retain)
}

/// Takes every permitted capability into use; a change of user id has put them aside.
fn raise_all() -> rustix::io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    let empty = CapabilitySet::empty();
    let sets = KernelSets { effective: own.permitted, permitted: own.permitted, inheritable: empty };
    rustix::thread::set_capabilities(None, sets)
}

fn load_filter(filter: &Filter) -> Outcome<()> {
    sys::load_filter(filter).context(|| "load the system-call filter".to_string())
}

fn rlimit(limit: &Rlimit) -> Outcome<()> {
    set_rlimit(limit.resource, limit.soft, limit.hard).context(|| {
        let name = crate::plan::RLIMITS.get(usize::from(limit.resource)).copied().unwrap_or("RLIMIT_?");
        format!("set {name} to {}:{} (raising a hard limit needs CAP_SYS_RESOURCE)", limit.soft, limit.hard)
    })
}
