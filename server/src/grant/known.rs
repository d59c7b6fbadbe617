//! Remembering that a grant was found to be attached.
//!
//! Finding that out takes a walk to the root. The walk finds the same again until something is cut off, because the
//! only things on it that ever change are these:
//!
//! - A grant is marked, a family is disowned, or a record goes that has something below it: each counts as a cut.
//! - A count of uses gets lower: what has one, or hangs below one, is never remembered.
//!
//! A grant that is made later is not on the walk, for what is above a grant is there before it; and a slot that was used
//! again begins with nothing remembered. Whether a grant is held, and when it ends by its time, is not part of the walk.

use super::{Grant, Grants, Hold, Resolved};
use bailiwick_protocol::id::Badge;
use core::fmt;

/// How often something was cut off, one more. It never comes round: counting to 2⁶⁴ takes longer than a machine lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Cuts(u64);

/// What [`Cuts`] was when a walk found nothing that was cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Known(u64);

impl Cuts {
    pub(super) const fn one_more(&mut self) {
        self.0 += 1;
    }
}

impl Default for Cuts {
    fn default() -> Self {
        Cuts(Known::NEVER.0 + 1)
    }
}

impl Known {
    /// No walk yet.
    pub(super) const NEVER: Known = Known(0);
}

// What is remembered is no state: whether it is changes no answer.
impl fmt::Debug for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cuts")
    }
}
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl<O: Copy> Grants<O> {
    /// As [`Grants::resolve`], if the grant is live and neither ends by a time nor counts calls, here or above. None does
    /// not say that it is not live.
    #[inline(always)]
    pub(crate) fn steady(&mut self, badge: Badge) -> Option<Resolved<O>> {
        // A time above would be one here: a derived grant takes the earlier of both.
        let grant = self.get(badge).filter(|grant| grant.hold == Hold::Held && grant.expires.is_none())?;
        let Grant { object, rights, depth, .. } = *grant;
        if !self.known(grant) {
            self.walk(badge)?;
        }
        Some(Resolved { object, rights, depth, expires: None, uses: None })
    }

    /// Whether a walk from this grant has found it attached, and would again.
    #[inline(always)]
    pub(super) const fn known(&self, grant: &Grant<O>) -> bool {
        grant.known.0 == self.cuts.0
    }

    /// Looks whether a grant is attached and counts no calls, and remembers if it is so.
    #[inline(never)]
    fn walk(&mut self, badge: Badge) -> Option<()> {
        let Some(None) = self.attached(badge) else { return None };
        let known = Known(self.cuts.0);
        self.get_mut(badge)?.known = known;
        Some(())
    }
}
