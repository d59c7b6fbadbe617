//! Path resolution (path_resolution(7), openat2(2)).
//!
//! A walk goes component by component from a base, below a root that it never leaves. A symbolic link puts its
//! text in front of what is still to be walked; a magic link of proc jumps. Nothing a path can say is looked up
//! twice: a walk ends in a [`Location`], and everything after works on that.

use super::{Caller, Env, Location, Node, Vfs};
use crate::ns::ProcessId;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::MountFlags;
use bailiwick_protocol::error::Errno;
use bitflags::bitflags;

/// Longest path in bytes, its final zero byte included (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;
/// Longest name in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// Most symbolic links in one walk.
pub const LINKS_MAX: u32 = 40;

bitflags! {
    /// How a walk is confined, with the numbers of openat2(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Resolve: u64 {
        /// Stay in the mount.
        const NO_XDEV = 1;
        /// No magic links of proc.
        const NO_MAGICLINKS = 2;
        /// No symbolic links at all.
        const NO_SYMLINKS = 4;
        /// Refuse to leave the base.
        const BENEATH = 8;
        /// The base is the root.
        const IN_ROOT = 16;
    }
}

/// What to do with the last component.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// Follow it if it is a link, enter what is mounted on it.
    Follow,
    /// Take a link for itself.
    NoFollow,
    /// Neither follow a link nor enter a mount: for removing and renaming.
    Bare,
}

/// Where a walk begins and what binds it.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The directory that relative paths begin at; none is the caller's working directory.
    pub base: Option<Location>,
    /// Confinement.
    pub resolve: Resolve,
}

impl From {
    /// From the working directory, without confinement.
    pub const CWD: From = From { base: None, resolve: Resolve::empty() };
    /// From this directory, without confinement.
    pub const fn dir(base: Location) -> From {
        From { base: Some(base), resolve: Resolve::empty() }
    }
    /// Below `base`: what leads out of it, were it only to come back, is `EXDEV`. Magic links are excluded.
    pub const fn below(base: Location) -> From {
        From { base: Some(base), resolve: Resolve::BENEATH.union(Resolve::NO_MAGICLINKS) }
    }
    /// Inside `root` as if it were the root, magic links excluded.
    pub const fn inside(root: Location) -> From {
        From { base: Some(root), resolve: Resolve::IN_ROOT.union(Resolve::NO_MAGICLINKS) }
    }
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A file.
    File(Location),
    /// No file of that name; the directory is there.
    Missing,
    /// A descriptor of a process that is no file of the virtual file system (a pipe, a socket).
    Descriptor(ProcessId, u32),
}

/// The end of a walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<'p> {
    /// The directory the last component was looked for in, and its name; none if the path ends in "/", "." or
    /// "..", or in a magic link.
    pub place: Option<(Location, Cow<'p, [u8]>)>,
    /// What is there.
    pub target: Target,
    /// The path ended in a slash, so that it must be a directory.
    pub slash: bool,
}

impl Found<'_> {
    /// The file.
    ///
    /// # Errors
    /// `ENOENT` if there is none, `ENXIO` for a descriptor that is no file.
    pub fn file(&self) -> Result<Location, Errno> {
        match self.target {
            Target::File(at) => Ok(at),
            Target::Missing => Err(Errno::ENOENT),
            Target::Descriptor(..) => Err(Errno::ENXIO),
        }
    }
}

/// What a link says.
pub(crate) enum Link {
    Text(Vec<u8>),
    Jump(Location),
    Descriptor(ProcessId, u32),
}

struct Walk<'p> {
    root: Location,
    at: Location,
    ahead: Ahead<'p>,
    links: u32,
    resolve: Resolve,
}

/// What is still to be walked: the rest of a path, and in front of it the texts of links. It is empty or begins with a
/// slash where the text of a link ends.
pub(crate) struct Ahead<'p> {
    texts: Vec<u8>,
    rest: &'p [u8],
}

/// A name on the way.
pub(crate) struct Component<'p> {
    pub(crate) name: Cow<'p, [u8]>,
    /// Nothing but slashes comes after it.
    is_last: bool,
    /// Something comes after it.
    slash: bool,
}

/// Cuts off the first name: it, and what comes after it.
fn cut(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|b| *b != b'/')?;
    let path = path.get(start..)?;
    let length = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
    path.split_at_checked(length)
}

fn only_slashes(path: &[u8]) -> bool {
    path.iter().all(|byte| *byte == b'/')
}

