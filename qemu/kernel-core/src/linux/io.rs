//! Reading and writing: read(2), write(2) and their relatives, on everything a descriptor can stand for.

use super::call::{Call, Outcome, Stop, Waiting};
use super::descriptor::{Device, End, Object};
use super::pipe;
use super::process::{Interrupted, Progress, limit};
use super::signal::{SIGTTIN, SIGTTOU, SIGXFSZ, SignalInfo};
use super::tty::Input;
use super::{deliver, output_channel};
use crate::hw::Hw;
use crate::thread::Channel;
use crate::vfs::{FileId, OpenFlags, Store};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// Bytes copied at a time.
const CHUNK: usize = 16 << 10;
/// Most bytes of one call (`MAX_RW_COUNT`).
const CALL_MAX: u64 = 0x7fff_f000;
/// Most elements of a vector (`UIO_MAXIOV`).
const VECTORS_MAX: u64 = 1024;

/// A piece of user memory.
type Segment = (u64, u64);

/// What a read of the terminal came to.
enum Gave {
    Bytes(Vec<u8>),
    Wait(Stop),
}

impl<H: Hw> Call<'_, H> {
    fn one(&self) -> [Segment; 1] {
        [(self.arg(1), self.arg(2).min(CALL_MAX))]
    }

    /// The vector of readv(2) and its relatives.
    fn segments(&mut self) -> Result<Vec<Segment>, Errno> {
        let (at, count) = (self.arg(1), self.arg(2));
        if count > VECTORS_MAX {
            return Err(Errno::EINVAL);
        }
        let mut all = Vec::new();
        let mut left = CALL_MAX;
        for position in 0..count {
            let entry = at.wrapping_add(position * 16);
            let (base, length) = (self.read_u64(entry)?, self.read_u64(entry.wrapping_add(8))?);
            if length > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            all.push((base, length.min(left)));
            left -= length.min(left);
        }
        Ok(all)
    }

    /// read(2)
    pub(crate) fn read(&mut self) -> Outcome {
        let segments = self.one();
        self.read_into(&segments, None)
    }
    /// readv(2)
    pub(crate) fn readv(&mut self) -> Outcome {
        let segments = self.segments()?;
        self.read_into(&segments, None)
    }
    /// pread64(2)
    pub(crate) fn pread64(&mut self) -> Outcome {
        let segments = self.one();
        let at = self.position(self.arg(3))?;
        self.read_into(&segments, Some(at))
    }
    /// preadv(2)
    pub(crate) fn preadv(&mut self) -> Outcome {
        let segments = self.segments()?;
        let at = self.position(self.arg(3))?;
        self.read_into(&segments, Some(at))
    }
    /// write(2)
    pub(crate) fn write(&mut self) -> Outcome {
        let segments = self.one();
        self.write_from(&segments, None)
    }
    /// writev(2)
    pub(crate) fn writev(&mut self) -> Outcome {
        let segments = self.segments()?;
        self.write_from(&segments, None)
    }
    /// pwrite64(2)
    pub(crate) fn pwrite64(&mut self) -> Outcome {
        let segments = self.one();
        let at = self.position(self.arg(3))?;
        self.write_from(&segments, Some(at))
    }
    /// pwritev(2)
    pub(crate) fn pwritev(&mut self) -> Outcome {
        let segments = self.segments()?;
        let at = self.position(self.arg(3))?;
        self.write_from(&segments, Some(at))
    }

    /// The offset of pread(2) and pwrite(2).
    fn position(&self, at: u64) -> Result<u64, Errno> {
        if at > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        match self.object(self.int(0))?.0 {
            Object::File(_) | Object::Directory(_) | Object::Device(..) => Ok(at),
            _ => Err(Errno::ESPIPE),
        }
    }

    fn read_into(&mut self, segments: &[Segment], at: Option<u64>) -> Outcome {
        let (object, flags) = self.object(self.int(0))?;
        if !flags.reads() {
            return Err(Errno::EBADF.into());
        }
        let mut total = 0;
        for (base, length) in segments {
            let mut done = 0;
            while done < *length {
                let want = (length - done).min(CHUNK as u64) as usize;
                let to = base.wrapping_add(done);
                let read = self.read_chunk(object, flags, to, want, at.map(|at| at + total));
                let count = match read {
                    Ok(count) => count,
                    Err(_) if total > 0 => return Ok(total),
                    Err(stop) => return Err(stop),
                };
                total += count;
                done += count;
                if count < want as u64 || !matches!(object, Object::File(_) | Object::Device(..)) {
                    return Ok(total);
                }
            }
        }
        if total == 0
            && segments.iter().all(|(_, length)| *length == 0)
            && matches!(object, Object::Directory(_))
        {
            return Err(Errno::EISDIR.into());
        }
        Ok(total)
    }

    fn read_chunk(
        &mut self,
        object: Object,
        flags: OpenFlags,
        to: u64,
        want: usize,
        at: Option<u64>,
    ) -> Outcome {
        match object {
            Object::File(file) => self.read_file(file, to, want, at),
            Object::Directory(_) => Err(Errno::EISDIR.into()),
            Object::Path(_) => Err(Errno::EBADF.into()),
            Object::Namespace(..) | Object::Output(_) => Err(Errno::EINVAL.into()),
            Object::Pipe(pipe, ..) | Object::Pair(pipe, _) => self.read_pipe(pipe, flags, to, want),
            Object::Device(device, _) => self.read_device(device, flags, to, want),
        }
    }

    fn read_file(&mut self, file: FileId, to: u64, want: usize, at: Option<u64>) -> Outcome {
        let offset = match at {
            Some(at) => at,
            None => self.k.vfs.offset(file)?,
        };
        let mut buffer = alloc::vec![0; want];
        let count =
            self.files(|vfs, env, caller| vfs.read_at(env, caller, file, offset, buffer.as_mut_slice()))?;
        self.write_bytes(to, buffer.get(..count).unwrap_or(&[]))?;
        if at.is_none() {
            self.k.vfs.set_offset(file, offset + count as u64)?;
        }
        Ok(count as u64)
    }

    fn read_pipe(&mut self, number: u32, flags: OpenFlags, to: u64, want: usize) -> Outcome {
        let pipe = self.k.linux.pipes.get(number).ok_or(Errno::EBADF)?;
        if pipe.len() == 0 {
            if pipe.writers == 0 {
                return Ok(0);
            }
            if flags.contains(OpenFlags::NONBLOCK) {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Stop::on(Channel::Queue(number)));
        }
        let count = want.min(pipe.len());
        // Bytes leave the pipe only once it is known that they arrive.
        let count = self.reach(to, count, crate::mm::Access::Write)?;
        let mut buffer = alloc::vec![0; count];
        let crate::kernel::Kernel { linux, mem, groups, .. } = &mut *self.k;
        let pipe = linux.pipes.get_mut(number).ok_or(Errno::EBADF)?;
        let count = pipe.read(&mut Store { memory: mem, groups }, &mut buffer);
        self.write_bytes(to, buffer.get(..count).unwrap_or(&[]))?;
        self.k.wake(Channel::Queue(number));
        Ok(count as u64)
    }

    fn read_device(&mut self, device: Device, flags: OpenFlags, to: u64, want: usize) -> Outcome {
        match device {
            Device::Null => Ok(0),
            Device::Zero | Device::Full => {
                let cleared = self.k.with_memory(self.process, |space, s| space.clear(s, to, want));
                cleared.ok_or(Errno::ESRCH)??;
                Ok(want as u64)
            }
            Device::Random => {
                let mut buffer = alloc::vec![0; want];
                for chunk in buffer.chunks_mut(8) {
                    let word = self.k.mem.hw.random().to_le_bytes();
                    chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
                }
                self.write_bytes(to, &buffer)?;
                Ok(want as u64)
            }
            Device::Terminal => match self.read_terminal(flags, to, want)? {
                Gave::Bytes(bytes) => {
                    self.write_bytes(to, &bytes)?;
                    Ok(bytes.len() as u64)
                }
                Gave::Wait(stop) => Err(stop),
            },
        }
    }

    fn read_terminal(&mut self, flags: OpenFlags, to: u64, want: usize) -> Result<Gave, Stop> {
        self.in_foreground(SIGTTIN)?;
        super::console_input(self.k);
        let want = self.reach(to, want, crate::mm::Access::Write)?;
        let mut buffer = alloc::vec![0; want];
        if let Input::Bytes(count) = self.k.linux.terminal.read(&mut buffer) {
            buffer.truncate(count);
            return Ok(Gave::Bytes(buffer));
        }
        if flags.contains(OpenFlags::NONBLOCK) {
            return Err(Errno::EAGAIN.into());
        }
        let mut deadline = None;
        if let Some(tenths) = self.k.linux.terminal.read_timeout() {
            let at = self.deadline(u64::from(tenths) * 100_000_000)?;
            if at <= self.now() {
                return Ok(Gave::Bytes(Vec::new()));
            }
            deadline = Some(at);
        }
        Ok(Gave::Wait(Stop::Wait(Waiting {
            channels: alloc::vec![Channel::Console],
            deadline,
            interrupted: Interrupted::Restarts,
        })))
    }

    /// The terminal is for the session it controls, and in that for the foreground. Others are stopped by `signal`.
    pub(crate) fn in_foreground(&mut self, signal: u8) -> Result<(), Stop> {
        let me = self.me()?;
        let terminal = &self.k.linux.terminal;
        if terminal.session != Some(me.session) {
            return Err(Errno::EIO.into());
        }
        if terminal.foreground.is_none_or(|group| group == me.process_group) {
            return Ok(());
        }
        let blocked =
            self.task()?.mask.has(signal) || me.actions.get(signal).handler == super::signal::SIG_IGN;
        if blocked {
            return if signal == SIGTTOU { Ok(()) } else { Err(Errno::EIO.into()) };
        }
        let group = me.process_group;
        deliver::send_to_group(self.k, group, signal, SignalInfo::KERNEL);
        Err(Stop::on(Channel::Process(self.process)))
    }

    fn write_from(&mut self, segments: &[Segment], at: Option<u64>) -> Outcome {
        let (object, flags) = self.object(self.int(0))?;
        if !flags.writes() {
            return Err(Errno::EBADF.into());
        }
        let total: u64 = segments.iter().map(|(_, length)| *length).sum();
        let mut done = match self.task()?.progress {
            Progress::Written(done) => done.min(total),
            _ => 0,
        };
        while done < total {
            let chunk = match self.gather(segments, done) {
                Ok(chunk) => chunk,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno.into()),
            };
            match self.put(object, flags, &chunk, at.map(|at| at + done)) {
                Ok(count) => {
                    done += count as u64;
                    if count == 0 || count < chunk.len() && matches!(object, Object::File(_)) {
                        return Ok(done);
                    }
                }
                Err(Stop::Wait(waiting)) => {
                    if done > 0 {
                        self.task_mut()?.progress = Progress::Written(done);
                    }
                    return Err(Stop::Wait(waiting));
                }
                Err(_) if done > 0 => return Ok(done),
                Err(stop) => return Err(stop),
            }
        }
        Ok(done)
    }

    /// The next bytes of the segments after the first `done`, at most a chunk.
    fn gather(&mut self, segments: &[Segment], done: u64) -> Result<Vec<u8>, Errno> {
        let mut chunk = Vec::new();
        let mut skip = done;
        for (base, length) in segments {
            if skip >= *length {
                skip -= length;
                continue;
            }
            let from = base.wrapping_add(skip);
            let want = ((length - skip) as usize).min(CHUNK - chunk.len());
            skip = 0;
            let had = chunk.len();
            let count = match self.reach(from, want, crate::mm::Access::Read) {
                Ok(count) => count,
                Err(_) if had > 0 => return Ok(chunk),
                Err(errno) => return Err(errno),
            };
            chunk.resize(had + count, 0);
            if let Some(to) = chunk.get_mut(had..) {
                self.read_bytes(from, to)?;
            }
            if count < want || chunk.len() == CHUNK {
                break;
            }
        }
        Ok(chunk)
    }

    /// Writes bytes of the kernel; returns how many. Waits only if none could be written.
    pub(crate) fn put(
        &mut self,
        object: Object,
        flags: OpenFlags,
        bytes: &[u8],
        at: Option<u64>,
    ) -> Result<usize, Stop> {
        match object {
            Object::File(file) => self.write_file(file, bytes, at),
            Object::Directory(_) | Object::Path(_) => Err(Errno::EBADF.into()),
            Object::Namespace(..) => Err(Errno::EINVAL.into()),
            Object::Pipe(pipe, end, _) if end != End::Read => self.write_pipe(pipe, flags, bytes),
            Object::Pipe(..) => Err(Errno::EBADF.into()),
            Object::Pair(_, pipe) => self.write_pipe(pipe, flags, bytes),
            Object::Output(number) => {
                if let Some(output) = self.k.linux.outputs.get_mut(number) {
                    output.write(bytes);
                }
                self.k.wake(output_channel(number));
                self.k.container_wrote(number);
                Ok(bytes.len())
            }
            Object::Device(Device::Null | Device::Zero | Device::Random, _) => Ok(bytes.len()),
            Object::Device(Device::Full, _) => Err(Errno::ENOSPC.into()),
            Object::Device(Device::Terminal, _) => {
                if self.k.linux.terminal.stops_writers() {
                    self.in_foreground(SIGTTOU)?;
                } else if self.k.linux.terminal.session != Some(self.me()?.session) {
                    return Err(Errno::EIO.into());
                }
                let mut shown = Vec::new();
                self.k.linux.terminal.process(bytes, &mut shown);
                self.k.mem.hw.console_write(&shown);
                Ok(bytes.len())
            }
        }
    }

    fn write_file(&mut self, file: FileId, bytes: &[u8], at: Option<u64>) -> Result<usize, Stop> {
        let append = self.k.vfs.flags(file)?.contains(OpenFlags::APPEND);
        let offset = match at {
            _ if append => self.k.vfs.size(file)?,
            Some(at) => at,
            None => self.k.vfs.offset(file)?,
        };
        let limit = self.me()?.limit(limit::FSIZE);
        let bytes = match limit.checked_sub(offset) {
            None | Some(0) if !bytes.is_empty() => {
                deliver::send_to_thread(self.k, self.thread, SIGXFSZ, SignalInfo::KERNEL);
                return Err(Errno::EFBIG.into());
            }
            room => bytes.get(..usize::try_from(room.unwrap_or(0)).unwrap_or(usize::MAX)).unwrap_or(bytes),
        };
        let (count, next) = self.files(|vfs, env, caller| vfs.write_at(env, caller, file, offset, bytes))?;
        if at.is_none() {
            self.k.vfs.set_offset(file, next)?;
        }
        Ok(count)
    }

    fn write_pipe(&mut self, number: u32, flags: OpenFlags, bytes: &[u8]) -> Result<usize, Stop> {
        let pipe = self.k.linux.pipes.get(number).ok_or(Errno::EBADF)?;
        if pipe.readers == 0 {
            return Err(self.broken_pipe().into());
        }
        let needed = if bytes.len() <= pipe::ATOMIC { bytes.len() } else { 1 };
        if pipe.room() < needed {
            if flags.contains(OpenFlags::NONBLOCK) {
                return Err(Errno::EAGAIN.into());
            }
            return Err(Stop::on(Channel::Queue(number)));
        }
        let group = self.k.processes.get(self.process).map(|process| process.group).ok_or(Errno::ESRCH)?;
        let crate::kernel::Kernel { linux, mem, groups, .. } = &mut *self.k;
        let pipe = linux.pipes.get_mut(number).ok_or(Errno::EBADF)?;
        let count = pipe.write(&mut Store { memory: mem, groups }, group, bytes)?;
        self.k.wake(Channel::Queue(number));
        Ok(count)
    }

    /// sendfile(2): from a file to anything.
    pub(crate) fn sendfile(&mut self) -> Outcome {
        let (out, out_flags) = self.object(self.int(0))?;
        let (input, in_flags) = self.object(self.int(1))?;
        if !out_flags.writes() || !in_flags.reads() {
            return Err(Errno::EBADF.into());
        }
        let Object::File(file) = input else { return Err(Errno::EINVAL.into()) };
        if out_flags.contains(OpenFlags::APPEND) && matches!(out, Object::File(_)) {
            return Err(Errno::EINVAL.into());
        }
        let given = self.arg(2);
        let mut offset = if given != 0 { self.read_u64(given)? } else { self.k.vfs.offset(file)? };
        let count = self.arg(3).min(CALL_MAX);
        let mut done = 0;
        let mut buffer = alloc::vec![0; CHUNK.min(count as usize)];
        while done < count {
            let want = (count - done).min(CHUNK as u64) as usize;
            let part = buffer.get_mut(..want).unwrap_or_default();
            let read = self.files(|vfs, env, caller| vfs.read_at(env, caller, file, offset, part))?;
            let part = buffer.get(..read).unwrap_or_default();
            let written = match self.put(out, out_flags, part, None) {
                Ok(written) => written,
                Err(_) if done > 0 => break,
                Err(stop) => return Err(stop),
            };
            done += written as u64;
            offset += written as u64;
            if written < want {
                break;
            }
        }
        if given != 0 {
            self.write_u64(given, offset)?;
        } else {
            self.k.vfs.set_offset(file, offset)?;
        }
        Ok(done)
    }

    /// lseek(2)
    pub(crate) fn lseek(&mut self) -> Outcome {
        let (object, _) = self.object(self.int(0))?;
        let file = match object {
            Object::File(file) | Object::Directory(file) => file,
            Object::Device(Device::Terminal, _) | Object::Pipe(..) | Object::Pair(..) | Object::Output(_) => {
                return Err(Errno::ESPIPE.into());
            }
            Object::Device(..) => return Ok(0),
            Object::Path(_) | Object::Namespace(..) => return Err(Errno::EBADF.into()),
        };
        let offset = self.arg(1) as i64;
        let size = self.k.vfs.size(file)? as i64;
        let base = match self.word(2) {
            0 => 0,
            1 => self.k.vfs.offset(file)? as i64,
            2 => size,
            // Data is everywhere up to the end (SEEK_DATA, SEEK_HOLE).
            3 | 4 if offset < 0 || offset >= size => return Err(Errno::ENXIO.into()),
            3 => 0,
            4 => size.wrapping_sub(offset),
            _ => return Err(Errno::EINVAL.into()),
        };
        let at = base.checked_add(offset).filter(|at| *at >= 0).ok_or(Errno::EINVAL)? as u64;
        self.k.vfs.set_offset(file, at)?;
        Ok(at)
    }
}
