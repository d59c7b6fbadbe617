//! Making, removing, renaming and listing entries.

use super::access::{S_IFDIR, S_IFMT, S_ISGID, S_ISVTX, Stat};
use super::tree::Entry;
use super::tree::{Kind, Owner};
use super::walk::{From, Last, Link, Target};
use super::{Caller, EntryId, Env, FileId, Location, Node, Vfs};
use crate::cred::Capability;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// Most hard links of a file.
const LINKS_MAX: u32 = 65_000;

/// What mknod(2) makes besides regular files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Special {
    /// A regular file.
    Regular,
    /// A character device: major, minor.
    Character(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// What renameat2(2) does if the new name is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rename {
    /// Replaces it.
    Replace,
    /// Fails with `EEXIST`.
    NoReplace,
    /// Exchanges the two.
    Exchange,
}

/// One entry of a directory as getdents64(2) shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Its name.
    pub name: Vec<u8>,
    /// Number of the file.
    pub inode: u64,
    /// Type: the mode's type bits shifted right by 12 (`DT_*`).
    pub kind: u8,
    /// Where reading resumes after it.
    pub next: u64,
}

/// Where something can be made.
struct Place<'p> {
    directory: Location,
    name: Cow<'p, [u8]>,
    /// The path ends in a slash.
    slash: bool,
}

impl Vfs {
    /// Makes a file in a directory, which must not have the name yet. The mask of the caller is applied.
    ///
    /// # Errors
    /// As [`Vfs::may_change`], `ENOSPC`, `ENOMEM`.
    pub(crate) fn make(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        directory: Location,
        name: &[u8],
        mode: u32,
        kind: Kind,
    ) -> Result<Location, Errno> {
        let parent = self.may_change(env, caller, directory)?;
        let above = self.inode_of(parent)?;
        let (file_system, above_gid, inherits) = (above.file_system, above.gid, above.mode & S_ISGID != 0);
        let is_directory = matches!(kind, Kind::Directory(_));
        let is_link = matches!(kind, Kind::Symlink(_));
        let mut mode = if is_link { 0o777 } else { mode & !caller.fs.umask };
        if inherits && is_directory {
            mode |= S_ISGID;
        }
        let gid = if inherits { above_gid } else { caller.credentials.fsgid };
        let owner = Owner { uid: caller.credentials.fsuid, gid, mode };
        let now = env.frames.time();
        let charged = env.frames.charge(Entry::price(name))?;
        let inode = self.new_inode(env.frames, file_system, owner, kind)?;
        let entry = self.new_entry(Some(parent), name, inode, now, charged)?;
        Ok(Location { mount: directory.mount, node: Node::Stored(entry) })
    }

