//! Plans as people read them.

use super::{
    DeviceKind, IdMap, Mount, MountSource, NamespaceSource, Propagation, Reach, Resources, Step, Within,
};
use core::fmt;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::ResourceGroup { path, resources, devices } => {
                write!(f, "resource group {path}")?;
                show_resources(f, resources)?;
                if devices.is_empty() { Ok(()) } else { write!(f, ", {} device rules", devices.len()) }
            }
            Step::Namespaces(list) => {
                f.write_str("namespaces")?;
                list.iter().try_for_each(|(kind, source)| match source {
                    NamespaceSource::New => write!(f, " {}", kind.as_str()),
                    NamespaceSource::Path(path) => write!(f, " {}={path}", kind.as_str()),
                })
            }
            Step::IdMaps { users, groups } => {
                f.write_str("id maps")?;
                show_maps(f, " uid", users)?;
                show_maps(f, " gid", groups)
            }
            Step::TimeOffset { clock, seconds, nanoseconds } => {
                write!(f, "time offset {clock} {seconds}.{nanoseconds:09} s")
            }
            Step::Root { path, propagation } => write!(f, "root {path}, old tree {propagation}"),
            Step::Mount(mount) => mount.fmt(f),
            Step::Device(d) => {
                write!(
                    f,
                    "device {} {} {}:{} mode {:04o} owner {}:{}",
                    d.path, d.kind, d.major, d.minor, d.mode, d.uid, d.gid
                )
            }
            Step::Link { path, target } => write!(f, "link {path} -> {target}"),
            Step::Hook(hook) => write!(f, "hook {} {}", hook.kind.as_str(), hook.path),
            Step::PivotRoot { new, old } => write!(f, "pivot_root {new} {old}"),
            Step::Hostname(name) => write!(f, "hostname {name}"),
            Step::Domainname(name) => write!(f, "domainname {name}"),
            Step::Sysctl { name, value } => write!(f, "sysctl {name}={value}"),
            Step::Mask(path) => write!(f, "mask {path}"),
            Step::ReadonlyPath(path) => write!(f, "read-only {path}"),
            Step::ReadonlyRoot => f.write_str("read-only /"),
            Step::RootPropagation(p) => write!(f, "propagation of / {p}"),
            Step::Rlimit(l) => {
                write!(f, "rlimit {} soft {} hard {}", rlimit_name(l.resource), Limit(l.soft), Limit(l.hard))
            }
            Step::OomScore(score) => write!(f, "oom score {score}"),
            Step::User { uid, gid, groups, umask } => {
                write!(f, "user {uid}:{gid}")?;
                groups.iter().try_for_each(|group| write!(f, " +{group}"))?;
                umask.map_or(Ok(()), |mask| write!(f, " umask {mask:04o}"))
            }
            Step::Capabilities(c) => write!(
                f,
                "capabilities bounding {:#x} permitted {:#x} effective {:#x} inheritable {:#x} ambient {:#x}",
                c.bounding, c.permitted, c.effective, c.inheritable, c.ambient
            ),
            Step::NoNewPrivileges => f.write_str("no new privileges"),
            Step::Filter(filter) => {
                write!(f, "system-call filter of {} instructions", filter.instructions.len())?;
                filter.flags.iter_names().try_for_each(|(name, _)| write!(f, " {}", Lower(name)))
            }
            Step::WorkingDirectory(path) => write!(f, "working directory {path}"),
            Step::Load { args, .. } => {
                f.write_str("load")?;
                args.iter().try_for_each(|arg| write!(f, " {arg}"))
            }
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            MountSource::FileSystem { kind, .. } => write!(f, "mount {kind} on {}", self.destination)?,
            MountSource::Bind { path, reach, within } => {
                f.write_str(if *reach == Reach::Tree { "rbind " } else { "bind " })?;
                match within {
                    Within::Host => write!(f, "{path} on {}", self.destination)?,
                    Within::Bundle => write!(f, "{path} within the bundle on {}", self.destination)?,
                    Within::Directory(at) => write!(f, "{path:?} within {at} on {}", self.destination)?,
                }
            }
        }
        for (name, _) in self.flags.iter_names() {
            write!(f, " {}", Lower(name))?;
        }
        for (name, _) in self.tree_flags.iter_names() {
            write!(f, " r{}", Lower(name))?;
        }
        for (propagation, reach) in &self.propagation {
            f.write_str(if *reach == Reach::Tree { " r" } else { " " })?;
            propagation.fmt(f)?;
        }
        if self.data.is_empty() { Ok(()) } else { write!(f, " data {}", self.data) }
    }
}

struct Lower(&'static str);
impl fmt::Display for Lower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| f.write_char(c.to_ascii_lowercase()))
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Propagation::Private => "private",
            Propagation::Slave => "slave",
            Propagation::Shared => "shared",
            Propagation::Unbindable => "unbindable",
        })
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Character => "c",
            DeviceKind::Block => "b",
            DeviceKind::Fifo => "p",
        })
    }
}

fn show_resources(f: &mut fmt::Formatter<'_>, r: &Resources) -> fmt::Result {
    let numbers = [
        ("memory", r.memory),
        ("memory reservation", r.memory_reservation),
        ("memory+swap", r.memory_swap),
        ("cpu shares", r.cpu_shares),
        ("cpu quota", r.cpu_quota),
        ("cpu period", r.cpu_period),
        ("pids", r.pids.map(u64::from)),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            write!(f, ", {name} {value}")?;
        }
    }
    for (name, value) in [("cpus", &r.cpus), ("mems", &r.mems)] {
        if let Some(value) = value {
            write!(f, ", {name} {value}")?;
        }
    }
    Ok(())
}

fn show_maps(f: &mut fmt::Formatter<'_>, what: &str, maps: &[IdMap]) -> fmt::Result {
    maps.iter().try_for_each(|m| write!(f, "{what} {}+{} -> {}", m.inside, m.count, m.outside))
}

struct Limit(u64);
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { f.write_str("unlimited") } else { write!(f, "{}", self.0) }
    }
}

/// Names of the limits of setrlimit(2), by their number on x86_64.
pub const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

fn rlimit_name(resource: u8) -> &'static str {
    RLIMITS.get(resource as usize).copied().unwrap_or("RLIMIT_?")
}
