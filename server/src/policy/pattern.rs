//! Sets of things that are described, not listed: names, directories, devices, ids. Each can be cut with another.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::DeviceKind;
use core::fmt;

/// Describes a set of things.
pub(crate) trait Pattern: Ord + Clone {
    /// What is in both sets; none if nothing is.
    fn meet(&self, other: &Self) -> Option<Self>;

    /// Whether everything in `other` is in this.
    fn covers(&self, other: &Self) -> bool {
        self.meet(other).as_ref() == Some(other)
    }

    /// What is in one of both, if that is one pattern again.
    fn join(&self, other: &Self) -> Option<Self> {
        if self.covers(other) { Some(self.clone()) } else { other.covers(self).then(|| other.clone()) }
    }
}

/// The union of patterns, in one form: sorted, and no two that could be one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Set<P>(Vec<P>);

impl<P> Default for Set<P> {
    fn default() -> Self {
        Set(Vec::new())
    }
}

impl<P: Pattern> Set<P> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &P> {
        self.0.iter()
    }

    /// Adds what a pattern describes.
    pub(crate) fn add(&mut self, pattern: P) {
        let mut pattern = pattern;
        while let Some((at, joined)) =
            self.0.iter().enumerate().find_map(|(at, known)| Some((at, known.join(&pattern)?)))
        {
            self.0.remove(at);
            pattern = joined;
        }
        let at = self.0.partition_point(|known| *known < pattern);
        self.0.insert(at, pattern);
    }

    /// Whether all that the pattern describes is inside one of these.
    pub(crate) fn covers(&self, pattern: &P) -> bool {
        self.0.iter().any(|known| known.covers(pattern))
    }

    /// What is in both.
    pub(crate) fn meet(&self, other: &Self) -> Self {
        let mut both = Set::default();
        for (a, b) in self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a, b))) {
            if let Some(pattern) = a.meet(b) {
                both.add(pattern);
            }
        }
        both
    }
}

/// Names: one, or with a `*` at the end all that begin so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Glob(String);

impl Glob {
    /// A pattern as it is written; none if it is empty or a `*` stands elsewhere.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        (!text.is_empty() && !stem.contains('*')).then(|| Glob(text.to_string()))
    }
    /// Whether this name is among them.
    pub(crate) fn holds(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => name.starts_with(stem),
            None => name == self.0,
        }
    }
}

impl Pattern for Glob {
    fn meet(&self, other: &Self) -> Option<Self> {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(a), Some(b)) if b.starts_with(a) => Some(other.clone()),
            (Some(a), Some(b)) => a.starts_with(b).then(|| self.clone()),
            (_, None) => self.holds(&other.0).then(|| other.clone()),
            (None, Some(_)) => other.holds(&self.0).then(|| self.clone()),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A directory of the host and all below it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Tree(String);

impl Tree {
    /// The tree at an absolute path; none if the path is relative or has a `..` in it.
    pub(crate) fn new(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let mut clean = String::new();
        for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
            if name == ".." || name.contains(char::is_control) {
                return None;
            }
            clean.push('/');
            clean.push_str(name);
        }
        Some(Tree(if clean.is_empty() { String::from("/") } else { clean }))
    }
    /// Its path.
    pub(crate) fn path(&self) -> &str {
        &self.0
    }
    fn holds(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.0.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Pattern for Tree {
    fn meet(&self, other: &Self) -> Option<Self> {
        if self.holds(&other.0) { Some(other.clone()) } else { other.holds(&self.0).then(|| self.clone()) }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How something may be mounted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Access {
    /// Read-only.
    ReadOnly,
    /// Either way.
    ReadWrite,
}

impl Access {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        }
    }
}

/// Things that may be mounted in a certain way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Mountable<P> {
    pub(crate) what: P,
    pub(crate) access: Access,
}

impl<P: Pattern> Pattern for Mountable<P> {
    fn meet(&self, other: &Self) -> Option<Self> {
        let access = self.access.min(other.access);
        self.what.meet(&other.what).map(|what| Mountable { what, access })
    }
}

/// Devices: where there is no number, all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Devices {
    /// Never [`DeviceKind::Fifo`]: pipes are nobody's.
    pub(crate) kind: Option<DeviceKind>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

impl Pattern for Devices {
    fn meet(&self, other: &Self) -> Option<Self> {
        fn both<T: Copy + PartialEq>(a: Option<T>, b: Option<T>) -> Option<Option<T>> {
            match (a, b) {
                (Some(a), Some(b)) => (a == b).then_some(Some(a)),
                (one, none) => Some(one.or(none)),
            }
        }
        Some(Devices {
            kind: both(self.kind, other.kind)?,
            major: both(self.major, other.major)?,
            minor: both(self.minor, other.minor)?,
        })
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<u32>| n.map_or_else(|| String::from("*"), |n| n.to_string());
        let kind = self.kind.map_or_else(|| String::from("*"), |kind| kind.to_string());
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// User or group ids, first to last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Ids {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Ids {
    /// This id alone.
    pub(crate) const fn one(id: u32) -> Self {
        Ids { first: id, last: id }
    }
}

impl Pattern for Ids {
    fn meet(&self, other: &Self) -> Option<Self> {
        let both = Ids { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
    fn join(&self, other: &Self) -> Option<Self> {
        let touch = self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1);
        touch.then(|| Ids { first: self.first.min(other.first), last: self.last.max(other.last) })
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_directories_hold_what_begins_like_them_and_nothing_beside() {
        let glob = |text| Glob::new(text).unwrap();
        assert!(glob("net.*").holds("net.ipv4.x") && !glob("net.*").holds("netx") && glob("*").holds(""));
        assert!(glob("net.a").holds("net.a") && !glob("net.a").holds("net.ab"));
        assert!(Glob::new("a*b").is_none() && Glob::new("").is_none());
        let tree = |text| Tree::new(text).unwrap();
        assert!(tree("/srv/").covers(&tree("//srv/./data")) && tree("/srv").covers(&tree("/srv")));
        assert!(!tree("/srv").covers(&tree("/srvx")) && !tree("/srv/a").covers(&tree("/srv")));
        assert!(tree("/").covers(&tree("/etc")));
        for path in ["srv", "", "/srv/../etc", "/..", "/a\nb"] {
            assert!(Tree::new(path).is_none(), "{path:?}");
        }
    }

    #[test]
    fn a_set_keeps_no_pattern_that_is_inside_another() {
        let mut set = Set::default();
        for path in ["/b/c", "/a", "/b", "/b/d", "/a"] {
            set.add(Tree::new(path).unwrap());
        }
        let paths: Vec<&str> = set.iter().map(Tree::path).collect();
        assert_eq!(paths, ["/a", "/b"]);
        let mut ids = Set::default();
        for (first, last) in [(0, 5), (20, 30), (6, 10), (8, 19), (40, u32::MAX)] {
            ids.add(Ids { first, last });
        }
        assert!(ids.iter().eq(&[Ids { first: 0, last: 30 }, Ids { first: 40, last: u32::MAX }]));
    }
}
