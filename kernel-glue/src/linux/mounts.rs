//! Mounts, devices, links, masks: everything that is put into the new root.
//!
//! A mount is made detached, gets its attributes there and is then put on a descriptor. What comes from the host
//! (bind sources, device nodes, views of control groups) was cloned by the server before the container's process
//! was made ([`super::sources`]); here it only has to be attached.

use super::fault::{Context, Fault, Outcome};
use super::path::{Missing, Place, Root, kind, kind_of, set_owner};
use super::sources::Source;
use super::sys::{MountAttributes, Recursive, mount_setattr};
use crate::plan::{Device, DeviceKind, Mount, MountFlags, MountSource, Propagation, Reach};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno as Raw;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

/// Bits that choose how access times are kept (`MOUNT_ATTR__ATIME`): one choice, not single bits.
const ATIME: u64 = 0x70;

/// Files of procfs that may be replaced by a bind mount; anything else below `/proc` would let a container lie to
/// programs that trust procfs.
const REPLACEABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/crypto/fips_enabled",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Attributes as mount_setattr(2) has them.
fn bits(flags: MountFlags) -> u64 {
    [
        (MountFlags::RDONLY, 0x1),
        (MountFlags::NOSUID, 0x2),
        (MountFlags::NODEV, 0x4),
        (MountFlags::NOEXEC, 0x8),
        (MountFlags::NOATIME, 0x10),
        (MountFlags::STRICTATIME, 0x20),
        (MountFlags::NODIRATIME, 0x80),
        (MountFlags::NOSYMFOLLOW, 0x20_0000),
    ]
    .into_iter()
    .filter(|(flag, _)| flags.contains(*flag))
    .fold(0, |all, (_, bit)| all | bit)
}

/// What to set and clear on an existing mount.
pub(super) fn attributes(set: MountFlags, clear: MountFlags) -> MountAttributes {
    let atime = MountFlags::NOATIME | MountFlags::RELATIME | MountFlags::STRICTATIME;
    let mut a = MountAttributes { set: bits(set), clear: bits(clear) & !ATIME, propagation: 0 };
    if (set | clear).intersects(atime) {
        a.clear |= ATIME;
    }
    a
}

/// mount(2)'s number for a propagation.
pub(super) const fn propagation(p: Propagation) -> MountAttributes {
    let propagation = match p {
        Propagation::Private => 1 << 18,
        Propagation::Slave => 1 << 19,
        Propagation::Shared => 1 << 20,
        Propagation::Unbindable => 1 << 17,
    };
    MountAttributes { set: 0, clear: 0, propagation }
}

const fn recursive(reach: Reach) -> Recursive {
    match reach {
        Reach::Tree => Recursive::Yes,
        Reach::One => Recursive::No,
    }
}

/// Applies what `mount` asks for beyond its own attributes.
fn finish(mount: &Mount, tree: BorrowedFd<'_>) -> Outcome<()> {
    let what = || format!("set attributes of {}", mount.destination);
    let below = attributes(mount.tree_flags, mount.tree_clear);
    if !below.is_empty() {
        mount_setattr(tree, Recursive::Yes, below).context(what)?;
    }
    for (kind, reach) in &mount.propagation {
        mount_setattr(tree, recursive(*reach), propagation(*kind)).context(what)?;
    }
    Ok(())
}

/// Clones the mount that holds the file behind `source`, detached, with all attributes set.
pub(super) fn clone_bind(
    mount: &Mount,
    source: BorrowedFd<'_>,
    reach: Reach,
    from: Propagation,
) -> Outcome<OwnedFd> {
    let tree = clone_tree(source, recursive(reach)).context(|| format!("bind {}", mount.destination))?;
    isolate(tree.as_fd(), from).context(|| format!("bind {}", mount.destination))?;
    let own = attributes(mount.flags, mount.clear);
    if !own.is_empty() {
        mount_setattr(tree.as_fd(), Recursive::No, own)
            .context(|| format!("set attributes of {}", mount.destination))?;
    }
    finish(mount, tree.as_fd())?;
    Ok(tree)
}

