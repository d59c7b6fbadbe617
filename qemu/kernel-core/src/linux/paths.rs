//! Where paths lead, and the calls that move a process to another place.

use super::call::{Call, Outcome, linux_of};
use super::descriptor::Object;
use crate::cred::{Capability, Gid, Uid};
use crate::hw::Hw;
use crate::ns::user::UserNamespace;
use crate::vfs::{From, Last, Location, Target};
use bailiwick_protocol::error::Errno;

pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(super) const AT_REMOVEDIR: u32 = 0x200;
pub(super) const AT_EACCESS: u32 = 0x200;
pub(super) const AT_SYMLINK_FOLLOW: u32 = 0x400;
pub(super) const AT_NO_AUTOMOUNT: u32 = 0x800;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
/// Flags that say how fresh attributes must be: they always are.
pub(super) const AT_STATX_SYNC: u32 = 0x6000;

/// What a path or descriptor leads to.
pub(super) enum Place {
    File(Location),
    Object(Object),
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
    pub(super) fn find_file(&mut self, from: From, path: &[u8], last: Last) -> Result<Location, Errno> {
        self.files(|vfs, env, caller| vfs.lookup(env, caller, from, path, last))
    }

    /// What a path, or a descriptor with an empty path, leads to.
    pub(super) fn place(&mut self, number: i32, path: &[u8], flags: u32, last: Last) -> Result<Place, Errno> {
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
    /// The number of this call.
    pub(crate) fn number(&self) -> Result<u64, Errno> {
        Ok(self.thread()?.registers().rax)
    }

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
}

pub(super) fn last_of(flags: u32) -> Last {
    if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow }
}
