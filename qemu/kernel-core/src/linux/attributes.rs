//! System calls that change attributes: mode, owner, times and size.

use super::call::{Call, Outcome};
use super::descriptor::Object;
use super::paths::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Place, last_of};
use crate::hw::Hw;
use crate::vfs::{From, Last, NewTime, Time};
use bailiwick_protocol::error::Errno;

impl<H: Hw> Call<'_, H> {
    fn set_mode(&mut self, number: i32, path: &[u8], flags: u32, mode: u32) -> Outcome {
        if flags & AT_SYMLINK_NOFOLLOW != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let Place::File(at) = self.place(number, path, flags, Last::Follow)? else {
            return Err(Errno::EPERM.into());
        };
        self.files(|vfs, env, caller| vfs.chmod(env, caller, at, mode & 0o7777))?;
        Ok(0)
    }
    /// chmod(2)
    pub(crate) fn chmod(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.set_mode(AT_FDCWD, &path, 0, self.word(1))
    }
    /// fchmod(2)
    pub(crate) fn fchmod(&mut self) -> Outcome {
        self.object(self.int(0))?;
        self.set_mode(self.int(0), b"", AT_EMPTY_PATH, self.word(1))
    }
    /// fchmodat(2), fchmodat2(2)
    pub(crate) fn fchmodat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let flags = if self.number()? == 452 { self.word(3) } else { 0 };
        self.set_mode(self.int(0), &path, flags, self.word(2))
    }

    fn set_owner(&mut self, number: i32, path: &[u8], flags: u32, last: Last, ids: usize) -> Outcome {
        let (uid, gid) = (self.uid_arg(ids)?, self.gid_arg(ids + 1)?);
        let Place::File(at) = self.place(number, path, flags, last)? else { return Err(Errno::EPERM.into()) };
        self.files(|vfs, env, caller| vfs.chown(env, caller, at, uid, gid))?;
        Ok(0)
    }
    /// chown(2)
    pub(crate) fn chown(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.set_owner(AT_FDCWD, &path, 0, Last::Follow, 1)
    }
    /// lchown(2)
    pub(crate) fn lchown(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.set_owner(AT_FDCWD, &path, 0, Last::NoFollow, 1)
    }
    /// fchown(2)
    pub(crate) fn fchown(&mut self) -> Outcome {
        self.object(self.int(0))?;
        self.set_owner(self.int(0), b"", AT_EMPTY_PATH, Last::Follow, 1)
    }
    /// fchownat(2)
    pub(crate) fn fchownat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let flags = self.word(4);
        self.set_owner(self.int(0), &path, flags, last_of(flags), 2)
    }

    fn set_times(&mut self, number: i32, path: &[u8], flags: u32, times: [NewTime; 2]) -> Outcome {
        let [atime, mtime] = times;
        let Place::File(at) = self.place(number, path, flags, last_of(flags))? else { return Ok(0) };
        self.files(|vfs, env, caller| vfs.set_times(env, caller, at, atime, mtime))?;
        Ok(0)
    }
    /// utimensat(2)
    pub(crate) fn utimensat(&mut self) -> Outcome {
        const UTIME_NOW: u64 = (1 << 30) - 1;
        const UTIME_OMIT: u64 = (1 << 30) - 2;
        let mut times = [NewTime::Now, NewTime::Now];
        if self.arg(2) != 0 {
            for (position, time) in times.iter_mut().enumerate() {
                let at = self.arg(2).wrapping_add(position as u64 * 16);
                let (seconds, nanoseconds) = (self.read_u64(at)?, self.read_u64(at.wrapping_add(8))?);
                *time = match nanoseconds {
                    UTIME_NOW => NewTime::Now,
                    UTIME_OMIT => NewTime::Omit,
                    0..1_000_000_000 => {
                        NewTime::At(Time { seconds: seconds as i64, nanoseconds: nanoseconds as u32 })
                    }
                    _ => return Err(Errno::EINVAL.into()),
                };
            }
        }
        if self.arg(1) == 0 {
            self.object(self.int(0))?;
            return self.set_times(self.int(0), b"", AT_EMPTY_PATH, times);
        }
        let path = self.path(1)?;
        self.set_times(self.int(0), &path, self.word(3), times)
    }
    /// utime(2)
    pub(crate) fn utime(&mut self) -> Outcome {
        let path = self.path(0)?;
        let mut times = [NewTime::Now, NewTime::Now];
        if self.arg(1) != 0 {
            for (position, time) in times.iter_mut().enumerate() {
                let seconds = self.read_u64(self.arg(1).wrapping_add(position as u64 * 8))? as i64;
                *time = NewTime::At(Time { seconds, nanoseconds: 0 });
            }
        }
        self.set_times(AT_FDCWD, &path, 0, times)
    }
    /// utimes(2)
    pub(crate) fn utimes(&mut self) -> Outcome {
        let path = self.path(0)?;
        let mut times = [NewTime::Now, NewTime::Now];
        if self.arg(1) != 0 {
            for (position, time) in times.iter_mut().enumerate() {
                let at = self.arg(1).wrapping_add(position as u64 * 16);
                let (seconds, micros) = (self.read_u64(at)?, self.read_u64(at.wrapping_add(8))?);
                if micros >= 1_000_000 {
                    return Err(Errno::EINVAL.into());
                }
                *time = NewTime::At(Time { seconds: seconds as i64, nanoseconds: micros as u32 * 1000 });
            }
        }
        self.set_times(AT_FDCWD, &path, 0, times)
    }

    /// truncate(2)
    pub(crate) fn truncate(&mut self) -> Outcome {
        let path = self.path(0)?;
        let size = self.size_arg(1)?;
        let at = self.find_file(From::CWD, &path, Last::Follow)?;
        self.files(|vfs, env, caller| vfs.truncate(env, caller, at, size))?;
        Ok(0)
    }
    /// ftruncate(2)
    pub(crate) fn ftruncate(&mut self) -> Outcome {
        let size = self.size_arg(1)?;
        let Object::File(file) = self.object(self.int(0))?.0 else { return Err(Errno::EINVAL.into()) };
        self.files(|vfs, env, caller| vfs.truncate_file(env, caller, file, size))?;
        Ok(0)
    }
    /// fallocate(2): room is never promised, but the size is set.
    pub(crate) fn fallocate(&mut self) -> Outcome {
        let Object::File(file) = self.object(self.int(0))?.0 else { return Err(Errno::ENODEV.into()) };
        if self.word(1) != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let end = self.arg(2).checked_add(self.arg(3)).filter(|end| *end <= i64::MAX as u64);
        let end = end.filter(|_| self.arg(3) > 0).ok_or(Errno::EINVAL)?;
        if end > self.k.vfs.size(file)? {
            self.files(|vfs, env, caller| vfs.truncate_file(env, caller, file, end))?;
        }
        Ok(0)
    }
    fn size_arg(&mut self, at: usize) -> Result<u64, super::call::Stop> {
        let size = self.arg(at);
        if size > i64::MAX as u64 {
            return Err(Errno::EINVAL.into());
        }
        if size > self.me()?.limit(super::process::limit::FSIZE) {
            let info = super::signal::SignalInfo::KERNEL;
            super::deliver::send_to_thread(self.k, self.thread, super::signal::SIGXFSZ, info);
            return Err(Errno::EFBIG.into());
        }
        Ok(size)
    }
}
