//! Memory: mmap(2) and its relatives.

use super::call::{Call, Outcome};
use super::descriptor::{Device, Object};
use crate::hw::{Hw, PAGE, Protection};
use crate::mm::{Advice, Backing, MapRequest, Place, Role, Sharing};
use bailiwick_protocol::error::Errno;

const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;
const MREMAP_MAYMOVE: u32 = 1;
const MREMAP_FIXED: u32 = 2;

fn protection(bits: u32) -> Result<Protection, Errno> {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, bits & 1 != 0);
    protection.set(Protection::WRITE, bits & 2 != 0);
    protection.set(Protection::EXECUTE, bits & 4 != 0);
    // PROT_GROWSDOWN and PROT_GROWSUP are for stacks of another time.
    if bits & !7 != 0 { Err(Errno::EINVAL) } else { Ok(protection) }
}

impl<H: Hw> Call<'_, H> {
    /// mmap(2)
    pub(crate) fn mmap(&mut self) -> Outcome {
        let (address, length, flags) = (self.arg(0), self.arg(1), self.word(3));
        let protection = protection(self.word(2))?;
        let sharing = match flags & 3 {
            MAP_SHARED | MAP_SHARED_VALIDATE => Sharing::Shared,
            MAP_PRIVATE => Sharing::Private,
            _ => return Err(Errno::EINVAL.into()),
        };
        let place = if flags & MAP_FIXED_NOREPLACE != 0 {
            Place::FixedNoReplace(address)
        } else if flags & MAP_FIXED != 0 {
            Place::Fixed(address)
        } else {
            Place::Hint(address)
        };
        let (backing, may_write) = if flags & MAP_ANONYMOUS != 0 {
            (Backing::Anonymous, true)
        } else {
            self.backing(sharing, protection, self.arg(5))?
        };
        let role = if flags & MAP_GROWSDOWN != 0 && backing == Backing::Anonymous {
            Role::Stack
        } else {
            Role::Plain
        };
        let request = MapRequest { place, length, protection, sharing, backing, may_write, role };
        let mapped = self.k.with_memory(self.process, |space, s| space.map(s, request));
        Ok(mapped.ok_or(Errno::ESRCH)??)
    }

    /// What a mapping of descriptor 4 shows, and whether it may be written.
    fn backing(&self, sharing: Sharing, wanted: Protection, offset: u64) -> Result<(Backing, bool), Errno> {
        let (object, flags) = self.object(self.int(4))?;
        if !offset.is_multiple_of(PAGE as u64) {
            return Err(Errno::EINVAL);
        }
        match object {
            Object::File(file) => {
                let may_write = sharing == Sharing::Private || flags.writes();
                if !flags.reads() || wanted.contains(Protection::WRITE) && !may_write {
                    return Err(Errno::EACCES);
                }
                if wanted.contains(Protection::EXECUTE) && self.is_noexec(file)? {
                    return Err(Errno::EPERM);
                }
                Ok((Backing::File { file, offset }, may_write))
            }
            Object::Device(Device::Zero, _) => Ok((Backing::Anonymous, true)),
            Object::Directory(_) => Err(Errno::ENODEV),
            Object::Path(_) => Err(Errno::EBADF),
            _ => Err(Errno::ENODEV),
        }
    }
    fn is_noexec(&self, file: crate::vfs::FileId) -> Result<bool, Errno> {
        use bailiwick_kernel_glue::plan::MountFlags;
        Ok(self.k.vfs.mount_flags(self.k.vfs.location(file)?)?.contains(MountFlags::NOEXEC))
    }

    /// munmap(2)
    pub(crate) fn munmap(&mut self) -> Outcome {
        let (at, length) = (self.arg(0), self.arg(1));
        self.k.with_memory(self.process, |space, s| space.unmap(s, at, length)).ok_or(Errno::ESRCH)??;
        Ok(0)
    }
    /// mprotect(2)
    pub(crate) fn mprotect(&mut self) -> Outcome {
        let (at, length, protection) = (self.arg(0), self.arg(1), protection(self.word(2))?);
        let changed = self.k.with_memory(self.process, |space, s| space.protect(s, at, length, protection));
        changed.ok_or(Errno::ESRCH)??;
        Ok(0)
    }
    /// mremap(2)
    pub(crate) fn mremap(&mut self) -> Outcome {
        let (at, old, new, flags) = (self.arg(0), self.arg(1), self.arg(2), self.word(3));
        let moving = match flags {
            0 => None,
            MREMAP_MAYMOVE => Some(Place::Hint(0)),
            f if f == MREMAP_MAYMOVE | MREMAP_FIXED => Some(Place::Fixed(self.arg(4))),
            _ => return Err(Errno::EINVAL.into()),
        };
        let moved = self.k.with_memory(self.process, |space, s| space.resize(s, at, old, new, moving));
        Ok(moved.ok_or(Errno::ESRCH)??)
    }
    /// madvise(2)
    pub(crate) fn madvise(&mut self) -> Outcome {
        let (at, length) = (self.arg(0), self.arg(1));
        let advice = match self.word(2) {
            4 => Advice::DontNeed,
            0..=3 | 8 | 14..=17 | 20 | 21 => Advice::Other,
            _ => return Err(Errno::EINVAL.into()),
        };
        let taken = self.k.with_memory(self.process, |space, s| space.advise(s, at, length, advice));
        taken.ok_or(Errno::ESRCH)??;
        Ok(0)
    }
    /// msync(2): files are in memory, where mappings write them.
    pub(crate) fn msync(&mut self) -> Outcome {
        if self.word(2) & !7 != 0 || !self.arg(0).is_multiple_of(PAGE as u64) {
            return Err(Errno::EINVAL.into());
        }
        Ok(0)
    }
    /// brk(2)
    pub(crate) fn brk(&mut self) -> Outcome {
        let end = self.arg(0);
        Ok(self.k.with_memory(self.process, |space, s| space.set_heap_end(s, end)).ok_or(Errno::ESRCH)?)
    }
}
