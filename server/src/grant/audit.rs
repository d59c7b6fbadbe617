//! Does the tree hang together?

use super::{Grant, Grants, Hold, Standing, Sweep};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use bailiwick_kernel_glue::picture::{Picture, Thing};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Nanos;

impl<O: Copy> Grants<O> {
    /// Looks whether no grant holds more than its parent, whether the tree hangs together, and whether whatever was cut
    /// off is on its way out: below one of `sweeps`, or on an object that has `ended`. Takes time linear in all grants.
    ///
    /// # Errors
    /// What is wrong first, in words.
    pub fn audit<'s>(
        &self,
        sweeps: impl IntoIterator<Item = &'s Sweep>,
        ended: impl Fn(O) -> bool,
    ) -> Result<(), String> {
        let mut swept = BTreeSet::new();
        for top in sweeps.into_iter().flat_map(Sweep::tops) {
            self.gather(top, &mut swept);
        }
        let mut count = 0;
        for (badge, object, hold) in self.iter() {
            count += 1;
            let Some(grant) = self.get(badge) else { continue };
            self.audit_grant(badge, grant)?;
            if !self.is_attached(badge) {
                let leaving = swept.contains(&badge) || ended(object);
                fits(leaving, || format!("{badge:?}: is cut off, and nothing will free it"))?;
            } else if hold == Hold::GivenUp {
                let joint = !grant.family.is_empty() || self.withered.contains(&badge) || ended(object);
                fits(joint, || format!("{badge:?}: was given up, and nothing hangs on it"))?;
            }
        }
        fits(count == self.len, || format!("{count} grants, and {} were counted", self.len))
    }

    /// Draws every record: what it allows, and below which one it is.
    pub(crate) fn draw(&self, now: Nanos, picture: &mut Picture) {
        for (badge, ..) in self.iter() {
            let Some(grant) = self.get(badge) else { continue };
            let left = grant.expires.map(|end| end.0.saturating_sub(now.0));
            let held = grant.hold == Hold::Held;
            let said = (grant.rights, held, grant.uses, left, self.is_attached(badge));
            picture.mark(Thing::Grant(badge), ("grant", said));
            let parent = grant.membership.map(|membership| membership.parent);
            if let Some(parent) = parent.filter(|parent| self.get(*parent).is_some()) {
                picture.link(Thing::Grant(badge), Thing::Grant(parent), "derived from");
            }
        }
    }

    fn gather(&self, badge: Badge, into: &mut BTreeSet<Badge>) {
        if let Some(grant) = self.get(badge)
            && into.insert(badge)
        {
            grant.family.iter().for_each(|child| self.gather(child, into));
        }
    }

    fn audit_grant(&self, badge: Badge, grant: &Grant<O>) -> Result<(), String> {
        let known = self.known(grant);
        fits(!known || self.attached(badge) == Some(None), || {
            format!("{badge:?}: is not what is remembered of it")
        })?;
        let members = grant.family.iter().count();
        fits(members == grant.family.len() as usize, || format!("{badge:?}: miscounts its family"))?;
        for child in grant.family.iter() {
            let membership = self.get(child).and_then(|child| child.membership);
            let own = membership.is_some_and(|m| m.parent == badge && grant.family.has(m, child));
            fits(own || self.get(child).is_none(), || format!("{badge:?}: {child:?} is not its own"))?;
        }
        let Some(membership) = grant.membership else {
            return fits(grant.depth == 0, || format!("{badge:?}: has no parent"));
        };
        let Some(above) = self.get(membership.parent) else { return Ok(()) };
        fits(above.rights.contains(grant.rights), || format!("{badge:?}: holds more than its parent"))?;
        fits(above.depth + 1 == grant.depth, || format!("{badge:?}: is at the wrong depth"))?;
        let in_time = above.expires.is_none_or(|end| grant.expires.is_some_and(|own| own <= end));
        fits(in_time, || format!("{badge:?}: outlives its parent"))?;
        let member = above.family.has(membership, badge);
        let attached = grant.standing == Standing::Attached && self.is_attached(badge);
        fits(member || !attached, || format!("{badge:?}: its parent does not know it"))
    }
}

fn fits(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
