//! System calls that take paths.

use super::call::{Call, Outcome, linux_of};
use super::descriptor::{Device, Object};
use crate::cred::{Capability, Credentials, Gid, Uid};
use crate::group::DeviceUse;
use crate::hw::{Hw, PAGE};
use crate::ns::user::UserNamespace;
use crate::vfs::{From, Last, Location, More, NewTime, Rename, Special, Stat, StatFs, Target, Time, Want};
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::DeviceKind;
use bailiwick_protocol::error::Errno;

pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_REMOVEDIR: u32 = 0x200;
const AT_EACCESS: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_NO_AUTOMOUNT: u32 = 0x800;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
/// Flags that say how fresh attributes must be: they always are.
const AT_STATX_SYNC: u32 = 0x6000;

/// What a path or descriptor leads to.
enum Place {
    File(Location),
    Object(Object),
}

/// Attributes as a process is to see them.
struct Shown {
    stat: Stat,
    uid: u32,
    gid: u32,
}

/// A device number as stat(2) gives it.
fn device((major, minor): (u32, u32)) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}
/// Major and minor of a device number as mknod(2) takes it.
fn numbers(device: u64) -> (u32, u32) {
    let major = (device >> 8 & 0xfff) | (device >> 32 & !0xfff);
    let minor = (device & 0xff) | (device >> 12 & 0xff_ff00);
    (major as u32, minor as u32)
}

/// The attributes of what is no file.
fn stat_of(object: Object, time: Time) -> Stat {
    let (mode, represents, inode) = match object {
        Object::Device(Device::Terminal, _) => (0o020_620, (5, 1), 1),
        Object::Device(..) => (0o020_666, (1, 3), 2),
        Object::Pipe(number, ..) => (0o010_600, (0, 0), u64::from(number) + 16),
        Object::Pair(number, _) => (0o140_777, (0, 0), u64::from(number) + 16),
        Object::Output(number) => (0o010_600, (0, 0), u64::from(number) + (1 << 32)),
        _ => (0, (0, 0), 0),
    };
    Stat {
        device: (0, 12),
        inode,
        mode,
        links: 1,
        uid: Uid::ROOT,
        gid: Gid::ROOT,
        represents,
        size: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
    }
}

impl Shown {
    /// `struct stat`
    fn to_stat(&self) -> [u8; 144] {
        let s = &self.stat;
        let mut bytes = [0; 144];
        let mut put = |at: usize, value: u64| {
            if let Some(to) = bytes.get_mut(at..at + 8) {
                to.copy_from_slice(&value.to_le_bytes());
            }
        };
        put(0, device(s.device));
        put(8, s.inode);
        put(16, s.links.into());
        put(24, u64::from(s.mode) | u64::from(self.uid) << 32);
        put(32, self.gid.into());
        put(40, device(s.represents));
        put(48, s.size);
        put(56, PAGE as u64);
        put(64, s.blocks);
        for (at, time) in [(72, s.atime), (88, s.mtime), (104, s.ctime)] {
            put(at, time.seconds as u64);
            put(at + 8, time.nanoseconds.into());
        }
        bytes
    }
    /// `struct statx`
    fn to_statx(&self) -> [u8; 256] {
        let s = &self.stat;
        let mut bytes = [0; 256];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(to) = bytes.get_mut(at..at + value.len()) {
                to.copy_from_slice(value);
            }
        };
        put(0, &0x7ffu32.to_le_bytes());
        put(4, &(PAGE as u32).to_le_bytes());
        put(16, &s.links.to_le_bytes());
        put(20, &self.uid.to_le_bytes());
        put(24, &self.gid.to_le_bytes());
        put(28, &(s.mode as u16).to_le_bytes());
        put(32, &s.inode.to_le_bytes());
        put(40, &s.size.to_le_bytes());
        put(48, &s.blocks.to_le_bytes());
        for (at, time) in [(64, s.atime), (96, s.ctime), (112, s.mtime)] {
            put(at, &time.seconds.to_le_bytes());
            put(at + 8, &time.nanoseconds.to_le_bytes());
        }
        for (at, number) in
            [(128, s.represents.0), (132, s.represents.1), (136, s.device.0), (140, s.device.1)]
        {
            put(at, &number.to_le_bytes());
        }
        bytes
    }
}