/// A clone begins as a member of its source's peer group. It gets the relation to the host that the old tree of the
/// container's namespace gets.
pub(super) fn isolate(tree: BorrowedFd<'_>, as_the_old_tree: Propagation) -> std::io::Result<()> {
    if as_the_old_tree == Propagation::Shared {
        return Ok(());
    }
    mount_setattr(tree, Recursive::Yes, propagation(as_the_old_tree))
}

/// open_tree(2) with `OPEN_TREE_CLONE` of a descriptor.
pub(super) fn clone_tree(source: BorrowedFd<'_>, recursive: Recursive) -> rustix::io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive == Recursive::Yes {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(source, "", flags)
}

/// Puts a detached mount on a descriptor.
pub(super) fn attach(mount: BorrowedFd<'_>, on: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", on, "", flags)
}

/// A new file system, detached.
fn new_file_system(kind: &str, device: &str, data: &str, flags: MountFlags) -> Outcome<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).context(|| format!("mount {kind}"))?;
    let option = |what: &str| format!("mount {kind}: option {what:?}");
    if !device.is_empty() {
        fsconfig_set_string(&context, "source", device).context(|| option(device))?;
    }
    for (flag, name) in [
        (MountFlags::SYNCHRONOUS, "sync"),
        (MountFlags::DIRSYNC, "dirsync"),
        (MountFlags::LAZYTIME, "lazytime"),
        (MountFlags::MANDLOCK, "mand"),
    ] {
        if flags.contains(flag) {
            fsconfig_set_flag(&context, name).context(|| option(name))?;
        }
    }
    for part in data.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, part),
        }
        .context(|| option(part))?;
    }
    fsconfig_create(&context).context(|| format!("mount {kind}"))?;
    let bits = MountAttrFlags::from_bits_retain(bits(flags) as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, bits).context(|| format!("mount {kind}"))
}

/// The new root while it is being filled.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Root,
    /// File systems that must be read-only in the end, but hold mount points and devices first.
    late_readonly: Vec<OwnedFd>,
    /// /dev/null, to be put on masked files.
    null: OwnedFd,
    null_is_attached: bool,
}

impl Tree {
    /// `null` is a detached clone of the verified /dev/null.
    pub(super) fn new(root: Root, null: OwnedFd) -> Self {
        Tree { root, late_readonly: Vec::new(), null, null_is_attached: false }
    }

    /// One mount. `source` is what the server has cloned for it.
    pub(super) fn mount(&mut self, mount: &Mount, source: Option<&Source>) -> Outcome<()> {
        match (&mount.source, source) {
            (MountSource::Bind { .. }, Some(Source::Bind { tree, kind })) => {
                let missing = if *kind == FileType::Directory { Missing::Directory } else { Missing::File };
                let place = self.destination(mount, missing, "bind")?;
                attach(tree.as_fd(), place.fd.as_fd()).context(|| format!("bind {}", mount.destination))
            }
            (MountSource::FileSystem { .. }, Some(Source::Groups(groups))) => {
                self.mount_groups(mount, groups)
            }
            (MountSource::FileSystem { kind, device }, None) => self.mount_new(mount, kind, device),
            _ => {
                Err(Fault::new(Errno::EINVAL, format!("mount {}: its source is missing", mount.destination)))
            }
        }
    }

    fn mount_new(&mut self, mount: &Mount, kind: &str, device: &str) -> Outcome<()> {
        let place = self.destination(mount, Missing::Directory, kind)?;
        let late = kind == "tmpfs" && mount.flags.contains(MountFlags::RDONLY);
        let flags = if late { mount.flags.difference(MountFlags::RDONLY) } else { mount.flags };
        let made = new_file_system(kind, device, &mount.data, flags)?;
        finish(mount, made.as_fd())?;
        attach(made.as_fd(), place.fd.as_fd())
            .context(|| format!("mount {kind} on {}", mount.destination))?;
        if late {
            self.late_readonly.push(made);
        }
        Ok(())
    }

