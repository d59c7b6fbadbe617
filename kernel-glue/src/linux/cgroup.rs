//! Resource groups: control groups of the host, version 1 or 2, whichever holds the controller.
//!
//! A [`Hierarchies`] is what the host has mounted, found once. A [`Group`] is one container's directory in each
//! hierarchy that matters, made and removed by descriptor. Nothing of the host's own set-up is changed.

use super::fault::{Context, Fault, Outcome};
use super::path::open_below;
use super::proc::{Proc, read_text, write_once};
use super::sys::send_signal;
use crate::plan::Feature;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno as Raw;
use rustix::process::{PidfdFlags, pidfd_open};
use std::time::{Duration, Instant};

/// Where containers live when a plan's path is relative and nothing else was said.
pub const DEFAULT_PARENT: &str = "bailiwick";

/// How long killed processes may take to be gone.
const REAP_LIMIT: Duration = Duration::from_secs(10);

/// Controllers this backend uses.
const WANTED: [&str; 7] = ["memory", "cpu", "cpuacct", "cpuset", "pids", "devices", "freezer"];

/// Which interface a hierarchy has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    One,
    Two,
}

/// One hierarchy the host has mounted.
#[derive(Debug)]
struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    /// Name of the directory it is mounted on, such as `cpu,cpuacct`.
    name: String,
    mount: String,
    /// Where this process is in it.
    own: String,
}

/// The hierarchies that hold controllers of use.
#[derive(Debug)]
pub(super) struct Hierarchies {
    list: Vec<Hierarchy>,
}

impl Hierarchies {
    /// Reads what is mounted and where this process is.
    pub(super) fn discover(proc: &Proc) -> Outcome<Self> {
        let mounts = proc.read("self/mountinfo").context(|| "read the mounts of this host".into())?;
        let own = proc.read("self/cgroup").context(|| "read the control groups of this process".into())?;
        let mut list: Vec<Hierarchy> = Vec::new();
        let mut taken = BTreeSet::new();
        for mount in mounts.lines().filter_map(MountLine::parse) {
            let (version, controllers) = match mount.kind {
                "cgroup" => (Version::One, mount.controllers()),
                "cgroup2" => (Version::Two, unified_controllers(mount.point)),
                _ => continue,
            };
            let wanted: Vec<String> = controllers
                .into_iter()
                .filter(|c| WANTED.contains(&c.as_str()) && !taken.contains(c))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            taken.extend(wanted.iter().cloned());
            let name = mount.point.rsplit('/').next().unwrap_or_default().to_string();
            let own = own_path(&own, version, &wanted);
            list.push(Hierarchy { version, controllers: wanted, name, mount: mount.point.to_string(), own });
        }
        Ok(Hierarchies { list })
    }

    fn holding(&self, controller: &str) -> Option<&Hierarchy> {
        self.list.iter().find(|h| h.controllers.iter().any(|c| c == controller))
    }

    /// What can be limited here.
    pub(super) fn features(&self) -> Feature {
        let mut features = Feature::empty();
        for (controller, feature) in [
            ("memory", Feature::MEMORY),
            ("cpu", Feature::CPU),
            ("cpuset", Feature::CPUSET),
            ("pids", Feature::PIDS),
            ("devices", Feature::DEVICE_RULES),
        ] {
            if self.holding(controller).is_some() {
                features |= feature;
            }
        }
        let swap = self.holding("memory").is_some_and(|h| {
            h.version == Version::Two
                || std::path::Path::new(&h.mount).join("memory.memsw.limit_in_bytes").exists()
        });
        if swap { features | Feature::SWAP } else { features }
    }
}

struct MountLine<'a> {
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> MountLine<'a> {
    /// One line of mountinfo (proc_pid_mountinfo(5)).
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        Some(MountLine { point: left.split(' ').nth(4)?, kind, options })
    }
    fn controllers(&self) -> Vec<String> {
        self.options.split(',').map(String::from).collect()
    }
}

