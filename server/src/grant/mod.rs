//! Grants: the server's record behind each badge.
//!
//! ```text
//!   badge = index │ generation ──► Slot { generation, Grant { object, rights, parent, family … } }
//!
//!            root ─┬─ a ─┬─ b        a badge is accepted if its grant is held and if, on the way up to the root, no
//!                  │     └─ c        grant is cut, expired or used up, and each is still of its parent's family
//!                  └─ d
//! ```
//!
//! A badge is resolved in one place, [`Grants::resolve`]. A slot that was used again has another generation, so an
//! old badge finds nothing; what was revoked, dropped, has expired, is used up or never existed looks the same.
//! Rights only shrink on the way down, because [`Rights::restrict`] is all there is.
//!
//! Taking back has two halves. *Cutting* takes constant time and ends all authority at once: a grant is marked, or a
//! family is disowned, and no badge below resolves any more. *Sweeping* frees the records afterwards, one at a time
//! ([`Sweep`]). What a holder gives up stays as a joint of the tree as long as something hangs on it, so that whoever
//! stands above can still name it and cut it.

mod audit;
mod family;
mod index;
mod known;
mod peers;
mod sweep;
#[cfg(test)]
mod tests;

pub use peers::Peers;
pub use sweep::{Sweep, Swept};

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::Nanos;
use bailiwick_protocol::rights::Rights;
use family::{Disowned, Family, Membership};
use index::Index;
use known::{Cuts, Known};

/// Most grants a server keeps.
pub const GRANTS_MAX: usize = 1 << 17;
/// Most derivations in a row. Resolving a badge walks that far at most.
pub const DEPTH_MAX: u16 = 64;

/// What a badge stands for, as [`Grants::resolve`] found it. It was live at that moment; a later call may end it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolved<O> {
    /// The object.
    pub object: O,
    /// What may be asked of it.
    pub rights: Rights,
    /// How many derivations it is away from a root grant.
    pub depth: u16,
    /// When it ends by itself: the earliest time set here or above.
    pub expires: Option<Nanos>,
    /// How many calls that need a right it is good for: the least that is left here or above.
    pub uses: Option<u32>,
}

/// What a derived grant may be at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Mask over the parent's rights.
    pub rights: Rights,
    /// When it ends by itself, if not earlier.
    pub expires: Option<Nanos>,
    /// How many calls that need a right it is good for, everything derived from it included.
    pub uses: Option<u32>,
}

impl From<Rights> for Terms {
    /// No more than these rights; otherwise as the parent.
    fn from(rights: Rights) -> Self {
        Terms { rights, expires: None, uses: None }
    }
}

/// A new grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Derived {
    /// Its badge.
    pub badge: Badge,
    /// What its parent knows it by.
    pub handle: GrantHandle,
}

/// Whether anybody holds the capability behind a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// Somebody may.
    Held,
    /// It was given up, and is kept because grants below it are there.
    GivenUp,
}

/// Whether a grant was cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Attached,
    Cut,
}

#[derive(Clone, Debug)]
struct Grant<O> {
    object: O,
    rights: Rights,
    depth: u16,
    hold: Hold,
    standing: Standing,
    expires: Option<Nanos>,
    uses: Option<u32>,
    membership: Option<Membership>,
    family: Family,
    /// Neighbours among the grants on the same object.
    before: Option<Index>,
    after: Option<Index>,
    /// When it was last found to be attached.
    known: Known,
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
    len: usize,
    /// Grants that end by themselves, in the order of their ends.
    expiries: BTreeSet<(Nanos, Badge)>,
    /// Joints on which nothing hangs any more.
    withered: Vec<Badge>,
    /// How often something was cut off.
    cuts: Cuts,
}

impl<O> Default for Grants<O> {
    fn default() -> Self {
        Grants {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            expiries: BTreeSet::new(),
            withered: Vec::new(),
            cuts: Cuts::default(),
        }
    }
}

