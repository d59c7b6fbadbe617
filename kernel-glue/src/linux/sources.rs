//! What of the host goes into a container: found, checked and cloned by the server, before the container's process
//! exists.
//!
//! The server has its full authority here and its own mount namespace. The clones are detached: they appear in no
//! mount table, and vanish with their descriptors if the container fails.

use super::cgroup::{Group, Version};
use super::fault::{Context, Fault, Outcome};
use super::mounts::{clone_bind, clone_tree, isolate, verify_device};
use super::path::{kind_of, open_below};
use super::proc::{Part, Proc, host_path};
use super::sys::{MountAttributes, Recursive, mount_setattr, namespace_kind};
use crate::plan::{
    Device, DeviceKind, Mount, MountFlags, MountSource, Namespace, NamespaceSource, Propagation, Step, Within,
};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::thread::LinkNameSpaceType;

/// A clone that one step of the plan will attach.
#[derive(Debug)]
pub(super) enum Source {
    Bind { tree: OwnedFd, kind: FileType },
    Groups(Vec<(String, OwnedFd)>),
    Device(OwnedFd),
}

/// The new root: a clone of the directory, and where the directory is.
#[derive(Debug)]
pub(super) struct RootSource {
    pub(super) tree: OwnedFd,
    pub(super) directory: OwnedFd,
    pub(super) path: String,
    pub(super) propagation: Propagation,
}

/// A namespace to be joined.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) kind: Namespace,
    pub(super) fd: OwnedFd,
}

/// Everything the new process needs from outside.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) by_step: BTreeMap<usize, Source>,
    pub(super) root: Option<RootSource>,
    pub(super) joins: Vec<Join>,
    pub(super) new: Vec<Namespace>,
    /// Where the namespaces stand in the plan.
    pub(super) namespaces_step: Option<usize>,
    pub(super) null: Option<OwnedFd>,
    pub(super) sysctl: Option<Proc>,
}

impl Sources {
    /// Whether the container has a namespace of this kind that is not the server's.
    pub(super) fn has(&self, kind: Namespace) -> bool {
        self.new.contains(&kind) || self.joins.iter().any(|j| j.kind == kind)
    }

    /// All its descriptors.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all: Vec<BorrowedFd<'_>> = Vec::new();
        for source in self.by_step.values() {
            match source {
                Source::Bind { tree, .. } | Source::Device(tree) => all.push(tree.as_fd()),
                Source::Groups(groups) => all.extend(groups.iter().map(|(_, fd)| fd.as_fd())),
            }
        }
        all.extend(self.root.iter().flat_map(|root| [root.tree.as_fd(), root.directory.as_fd()]));
        all.extend(self.joins.iter().map(|join| join.fd.as_fd()));
        all.extend(self.null.iter().map(AsFd::as_fd));
        all.extend(self.sysctl.iter().map(AsFd::as_fd));
        all
    }

    /// Takes in what `step` needs.
    pub(super) fn add(
        &mut self,
        index: usize,
        step: &Step,
        bundle: BorrowedFd<'_>,
        proc: &Proc,
        group: Option<&Group>,
    ) -> Outcome<()> {
        let old_tree = self.root.as_ref().map_or(Propagation::Slave, |root| root.propagation);
        match step {
            Step::Namespaces(list) => {
                self.namespaces_step = Some(index);
                list.iter().try_for_each(|(kind, source)| self.add_namespace(*kind, source))
            }
            Step::Root { path, propagation } => self.add_root(path, *propagation, bundle, proc),
            Step::Mount(mount) => {
                let source = match &mount.source {
                    MountSource::Bind { .. } => Some(bind(mount, bundle, old_tree)?),
                    MountSource::FileSystem { kind, .. } if kind == "cgroup" => {
                        Some(Source::Groups(groups(mount, group)?))
                    }
                    MountSource::FileSystem { .. } => None,
                };
                self.by_step.extend(source.map(|source| (index, source)));
                Ok(())
            }
            Step::Device(d) if self.has(Namespace::User) && d.kind != DeviceKind::Fifo => {
                self.by_step.insert(index, Source::Device(host_device(d)?));
                Ok(())
            }
            Step::Mask(_) if self.null.is_none() => {
                self.null = Some(null_for_masks()?);
                Ok(())
            }
            Step::Sysctl { name, .. } => self.add_sysctl(name),
            _ => Ok(()),
        }
    }

    fn add_namespace(&mut self, kind: Namespace, source: &NamespaceSource) -> Outcome<()> {
        let NamespaceSource::Path(path) = source else {
            self.new.push(kind);
            return Ok(());
        };
        let what = || format!("join the {} namespace {path}", kind.as_str());
        if kind == Namespace::Mount {
            let what = format!("{}: this backend always makes a new one; leave its path out", what());
            return Err(Fault::new(Errno::EOPNOTSUPP, what));
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(CWD, path.as_str(), flags, Mode::empty()).context(what)?;
        match namespace_kind(fd.as_fd()) {
            Ok(found) if found == kind.clone_flag() => {}
            Ok(_) => return Err(Fault::new(Errno::EINVAL, format!("{}: it is one of another kind", what()))),
            Err(_) => return Err(Fault::new(Errno::EINVAL, format!("{}: it is no namespace", what()))),
        }
        self.joins.push(Join { kind, fd });
        Ok(())
    }

    fn add_root(
        &mut self,
        path: &str,
        propagation: Propagation,
        bundle: BorrowedFd<'_>,
        proc: &Proc,
    ) -> Outcome<()> {
        if !self.has(Namespace::Mount) {
            let what = format!("root {path}: a container needs a mount namespace of its own");
            return Err(Fault::new(Errno::EINVAL, what));
        }
        let what = || format!("root {path}");
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = if path.starts_with('/') {
            rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
        } else {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            open_below(bundle, path, flags, Mode::empty(), resolve)
        }
        .context(what)?;
        let tree = clone_tree(directory.as_fd(), Recursive::Yes).context(what)?;
        isolate(tree.as_fd(), propagation).context(what)?;
        let path = host_path(proc, directory.as_fd())?;
        self.root = Some(RootSource { tree, directory, path, propagation });
        Ok(())
    }

    /// Only what belongs to a namespace of the container may be set; the rest is the host's.
    fn add_sysctl(&mut self, name: &str) -> Outcome<()> {
        let kind = if name.starts_with("net.") { Namespace::Network } else { Namespace::Ipc };
        if !self.has(kind) {
            let what = format!("sysctl {name}: the container has no {} namespace of its own", kind.as_str());
            return Err(Fault::new(Errno::EPERM, what));
        }
        if self.sysctl.is_none() {
            self.sysctl = Some(Proc::new(Part::Whole)?);
        }
        Ok(())
    }
}

