//! System calls on the entries of directories: make, remove, rename, link, list.

use super::call::{Call, Outcome};
use super::descriptor::Object;
use super::paths::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, Place};
use crate::cred::Capability;
use crate::group::DeviceUse;
use crate::hw::Hw;
use crate::vfs::{From, Last, More, Rename, Special};
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::DeviceKind;
use bailiwick_protocol::error::Errno;

/// Major and minor of a device number as mknod(2) takes it.
fn numbers(device: u64) -> (u32, u32) {
    let major = (device >> 8 & 0xfff) | (device >> 32 & !0xfff);
    let minor = (device & 0xff) | (device >> 12 & 0xff_ff00);
    (major as u32, minor as u32)
}

impl<H: Hw> Call<'_, H> {
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
}
