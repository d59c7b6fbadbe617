//! Grants: the server's record behind each badge.
//!
//! ```text
//!   badge = index │ generation ──► Slot { generation, Grant { object, rights, parent, children … } }
//! ```
//!
//! A badge is resolved in one place, [`Grants::resolve`]: a slot that was used again has another generation, so an
//! old badge finds nothing, and what was revoked, dropped or never existed looks the same. Grants form a tree
//! linked by index. Rights only shrink on the way down, because [`Rights::restrict`] is all there is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::rights::Rights;

/// Most grants a server keeps.
pub const GRANTS_MAX: usize = 1 << 17;

/// What a badge stands for, as [`Grants::resolve`] found it. It was live at that moment; a later call may end it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolved<O> {
    /// The object.
    pub object: O,
    /// What may be asked of it.
    pub rights: Rights,
    /// How many derivations it is away from a root grant.
    pub depth: u16,
}

#[derive(Clone, Debug)]
struct Grant<O> {
    object: O,
    rights: Rights,
    depth: u16,
    parent: Option<u32>,
    first_child: Option<u32>,
    /// Neighbours among the parent's children.
    previous: Option<u32>,
    next: Option<u32>,
}

#[derive(Clone, Debug)]
struct Slot<O> {
    generation: u32,
    grant: Option<Grant<O>>,
}

/// All grants of one server.
#[derive(Clone, Debug)]
pub struct Grants<O> {
    slots: Vec<Slot<O>>,
    free: Vec<u32>,
    live: usize,
}

impl<O> Default for Grants<O> {
    fn default() -> Self {
        Grants { slots: Vec::new(), free: Vec::new(), live: 0 }
    }
}

impl<O: Copy> Grants<O> {
    /// Grants that exist.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    fn get(&self, index: u32) -> Option<&Grant<O>> {
        self.slots.get(index as usize)?.grant.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Grant<O>> {
        self.slots.get_mut(index as usize)?.grant.as_mut()
    }

