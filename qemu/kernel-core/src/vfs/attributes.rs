//! Changing attributes: chmod(2), chown(2), utimensat(2), truncate(2).

use super::access::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, Want};
use super::data::Payer;
use super::open::without_set_ids;
use super::tree::{Inode, Kind};
use super::{Caller, Env, FileId, Frames, FsContext, Location, Node, Time, Vfs};
use crate::cred::{Capability, Gid, Uid};
use bailiwick_protocol::error::Errno;

/// A new value of one of a file's times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewTime {
    /// It stays.
    Omit,
    /// Now.
    Now,
    /// This one: only for the owner.
    At(Time),
}

impl Vfs {
    fn changeable(&mut self, at: Location) -> Result<&mut Inode, Errno> {
        if self.is_read_only(at.mount) {
            return Err(Errno::EROFS);
        }
        let Node::Stored(entry) = at.node else { return Err(Errno::EPERM) };
        let inode = self.entry(entry)?.inode;
        self.inode_mut(inode)
    }

    /// chmod(2) of a found file.
    ///
    /// # Errors
    /// `EROFS`, `EPERM`, `EOPNOTSUPP` for a symbolic link.
    pub fn chmod(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        mode: u32,
    ) -> Result<(), Errno> {
        let stat = self.stat(env, at)?;
        let who = caller.credentials;
        let owns = self.owns(who, &stat);
        let keeps = who.in_group(stat.gid) || self.capable_for(who, &stat, Capability::FSETID);
        let now = env.frames.time();
        let inode = self.changeable(at)?;
        if !owns {
            return Err(Errno::EPERM);
        }
        if stat.mode & S_IFMT == S_IFLNK {
            return Err(Errno::EOPNOTSUPP);
        }
        inode.mode = mode & 0o7777 & if keeps { !0 } else { !S_ISGID };
        inode.ctime = now;
        Ok(())
    }

    /// chown(2) of a found file; `None` keeps an id.
    ///
    /// # Errors
    /// `EROFS`, `EPERM`.
    pub fn chown(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        uid: Option<Uid>,
        gid: Option<Gid>,
    ) -> Result<(), Errno> {
        let stat = self.stat(env, at)?;
        let who = caller.credentials;
        let privileged = self.capable_for(who, &stat, Capability::CHOWN);
        let is_owner = who.fsuid == stat.uid;
        let uid_fine = uid.is_none_or(|uid| privileged || is_owner && uid == stat.uid);
        let gid_fine = gid.is_none_or(|gid| privileged || is_owner && (who.in_group(gid) || gid == stat.gid));
        let now = env.frames.time();
        let inode = self.changeable(at)?;
        if !uid_fine || !gid_fine {
            return Err(Errno::EPERM);
        }
        inode.uid = uid.unwrap_or(inode.uid);
        inode.gid = gid.unwrap_or(inode.gid);
        if stat.mode & S_IFMT != S_IFDIR && (uid.is_some() || gid.is_some()) {
            inode.mode = without_set_ids(inode.mode);
        }
        inode.ctime = now;
        Ok(())
    }

    /// utimensat(2) of a found file.
    ///
    /// # Errors
    /// `EROFS`; `EPERM` for a given time, `EACCES` for the present one, without the right.
    pub fn set_times(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        atime: NewTime,
        mtime: NewTime,
    ) -> Result<(), Errno> {
        if atime == NewTime::Omit && mtime == NewTime::Omit {
            return Ok(());
        }
        let stat = self.stat(env, at)?;
        let owns = self.owns(caller.credentials, &stat);
        let writes = self.permit(caller.credentials, &stat, Want::WRITE);
        let now = env.frames.time();
        let inode = self.changeable(at)?;
        if !owns {
            if (atime, mtime) != (NewTime::Now, NewTime::Now) {
                return Err(Errno::EPERM);
            }
            writes?;
        }
        let apply = |slot: &mut Time, new| match new {
            NewTime::Omit => {}
            NewTime::Now => *slot = now,
            NewTime::At(time) => *slot = time,
        };
        apply(&mut inode.atime, atime);
        apply(&mut inode.mtime, mtime);
        inode.ctime = now;
        Ok(())
    }

