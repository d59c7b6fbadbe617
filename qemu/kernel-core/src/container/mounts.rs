//! What is put into the new root: mounts, devices, links, masks.

use super::fault::Fault;
use super::place::{self, Links, Missing, Place};
use super::{BundleWrites, ContainerId};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::vfs::{
    Caller, Env, From, FsKind, Last, Location, NewFileSystem, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, Special, Vfs,
};
use bailiwick_kernel_glue::plan::{Device, DeviceKind, Mount, MountFlags, MountSource, Reach, Within};
use bailiwick_protocol::error::Errno;

/// Files of proc that may be covered by a bind mount; covering anything else below `/proc` would let a container lie
/// to programs that trust proc.
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

/// Attributes of which a mount has one.
const ACCESS_TIMES: MountFlags =
    MountFlags::NOATIME.union(MountFlags::RELATIME).union(MountFlags::STRICTATIME);

/// What is to be mounted, found.
enum Source<'m> {
    New(FsKind, &'m str),
    Bind(Location, Reach),
}

/// Whether a mount may stand there.
///
/// # Errors
/// `EBUSY` on the root itself; `EPERM` where it would take proc away.
fn may_stand(
    source: &Source<'_>,
    place: &Place,
    source_is_proc: impl Fn(Location) -> bool,
) -> Result<(), Fault> {
    if place.path == b"/" {
        return Err(Fault::new(Errno::EBUSY, "it is the root itself; choose a directory below"));
    }
    let inside = place.path.starts_with(b"/proc/");
    if inside && !REPLACEABLE.iter().any(|path| path.as_bytes() == place.path) {
        return Err(Fault::new(
            Errno::EPERM,
            "nothing may cover what is in proc but a few files of statistics",
        ));
    }
    let shows_proc = match source {
        Source::New(kind, _) => *kind == FsKind::Proc,
        Source::Bind(at, _) => source_is_proc(*at),
    };
    if place.path == b"/proc" && !shows_proc {
        return Err(Fault::new(Errno::EPERM, "only proc may be there"));
    }
    Ok(())
}

/// Sets and clears attributes; of the ways to keep access times the new one replaces the old.
fn attributes(
    vfs: &mut Vfs,
    by: &Caller<'_>,
    at: Location,
    reach: Reach,
    set: MountFlags,
    clear: MountFlags,
) -> Result<(), Errno> {
    if (set | clear).is_empty() {
        return Ok(());
    }
    let times = if set.intersects(ACCESS_TIMES) { ACCESS_TIMES - set } else { MountFlags::empty() };
    vfs.set_attributes(by, at, reach, set, clear | times)
}

impl<H: Hw> Kernel<H> {
    /// One mount below the new root.
    ///
    /// # Errors
    /// `ENODEV` for an unknown type, `ENOENT` for a missing source, `EINVAL` for options; as [`may_stand`] and
    /// [`place::make`]; `ENOTDIR` for a link on the way to proc or sysfs, or a directory on a file; `ENOSPC`.
    pub(super) fn make_mount(&mut self, id: ContainerId, mount: &Mount) -> Result<(), Fault> {
        let c = self.containers.made(id)?;
        let (root, group, host) = (c.root()?, c.group()?, c.host);
        let of_bundle = match &mount.source {
            MountSource::Bind { within: Within::Bundle, .. } => true,
            // Where it begins there it is taken to be of it, wherever it leads.
            MountSource::Bind { within: Within::Host, path, .. } => !path.starts_with('/'),
            MountSource::Bind { within: Within::Directory(_), .. } | MountSource::FileSystem { .. } => false,
        };
        let sealed = of_bundle && self.containers.bundle_writes(id)? == BundleWrites::Refused;
        let late = self.inside(id, |vfs, env, by| {
            let source = match &mount.source {
                MountSource::FileSystem { kind, device } => Source::New(Vfs::file_system_type(kind)?, device),
                MountSource::Bind { path, reach, within } => {
                    Source::Bind(place::source(vfs, env, by, host, within, path)?, *reach)
                }
            };
            let place = destination(vfs, env, by, root, mount, &source)?;
            let is_proc =
                |at: Location| vfs.fs_kind(at) == Ok(FsKind::Proc) && vfs.mount_root(at.mount) == Ok(at);
            may_stand(&source, &place, is_proc)?;
            let (made, late) = match source {
                Source::Bind(source, reach) => {
                    let made = vfs.bind(env, by, source, place.at, reach)?;
                    attributes(vfs, by, made, Reach::One, mount.flags, mount.clear)?;
                    (made, false)
                }
                Source::New(kind, device) => {
                    let late = kind == FsKind::Tmpfs && mount.flags.contains(MountFlags::RDONLY);
                    let flags = if late { mount.flags - MountFlags::RDONLY } else { mount.flags };
                    let new =
                        NewFileSystem { kind, source: device, flags, data: &mount.data, group: Some(group) };
                    (vfs.mount_new(env, by, new, place.at)?, late)
                }
            };
            attributes(vfs, by, made, Reach::Tree, mount.tree_flags, mount.tree_clear)?;
            for (to, reach) in &mount.propagation {
                vfs.change_propagation(by, made, *to, *reach)?;
            }
            if sealed {
                vfs.seal_read_only(made)?;
            }
            Ok::<_, Fault>(late.then_some(made))
        })?;
        if let Some(at) = late {
            // Kept until the devices are in it.
            self.vfs.hold(at);
            self.containers.made_mut(id)?.late_read_only.push(at);
        }
        Ok(())
    }

