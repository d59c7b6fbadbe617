//! A policy as text: a word and what it allows on each line, blank lines and those that begin with `#` aside.
//!
//! | line | allows |
//! |---|---|
//! | `include NAME` | everything that the ready-made policy NAME allows |
//! | `join-namespace KIND…` | namespaces of containers of the same factory |
//! | `host-namespace KIND…` | the host's own, by asking for no namespace of the kind |
//! | `uid FIRST-LAST`, `gid FIRST-LAST` | ids of processes, as they are inside |
//! | `host-uid FIRST-LAST`, `host-gid FIRST-LAST` | ids of processes and of id maps, as they are outside |
//! | `capability NAME…` | capabilities of capabilities(7), in any of the five sets |
//! | `device KIND MAJOR:MINOR` | a device beside the default ones; KIND is `c`, `b` or `*`, a number may be `*` |
//! | `file-system ro\|rw TYPE` | new file systems of a type |
//! | `bind ro\|rw DIRECTORY` | bind mounts of what is below a directory of the host |
//! | `sysctl NAME` | a kernel parameter; `net.*` stands for all that begin so |
//! | `hook DIRECTORY` | hooks whose program lies below |
//! | `annotation NAME` | an annotation; `*` as above |
//! | `seccomp optional\|where-possible\|required` | whether a system-call filter may be missing |
//! | `allow WORD…` | `writable-root`, `new-privileges`, `unmasked-proc`, `group-path`, `shared-mounts`, `oom-protection`, `namespace-paths`, `host-pids` |
//! | `rlimit NAME MAX` | a hard limit of setrlimit(2) up to MAX; without a line there is no ceiling |
//!
//! `*` for KIND, NAME of a capability or WORD is all there are. A word that is not known is refused, not skipped.

use super::pattern::{Access, Devices, Glob, Ids, Mountable, Tree};
use super::{Allow, Filter, Kinds, Policy};
use crate::oci::{CAPABILITIES, OciCapabilitySet, OciNamespaceKind};
use alloc::format;
use alloc::string::String;
use bailiwick_kernel_glue::plan::{DeviceKind, Namespace, RLIMITS};
use core::fmt;

/// The policies that are ready-made, by name, the strictest first: the levels of the Kubernetes Pod Security
/// Standards.
pub const READY_MADE: [(&str, &str); 3] = [
    ("restricted", include_str!("restricted.policy")),
    ("baseline", include_str!("baseline.policy")),
    ("privileged", include_str!("privileged.policy")),
];

/// What is wrong with the text of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyError {
    /// Line, from 1.
    pub line: usize,
    /// The thing and the reason.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy: line {}: {}", self.line, self.message)
    }
}
impl core::error::Error for PolicyError {}

impl Policy {
    /// Reads the text of a policy.
    ///
    /// # Errors
    /// [`PolicyError`] for the first line that is wrong.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let mut policy = Policy::nothing();
        policy.add_lines(text)?;
        Ok(policy)
    }

    fn add_lines(&mut self, text: &str) -> Result<(), PolicyError> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            self.add(word, rest.trim()).map_err(|message| PolicyError { line: number, message })?;
        }
        Ok(())
    }

    fn add(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let bad = || format!("{word}: {rest:?} is not what stands behind it");
        match word {
            "include" => {
                let found = READY_MADE.iter().find(|(name, _)| *name == rest).ok_or_else(bad)?;
                self.add_lines(found.1).map_err(|error| format!("{}: {error}", found.0))?;
            }
            "join-namespace" => self.join = self.join.with(kinds(rest).ok_or_else(bad)?),
            "host-namespace" => self.host = self.host.with(kinds(rest).ok_or_else(bad)?),
            "uid" => self.uids.add(ids(rest).ok_or_else(bad)?),
            "gid" => self.gids.add(ids(rest).ok_or_else(bad)?),
            "host-uid" => self.host_uids.add(ids(rest).ok_or_else(bad)?),
            "host-gid" => self.host_gids.add(ids(rest).ok_or_else(bad)?),
            "capability" => self.capabilities |= capabilities(rest).ok_or_else(bad)?,
            "device" => self.devices.add(devices(rest).ok_or_else(bad)?),
            "file-system" => {
                let (access, name) = access(rest).ok_or_else(bad)?;
                self.file_systems.add(Mountable { what: Glob::new(name).ok_or_else(bad)?, access });
            }
            "bind" => {
                let (access, path) = access(rest).ok_or_else(bad)?;
                self.binds.add(Mountable { what: Tree::new(path).ok_or_else(bad)?, access });
            }
            "sysctl" => self.sysctls.add(Glob::new(rest).ok_or_else(bad)?),
            "hook" => self.hooks.add(Tree::new(rest).ok_or_else(bad)?),
            "annotation" => self.annotations.add(Glob::new(rest).ok_or_else(bad)?),
            "seccomp" => self.filter = self.filter.max(filter(rest).ok_or_else(bad)?),
            "allow" => self.allow |= allowances(rest).ok_or_else(bad)?,
            "rlimit" => {
                let (kind, max) = rlimit(rest).ok_or_else(bad)?;
                match self.rlimits.get_mut(kind) {
                    Some(ceiling @ None) => *ceiling = Some(max),
                    _ => return Err(format!("rlimit: {rest:?} is the second one of its kind")),
                }
            }
            _ => return Err(format!("{word:?} is no word of a policy")),
        }
        Ok(())
    }
}

