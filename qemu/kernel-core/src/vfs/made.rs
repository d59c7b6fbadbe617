//! Files that are made up when they are read: one name for each, from which everything about it follows.

use super::access::{S_IFDIR, S_IFMT, S_IFREG, Stat, Want};
use super::items::{self, Item, What};
use super::proc::{self, ProcFile};
use super::tree::{FsKind, Owner, Super};
use super::walk::Link;
use super::{Caller, Env, SuperId, Vfs};
use crate::cred::{Gid, Uid};
use crate::memory::GroupId;
use crate::ns::NamespaceId;
use alloc::format;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// A made-up file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Made {
    /// A namespace: what `/proc/PID/ns/X` leads to.
    Namespace(NamespaceId),
    /// A file of a proc file system.
    Proc(ProcFile),
    /// A file of sysfs, by position in its table; none is the root.
    Sys(Option<u8>),
    /// A file of a cgroup file system: the group at its root, and the file by position; none is the root.
    Group(GroupId, Option<u8>),
}

const SYS: &[Item] = &[
    ("block", None, What::Dir),
    ("bus", None, What::Dir),
    ("class", None, What::Dir),
    ("dev", None, What::Dir),
    ("devices", None, What::Dir),
    ("firmware", None, What::Dir),
    ("fs", None, What::Dir),
    ("cgroup", Some(6), What::Dir),
    ("kernel", None, What::Dir),
    ("module", None, What::Dir),
    ("power", None, What::Dir),
    ("system", Some(4), What::Dir),
    ("cpu", Some(11), What::Dir),
    ("online", Some(12), What::File),
    ("possible", Some(12), What::File),
    ("present", Some(12), What::File),
    ("cpu0", Some(12), What::Dir),
    ("net", Some(2), What::Dir),
    ("lo", Some(17), What::Dir),
    ("mtu", Some(18), What::File),
    ("address", Some(18), What::File),
    ("ifindex", Some(18), What::File),
];

const GROUP: &[Item] = &[
    ("cgroup.controllers", None, What::File),
    ("cgroup.procs", None, What::File),
    ("cgroup.events", None, What::File),
    ("cgroup.freeze", None, What::File),
    ("cgroup.type", None, What::File),
    ("memory.current", None, What::File),
    ("memory.peak", None, What::File),
    ("memory.max", None, What::File),
    ("memory.events", None, What::File),
    ("pids.current", None, What::File),
    ("pids.max", None, What::File),
    ("cpu.stat", None, What::File),
    ("cpu.max", None, What::File),
    ("cpu.weight", None, What::File),
];

impl Made {
    /// The root of a file system of this type; `group` is what a cgroup file system shows.
    pub(crate) fn root(kind: FsKind, group: GroupId) -> Option<Made> {
        match kind {
            FsKind::Proc => Some(Made::Proc(ProcFile::Root)),
            FsKind::Sysfs => Some(Made::Sys(None)),
            FsKind::Cgroup | FsKind::Cgroup2 => Some(Made::Group(group, None)),
            _ => None,
        }
    }
    fn what(self) -> What {
        match self {
            Made::Namespace(_) => What::File,
            Made::Proc(file) => file.what(),
            Made::Sys(Some(at)) => items::item(SYS, at).2,
            Made::Group(_, Some(at)) => items::item(GROUP, at).2,
            Made::Sys(None) | Made::Group(_, None) => What::Dir,
        }
    }
    pub(crate) fn type_bits(self) -> u32 {
        self.what().mode() & S_IFMT
    }
    /// Owner and mode, type bits included.
    ///
    /// # Errors
    /// `ENOENT` if the process that a proc file is about has ended.
    pub(crate) fn owner(self, env: &Env<'_>) -> Result<Owner, Errno> {
        let Made::Proc(file) = self else {
            return Ok(Owner { uid: Uid::ROOT, gid: Gid::ROOT, mode: self.what().mode() });
        };
        let (uid, gid) = match file.process() {
            Some(process) => {
                let owner = env.processes.credentials(process).ok_or(Errno::ENOENT)?;
                (owner.euid, owner.egid)
            }
            None => (Uid::ROOT, Gid::ROOT),
        };
        Ok(Owner { uid, gid, mode: file.mode() })
    }
    pub(crate) fn parent(self) -> Option<Made> {
        match self {
            Made::Namespace(_) | Made::Sys(None) | Made::Group(_, None) => None,
            Made::Proc(file) => file.parent().map(Made::Proc),
            Made::Sys(Some(at)) => Some(Made::Sys(items::item(SYS, at).1)),
            Made::Group(group, Some(_)) => Some(Made::Group(group, None)),
        }
    }
    /// The number of the file.
    pub(crate) fn number(self) -> u64 {
        let plus_one = |at: Option<u8>| at.map_or(1, |at| u64::from(at) + 2);
        match self {
            Made::Namespace(id) => u64::from(id.0),
            Made::Proc(file) => file.number(),
            Made::Sys(at) => plus_one(at),
            Made::Group(group, at) => u64::from(group.0) << 16 | plus_one(at),
        }
    }
}

