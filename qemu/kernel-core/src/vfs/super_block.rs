//! Making file systems: the first ones, and those that mount(2) asks for.

use super::data::Quota;
use super::mount::normal;
use super::tree::Entry;
use super::tree::{FsKind, Kind, Owner, Super};
use super::{EntryId, Env, Frames, Location, Made, MountId, NewFileSystem, Node, SuperId, Vfs};
use crate::account::price_of;
use crate::arena::Arena;
use crate::cred::{Gid, Uid};
use crate::hw::PAGE;
use crate::ns::{Body, NamespaceId, NamespaceSet, Namespaces};
use alloc::boxed::Box;
use alloc::string::String;
use bailiwick_kernel_glue::plan::MountFlags;
use bailiwick_protocol::error::Errno;
use core::fmt::Write;

/// Inodes of a tmpfs without `nr_inodes`.
const TMPFS_INODES: u64 = 4096;
/// Inodes of the boot image, its own files included.
const IMAGE_INODES: u64 = 16_384;
/// The device by which a pseudo-terminal is asked for (pts(4)).
pub const PTMX: (u32, u32) = (5, 2);
/// Most inodes that `nr_inodes` can ask for.
const INODES_MAX: u64 = 16_384;

/// Options of tmpfs(5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TmpfsOptions {
    /// Most pages; none is unlimited (the resource group still pays for each).
    pub pages: Option<u64>,
    /// Most inodes.
    pub inodes: u64,
    /// Mode of the root directory.
    pub mode: u32,
    /// Owner of the root directory, by its id inside the mounting user namespace.
    pub uid: u32,
    /// Group of the root directory, likewise.
    pub gid: u32,
}

impl TmpfsOptions {
    /// Parses "size=64k,mode=755": sizes in bytes or with `k`, `m`, `g`, or in percent of `total_pages`.
    ///
    /// # Errors
    /// `EINVAL` for an option that tmpfs does not know or a value that is none.
    pub fn parse(data: &str, total_pages: u64) -> Result<Self, Errno> {
        let mut options =
            TmpfsOptions { pages: Some(total_pages / 2), inodes: TMPFS_INODES, mode: 0o1777, uid: 0, gid: 0 };
        for option in data.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => {
                    let bytes = size(value, total_pages)?;
                    options.pages = if bytes == 0 { None } else { Some(bytes.div_ceil(PAGE as u64)) };
                }
                "nr_blocks" => options.pages = Some(size(value, total_pages)?).filter(|pages| *pages > 0),
                "nr_inodes" => {
                    let count = size(value, total_pages)?;
                    options.inodes = if count == 0 { INODES_MAX } else { count.min(INODES_MAX) };
                }
                "mode" => options.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777,
                "uid" => options.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => options.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                "huge" | "mpol" | "noswap" | "inode32" | "inode64" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

fn size(text: &str, total_pages: u64) -> Result<u64, Errno> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
        return Ok(total_pages.saturating_mul(PAGE as u64).saturating_mul(percent.min(100)) / 100);
    }
    let shift = match text.as_bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { text.get(..text.len() - 1).unwrap_or("") };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or(Errno::EINVAL)
}

impl Vfs {
    /// The kernel's file systems at start: an empty root that cannot be left, and on it an empty directory tree
    /// for the boot image ([`Vfs::load_image`]). Returns the first set of namespaces, held for the first process.
    ///
    /// # Errors
    /// `ENOMEM` if the machine is too small.
    pub fn new(env: &mut Env<'_>, host: &str) -> Result<(Vfs, NamespaceSet), Errno> {
        let (namespaces, set) = Namespaces::new(host);
        let mut vfs = Vfs {
            namespaces,
            supers: Arena::new(),
            entries: Arena::new(),
            inodes: Arena::new(),
            mounts: Arena::new(),
            files: Arena::new(),
            next_mount: 1,
            next_device: 1,
            next_group: 0,
            nsfs: MountId(u32::MAX),
            anonymous: MountId(u32::MAX),
            proc_writes: alloc::collections::VecDeque::new(),
        };
        let user = set.user;
        let nsfs = vfs.new_super(env.frames, FsKind::Nsfs, user)?;
        vfs.super_mut(nsfs)?.root = Node::Made(nsfs, Made::Namespace(user));
        vfs.namespaces.hold(user);
        vfs.nsfs = vfs.new_mount(
            env.frames,
            nsfs,
            Node::Made(nsfs, Made::Namespace(user)),
            MountFlags::empty(),
            "nsfs",
        )?;
        let anonymous = vfs.new_stored_super(env, FsKind::Tmpfs, user, root_owner(0o1777))?;
        // Who has them pays for each; there is no bound for all together.
        vfs.super_mut(anonymous)?.inodes.max = None;
        vfs.anonymous = vfs.mount_super(env.frames, anonymous, MountFlags::NOEXEC, "shmem")?;

        let bottom = vfs.new_stored_super(env, FsKind::Rootfs, user, root_owner(0o755))?;
        let bottom = vfs.mount_super(env.frames, bottom, MountFlags::empty(), "rootfs")?;
        let image = vfs.new_stored_super(env, FsKind::Image, user, root_owner(0o755))?;
        vfs.super_mut(image)?.inodes.max = Some(IMAGE_INODES);
        let image = vfs.mount_super(env.frames, image, MountFlags::empty(), "image")?;
        let bottom_root = vfs.mount_root(bottom)?;
        vfs.attach_mount(image, bottom_root)?;
        vfs.adopt(bottom, set.mount)?;
        if let Some(Body::Mount { root }) = vfs.namespaces.body_mut(set.mount) {
            *root = Some(bottom);
        }
        Ok((vfs, set))
    }