    /// truncate(2) of a found file.
    ///
    /// # Errors
    /// Those of truncate(2).
    pub fn truncate(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        size: u64,
    ) -> Result<(), Errno> {
        match self.stat(env, at)?.mode & S_IFMT {
            S_IFREG => {}
            S_IFDIR => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        self.may_access(env, caller, at, Want::WRITE)?;
        self.set_size(env, caller, at, size)
    }

    /// ftruncate(2).
    ///
    /// # Errors
    /// `EINVAL` if it is not open for writing or is no regular file; `EFBIG`.
    pub fn truncate_file(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        file: FileId,
        size: u64,
    ) -> Result<(), Errno> {
        if !self.flags(file)?.writes() {
            return Err(Errno::EINVAL);
        }
        let at = self.location(file)?;
        self.set_size(env, caller, at, size)
    }

    pub(crate) fn set_size(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        size: u64,
    ) -> Result<(), Errno> {
        // A made-up file has no size of its own: opening it to be truncated changes nothing.
        let Node::Stored(entry) = at.node else { return Ok(()) };
        let keeps_ids = caller.credentials.capabilities.effective.has(Capability::FSETID);
        let now = env.frames.time();
        let id = self.entry(entry)?.inode;
        let fs = self.inode(id)?.file_system;
        let quota = &mut self.supers.get_mut(fs.0).ok_or(Errno::ESTALE)?.pages;
        let inode = self.inodes.get_mut(id.0).ok_or(Errno::ESTALE)?;
        let Kind::Regular(data) = &mut inode.kind else { return Err(Errno::EINVAL) };
        data.truncate(size, &mut Payer { frames: env.frames, quota, group: caller.group })?;
        (inode.mtime, inode.ctime) = (now, now);
        if !keeps_ids {
            inode.mode = without_set_ids(inode.mode);
        }
        Ok(())
    }

    /// A context for the first process: the root of its mount namespace, mask 022.
    ///
    /// # Errors
    /// `EINVAL` if the namespace is none of mounts.
    pub fn new_context(&mut self, mount_namespace: crate::ns::NamespaceId) -> Result<FsContext, Errno> {
        let root = self.namespace_root(mount_namespace)?;
        self.hold(root);
        self.hold(root);
        Ok(FsContext { root, cwd: root, umask: 0o022 })
    }
    /// A copy for a child process.
    pub fn copy_context(&mut self, fs: &FsContext) -> FsContext {
        self.hold(fs.root);
        self.hold(fs.cwd);
        FsContext { ..*fs }
    }
    /// Ends a context.
    pub fn release_context(&mut self, frames: &mut dyn Frames, fs: FsContext) {
        self.release(frames, fs.cwd);
        self.release(frames, fs.root);
    }
    /// Makes a found directory the working directory (the search permission is checked).
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES`.
    pub fn may_enter(&self, env: &mut Env<'_>, caller: &Caller<'_>, at: Location) -> Result<(), Errno> {
        self.may_search(env, caller, at)
    }
    /// Replaces the working directory by `at`, which is counted for the context.
    pub fn set_cwd(&mut self, frames: &mut dyn Frames, fs: &mut FsContext, at: Location) {
        self.hold(at);
        let old = core::mem::replace(&mut fs.cwd, at);
        self.release(frames, old);
    }
    /// Replaces the root by `at`, which is counted for the context.
    pub fn set_root(&mut self, frames: &mut dyn Frames, fs: &mut FsContext, at: Location) {
        self.hold(at);
        let old = core::mem::replace(&mut fs.root, at);
        self.release(frames, old);
    }
    /// The path of the working directory as getcwd(2) shows it; "(unreachable)…" if it is outside the root.
    ///
    /// # Errors
    /// `ENOENT` if it was removed.
    pub fn getcwd(&self, fs: &FsContext) -> Result<alloc::vec::Vec<u8>, Errno> {
        match fs.cwd.node {
            Node::Stored(entry) if self.is_removed(entry) => Err(Errno::ENOENT),
            _ => Ok(self.shown_path(fs.cwd, fs.root)),
        }
    }
}
