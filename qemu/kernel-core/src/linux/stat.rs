//! System calls that show attributes: of files, of what is open, of file systems.

use super::call::{Call, Outcome};
use super::descriptor::{Device, Object};
use super::paths::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC, AT_SYMLINK_NOFOLLOW, Place, last_of,
};
use crate::cred::{Credentials, Gid, Uid};
use crate::hw::{Hw, PAGE};
use crate::vfs::{From, Last, Location, Stat, StatFs, Time, Want};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// The device number of `/dev/console`.
const CONSOLE: (u32, u32) = (5, 1);

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

/// The attributes of what is no file.
fn stat_of(object: Object, time: Time) -> Stat {
    let (mode, represents, inode) = match object {
        Object::Device(Device::Terminal, _) => (0o020_620, CONSOLE, 1),
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
    /// The attributes of `/dev/console`, if `object` is the terminal and the process sees that file. A terminal that
    /// was never opened by a name passes for it: ttyname(3) compares the two.
    fn console_file(&mut self, object: Object) -> Option<Stat> {
        if !matches!(object, Object::Device(Device::Terminal, _)) {
            return None;
        }
        let at = self.find_file(From::CWD, b"/dev/console", Last::Follow).ok()?;
        let stat = self.files(|vfs, env, _| vfs.stat(env, at)).ok()?;
        (stat.mode & 0o170_000 == 0o020_000 && stat.represents == CONSOLE).then_some(stat)
    }
    fn shown(&mut self, place: Place) -> Result<Shown, Errno> {
        let stat = match place {
            Place::File(at) => self.files(|vfs, env, _| vfs.stat(env, at))?,
            Place::Object(object) => match self.console_file(object) {
                Some(stat) => stat,
                None => {
                    let (seconds, nanoseconds) = self.k.mem.hw.realtime();
                    stat_of(object, Time { seconds: seconds as i64, nanoseconds })
                }
            },
        };
        let user = self.user_namespace()?;
        Ok(Shown { stat, uid: user.map_from(stat.uid), gid: user.map_group_from(stat.gid) })
    }

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
