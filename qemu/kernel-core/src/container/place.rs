//! Paths inside a new root: resolved one component at a time, made where they are missing, never leaving the root.
//!
//! A symbolic link begins again inside the root if it is absolute. Where something is to be made, `..` above the root
//! is refused; where something is only looked for it stays at the root, as it will for the container. What was found is
//! a [`Location`]: no path is ever looked up twice.

use crate::vfs::{Ahead, Caller, Env, From, FsContext, Last, Location, Node, Resolve, Special, Vfs};
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::Within;
use bailiwick_protocol::error::Errno;

/// Most links on one way.
const LINKS_MAX: u32 = crate::vfs::LINKS_MAX;

/// Names that are on most ways at most.
const USUAL: usize = 4;

/// What is made where nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    /// A directory.
    Directory,
    /// An empty file, below directories.
    File,
    /// Nothing: `ENOENT`.
    Nothing,
}

/// Whether links are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Links {
    /// They are.
    Follow,
    /// One is `ENOTDIR`.
    Refuse,
}

/// Where a path leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// What is there.
    pub(super) at: Location,
    /// The path without links and dots, as seen from the root; "/" for the root itself.
    pub(super) path: Vec<u8>,
}

/// The way from the root to where the walk is.
struct Way {
    /// Each location, and how long the path to it is.
    places: Vec<(Location, usize)>,
    path: Vec<u8>,
}

impl Way {
    fn push(&mut self, at: Location, name: &[u8]) {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        self.places.push((at, self.path.len()));
    }
    /// One back. False at the root.
    fn pop(&mut self) -> bool {
        let was_below = self.places.pop().is_some();
        self.path.truncate(self.places.last().map_or(0, |(_, length)| *length));
        was_below
    }
    fn clear(&mut self) {
        self.places.clear();
        self.path.clear();
    }
    fn end(&self, root: Location) -> Location {
        self.places.last().map_or(root, |(at, _)| *at)
    }
}

/// Where `path` leads inside `root`; what is missing is made, owned by the caller.
///
/// # Errors
/// Those of path_resolution(7), mkdir(2) and mknod(2); `ELOOP` for a magic link of proc; `EXDEV` for `..` above the
/// root, unless nothing is to be made.
pub(super) fn make(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    root: Location,
    path: &str,
    missing: Missing,
    links: Links,
) -> Result<Place, Errno> {
    if path.as_bytes().contains(&0) {
        return Err(Errno::EINVAL);
    }
    let mut ahead = Ahead::new(path.as_bytes());
    let mut way = Way { places: Vec::with_capacity(USUAL), path: Vec::with_capacity(path.len()) };
    let mut followed = 0;
    while let Some(name) = ahead.next().map(|component| component.name) {
        let here = way.end(root);
        match name.as_ref() {
            b"." => continue,
            b".." => {
                if !way.pop() && missing != Missing::Nothing {
                    return Err(Errno::EXDEV);
                }
                continue;
            }
            _ => {}
        }
        let from = From { base: Some(here), resolve: Resolve::NO_MAGICLINKS };
        let at = match vfs.look(env, by, here, &name)? {
            Some(at) => at,
            None => match if ahead.only(is_nothing) { missing } else { before(missing) } {
                Missing::Directory => vfs.mkdir(env, by, from, &name, 0o755)?,
                Missing::File => vfs.mknod(env, by, from, &name, 0o644, Special::Regular)?,
                Missing::Nothing => return Err(Errno::ENOENT),
            },
        };
        if !vfs.is_link(at.node) {
            way.push(at, &name);
            continue;
        }
        followed += 1;
        if links == Links::Refuse {
            return Err(Errno::ENOTDIR);
        }
        // Links of proc jump to where a process is: no place inside the root.
        if followed > LINKS_MAX || matches!(at.node, Node::Made(..)) {
            return Err(Errno::ELOOP);
        }
        let text = vfs.readlink(env, by, at)?;
        if text.first() == Some(&b'/') {
            way.clear();
        }
        ahead.push(text);
    }
    let at = way.end(root);
    Ok(Place { at, path: if way.path.is_empty() { b"/".to_vec() } else { way.path } })
}

/// A name that leads nowhere else.
fn is_nothing(name: &[u8]) -> bool {
    matches!(name, b"" | b".")
}

fn before(missing: Missing) -> Missing {
    if missing == Missing::Nothing { Missing::Nothing } else { Missing::Directory }
}

/// The directory a path's last name belongs into, made if it is missing, and that name.
///
/// # Errors
/// As [`make`]; `EINVAL` if the path has no last name.
pub(super) fn parent<'p>(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    root: Location,
    path: &'p str,
) -> Result<(Location, &'p [u8]), Errno> {
    let path = path.trim_end_matches('/');
    let (before, name) = path.rsplit_once('/').unwrap_or(("", path));
    if matches!(name, "" | "." | "..") || name.contains('\0') {
        return Err(Errno::EINVAL);
    }
    let directory = make(vfs, env, by, root, before, Missing::Directory, Links::Follow)?;
    Ok((directory.at, name.as_bytes()))
}

/// What a path of a plan leads to outside the new root: below `host` if it is absolute, otherwise from the bundle on,
/// confined as `relative` says. No link of proc is followed.
///
/// # Errors
/// Those of path_resolution(7); `EPERM` for an absolute path without a host directory.
pub(super) fn outside(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    host: Option<Location>,
    path: &str,
    relative: Resolve,
) -> Result<Location, Errno> {
    let resolve = if path.starts_with('/') { Resolve::empty() } else { relative };
    let from = From { base: None, resolve: resolve | Resolve::NO_MAGICLINKS };
    below_host(by, host, path, |by| vfs.lookup(env, by, from, path.as_bytes(), Last::Follow))
}

/// The source of a bind mount, which no link leads out of where it must lie.
///
/// # Errors
/// As [`outside`]; `EXDEV` for a way that leads out.
pub(super) fn source(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    host: Option<Location>,
    within: &Within,
    path: &str,
) -> Result<Location, Errno> {
    let base = match within {
        Within::Host => return outside(vfs, env, by, host, path, Resolve::empty()),
        Within::Bundle => None,
        Within::Directory(directory) => Some(outside(vfs, env, by, host, directory, Resolve::empty())?),
    };
    let from = From { base, resolve: Resolve::BENEATH | Resolve::NO_MAGICLINKS };
    let path = if path.is_empty() { "." } else { path };
    vfs.lookup(env, by, from, path.as_bytes(), Last::Follow)
}

/// Looks something up with the host's directory as root, if the path is absolute.
pub(super) fn below_host<T>(
    by: &Caller<'_>,
    host: Option<Location>,
    path: &str,
    work: impl FnOnce(&Caller<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if !path.starts_with('/') {
        return work(by);
    }
    let root = host.ok_or(Errno::EPERM)?;
    // A view for one look: it counts nothing.
    let fs = FsContext { root, cwd: root, umask: by.fs.umask };
    work(&Caller { fs: &fs, ..*by })
}
