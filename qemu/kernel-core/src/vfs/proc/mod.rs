//! The proc file system (proc(5)): processes as seen from one pid namespace, and a view of the machine.
//!
//! A file is a value: which process, and which of its files. Names, parents and contents follow from it, so that
//! nothing is stored and nothing has to be freed.

mod mounts;
mod process;
mod top;
mod write;

pub use top::{RELEASE, VERSION};
pub use write::ProcWrite;
pub(crate) use write::write;

use super::access::S_IFDIR;
use super::facts::Descriptor;
use super::items::{self, Item, What};
use super::walk::Link;
use super::{Caller, Env, Made, Node, SuperId, Vfs};
use crate::ns::{NamespaceId, ProcessId};
use alloc::format;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::Namespace as Kind;
use bailiwick_protocol::error::Errno;

/// A file of a proc file system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProcFile {
    /// The root.
    Root,
    /// A file about the machine, by position in the table.
    Top(u8),
    /// A process's directory.
    Process(ProcessId),
    /// `PID/task`
    Tasks(ProcessId),
    /// `PID/task/PID`, which shows the same files.
    Task(ProcessId),
    /// A file of a process, by position in the table.
    File(ProcessId, u8),
    /// `PID/fd/N`
    Fd(ProcessId, u32),
    /// `PID/fdinfo/N`
    FdInfo(ProcessId, u32),
}

pub(super) const TOP: &[Item] = &[
    ("self", None, What::Magic),
    ("thread-self", None, What::Magic),
    ("cmdline", None, What::File),
    ("cpuinfo", None, What::File),
    ("devices", None, What::File),
    ("filesystems", None, What::File),
    ("interrupts", None, What::File),
    ("loadavg", None, What::File),
    ("meminfo", None, What::File),
    ("mounts", None, What::Link("self/mounts")),
    ("net", None, What::Link("self/net")),
    ("partitions", None, What::File),
    ("stat", None, What::File),
    ("swaps", None, What::File),
    ("uptime", None, What::File),
    ("version", None, What::File),
    ("vmstat", None, What::File),
    ("sys", None, What::Dir),
    ("kernel", Some(17), What::Dir),
    ("hostname", Some(18), What::Writable),
    ("domainname", Some(18), What::Writable),
    ("ostype", Some(18), What::File),
    ("osrelease", Some(18), What::File),
    ("version", Some(18), What::File),
    ("pid_max", Some(18), What::File),
    ("ngroups_max", Some(18), What::File),
    ("cap_last_cap", Some(18), What::File),
    ("overflowuid", Some(18), What::File),
    ("overflowgid", Some(18), What::File),
    ("random", Some(18), What::Dir),
    ("uuid", Some(29), What::File),
    ("boot_id", Some(29), What::File),
    ("vm", Some(17), What::Dir),
    ("overcommit_memory", Some(32), What::File),
    ("fs", Some(17), What::Dir),
    ("file-max", Some(34), What::File),
    ("pipe-max-size", Some(34), What::File),
];

pub(super) const FILES: &[Item] = &[
    ("cgroup", None, What::File),
    ("cmdline", None, What::File),
    ("comm", None, What::Writable),
    ("cwd", None, What::Magic),
    ("environ", None, What::Private),
    ("exe", None, What::Magic),
    ("fd", None, What::Dir),
    ("fdinfo", None, What::Dir),
    ("gid_map", None, What::Writable),
    ("io", None, What::Private),
    ("limits", None, What::File),
    ("maps", None, What::File),
    ("mountinfo", None, What::File),
    ("mounts", None, What::File),
    ("net", None, What::Dir),
    ("ns", None, What::Dir),
    ("oom_score", None, What::File),
    ("oom_score_adj", None, What::Writable),
    ("root", None, What::Magic),
    ("setgroups", None, What::Writable),
    ("stat", None, What::File),
    ("statm", None, What::File),
    ("status", None, What::File),
    ("uid_map", None, What::Writable),
    ("wchan", None, What::File),
    ("cgroup", Some(15), What::Magic),
    ("ipc", Some(15), What::Magic),
    ("mnt", Some(15), What::Magic),
    ("net", Some(15), What::Magic),
    ("pid", Some(15), What::Magic),
    ("pid_for_children", Some(15), What::Magic),
    ("time", Some(15), What::Magic),
    ("time_for_children", Some(15), What::Magic),
    ("user", Some(15), What::Magic),
    ("uts", Some(15), What::Magic),
    ("dev", Some(14), What::File),
    ("route", Some(14), What::File),
    ("tcp", Some(14), What::File),
    ("udp", Some(14), What::File),
    ("unix", Some(14), What::File),
];
/// Position of `fd` in [`FILES`].
const FD: u8 = 6;
/// Position of `fdinfo`.
const FDINFO: u8 = 7;