impl<O: Copy> Grants<O> {
    /// Records there are, those that wait to be swept included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn get(&self, badge: Badge) -> Option<&Grant<O>> {
        let slot = self.slots.get(badge.index() as usize)?;
        slot.grant.as_ref().filter(|_| slot.generation == badge.generation())
    }

    fn get_mut(&mut self, badge: Badge) -> Option<&mut Grant<O>> {
        let slot = self.slots.get_mut(badge.index() as usize)?;
        slot.grant.as_mut().filter(|_| slot.generation == badge.generation())
    }

    /// Every record with its object and whether it is held, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (Badge, O, Hold)> {
        (0u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let badge = Badge::new(index, slot.generation);
            slot.grant.as_ref().map(|grant| (badge, grant.object, grant.hold))
        })
    }

    /// Whether somebody may hold the capability of a record, live or not.
    pub fn hold(&self, badge: Badge) -> Option<Hold> {
        self.get(badge).map(|grant| grant.hold)
    }

    /// The object of a record, live or not.
    pub fn object(&self, badge: Badge) -> Option<O> {
        self.get(badge).map(|grant| grant.object)
    }

    /// Walks from a grant to its root and gives the fewest uses left on the way; none if anything on it is cut, used
    /// up or gone.
    fn attached(&self, badge: Badge) -> Option<Option<u32>> {
        let mut grant = self.get(badge)?;
        let mut uses: Option<u32> = None;
        loop {
            if grant.standing == Standing::Cut {
                return None;
            }
            match grant.uses {
                None => {}
                Some(0) => return None,
                Some(left) => uses = Some(uses.map_or(left, |least| least.min(left))),
            }
            let Some(membership) = grant.membership else { return Some(uses) };
            grant = self.get(membership.parent).filter(|parent| parent.family.epoch() == membership.epoch)?;
        }
    }

    /// What the badge stands for. Takes time linear in its depth, at most [`DEPTH_MAX`]. `now` is asked for the time only
    /// if the grant ends at one.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if its grant was revoked or given up, has expired, is used up, or never was.
    pub fn resolve(&self, badge: Badge, now: impl FnOnce() -> Nanos) -> Result<Resolved<O>, Refusal> {
        let not_found = || Refusal::from(RefusalCode::NotFound);
        let grant = self.get(badge).filter(|grant| grant.hold == Hold::Held).ok_or_else(not_found)?;
        // What ends above ends below no later: a derived grant takes the earlier of both times.
        if grant.expires.is_some_and(|end| end <= now()) {
            return Err(not_found());
        }
        let uses = self.attached(badge).ok_or_else(not_found)?;
        let Grant { object, rights, depth, expires, .. } = *grant;
        Ok(Resolved { object, rights, depth, expires, uses })
    }

    /// Whether calls that were let through on this badge may still be answered: it is not cut off. It may be used up,
    /// by these very calls.
    pub fn is_attached(&self, badge: Badge) -> bool {
        let mut at = self.get(badge);
        while let Some(grant) = at.filter(|grant| grant.standing == Standing::Attached) {
            let Some(membership) = grant.membership else { return true };
            at = self.get(membership.parent).filter(|parent| parent.family.epoch() == membership.epoch);
        }
        false
    }

    /// Counts one call on a grant that was just resolved, on it and on every grant above that counts.
    pub fn spend(&mut self, badge: Badge) {
        let mut at = Some(badge);
        while let Some(grant) = at.and_then(|badge| self.get_mut(badge)) {
            grant.uses = grant.uses.map(|uses| uses.saturating_sub(1));
            at = grant.membership.map(|membership| membership.parent);
        }
    }

    /// A grant without a parent. The caller answers for these rights.
    ///
    /// # Errors
    /// [`RefusalCode::Full`] at [`GRANTS_MAX`] grants.
    pub fn root(&mut self, object: O, rights: Rights, peers: &mut Peers) -> Result<Badge, Refusal> {
        let badge = self.claim()?;
        let grant = Grant {
            object,
            rights,
            depth: 0,
            hold: Hold::Held,
            standing: Standing::Attached,
            expires: None,
            uses: None,
            membership: None,
            family: Family::default(),
            before: None,
            after: None,
            known: Known::NEVER,
        };
        self.put(badge, grant, peers);
        Ok(badge)
    }

    /// A grant on `object` below another, with at most the rights, the time and the uses of that one. Cutting the
    /// parent ends it. `peers` are the grants on `object`.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if the parent is not there, [`RefusalCode::Full`] at [`GRANTS_MAX`] grants or
    /// [`DEPTH_MAX`] derivations in a row; nothing has changed then.
    pub fn derive(
        &mut self,
        parent: Badge,
        object: O,
        terms: Terms,
        peers: &mut Peers,
    ) -> Result<Derived, Refusal> {
        let above = self.get(parent).ok_or(RefusalCode::NotFound)?;
        let rights = above.rights.restrict(terms.rights);
        let expires = match (above.expires, terms.expires) {
            (Some(above), Some(own)) => Some(above.min(own)),
            (one, other) => one.or(other),
        };
        let ends_first = expires.filter(|_| expires != above.expires);
        let depth = above.depth + 1;
        if depth > DEPTH_MAX {
            return Err(Refusal::new(RefusalCode::Full, "derivations in a row"));
        }
        let badge = self.claim()?;
        let family = self.get_mut(parent).map(|above| &mut above.family);
        let joined = family.ok_or(RefusalCode::NotFound).and_then(|family| family.join(parent, badge));
        let (membership, handle) = match joined {
            Ok(joined) => joined,
            Err(code) => {
                self.free.push(badge.index());
                return Err(code.into());
            }
        };
        let grant = Grant {
            object,
            rights,
            depth,
            hold: Hold::Held,
            standing: Standing::Attached,
            expires,
            uses: terms.uses,
            membership: Some(membership),
            family: Family::default(),
            before: None,
            after: None,
            known: Known::NEVER,
        };
        self.put(badge, grant, peers);
        self.expiries.extend(ends_first.map(|end| (end, badge)));
        Ok(Derived { badge, handle })
    }

    fn put(&mut self, badge: Badge, grant: Grant<O>, peers: &mut Peers) {
        if let Some(slot) = self.slots.get_mut(badge.index() as usize) {
            slot.grant = Some(grant);
            self.len += 1;
            self.enlist(badge.index(), peers);
        }
    }

    /// An empty slot, one that was used before or a new one, as the badge it will have.
    fn claim(&mut self) -> Result<Badge, Refusal> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() >= GRANTS_MAX => return Err(RefusalCode::Full.into()),
            None => {
                self.slots.push(Slot { generation: 1, grant: None });
                self.slots.len() as u32 - 1
            }
        };
        let slot = self.slots.get(index as usize).ok_or(RefusalCode::Internal)?;
        Ok(Badge::new(index, slot.generation))
    }

    /// The grant that `path` names, handle by handle, below this one: given up or held, but not cut.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if a handle names nothing.
    pub fn find(&self, badge: Badge, path: &[GrantHandle]) -> Result<Badge, Refusal> {
        let mut at = badge;
        for handle in path {
            let family = self.get(at).map(|grant| &grant.family);
            at = family.and_then(|family| family.member(*handle)).ok_or(RefusalCode::NotFound)?;
        }
        Ok(at)
    }

    /// Cuts everything below a grant off, in constant time: nothing below it resolves any more. What was cut is to be
    /// swept. Safe to repeat.
    pub fn cut_below(&mut self, badge: Badge) -> Sweep {
        self.cuts.one_more();
        self.get_mut(badge).map_or_else(Sweep::default, |grant| Sweep::new(grant.family.disown()))
    }

    /// The object of a grant that is not cut and has nothing below it: freeing it is all there is to do to end it.
    pub(crate) fn leaf(&self, badge: Badge) -> Option<O> {
        let leaf = |grant: &&Grant<O>| grant.standing == Standing::Attached && grant.family.is_empty();
        self.get(badge).filter(leaf).map(|grant| grant.object)
    }

    /// Cuts a grant off with everything below it, in constant time: none of it resolves any more. What was cut is to be
    /// swept. Safe to repeat.
    pub fn cut(&mut self, badge: Badge) -> Sweep {
        self.cuts.one_more();
        match self.get_mut(badge) {
            Some(grant) if grant.standing == Standing::Attached => {
                grant.standing = Standing::Cut;
                self.leave(badge);
                Sweep::new(Disowned::one(badge))
            }
            _ => Sweep::default(),
        }
    }

    /// Takes a grant out of its parent's family. A joint that was kept for it alone withers.
    fn leave(&mut self, badge: Badge) {
        let Some(grant) = self.get_mut(badge) else { return };
        let Some(membership) = grant.membership else { return };
        let Some(above) = self.get_mut(membership.parent) else { return };
        above.family.leave(membership, badge);
        let joint = above.hold == Hold::GivenUp && above.standing == Standing::Attached;
        if joint && above.family.is_empty() {
            self.withered.push(membership.parent);
        }
    }

    /// The holder has given this grant up: its badge resolves no more. What was derived from it lives on, and the
    /// record stays as long as something does. Constant time.
    ///
    /// # Errors
    /// [`RefusalCode::NotFound`] if the grant is not live; it is swept then, or has gone.
    pub fn give_up(&mut self, badge: Badge) -> Result<GivenUp, Refusal> {
        if !self.is_attached(badge) {
            return Err(RefusalCode::NotFound.into());
        }
        let grant = self.get_mut(badge).filter(|grant| grant.hold == Hold::Held);
        let grant = grant.ok_or(RefusalCode::NotFound)?;
        if grant.family.is_empty() {
            return Ok(GivenUp::Bare);
        }
        grant.hold = Hold::GivenUp;
        Ok(GivenUp::Joint)
    }

    /// Frees a record below which nothing is attached, and gives what it was. `peers` are the grants on its object.
    pub fn free(&mut self, badge: Badge, peers: &mut Peers) -> Option<Freed<O>> {
        self.get(badge)?;
        self.leave(badge);
        self.delist(badge.index(), peers);
        let slot = self.slots.get_mut(badge.index() as usize)?;
        let grant = slot.grant.take()?;
        self.len -= 1;
        if !grant.family.is_empty() {
            self.cuts.one_more();
        }
        // A slot whose generations are used up stays empty: no badge ever means two grants.
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            self.free.push(badge.index());
        }
        if let Some(end) = grant.expires {
            self.expiries.remove(&(end, badge));
        }
        Some(Freed { object: grant.object, hold: grant.hold })
    }

    /// Takes one joint on which nothing hangs any more: it is to be freed.
    pub fn take_withered(&mut self) -> Option<Badge> {
        self.withered.pop()
    }

    /// Takes one grant whose time has come: it is to be cut. `now` is asked for the time only if any grant ends at one.
    pub fn take_expired(&mut self, now: impl FnOnce() -> Nanos) -> Option<Badge> {
        let first = *self.expiries.first().filter(|(end, _)| *end <= now())?;
        self.expiries.remove(&first);
        Some(first.1)
    }

    /// When the next grant ends by itself.
    pub fn next_expiry(&self) -> Option<Nanos> {
        self.expiries.first().map(|(end, _)| *end)
    }
}

/// What is left of a grant that was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GivenUp {
    /// Nothing hangs on it: it is to be freed.
    Bare,
    /// It stays as a joint.
    Joint,
}

/// A record that was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freed<O> {
    /// Its object.
    pub object: O,
    /// Whether it was still held.
    pub hold: Hold,
}
