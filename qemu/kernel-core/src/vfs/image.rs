//! The boot image: a cpio archive in "newc" format whose file data begins on page boundaries.
//!
//! Nothing is copied: a file's contents are the archive's own frames. A file whose data does not begin on a page
//! boundary is copied into frames charged to the kernel's own group.

use super::access::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG};
use super::data::{Data, Payer, Quota};
use super::tree::Entry;
use super::tree::{Kind, Owner};
use super::{EntryId, Env, Frames, InodeId, Location, Node, Time, Vfs};
use crate::cred::{Gid, Uid};
use crate::hw::{Frame, PAGE};
use crate::memory::GroupId;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";

/// Where the boot image lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootImage {
    /// Its first frame; the image begins at the frame's first byte.
    pub first: Frame,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The fields of a header that matter.
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: u32,
    size: u64,
    device: (u32, u32),
    name: Vec<u8>,
    data: u64,
    next: u64,
}

impl BootImage {
    /// Copies `count` bytes at `offset`.
    fn read(&self, frames: &dyn Frames, offset: u64, count: usize) -> Result<Vec<u8>, Errno> {
        if offset.checked_add(count as u64).is_none_or(|end| end > self.bytes) {
            return Err(Errno::EINVAL);
        }
        let mut out = Vec::with_capacity(count);
        while out.len() < count {
            let at = offset + out.len() as u64;
            let within = (at % PAGE as u64) as usize;
            let frame = Frame(self.first.0.saturating_add((at / PAGE as u64) as u32));
            let length = (PAGE - within).min(count - out.len());
            out.extend_from_slice(frames.bytes(frame).get(within..within + length).unwrap_or_default());
        }
        Ok(out)
    }

    /// The header at `offset`; none at the trailer.
    fn header(&self, frames: &dyn Frames, offset: u64) -> Result<Option<Header>, Errno> {
        let raw = self.read(frames, offset, HEADER)?;
        if !raw.starts_with(MAGIC) {
            return Err(Errno::EINVAL);
        }
        let field = |index: usize| -> Result<u32, Errno> {
            let digits = raw.get(6 + index * 8..14 + index * 8).ok_or(Errno::EINVAL)?;
            let text = core::str::from_utf8(digits).map_err(|_| Errno::EINVAL)?;
            u32::from_str_radix(text, 16).map_err(|_| Errno::EINVAL)
        };
        let name_size = field(11)? as usize;
        // The padding that brings the data to a page boundary counts as part of the name.
        if name_size == 0 || name_size > super::walk::PATH_MAX + PAGE {
            return Err(Errno::EINVAL);
        }
        let mut name = self.read(frames, offset + HEADER as u64, name_size)?;
        // The name ends at its first zero byte: more of them only push the data to a page boundary.
        let length = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        name.truncate(length);
        if length > super::walk::PATH_MAX {
            return Err(Errno::EINVAL);
        }
        if name == TRAILER {
            return Ok(None);
        }
        let size = u64::from(field(6)?);
        let data = (offset + HEADER as u64 + name_size as u64).next_multiple_of(4);
        Ok(Some(Header {
            inode: field(0)?,
            mode: field(1)?,
            uid: field(2)?,
            gid: field(3)?,
            links: field(4)?,
            mtime: field(5)?,
            size,
            device: (field(9)?, field(10)?),
            name,
            data,
            next: (data + size).next_multiple_of(4),
        }))
    }
}

impl Vfs {
    /// Fills the boot image's file system from the archive. Directories that the archive does not name are made.
    ///
    /// # Errors
    /// `EINVAL` if it is no such archive, `ENOSPC` or `ENOMEM` if it is too large. The kernel cannot start then.
    pub fn load_image(
        &mut self,
        env: &mut Env<'_>,
        image: BootImage,
        mount_namespace: crate::ns::NamespaceId,
    ) -> Result<(), Errno> {
        let root = self.namespace_root(mount_namespace)?;
        let mut linked: BTreeMap<u32, InodeId> = BTreeMap::new();
        let mut offset = 0;
        while let Some(header) = image.header(&*env.frames, offset)? {
            if header.data + header.size > image.bytes {
                return Err(Errno::EINVAL);
            }
            self.load_file(env, image, root, &header, &mut linked)?;
            offset = header.next;
        }
        Ok(())
    }

