//! File systems held in memory: entries, inodes, directories. Nothing here checks permissions.

use super::data::{Data, Quota};
use super::{EntryId, Frames, InodeId, Node, SuperId, Time, Vfs};
use crate::account::{Charged, PIECE, price_of};
use crate::cred::{Gid, Uid};
use crate::ns::NamespaceId;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// A name in a directory: 1 to 255 bytes, no slash, no zero byte, not "." or "..".
pub(crate) type Name = Box<[u8]>;

/// Types of file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FsKind {
    /// The empty file system at the root of all mounts, as Linux has it: it cannot be left by `pivot_root`.
    Rootfs,
    /// The boot image.
    Image,
    /// Files in memory.
    Tmpfs,
    /// Processes.
    Proc,
    /// The machine.
    Sysfs,
    /// Resource groups, version 1 shape.
    Cgroup,
    /// Resource groups, version 2 shape.
    Cgroup2,
    /// Message queues.
    Mqueue,
    /// Terminals.
    Devpts,
    /// Namespaces; never mounted where it can be seen.
    Nsfs,
}

impl FsKind {
    /// Types that can be mounted, by name.
    pub const MOUNTABLE: [FsKind; 7] = [
        FsKind::Proc,
        FsKind::Sysfs,
        FsKind::Tmpfs,
        FsKind::Cgroup,
        FsKind::Cgroup2,
        FsKind::Mqueue,
        FsKind::Devpts,
    ];
    /// Its name in mount(2) and `mountinfo`.
    pub const fn name(self) -> &'static str {
        match self {
            FsKind::Rootfs => "rootfs",
            FsKind::Image => "ramfs",
            FsKind::Tmpfs => "tmpfs",
            FsKind::Proc => "proc",
            FsKind::Sysfs => "sysfs",
            FsKind::Cgroup => "cgroup",
            FsKind::Cgroup2 => "cgroup2",
            FsKind::Mqueue => "mqueue",
            FsKind::Devpts => "devpts",
            FsKind::Nsfs => "nsfs",
        }
    }
    /// Its number in statfs(2).
    pub const fn magic(self) -> u64 {
        match self {
            FsKind::Rootfs | FsKind::Image => 0x8584_58f6,
            FsKind::Tmpfs => 0x0102_1994,
            FsKind::Proc => 0x9fa0,
            FsKind::Sysfs => 0x6265_6572,
            FsKind::Cgroup => 0x0027_e0eb,
            FsKind::Cgroup2 => 0x6367_7270,
            FsKind::Mqueue => 0x1980_0202,
            FsKind::Devpts => 0x1cd1,
            FsKind::Nsfs => 0x6e73_6673,
        }
    }
}

/// A file system.
#[derive(Debug)]
pub(crate) struct Super {
    pub(crate) kind: FsKind,
    /// Minor number of its anonymous device (major 0).
    pub(crate) device: u32,
    /// Mounts of it.
    pub(crate) mounts: u32,
    pub(crate) read_only: bool,
    pub(crate) pages: Quota,
    pub(crate) inodes: Quota,
    pub(crate) root: Node,
    pub(crate) next_inode: u64,
    /// Options as `mountinfo` shows them, after "rw" or "ro".
    pub(crate) options: String,
    /// Whose processes a proc file system shows. Held.
    pub(crate) pid_namespace: Option<NamespaceId>,
    /// The user namespace that mounted it.
    pub(crate) user_namespace: NamespaceId,
    pub(crate) made: Time,
    pub(super) _charged: Charged,
}

/// What a stored file is.
#[derive(Debug)]
pub(crate) enum Kind {
    Regular(Data),
    /// In a block of its own: it is longer than everything else, and most files are none.
    Directory(Box<Directory>),
    Symlink(Box<[u8]>),
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
}

impl Kind {
    /// What an inode of it takes of the kernel's heap.
    fn price(&self) -> usize {
        let more = match self {
            Kind::Directory(_) => PIECE + size_of::<Directory>(),
            Kind::Symlink(target) => PIECE + target.len(),
            _ => 0,
        };
        price_of::<Inode>() + more
    }
}

