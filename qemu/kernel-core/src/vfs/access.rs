//! Attributes of files, and who may do what with them.

use super::data::Quota;
use super::tree::{FsKind, Inode, Kind, Owner};
use super::walk::Link;
use super::{Caller, Env, Location, Made, Node, SuperId, Time, Vfs};
use crate::cred::{Capability, Credentials, Gid, Uid};
use crate::hw::PAGE;
use crate::ns::ProcessId;
use bailiwick_kernel_glue::plan::MountFlags;
use bailiwick_protocol::error::Errno;
use bitflags::bitflags;

/// File type bits of a mode (inode(7)).
pub const S_IFMT: u32 = 0o170_000;
/// Socket.
pub const S_IFSOCK: u32 = 0o140_000;
/// Symbolic link.
pub const S_IFLNK: u32 = 0o120_000;
/// Regular file.
pub const S_IFREG: u32 = 0o100_000;
/// Block device.
pub const S_IFBLK: u32 = 0o060_000;
/// Directory.
pub const S_IFDIR: u32 = 0o040_000;
/// Character device.
pub const S_IFCHR: u32 = 0o020_000;
/// Named pipe.
pub const S_IFIFO: u32 = 0o010_000;
/// Set-user-ID.
pub const S_ISUID: u32 = 0o4000;
/// Set-group-ID.
pub const S_ISGID: u32 = 0o2000;
/// Sticky: only owners remove entries.
pub const S_ISVTX: u32 = 0o1000;

bitflags! {
    /// What is wanted of a file, with the numbers of access(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Want: u32 {
        /// Execute, or search a directory.
        const EXECUTE = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// What stat(2) tells. Owners are the kernel's ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Device the file is on: major, minor.
    pub device: (u32, u32),
    /// Number of the file in its file system.
    pub inode: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Hard links.
    pub links: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Device a device file stands for: major, minor.
    pub represents: (u32, u32),
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: Time,
    /// Last write.
    pub mtime: Time,
    /// Last change of attributes.
    pub ctime: Time,
}

/// What statfs(2) tells; sizes in blocks of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatFs {
    /// Number of the type.
    pub magic: u64,
    /// All blocks, 0 if there is no bound.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// All inodes.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// Mount attributes, in the bits of statfs(2) (`ST_*`).
    pub flags: u64,
    /// Device minor, as file system id.
    pub id: u32,
}

impl Stat {
    fn owner(&self) -> Owner {
        Owner { uid: self.uid, gid: self.gid, mode: self.mode }
    }
}

impl Inode {
    pub(crate) fn type_bits(&self) -> u32 {
        match self.kind {
            Kind::Regular(_) => S_IFREG,
            Kind::Directory(_) => S_IFDIR,
            Kind::Symlink(_) => S_IFLNK,
            Kind::Character { .. } => S_IFCHR,
            Kind::Block { .. } => S_IFBLK,
            Kind::Fifo => S_IFIFO,
            Kind::Socket => S_IFSOCK,
        }
    }

    /// Owner and mode, type bits included.
    fn owner(&self) -> Owner {
        Owner { uid: self.uid, gid: self.gid, mode: self.type_bits() | self.mode }
    }