impl Vfs {
    pub(crate) fn made_name(&self, fs: SuperId, made: Made) -> Vec<u8> {
        match made {
            Made::Namespace(id) => self.namespace_text(id),
            Made::Proc(file) => self.proc_name(fs, file),
            Made::Sys(at) => at.map_or("/", |at| items::item(SYS, at).0).into(),
            Made::Group(_, at) => at.map_or("/", |at| items::item(GROUP, at).0).into(),
        }
    }

    /// `net:[4026531840]`
    pub(crate) fn namespace_text(&self, id: NamespaceId) -> Vec<u8> {
        let kind = self.namespaces.kind(id).map_or("", |kind| kind.proc_name());
        format!("{kind}:[{}]", self.namespaces.number(id)).into_bytes()
    }

    pub(crate) fn made_stat(&self, env: &mut Env<'_>, fs: &Super, made: Made) -> Result<Stat, Errno> {
        let Owner { uid, gid, mode } = made.owner(env)?;
        let inode = match made {
            Made::Namespace(id) => u64::from(self.namespaces.number(id)),
            _ => made.number(),
        };
        let links = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
        let time = if matches!(made, Made::Proc(_)) { env.frames.time() } else { fs.made };
        Ok(Stat {
            device: (0, fs.device),
            inode,
            mode,
            links,
            uid,
            gid,
            represents: (0, 0),
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
        })
    }

    pub(crate) fn made_child(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        made: Made,
        name: &[u8],
    ) -> Result<Made, Errno> {
        match made {
            Made::Namespace(_) => Err(Errno::ENOTDIR),
            Made::Proc(file) => self.proc_child(env, caller, fs, file, name).map(Made::Proc),
            Made::Sys(at) => items::find(SYS, at, name).map(|at| Made::Sys(Some(at))).ok_or(Errno::ENOENT),
            Made::Group(group, at) => {
                if at.is_some() {
                    return Err(Errno::ENOTDIR);
                }
                items::find(GROUP, None, name).map(|at| Made::Group(group, Some(at))).ok_or(Errno::ENOENT)
            }
        }
    }

    /// The entry after position `after` of a made-up directory, and its own position.
    pub(crate) fn made_next(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        made: Made,
        after: u64,
    ) -> Option<(u64, Made)> {
        match made {
            Made::Namespace(_) => None,
            Made::Proc(file) => {
                self.proc_next(env, caller, fs, file, after).map(|(at, file)| (at, Made::Proc(file)))
            }
            Made::Sys(dir) => items::next(SYS, dir, after).map(|(next, at)| (next, Made::Sys(Some(at)))),
            Made::Group(group, _) => {
                items::next(GROUP, None, after).map(|(next, at)| (next, Made::Group(group, Some(at))))
            }
        }
    }