    /// Walks to a place where something can be made.
    fn free_place<'p>(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &'p [u8],
    ) -> Result<Place<'p>, Errno> {
        let found = self.walk(env, caller, from, path, Last::NoFollow)?;
        match (found.target, found.place) {
            (Target::Missing, Some((directory, name))) => Ok(Place { directory, name, slash: found.slash }),
            _ => Err(Errno::EEXIST),
        }
    }

    /// mkdir(2).
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn mkdir(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
        mode: u32,
    ) -> Result<Location, Errno> {
        let Place { directory, name, .. } = self.free_place(env, caller, from, path)?;
        if self.inode_links(directory)? >= LINKS_MAX {
            return Err(Errno::EMLINK);
        }
        self.make(env, caller, directory, &name, mode & 0o1777, Kind::Directory(Box::default()))
    }

    fn inode_links(&self, at: Location) -> Result<u32, Errno> {
        match at.node {
            Node::Stored(entry) => Ok(self.inode_of(entry)?.links),
            Node::Made(..) => Ok(1),
        }
    }

    /// mknod(2). Devices need `CAP_MKNOD` in the first user namespace.
    ///
    /// # Errors
    /// Those of mknod(2).
    pub fn mknod(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
        mode: u32,
        what: Special,
    ) -> Result<Location, Errno> {
        let Place { directory, name, slash } = self.free_place(env, caller, from, path)?;
        if slash {
            return Err(Errno::ENOENT);
        }
        let kind = match what {
            Special::Regular => Kind::Regular(super::data::Data::default()),
            Special::Fifo => Kind::Fifo,
            Special::Socket => Kind::Socket,
            Special::Character(major, minor) => Kind::Character { major, minor },
            Special::Block(major, minor) => Kind::Block { major, minor },
        };
        let is_device = matches!(what, Special::Character(..) | Special::Block(..));
        let first = self.namespaces.first_user();
        if is_device && !self.namespaces.capable(caller.credentials, first, Capability::MKNOD) {
            return Err(Errno::EPERM);
        }
        self.make(env, caller, directory, &name, mode & 0o7777, kind)
    }

    /// symlink(2).
    ///
    /// # Errors
    /// Those of symlink(2).
    pub fn symlink(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        target: &[u8],
        from: From,
        path: &[u8],
    ) -> Result<Location, Errno> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= super::walk::PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let Place { directory, name, slash } = self.free_place(env, caller, from, path)?;
        if slash {
            return Err(Errno::ENOENT);
        }
        self.make(env, caller, directory, &name, 0o777, Kind::Symlink(target.into()))
    }

    /// readlink(2) of a found link.
    ///
    /// # Errors
    /// `EINVAL` if it is none; as the access check of a magic link has it.
    pub fn readlink(&self, env: &mut Env<'_>, caller: &Caller<'_>, at: Location) -> Result<Vec<u8>, Errno> {
        if !self.is_link(at.node) {
            return Err(Errno::EINVAL);
        }
        match self.read_link(env, caller, at.node)? {
            Link::Text(text) => Ok(text),
            Link::Jump(to) => Ok(self.shown_path(to, caller.fs.root)),
            Link::Descriptor(process, number) => match env.processes.descriptor(process, number) {
                Some(super::facts::Descriptor::Other(text)) => Ok(text.into_bytes()),
                _ => Err(Errno::ENOENT),
            },
        }
    }

    /// A location's path for people, as `/proc/PID/fd` shows it.
    pub fn shown_path(&self, at: Location, root: Location) -> Vec<u8> {
        if let Node::Made(_, super::Made::Namespace(id)) = at.node
            && at.mount == self.nsfs
        {
            return self.namespace_text(id);
        }
        let removed = matches!(at.node, Node::Stored(entry) if self.is_removed(entry));
        let mut path = match self.path_from(at, root) {
            Some(path) => path,
            None => match at.node {
                Node::Stored(_) if at.mount == self.anonymous => b"/memfd:".to_vec(),
                _ => {
                    let top = self.mount_root(at.mount).ok();
                    let inside = top.and_then(|top| self.path_from(at, top)).unwrap_or_default();
                    [b"(unreachable)".as_slice(), &inside].concat()
                }
            },
        };
        if removed || at.mount == self.anonymous {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }

    /// link(2) of a found file to a new name.
    ///
    /// # Errors
    /// Those of link(2); `EPERM` also for another's file that the caller cannot read and write
    /// (`protected_hardlinks` of proc_sys_fs(5)).
    pub fn link(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        old: Location,
        from: From,
        path: &[u8],
    ) -> Result<(), Errno> {
        let Place { directory, name, slash } = self.free_place(env, caller, from, path)?;
        if directory.mount != old.mount {
            return Err(Errno::EXDEV);
        }
        if slash {
            return Err(Errno::ENOENT);
        }
        let parent = self.may_change(env, caller, directory)?;
        let Node::Stored(entry) = old.node else { return Err(Errno::EPERM) };
        let stat = self.stat(env, old)?;
        if stat.mode & S_IFMT == S_IFDIR {
            return Err(Errno::EPERM);
        }
        if stat.links == 0 {
            return Err(Errno::ENOENT);
        }
        if stat.links >= LINKS_MAX {
            return Err(Errno::EMLINK);
        }
        self.may_link(caller, &stat)?;
        let charged = env.frames.charge(Entry::price(&name))?;
        self.prepare_entry()?;
        let inode = self.entry(entry)?.inode;
        let now = env.frames.time();
        self.new_entry(Some(parent), &name, inode, now, charged)?;
        self.inode_mut(inode)?.ctime = now;
        Ok(())
    }

    fn may_link(&self, caller: &Caller<'_>, stat: &Stat) -> Result<(), Errno> {
        use super::access::{S_IFREG, S_ISUID, Want};
        let plain = stat.mode & S_IFMT == S_IFREG && stat.mode & (S_ISUID | S_ISGID) == 0;
        let usable = plain && self.permit(caller.credentials, stat, Want::READ | Want::WRITE).is_ok();
        if usable || self.owns(caller.credentials, stat) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Permission to take `victim` out of `directory`: the directory's, and the sticky bit's.
    fn may_remove(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        directory: Location,
        victim: Location,
    ) -> Result<EntryId, Errno> {
        self.may_change(env, caller, directory)?;
        let above = self.stat(env, directory)?;
        let file = self.stat(env, victim)?;
        let who = caller.credentials;
        if above.mode & S_ISVTX != 0
            && who.fsuid != above.uid
            && who.fsuid != file.uid
            && !self.capable_for(who, &file, Capability::FOWNER)
        {
            return Err(Errno::EPERM);
        }
        match victim.node {
            Node::Stored(entry) => Ok(entry),
            Node::Made(..) => Err(Errno::EPERM),
        }
    }

    /// Refuses if something is mounted on `at` in the caller's mount namespace.
    fn not_mounted_on(&self, caller: &Caller<'_>, at: Location) -> Result<(), Errno> {
        let here = self.mounts_on(at.node).any(|(_, below)| below.namespace == Some(caller.namespaces.mount));
        if here { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// Takes an entry out of its directory; mounts on it in other namespaces end (mount_namespaces(7)).
    fn take_out(&mut self, env: &mut Env<'_>, node: Node, entry: EntryId) -> Result<(), Errno> {
        let on_it: Vec<_> = self.mounts_on(node).map(|(mount, _)| mount).collect();
        for mount in on_it {
            self.dissolve(env.frames, mount);
        }
        self.remove_entry(env.frames, entry)?;
        self.reap(env.frames);
        Ok(())
    }

    /// unlink(2).
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn unlink(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
    ) -> Result<(), Errno> {
        let found = self.walk(env, caller, from, path, Last::Bare)?;
        let victim = found.file()?;
        let Some((directory, _)) = found.place else { return Err(Errno::EISDIR) };
        if found.slash {
            return Err(if self.is_directory(victim.node) { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        let entry = self.may_remove(env, caller, directory, victim)?;
        if self.is_directory(victim.node) {
            return Err(Errno::EISDIR);
        }
        self.not_mounted_on(caller, victim)?;
        self.take_out(env, victim.node, entry)
    }

    /// rmdir(2).
    ///
    /// # Errors
    /// Those of rmdir(2).
    pub fn rmdir(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
    ) -> Result<(), Errno> {
        let found = self.walk(env, caller, from, path, Last::Bare)?;
        let victim = found.file()?;
        let Some((directory, _)) = found.place else {
            let end = path.rsplit(|b| *b == b'/').find(|part| !part.is_empty());
            return Err(match end {
                Some(b".") => Errno::EINVAL,
                Some(b"..") => Errno::ENOTEMPTY,
                _ => Errno::EBUSY,
            });
        };
        let entry = self.may_remove(env, caller, directory, victim)?;
        if !self.is_directory(victim.node) {
            return Err(Errno::ENOTDIR);
        }
        self.not_mounted_on(caller, victim)?;
        if !self.directory(entry)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.take_out(env, victim.node, entry)
    }

    /// renameat2(2).
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        old: (From, &[u8]),
        new: (From, &[u8]),
        how: Rename,
    ) -> Result<(), Errno> {
        let source = self.walk(env, caller, old.0, old.1, Last::Bare)?;
        let target = self.walk(env, caller, new.0, new.1, Last::Bare)?;
        let (Some((from_dir, _)), Some((to_dir, to_name))) = (&source.place, &target.place) else {
            return Err(Errno::EBUSY);
        };
        let moved = source.file()?;
        if from_dir.mount != to_dir.mount {
            return Err(Errno::EXDEV);
        }
        let entry = self.may_remove(env, caller, *from_dir, moved)?;
        let to_parent = self.may_change(env, caller, *to_dir)?;
        let is_directory = self.is_directory(moved.node);
        if (source.slash || target.slash) && !is_directory {
            return Err(Errno::ENOTDIR);
        }
        self.not_mounted_on(caller, moved)?;
        // A directory cannot move below itself, nor take the place of one it lies below.
        if self.is_below(to_dir.node, moved.node) {
            return Err(Errno::EINVAL);
        }
        let replaced = match (&target.target, how) {
            (Target::Missing, Rename::Exchange) => return Err(Errno::ENOENT),
            (Target::File(_), Rename::NoReplace) => return Err(Errno::EEXIST),
            (Target::File(at), _) => Some(*at),
            _ => None,
        };
        let Some(replaced) = replaced else {
            return self.move_entry(env.frames, entry, to_parent, to_name);
        };
        if self.is_below(from_dir.node, replaced.node) {
            return Err(if how == Rename::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        let other = self.may_remove(env, caller, *to_dir, replaced)?;
        if other == entry || self.entry(other)?.inode == self.entry(entry)?.inode {
            return Ok(());
        }
        self.not_mounted_on(caller, replaced)?;
        if how == Rename::Exchange {
            return self.exchange(env, entry, other);
        }
        match (is_directory, self.directory(other)) {
            (true, Err(_)) => return Err(Errno::ENOTDIR),
            (false, Ok(_)) => return Err(Errno::EISDIR),
            (true, Ok(directory)) if !directory.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.take_out(env, replaced.node, other)?;
        self.move_entry(env.frames, entry, to_parent, to_name)
    }

    fn exchange(&mut self, env: &mut Env<'_>, a: EntryId, b: EntryId) -> Result<(), Errno> {
        let place = |vfs: &Vfs, id| -> Result<_, Errno> {
            let entry = vfs.entry(id)?;
            Ok((entry.parent.ok_or(Errno::EBUSY)?, entry.name.clone()))
        };
        let (a_parent, a_name) = place(self, a)?;
        let (b_parent, b_name) = place(self, b)?;
        // The name is one no path can say, so it is free.
        self.move_entry(env.frames, a, b_parent, b"/")?;
        self.move_entry(env.frames, b, a_parent, &a_name)?;
        self.move_entry(env.frames, a, b_parent, &b_name)
    }

    /// Entries of an open directory after `cookie` (0 is the beginning), handed to `each` until it has no room.
    /// "." and ".." come first. A cookie stays good while other entries come and go.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT` if the directory was removed.
    pub fn read_directory(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        id: FileId,
        cookie: u64,
        each: &mut dyn FnMut(&DirEntry) -> More,
    ) -> Result<(), Errno> {
        let at = self.location(id)?;
        if !self.is_directory(at.node) {
            return Err(Errno::ENOTDIR);
        }
        if matches!(at.node, Node::Stored(entry) if self.is_removed(entry)) {
            return Err(Errno::ENOENT);
        }
        for (position, name) in [(0, b".".as_slice()), (1, b"..")] {
            if cookie <= position {
                let node = if position == 0 { at.node } else { self.parent_node(at.node).unwrap_or(at.node) };
                let inode = self.stat_node(env, node)?.inode;
                let entry = DirEntry { name: name.to_vec(), inode, kind: 4, next: position + 1 };
                if each(&entry) == More::Full {
                    return Ok(());
                }
            }
        }
        match at.node {
            Node::Stored(directory) => {
                for (at, entry) in self.directory(directory)?.after(cookie.saturating_sub(2)) {
                    let inode = self.inode_of(entry)?;
                    let entry = DirEntry {
                        name: self.entry(entry)?.name.to_vec(),
                        inode: inode.number,
                        kind: (inode.type_bits() >> 12) as u8,
                        next: at + 2,
                    };
                    if each(&entry) == More::Full {
                        break;
                    }
                }
                Ok(())
            }
            Node::Made(fs, made) => {
                let mut next = cookie.saturating_sub(2);
                while let Some((after, child)) = self.made_next(env, caller, fs, made, next) {
                    let name = self.made_name(fs, child);
                    let kind = (child.type_bits() >> 12) as u8;
                    let entry = DirEntry { name, inode: child.number(), kind, next: after + 2 };
                    if each(&entry) == More::Full {
                        break;
                    }
                    next = after;
                }
                Ok(())
            }
        }
    }
}

/// Whether a reader of entries takes more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum More {
    /// It took this one and has room.
    Room,
    /// It did not take this one.
    Full,
}