impl ProcFile {
    /// The process it is about.
    pub(crate) fn process(self) -> Option<ProcessId> {
        match self {
            ProcFile::Root | ProcFile::Top(_) => None,
            ProcFile::Process(p) | ProcFile::Tasks(p) | ProcFile::Task(p) => Some(p),
            ProcFile::File(p, _) | ProcFile::Fd(p, _) | ProcFile::FdInfo(p, _) => Some(p),
        }
    }
    pub(crate) fn what(self) -> What {
        match self {
            ProcFile::Root | ProcFile::Process(_) | ProcFile::Tasks(_) | ProcFile::Task(_) => What::Dir,
            ProcFile::Top(at) => items::item(TOP, at).2,
            ProcFile::File(_, at) => items::item(FILES, at).2,
            ProcFile::Fd(..) => What::Magic,
            ProcFile::FdInfo(..) => What::Private,
        }
    }
    pub(crate) fn mode(self) -> u32 {
        match self {
            // Which descriptors there are is nobody else's business.
            ProcFile::File(_, FD | FDINFO) => S_IFDIR | 0o500,
            _ => self.what().mode(),
        }
    }
    pub(crate) fn parent(self) -> Option<ProcFile> {
        match self {
            ProcFile::Root => None,
            ProcFile::Top(at) => Some(items::item(TOP, at).1.map_or(ProcFile::Root, ProcFile::Top)),
            ProcFile::Process(_) => Some(ProcFile::Root),
            ProcFile::Tasks(p) => Some(ProcFile::Process(p)),
            ProcFile::Task(p) => Some(ProcFile::Tasks(p)),
            ProcFile::File(p, at) => {
                Some(items::item(FILES, at).1.map_or(ProcFile::Process(p), |dir| ProcFile::File(p, dir)))
            }
            ProcFile::Fd(p, _) => Some(ProcFile::File(p, FD)),
            ProcFile::FdInfo(p, _) => Some(ProcFile::File(p, FDINFO)),
        }
    }
    pub(crate) fn number(self) -> u64 {
        let of = |p: ProcessId, low: u64| (u64::from(p.0) + 1) << 34 | low;
        match self {
            ProcFile::Root => 1,
            ProcFile::Top(at) => 2 + u64::from(at),
            ProcFile::Process(p) => of(p, 0),
            ProcFile::Tasks(p) => of(p, 1),
            ProcFile::Task(p) => of(p, 2),
            ProcFile::File(p, at) => of(p, 3 + u64::from(at)),
            ProcFile::Fd(p, n) => of(p, 1 << 32 | u64::from(n)),
            ProcFile::FdInfo(p, n) => of(p, 1 << 33 | u64::from(n)),
        }
    }
}

