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

mod env;
pub mod facts;

pub use env::{Caller, Env, Frames, HEAP_RESERVE, Store, Time};

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

/// A made-up file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Made {
    /// A namespace: what `/proc/PID/ns/X` leads to.
    Namespace(crate::ns::NamespaceId),
}

/// All file systems, mounts, open files and namespaces.
#[derive(Debug)]
pub struct Vfs {
    /// Namespaces.
    pub namespaces: crate::ns::Namespaces,
}