fn kinds(rest: &str) -> Option<Kinds> {
    each(rest, |word| match word {
        "*" => Some(Kinds::all()),
        _ => OciNamespaceKind::from_str_kind(word).map(|kind| Kinds::of(Namespace::from(kind))),
    })?
    .reduce(Kinds::with)
}

fn capabilities(rest: &str) -> Option<u64> {
    each(rest, |word| match word {
        "*" => Some((1 << CAPABILITIES.len()) - 1),
        _ => OciCapabilitySet::from_name(word).map(OciCapabilitySet::bits),
    })?
    .reduce(|a, b| a | b)
}

fn allowances(rest: &str) -> Option<Allow> {
    each(rest, |word| match word {
        "*" => Some(Allow::all()),
        _ => Allow::all().iter_names().find(|(name, _)| word_of(name) == word).map(|(_, flag)| flag),
    })?
    .reduce(Allow::union)
}

/// Every word understood; none if there are none or one is not.
fn each<T>(rest: &str, understand: impl Fn(&str) -> Option<T>) -> Option<impl Iterator<Item = T>> {
    let words: Option<alloc::vec::Vec<T>> = rest.split_whitespace().map(understand).collect();
    words.map(alloc::vec::Vec::into_iter)
}

fn word_of(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn ids(rest: &str) -> Option<Ids> {
    let (first, last) = rest.split_once('-').unwrap_or((rest, rest));
    let ids = Ids { first: first.parse().ok()?, last: last.parse().ok()? };
    (ids.first <= ids.last).then_some(ids)
}

fn devices(rest: &str) -> Option<Devices> {
    let (kind, numbers) = rest.split_once(' ')?;
    let (major, minor) = numbers.trim().split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        _ => text.parse().ok().map(Some),
    };
    let kind = match kind {
        "c" => Some(DeviceKind::Character),
        "b" => Some(DeviceKind::Block),
        "*" => None,
        _ => return None,
    };
    Some(Devices { kind, major: number(major)?, minor: number(minor)? })
}

fn access(rest: &str) -> Option<(Access, &str)> {
    let (word, rest) = rest.split_once(' ')?;
    let access = [Access::ReadOnly, Access::ReadWrite].into_iter().find(|access| access.as_str() == word)?;
    Some((access, rest.trim()))
}

const FILTERS: [(Filter, &str); 3] = [
    (Filter::Required, "required"),
    (Filter::WherePossible, "where-possible"),
    (Filter::Optional, "optional"),
];

fn filter(rest: &str) -> Option<Filter> {
    FILTERS.iter().find(|(_, word)| *word == rest).map(|(filter, _)| *filter)
}

fn rlimit(rest: &str) -> Option<(usize, u64)> {
    let (name, max) = rest.split_once(' ')?;
    Some((RLIMITS.iter().position(|known| *known == name)?, max.trim().parse().ok()?))
}

/// Writes the text whose reading gives `policy` again.
pub(super) fn write(policy: &Policy, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    words(f, "join-namespace", kind_words(policy.join), policy.join == Kinds::all())?;
    words(f, "host-namespace", kind_words(policy.host), policy.host == Kinds::all())?;
    for (word, set) in [
        ("uid", &policy.uids),
        ("gid", &policy.gids),
        ("host-uid", &policy.host_uids),
        ("host-gid", &policy.host_gids),
    ] {
        set.iter().try_for_each(|ids| writeln!(f, "{word} {ids}"))?;
    }
    let held = OciCapabilitySet::from_bits_truncate(policy.capabilities);
    let all = held.names().count() == CAPABILITIES.len();
    words(f, "capability", held.names().map(String::from), all)?;
    policy.devices.iter().try_for_each(|device| writeln!(f, "device {device}"))?;
    policy
        .file_systems
        .iter()
        .try_for_each(|rule| writeln!(f, "file-system {} {}", rule.access.as_str(), rule.what))?;
    policy.binds.iter().try_for_each(|rule| writeln!(f, "bind {} {}", rule.access.as_str(), rule.what))?;
    policy.sysctls.iter().try_for_each(|name| writeln!(f, "sysctl {name}"))?;
    policy.hooks.iter().try_for_each(|tree| writeln!(f, "hook {tree}"))?;
    policy.annotations.iter().try_for_each(|name| writeln!(f, "annotation {name}"))?;
    for (_, word) in FILTERS.iter().filter(|(filter, _)| *filter == policy.filter) {
        writeln!(f, "seccomp {word}")?;
    }
    let flags = policy.allow.iter_names().map(|(name, _)| word_of(name));
    words(f, "allow", flags, policy.allow == Allow::all())?;
    let limits = RLIMITS.iter().zip(policy.rlimits).filter_map(|(name, max)| Some((name, max?)));
    limits.into_iter().try_for_each(|(name, max)| writeln!(f, "rlimit {name} {max}"))
}

fn kind_words(kinds: Kinds) -> impl Iterator<Item = String> {
    Namespace::ALL.into_iter().filter(move |kind| kinds.holds(*kind)).map(|kind| String::from(kind.as_str()))
}

/// A line of words, if there are any; all there are is a `*`.
fn words(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    words: impl Iterator<Item = String>,
    all: bool,
) -> fmt::Result {
    let words: alloc::vec::Vec<String> = words.collect();
    match (words.is_empty(), all) {
        (true, _) => Ok(()),
        (false, true) => writeln!(f, "{name} *"),
        (false, false) => writeln!(f, "{name} {}", words.join(" ")),
    }
}