/// cgroup2 has freezer and accounting of CPU time built in; device rules would need a BPF program.
fn unified_controllers(mount: &str) -> Vec<String> {
    let listed = std::fs::read_to_string(format!("{mount}/cgroup.controllers")).unwrap_or_default();
    let mut all: Vec<String> = listed.split_whitespace().map(String::from).collect();
    if all.iter().any(|c| c == "pids") {
        all.extend(["freezer".to_string(), "cpuacct".to_string()]);
    }
    all
}

fn own_path(own: &str, version: Version, controllers: &[String]) -> String {
    own.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
            let ours = match version {
                Version::Two => number == "0",
                Version::One => names.split(',').any(|n| controllers.iter().any(|c| c == n)),
            };
            ours.then(|| path.to_string())
        })
        .next()
        .unwrap_or_else(|| "/".to_string())
}

/// The container's directory in one hierarchy.
#[derive(Debug)]
struct Directory {
    version: Version,
    controllers: Vec<String>,
    name: String,
    /// Where it is, as this process sees the host.
    path: String,
    fd: OwnedFd,
    parent: OwnedFd,
    leaf: String,
    /// Directories above that were made with it, nearest first: (the one above, its name).
    above: Vec<(OwnedFd, String)>,
}

/// One container's group.
#[derive(Debug)]
pub(super) struct Group {
    directories: Vec<Directory>,
    seen_kills: u64,
}

impl Group {
    /// Makes `path` in every hierarchy. Relative paths are below `parent` below this process's own group (version 1)
    /// or below the root (version 2, whose inner groups hold no processes).
    pub(super) fn create(hierarchies: &Hierarchies, parent: &str, path: &str) -> Outcome<Self> {
        let mut group = Group { directories: Vec::new(), seen_kills: 0 };
        for hierarchy in &hierarchies.list {
            match make_directory(hierarchy, parent, path) {
                Ok(directory) => group.directories.push(directory),
                Err(fault) => {
                    group.remove();
                    return Err(fault);
                }
            }
        }
        Ok(group)
    }

    /// The group whose directories are at these paths; those that are gone are left out.
    pub(super) fn find(hierarchies: &Hierarchies, paths: &[String]) -> Self {
        let at = |hierarchy| paths.iter().filter_map(move |path| find_directory(hierarchy, path));
        Group { directories: hierarchies.list.iter().flat_map(at).collect(), seen_kills: 0 }
    }

