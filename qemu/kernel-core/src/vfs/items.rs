//! Fixed trees of names, as proc, sysfs and the cgroup file system have them, in one table each.

use super::access::{S_IFDIR, S_IFLNK, S_IFREG};

/// What a fixed name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A directory.
    Dir,
    /// A file for reading.
    File,
    /// A file for reading and, by its owner, writing.
    Writable,
    /// A file only its owner reads.
    Private,
    /// A link with this text.
    Link(&'static str),
    /// A link that jumps; read by what its process allows.
    Magic,
}

impl What {
    /// Type and permission bits.
    pub(crate) const fn mode(self) -> u32 {
        match self {
            What::Dir => S_IFDIR | 0o555,
            What::File => S_IFREG | 0o444,
            What::Writable => S_IFREG | 0o644,
            What::Private => S_IFREG | 0o400,
            What::Link(_) | What::Magic => S_IFLNK | 0o777,
        }
    }
}

/// A name, the position of its directory in the same table (none: the root), and what it is.
pub(crate) type Item = (&'static str, Option<u8>, What);

/// The position of `name` in directory `parent`.
pub(crate) fn find(table: &[Item], parent: Option<u8>, name: &[u8]) -> Option<u8> {
    table.iter().position(|item| item.1 == parent && item.0.as_bytes() == name).map(|at| at as u8)
}

/// The first position above `after` (a count: 0 begins) of an entry of directory `parent`, with the next count.
pub(crate) fn next(table: &[Item], parent: Option<u8>, after: u64) -> Option<(u64, u8)> {
    let skip = usize::try_from(after).ok()?;
    table
        .iter()
        .enumerate()
        .skip(skip)
        .find(|(_, item)| item.1 == parent)
        .map(|(at, _)| (at as u64 + 1, at as u8))
}

/// The item at a position.
pub(crate) fn item(table: &'static [Item], at: u8) -> Item {
    table.get(at as usize).copied().unwrap_or(("", None, What::File))
}