    /// Every live grant with its object, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (Badge, O)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            slot.grant.as_ref().map(|grant| (Badge::new(index, slot.generation), grant.object))
        })
    }

    /// Looks whether no grant holds more than its parent, and whether the tree hangs together.
    ///
    /// # Errors
    /// What is wrong first, in words.
    pub fn audit(&self) -> Result<(), String> {
        let mut children = 0;
        for (badge, _) in self.iter() {
            let index = badge.index();
            let Some(grant) = self.get(index) else { continue };
            if let Some(parent) = grant.parent {
                let parent = self.get(parent).ok_or_else(|| format!("{badge:?}: its parent is gone"))?;
                if !parent.rights.contains(grant.rights) {
                    return Err(format!("{badge:?}: holds more than its parent"));
                }
                if parent.depth >= grant.depth {
                    return Err(format!("{badge:?}: is no deeper than its parent"));
                }
                children += 1;
            }
            let mut next = grant.first_child;
            while let Some(child) = next {
                let found = self.get(child).filter(|child| child.parent == Some(index));
                next = found.ok_or_else(|| format!("{badge:?}: a child is not its own"))?.next;
                children -= 1;
            }
        }
        match (children, self.iter().count() == self.live) {
            (0, true) => Ok(()),
            _ => Err(format!("{children} grants are not among their parent's children, or a wrong count")),
        }
    }

    fn live(&self, badge: Badge) -> Result<&Grant<O>, Refusal> {
        self.slots
            .get(badge.index() as usize)
            .filter(|slot| slot.generation == badge.generation())
            .and_then(|slot| slot.grant.as_ref())
            .ok_or_else(|| RefusalCode::NotFound.into())
    }

    /// What the badge stands for. Constant time.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if its grant was revoked or dropped, or never was.
    pub fn resolve(&self, badge: Badge) -> Result<Resolved<O>, Refusal> {
        let grant = self.live(badge)?;
        Ok(Resolved { object: grant.object, rights: grant.rights, depth: grant.depth })
    }

    /// A grant without a parent. The caller answers for these rights.
    ///
    /// # Errors
    /// [`RefusalCode::Full`] at [`GRANTS_MAX`] grants.
    pub fn root(&mut self, object: O, rights: Rights) -> Result<Badge, Refusal> {
        self.insert(object, rights, 0, None)
    }

    /// A grant on `object` below another, with at most the rights of that one. Revoking the parent ends it.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if the parent is not live, [`RefusalCode::Full`] at [`GRANTS_MAX`] grants or
    /// 65,535 derivations in a row; nothing has changed then.
    pub fn derive(&mut self, parent: Badge, object: O, mask: Rights) -> Result<Badge, Refusal> {
        let grant = self.live(parent)?;
        let rights = grant.rights.restrict(mask);
        let depth = grant.depth.checked_add(1).ok_or(Refusal::from(RefusalCode::Full))?;
        self.insert(object, rights, depth, Some(parent.index()))
    }

    fn insert(
        &mut self,
        object: O,
        rights: Rights,
        depth: u16,
        parent: Option<u32>,
    ) -> Result<Badge, Refusal> {
        let index = self.claim()?;
        let grant =
            Grant { object, rights, depth, parent: None, first_child: None, previous: None, next: None };
        let slot = self.slots.get_mut(index as usize).ok_or(Refusal::from(RefusalCode::Internal))?;
        slot.grant = Some(grant);
        let badge = Badge::new(index, slot.generation);
        self.adopt(index, parent);
        self.live += 1;
        Ok(badge)
    }

    /// An empty slot: one that was used before, or a new one.
    fn claim(&mut self) -> Result<u32, Refusal> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        if self.slots.len() >= GRANTS_MAX {
            return Err(RefusalCode::Full.into());
        }
        self.slots.push(Slot { generation: 1, grant: None });
        Ok(self.slots.len() as u32 - 1)
    }

    /// Ends every descendant of this grant, not itself, calling `ended` with badge and object of each, leaves first.
    /// Safe to repeat. Time is linear in their number.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if the grant is not live.
    pub fn revoke(&mut self, badge: Badge, mut ended: impl FnMut(Badge, O)) -> Result<(), Refusal> {
        self.live(badge)?;
        let mut at = badge.index();
        loop {
            if let Some(child) = self.get(at).and_then(|grant| grant.first_child) {
                at = child;
            } else if at == badge.index() {
                return Ok(());
            } else {
                let parent = self.get(at).and_then(|grant| grant.parent);
                if let Some((leaf, object)) = self.remove(at) {
                    ended(leaf, object);
                }
                at = parent.unwrap_or(badge.index());
            }
        }
    }

    /// Ends this grant and every descendant.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if the grant is not live.
    pub fn end(&mut self, badge: Badge, mut ended: impl FnMut(Badge, O)) -> Result<(), Refusal> {
        self.revoke(badge, &mut ended)?;
        if let Some((last, object)) = self.remove(badge.index()) {
            ended(last, object);
        }
        Ok(())
    }

    /// Ends this grant alone and gives its object. What was derived from it lives on below its parent, so whoever
    /// could revoke it before still can. Time is linear in its children.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if the grant is not live.
    pub fn give_up(&mut self, badge: Badge) -> Result<O, Refusal> {
        let grant = self.live(badge)?;
        let (object, parent, mut child) = (grant.object, grant.parent, grant.first_child);
        while let Some(index) = child {
            child = self.adopt(index, parent);
        }
        if let Some(grant) = self.get_mut(badge.index()) {
            grant.first_child = None;
        }
        self.remove(badge.index());
        Ok(object)
    }

    /// Puts a grant first among the children of `parent` and gives the sibling that stood after it.
    fn adopt(&mut self, index: u32, parent: Option<u32>) -> Option<u32> {
        let next = parent.and_then(|parent| self.get_mut(parent)?.first_child.replace(index));
        if let Some(sibling) = next.and_then(|next| self.get_mut(next)) {
            sibling.previous = Some(index);
        }
        let grant = self.get_mut(index)?;
        (grant.parent, grant.previous) = (parent, None);
        core::mem::replace(&mut grant.next, next)
    }

    /// Takes a grant without children out of the tree and gives the badge and the object it had.
    fn remove(&mut self, index: u32) -> Option<(Badge, O)> {
        let slot = self.slots.get_mut(index as usize)?;
        let grant = slot.grant.take()?;
        let badge = Badge::new(index, slot.generation);
        self.live -= 1;
        // A slot whose generations are used up stays empty: no badge ever means two grants.
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            self.free.push(index);
        }
        match grant.previous {
            Some(previous) => self.get_mut(previous).map(|sibling| sibling.next = grant.next),
            None => grant.parent.and_then(|p| self.get_mut(p)).map(|parent| parent.first_child = grant.next),
        };
        if let Some(next) = grant.next.and_then(|next| self.get_mut(next)) {
            next.previous = grant.previous;
        }
        Some((badge, grant.object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn not_found<T>(result: Result<T, Refusal>) -> bool {
        matches!(result, Err(refusal) if refusal == RefusalCode::NotFound.into())
    }

    #[test]
    fn a_derived_grant_never_holds_more_than_its_parent() {
        let mut grants = Grants::default();
        let held = Rights::INSPECT | Rights::DERIVE;
        let root = grants.root(1, held).unwrap();
        let child = grants.derive(root, 1, Rights::all()).unwrap();
        assert_eq!(grants.resolve(child).unwrap(), Resolved { object: 1, rights: held, depth: 1 });
        let grandchild = grants.derive(child, 1, Rights::INSPECT | Rights::DELETE).unwrap();
        assert_eq!(grants.resolve(grandchild).unwrap().rights, Rights::INSPECT);
    }

    #[test]
    fn revoking_ends_all_descendants_and_nothing_else() {
        let mut grants = Grants::default();
        let root = grants.root(1, Rights::all()).unwrap();
        let (a, b) = (grants.derive(root, 1, Rights::all()), grants.derive(root, 1, Rights::all()));
        let (a, b) = (a.unwrap(), b.unwrap());
        let below: Vec<Badge> = (0..3).map(|_| grants.derive(a, 1, Rights::all()).unwrap()).collect();
        let deep = grants.derive(below[1], 1, Rights::all()).unwrap();
        let mut ended = vec![];
        grants.revoke(a, |badge, _| ended.push(badge)).unwrap();
        assert_eq!(ended.len(), 4);
        assert!(below.iter().chain([&deep]).all(|badge| not_found(grants.resolve(*badge))));
        assert!(grants.resolve(a).is_ok() && grants.resolve(b).is_ok());
        assert_eq!(grants.len(), 3);
        grants.revoke(a, |_, _| panic!("nothing is left to end")).unwrap();
    }

    #[test]
    fn an_old_badge_finds_nothing_after_its_slot_was_used_again() {
        let mut grants = Grants::default();
        let old = grants.root(1, Rights::all()).unwrap();
        grants.end(old, |_, _| {}).unwrap();
        let new = grants.root(2, Rights::all()).unwrap();
        assert_eq!(old.index(), new.index());
        assert!(not_found(grants.resolve(old)));
        assert!(not_found(grants.derive(old, 1, Rights::all())));
        assert_eq!(grants.resolve(new).unwrap().object, 2);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut grants = Grants::default();
        let badge = grants.root(1, Rights::all()).unwrap();
        grants.slots[0].generation = u32::MAX;
        let last = Badge::new(badge.index(), u32::MAX);
        grants.end(last, |_, _| {}).unwrap();
        assert_ne!(grants.root(2, Rights::all()).unwrap().index(), badge.index());
        assert!(not_found(grants.resolve(last)));
    }

    #[test]
    fn a_badge_of_nobody_looks_like_one_that_was_revoked() {
        let mut grants = Grants::default();
        let badge = grants.root(1, Rights::all()).unwrap();
        grants.end(badge, |_, _| {}).unwrap();
        assert_eq!(grants.resolve(badge), grants.resolve(Badge(u64::MAX)));
    }

    #[test]
    fn what_was_derived_from_a_grant_that_is_given_up_lives_on_below_its_parent() {
        let mut grants = Grants::default();
        let root = grants.root(1, Rights::all()).unwrap();
        let middle = grants.derive(root, 1, Rights::all()).unwrap();
        let below: Vec<Badge> = (0..3).map(|_| grants.derive(middle, 2, Rights::all()).unwrap()).collect();
        assert_eq!(grants.give_up(middle), Ok(1));
        assert!(not_found(grants.resolve(middle)) && not_found(grants.give_up(middle)));
        assert!(below.iter().all(|badge| grants.resolve(*badge).is_ok()));
        let mut ended = vec![];
        grants.revoke(root, |badge, _| ended.push(badge)).unwrap();
        ended.sort();
        assert_eq!(ended, below);
        let alone = grants.derive(root, 3, Rights::all()).unwrap();
        grants.give_up(root).unwrap();
        assert!(grants.resolve(alone).is_ok());
        grants.end(alone, |_, _| {}).unwrap();
        assert!(grants.is_empty());
    }

    /// Random histories against a list of (badge, parent, rights) that is searched from the front.
    #[test]
    fn random_histories_agree_with_a_naive_list() {
        let mut state = 7u64;
        let mut random = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let mut grants = Grants::default();
        let mut naive: Vec<(Badge, Option<Badge>, Rights)> = vec![];
        for step in 0..20_000 {
            if naive.is_empty() || random(10) == 0 {
                naive.push((grants.root(step, Rights::all()).unwrap(), None, Rights::all()));
                continue;
            }
            let (badge, _, rights) = naive[random(naive.len())];
            let choice = random(6);
            if choice == 5 {
                let parent = naive.iter().find(|(known, ..)| *known == badge).and_then(|found| found.1);
                grants.give_up(badge).unwrap();
                naive.retain(|(known, ..)| *known != badge);
                naive.iter_mut().filter(|row| row.1 == Some(badge)).for_each(|row| row.1 = parent);
            } else if choice < 4 {
                let mask = Rights::from_bits_truncate(random(1 << 13) as u32);
                let child = grants.derive(badge, step, mask).unwrap();
                naive.push((child, Some(badge), rights & mask));
            } else {
                let mut ended = vec![];
                grants.end(badge, |gone, _| ended.push(gone)).unwrap();
                let mut gone = vec![badge];
                while let Some((child, ..)) = naive.iter().find(|(child, parent, _)| {
                    !gone.contains(child) && parent.is_some_and(|p| gone.contains(&p))
                }) {
                    gone.push(*child);
                }
                naive.retain(|(badge, ..)| !gone.contains(badge));
                ended.sort();
                gone.sort();
                assert_eq!(ended, gone);
            }
            assert_eq!(grants.len(), naive.len());
        }
        for (badge, _, rights) in &naive {
            assert_eq!(grants.resolve(*badge).unwrap().rights, *rights);
        }
    }
}
