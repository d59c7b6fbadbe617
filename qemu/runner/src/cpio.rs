//! A tree as a newc archive whose file data lies on page boundaries, so that the kernel can map it where it is.
//!
//! The format knows no alignment, but the name of an entry ends at its first NUL byte and its length field counts
//! everything up to the data: the name is padded with NUL bytes until the data begins at a multiple of
//! [`PAGE`]. Every reader of the format accepts that.
//!
//! Of files with several names the first carries the bytes; the others have the same inode number and no bytes.

use crate::tree::{Inode, Kind, Node, Tree};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// File data begins at a multiple of this.
pub const PAGE: usize = 4096;
/// Bytes of an entry before its name.
const HEADER: usize = 110;

/// Packs `tree`.
///
/// # Errors
/// A file of 4 GiB or more, which the format has no number for.
pub fn pack(tree: &Tree) -> Result<Vec<u8>> {
    let mut links: BTreeMap<Inode, u32> = BTreeMap::new();
    for (_, inode, _) in tree.entries() {
        *links.entry(inode).or_default() += 1;
    }
    let mut numbers: BTreeMap<Inode, u32> = BTreeMap::new();
    let mut out = Vec::new();
    for (name, inode, node) in tree.entries() {
        let next = u32::try_from(numbers.len() + 1)?;
        let first = !numbers.contains_key(&inode);
        let number = *numbers.entry(inode).or_insert(next);
        let data = if first { data(node) } else { &[] };
        let links = links.get(&inode).copied().unwrap_or(1);
        entry(&mut out, name, number, links, node, data)
            .with_context(|| format!("cannot pack {}", String::from_utf8_lossy(name)))?;
    }
    let end = Node::new(0, Kind::File(Vec::new()));
    entry(&mut out, b"TRAILER!!!", 0, 1, &end, &[])?;
    Ok(out)
}

fn data(node: &Node) -> &[u8] {
    match &node.kind {
        Kind::File(bytes) | Kind::Link(bytes) => bytes,
        _ => &[],
    }
}

/// Type bits and device numbers, as inode(7) has them.
fn type_and_device(kind: &Kind) -> (u32, u32, u32) {
    match *kind {
        Kind::Fifo => (0o010000, 0, 0),
        Kind::Character { major, minor } => (0o020000, major, minor),
        Kind::Directory => (0o040000, 0, 0),
        Kind::Block { major, minor } => (0o060000, major, minor),
        Kind::File(_) => (0o100000, 0, 0),
        Kind::Link(_) => (0o120000, 0, 0),
    }
}

fn entry(out: &mut Vec<u8>, name: &[u8], inode: u32, links: u32, node: &Node, data: &[u8]) -> Result<()> {
    let size = u32::try_from(data.len()).context("larger than 4 GiB")?;
    let (kind, major, minor) = type_and_device(&node.kind);
    let name_start = out.len() + HEADER;
    let aligned = matches!(node.kind, Kind::File(_)) && !data.is_empty();
    let data_start = (name_start + name.len() + 1).next_multiple_of(if aligned { PAGE } else { 4 });
    // For what is not aligned the length is the name's own, and the padding to 4 is not part of it.
    let name_size = if aligned { data_start - name_start } else { name.len() + 1 };
    let fields = [
        inode,
        kind | node.permissions,
        node.uid,
        node.gid,
        links,
        node.mtime,
        size,
        0,
        0,
        major,
        minor,
        u32::try_from(name_size)?,
        0,
    ];
    out.extend(b"070701");
    for field in fields {
        out.extend(format!("{field:08x}").bytes());
    }
    out.extend(name);
    out.resize(data_start, 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
    Ok(())
}