    /// The container's own groups: one directory each below a tmpfs, or the one directory itself.
    fn mount_groups(&mut self, mount: &Mount, groups: &[(String, OwnedFd)]) -> Outcome<()> {
        let what = || format!("mount cgroup on {}", mount.destination);
        let place = self.destination(mount, Missing::Directory, "cgroup")?;
        if let [(name, tree)] = groups
            && name.is_empty()
        {
            return attach(tree.as_fd(), place.fd.as_fd()).context(what);
        }
        let above =
            new_file_system("tmpfs", "cgroup", "mode=755", mount.flags.difference(MountFlags::RDONLY))?;
        attach(above.as_fd(), place.fd.as_fd()).context(what)?;
        for (name, tree) in groups {
            let place = self.root.make(&format!("{}/{name}", place.path()), Missing::Directory)?;
            attach(tree.as_fd(), place.fd.as_fd()).context(what)?;
        }
        if mount.flags.contains(MountFlags::RDONLY) {
            set_readonly(above.as_fd(), Recursive::No).context(what)?;
        }
        finish(mount, above.as_fd())
    }

    /// Where a mount goes, made if missing; refused where it would take procfs away.
    fn destination(&self, mount: &Mount, missing: Missing, kind: &str) -> Outcome<Place> {
        let place = if matches!(kind, "proc" | "sysfs") {
            self.root.make_without_links(&mount.destination, missing)
        } else {
            self.root.make(&mount.destination, missing)
        }?;
        let path = place.path();
        let refuse = |errno, why: &str| Err(Fault::new(errno, format!("mount {kind} on {path}: {why}")));
        if place.names.is_empty() {
            return refuse(Errno::EBUSY, "it is the root itself; choose a directory below");
        }
        if path == "/proc" && kind != "proc" && kind != "bind" {
            return refuse(Errno::EPERM, "only procfs may be there");
        }
        if path == "/proc" && kind == "bind" && !mount_source_is_proc(mount) {
            return refuse(Errno::EPERM, "only procfs may be there");
        }
        if path.starts_with("/proc/") && !REPLACEABLE.contains(&path.as_str()) {
            return refuse(
                Errno::EPERM,
                "nothing may be mounted inside procfs but the few files of statistics",
            );
        }
        Ok(place)
    }

    /// One device node; in a user namespace, where none can be made, the host's own is bound there.
    pub(super) fn device(&mut self, device: &Device, source: Option<&Source>) -> Outcome<()> {
        let what = || format!("device {}", device.path);
        if let Some(Source::Device(tree)) = source {
            let place = self.root.make(&device.path, Missing::File)?;
            return attach(tree.as_fd(), place.fd.as_fd()).context(what);
        }
        let (directory, name) = self.root.parent(&device.path)?;
        let (kind, number) = node(device);
        match rustix::fs::mknodat(
            &directory,
            name.as_str(),
            kind,
            Mode::from_raw_mode(device.mode & 0o7777),
            number,
        ) {
            Ok(()) | Err(Raw::EXIST) => {}
            Err(e) => return Err(e).context(what),
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&directory, name.as_str(), flags, Mode::empty()).context(what)?;
        verify_device(made.as_fd(), device)?;
        set_owner(made.as_fd(), device.uid, device.gid).context(what)
    }

    /// The process's terminal on `/dev/console` as well.
    pub(super) fn console(&self, terminal: BorrowedFd<'_>) -> Outcome<()> {
        let what = || "terminal: bind /dev/console".into();
        let place = self.root.make_without_links("/dev/console", Missing::File)?;
        let bound = clone_tree(terminal, Recursive::No).context(what)?;
        attach(bound.as_fd(), place.fd.as_fd()).context(what)
    }

    /// A symbolic link, unless something is there.
    pub(super) fn link(&self, path: &str, target: &str) -> Outcome<()> {
        let (directory, name) = self.root.parent(path)?;
        match rustix::fs::symlinkat(target, &directory, name.as_str()) {
            Ok(()) | Err(Raw::EXIST) => Ok(()),
            Err(e) => Err(e).context(|| format!("link {path}")),
        }
    }

