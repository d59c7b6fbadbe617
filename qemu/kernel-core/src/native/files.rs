//! Directories and files: confined to the directory a capability stands for, bounded, read only.

use super::call::{Call, Outcome, PATH_MAX};
use super::host::with_host;
use crate::cap::{Capability, Object};
use crate::hw::Hw;
use crate::vfs::{FileId, From, Location, More, OpenFlags, Opened};
use alloc::vec::Vec;
use bailiwick_abi::{Error, Handle, Kind, Rights};
use bailiwick_protocol::error::Errno;

/// Most bytes that one call reads: a longer one is cut, and the caller goes on where it ended.
const READ_MAX: usize = 64 << 10;

/// The open file behind what was opened, if it is one.
fn file_of(opened: Opened) -> Option<FileId> {
    match opened {
        Opened::Regular(file)
        | Opened::Directory(file)
        | Opened::Character(file, ..)
        | Opened::Block(file, ..)
        | Opened::Fifo(file)
        | Opened::Path(file)
        | Opened::Namespace(file, _) => Some(file),
        Opened::Descriptor(..) => None,
    }
}

impl<H: Hw> Call<'_, H> {
    /// The place of the directory that a handle names.
    pub(super) fn directory(&self, handle: Handle, rights: Rights) -> Result<Location, Error> {
        match self.named(handle, Kind::Directory, rights)? {
            Object::Directory(file) => self.k.vfs.location(file).map_err(super::refused),
            _ => Err(Error::WRONG_KIND),
        }
    }

    /// Opens what the first argument's directory and the path in the next two name, and does something with it if it
    /// is of the right kind.
    fn with_file<T>(
        &mut self,
        flags: OpenFlags,
        work: impl FnOnce(
            &mut crate::vfs::Vfs,
            &mut crate::vfs::Env<'_>,
            &crate::vfs::Caller<'_>,
            FileId,
        ) -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let from = From::below(self.directory(self.handle(0), Rights::READ)?);
        let path = self.text(1, PATH_MAX)?;
        let path = relative(&path);
        let group = self.group();
        let done = with_host(self.k, group, |vfs, env, caller| {
            let opened = vfs.open(env, caller, from, path, flags, 0)?;
            let file = file_of(opened).ok_or(Errno::ENXIO)?;
            let done = match opened {
                Opened::Regular(_) | Opened::Directory(_) => work(vfs, env, caller, file),
                // A device is an authority of its own, which a directory does not carry.
                _ => Err(Errno::EINVAL),
            };
            vfs.close(env.frames, file);
            done
        });
        done.map_err(super::refused)
    }

    pub(super) fn directory_open(&mut self) -> Outcome {
        let node = self.k.caps.node(self.space, self.handle(0))?;
        let held = self.look(0)?;
        let rights = held.rights.restrict(Rights(self.arg(3) as u8));
        let file = self.with_file(OpenFlags::DIRECTORY, |vfs, _, _, file| {
            vfs.hold_file(file);
            Ok(file)
        })?;
        let capability = Capability { object: Object::Directory(file), rights, badge: 0 };
        match self.k.caps.insert_below(self.space, capability, Some(node)) {
            Ok(handle) => Ok([handle.0, 0, 0]),
            Err(error) => {
                self.k.object_gone(Object::Directory(file));
                Err(error.into())
            }
        }
    }

    pub(super) fn file_read(&mut self) -> Outcome {
        let (offset, address) = (self.arg(3), self.arg(4));
        let length = self.length(5).min(READ_MAX);
        self.writable(address, length)?;
        let (bytes, size) = self.with_file(OpenFlags::empty(), |vfs, env, caller, file| {
            let mut bytes = alloc::vec![0; length];
            let count = vfs.read_at(env, caller, file, offset, &mut bytes)?;
            bytes.truncate(count);
            Ok((bytes, vfs.size(file)?))
        })?;
        self.write_bytes(address, &bytes)?;
        Ok([bytes.len() as u64, size, 0])
    }

    pub(super) fn directory_list(&mut self) -> Outcome {
        let (position, address) = (self.arg(3), self.arg(4));
        let length = self.length(5).min(READ_MAX);
        self.writable(address, length)?;
        let (bytes, next) = self.with_file(OpenFlags::DIRECTORY, |vfs, env, caller, file| {
            let (mut bytes, mut next) = (Vec::new(), position);
            vfs.read_directory(env, caller, file, position, &mut |entry| {
                if bytes.len() + entry.name.len() + 2 > length {
                    return More::Full;
                }
                bytes.push(letter(entry.kind));
                bytes.extend_from_slice(&entry.name);
                bytes.push(0);
                next = entry.next;
                More::Room
            })?;
            Ok((bytes, next))
        })?;
        self.write_bytes(address, &bytes)?;
        Ok([bytes.len() as u64, next, 0])
    }
}

/// A path with slashes in front begins at the directory like any other.
fn relative(path: &[u8]) -> &[u8] {
    match path.iter().position(|byte| *byte != b'/') {
        Some(start) => path.get(start..).unwrap_or_default(),
        None if path.is_empty() => path,
        None => b".",
    }
}

/// The letter that ls(1) shows for a type of entry.
fn letter(kind: u8) -> u8 {
    match kind {
        1 => b'p',
        2 => b'c',
        4 => b'd',
        6 => b'b',
        10 => b'l',
        12 => b's',
        _ => b'-',
    }
}