fn bind(mount: &Mount, bundle: BorrowedFd<'_>, old_tree: Propagation) -> Outcome<Source> {
    let MountSource::Bind { path, reach, within } = &mount.source else {
        return Err(Fault::new(Errno::EINVAL, "not a bind mount"));
    };
    let what = || format!("bind {path} on {}", mount.destination);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let below = |directory: BorrowedFd<'_>| {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        open_below(directory, path, flags, Mode::empty(), resolve)
    };
    let source = match within {
        Within::Host => rustix::fs::openat(bundle, path.as_str(), flags, Mode::empty()),
        Within::Bundle => below(bundle),
        Within::Directory(directory) => {
            rustix::fs::openat(CWD, directory.as_str(), flags | OFlags::DIRECTORY, Mode::empty())
                .and_then(|directory| below(directory.as_fd()))
        }
    }
    .context(what)?;
    let kind = kind_of(source.as_fd()).context(what)?;
    Ok(Source::Bind { tree: clone_bind(mount, source.as_fd(), *reach, old_tree)?, kind })
}

/// The container's groups as mounts. Where only one hierarchy of version 2 is in use its name is empty: it is
/// mounted itself.
fn groups(mount: &Mount, group: Option<&Group>) -> Outcome<Vec<(String, OwnedFd)>> {
    let Some(group) = group else {
        let what = format!("mount cgroup on {}: the container has no resource group", mount.destination);
        return Err(Fault::new(Errno::ENODEV, what));
    };
    let views: Vec<_> = group.views().collect();
    let alone = matches!(views.as_slice(), [(_, Version::Two, _)]);
    let clone = |(name, _, fd): &(&str, Version, BorrowedFd<'_>)| {
        let bare = Mount { propagation: Vec::new(), ..mount.clone() };
        let tree = clone_bind(&bare, *fd, crate::plan::Reach::One, Propagation::Private)?;
        Ok((if alone { String::new() } else { name.to_string() }, tree))
    };
    views.iter().map(clone).collect()
}

/// The host's node of a device, checked and cloned.
fn host_device(device: &Device) -> Outcome<OwnedFd> {
    let what = || format!("device {}: the host's own, as a user namespace cannot make any", device.path);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(CWD, device.path.as_str(), flags, Mode::empty()).context(what)?;
    verify_device(found.as_fd(), device)?;
    let tree = clone_tree(found.as_fd(), Recursive::No).context(what)?;
    isolate(tree.as_fd(), Propagation::Private).context(what)?;
    Ok(tree)
}

/// The host's /dev/null, checked.
pub(super) fn open_null() -> Outcome<OwnedFd> {
    let null = Device {
        path: "/dev/null".to_string(),
        kind: DeviceKind::Character,
        major: 1,
        minor: 3,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let found =
        rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty()).context(|| "open /dev/null".into())?;
    verify_device(found.as_fd(), &null)?;
    Ok(found)
}

fn null_for_masks() -> Outcome<OwnedFd> {
    let what = || "prepare /dev/null for masked paths".to_string();
    let tree = clone_tree(open_null()?.as_fd(), Recursive::No).context(what)?;
    isolate(tree.as_fd(), Propagation::Private).context(what)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
    let attributes: MountAttributes = super::mounts::attributes(flags, MountFlags::empty());
    mount_setattr(tree.as_fd(), Recursive::No, attributes).context(what)?;
    Ok(tree)
}

/// rustix' word for a kind.
pub(super) const fn link_kind(kind: Namespace) -> LinkNameSpaceType {
    match kind {
        Namespace::User => LinkNameSpaceType::User,
        Namespace::Mount => LinkNameSpaceType::Mount,
        Namespace::Pid => LinkNameSpaceType::ProcessID,
        Namespace::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        Namespace::Ipc => LinkNameSpaceType::InterProcessCommunication,
        Namespace::Network => LinkNameSpaceType::Network,
        Namespace::Cgroup => LinkNameSpaceType::ControlGroup,
        Namespace::Time => LinkNameSpaceType::Time,
    }
}