impl<H: Hw> Call<'_, H> {
    /// What relative paths of a `*at` call begin at.
    pub(crate) fn from(&self, number: i32) -> Result<From, Errno> {
        if number == AT_FDCWD {
            return Ok(From::CWD);
        }
        let file = self.file_of(number)?;
        Ok(From::dir(self.k.vfs.location(file)?))
    }
    /// As [`Self::from`]; an absolute path does not care.
    pub(crate) fn base(&self, number: i32, path: &[u8]) -> Result<From, Errno> {
        if path.first() == Some(&b'/') { Ok(From::CWD) } else { self.from(number) }
    }

    /// The file a path leads to.
    fn find_file(&mut self, from: From, path: &[u8], last: Last) -> Result<Location, Errno> {
        self.files(|vfs, env, caller| vfs.lookup(env, caller, from, path, last))
    }

    /// What a path, or a descriptor with an empty path, leads to.
    fn place(&mut self, number: i32, path: &[u8], flags: u32, last: Last) -> Result<Place, Errno> {
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            if number == AT_FDCWD {
                return self.find_file(From::CWD, b".", Last::Follow).map(Place::File);
            }
            let (object, _) = self.object(number)?;
            return match object.file() {
                Some(file) => Ok(Place::File(self.k.vfs.location(file)?)),
                None => Ok(Place::Object(object)),
            };
        }
        let from = self.base(number, path)?;
        let found = self.files(|vfs, env, caller| vfs.walk(env, caller, from, path, last))?;
        match found.target {
            Target::Descriptor(process, number) => {
                let id = linux_of(self.k, process)?.descriptors.get(number).ok_or(Errno::ENOENT)?.description;
                self.k.linux.descriptions.get(id.0).map(|d| Place::Object(d.object)).ok_or(Errno::ENOENT)
            }
            _ => {
                let at = found.file()?;
                if found.slash {
                    let stat = self.files(|vfs, env, _| vfs.stat(env, at))?;
                    if stat.mode & 0o170_000 != 0o040_000 {
                        return Err(Errno::ENOTDIR);
                    }
                }
                Ok(Place::File(at))
            }
        }
    }

    fn shown(&mut self, place: Place) -> Result<Shown, Errno> {
        let stat = match place {
            Place::File(at) => self.files(|vfs, env, _| vfs.stat(env, at))?,
            Place::Object(object) => {
                let (seconds, nanoseconds) = self.k.mem.hw.realtime();
                stat_of(object, Time { seconds: seconds as i64, nanoseconds })
            }
        };
        let user = self.user_namespace()?;
        Ok(Shown { stat, uid: user.map_from(stat.uid), gid: user.map_group_from(stat.gid) })
    }

    pub(crate) fn user_namespace(&self) -> Result<&UserNamespace, Errno> {
        self.k.vfs.namespaces.user(self.me()?.credentials.user_namespace).ok_or(Errno::EINVAL)
    }
    /// The kernel's user of an id in an argument; -1 is none.
    pub(crate) fn uid_arg(&self, at: usize) -> Result<Option<Uid>, Errno> {
        match self.word(at) {
            u32::MAX => Ok(None),
            id => self.user_namespace()?.map_into(id).map(Some).ok_or(Errno::EINVAL),
        }
    }
    /// The kernel's group of an id in an argument; -1 is none.
    pub(crate) fn gid_arg(&self, at: usize) -> Result<Option<Gid>, Errno> {
        match self.word(at) {
            u32::MAX => Ok(None),
            id => self.user_namespace()?.map_group_into(id).map(Some).ok_or(Errno::EINVAL),
        }
    }

    // ---- attributes --------------------------------------------------------------------------------------------

    fn stat_to(&mut self, number: i32, path: &[u8], flags: u32, last: Last, to: u64) -> Outcome {
        let place = self.place(number, path, flags, last)?;
        let bytes = self.shown(place)?.to_stat();
        self.write_bytes(to, &bytes)?;
        Ok(0)
    }
    /// stat(2)
    pub(crate) fn stat(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.stat_to(AT_FDCWD, &path, 0, Last::Follow, self.arg(1))
    }
    /// lstat(2)
    pub(crate) fn lstat(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.stat_to(AT_FDCWD, &path, 0, Last::NoFollow, self.arg(1))
    }
    /// fstat(2)
    pub(crate) fn fstat(&mut self) -> Outcome {
        self.object(self.int(0))?;
        self.stat_to(self.int(0), b"", AT_EMPTY_PATH, Last::Follow, self.arg(1))
    }
    /// newfstatat(2)
    pub(crate) fn newfstatat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let flags = self.word(3);
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.stat_to(self.int(0), &path, flags, last_of(flags), self.arg(2))
    }
    /// statx(2)
    pub(crate) fn statx(&mut self) -> Outcome {
        let path = if self.arg(1) == 0 { Vec::new() } else { self.path(1)? };
        let flags = self.word(2);
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let place = self.place(self.int(0), &path, flags, last_of(flags))?;
        let bytes = self.shown(place)?.to_statx();
        self.write_bytes(self.arg(4), &bytes)?;
        Ok(0)
    }

    fn check_access(&mut self, number: i32, path: &[u8], mode: u32, flags: u32) -> Outcome {
        let want = Want::from_bits(mode).ok_or(Errno::EINVAL)?;
        let place = self.place(number, path, flags, last_of(flags))?;
        let Place::File(at) = place else { return Ok(0) };
        let real = flags & AT_EACCESS == 0;
        let root = self.k.vfs.namespaces.root_uid(self.me()?.credentials.user_namespace);
        self.files(|vfs, env, caller| {
            let mut credentials: Credentials = caller.credentials.clone();
            if real {
                (credentials.fsuid, credentials.fsgid) = (credentials.uid, credentials.gid);
                if root != Some(credentials.uid) {
                    credentials.capabilities.effective = Default::default();
                } else {
                    credentials.capabilities.effective = credentials.capabilities.permitted;
                }
            }
            let caller = crate::vfs::Caller { credentials: &credentials, ..*caller };
            vfs.may_access(env, &caller, at, want)
        })?;
        Ok(0)
    }
    /// access(2)
    pub(crate) fn access(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.check_access(AT_FDCWD, &path, self.word(1), 0)
    }
    /// faccessat(2) has no flags, faccessat2(2) has; the number tells them apart.
    pub(crate) fn faccessat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let flags = if self.number()? == 439 { self.word(3) } else { 0 };
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS) != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.check_access(self.int(0), &path, self.word(2), flags)
    }
    /// The number of this call.
    pub(crate) fn number(&self) -> Result<u64, Errno> {
        Ok(self.thread()?.registers().rax)
    }

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

    // ---- entries -----------------------------------------------------------------------------------------------

    /// mkdir(2)
    pub(crate) fn mkdir(&mut self) -> Outcome {
        let path = self.path(0)?;
        let mode = self.word(1);
        self.files(|vfs, env, caller| vfs.mkdir(env, caller, From::CWD, &path, mode))?;
        Ok(0)
    }
    /// mkdirat(2)
    pub(crate) fn mkdirat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let (from, mode) = (self.base(self.int(0), &path)?, self.word(2));
        self.files(|vfs, env, caller| vfs.mkdir(env, caller, from, &path, mode))?;
        Ok(0)
    }
    /// rmdir(2)
    pub(crate) fn rmdir(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.files(|vfs, env, caller| vfs.rmdir(env, caller, From::CWD, &path))?;
        Ok(0)
    }
    /// unlink(2)
    pub(crate) fn unlink(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.files(|vfs, env, caller| vfs.unlink(env, caller, From::CWD, &path))?;
        Ok(0)
    }
    /// unlinkat(2)
    pub(crate) fn unlinkat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let from = self.base(self.int(0), &path)?;
        match self.word(2) {
            0 => self.files(|vfs, env, caller| vfs.unlink(env, caller, from, &path))?,
            AT_REMOVEDIR => self.files(|vfs, env, caller| vfs.rmdir(env, caller, from, &path))?,
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(0)
    }

    fn rename_to(&mut self, old: (From, &[u8]), new: (From, &[u8]), flags: u32) -> Outcome {
        let how = match flags {
            0 => Rename::Replace,
            1 => Rename::NoReplace,
            2 => Rename::Exchange,
            _ => return Err(Errno::EINVAL.into()),
        };
        self.files(|vfs, env, caller| vfs.rename(env, caller, old, new, how))?;
        Ok(0)
    }
    /// rename(2)
    pub(crate) fn rename(&mut self) -> Outcome {
        let (old, new) = (self.path(0)?, self.path(1)?);
        self.rename_to((From::CWD, &old), (From::CWD, &new), 0)
    }
    /// renameat(2)
    pub(crate) fn renameat(&mut self) -> Outcome {
        let (old, new) = (self.path(1)?, self.path(3)?);
        let (from, to) = (self.base(self.int(0), &old)?, self.base(self.int(2), &new)?);
        self.rename_to((from, &old), (to, &new), 0)
    }
    /// renameat2(2)
    pub(crate) fn renameat2(&mut self) -> Outcome {
        let (old, new) = (self.path(1)?, self.path(3)?);
        let (from, to) = (self.base(self.int(0), &old)?, self.base(self.int(2), &new)?);
        self.rename_to((from, &old), (to, &new), self.word(4))
    }

    fn link_to(&mut self, number: i32, old: &[u8], flags: u32, from: From, new: &[u8]) -> Outcome {
        if flags & AT_EMPTY_PATH != 0
            && !self.me()?.credentials.capabilities.effective.has(Capability::DAC_READ_SEARCH)
        {
            return Err(Errno::ENOENT.into());
        }
        let last = if flags & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::NoFollow };
        let Place::File(at) = self.place(number, old, flags, last)? else { return Err(Errno::EXDEV.into()) };
        self.files(|vfs, env, caller| vfs.link(env, caller, at, from, new))?;
        Ok(0)
    }
    /// link(2)
    pub(crate) fn link(&mut self) -> Outcome {
        let (old, new) = (self.path(0)?, self.path(1)?);
        self.link_to(AT_FDCWD, &old, 0, From::CWD, &new)
    }
    /// linkat(2)
    pub(crate) fn linkat(&mut self) -> Outcome {
        let (old, new) = (self.path(1)?, self.path(3)?);
        let to = self.base(self.int(2), &new)?;
        self.link_to(self.int(0), &old, self.word(4), to, &new)
    }
    /// symlink(2)
    pub(crate) fn symlink(&mut self) -> Outcome {
        let (target, path) = (self.path(0)?, self.path(1)?);
        self.files(|vfs, env, caller| vfs.symlink(env, caller, &target, From::CWD, &path))?;
        Ok(0)
    }
    /// symlinkat(2)
    pub(crate) fn symlinkat(&mut self) -> Outcome {
        let (target, path) = (self.path(0)?, self.path(2)?);
        let from = self.base(self.int(1), &path)?;
        self.files(|vfs, env, caller| vfs.symlink(env, caller, &target, from, &path))?;
        Ok(0)
    }

    fn read_link_to(&mut self, number: i32, path: &[u8], to: u64, size: usize) -> Outcome {
        if size == 0 || size > i32::MAX as usize {
            return Err(Errno::EINVAL.into());
        }
        let flags = if path.is_empty() && number != AT_FDCWD { AT_EMPTY_PATH } else { 0 };
        let Place::File(at) = self.place(number, path, flags, Last::NoFollow)? else {
            return Err(Errno::EINVAL.into());
        };
        let text = self.files(|vfs, env, caller| vfs.readlink(env, caller, at))?;
        let text = text.get(..size).unwrap_or(&text);
        self.write_bytes(to, text)?;
        Ok(text.len() as u64)
    }
    /// readlink(2)
    pub(crate) fn readlink(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.read_link_to(AT_FDCWD, &path, self.arg(1), self.word(2) as usize)
    }
    /// readlinkat(2)
    pub(crate) fn readlinkat(&mut self) -> Outcome {
        let path = self.path(1)?;
        self.read_link_to(self.int(0), &path, self.arg(2), self.word(3) as usize)
    }

    fn make_node(&mut self, from: From, path: &[u8], mode: u32, number: u64) -> Outcome {
        let (major, minor) = numbers(number);
        let what = match mode & 0o170_000 {
            0 | 0o100_000 => Special::Regular,
            0o020_000 => Special::Character(major, minor),
            0o060_000 => Special::Block(major, minor),
            0o010_000 => Special::Fifo,
            0o140_000 => Special::Socket,
            0o040_000 => return Err(Errno::EPERM.into()),
            _ => return Err(Errno::EINVAL.into()),
        };
        let device = match what {
            Special::Character(major, minor) => Some((DeviceKind::Character, (major, minor))),
            Special::Block(major, minor) => Some((DeviceKind::Block, (major, minor))),
            _ => None,
        };
        if let Some((kind, number)) = device {
            let group =
                self.k.processes.get(self.process).map(|process| process.group).ok_or(Errno::ESRCH)?;
            self.k.groups.may_use_device(group, kind, number, DeviceUse::Make)?;
        }
        self.files(|vfs, env, caller| vfs.mknod(env, caller, from, path, mode & 0o7777, what))?;
        Ok(0)
    }
    /// mknod(2)
    pub(crate) fn mknod(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.make_node(From::CWD, &path, self.word(1), self.arg(2))
    }
    /// mknodat(2)
    pub(crate) fn mknodat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let from = self.base(self.int(0), &path)?;
        self.make_node(from, &path, self.word(2), self.arg(3))
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

    /// getdents64(2)
    pub(crate) fn getdents64(&mut self) -> Outcome {
        let Object::Directory(file) = self.object(self.int(0))?.0 else { return Err(Errno::ENOTDIR.into()) };
        let room = (self.word(2) as usize).min(32 << 10);
        let mut offset = self.k.vfs.offset(file)?;
        let mut bytes = Vec::new();
        let mut first_too_large = false;
        self.files(|vfs, env, caller| {
            vfs.read_directory(env, caller, file, offset, &mut |entry| {
                let length = (19 + entry.name.len() + 1).next_multiple_of(8);
                if bytes.len() + length > room {
                    first_too_large = bytes.is_empty();
                    return More::Full;
                }
                let start = bytes.len();
                bytes.extend_from_slice(&entry.inode.to_le_bytes());
                bytes.extend_from_slice(&entry.next.to_le_bytes());
                bytes.extend_from_slice(&(length as u16).to_le_bytes());
                bytes.push(entry.kind);
                bytes.extend_from_slice(&entry.name);
                bytes.resize(start + length, 0);
                offset = entry.next;
                More::Room
            })
        })?;
        if first_too_large {
            return Err(Errno::EINVAL.into());
        }
        self.write_bytes(self.arg(1), &bytes)?;
        self.k.vfs.set_offset(file, offset)?;
        Ok(bytes.len() as u64)
    }

    // ---- places ------------------------------------------------------------------------------------------------

    /// getcwd(2)
    pub(crate) fn getcwd(&mut self) -> Outcome {
        let fs = self.me()?.fs.as_ref().ok_or(Errno::ESRCH)?;
        let mut path = self.k.vfs.getcwd(fs)?;
        path.push(0);
        if path.len() as u64 > self.arg(1) {
            return Err(Errno::ERANGE.into());
        }
        self.write_bytes(self.arg(0), &path)?;
        Ok(path.len() as u64)
    }

    fn enter(&mut self, at: Location) -> Outcome {
        self.files(|vfs, env, caller| vfs.may_enter(env, caller, at))?;
        self.change_place(|vfs, frames, fs| vfs.set_cwd(frames, fs, at))
    }
    pub(crate) fn change_place(
        &mut self,
        change: impl FnOnce(&mut crate::vfs::Vfs, &mut dyn crate::vfs::Frames, &mut crate::vfs::FsContext),
    ) -> Outcome {
        let crate::kernel::Kernel { vfs, mem, groups, processes, .. } = &mut *self.k;
        let linux = processes.get_mut(self.process).and_then(|process| process.linux_mut());
        let fs = linux.and_then(|linux| linux.fs.as_mut()).ok_or(Errno::ESRCH)?;
        change(vfs, &mut crate::vfs::Store { memory: mem, groups }, fs);
        Ok(0)
    }
    /// chdir(2)
    pub(crate) fn chdir(&mut self) -> Outcome {
        let path = self.path(0)?;
        let at = self.find_file(From::CWD, &path, Last::Follow)?;
        self.enter(at)
    }
    /// fchdir(2)
    pub(crate) fn fchdir(&mut self) -> Outcome {
        let file = self.file_of(self.int(0))?;
        let at = self.k.vfs.location(file)?;
        self.enter(at)
    }
    /// chroot(2)
    pub(crate) fn chroot(&mut self) -> Outcome {
        let path = self.path(0)?;
        let at = self.find_file(From::CWD, &path, Last::Follow)?;
        let me = &self.me()?.credentials;
        if !self.k.vfs.namespaces.capable(me, me.user_namespace, Capability::SYS_CHROOT) {
            return Err(Errno::EPERM.into());
        }
        self.files(|vfs, env, caller| vfs.may_enter(env, caller, at))?;
        self.change_place(|vfs, frames, fs| vfs.set_root(frames, fs, at))
    }

    fn stat_fs_to(&mut self, at: Location, to: u64) -> Outcome {
        let s: StatFs = self.k.vfs.stat_fs(at)?;
        let mut bytes = [0; 120];
        let words = [
            s.magic,
            PAGE as u64,
            s.blocks,
            s.free,
            s.free,
            s.inodes,
            s.free_inodes,
            s.id.into(),
            255,
            PAGE as u64,
            s.flags,
        ];
        for (position, word) in words.iter().enumerate() {
            if let Some(to) = bytes.get_mut(position * 8..position * 8 + 8) {
                to.copy_from_slice(&word.to_le_bytes());
            }
        }
        self.write_bytes(to, &bytes)?;
        Ok(0)
    }
    /// statfs(2)
    pub(crate) fn statfs(&mut self) -> Outcome {
        let path = self.path(0)?;
        let at = self.find_file(From::CWD, &path, Last::Follow)?;
        self.stat_fs_to(at, self.arg(1))
    }
    /// fstatfs(2)
    pub(crate) fn fstatfs(&mut self) -> Outcome {
        let file = self.object(self.int(0))?.0.file().ok_or(Errno::ENOSYS)?;
        let at = self.k.vfs.location(file)?;
        self.stat_fs_to(at, self.arg(1))
    }
}

fn last_of(flags: u32) -> Last {
    if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow }
}