    /// Where its directories are.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.directories.iter().map(|directory| directory.path.clone())
    }

    /// The directory in the hierarchy with `controller`.
    fn holding(&self, controller: &str) -> Option<&Directory> {
        self.directories.iter().find(|d| d.controllers.iter().any(|c| c == controller))
    }

    pub(super) fn version(&self, controller: &str) -> Option<Version> {
        self.holding(controller).map(|d| d.version)
    }

    /// Writes one file of a controller.
    pub(super) fn write(&self, controller: &str, file: &str, value: &str) -> Outcome<()> {
        let what = || format!("write {value:?} to {file} of the control group");
        let Some(directory) = self.holding(controller) else {
            let what = format!("{}: no hierarchy of this host holds the {controller} controller", what());
            return Err(Fault::new(Errno::EOPNOTSUPP, what));
        };
        open_file(directory, file, OFlags::WRONLY).and_then(|file| write_once(file, value)).context(what)
    }

    /// Reads one file of a controller.
    pub(super) fn read(&self, controller: &str, file: &str) -> rustix::io::Result<String> {
        let directory = self.holding(controller).ok_or(Raw::OPNOTSUPP)?;
        open_file(directory, file, OFlags::RDONLY).and_then(read_text)
    }

    /// Opens one file of a controller.
    pub(super) fn open(&self, controller: &str, file: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        open_file(self.holding(controller).ok_or(Raw::OPNOTSUPP)?, file, flags)
    }

    /// Moves a child of this process into it.
    pub(super) fn add(&self, pid: u32) -> Outcome<()> {
        for directory in &self.directories {
            open_file(directory, "cgroup.procs", OFlags::WRONLY)
                .and_then(|file| write_once(file, &pid.to_string()))
                .context(|| format!("put process {pid} into control group {}", directory.name))?;
        }
        Ok(())
    }

    /// Its directories, by the name of the hierarchy, for a cgroup mount inside.
    pub(super) fn views(&self) -> impl Iterator<Item = (&str, Version, BorrowedFd<'_>)> {
        self.directories.iter().map(|d| (d.name.as_str(), d.version, d.fd.as_fd()))
    }

    /// The numbers of all processes inside, groups below included, in order.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mut found = BTreeSet::new();
        if let Some(directory) = self.holding("pids").or_else(|| self.directories.first()) {
            collect(directory.fd.as_fd(), &mut found, 0);
        }
        found.into_iter().collect()
    }

    /// Sends a signal to every process inside; gives their descriptors. A process is named by its descriptor: it
    /// counts only if it is still listed after the descriptor was opened.
    pub(super) fn signal_all(&self, signal: u8) -> Vec<OwnedFd> {
        let opened: Vec<(u32, OwnedFd)> = self
            .processes()
            .into_iter()
            .filter_map(|pid| {
                let number = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
                Some((pid, pidfd_open(number, PidfdFlags::empty()).ok()?))
            })
            .collect();
        let still = self.processes();
        let inside = opened.into_iter().filter(|(pid, _)| still.binary_search(pid).is_ok());
        inside.filter_map(|(_, fd)| send_signal(fd.as_fd(), signal).ok().map(|()| fd)).collect()
    }

    /// Kills everything inside and waits until it is gone. False if something would not go in time.
    pub(super) fn kill_all(&self) -> bool {
        let deadline = Instant::now() + REAP_LIMIT;
        if let Some(directory) = self.directories.iter().find(|d| d.version == Version::Two) {
            let _ = open_file(directory, "cgroup.kill", OFlags::WRONLY).and_then(|f| write_once(f, "1"));
        }
        while Instant::now() < deadline {
            let killed = self.signal_all(9);
            let _ = self.set_frozen(Frozen::No);
            if killed.is_empty() {
                if self.processes().is_empty() {
                    return true;
                }
                std::thread::yield_now();
                continue;
            }
            for process in &killed {
                let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let _ = rustix::event::poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&wait));
            }
        }
        false
    }

    /// Freezes or thaws and waits until it is so.
    pub(super) fn set_frozen(&self, frozen: Frozen) -> Outcome<()> {
        let deadline = Instant::now() + REAP_LIMIT;
        let version = self.version("freezer");
        loop {
            let reached = match version {
                Some(Version::One) => {
                    self.write("freezer", "freezer.state", frozen.state())?;
                    self.read("freezer", "freezer.state").is_ok_and(|s| s.trim() == frozen.state())
                }
                _ => {
                    self.write("freezer", "cgroup.freeze", frozen.number())?;
                    let line = format!("frozen {}", frozen.number());
                    self.read("freezer", "cgroup.events").is_ok_and(|s| s.lines().any(|l| l == line))
                }
            };
            if reached {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Fault::new(Errno::EBUSY, "freeze the control group: a process would not stop"));
            }
            std::thread::yield_now();
        }
    }

    /// How often the kernel killed in here because memory ran out, and whether that grew since the last call.
    pub(super) fn new_memory_kills(&mut self) -> bool {
        let now = self.memory_kills();
        let grew = now > self.seen_kills;
        self.seen_kills = now;
        grew
    }

    /// How often the kernel killed in here because memory ran out.
    pub(super) fn memory_kills(&self) -> u64 {
        let file = match self.version("memory") {
            Some(Version::One) => "memory.oom_control",
            Some(Version::Two) => "memory.events",
            None => return 0,
        };
        self.read("memory", file).ok().and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }

    /// Removes it. Groups that a process inside made below go first.
    pub(super) fn remove(&mut self) {
        for directory in self.directories.drain(..) {
            remove_tree(directory.parent.as_fd(), &directory.leaf, 0);
            remove_empty(&directory.above);
        }
    }

    /// Kills everything inside and removes it.
    pub(super) fn put_down(mut self) {
        self.kill_all();
        self.remove();
    }
}

/// The number after `name` in a file of `name number` lines.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Whether processes stand still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Frozen {
    Yes,
    No,
}

