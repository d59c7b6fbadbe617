//! Stretches of physical memory, before there is a heap.

use crate::hw::PAGE;
use heapless::Vec;

/// Bytes from `start` up to, not including, `end`. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
}

impl Range {
    /// The bytes from `start` up to `end`, if there are any.
    pub fn new(start: u64, end: u64) -> Option<Range> {
        (start < end).then_some(Range { start, end })
    }
    /// Whether `address` is in it.
    pub fn contains(self, address: u64) -> bool {
        address >= self.start && address < self.end
    }
    /// How many bytes.
    pub fn bytes(self) -> u64 {
        self.end - self.start
    }
    /// The part that is in `other` too.
    pub fn common(self, other: Range) -> Option<Range> {
        Range::new(self.start.max(other.start), self.end.min(other.end))
    }
    /// The complete pages in it.
    pub fn inner_pages(self) -> Option<Range> {
        let page = PAGE as u64;
        Range::new(self.start.checked_next_multiple_of(page)?, self.end / page * page)
    }
    /// The pages that it touches.
    pub fn outer_pages(self) -> Option<Range> {
        let page = PAGE as u64;
        Range::new(self.start / page * page, self.end.checked_next_multiple_of(page)?)
    }
}

/// Most ranges that are kept: firmware rarely names more than ten.
pub const RANGES_MAX: usize = 64;

/// A set of ranges. What does not fit is left out, which makes memory unused, never used twice.
#[derive(Clone, Default, Debug)]
pub struct Ranges(Vec<Range, RANGES_MAX>);

impl Ranges {
    /// Adds what is in no range yet.
    pub fn add(&mut self, range: Range) {
        let mut new = Ranges::default();
        let _ = new.0.push(range);
        self.0.iter().for_each(|old| new.remove(*old));
        for part in new.0 {
            let _ = self.0.push(part);
        }
    }
    /// Takes `hole` out.
    pub fn remove(&mut self, hole: Range) {
        let mut left = Vec::new();
        for range in &self.0 {
            let Some(common) = range.common(hole) else {
                let _ = left.push(*range);
                continue;
            };
            for part in [Range::new(range.start, common.start), Range::new(common.end, range.end)] {
                let _ = part.map(|part| left.push(part));
            }
        }
        self.0 = left;
    }
    /// The complete pages of each range.
    pub fn inner_pages(&self) -> Ranges {
        Ranges(self.0.iter().filter_map(|range| range.inner_pages()).collect())
    }
    /// The ranges, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().copied()
    }
    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.iter().map(Range::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(u64, u64)]) -> Ranges {
        let mut all = Ranges::default();
        of.iter().filter_map(|(start, end)| Range::new(*start, *end)).for_each(|range| all.add(range));
        all
    }
    fn listed(ranges: &Ranges) -> alloc::vec::Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn what_is_named_twice_is_there_once() {
        let all = ranges(&[(0, 10), (5, 15), (2, 3), (20, 20), (30, 20)]);
        assert_eq!(all.bytes(), 15);
        assert_eq!(listed(&all), [(0, 10), (10, 15)]);
    }

    #[test]
    fn a_hole_leaves_what_is_before_and_after_it() {
        let mut all = ranges(&[(0, 100), (200, 300)]);
        for hole in [(40, 60), (90, 210), (0, 1), (500, 600)] {
            all.remove(Range::new(hole.0, hole.1).unwrap());
        }
        assert_eq!(listed(&all), [(1, 40), (60, 90), (210, 300)]);
    }

    #[test]
    fn too_many_ranges_make_memory_unused_but_never_used_twice() {
        let mut all = ranges(&[(0, 10_000)]);
        for at in 0..1000 {
            all.remove(Range::new(at * 10, at * 10 + 1).unwrap());
        }
        assert!(all.iter().all(|range| range.start % 10 == 1 && range.end % 10 == 0));
        assert!(all.iter().count() <= RANGES_MAX);
    }

    #[test]
    fn pages_are_counted_only_when_complete() {
        let page = PAGE as u64;
        let all = ranges(&[(1, 3 * page + 5), (10 * page, 10 * page + 7)]).inner_pages();
        assert_eq!(listed(&all), [(page, 3 * page)]);
        assert_eq!(Range::new(1, 2).unwrap().outer_pages(), Range::new(0, page));
    }
}