/// The entries of a directory, by name and in the order they were made (so that reading can be resumed).
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Those with a short name, which is compared all at once.
    short: BTreeMap<Short, EntryId>,
    long: BTreeMap<Name, EntryId>,
    order: BTreeMap<u64, EntryId>,
    next: u64,
}

/// A name of at most 16 bytes, as a number: its bytes and then zeros, which no name has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Short(u128);

impl Short {
    fn new(name: &[u8]) -> Option<Short> {
        let mut bytes = [0; size_of::<u128>()];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Short(u128::from_le_bytes(bytes)))
    }
}

impl Directory {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
    pub(crate) fn get(&self, name: &[u8]) -> Option<EntryId> {
        match Short::new(name) {
            Some(short) => self.short.get(&short).copied(),
            None => self.long.get(name).copied(),
        }
    }
    /// Puts an entry under a name that is free; where it stands in the order.
    fn insert(&mut self, name: &[u8], id: EntryId) -> u64 {
        match Short::new(name) {
            Some(short) => self.short.insert(short, id),
            None => self.long.insert(name.into(), id),
        };
        self.next += 1;
        self.order.insert(self.next, id);
        self.next
    }
    fn remove(&mut self, name: &[u8], cookie: u64) {
        match Short::new(name) {
            Some(short) => self.short.remove(&short),
            None => self.long.remove(name),
        };
        self.order.remove(&cookie);
    }
    /// Entries with a cookie above `cookie`.
    pub(crate) fn after(&self, cookie: u64) -> impl Iterator<Item = (u64, EntryId)> {
        self.order.range(cookie.saturating_add(1)..).map(|(at, entry)| (*at, *entry))
    }
    fn all(&self) -> Vec<EntryId> {
        self.order.values().copied().collect()
    }
}

#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) file_system: SuperId,
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) links: u32,
    pub(crate) entries: u32,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    _charged: Charged,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) inode: InodeId,
    pub(crate) parent: Option<EntryId>,
    pub(crate) name: Name,
    /// Locations that count it, and entries below it.
    pub(crate) holders: u32,
    pub(crate) linked: bool,
    cookie: u64,
    charged: Charged,
}

impl Entry {
    /// What an entry of this name takes of the kernel's heap, with its places in a directory. Nodes of a B-tree may be
    /// half empty.
    pub(super) fn price(name: &[u8]) -> usize {
        let places = size_of::<Short>() + size_of::<u64>() + 2 * size_of::<EntryId>();
        price_of::<Entry>() + 2 * places + 2 * (PIECE + name.len())
    }
}

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) mode: u32,
}

