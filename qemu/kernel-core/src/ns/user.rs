//! User namespaces: which ids inside stand for which of the kernel's (user_namespaces(7)).

use crate::cred::{Gid, Uid};
use crate::ns::NamespaceId;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// The id shown for what has no mapping (`/proc/sys/kernel/overflowuid`).
pub const OVERFLOW_ID: u32 = 65534;
/// Most lines of one map.
pub const MAP_LINES_MAX: usize = 340;

/// One range of a map. `outside` ids are the kernel's own, not the parent namespace's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First id inside.
    pub inside: u32,
    /// First id of the kernel.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A map of ids; empty until it is written, once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdTable(Vec<Range>);

impl IdTable {
    /// Everything is itself: the map of the first user namespace.
    pub fn identity() -> Self {
        IdTable(alloc::vec![Range { inside: 0, outside: 0, count: u32::MAX }])
    }

    /// Checks `ranges` for what user_namespaces(7) demands of a map.
    ///
    /// # Errors
    /// `EINVAL`: no line, too many, an empty or overflowing range, or two that overlap on either side.
    pub fn new(ranges: Vec<Range>) -> Result<Self, Errno> {
        if ranges.is_empty() || ranges.len() > MAP_LINES_MAX {
            return Err(Errno::EINVAL);
        }
        for (at, r) in ranges.iter().enumerate() {
            if r.count == 0
                || r.inside.checked_add(r.count).is_none()
                || r.outside.checked_add(r.count).is_none()
            {
                return Err(Errno::EINVAL);
            }
            let apart = |a: u32, an: u32, b: u32, bn: u32| a + an <= b || b + bn <= a;
            if ranges.iter().take(at).any(|o| {
                !apart(o.inside, o.count, r.inside, r.count) || !apart(o.outside, o.count, r.outside, r.count)
            }) {
                return Err(Errno::EINVAL);
            }
        }
        Ok(IdTable(ranges))
    }

    /// Whether it was never written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Its lines.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }
    /// The kernel's id of `inside`.
    pub fn to_kernel(&self, inside: u32) -> Option<u32> {
        self.0
            .iter()
            .find(|r| inside >= r.inside && inside - r.inside < r.count)
            .map(|r| r.outside + (inside - r.inside))
    }
    /// What the kernel's id `outside` is called inside.
    pub fn from_kernel(&self, outside: u32) -> Option<u32> {
        self.0
            .iter()
            .find(|r| outside >= r.outside && outside - r.outside < r.count)
            .map(|r| r.inside + (outside - r.outside))
    }
}

/// A user namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNamespace {
    /// The one it was made in; none for the first.
    pub parent: Option<NamespaceId>,
    /// Distance from the first.
    pub level: u8,
    /// The effective user that made it.
    pub creator: Uid,
    /// The effective group that made it.
    pub creator_group: Gid,
    /// Users.
    pub uids: IdTable,
    /// Groups.
    pub gids: IdTable,
    /// setgroups(2) is denied for good.
    pub setgroups_denied: bool,
}

impl UserNamespace {
    /// The kernel's id of user `inside` ("map into the kernel").
    pub fn map_into(&self, inside: u32) -> Option<Uid> {
        self.uids.to_kernel(inside).map(Uid)
    }
    /// The kernel's id of group `inside`.
    pub fn map_group_into(&self, inside: u32) -> Option<Gid> {
        self.gids.to_kernel(inside).map(Gid)
    }
    /// What `uid` is called inside; [`OVERFLOW_ID`] if it has no name there.
    pub fn map_from(&self, uid: Uid) -> u32 {
        self.uids.from_kernel(uid.0).unwrap_or(OVERFLOW_ID)
    }
    /// What `gid` is called inside; [`OVERFLOW_ID`] if it has no name there.
    pub fn map_group_from(&self, gid: Gid) -> u32 {
        self.gids.from_kernel(gid.0).unwrap_or(OVERFLOW_ID)
    }
    /// Whether both ids of a file have a name inside: without, no capability counts for the file.
    pub fn knows(&self, uid: Uid, gid: Gid) -> bool {
        self.uids.from_kernel(uid.0).is_some() && self.gids.from_kernel(gid.0).is_some()
    }
}

/// Parses what is written to `uid_map` or `gid_map`: lines of "inside outside count", decimal.
///
/// # Errors
/// `EINVAL` if a line is anything else.
pub fn parse_map(text: &[u8]) -> Result<Vec<Range>, Errno> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let mut ranges = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<u32>());
        let mut next = || numbers.next().and_then(Result::ok).ok_or(Errno::EINVAL);
        let range = Range { inside: next()?, outside: next()?, count: next()? };
        if numbers.next().is_some() || ranges.len() == MAP_LINES_MAX {
            return Err(Errno::EINVAL);
        }
        ranges.push(range);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_map_translates_both_ways_and_nothing_else() {
        let t = IdTable::new(vec![
            Range { inside: 0, outside: 100_000, count: 10 },
            Range { inside: 1000, outside: 1000, count: 1 },
        ])
        .unwrap();
        assert_eq!(t.to_kernel(9), Some(100_009));
        assert_eq!(t.to_kernel(10), None);
        assert_eq!(t.from_kernel(1000), Some(1000));
        assert_eq!(t.from_kernel(0), None);
    }

    #[test]
    fn overlapping_empty_and_overflowing_maps_are_refused() {
        let r = |inside, outside, count| Range { inside, outside, count };
        for bad in [
            vec![],
            vec![r(0, 0, 0)],
            vec![r(u32::MAX, 0, 1)],
            vec![r(0, u32::MAX, 2)],
            vec![r(0, 0, 10), r(9, 100, 1)],
            vec![r(0, 0, 10), r(20, 5, 1)],
        ] {
            assert_eq!(IdTable::new(bad), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn map_text_is_three_decimal_numbers_a_line() {
        assert_eq!(parse_map(b"0 100000 65536\n").unwrap().len(), 1);
        for bad in [&b"0 1"[..], b"0 1 2 3", b"-1 0 1", b"a b c", b"\xff"] {
            assert_eq!(parse_map(bad), Err(Errno::EINVAL));
        }
    }
}
