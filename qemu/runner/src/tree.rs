//! The files of a boot image, from the host's directories or made on the spot.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Type bits of a mode (inode(7)).
const TYPE: u32 = 0o170000;

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file with these bytes.
    File(Vec<u8>),
    /// A symbolic link to this text.
    Link(Vec<u8>),
    /// A device: whether it is a block device is in the mode of the node.
    Character {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One file: everything but its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Permission bits, set-id and sticky bits.
    pub permissions: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970 of its last change.
    pub mtime: u32,
    /// What it is.
    pub kind: Kind,
}

impl Node {
    /// A file of the root user that was never changed.
    pub fn new(permissions: u32, kind: Kind) -> Node {
        Node { permissions, uid: 0, gid: 0, mtime: 0, kind }
    }
}

/// A file's position in the tree; entries that share one are hard links.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Inode(usize);

/// A set of files under the names they will have. Parents come before children.
#[derive(Clone, Default, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    names: BTreeMap<Vec<u8>, Inode>,
}

impl Tree {
    /// Adds a file under `name` (relative, no leading slash), replacing one that was there.
    pub fn add(&mut self, name: impl AsRef<[u8]>, node: Node) -> Inode {
        let inode = Inode(self.nodes.len());
        self.nodes.push(node);
        self.names.insert(name.as_ref().to_vec(), inode);
        inode
    }
    /// Adds another name for a file that is in the tree.
    pub fn link(&mut self, name: impl AsRef<[u8]>, inode: Inode) {
        self.names.insert(name.as_ref().to_vec(), inode);
    }
    /// Adds directories for `name` and each of its parents that is missing.
    pub fn directories(&mut self, name: &str) {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for end in ends {
            let part = name.get(..end).unwrap_or(name).as_bytes();
            if !self.names.contains_key(part) {
                self.add(part, Node::new(0o755, Kind::Directory));
            }
        }
    }
    /// Names and files. A directory stands before what is in it, for names are sorted by bytes and a name is a
    /// prefix of the names below it.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], Inode, &Node)> {
        self.names
            .iter()
            .filter_map(|(name, inode)| Some((name.as_slice(), *inode, self.nodes.get(inode.0)?)))
    }

    /// Adds everything below the host's directory `from` under `name`: modes, owners, links, devices. Sockets,
    /// which mean nothing without the process that made them, are left out. Hard links below `from` stay hard links.
    ///
    /// # Errors
    /// Whatever cannot be read, with its path.
    pub fn copy(&mut self, name: &str, from: &Path) -> Result<()> {
        self.copy_entry(name.as_bytes(), from, &mut BTreeMap::new())
    }

    fn copy_entry(&mut self, name: &[u8], from: &Path, seen: &mut BTreeMap<(u64, u64), Inode>) -> Result<()> {
        let meta = fs::symlink_metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
        let identity = (meta.dev(), meta.ino());
        if let Some(inode) = seen.get(&identity) {
            self.link(name, *inode);
            return Ok(());
        }
        let Some(kind) = kind_of(from, &meta)? else { return Ok(()) };
        let is_directory = kind == Kind::Directory;
        let node = Node {
            permissions: meta.mode() & !TYPE,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: u32::try_from(meta.mtime()).unwrap_or(0),
            kind,
        };
        let inode = self.add(name, node);
        if is_directory {
            return self.copy_children(name, from, seen);
        }
        if meta.nlink() > 1 {
            seen.insert(identity, inode);
        }
        Ok(())
    }

    fn copy_children(
        &mut self,
        name: &[u8],
        from: &Path,
        seen: &mut BTreeMap<(u64, u64), Inode>,
    ) -> Result<()> {
        let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
            let child = [name, b"/", entry.file_name().as_bytes()].concat();
            self.copy_entry(&child, &entry.path(), seen)?;
        }
        Ok(())
    }
}

fn kind_of(path: &Path, meta: &fs::Metadata) -> Result<Option<Kind>> {
    let file_type = meta.file_type();
    let context = || format!("cannot read {}", path.display());
    let device = meta.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok(Some(match () {
        () if file_type.is_dir() => Kind::Directory,
        () if file_type.is_symlink() => {
            Kind::Link(fs::read_link(path).with_context(context)?.into_os_string().as_bytes().to_vec())
        }
        () if file_type.is_file() => Kind::File(fs::read(path).with_context(context)?),
        () if file_type.is_fifo() => Kind::Fifo,
        () if file_type.is_char_device() => Kind::Character { major, minor },
        () if file_type.is_block_device() => Kind::Block { major, minor },
        () if file_type.is_socket() => return Ok(None),
        () => bail!("{}: a kind of file that a boot image cannot hold", path.display()),
    }))
}