impl Frozen {
    const fn state(self) -> &'static str {
        match self {
            Frozen::Yes => "FROZEN",
            Frozen::No => "THAWED",
        }
    }
    const fn number(self) -> &'static str {
        match self {
            Frozen::Yes => "1",
            Frozen::No => "0",
        }
    }
}

/// Deepest nesting of groups that a container may have made and that is still walked.
const DEPTH_MAX: usize = 32;

fn subdirectories(directory: BorrowedFd<'_>) -> Vec<String> {
    let Ok(dir) = rustix::fs::Dir::read_from(directory) else { return Vec::new() };
    dir.filter_map(Result::ok)
        .filter(|e| e.file_type() == rustix::fs::FileType::Directory)
        .filter_map(|e| e.file_name().to_str().ok().map(String::from))
        .filter(|name| name != "." && name != "..")
        .collect()
}

fn open_directory(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    open_below(parent, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty(), resolve)
}

fn open_file(directory: &Directory, file: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    open_below(directory.fd.as_fd(), file, flags, Mode::empty(), resolve)
}

fn collect(directory: BorrowedFd<'_>, found: &mut BTreeSet<u32>, depth: usize) {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let listed =
        open_below(directory, "cgroup.procs", OFlags::RDONLY, Mode::empty(), resolve).and_then(read_text);
    found.extend(
        listed.unwrap_or_default().lines().filter_map(|l| l.parse::<u32>().ok()).filter(|pid| *pid != 0),
    );
    if depth == DEPTH_MAX {
        return;
    }
    for name in subdirectories(directory) {
        if let Ok(below) = open_directory(directory, &name) {
            collect(below.as_fd(), found, depth + 1);
        }
    }
}

fn remove_tree(parent: BorrowedFd<'_>, name: &str, depth: usize) {
    for _ in 0..1000 {
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Raw::BUSY) => {}
            _ => return,
        }
        if depth < DEPTH_MAX
            && let Ok(below) = open_directory(parent, name)
        {
            for name in subdirectories(below.as_fd()) {
                remove_tree(below.as_fd(), &name, depth + 1);
            }
        }
        std::thread::yield_now();
    }
}

fn make_directory(hierarchy: &Hierarchy, parent: &str, path: &str) -> Outcome<Directory> {
    let full = match (path.starts_with('/'), hierarchy.version) {
        (true, _) => path.to_string(),
        (false, Version::One) if !parent.starts_with('/') => format!("{}/{parent}/{path}", hierarchy.own),
        (false, _) => format!("{parent}/{path}"),
    };
    let names: Vec<&str> = full.split('/').filter(|n| !n.is_empty() && *n != ".").collect();
    let full = format!("/{}", names.join("/"));
    let refuse = |errno, why: &str| {
        Fault::new(errno, format!("make control group {full} in {}: {why}", hierarchy.mount))
    };
    if names.contains(&"..") {
        return Err(refuse(Errno::EINVAL, "\"..\" is not allowed in its path"));
    }
    // Another container of the same parent may be leaving and take the empty parent along: begin again then.
    for _ in 0..100 {
        match try_directory(hierarchy, &names) {
            Err(Raw::NOENT | Raw::NODEV) => {}
            Err(Raw::EXIST) => {
                return Err(refuse(
                    Errno::EEXIST,
                    "it exists; delete what uses it or choose another cgroupsPath",
                ));
            }
            other => return other.context(|| format!("make control group {full} in {}", hierarchy.mount)),
        }
    }
    Err(refuse(Errno::ENOENT, "its parent keeps disappearing"))
}

fn try_directory(hierarchy: &Hierarchy, names: &[&str]) -> rustix::io::Result<Directory> {
    let mut above = Vec::new();
    let made = descend(hierarchy, names, &mut above);
    if made.is_err() {
        remove_empty(&above);
    }
    let (parent, fd, leaf) = made?;
    let (controllers, name) = (hierarchy.controllers.clone(), hierarchy.name.clone());
    let (version, path) = (hierarchy.version, format!("{}/{}", hierarchy.mount, names.join("/")));
    Ok(Directory { version, controllers, name, path, fd, parent, leaf, above })
}