    fn new_super(
        &mut self,
        frames: &dyn Frames,
        kind: FsKind,
        user_namespace: NamespaceId,
    ) -> Result<SuperId, Errno> {
        let charged = frames.charge(price_of::<Super>())?;
        let device = self.next_device;
        self.next_device = self.next_device.wrapping_add(1);
        Ok(SuperId(self.supers.insert(Super {
            kind,
            device,
            mounts: 0,
            read_only: false,
            pages: Quota { used: 0, max: None },
            inodes: Quota { used: 0, max: Some(TMPFS_INODES) },
            root: Node::Stored(EntryId(u32::MAX)),
            next_inode: 2,
            options: String::new(),
            pid_namespace: None,
            user_namespace,
            made: frames.time(),
            _charged: charged,
        })))
    }

    fn new_stored_super(
        &mut self,
        env: &mut Env<'_>,
        kind: FsKind,
        user_namespace: NamespaceId,
        owner: Owner,
    ) -> Result<SuperId, Errno> {
        let now = env.frames.time();
        let charged = env.frames.charge(Entry::price(b"/"))?;
        let id = self.new_super(env.frames, kind, user_namespace)?;
        let root = self
            .new_inode(env.frames, id, owner, Kind::Directory(Box::default()))
            .and_then(|inode| self.new_entry(None, b"/", inode, now, charged));
        match root {
            Ok(root) => {
                self.super_mut(id)?.root = Node::Stored(root);
                Ok(id)
            }
            Err(errno) => {
                self.supers.remove(id.0);
                Err(errno)
            }
        }
    }

    fn mount_super(
        &mut self,
        frames: &dyn Frames,
        id: SuperId,
        flags: MountFlags,
        source: &str,
    ) -> Result<MountId, Errno> {
        let root = self.super_of(id)?.root;
        self.new_mount(frames, id, root, normal(flags), source)
    }

    /// Makes a file system and a mount of it, attached nowhere. Who asks is in the namespaces `set`.
    ///
    /// # Errors
    /// `EINVAL` for options the type does not know, `ENOSPC` and `ENOMEM` at bounds.
    pub(crate) fn make_file_system(
        &mut self,
        env: &mut Env<'_>,
        set: &NamespaceSet,
        new: NewFileSystem<'_>,
    ) -> Result<MountId, Errno> {
        let NewFileSystem { kind, source, flags, data, group } = new;
        check_options(kind, data)?;
        let total = env.processes.machine().total_frames;
        let user = set.user;
        let id = match kind {
            FsKind::Tmpfs => {
                let options = TmpfsOptions::parse(data, if total == 0 { 1 << 20 } else { total })?;
                self.new_tmpfs(env, options, user)?
            }
            FsKind::Mqueue => self.new_stored_super(env, kind, user, self.inside_root(user, 0o1777))?,
            FsKind::Devpts => self.new_devpts(env, user, data)?,
            FsKind::Proc | FsKind::Sysfs | FsKind::Cgroup | FsKind::Cgroup2 => {
                let id = self.new_super(env.frames, kind, user)?;
                let group = match (group, self.namespaces.body(set.cgroup)) {
                    (Some(group), _) => group,
                    (None, Some(Body::Cgroup { root })) => *root,
                    _ => crate::memory::GroupId::ROOT,
                };
                let root = Made::root(kind, group).ok_or(Errno::ENODEV)?;
                let fs = self.super_mut(id)?;
                fs.root = Node::Made(id, root);
                fs.read_only = kind != FsKind::Proc;
                if kind == FsKind::Cgroup {
                    fs.options = made_options(data);
                }
                if kind == FsKind::Proc {
                    fs.pid_namespace = Some(set.pid);
                    self.namespaces.hold(set.pid);
                }
                id
            }
            FsKind::Rootfs | FsKind::Image | FsKind::Nsfs => return Err(Errno::ENODEV),
        };
        if flags.contains(MountFlags::RDONLY) {
            self.super_mut(id)?.read_only = true;
        }
        self.mount_super(env.frames, id, flags, source).inspect_err(|_| self.end_super(env.frames, id))
    }

    fn inside_root(&self, user: NamespaceId, mode: u32) -> Owner {
        let uid = self.namespaces.user(user).and_then(|u| u.map_into(0)).unwrap_or(Uid::ROOT);
        let gid = self.namespaces.user(user).and_then(|u| u.map_group_into(0)).unwrap_or(Gid::ROOT);
        Owner { uid, gid, mode }
    }