    fn stat(&self, device: u32) -> Stat {
        let (size, pages) = match &self.kind {
            Kind::Regular(data) => (data.size(), data.resident()),
            Kind::Symlink(target) => (target.len() as u64, 0),
            Kind::Directory(_) => (PAGE as u64, 0),
            _ => (0, 0),
        };
        let represents = match self.kind {
            Kind::Character { major, minor } | Kind::Block { major, minor } => (major, minor),
            _ => (0, 0),
        };
        Stat {
            device: (0, device),
            inode: self.number,
            mode: self.type_bits() | self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            represents,
            size,
            blocks: pages * (PAGE as u64 / 512),
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }
}

impl Vfs {
    /// The file system a node is in.
    pub(crate) fn file_system_of(&self, node: Node) -> Result<SuperId, Errno> {
        match node {
            Node::Stored(entry) => Ok(self.inode_of(entry)?.file_system),
            Node::Made(fs, _) => Ok(fs),
        }
    }
    pub(crate) fn parent_node(&self, node: Node) -> Option<Node> {
        match node {
            Node::Stored(entry) => self.entries.get(entry.0)?.parent.map(Node::Stored),
            Node::Made(fs, made) => made.parent().map(|parent| Node::Made(fs, parent)),
        }
    }
    pub(crate) fn name_of(&self, node: Node) -> Option<alloc::vec::Vec<u8>> {
        match node {
            Node::Stored(entry) => self.entries.get(entry.0).map(|entry| entry.name.to_vec()),
            Node::Made(fs, made) => Some(self.made_name(fs, made)),
        }
    }
    pub(crate) fn is_directory(&self, node: Node) -> bool {
        match node {
            Node::Stored(entry) => self.directory(entry).is_ok(),
            Node::Made(_, made) => made.type_bits() == S_IFDIR,
        }
    }
    pub(crate) fn is_link(&self, node: Node) -> bool {
        match node {
            Node::Stored(entry) => {
                self.inode_of(entry).is_ok_and(|inode| matches!(inode.kind, Kind::Symlink(_)))
            }
            Node::Made(_, made) => made.type_bits() == S_IFLNK,
        }
    }
    pub(crate) fn read_link(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        node: Node,
    ) -> Result<Link, Errno> {
        match node {
            Node::Stored(entry) => match &self.inode_of(entry)?.kind {
                Kind::Symlink(target) => Ok(Link::Text(target.to_vec())),
                _ => Err(Errno::EINVAL),
            },
            Node::Made(fs, made) => self.made_link(env, caller, fs, made),
        }
    }

    /// Attributes of a file.
    ///
    /// # Errors
    /// `ENOENT` if the process that a proc file is about has ended.
    pub fn stat(&self, env: &mut Env<'_>, at: Location) -> Result<Stat, Errno> {
        self.stat_node(env, at.node)
    }

    pub(crate) fn stat_node(&self, env: &mut Env<'_>, node: Node) -> Result<Stat, Errno> {
        let fs = self.super_of(self.file_system_of(node)?)?;
        match node {
            Node::Stored(entry) => Ok(self.inode_of(entry)?.stat(fs.device)),
            Node::Made(_, made) => self.made_stat(env, fs, made),
        }
    }

    /// What statfs(2) tells about the file system a location is in.
    pub fn stat_fs(&self, at: Location) -> Result<StatFs, Errno> {
        let mount = self.mount_of(at.mount)?;
        let fs = self.super_of(mount.file_system)?;
        let free = |quota: Quota| quota.max.map_or(0, |max| max.saturating_sub(quota.used));
        const ST_RELATIME: u64 = 4096;
        const ST_VALID: u64 = 0x20;
        let mut flags = ST_VALID | mount.flags.bits() & 0xf | mount.flags.bits() & (1024 | 2048);
        if mount.flags.contains(MountFlags::RELATIME) {
            flags |= ST_RELATIME;
        }
        if mount.flags.contains(MountFlags::NOSYMFOLLOW) {
            flags |= 0x2000;
        }
        if fs.read_only {
            flags |= 1;
        }
        Ok(StatFs {
            magic: fs.kind.magic(),
            blocks: fs.pages.max.unwrap_or(0),
            free: free(fs.pages),
            inodes: fs.inodes.max.unwrap_or(0),
            free_inodes: free(fs.inodes),
            flags,
            id: fs.device,
        })
    }

    /// The permission check of path_resolution(7): by owner, group or others, then by capabilities that count for
    /// the file in the caller's user namespace.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn permit(&self, who: &Credentials, stat: &Stat, want: Want) -> Result<(), Errno> {
        self.permit_by(who, stat.owner(), want)
    }

    /// As [`Vfs::permit`], for a file of which no more is known than this, its type bits among them.
    fn permit_by(&self, who: &Credentials, of: Owner, want: Want) -> Result<(), Errno> {
        let granted = if who.fsuid == of.uid {
            of.mode >> 6
        } else if who.in_group(of.gid) {
            of.mode >> 3
        } else {
            of.mode
        } & 7;
        if want.bits() & !granted == 0 {
            return Ok(());
        }
        let is_directory = of.mode & S_IFMT == S_IFDIR;
        let runnable = is_directory || !want.contains(Want::EXECUTE) || of.mode & 0o111 != 0;
        let reads = !want.contains(Want::WRITE) && (is_directory || want == Want::READ);
        let overrides = runnable && self.counts_for(who, of, Capability::DAC_OVERRIDE);
        if overrides || reads && self.counts_for(who, of, Capability::DAC_READ_SEARCH) {
            return Ok(());
        }
        Err(Errno::EACCES)
    }