/// Makes the last of these directories, and those before it that are missing, which are noted `above`. Gives the one
/// above it, itself and its name.
fn descend(
    hierarchy: &Hierarchy,
    names: &[&str],
    above: &mut Vec<(OwnedFd, String)>,
) -> rustix::io::Result<(OwnedFd, OwnedFd, String)> {
    let root = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut current = rustix::fs::open(hierarchy.mount.as_str(), root, Mode::empty())?;
    let Some((leaf, before)) = names.split_last() else { return Err(Raw::EXIST) };
    delegate(hierarchy, current.as_fd())?;
    for name in before {
        let (made, next) = match make_level(hierarchy, current.as_fd(), name) {
            Err(Raw::EXIST) => (false, enter(hierarchy, current.as_fd(), name)?),
            made => (true, made?),
        };
        let up = core::mem::replace(&mut current, next);
        if made || *name == DEFAULT_PARENT {
            above.insert(0, (up, name.to_string()));
        }
        delegate(hierarchy, current.as_fd())?;
    }
    let fd = make_level(hierarchy, current.as_fd(), leaf)?;
    Ok((current, fd, leaf.to_string()))
}

/// Makes one directory and enters it; if that fails it is gone again.
fn make_level(hierarchy: &Hierarchy, parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    enter(hierarchy, parent, name).inspect_err(|_| {
        let _ = rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
    })
}

fn enter(hierarchy: &Hierarchy, parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let fd = open_directory(parent, name)?;
    inherit_cpuset(hierarchy, parent, fd.as_fd())?;
    Ok(fd)
}

/// Removes those of these directories that hold no groups of others.
fn remove_empty(directories: &[(OwnedFd, String)]) {
    for (parent, name) in directories {
        let _ = rustix::fs::unlinkat(parent, name.as_str(), AtFlags::REMOVEDIR);
    }
}

/// The directory at `path` if it lies in this hierarchy and is there.
fn find_directory(hierarchy: &Hierarchy, path: &str) -> Option<Directory> {
    let (above, leaf) = path.strip_prefix(hierarchy.mount.as_str())?.strip_prefix('/')?.rsplit_once('/')?;
    let root = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut parent = rustix::fs::open(hierarchy.mount.as_str(), root, Mode::empty()).ok()?;
    let mut up = Vec::new();
    for name in above.split('/') {
        let next = open_directory(parent.as_fd(), name).ok()?;
        let holder = core::mem::replace(&mut parent, next);
        if name == DEFAULT_PARENT {
            up.insert(0, (holder, name.to_string()));
        }
    }
    let fd = open_directory(parent.as_fd(), leaf).ok()?;
    Some(Directory {
        version: hierarchy.version,
        controllers: hierarchy.controllers.clone(),
        name: hierarchy.name.clone(),
        path: path.to_string(),
        fd,
        parent,
        leaf: leaf.to_string(),
        above: up,
    })
}

/// A new cpuset of version 1 is empty, and takes no process before it got CPUs and memory nodes (cpuset(7)).
///
/// Whoever made the group may not have come so far yet, so an empty one is filled by whoever passes through.
fn inherit_cpuset(hierarchy: &Hierarchy, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    if hierarchy.version == Version::Two || !hierarchy.controllers.iter().any(|c| c == "cpuset") {
        return Ok(());
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let read = |group| read_text(open_below(group, file, OFlags::RDONLY, Mode::empty(), resolve)?);
        if !read(to)?.trim().is_empty() {
            continue;
        }
        let value = read(from)?;
        write_once(open_below(to, file, OFlags::WRONLY, Mode::empty(), resolve)?, value.trim())?;
    }
    Ok(())
}

/// Version 2 hands controllers down level by level.
fn delegate(hierarchy: &Hierarchy, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
    if hierarchy.version == Version::One {
        return Ok(());
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    for controller in hierarchy.controllers.iter().filter(|c| !matches!(c.as_str(), "freezer" | "cpuacct")) {
        let file = open_below(directory, "cgroup.subtree_control", OFlags::WRONLY, Mode::empty(), resolve)?;
        write_once(file, &format!("+{controller}"))?;
    }
    Ok(())
}