    pub(crate) fn made_link(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        made: Made,
    ) -> Result<Link, Errno> {
        match made {
            Made::Proc(file) => self.proc_link(env, caller, fs, file),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Access checks that modes cannot say, made when a file is opened.
    pub(crate) fn made_may_open(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        made: Made,
        want: Want,
    ) -> Result<(), Errno> {
        match made {
            Made::Proc(file) => self.proc_may_open(env, caller, file),
            Made::Namespace(_) if want.contains(Want::WRITE) => Err(Errno::EACCES),
            _ => Ok(()),
        }
    }

    /// The whole contents of a made-up file.
    pub(crate) fn made_text(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        made: Made,
    ) -> Result<Vec<u8>, Errno> {
        match made {
            _ if made.type_bits() == S_IFDIR => Err(Errno::EISDIR),
            _ if made.type_bits() != S_IFREG => Err(Errno::EINVAL),
            Made::Namespace(_) => Err(Errno::EINVAL),
            Made::Proc(file) => self.proc_text(env, caller, fs, file),
            Made::Sys(at) => Ok(sys_text(at.map_or("", |at| items::item(SYS, at).0))),
            Made::Group(group, at) => {
                let facts = env.processes.group(group).ok_or(Errno::ENODEV)?;
                let name = at.map_or("", |at| items::item(GROUP, at).0);
                if name == "cgroup.procs" {
                    let members = env.processes.group_members(group);
                    return Ok(self.group_procs(caller, &members));
                }
                Ok(group_text(&facts, name))
            }
        }
    }

    fn group_procs(&self, caller: &Caller<'_>, members: &[crate::ns::ProcessId]) -> Vec<u8> {
        let Some(pids) = self.namespaces.pid(caller.namespaces.pid) else { return Vec::new() };
        let lines = members.iter().filter_map(|member| pids.number(*member));
        lines.flat_map(|number| format!("{number}\n").into_bytes()).collect()
    }

    pub(crate) fn made_write(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        made: Made,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        match made {
            Made::Proc(file) => proc::write(self, env, caller, fs, file, bytes),
            _ => Err(Errno::EACCES),
        }
    }
}

fn sys_text(name: &str) -> Vec<u8> {
    match name {
        "online" | "possible" | "present" => b"0\n".to_vec(),
        "mtu" => b"65536\n".to_vec(),
        "address" => b"00:00:00:00:00:00\n".to_vec(),
        "ifindex" => b"1\n".to_vec(),
        _ => Vec::new(),
    }
}

fn group_text(facts: &super::facts::GroupFacts, name: &str) -> Vec<u8> {
    let bound = |limit: Option<u64>| limit.map_or("max".into(), |limit| format!("{limit}"));
    let text = match name {
        "cgroup.controllers" => "cpu memory pids\n".into(),
        "cgroup.type" => "domain\n".into(),
        "cgroup.events" => {
            format!("populated {}\nfrozen {}\n", u8::from(facts.pids_current > 0), u8::from(facts.frozen))
        }
        "cgroup.freeze" => format!("{}\n", u8::from(facts.frozen)),
        "memory.current" => format!("{}\n", facts.memory_current),
        "memory.peak" => format!("{}\n", facts.memory_peak),
        "memory.max" => format!("{}\n", bound(facts.memory_max)),
        "memory.events" => format!("oom_kill {}\n", facts.oom_kills),
        "pids.current" => format!("{}\n", facts.pids_current),
        "pids.max" => format!("{}\n", bound(facts.pids_max.map(u64::from))),
        "cpu.max" => format!("{} {}\n", bound(facts.cpu_max.0), facts.cpu_max.1),
        "cpu.weight" => format!("{}\n", facts.cpu_weight),
        "cpu.stat" => {
            let [all, user, system] = facts.cpu.map(|nanos| nanos / 1000);
            format!("usage_usec {all}\nuser_usec {user}\nsystem_usec {system}\n")
        }
        _ => return Vec::new(),
    };
    text.into_bytes()
}
