//! Open files: open(2), read(2), write(2), mapping, closing.

use super::access::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID, Want,
};
use super::data::{Data, Payer};
use super::tree::Entry;
use super::tree::{Kind, Owner};
use super::walk::{From, Last, Target};
use super::{Access, Caller, Env, FileId, Frames, Location, Made, Node, Vfs};
use crate::account::{Charged, price_of};
use crate::cred::{Capability, Program};
use crate::hw::Frame;
use crate::mm::Run;
use crate::ns::{NamespaceId, ProcessId};
use bailiwick_kernel_glue::plan::MountFlags;
use bailiwick_protocol::error::Errno;
use bitflags::bitflags;

bitflags! {
    /// Flags of open(2), with their numbers on x86_64. Without `WRITE_ONLY` and `READ_WRITE` it is for reading.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// `O_WRONLY`.
        const WRITE_ONLY = 1;
        /// `O_RDWR`.
        const READ_WRITE = 2;
        /// `O_CREAT`.
        const CREATE = 0o100;
        /// `O_EXCL`.
        const EXCLUSIVE = 0o200;
        /// `O_NOCTTY`.
        const NO_TTY = 0o400;
        /// `O_TRUNC`.
        const TRUNCATE = 0o1000;
        /// `O_APPEND`.
        const APPEND = 0o2000;
        /// `O_NONBLOCK`.
        const NONBLOCK = 0o4000;
        /// `O_DSYNC`.
        const DSYNC = 0o10_000;
        /// `O_ASYNC`.
        const ASYNC = 0o20_000;
        /// `O_DIRECT`.
        const DIRECT = 0o40_000;
        /// `O_LARGEFILE`.
        const LARGE_FILE = 0o100_000;
        /// `O_DIRECTORY`.
        const DIRECTORY = 0o200_000;
        /// `O_NOFOLLOW`.
        const NO_FOLLOW = 0o400_000;
        /// `O_NOATIME`.
        const NO_ATIME = 0o1_000_000;
        /// `O_CLOEXEC`: of the descriptor, not kept here.
        const CLOSE_ON_EXEC = 0o2_000_000;
        /// What `O_SYNC` has besides `O_DSYNC`.
        const SYNC = 0o4_000_000;
        /// `O_PATH`.
        const PATH = 0o10_000_000;
        /// What `O_TMPFILE` has besides `O_DIRECTORY`.
        const TEMPORARY = 0o20_000_000;
    }
}

impl OpenFlags {
    /// Opened for reading.
    pub fn reads(self) -> bool {
        !self.contains(OpenFlags::PATH) && !self.contains(OpenFlags::WRITE_ONLY)
    }
    /// Opened for writing.
    pub fn writes(self) -> bool {
        !self.contains(OpenFlags::PATH) && self.intersects(OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE)
    }
}

/// An open file description (open(2)).
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) at: Location,
    pub(crate) flags: OpenFlags,
    pub(crate) offset: u64,
    holders: u32,
    _charged: Charged,
}

/// What was opened. `file` is held once for the caller in every case but the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// A file with contents: read, written and mapped here.
    Regular(FileId),
    /// A directory.
    Directory(FileId),
    /// A device: what it does is the driver's, by major and minor number.
    Character(FileId, u32, u32),
    /// A block device.
    Block(FileId, u32, u32),
    /// A named pipe: its buffer is found by the inode number in [`Vfs::stat`].
    Fifo(FileId),
    /// Opened with `PATH`: only a place.
    Path(FileId),
    /// A namespace.
    Namespace(FileId, NamespaceId),
    /// A descriptor of a process, reached through `/proc/PID/fd`, that is no file here: duplicate it.
    Descriptor(ProcessId, u32),
}