    fn load_file(
        &mut self,
        env: &mut Env<'_>,
        image: BootImage,
        root: Location,
        header: &Header,
        linked: &mut BTreeMap<u32, InodeId>,
    ) -> Result<(), Errno> {
        let owner = Owner { uid: Uid(header.uid), gid: Gid(header.gid), mode: header.mode };
        let time = Time { seconds: i64::from(header.mtime), nanoseconds: 0 };
        let Node::Stored(root) = root.node else { return Err(Errno::EINVAL) };
        let parts: Vec<&[u8]> =
            header.name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
        let Some((last, directories)) = parts.split_last() else {
            return self.set_loaded(root, owner, time);
        };
        if parts.iter().any(|part| *part == b".." || part.len() > super::walk::NAME_MAX) {
            return Err(Errno::EINVAL);
        }
        let mut parent = root;
        for part in directories {
            parent = self.loaded_directory(env, parent, part)?;
        }
        let is_directory = header.mode & S_IFMT == S_IFDIR;
        if let Some(existing) = self.directory(parent)?.get(last) {
            // A directory may be named after files in it; any other name only once.
            return if is_directory { self.set_loaded(existing, owner, time) } else { Err(Errno::EEXIST) };
        }
        let many = header.links > 1 && !is_directory;
        if many && let Some(inode) = linked.get(&header.inode).copied() {
            // The data of hard-linked files may come with any of the names: usually the last.
            if header.size > 0 {
                let data = self.loaded_data(env, image, header)?;
                let file = self.inode_mut(inode)?;
                if let Kind::Regular(old) = &mut file.kind {
                    *old = data;
                }
            }
            let charged = env.frames.charge(Entry::price(last))?;
            self.new_entry(Some(parent), last, inode, time, charged)?;
            return Ok(());
        }
        let kind = match header.mode & S_IFMT {
            S_IFDIR => Kind::Directory(Box::default()),
            S_IFREG => Kind::Regular(self.loaded_data(env, image, header)?),
            S_IFLNK => {
                let length = usize::try_from(header.size).unwrap_or(usize::MAX);
                if length == 0 || length >= super::walk::PATH_MAX {
                    return Err(Errno::EINVAL);
                }
                Kind::Symlink(image.read(&*env.frames, header.data, length)?.into())
            }
            S_IFCHR => Kind::Character { major: header.device.0, minor: header.device.1 },
            S_IFBLK => Kind::Block { major: header.device.0, minor: header.device.1 },
            S_IFIFO => Kind::Fifo,
            _ => return Err(Errno::EINVAL),
        };
        let file_system = self.inode_of(parent)?.file_system;
        let charged = env.frames.charge(Entry::price(last))?;
        let inode = self.new_inode(env.frames, file_system, owner, kind)?;
        if many {
            linked.insert(header.inode, inode);
        }
        let entry = self.new_entry(Some(parent), last, inode, time, charged)?;
        self.set_loaded(entry, owner, time)
    }

    fn set_loaded(&mut self, entry: EntryId, owner: Owner, time: Time) -> Result<(), Errno> {
        let inode = self.entry(entry)?.inode;
        let inode = self.inode_mut(inode)?;
        (inode.uid, inode.gid, inode.mode) = (owner.uid, owner.gid, owner.mode & 0o7777);
        (inode.atime, inode.mtime, inode.ctime) = (time, time, time);
        Ok(())
    }

    fn loaded_directory(
        &mut self,
        env: &mut Env<'_>,
        parent: EntryId,
        name: &[u8],
    ) -> Result<EntryId, Errno> {
        if let Some(existing) = self.directory(parent)?.get(name) {
            return self.directory(existing).map(|_| existing);
        }
        let file_system = self.inode_of(parent)?.file_system;
        let owner = Owner { uid: Uid::ROOT, gid: Gid::ROOT, mode: 0o755 };
        let now = env.frames.time();
        let charged = env.frames.charge(Entry::price(name))?;
        let inode = self.new_inode(env.frames, file_system, owner, Kind::Directory(Box::default()))?;
        self.new_entry(Some(parent), name, inode, now, charged)
    }

    fn loaded_data(&mut self, env: &mut Env<'_>, image: BootImage, header: &Header) -> Result<Data, Errno> {
        if header.size == 0 {
            return Ok(Data::default());
        }
        if header.data.is_multiple_of(PAGE as u64) {
            let first = image.first.0.saturating_add((header.data / PAGE as u64) as u32);
            return Ok(Data::image(Frame(first), header.size));
        }
        let mut data = Data::default();
        let mut quota = Quota { used: 0, max: None };
        let mut done = 0;
        while done < header.size {
            let count = (header.size - done).min(PAGE as u64) as usize;
            let chunk = image.read(&*env.frames, header.data + done, count)?;
            let mut payer = Payer { frames: env.frames, quota: &mut quota, group: GroupId::ROOT };
            let written = data.write(&mut payer, done, &chunk)?;
            if written < count {
                data.clear(env.frames);
                return Err(Errno::ENOMEM);
            }
            done += count as u64;
        }
        Ok(data)
    }
}
