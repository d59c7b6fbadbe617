//! Descriptors: open(2), close(2), dup(2), fcntl(2), pipe(2), and what needs an open file.

use super::call::{Call, Outcome, linux_of};
use super::descriptor::{self, AtFifo, Device, End, Object, OnExec};
use super::pipe::{CAPACITY, Pipe};
use super::process::limit;
use crate::group::DeviceUse;
use crate::hw::Hw;
use crate::thread::Channel;
use crate::vfs::{From, OpenFlags, Opened, PTMX, Resolve, Store};
use bailiwick_kernel_glue::plan::DeviceKind;
use bailiwick_protocol::error::Errno;

impl<H: Hw> Call<'_, H> {
    /// open(2)
    pub(crate) fn open(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.open_path(From::CWD, &path, self.word(1), self.word(2))
    }
    /// creat(2)
    pub(crate) fn creat(&mut self) -> Outcome {
        let path = self.path(0)?;
        let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE;
        self.open_path(From::CWD, &path, flags.bits(), self.word(1))
    }
    /// openat(2)
    pub(crate) fn openat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let from = self.base(self.int(0), &path)?;
        self.open_path(from, &path, self.word(2), self.word(3))
    }
    /// openat2(2)
    pub(crate) fn openat2(&mut self) -> Outcome {
        let path = self.path(1)?;
        if self.arg(3) != 24 {
            return Err(if self.arg(3) < 24 { Errno::EINVAL } else { Errno::E2BIG }.into());
        }
        let how: [u8; 24] = self.read_array(self.arg(2))?;
        let word =
            |at: usize| how.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let resolve = Resolve::from_bits(word(16)).ok_or(Errno::EINVAL)?;
        let flags = u32::try_from(word(0)).map_err(|_| Errno::EINVAL)?;
        let mode = u32::try_from(word(8)).ok().filter(|mode| mode & !0o7777 == 0).ok_or(Errno::EINVAL)?;
        let mut from = self.base(self.int(0), &path)?;
        from.resolve = resolve;
        self.open_path(from, &path, flags, mode)
    }

    fn open_path(&mut self, from: From, path: &[u8], flags: u32, mode: u32) -> Outcome {
        // Flags that are not known are ignored, as open(2) always did.
        let flags = OpenFlags::from_bits_truncate(flags);
        let opened =
            self.files(|vfs, env, caller| vfs.open(env, caller, from, path, flags, mode & 0o7777))?;
        self.opened(opened, flags)
    }

    /// Gives a descriptor to what was opened.
    fn opened(&mut self, opened: Opened, flags: OpenFlags) -> Outcome {
        let object = match opened {
            Opened::Regular(file) => Object::File(file),
            Opened::Directory(file) => Object::Directory(file),
            Opened::Path(file) => Object::Path(file),
            Opened::Namespace(file, id) => Object::Namespace(file, id),
            Opened::Fifo(file) => return self.open_fifo(file, flags),
            Opened::Character(file, major, minor) => match self.open_character((major, minor), flags) {
                Ok(device) => Object::Device(device, Some(file)),
                Err(errno) => {
                    descriptor::close_file(self.k, file);
                    return Err(errno.into());
                }
            },
            Opened::Block(file, major, minor) => {
                descriptor::close_file(self.k, file);
                self.may_open_device(DeviceKind::Block, (major, minor), flags)?;
                return Err(Errno::ENXIO.into());
            }
            Opened::Descriptor(process, number) => {
                let found = linux_of(self.k, process)?.descriptors.get(number).ok_or(Errno::ENOENT)?;
                descriptor::hold(self.k, found.description);
                return Ok(self.install(found.description, OnExec::of(flags), 0)?.into());
            }
        };
        let kept =
            flags - (OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::NO_TTY | OpenFlags::TRUNCATE);
        Ok(self.install_new(object, kept)?.into())
    }

    fn open_character(&mut self, number: (u32, u32), flags: OpenFlags) -> Result<Device, Errno> {
        self.may_open_device(DeviceKind::Character, number, flags)?;
        self.open_device(number.0, number.1, flags)
    }

    /// The rules of the process's resource group.
    fn may_open_device(&self, kind: DeviceKind, number: (u32, u32), flags: OpenFlags) -> Result<(), Errno> {
        let group = self.k.processes.get(self.process).map(|process| process.group).ok_or(Errno::ESRCH)?;
        let uses = [(flags.reads(), DeviceUse::Read), (flags.writes(), DeviceUse::Write)];
        uses.into_iter()
            .filter(|(does, _)| *does)
            .try_for_each(|(_, does)| self.k.groups.may_use_device(group, kind, number, does))
    }

    fn open_device(&mut self, major: u32, minor: u32, flags: OpenFlags) -> Result<Device, Errno> {
        if (major, minor) == PTMX {
            // As on a machine whose pseudo-terminals are all in use.
            return Err(Errno::ENOSPC);
        }
        let device = Device::numbered(major, minor).ok_or(Errno::ENXIO)?;
        if device != Device::Terminal {
            return Ok(device);
        }
        let me = self.me()?;
        let (leads, session) = (me.session == self.process, me.session);
        let terminal = &mut self.k.linux.terminal;
        if terminal.session.is_none()
            && leads
            && (major, minor) != (5, 0)
            && !flags.contains(OpenFlags::NO_TTY)
        {
            return Err(Errno::EIO);
        }
        if terminal.session == Some(session) { Ok(device) } else { Err(Errno::ENXIO) }
    }

    /// Opens a named pipe: an end waits for the other one (fifo(7)).
    fn open_fifo(&mut self, file: crate::vfs::FileId, flags: OpenFlags) -> Outcome {
        let result = self.join_fifo(file, flags);
        if result.is_err() {
            descriptor::close_file(self.k, file);
        }
        result
    }

    fn join_fifo(&mut self, file: crate::vfs::FileId, flags: OpenFlags) -> Outcome {
        let at = self.k.vfs.location(file)?;
        let stat = self.files(|vfs, env, _| vfs.stat(env, at))?;
        let key = (stat.device.1, stat.inode);
        let end = match (flags.reads(), flags.writes()) {
            (true, true) => End::Both,
            (true, false) => End::Read,
            _ => End::Write,
        };
        let number = match self.k.linux.fifos.get(&key) {
            Some(number) => *number,
            None => {
                let number = self.new_pipe()?;
                self.k.linux.fifos.insert(key, number);
                number
            }
        };
        let pipe = self.k.linux.pipes.get(number).ok_or(Errno::ENXIO)?;
        let (others, opens) = match end {
            End::Read => (pipe.writers, pipe.opens.1),
            End::Write => (pipe.readers, pipe.opens.0),
            End::Both => (1, 0),
        };
        let nonblock = flags.contains(OpenFlags::NONBLOCK);
        let waited = self.task()?.at_fifo.filter(|at| at.pipe == number && at.end == end);
        let met = others > 0 || waited.is_some_and(|at| at.seen != opens) || nonblock && end == End::Read;
        if !met && nonblock {
            if pipe.readers == 0 && pipe.writers == 0 {
                self.k.linux.pipes.remove(number);
                self.k.linux.fifos.remove(&key);
            }
            return Err(Errno::ENXIO.into());
        }
        if !met {
            // Its end counts as open from now on, so that whoever comes finds it.
            if waited.is_none() {
                descriptor::open_end(self.k, number, end);
                self.task_mut()?.at_fifo = Some(AtFifo { pipe: number, end, seen: opens });
                self.k.wake(Channel::Queue(number));
            }
            return Err(super::call::Stop::on(Channel::Queue(number)));
        }
        let kept =
            flags - (OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::NO_TTY | OpenFlags::TRUNCATE);
        let description = descriptor::describe(self.k, Object::Pipe(number, end, Some(file)), kept)?;
        let result = self.install(description, OnExec::of(flags), 0);
        descriptor::leave_fifo(self.k, self.thread);
        self.k.wake(Channel::Queue(number));
        // The description took the file over, installed or not.
        match result {
            Ok(number) => Ok(number.into()),
            Err(errno) => {
                self.k.vfs.hold_file(file);
                Err(errno.into())
            }
        }
    }

    fn new_pipe(&mut self) -> Result<u32, Errno> {
        let crate::kernel::Kernel { mem, groups, linux, .. } = &mut *self.k;
        linux.pipes.prepare().ok_or(Errno::ENFILE)?;
        Ok(linux.pipes.insert(Pipe::new(&Store { memory: mem, groups })?))
    }

    /// pipe(2)
    pub(crate) fn pipe(&mut self) -> Outcome {
        self.make_pipe(OpenFlags::empty())
    }
    /// pipe2(2)
    pub(crate) fn pipe2(&mut self) -> Outcome {
        let flags = OpenFlags::from_bits_truncate(self.word(1));
        let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NONBLOCK;
        if self.word(1) != flags.bits() || !known.contains(flags) {
            return Err(Errno::EINVAL.into());
        }
        self.make_pipe(flags)
    }
    fn make_pipe(&mut self, flags: OpenFlags) -> Outcome {
        let number = self.new_pipe()?;
        let read = match descriptor::describe(
            self.k,
            Object::Pipe(number, End::Read, None),
            flags - OpenFlags::CLOSE_ON_EXEC,
        ) {
            Ok(read) => read,
            Err(errno) => {
                self.k.linux.pipes.remove(number);
                return Err(errno.into());
            }
        };
        // The write end is made before the read end can be released by a failure.
        let write = descriptor::describe(
            self.k,
            Object::Pipe(number, End::Write, None),
            (flags - OpenFlags::CLOSE_ON_EXEC) | OpenFlags::WRITE_ONLY,
        );
        let ends = self.install(read, OnExec::of(flags), 0).and_then(|read| {
            let write = write.and_then(|write| self.install(write, OnExec::of(flags), 0));
            write.map(|write| (read, write)).inspect_err(|_| self.close_number(read))
        });
        let (read, write) = ends?;
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&read.to_le_bytes());
        bytes[4..].copy_from_slice(&write.to_le_bytes());
        if let Err(errno) = self.write_bytes(self.arg(0), &bytes) {
            self.close_number(read);
            self.close_number(write);
            return Err(errno.into());
        }
        Ok(0)
    }

    /// socketpair(2): streams between two processes, as two pipes.
    pub(crate) fn socketpair(&mut self) -> Outcome {
        const CLOEXEC: u32 = 0o2_000_000;
        const NONBLOCK: u32 = 0o4000;
        let kind = self.word(1) & !(CLOEXEC | NONBLOCK);
        if self.word(0) != 1 {
            return Err(Errno::EAFNOSUPPORT.into());
        }
        if kind != 1 || self.word(2) != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let mut flags = OpenFlags::READ_WRITE;
        flags.set(OpenFlags::CLOSE_ON_EXEC, self.word(1) & CLOEXEC != 0);
        flags.set(OpenFlags::NONBLOCK, self.word(1) & NONBLOCK != 0);
        let (there, back) = (self.new_pipe()?, self.new_pipe()?);
        let one = self.install_new(Object::Pair(there, back), flags)?;
        let two =
            self.install_new(Object::Pair(back, there), flags).inspect_err(|_| self.close_number(one))?;
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&one.to_le_bytes());
        bytes[4..].copy_from_slice(&two.to_le_bytes());
        if let Err(errno) = self.write_bytes(self.arg(3), &bytes) {
            self.close_number(one);
            self.close_number(two);
            return Err(errno.into());
        }
        Ok(0)
    }

    fn close_number(&mut self, number: u32) {
        if let Ok(me) = self.me_mut()
            && let Some(descriptor) = me.descriptors.take(number)
        {
            descriptor::release(self.k, descriptor.description);
        }
    }

    /// close(2)
    pub(crate) fn close(&mut self) -> Outcome {
        let number = u32::try_from(self.int(0)).map_err(|_| Errno::EBADF)?;
        let descriptor = self.me_mut()?.descriptors.take(number).ok_or(Errno::EBADF)?;
        descriptor::release(self.k, descriptor.description);
        Ok(0)
    }

    /// close_range(2)
    pub(crate) fn close_range(&mut self) -> Outcome {
        const UNSHARE: u32 = 2;
        const CLOEXEC: u32 = 4;
        let (first, last, flags) = (self.word(0), self.word(1), self.word(2));
        if first > last || flags & !(UNSHARE | CLOEXEC) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut from = first;
        while let Some(number) = self.me()?.descriptors.next(from).filter(|number| *number <= last) {
            if flags & CLOEXEC == 0 {
                self.close_number(number);
            } else if let Some(descriptor) = self.me_mut()?.descriptors.get_mut(number) {
                descriptor.on_exec = OnExec::Close;
            }
            from = number + 1;
        }
        Ok(0)
    }

    /// dup(2)
    pub(crate) fn dup(&mut self) -> Outcome {
        let description = self.description(self.int(0))?;
        descriptor::hold(self.k, description);
        Ok(self.install(description, OnExec::Keep, 0)?.into())
    }
    /// dup2(2)
    pub(crate) fn dup2(&mut self) -> Outcome {
        let description = self.description(self.int(0))?;
        if self.int(0) == self.int(1) {
            return Ok(self.word(1).into());
        }
        self.dup_to(description, OnExec::Keep)
    }
    /// dup3(2)
    pub(crate) fn dup3(&mut self) -> Outcome {
        let flags = OpenFlags::from_bits_truncate(self.word(2));
        if self.int(0) == self.int(1) || self.word(2) & !OpenFlags::CLOSE_ON_EXEC.bits() != 0 {
            return Err(Errno::EINVAL.into());
        }
        let description = self.description(self.int(0))?;
        self.dup_to(description, OnExec::of(flags))
    }
    fn dup_to(&mut self, description: descriptor::DescriptionId, on_exec: OnExec) -> Outcome {
        let number = self.word(1);
        if u64::from(number) >= self.me()?.limit(limit::NOFILE) {
            return Err(Errno::EBADF.into());
        }
        self.pay_up_to(number)?;
        descriptor::hold(self.k, description);
        let new = descriptor::Descriptor { description, on_exec };
        if let Some(old) = self.me_mut()?.descriptors.put(number, new) {
            descriptor::release(self.k, old.description);
        }
        Ok(number.into())
    }

    /// fcntl(2). Record locks are not kept here: asking for one is `ENOLCK`.
    pub(crate) fn fcntl(&mut self) -> Outcome {
        const F_DUPFD: u32 = 0;
        const F_GETFD: u32 = 1;
        const F_SETFD: u32 = 2;
        const F_GETFL: u32 = 3;
        const F_SETFL: u32 = 4;
        const F_DUPFD_CLOEXEC: u32 = 1030;
        const F_SETPIPE_SZ: u32 = 1031;
        const F_GETPIPE_SZ: u32 = 1032;
        let description = self.description(self.int(0))?;
        let (object, flags) = self.object(self.int(0))?;
        let number = self.word(0);
        match self.word(1) {
            command @ (F_DUPFD | F_DUPFD_CLOEXEC) => {
                let on_exec = if command == F_DUPFD { OnExec::Keep } else { OnExec::Close };
                descriptor::hold(self.k, description);
                Ok(self.install(description, on_exec, self.word(2))?.into())
            }
            F_GETFD => {
                let descriptor = self.me()?.descriptors.get(number).ok_or(Errno::EBADF)?;
                Ok(u64::from(descriptor.on_exec == OnExec::Close))
            }
            F_SETFD => {
                let on_exec = if self.arg(2) & 1 != 0 { OnExec::Close } else { OnExec::Keep };
                self.me_mut()?.descriptors.get_mut(number).ok_or(Errno::EBADF)?.on_exec = on_exec;
                Ok(0)
            }
            F_GETFL => Ok((flags | OpenFlags::LARGE_FILE).bits().into()),
            F_SETFL => {
                const CHANGEABLE: OpenFlags = OpenFlags::APPEND
                    .union(OpenFlags::NONBLOCK)
                    .union(OpenFlags::ASYNC)
                    .union(OpenFlags::DIRECT)
                    .union(OpenFlags::NO_ATIME);
                let new = OpenFlags::from_bits_truncate(self.word(2));
                self.set_status(description, (flags - CHANGEABLE) | (new & CHANGEABLE));
                if let Some(file) = object.file() {
                    self.k.vfs.set_flags(file, new)?;
                }
                Ok(0)
            }
            F_GETPIPE_SZ | F_SETPIPE_SZ => match object {
                Object::Pipe(..) if self.arg(2) <= CAPACITY as u64 || self.word(1) == F_GETPIPE_SZ => {
                    Ok(CAPACITY as u64)
                }
                Object::Pipe(..) => Err(Errno::EPERM.into()),
                _ => Err(Errno::EBADF.into()),
            },
            5..=7 | 36..=38 => Err(Errno::ENOLCK.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    pub(crate) fn set_status(&mut self, id: descriptor::DescriptionId, flags: OpenFlags) {
        if let Some(description) = self.k.linux.descriptions.get_mut(id.0) {
            description.flags = flags;
        }
    }

    /// flock(2): not kept here either.
    pub(crate) fn flock(&mut self) -> Outcome {
        self.description(self.int(0))?;
        Err(Errno::ENOLCK.into())
    }

    /// fsync(2), fdatasync(2): what is written is where it will ever be.
    pub(crate) fn fsync(&mut self) -> Outcome {
        match self.object(self.int(0))?.0 {
            Object::File(_) | Object::Directory(_) => Ok(0),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// memfd_create(2)
    pub(crate) fn memfd_create(&mut self) -> Outcome {
        self.read_string(self.arg(0), 250).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::EINVAL,
            errno => errno,
        })?;
        if self.word(1) & !1 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let file = self.files(|vfs, env, caller| vfs.open_nameless(env, caller))?;
        let mut flags = OpenFlags::READ_WRITE;
        flags.set(OpenFlags::CLOSE_ON_EXEC, self.word(1) & 1 != 0);
        Ok(self.install_new(Object::File(file), flags)?.into())
    }

    /// umask(2)
    pub(crate) fn umask(&mut self) -> Outcome {
        let new = self.word(0) & 0o777;
        let fs = self.me_mut()?.fs.as_mut().ok_or(Errno::ESRCH)?;
        Ok(core::mem::replace(&mut fs.umask, new).into())
    }
}