impl Vfs {
    pub(crate) fn file(&self, id: FileId) -> Result<&OpenFile, Errno> {
        self.files.get(id.0).ok_or(Errno::EBADF)
    }
    fn file_mut(&mut self, id: FileId) -> Result<&mut OpenFile, Errno> {
        self.files.get_mut(id.0).ok_or(Errno::EBADF)
    }
    /// Where an open file is. Valid while the file is held.
    pub fn location(&self, id: FileId) -> Result<Location, Errno> {
        Ok(self.file(id)?.at)
    }
    /// Its open flags.
    pub fn flags(&self, id: FileId) -> Result<OpenFlags, Errno> {
        Ok(self.file(id)?.flags)
    }
    /// Changes the flags that fcntl(2) `F_SETFL` can change: append, nonblock, direct, noatime.
    pub fn set_flags(&mut self, id: FileId, flags: OpenFlags) -> Result<(), Errno> {
        const CHANGEABLE: OpenFlags =
            OpenFlags::APPEND.union(OpenFlags::NONBLOCK).union(OpenFlags::DIRECT).union(OpenFlags::NO_ATIME);
        let file = self.file_mut(id)?;
        file.flags = (file.flags - CHANGEABLE) | (flags & CHANGEABLE);
        Ok(())
    }
    /// The offset that plain read and write use, shared by all holders.
    pub fn offset(&self, id: FileId) -> Result<u64, Errno> {
        Ok(self.file(id)?.offset)
    }
    /// Sets the offset.
    pub fn set_offset(&mut self, id: FileId, offset: u64) -> Result<(), Errno> {
        self.file_mut(id)?.offset = offset;
        Ok(())
    }
    /// One more holder: a duplicate descriptor, a child's descriptor, a mapping.
    pub fn hold_file(&mut self, id: FileId) {
        if let Ok(file) = self.file_mut(id) {
            file.holders = file.holders.saturating_add(1);
        }
    }
    /// One holder less; the last one closes.
    pub fn close(&mut self, frames: &mut dyn Frames, id: FileId) {
        let Ok(file) = self.file_mut(id) else { return };
        file.holders = file.holders.saturating_sub(1);
        if file.holders == 0
            && let Some(file) = self.files.remove(id.0)
        {
            self.release(frames, file.at);
        }
    }

    fn new_file(&mut self, frames: &dyn Frames, at: Location, flags: OpenFlags) -> Result<FileId, Errno> {
        self.files.prepare().ok_or(Errno::ENFILE)?;
        let charged = frames.charge(price_of::<OpenFile>())?;
        self.hold(at);
        Ok(FileId(self.files.insert(OpenFile { at, flags, offset: 0, holders: 1, _charged: charged })))
    }