    /// One device node or named pipe. What is there already must be exactly that; owner and mode are set.
    ///
    /// # Errors
    /// `EEXIST` if something else is there, `EINVAL` for an owner the container does not know, those of mknod(2).
    pub(super) fn make_device(&mut self, id: ContainerId, device: &Device) -> Result<(), Errno> {
        let root = self.containers.made(id)?.root()?;
        let what = match device.kind {
            DeviceKind::Character => Special::Character(device.major, device.minor),
            DeviceKind::Block => Special::Block(device.major, device.minor),
            DeviceKind::Fifo => Special::Fifo,
        };
        self.inside(id, |vfs, env, by| {
            let user = vfs.namespaces.user(by.namespaces.user).ok_or(Errno::EINVAL)?;
            let owner = user.map_into(device.uid).ok_or(Errno::EINVAL)?;
            let group = user.map_group_into(device.gid).ok_or(Errno::EINVAL)?;
            let (directory, name) = place::parent(vfs, env, by, root, &device.path)?;
            let at = match vfs.mknod(env, by, From::dir(directory), name, device.mode, what) {
                Err(Errno::EEXIST) => existing(vfs, env, by, directory, name, device)?,
                made => made?,
            };
            vfs.chown(env, by, at, Some(owner), Some(group))?;
            vfs.chmod(env, by, at, device.mode)
        })
    }

    /// A symbolic link, unless something is there.
    ///
    /// # Errors
    /// Those of symlink(2).
    pub(super) fn make_link(&mut self, id: ContainerId, path: &str, target: &str) -> Result<(), Errno> {
        let root = self.containers.made(id)?.root()?;
        self.inside(id, |vfs, env, by| {
            let (directory, name) = place::parent(vfs, env, by, root, path)?;
            match vfs.symlink(env, by, target.as_bytes(), From::dir(directory), name) {
                Ok(_) | Err(Errno::EEXIST) => Ok(()),
                Err(errno) => Err(errno),
            }
        })
    }

    /// What is at a path inside the new root, if anything is.
    fn if_there(&mut self, id: ContainerId, path: &str) -> Result<Option<Location>, Errno> {
        let root = self.containers.made(id)?.root()?;
        let found = self.inside(id, |vfs, env, by| {
            place::make(vfs, env, by, root, path, Missing::Nothing, Links::Follow)
        });
        match found {
            Ok(place) => Ok(Some(place.at)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Hides what is at a path.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`; `EBUSY` for the root itself.
    pub(super) fn mask(&mut self, id: ContainerId, path: &str) -> Result<(), Errno> {
        let root = self.containers.made(id)?.root()?;
        match self.if_there(id, path)? {
            None => Ok(()),
            Some(at) if at == root => Err(Errno::EBUSY),
            Some(at) => self.inside(id, |vfs, env, by| vfs.mask(env, by, at).map(|_| ())),
        }
    }

    /// Makes a path and what is mounted below it read-only.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`; `EINVAL` for a mount that cannot be bound.
    pub(super) fn make_read_only(&mut self, id: ContainerId, path: &str) -> Result<(), Errno> {
        let Some(at) = self.if_there(id, path)? else { return Ok(()) };
        self.inside(id, |vfs, env, by| {
            let bound = vfs.bind(env, by, at, at, Reach::Tree)?;
            vfs.set_attributes(by, bound, Reach::Tree, MountFlags::RDONLY, MountFlags::empty())
        })
    }
}

/// Where a mount goes, made if it is missing.
fn destination(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    root: Location,
    mount: &Mount,
    source: &Source<'_>,
) -> Result<Place, Fault> {
    let (missing, links) = match source {
        Source::New(FsKind::Proc | FsKind::Sysfs, _) => (Missing::Directory, Links::Refuse),
        Source::New(..) => (Missing::Directory, Links::Follow),
        Source::Bind(at, _) if vfs.is_directory(at.node) => (Missing::Directory, Links::Follow),
        Source::Bind(..) => (Missing::File, Links::Follow),
    };
    place::make(vfs, env, by, root, &mount.destination, missing, links).map_err(|errno| match errno {
        Errno::EXDEV => Fault::new(errno, "it leads out of the root file system"),
        Errno::ENOTDIR if links == Links::Refuse => {
            Fault::new(errno, "an ordinary directory must be there, without symbolic links on the way")
        }
        other => other.into(),
    })
}

/// The node that is in the device's place already.
fn existing(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    directory: Location,
    name: &[u8],
    device: &Device,
) -> Result<Location, Errno> {
    let at = vfs.lookup(env, by, From::dir(directory), name, Last::NoFollow)?;
    let stat = vfs.stat(env, at)?;
    let (kind, numbers) = match device.kind {
        DeviceKind::Character => (S_IFCHR, (device.major, device.minor)),
        DeviceKind::Block => (S_IFBLK, (device.major, device.minor)),
        DeviceKind::Fifo => (S_IFIFO, (0, 0)),
    };
    if stat.mode & S_IFMT == kind && stat.represents == numbers { Ok(at) } else { Err(Errno::EEXIST) }
}