impl<'p> Ahead<'p> {
    pub(crate) fn new(path: &'p [u8]) -> Self {
        Ahead { texts: Vec::new(), rest: path }
    }
    /// Whether all names that are left are such.
    pub(crate) fn only(&self, such: impl Fn(&[u8]) -> bool) -> bool {
        [self.texts.as_slice(), self.rest].iter().all(|path| path.split(|b| *b == b'/').all(&such))
    }
    /// The next name of the text of a link; none if there is none left.
    #[cold]
    fn next_of_texts(&mut self) -> Option<Component<'p>> {
        let Some((name, after)) = cut(&self.texts) else {
            self.texts.clear();
            return None;
        };
        let (name, after) = (Cow::Owned(name.to_vec()), after.to_vec());
        self.texts = after;
        let slash = !(self.texts.is_empty() && self.rest.is_empty());
        Some(Component { name, is_last: only_slashes(&self.texts) && only_slashes(self.rest), slash })
    }
    /// Puts the text of a link in front.
    pub(crate) fn push(&mut self, mut text: Vec<u8>) {
        text.append(&mut self.texts);
        self.texts = text;
    }
}

impl<'p> Iterator for Ahead<'p> {
    type Item = Component<'p>;

    #[inline]
    fn next(&mut self) -> Option<Component<'p>> {
        if !self.texts.is_empty()
            && let Some(component) = self.next_of_texts()
        {
            return Some(component);
        }
        let (name, after) = cut(self.rest)?;
        self.rest = after;
        Some(Component { name: Cow::Borrowed(name), is_last: only_slashes(after), slash: !after.is_empty() })
    }
}

