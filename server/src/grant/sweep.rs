//! Freeing what was cut off, in steps of constant size.

use super::Grants;
use super::family::Disowned;
use alloc::vec::Vec;
use bailiwick_protocol::id::Badge;

/// Grants that were cut off, on their way to be freed, leaves first.
///
/// It may be put aside after any step. Nothing can be derived below a grant that is cut, so it only shrinks; what others
/// free of it meanwhile is found to be gone by its generation.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    top: Disowned,
    /// From a grant of `top` down to where the sweep is. At most [`super::DEPTH_MAX`] long.
    path: Vec<Badge>,
}

/// What one step of a sweep found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swept {
    /// This grant has nothing below it any more and is to be freed, unless its object has ended, which frees it.
    Ripe(Badge),
    /// Nothing to be freed by this step.
    Onward,
    /// There is nothing left.
    Done,
}

impl Sweep {
    pub(super) fn new(top: Disowned) -> Self {
        Sweep { top, path: Vec::new() }
    }

    /// One step. Constant time.
    pub fn step<O: Copy>(&mut self, grants: &mut Grants<O>) -> Swept {
        let Some(at) = self.path.last().copied() else {
            let Some(place) = self.top.pop() else { return Swept::Done };
            self.path.extend(place);
            return Swept::Onward;
        };
        match grants.get_mut(at).and_then(|grant| grant.family.pop()) {
            Some(place) => {
                self.path.extend(place);
                Swept::Onward
            }
            None => {
                self.path.pop();
                if grants.get(at).is_some() { Swept::Ripe(at) } else { Swept::Onward }
            }
        }
    }

    /// Every grant that is still to be freed. For audits.
    pub(crate) fn tops(&self) -> impl Iterator<Item = Badge> {
        self.top.iter().chain(self.path.iter().copied())
    }
}
