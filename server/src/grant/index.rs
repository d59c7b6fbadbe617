//! A position that leaves room to say that there is none.

use core::fmt;
use core::num::NonZeroU32;

/// A position in a table of less than 2³² - 1 places. An optional one takes no more room than this.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Index(NonZeroU32);

impl Index {
    pub(super) const fn new(at: u32) -> Self {
        Index(NonZeroU32::MIN.saturating_add(at))
    }
    pub(super) const fn get(self) -> u32 {
        self.0.get() - 1
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