    /// Pseudo-terminals: the file by which one is asked for, and none that would be given.
    fn new_devpts(&mut self, env: &mut Env<'_>, user: NamespaceId, data: &str) -> Result<SuperId, Errno> {
        let id = self.new_stored_super(env, FsKind::Devpts, user, self.inside_root(user, 0o755))?;
        let Node::Stored(root) = self.super_of(id)?.root else { return Err(Errno::EINVAL) };
        let mode = data.split(',').filter_map(|option| option.strip_prefix("ptmxmode=")).next_back();
        let mode = mode.map_or(Ok(0), |mode| u32::from_str_radix(mode, 8)).map_err(|_| Errno::EINVAL)?;
        let owner = self.inside_root(user, mode & 0o777);
        let (major, minor) = PTMX;
        let made = env.frames.charge(Entry::price(b"ptmx")).and_then(|charged| {
            let inode = self.new_inode(env.frames, id, owner, Kind::Character { major, minor })?;
            self.new_entry(Some(root), b"ptmx", inode, env.frames.time(), charged)
        });
        match made {
            Ok(_) => Ok(id),
            Err(errno) => {
                self.end_super(env.frames, id);
                Err(errno)
            }
        }
    }

    fn new_tmpfs(
        &mut self,
        env: &mut Env<'_>,
        options: TmpfsOptions,
        user: NamespaceId,
    ) -> Result<SuperId, Errno> {
        let ids = self.namespaces.user(user).ok_or(Errno::EINVAL)?;
        let uid = ids.map_into(options.uid).ok_or(Errno::EINVAL)?;
        let gid = ids.map_group_into(options.gid).ok_or(Errno::EINVAL)?;
        let id = self.new_stored_super(env, FsKind::Tmpfs, user, Owner { uid, gid, mode: options.mode })?;
        let fs = self.super_mut(id)?;
        fs.pages.max = options.pages;
        fs.inodes.max = Some(options.inodes);
        let mut shown = String::new();
        if let Some(pages) = options.pages {
            let _ = write!(shown, ",size={}k", pages * 4);
        }
        let _ = write!(shown, ",nr_inodes={}", options.inodes);
        if options.mode != 0o1777 {
            let _ = write!(shown, ",mode={:o}", options.mode);
        }
        for (key, value) in [("uid", options.uid), ("gid", options.gid)] {
            if value != 0 {
                let _ = write!(shown, ",{key}={value}");
            }
        }
        fs.options = shown;
        Ok(id)
    }

    /// How many file systems, entries, inodes, mounts and open files there are, and how often places are counted.
    pub fn counts(&self) -> [usize; 6] {
        let held = self.mounts.iter().map(|(_, mount)| mount.users as usize).sum();
        [self.supers.len(), self.entries.len(), self.inodes.len(), self.mounts.len(), self.files.len(), held]
    }

    /// A file without a name (memfd_create(2), shared anonymous memory): the root of nothing, gone with its last
    /// holder.
    pub(crate) fn nameless(
        &mut self,
        env: &mut Env<'_>,
        owner: Owner,
        kind: Kind,
    ) -> Result<Location, Errno> {
        let file_system = self.mount_of(self.anonymous)?.file_system;
        let now = env.frames.time();
        let charged = env.frames.charge(Entry::price(b""))?;
        let inode = self.new_inode(env.frames, file_system, owner, kind)?;
        let entry = self.new_entry(None, b"", inode, now, charged)?;
        Ok(Location { mount: self.anonymous, node: Node::Stored(entry) })
    }
}

/// Refuses options that the type does not know: none is skipped in silence. tmpfs parses its own; a cgroup file
/// system of version 1 names controllers.
///
/// # Errors
/// `EINVAL`
pub(super) fn check_options(kind: FsKind, data: &str) -> Result<(), Errno> {
    let known = |option: &str| match kind {
        // There is one instance for each mount, and no pseudo-terminal whose owner or mode could be set.
        FsKind::Devpts => {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            matches!(key, "newinstance")
                || matches!(key, "ptmxmode" | "mode") && u32::from_str_radix(value, 8).is_ok()
                || matches!(key, "gid" | "uid" | "max") && value.parse::<u32>().is_ok()
        }
        FsKind::Proc => matches!(option, "hidepid=0" | "hidepid=off"),
        FsKind::Cgroup2 => matches!(option, "nsdelegate" | "memory_recursiveprot"),
        _ => false,
    };
    let theirs = matches!(kind, FsKind::Tmpfs | FsKind::Cgroup);
    let mut options = data.split(',').filter(|option| !option.is_empty());
    if theirs || options.all(known) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn root_owner(mode: u32) -> Owner {
    Owner { uid: Uid::ROOT, gid: Gid::ROOT, mode }
}

/// Controllers that a version 1 mount was asked for, as `mountinfo` shows them.
fn made_options(data: &str) -> String {
    data.split(',').filter(|word| !word.is_empty()).fold(String::new(), |mut shown, word| {
        shown.push(',');
        shown.push_str(word);
        shown
    })
}