    /// Whether a capability counts for a file: its owner and group have a name in the caller's user namespace.
    pub fn capable_for(&self, who: &Credentials, stat: &Stat, capability: Capability) -> bool {
        self.counts_for(who, stat.owner(), capability)
    }

    fn counts_for(&self, who: &Credentials, of: Owner, capability: Capability) -> bool {
        who.capabilities.effective.has(capability)
            && self.namespaces.user(who.user_namespace).is_some_and(|user| user.knows(of.uid, of.gid))
    }

    /// Whether the caller owns the file, or `CAP_FOWNER` counts for it.
    pub(crate) fn owns(&self, who: &Credentials, stat: &Stat) -> bool {
        who.fsuid == stat.uid || self.capable_for(who, stat, Capability::FOWNER)
    }

    /// The search permission on a directory.
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES`.
    pub(crate) fn may_search(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
    ) -> Result<(), Errno> {
        // Every name on every way is asked for this: all that the check needs is looked up, and nothing else.
        let of = match at.node {
            Node::Stored(entry) => self.inode_of(entry)?.owner(),
            Node::Made(_, made) => made.owner(env)?,
        };
        if of.mode & S_IFMT != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        self.permit_by(caller.credentials, of, Want::EXECUTE)
    }

    /// Permission to make or remove entries of a directory.
    ///
    /// # Errors
    /// `EROFS`, `EACCES`, `ENOENT` for a directory that was removed, `EPERM` where the file system makes its own.
    pub(crate) fn may_change(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        directory: Location,
    ) -> Result<super::EntryId, Errno> {
        let stat = self.stat_node(env, directory.node)?;
        if self.is_read_only(directory.mount) {
            return Err(Errno::EROFS);
        }
        self.permit(caller.credentials, &stat, Want::WRITE | Want::EXECUTE)?;
        let Node::Stored(entry) = directory.node else { return Err(Errno::EPERM) };
        if stat.links == 0 || self.is_removed(entry) {
            return Err(Errno::ENOENT);
        }
        Ok(entry)
    }

    pub(crate) fn is_removed(&self, entry: super::EntryId) -> bool {
        self.entries.get(entry.0).is_none_or(|entry| !entry.linked && entry.parent.is_some())
    }

    /// Whether the caller may look inside a process (ptrace(2) "Ptrace access mode checking"): itself, or all its
    /// ids are the caller's and it has no capability more, or `CAP_SYS_PTRACE` counts where it lives.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` if the process has ended.
    pub(crate) fn may_inspect(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        process: ProcessId,
    ) -> Result<(), Errno> {
        if caller.process.is_none_or(|own| own == process) {
            return Ok(());
        }
        let other = env.processes.credentials(process).ok_or(Errno::ENOENT)?;
        let who = caller.credentials;
        let same = [other.uid, other.euid, other.suid].iter().all(|uid| *uid == who.fsuid)
            && [other.gid, other.egid, other.sgid].iter().all(|gid| *gid == who.fsgid)
            && who.user_namespace == other.user_namespace
            && who.capabilities.permitted.contains(other.capabilities.permitted);
        if same || self.namespaces.capable(who, other.user_namespace, Capability::SYS_PTRACE) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// The kind of a namespace file.
    pub fn namespace_at(&self, at: Location) -> Option<crate::ns::NamespaceId> {
        match at.node {
            Node::Made(_, Made::Namespace(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether device files in this mount work as devices.
    pub(crate) fn devices_work(&self, at: Location) -> bool {
        self.mount_flags(at).is_ok_and(|flags| !flags.contains(MountFlags::NODEV))
            && self.fs_kind(at).is_ok_and(|kind| kind != FsKind::Proc)
    }
}
