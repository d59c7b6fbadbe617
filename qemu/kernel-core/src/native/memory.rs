//! Memory: of the process itself, and objects that can be handed over.

use super::call::{Call, NOTHING, Outcome};
use super::host::with_host;
use crate::cap::Object;
use crate::hw::{Hw, PAGE, Protection};
use crate::mm::{Backing, MapRequest, Place, Role, Sharing};
use crate::vfs::FileId;
use bailiwick_abi::{Error, Rights};

/// Most bytes of one memory object or mapping.
const MEMORY_MAX: u64 = 1 << 30;

fn pages(bytes: u64) -> Result<u64, Error> {
    if bytes == 0 || bytes > MEMORY_MAX {
        return Err(Error::RANGE);
    }
    Ok(bytes.next_multiple_of(PAGE as u64))
}

impl<H: Hw> Call<'_, H> {
    fn map(&mut self, length: u64, protection: Protection, backing: Backing) -> Result<u64, Error> {
        let sharing = match backing {
            Backing::Anonymous => Sharing::Private,
            Backing::File { .. } => Sharing::Shared,
        };
        let request = MapRequest {
            place: Place::Hint(0),
            length,
            protection,
            sharing,
            backing,
            may_write: protection.contains(Protection::WRITE),
            role: Role::Plain,
        };
        let mapped = self.k.with_memory(self.process, |space, s| space.map(s, request));
        mapped.ok_or(Error::GONE)?.map_err(super::refused)
    }

    pub(super) fn allocate(&mut self) -> Outcome {
        self.k.room()?;
        let length = pages(self.arg(0))?;
        let address = self.map(length, Protection::READ | Protection::WRITE, Backing::Anonymous)?;
        Ok([address, length, 0])
    }
    pub(super) fn unmap(&mut self) -> Outcome {
        let (address, length) = (self.arg(0), pages(self.arg(1))?);
        let done = self.k.with_memory(self.process, |space, s| space.unmap(s, address, length));
        done.ok_or(Error::GONE)??;
        Ok(NOTHING)
    }

    pub(super) fn memory_create(&mut self) -> Outcome {
        self.k.room()?;
        let length = pages(self.arg(0))?;
        let group = self.group();
        let file = with_host(self.k, group, |vfs, env, caller| {
            let file = vfs.open_nameless(env, caller)?;
            match vfs.truncate_file(env, caller, file, length) {
                Ok(()) => Ok(file),
                Err(errno) => {
                    vfs.close(env.frames, file);
                    Err(errno)
                }
            }
        })?;
        self.hand_out(Object::Memory(file))
    }
    pub(super) fn memory_map(&mut self) -> Outcome {
        self.k.room()?;
        let wanted = Rights(self.arg(1) as u8);
        if !Rights::READ.with(Rights::WRITE).contains(wanted) || !wanted.contains(Rights::READ) {
            return Err(Error::RANGE.into());
        }
        let file: FileId = match self.object(0, bailiwick_abi::Kind::Memory, wanted)? {
            Object::Memory(file) => file,
            _ => return Err(Error::WRONG_KIND.into()),
        };
        let mut protection = Protection::READ;
        protection.set(Protection::WRITE, wanted.contains(Rights::WRITE));
        let length = self.k.vfs.size(file)?;
        let address = self.map(length, protection, Backing::File { file, offset: 0 })?;
        Ok([address, length, 0])
    }
}