    /// open(2). `mode` is for a new file, before the umask.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Opened, Errno> {
        if flags.contains(OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE) {
            return Err(Errno::EINVAL);
        }
        let flags = if flags.contains(OpenFlags::PATH) {
            flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW | OpenFlags::CLOSE_ON_EXEC)
        } else {
            flags
        };
        if flags.contains(OpenFlags::TEMPORARY) {
            return self.open_temporary(env, caller, from, path, flags, mode);
        }
        let creates = flags.contains(OpenFlags::CREATE);
        if creates && flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        let exclusive = creates && flags.contains(OpenFlags::EXCLUSIVE);
        let last =
            if flags.contains(OpenFlags::NO_FOLLOW) || exclusive { Last::NoFollow } else { Last::Follow };
        let found = self.walk(env, caller, from, path, last)?;
        match found.target {
            Target::Descriptor(process, number) => Ok(Opened::Descriptor(process, number)),
            Target::File(_) if exclusive => Err(Errno::EEXIST),
            Target::File(at) => {
                if creates && (found.slash || self.is_directory(at.node)) {
                    return Err(Errno::EISDIR);
                }
                if creates {
                    self.may_create_over(env, caller, found.place.as_ref().map(|(dir, _)| *dir), at, flags)?;
                }
                self.open_at(env, caller, at, flags)
            }
            Target::Missing if !creates => Err(Errno::ENOENT),
            Target::Missing if found.slash => Err(Errno::EISDIR),
            Target::Missing => {
                let (directory, name) = found.place.ok_or(Errno::ENOENT)?;
                let at =
                    self.make(env, caller, directory, &name, mode & 0o7777, Kind::Regular(Data::default()))?;
                self.opened(env.frames, at, S_IFREG, (0, 0), flags - OpenFlags::TRUNCATE)
            }
        }
    }

    /// Protection of sticky directories: `O_CREAT` does not open another's regular file or pipe in one
    /// (proc_sys_fs(5) `protected_regular`, `protected_fifos`).
    fn may_create_over(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        directory: Option<Location>,
        at: Location,
        flags: OpenFlags,
    ) -> Result<(), Errno> {
        let Some(directory) = directory else { return Ok(()) };
        let above = self.stat(env, directory)?;
        let file = self.stat(env, at)?;
        let guarded = matches!(file.mode & S_IFMT, S_IFREG | S_IFIFO) && flags.writes();
        let strangers = file.uid != above.uid && file.uid != caller.credentials.fsuid;
        if guarded && strangers && above.mode & super::access::S_ISVTX != 0 && above.mode & 0o002 != 0 {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    fn open_temporary(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Opened, Errno> {
        if !flags.writes() {
            return Err(Errno::EINVAL);
        }
        let directory = self.lookup(env, caller, from, path, Last::Follow)?;
        if !self.is_directory(directory.node) {
            return Err(Errno::ENOTDIR);
        }
        let entry = self.may_change(env, caller, directory)?;
        let file_system = self.inode_of(entry)?.file_system;
        let owner = Owner {
            uid: caller.credentials.fsuid,
            gid: caller.credentials.fsgid,
            mode: mode & 0o7777 & !caller.fs.umask,
        };
        let charged = env.frames.charge(Entry::price(b""))?;
        let inode = self.new_inode(env.frames, file_system, owner, Kind::Regular(Data::default()))?;
        let now = env.frames.time();
        let nameless = self.new_entry(None, b"", inode, now, charged)?;
        let at = Location { mount: directory.mount, node: Node::Stored(nameless) };
        self.opened(env.frames, at, S_IFREG, (0, 0), flags).inspect_err(|_| {
            self.hold_entry(nameless);
            self.release_entry(env.frames, nameless);
        })
    }

    /// Opens what is at a place that was found before (also: reopening through `/proc/PID/fd`).
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link, `EACCES`, `EROFS`, `EISDIR`, `ENOTDIR`, `ENXIO` for a socket, `ETXTBSY` never.
    pub fn open_at(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        flags: OpenFlags,
    ) -> Result<Opened, Errno> {
        let stat = self.stat(env, at)?;
        let kind = stat.mode & S_IFMT;
        if flags.contains(OpenFlags::DIRECTORY) && kind != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(OpenFlags::PATH) {
            return self.opened(env.frames, at, kind, stat.represents, flags);
        }
        if kind == S_IFLNK {
            return Err(Errno::ELOOP);
        }
        if kind == S_IFSOCK {
            return Err(Errno::ENXIO);
        }
        if kind == S_IFDIR && (flags.writes() || flags.contains(OpenFlags::TRUNCATE)) {
            return Err(Errno::EISDIR);
        }
        let mut want = Want::empty();
        want.set(Want::READ, flags.reads());
        want.set(Want::WRITE, flags.writes() || flags.contains(OpenFlags::TRUNCATE));
        self.may_access(env, caller, at, want)?;
        if matches!(kind, S_IFCHR | S_IFBLK) && !self.devices_work(at) {
            return Err(Errno::EACCES);
        }
        if flags.contains(OpenFlags::NO_ATIME) && !self.owns(caller.credentials, &stat) {
            return Err(Errno::EPERM);
        }
        if let Node::Made(_, made) = at.node {
            self.made_may_open(env, caller, made, want)?;
        }
        if flags.contains(OpenFlags::TRUNCATE) && kind == S_IFREG {
            self.set_size(env, caller, at, 0)?;
        }
        self.opened(env.frames, at, kind, stat.represents, flags)
    }

    fn opened(
        &mut self,
        frames: &dyn Frames,
        at: Location,
        kind: u32,
        (major, minor): (u32, u32),
        flags: OpenFlags,
    ) -> Result<Opened, Errno> {
        let kept = flags
            - (OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::NO_TTY | OpenFlags::TRUNCATE)
            - OpenFlags::CLOSE_ON_EXEC;
        let file = self.new_file(frames, at, kept)?;
        Ok(match (kind, at.node) {
            _ if flags.contains(OpenFlags::PATH) => Opened::Path(file),
            (_, Node::Made(_, Made::Namespace(id))) => Opened::Namespace(file, id),
            (S_IFDIR, _) => Opened::Directory(file),
            (S_IFCHR, _) => Opened::Character(file, major, minor),
            (S_IFBLK, _) => Opened::Block(file, major, minor),
            (S_IFIFO, _) => Opened::Fifo(file),
            _ => Opened::Regular(file),
        })
    }

    /// access(2) on a found file, by the ids in `caller.credentials` (for the real ids, pass credentials whose file
    /// ids are the real ones). An empty `want` only asks whether it exists.
    ///
    /// # Errors
    /// `EACCES`, `EROFS` for writing, `EACCES` for running on a `noexec` mount.
    pub fn may_access(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        want: Want,
    ) -> Result<(), Errno> {
        let stat = self.stat(env, at)?;
        let kind = stat.mode & S_IFMT;
        if want.contains(Want::WRITE)
            && self.is_read_only(at.mount)
            && matches!(kind, S_IFREG | S_IFDIR | S_IFLNK)
        {
            return Err(Errno::EROFS);
        }
        if want.contains(Want::EXECUTE)
            && kind == S_IFREG
            && self.mount_flags(at)?.contains(MountFlags::NOEXEC)
        {
            return Err(Errno::EACCES);
        }
        self.permit(caller.credentials, &stat, want)
    }

    /// Opens a program for execve(2), and says whether it changes ids.
    ///
    /// # Errors
    /// `EACCES`: no regular file, no permission to run it, or a `noexec` mount.
    pub fn open_program(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
        last: Last,
    ) -> Result<(FileId, Program), Errno> {
        let at = self.lookup(env, caller, from, path, last)?;
        let stat = self.stat(env, at)?;
        if stat.mode & S_IFMT == S_IFLNK {
            return Err(Errno::ELOOP);
        }
        if stat.mode & S_IFMT != S_IFREG || matches!(at.node, Node::Made(..)) {
            return Err(Errno::EACCES);
        }
        self.may_access(env, caller, at, Want::EXECUTE)?;
        let honoured = !self.mount_flags(at)?.contains(MountFlags::NOSUID)
            && self
                .namespaces
                .user(caller.credentials.user_namespace)
                .is_some_and(|u| u.knows(stat.uid, stat.gid));
        let set_uid = (honoured && stat.mode & S_ISUID != 0).then_some(stat.uid);
        // Set-group-ID without group execution is mandatory locking, not a change of group.
        let set_gid = (honoured && stat.mode & (S_ISGID | 0o010) == (S_ISGID | 0o010)).then_some(stat.gid);
        Ok((self.new_file(env.frames, at, OpenFlags::empty())?, Program { set_uid, set_gid }))
    }

    /// Reads from `offset` into `buffer`; 0 at the end.
    ///
    /// # Errors
    /// `EBADF` if it is not open for reading, `EISDIR`, `EINVAL` for what has no contents.
    pub fn read_at(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        id: FileId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let file = self.file(id)?;
        if !file.flags.reads() {
            return Err(Errno::EBADF);
        }
        let (at, untimed) = (file.at, file.flags.contains(OpenFlags::NO_ATIME));
        match at.node {
            Node::Stored(entry) => {
                let inode = self.inode_of(entry)?;
                let count = match &inode.kind {
                    Kind::Regular(data) => data.read(&*env.frames, offset, buffer),
                    Kind::Directory(_) => return Err(Errno::EISDIR),
                    _ => return Err(Errno::EINVAL),
                };
                if !untimed {
                    self.touch_read(env, at);
                }
                Ok(count)
            }
            Node::Made(fs, made) => {
                let text = self.made_text(env, caller, fs, made)?;
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                let left = text.get(start..).unwrap_or_default();
                let count = left.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
                    to.copy_from_slice(from);
                }
                Ok(count)
            }
        }
    }

    /// Reads at the shared offset and moves it.
    ///
    /// # Errors
    /// As [`Vfs::read_at`].
    pub fn read(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        id: FileId,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let offset = self.offset(id)?;
        let count = self.read_at(env, caller, id, offset, buffer)?;
        self.set_offset(id, offset + count as u64)?;
        Ok(count)
    }

    /// Writes at `offset`, or at the end if the file was opened to append. Returns how many bytes were written and
    /// where the next begins.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing, `ENOSPC`, `EFBIG`, `ENOMEM` if the group or the machine is full.
    pub fn write_at(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        id: FileId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(usize, u64), Errno> {
        let file = self.file(id)?;
        if !file.flags.writes() {
            return Err(Errno::EBADF);
        }
        let append = file.flags.contains(OpenFlags::APPEND);
        match file.at.node {
            Node::Stored(entry) => {
                let now = env.frames.time();
                let keeps_ids = caller.credentials.capabilities.effective.has(Capability::FSETID);
                let inode = self.entry(entry)?.inode;
                let fs = self.inode(inode)?.file_system;
                let quota = &mut self.supers.get_mut(fs.0).ok_or(Errno::ESTALE)?.pages;
                let inode = self.inodes.get_mut(inode.0).ok_or(Errno::ESTALE)?;
                let Kind::Regular(data) = &mut inode.kind else { return Err(Errno::EINVAL) };
                let offset = if append { data.size() } else { offset };
                let mut payer = Payer { frames: env.frames, quota, group: caller.group };
                let count = if bytes.is_empty() { 0 } else { data.write(&mut payer, offset, bytes)? };
                (inode.mtime, inode.ctime) = (now, now);
                if !keeps_ids {
                    inode.mode = without_set_ids(inode.mode);
                }
                Ok((count, offset + count as u64))
            }
            Node::Made(fs, made) => {
                let count = self.made_write(env, caller, fs, made, bytes)?;
                Ok((count, offset + count as u64))
            }
        }
    }

    /// Writes at the shared offset and moves it.
    ///
    /// # Errors
    /// As [`Vfs::write_at`].
    pub fn write(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        id: FileId,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let offset = self.offset(id)?;
        let (count, next) = self.write_at(env, caller, id, offset, bytes)?;
        self.set_offset(id, next)?;
        Ok(count)
    }

    /// The frame that a mapping of page `index` of an open file shows. With [`Access::Write`] (a shared writable
    /// mapping) it is the file's own. The file keeps the frame: the mapping must share it.
    ///
    /// # Errors
    /// `ENXIO` beyond the end, `EACCES` for what cannot be mapped, `ENOMEM` and `ENOSPC` if a page had to be made.
    pub fn page_for_map(
        &mut self,
        frames: &mut dyn Frames,
        id: FileId,
        index: u32,
        access: Access,
        group: crate::memory::GroupId,
    ) -> Result<Frame, Errno> {
        let Node::Stored(entry) = self.file(id)?.at.node else { return Err(Errno::EACCES) };
        let inode = self.entry(entry)?.inode;
        let fs = self.inode(inode)?.file_system;
        let quota = &mut self.supers.get_mut(fs.0).ok_or(Errno::ESTALE)?.pages;
        match &mut self.inodes.get_mut(inode.0).ok_or(Errno::ESTALE)?.kind {
            Kind::Regular(data) => data.page(index, access, &mut Payer { frames, quota, group }),
            _ => Err(Errno::EACCES),
        }
    }

    /// What mappings of the pages from `first` on, at most `most`, show for [`Access::Read`], as far as nothing has to be
    /// made for it; none for others.
    pub fn present_for_map(&self, id: FileId, first: u32, most: u32) -> Run {
        let inode = match self.file(id).map(|file| file.at.node) {
            Ok(Node::Stored(entry)) => self.inode_of(entry),
            _ => Err(Errno::EBADF),
        };
        match inode.map(|inode| &inode.kind) {
            Ok(Kind::Regular(data)) => data.present(first, most),
            _ => Run { frame: None, pages: most.max(1) },
        }
    }

    /// The size of an open file.
    pub fn size(&self, id: FileId) -> Result<u64, Errno> {
        match self.file(id)?.at.node {
            Node::Stored(entry) => match &self.inode_of(entry)?.kind {
                Kind::Regular(data) => Ok(data.size()),
                _ => Ok(0),
            },
            Node::Made(..) => Ok(0),
        }
    }

    /// A regular file without a name, open for reading and writing (memfd_create(2), shared anonymous memory).
    ///
    /// # Errors
    /// `ENFILE`, `ENOSPC`, `ENOMEM`.
    pub fn open_nameless(&mut self, env: &mut Env<'_>, caller: &Caller<'_>) -> Result<FileId, Errno> {
        let owner = Owner { uid: caller.credentials.fsuid, gid: caller.credentials.fsgid, mode: 0o600 };
        let at = self.nameless(env, owner, Kind::Regular(Data::default()))?;
        self.new_file(env.frames, at, OpenFlags::READ_WRITE).inspect_err(|_| {
            // Held by nobody, it would stay.
            self.hold(at);
            self.release(env.frames, at);
        })
    }

    /// Marks a file as read, as `relatime` has it: if it was written since, or a day has passed.
    fn touch_read(&mut self, env: &mut Env<'_>, at: Location) {
        let Ok(flags) = self.mount_flags(at) else { return };
        if flags.contains(MountFlags::NOATIME) || self.is_read_only(at.mount) {
            return;
        }
        let now = env.frames.time();
        let Node::Stored(entry) = at.node else { return };
        let Ok(inode) = self.entry(entry).map(|entry| entry.inode) else { return };
        let Ok(inode) = self.inode_mut(inode) else { return };
        let stale = inode.atime <= inode.mtime
            || inode.atime <= inode.ctime
            || now.seconds.saturating_sub(inode.atime.seconds) >= 86_400;
        if stale || !flags.contains(MountFlags::RELATIME) {
            inode.atime = now;
        }
    }
}

/// A mode without what execve would turn into privileges, as writing and chown(2) leave it.
pub(crate) fn without_set_ids(mode: u32) -> u32 {
    let group_runs = mode & 0o010 != 0;
    mode & !(S_ISUID | if group_runs { S_ISGID } else { 0 })
}