impl Vfs {
    /// Walks `path`.
    ///
    /// # Errors
    /// `ENOENT` (empty path, a missing directory), `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`, `EXDEV` where the
    /// confinement would be left.
    pub fn walk<'p>(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &'p [u8],
        last: Last,
    ) -> Result<Found<'p>, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        let base = from.base.unwrap_or(caller.fs.cwd);
        let confined = from.resolve.intersects(Resolve::BENEATH | Resolve::IN_ROOT);
        let root = if confined { base } else { caller.fs.root };
        let mut walk = Walk { root, at: base, ahead: Ahead::new(path), links: 0, resolve: from.resolve };
        if path.first() == Some(&b'/') {
            self.to_root(&mut walk)?;
        }
        self.run(env, caller, &mut walk, last)
    }

    /// Walks to an existing file.
    ///
    /// # Errors
    /// As [`Vfs::walk`], and `ENOENT` if it is not there.
    pub fn lookup(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        from: From,
        path: &[u8],
        last: Last,
    ) -> Result<Location, Errno> {
        self.walk(env, caller, from, path, last)?.file()
    }

    fn run<'p>(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        walk: &mut Walk<'p>,
        last: Last,
    ) -> Result<Found<'p>, Errno> {
        let mut slash = false;
        while let Some(component) = walk.ahead.next() {
            slash = component.slash;
            self.may_search(env, caller, walk.at)?;
            match component.name.as_ref() {
                b"." => continue,
                b".." => {
                    self.go_up(walk)?;
                    continue;
                }
                name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                _ => {}
            }
            let child = match self.child(env, caller, walk.at, &component.name) {
                Ok(child) => child,
                Err(Errno::ENOENT) if component.is_last => {
                    let place = Some((walk.at, component.name));
                    return Ok(Found { place, target: Target::Missing, slash });
                }
                Err(errno) => return Err(errno),
            };
            let bare = component.is_last && last == Last::Bare;
            let child = if bare { child } else { self.enter(walk, child)? };
            let follow =
                !component.is_last || last == Last::Follow || (component.slash && last != Last::Bare);
            if follow && self.is_link(child.node) {
                if let Some((process, number)) = self.follow(env, caller, walk, child)? {
                    let target = Target::Descriptor(process, number);
                    return if component.is_last {
                        Ok(Found { place: None, target, slash })
                    } else {
                        Err(Errno::ENOTDIR)
                    };
                }
                continue;
            }
            if component.is_last {
                if component.slash && !self.is_directory(child.node) {
                    return Err(Errno::ENOTDIR);
                }
                let place = Some((walk.at, component.name));
                return Ok(Found { place, target: Target::File(child), slash });
            }
            walk.at = child;
        }
        if slash && !self.is_directory(walk.at.node) {
            return Err(Errno::ENOTDIR);
        }
        Ok(Found { place: None, target: Target::File(walk.at), slash })
    }

    fn enter(&self, walk: &Walk<'_>, child: Location) -> Result<Location, Errno> {
        let inside = self.top(child);
        if walk.resolve.contains(Resolve::NO_XDEV) && inside.mount != child.mount {
            return Err(Errno::EXDEV);
        }
        Ok(inside)
    }

    fn to_root(&self, walk: &mut Walk<'_>) -> Result<(), Errno> {
        if walk.resolve.contains(Resolve::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if walk.resolve.contains(Resolve::NO_XDEV) && walk.root.mount != walk.at.mount {
            return Err(Errno::EXDEV);
        }
        walk.at = walk.root;
        Ok(())
    }

    /// One directory up, but never above the root of the walk.
    fn go_up(&self, walk: &mut Walk<'_>) -> Result<(), Errno> {
        if walk.at == walk.root {
            return if walk.resolve.contains(Resolve::BENEATH) { Err(Errno::EXDEV) } else { Ok(()) };
        }
        let mut at = walk.at;
        while self.mount_of(at.mount)?.root == at.node {
            // The top of a tree is its own parent, and so is what was mounted over the root.
            let Some((mount, node)) = self.mount_of(at.mount)?.parent else { return Ok(()) };
            at = Location { mount, node };
            if at == walk.root {
                return if walk.resolve.contains(Resolve::BENEATH) { Err(Errno::EXDEV) } else { Ok(()) };
            }
        }
        at.node = self.parent_node(at.node).unwrap_or(at.node);
        let up = if at == walk.root { at } else { self.top(at) };
        if walk.resolve.contains(Resolve::NO_XDEV) && up.mount != walk.at.mount {
            return Err(Errno::EXDEV);
        }
        // A directory that was moved out of the confinement from under the walk has no way up inside it.
        if walk.resolve.intersects(Resolve::BENEATH | Resolve::IN_ROOT) && !self.is_reachable(up, walk.root) {
            return Err(Errno::EXDEV);
        }
        walk.at = up;
        Ok(())
    }

    /// Follows a link; a descriptor that is no file ends the walk.
    fn follow(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        walk: &mut Walk<'_>,
        link: Location,
    ) -> Result<Option<(ProcessId, u32)>, Errno> {
        walk.links += 1;
        let forbidden = walk.resolve.contains(Resolve::NO_SYMLINKS)
            || self.mount_of(link.mount)?.flags.contains(MountFlags::NOSYMFOLLOW);
        if walk.links > LINKS_MAX || forbidden {
            return Err(Errno::ELOOP);
        }
        let said = self.read_link(env, caller, link.node)?;
        if !matches!(said, Link::Text(_)) {
            if walk.resolve.contains(Resolve::NO_MAGICLINKS) {
                return Err(Errno::ELOOP);
            }
            if walk.resolve.intersects(Resolve::BENEATH | Resolve::IN_ROOT | Resolve::NO_XDEV) {
                return Err(Errno::EXDEV);
            }
        }
        match said {
            Link::Text(text) if text.is_empty() => return Err(Errno::ENOENT),
            Link::Text(text) => {
                if text.first() == Some(&b'/') {
                    self.to_root(walk)?;
                }
                walk.ahead.push(text);
            }
            Link::Jump(at) => walk.at = at,
            Link::Descriptor(process, number) => return Ok(Some((process, number))),
        }
        Ok(None)
    }

    /// What a name in a directory leads to: the link itself if it is one, and what is mounted on it. None if nothing has
    /// the name. Not for "." and "..".
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES`, `ENAMETOOLONG`.
    pub(crate) fn look(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        directory: Location,
        name: &[u8],
    ) -> Result<Option<Location>, Errno> {
        self.may_search(env, caller, directory)?;
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        match self.child(env, caller, directory, name) {
            Ok(child) => Ok(Some(self.top(child))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The entry `name` of a directory, what is mounted on it aside.
    pub(crate) fn child(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        name: &[u8],
    ) -> Result<Location, Errno> {
        let node = match at.node {
            Node::Stored(entry) => Node::Stored(self.directory(entry)?.get(name).ok_or(Errno::ENOENT)?),
            Node::Made(fs, made) => Node::Made(fs, self.made_child(env, caller, fs, made, name)?),
        };
        Ok(Location { mount: at.mount, node })
    }

    /// The path of `at` as seen from `root`; none if it cannot be reached from there.
    pub fn path_from(&self, at: Location, root: Location) -> Option<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut at = at;
        while at != root {
            let mount = self.mounts.get(at.mount.0)?;
            if at.node == mount.root {
                let (mount, node) = mount.parent?;
                at = Location { mount, node };
                continue;
            }
            names.push(self.name_of(at.node)?);
            at.node = self.parent_node(at.node)?;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(path)
    }
}