/// Parses a name that is a number without leading zeros.
fn number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl Vfs {
    /// The pid namespace a proc file system shows.
    fn shown_pids(&self, fs: SuperId) -> Result<NamespaceId, Errno> {
        self.super_of(fs)?.pid_namespace.ok_or(Errno::ENOENT)
    }
    /// The number of `process` in a proc file system.
    fn shown_number(&self, fs: SuperId, process: ProcessId) -> Option<u32> {
        self.namespaces.pid(self.shown_pids(fs).ok()?)?.number(process)
    }

    pub(crate) fn proc_name(&self, fs: SuperId, file: ProcFile) -> Vec<u8> {
        match file {
            ProcFile::Root => b"/".to_vec(),
            ProcFile::Top(at) => items::item(TOP, at).0.into(),
            ProcFile::Process(p) | ProcFile::Task(p) => {
                format!("{}", self.shown_number(fs, p).unwrap_or(0)).into_bytes()
            }
            ProcFile::Tasks(_) => b"task".to_vec(),
            ProcFile::File(_, at) => items::item(FILES, at).0.into(),
            ProcFile::Fd(_, n) | ProcFile::FdInfo(_, n) => format!("{n}").into_bytes(),
        }
    }

    pub(crate) fn proc_child(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        dir: ProcFile,
        name: &[u8],
    ) -> Result<ProcFile, Errno> {
        let own = |p| self.may_inspect_gone(env, p);
        match dir {
            ProcFile::Root => match number(name) {
                Some(number) => {
                    let pids = self.namespaces.pid(self.shown_pids(fs)?).ok_or(Errno::ENOENT)?;
                    let (process, _) = pids.find(number).ok_or(Errno::ENOENT)?;
                    self.may_inspect_gone(env, process)?;
                    Ok(ProcFile::Process(process))
                }
                None => items::find(TOP, None, name).map(ProcFile::Top).ok_or(Errno::ENOENT),
            },
            ProcFile::Top(at) => items::find(TOP, Some(at), name).map(ProcFile::Top).ok_or(Errno::ENOENT),
            ProcFile::Process(p) if name == b"task" => own(p).map(|()| ProcFile::Tasks(p)),
            ProcFile::Process(p) | ProcFile::Task(p) => {
                own(p)?;
                items::find(FILES, None, name).map(|at| ProcFile::File(p, at)).ok_or(Errno::ENOENT)
            }
            ProcFile::Tasks(p) => {
                own(p)?;
                let shown = self.shown_number(fs, p);
                if shown.is_some() && number(name) == shown {
                    Ok(ProcFile::Task(p))
                } else {
                    Err(Errno::ENOENT)
                }
            }
            ProcFile::File(p, at @ (FD | FDINFO)) => {
                self.may_inspect(env, caller, p)?;
                let n = number(name).ok_or(Errno::ENOENT)?;
                env.processes.descriptor(p, n).ok_or(Errno::ENOENT)?;
                Ok(if at == FD { ProcFile::Fd(p, n) } else { ProcFile::FdInfo(p, n) })
            }
            ProcFile::File(p, at) => {
                own(p)?;
                items::find(FILES, Some(at), name).map(|at| ProcFile::File(p, at)).ok_or(Errno::ENOENT)
            }
            ProcFile::Fd(..) | ProcFile::FdInfo(..) => Err(Errno::ENOTDIR),
        }
    }

    /// Refuses what is about a process that has ended.
    fn may_inspect_gone(&self, env: &Env<'_>, process: ProcessId) -> Result<(), Errno> {
        // Every fact would be put together for it, and who it is, is there already.
        env.processes.credentials(process).map(|_| ()).ok_or(Errno::ENOENT)
    }

    pub(crate) fn proc_next(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        dir: ProcFile,
        after: u64,
    ) -> Option<(u64, ProcFile)> {
        /// Positions from here on are processes, by number.
        const PROCESSES: u64 = 1 << 16;
        match dir {
            ProcFile::Root => {
                if after < PROCESSES
                    && let Some((next, at)) = items::next(TOP, None, after)
                {
                    return Some((next, ProcFile::Top(at)));
                }
                let pids = self.namespaces.pid(self.shown_pids(fs).ok()?)?;
                let mut number = after.saturating_sub(PROCESSES) as u32;
                loop {
                    let (next, process) = pids.next_process(number)?;
                    if env.processes.credentials(process).is_some() {
                        return Some((PROCESSES + u64::from(next), ProcFile::Process(process)));
                    }
                    number = next;
                }
            }
            ProcFile::Top(at) => {
                items::next(TOP, Some(at), after).map(|(next, at)| (next, ProcFile::Top(at)))
            }
            ProcFile::Process(p) | ProcFile::Task(p) => match items::next(FILES, None, after) {
                Some((next, at)) => Some((next, ProcFile::File(p, at))),
                None if after < FILES.len() as u64 && matches!(dir, ProcFile::Process(_)) => {
                    Some((FILES.len() as u64 + 1, ProcFile::Tasks(p)))
                }
                None => None,
            },
            ProcFile::Tasks(p) => (after == 0).then_some((1, ProcFile::Task(p))),
            ProcFile::File(p, at @ (FD | FDINFO)) => {
                self.may_inspect(env, caller, p).ok()?;
                let n = env.processes.next_descriptor(p, u32::try_from(after).ok()?)?;
                Some((u64::from(n) + 1, if at == FD { ProcFile::Fd(p, n) } else { ProcFile::FdInfo(p, n) }))
            }
            ProcFile::File(p, dir) => {
                items::next(FILES, Some(dir), after).map(|(next, at)| (next, ProcFile::File(p, at)))
            }
            ProcFile::Fd(..) | ProcFile::FdInfo(..) => None,
        }
    }

    pub(crate) fn proc_link(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        file: ProcFile,
    ) -> Result<Link, Errno> {
        match file {
            ProcFile::Top(at) => {
                let (name, _, what) = items::item(TOP, at);
                if let What::Link(text) = what {
                    return Ok(Link::Text(text.into()));
                }
                let own = caller.process.and_then(|p| self.shown_number(fs, p)).ok_or(Errno::ENOENT)?;
                Ok(Link::Text(if name == "self" {
                    format!("{own}").into_bytes()
                } else {
                    format!("{own}/task/{own}").into_bytes()
                }))
            }
            ProcFile::File(p, at) => {
                self.may_inspect(env, caller, p)?;
                let (name, dir, _) = items::item(FILES, at);
                if dir.is_some() {
                    let id = namespace_named(env, p, name).ok_or(Errno::ENOENT)?;
                    let nsfs = self.mount_of(self.nsfs)?.file_system;
                    let node = Node::Made(nsfs, Made::Namespace(id));
                    return Ok(Link::Jump(super::Location { mount: self.nsfs, node }));
                }
                let context = || env.processes.context(p).ok_or(Errno::ENOENT);
                Ok(Link::Jump(match name {
                    "cwd" => context()?.cwd,
                    "root" => context()?.root,
                    "exe" => self.location(env.processes.executable(p).ok_or(Errno::ENOENT)?)?,
                    _ => return Err(Errno::EINVAL),
                }))
            }
            ProcFile::Fd(p, n) => {
                self.may_inspect(env, caller, p)?;
                match env.processes.descriptor(p, n).ok_or(Errno::ENOENT)? {
                    Descriptor::File(file) => Ok(Link::Jump(self.location(file)?)),
                    Descriptor::Other(_) => Ok(Link::Descriptor(p, n)),
                }
            }
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn proc_may_open(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        file: ProcFile,
    ) -> Result<(), Errno> {
        match file {
            ProcFile::File(p, at)
                if matches!(items::item(FILES, at).0, "environ" | "maps" | "io" | "wchan") =>
            {
                self.may_inspect(env, caller, p)
            }
            ProcFile::FdInfo(p, _) => self.may_inspect(env, caller, p),
            _ => Ok(()),
        }
    }

    pub(crate) fn proc_text(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        file: ProcFile,
    ) -> Result<Vec<u8>, Errno> {
        match file {
            ProcFile::Top(at) => Ok(self.top_text(env, caller, fs, at)),
            ProcFile::File(p, at) => self.process_text(env, caller, fs, p, items::item(FILES, at)),
            ProcFile::FdInfo(p, n) => {
                let flags = env.processes.descriptor_flags(p, n).ok_or(Errno::ENOENT)?;
                let file = match env.processes.descriptor(p, n) {
                    Some(Descriptor::File(file)) => Some(file),
                    _ => None,
                };
                let offset = file.map_or(Ok(0), |file| self.offset(file))?;
                let mount = file.and_then(|file| self.location(file).ok()).map(|at| at.mount);
                let number = mount.and_then(|id| self.mount_of(id).ok()).map_or(0, |mount| mount.number);
                Ok(format!("pos:\t{offset}\nflags:\t0{flags:o}\nmnt_id:\t{number}\n").into_bytes())
            }
            _ => Err(Errno::EISDIR),
        }
    }
}

fn namespace_named(env: &Env<'_>, process: ProcessId, name: &str) -> Option<NamespaceId> {
    let set = env.processes.namespaces(process)?;
    match name {
        "pid_for_children" => Some(set.pid_for_children),
        "time_for_children" => Some(set.time_for_children),
        _ => Kind::ALL.into_iter().find(|kind| kind.proc_name() == name).map(|kind| set.get(kind)),
    }
}

#[cfg(test)]
pub(super) const fn tables() -> (&'static [Item], &'static [Item]) {
    (TOP, FILES)
}