impl Vfs {
    pub(crate) fn entry(&self, id: EntryId) -> Result<&Entry, Errno> {
        self.entries.get(id.0).ok_or(Errno::ESTALE)
    }
    pub(crate) fn entry_mut(&mut self, id: EntryId) -> Result<&mut Entry, Errno> {
        self.entries.get_mut(id.0).ok_or(Errno::ESTALE)
    }
    pub(crate) fn inode(&self, id: InodeId) -> Result<&Inode, Errno> {
        self.inodes.get(id.0).ok_or(Errno::ESTALE)
    }
    pub(crate) fn inode_mut(&mut self, id: InodeId) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(id.0).ok_or(Errno::ESTALE)
    }
    pub(crate) fn inode_of(&self, id: EntryId) -> Result<&Inode, Errno> {
        self.inode(self.entry(id)?.inode)
    }
    pub(crate) fn super_of(&self, id: SuperId) -> Result<&Super, Errno> {
        self.supers.get(id.0).ok_or(Errno::ESTALE)
    }
    pub(crate) fn super_mut(&mut self, id: SuperId) -> Result<&mut Super, Errno> {
        self.supers.get_mut(id.0).ok_or(Errno::ESTALE)
    }
    /// The directory behind an entry.
    pub(crate) fn directory(&self, id: EntryId) -> Result<&Directory, Errno> {
        match &self.inode_of(id)?.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }
    /// A new inode without entries, and a position for one.
    ///
    /// # Errors
    /// `ENOSPC` if the file system has no inode left, `ENOMEM` as [`Frames::charge`].
    pub(crate) fn new_inode(
        &mut self,
        frames: &dyn Frames,
        file_system: SuperId,
        owner: Owner,
        kind: Kind,
    ) -> Result<InodeId, Errno> {
        let charged = frames.charge(kind.price())?;
        self.inodes.prepare().ok_or(Errno::ENOMEM)?;
        self.prepare_entry()?;
        let now = frames.time();
        let fs = self.super_mut(file_system)?;
        if fs.inodes.max.is_some_and(|max| fs.inodes.used >= max) {
            return Err(Errno::ENOSPC);
        }
        fs.inodes.used += 1;
        let number = fs.next_inode;
        fs.next_inode += 1;
        Ok(InodeId(self.inodes.insert(Inode {
            file_system,
            number,
            kind,
            mode: owner.mode & 0o7777,
            uid: owner.uid,
            gid: owner.gid,
            links: 0,
            entries: 0,
            atime: now,
            mtime: now,
            ctime: now,
            _charged: charged,
        })))
    }

    /// Sees to a position for one more entry.
    ///
    /// # Errors
    /// `ENOMEM`
    pub(super) fn prepare_entry(&mut self) -> Result<(), Errno> {
        self.entries.prepare().ok_or(Errno::ENOMEM)
    }

    /// A new entry for `inode`, in `parent` under `name`, which is free. Without a parent it is a root, or a file
    /// without a name. The entry is not held. `charged` is [`Entry::price`].
    pub(crate) fn new_entry(
        &mut self,
        parent: Option<EntryId>,
        name: &[u8],
        inode: InodeId,
        now: Time,
        charged: Charged,
    ) -> Result<EntryId, Errno> {
        let file = self.inode_mut(inode)?;
        let is_directory = matches!(file.kind, Kind::Directory(_));
        file.links += if is_directory { 2 } else { u32::from(parent.is_some()) };
        file.entries += 1;
        let linked = parent.is_some();
        let entry = Entry { inode, parent, name: name.into(), holders: 0, linked, cookie: 0, charged };
        let id = EntryId(self.entries.insert(entry));
        if let Some(parent) = parent {
            self.attach(parent, id, is_directory, now)?;
        }
        Ok(id)
    }

    fn attach(&mut self, parent: EntryId, id: EntryId, is_directory: bool, now: Time) -> Result<(), Errno> {
        let above = self.entry_mut(parent)?;
        above.holders += 1;
        let above = above.inode;
        let Vfs { entries, inodes, .. } = self;
        let entry = entries.get_mut(id.0).ok_or(Errno::ESTALE)?;
        let above = inodes.get_mut(above.0).ok_or(Errno::ESTALE)?;
        let Kind::Directory(directory) = &mut above.kind else { return Err(Errno::ENOTDIR) };
        entry.cookie = directory.insert(&entry.name, id);
        (entry.parent, entry.linked) = (Some(parent), true);
        above.links += u32::from(is_directory);
        (above.mtime, above.ctime) = (now, now);
        Ok(())
    }

    fn detach(&mut self, id: EntryId, is_directory: bool, now: Time) -> Result<EntryId, Errno> {
        let parent = self.entry(id)?.parent.ok_or(Errno::EBUSY)?;
        let above = self.entry(parent)?.inode;
        let Vfs { entries, inodes, .. } = self;
        let entry = entries.get_mut(id.0).ok_or(Errno::ESTALE)?;
        let above = inodes.get_mut(above.0).ok_or(Errno::ESTALE)?;
        let Kind::Directory(directory) = &mut above.kind else { return Err(Errno::ENOTDIR) };
        entry.linked = false;
        directory.remove(&entry.name, entry.cookie);
        above.links -= u32::from(is_directory);
        (above.mtime, above.ctime) = (now, now);
        Ok(parent)
    }

    /// Takes an entry out of its directory. The file lives on while it is held or has other entries.
    pub(crate) fn remove_entry(&mut self, frames: &mut dyn Frames, id: EntryId) -> Result<(), Errno> {
        let now = frames.time();
        let inode = self.entry(id)?.inode;
        let is_directory = matches!(self.inode(inode)?.kind, Kind::Directory(_));
        self.detach(id, is_directory, now)?;
        let file = self.inode_mut(inode)?;
        file.links = file.links.saturating_sub(if is_directory { 2 } else { 1 });
        file.ctime = now;
        self.entry_mut(id)?.holders += 1;
        self.release_entry(frames, id);
        Ok(())
    }

    /// Moves an entry to another directory and name, which is free.
    ///
    /// # Errors
    /// `ENOMEM` if who pays for the entry cannot pay for a longer name; it stays where it is then.
    pub(crate) fn move_entry(
        &mut self,
        frames: &mut dyn Frames,
        id: EntryId,
        parent: EntryId,
        name: &[u8],
    ) -> Result<(), Errno> {
        let now = frames.time();
        let inode = self.entry(id)?.inode;
        let is_directory = matches!(self.inode(inode)?.kind, Kind::Directory(_));
        self.entry_mut(id)?.charged.resize(Entry::price(name)).map_err(|_| Errno::ENOMEM)?;
        let old = self.detach(id, is_directory, now)?;
        self.entry_mut(id)?.name = name.into();
        self.attach(parent, id, is_directory, now)?;
        self.inode_mut(inode)?.ctime = now;
        self.release_entry(frames, old);
        Ok(())
    }

    pub(crate) fn hold_entry(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.holders = entry.holders.saturating_add(1);
        }
    }

    /// One holder less; frees what is neither held nor linked, and the directories above that waited for it.
    pub(crate) fn release_entry(&mut self, frames: &mut dyn Frames, id: EntryId) {
        let mut at = Some(id);
        while let Some(id) = at {
            let Some(entry) = self.entries.get_mut(id.0) else { return };
            entry.holders = entry.holders.saturating_sub(1);
            // The root of a file system is no name in any directory: it ends with the file system.
            let is_root = entry.parent.is_none() && !entry.name.is_empty();
            if entry.holders > 0 || entry.linked || is_root {
                return;
            }
            let (inode, parent) = (entry.inode, entry.parent);
            self.entries.remove(id.0);
            self.release_inode(frames, inode);
            at = parent;
        }
    }

    fn release_inode(&mut self, frames: &mut dyn Frames, id: InodeId) {
        let Some(inode) = self.inodes.get_mut(id.0) else { return };
        inode.entries = inode.entries.saturating_sub(1);
        if inode.entries > 0 {
            return;
        }
        let Some(mut inode) = self.inodes.remove(id.0) else { return };
        let pages = match &mut inode.kind {
            Kind::Regular(data) => data.clear(frames),
            _ => 0,
        };
        if let Ok(fs) = self.super_mut(inode.file_system) {
            fs.pages.used = fs.pages.used.saturating_sub(pages);
            fs.inodes.used = fs.inodes.used.saturating_sub(1);
        }
    }

    /// Ends a file system that no mount shows any more.
    pub(crate) fn end_super(&mut self, frames: &mut dyn Frames, id: SuperId) {
        let Some(fs) = self.supers.get(id.0) else { return };
        if let Node::Stored(root) = fs.root {
            self.end_tree(frames, root);
        }
        if let Some(pid) = self.supers.remove(id.0).and_then(|fs| fs.pid_namespace) {
            self.namespaces.release(pid);
        }
    }

    fn end_tree(&mut self, frames: &mut dyn Frames, root: EntryId) {
        let mut pending = alloc::vec![root];
        while let Some(id) = pending.pop() {
            if let Ok(directory) = self.directory(id) {
                pending.extend(directory.all());
            }
            if let Some(entry) = self.entries.remove(id.0) {
                self.release_inode(frames, entry.inode);
            }
        }
    }
}