    /// Hides what is at `path`.
    pub(super) fn mask(&mut self, path: &str) -> Outcome<()> {
        let what = || format!("mask {path}");
        let Some(found) = self.find(path)? else { return Ok(()) };
        if kind_of(found.as_fd()).context(what)? == FileType::Directory {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            let empty = new_file_system("tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1", flags)?;
            return attach(empty.as_fd(), found.as_fd()).context(what);
        }
        if self.null_is_attached {
            let again = clone_tree(self.null.as_fd(), Recursive::No).context(what)?;
            return attach(again.as_fd(), found.as_fd()).context(what);
        }
        attach(self.null.as_fd(), found.as_fd()).context(what)?;
        self.null_is_attached = true;
        Ok(())
    }

    /// Makes `path` and what is below read-only.
    pub(super) fn read_only(&self, path: &str) -> Outcome<()> {
        let what = || format!("make {path} read-only");
        let Some(found) = self.find(path)? else { return Ok(()) };
        let tree = clone_tree(found.as_fd(), Recursive::Yes).context(what)?;
        set_readonly(tree.as_fd(), Recursive::Yes).context(what)?;
        attach(tree.as_fd(), found.as_fd()).context(what)
    }

    fn find(&self, path: &str) -> Outcome<Option<OwnedFd>> {
        match self.root.open(path, OFlags::PATH) {
            Ok(found) => Ok(Some(found)),
            Err(Raw::NOENT | Raw::NOTDIR) => Ok(None),
            Err(e) => Err(e).context(|| format!("open {path}")),
        }
    }

    /// Makes read-only what had to wait until it was filled.
    pub(super) fn seal(&mut self) -> Outcome<()> {
        self.late_readonly
            .drain(..)
            .try_for_each(|mount| set_readonly(mount.as_fd(), Recursive::No))
            .context(|| "make a tmpfs read-only".into())
    }
}

/// Sets `ro` on a mount.
pub(super) fn set_readonly(mount: BorrowedFd<'_>, recursive: Recursive) -> std::io::Result<()> {
    mount_setattr(mount, recursive, attributes(MountFlags::RDONLY, MountFlags::empty()))
}

fn mount_source_is_proc(mount: &Mount) -> bool {
    matches!(&mount.source, MountSource::Bind { path, .. } if path.trim_end_matches('/') == "/proc")
}

fn node(device: &Device) -> (FileType, u64) {
    let number = rustix::fs::makedev(device.major, device.minor);
    match device.kind {
        DeviceKind::Character => (FileType::CharacterDevice, number),
        DeviceKind::Block => (FileType::BlockDevice, number),
        DeviceKind::Fifo => (FileType::Fifo, 0),
    }
}

/// Whether the file behind a descriptor is the device that was asked for.
pub(super) fn verify_device(found: BorrowedFd<'_>, device: &Device) -> Outcome<()> {
    let stat = rustix::fs::fstat(found).context(|| format!("device {}", device.path))?;
    let (wanted, number) = node(device);
    if kind(&stat) == wanted && (wanted == FileType::Fifo || stat.st_rdev == number) {
        return Ok(());
    }
    let what =
        format!("device {}: something else is there; remove it from the root file system", device.path);
    Err(Fault::new(Errno::EEXIST, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choosing_an_access_time_replaces_the_old_choice() {
        let a = attributes(MountFlags::NOATIME, MountFlags::empty());
        assert_eq!((a.set, a.clear), (0x10, ATIME));
        let a = attributes(MountFlags::RELATIME, MountFlags::empty());
        assert_eq!((a.set, a.clear), (0, ATIME));
        let a = attributes(MountFlags::empty(), MountFlags::NOATIME | MountFlags::RDONLY);
        assert_eq!((a.set, a.clear), (0, ATIME | 1));
    }

    #[test]
    fn attributes_that_are_not_named_stay_as_they_are() {
        let a = attributes(MountFlags::NOSUID, MountFlags::empty());
        assert_eq!((a.set, a.clear), (2, 0));
    }
}
