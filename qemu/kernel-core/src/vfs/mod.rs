//! The virtual file system: file systems, mounts, paths and open files of Linux processes and containers.
//!
//! ```text
//!  path ─► walk ─► Location (mount, node) ─► open ─► FileId ─► read · write · page_for_map
//!                     │                                │
//!     mount tree of a mount namespace        Node::Stored  an entry of a tree held in memory (tmpfs, boot image)
//!     (bind, propagation, pivot_root)        Node::Made    a file made up when it is read (proc, sys, cgroup, ns)
//! ```
//!
//! A [`Location`] is a plain copy of two positions. It stays valid while somebody counts it: an open file, a
//! [`FsContext`], a mount. Walks use uncounted locations, which is sound because nothing is freed during a walk.
//!
//! File pages are frames charged to the group of whoever wrote them first. Files of the boot image are frames of
//! the image itself until they are written: reading, mapping and running them copies nothing.

mod access;
mod attributes;
mod data;
mod entries;
mod env;
pub mod facts;
mod image;
mod items;
mod made;
mod mask;
mod mount;
mod mounting;
mod open;
mod pivot;
mod proc;
mod propagation;
mod super_block;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

pub use access::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID, S_ISVTX, Stat,
    StatFs, Want,
};
pub use attributes::NewTime;
pub use entries::{DirEntry, More, Rename, Special};
pub use env::{Caller, Env, Frames, Store, Time};
pub use image::BootImage;
pub use made::Made;
pub use mount::{ATTRIBUTES, MOUNTS_MAX, MOUNTS_PER_NAMESPACE};
pub use mounting::{NewFileSystem, Unmount};
pub use open::{OpenFlags, Opened};
pub use pivot::{PivotRefusal, Pivoted};
pub use proc::{ProcFile, ProcWrite, RELEASE, VERSION};
pub use super_block::{PTMX, TmpfsOptions};
pub use tree::FsKind;
pub(crate) use walk::Ahead;
pub use walk::{Found, From, LINKS_MAX, Last, NAME_MAX, PATH_MAX, Resolve, Target};

use crate::arena::Arena;
use alloc::collections::VecDeque;

/// A mount, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MountId(pub u32);
/// A file system (superblock), by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SuperId(pub u32);
/// A directory entry of a stored tree, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryId(pub u32);
/// A file of a stored tree, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InodeId(pub u32);
/// An open file description, by position. Counted: opened or held once, closed once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u32);

/// Root, working directory and file-mode mask of a process. Counts both locations: make copies with
/// `Vfs::copy_context`, end it with `Vfs::release_context`.
#[derive(PartialEq, Eq, Debug)]
pub struct FsContext {
    /// What `/` is.
    pub root: Location,
    /// What relative paths begin at.
    pub cwd: Location,
    /// Permission bits that new files do not get.
    pub umask: u32,
}

/// A file in a file system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Node {
    /// An entry of a tree held in memory.
    Stored(EntryId),
    /// A file that is made up when it is read.
    Made(SuperId, Made),
}

/// A file, and the mount through which it is seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Location {
    /// The mount.
    pub mount: MountId,
    /// The file.
    pub node: Node,
}

/// What a mapping does with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Loads, instruction fetches, and stores into private copies.
    Read,
    /// Stores that the file sees.
    Write,
}

/// All file systems, mounts, open files and namespaces.
#[derive(Debug)]
pub struct Vfs {
    /// Namespaces. Use `Vfs::release_namespace` and `Vfs::release_set` to give references back: the end of a
    /// mount namespace takes its mounts apart.
    pub namespaces: crate::ns::Namespaces,
    supers: Arena<tree::Super>,
    entries: Arena<tree::Entry>,
    inodes: Arena<tree::Inode>,
    mounts: Arena<mount::Mount>,
    files: Arena<open::OpenFile>,
    next_mount: u32,
    next_device: u32,
    next_group: u32,
    /// The mount in which namespace files live that are mounted nowhere.
    nsfs: MountId,
    /// The mount in which files without a name live.
    anonymous: MountId,
    proc_writes: VecDeque<ProcWrite>,
}
