//! The naive model: maps and recursion, everything counted again from nothing.

use super::Verb as V;
use super::Verb;
use bailiwick_kernel_glue::ReplyToken;
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::ObjectKind;
use bailiwick_protocol::rights::Rights;
use std::collections::{BTreeMap, BTreeSet};

/// What must come of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Done,
    Minted,
    Refused(RefusalCode),
    Waits,
    Described(ObjectKind, Rights, u16, Option<u32>),
    Used(u32, u32, u64),
    Listed(Vec<(String, Status)>),
    Is(Status),
    Ended(Exit),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Thing {
    Factory(u32),
    Container(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Cap {
    pub(super) parent: Option<u32>,
    pub(super) thing: Thing,
    pub(super) rights: Rights,
    pub(super) uses: Option<u32>,
    pub(super) expires: Option<u64>,
    pub(super) held: bool,
}

/// The limit of processes that containers are made with.
pub(super) const PIDS: u64 = 4;

/// The limit that they are given later.
pub(super) fn pids(how: u16) -> u64 {
    u64::from(how % 12) + 1
}

/// Most processes of a factory.
pub(super) fn quota(how: u16) -> Option<u64> {
    how.is_multiple_of(5).then_some(u64::from(how % 50) + 8)
}

/// Nanoseconds after which a capability ends by itself.
pub(super) fn lifetime(how: u16) -> u64 {
    (u64::from(how % 60) + 1) * 1_000_000_000
}

/// Whether a container's input is a pipe.
pub(super) fn piped(how: u16) -> bool {
    how.is_multiple_of(2)
}

#[derive(Clone, Debug)]
pub(super) struct Maker {
    parent: Option<u32>,
    containers: u32,
    factories: u32,
    grants: u32,
    processes: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) maker: u32,
    pub(super) id: String,
    pub(super) status: Status,
    /// A signal 9 came while it was paused.
    pub(super) doomed: bool,
    /// Its limit of processes.
    pids: u64,
    piped: bool,
    /// What is stored with it.
    stored: BTreeMap<u16, u32>,
}

/// The naive model.
#[derive(Clone, Debug, Default)]
pub(super) struct Naive {
    pub(super) caps: BTreeMap<u32, Cap>,
    makers: BTreeMap<u32, Maker>,
    pub(super) boxes: BTreeMap<u32, Made>,
    /// Waiting calls: the capability, and whose call.
    pub(super) waits: Vec<(u32, ReplyToken)>,
    pub(super) answered: BTreeMap<ReplyToken, Outcome>,
    pub(super) next: u32,
    now: u64,
}

impl Naive {
    pub(super) fn new(containers: u32, factories: u32, grants: u32) -> Naive {
        let mut naive = Naive::default();
        naive
            .makers
            .insert(0, Maker { parent: None, containers, factories: factories - 1, grants, processes: None });
        let rights = Rights::FACTORY;
        let thing = Thing::Factory(0);
        naive.caps.insert(0, Cap { parent: None, thing, rights, uses: None, expires: None, held: true });
        naive.next = 1;
        naive
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn chain(&self, cap: u32) -> Vec<u32> {
        let mut chain = vec![cap];
        while let Some(parent) = self.caps.get(&chain[chain.len() - 1]).and_then(|cap| cap.parent) {
            chain.push(parent);
        }
        chain
    }

    pub(super) fn live(&self, cap: u32) -> bool {
        self.caps.get(&cap).is_some_and(|c| c.held)
            && self.chain(cap).iter().all(|c| self.caps.get(c).is_some_and(|c| c.uses != Some(0)))
    }

    fn makers_above(&self, maker: u32) -> Vec<u32> {
        let mut chain = vec![maker];
        while let Some(parent) = self.makers[&chain[chain.len() - 1]].parent {
            chain.push(parent);
        }
        chain
    }

    fn maker_of(&self, thing: Thing) -> u32 {
        match thing {
            Thing::Factory(maker) => maker,
            Thing::Container(container) => self.boxes[&container].maker,
        }
    }

    /// Counted from nothing: containers, factories and capabilities below a factory.
    fn used(&self, maker: u32) -> (u32, u32, u32) {
        let under = |m: &u32| self.makers_above(*m).contains(&maker);
        let below: BTreeSet<u32> = self.makers.keys().copied().filter(under).collect();
        let containers = self.boxes.values().filter(|b| below.contains(&b.maker)).count();
        let caps = self.caps.values().filter(|cap| below.contains(&self.maker_of(cap.thing))).count();
        (containers as u32, below.len() as u32 - 1, caps as u32)
    }

    /// The sum of the containers' limits of processes.
    fn processes(&self, maker: u32) -> u64 {
        let under = |b: &&Made| self.makers_above(b.maker).contains(&maker);
        self.boxes.values().filter(under).map(|b| b.pids).sum()
    }

    fn room_for_processes(&self, maker: u32, more: u64) -> bool {
        self.makers_above(maker).iter().all(|m| {
            let max = self.makers[m].processes;
            more == 0 || max.is_none_or(|max| self.processes(*m) + more <= max)
        })
    }

    /// What ends by itself has ended.
    pub(super) fn pass(&mut self, time: u64) {
        self.now += time;
        let over = |cap: &Cap| cap.expires.is_some_and(|end| end <= self.now);
        let ended: Vec<u32> = self.caps.iter().filter(|(_, cap)| over(cap)).map(|(n, _)| *n).collect();
        ended.into_iter().for_each(|cap| self.erase(cap));
        self.tidy();
    }

    fn room(&self, maker: u32, containers: u32, factories: u32, grants: u32) -> bool {
        self.makers_above(maker).iter().all(|m| {
            let (used, max) = (self.used(*m), &self.makers[m]);
            (containers == 0 || used.0 + containers <= max.containers)
                && (factories == 0 || used.1 + factories <= max.factories)
                && (grants == 0 || used.2 + grants <= max.grants)
        })
    }

    fn add(&mut self, parent: u32, thing: Thing, mask: Rights, uses: Option<u32>) -> Result<u32, Outcome> {
        if !self.room(self.maker_of(thing), 0, 0, 1) {
            return Err(Outcome::Refused(RefusalCode::Quota));
        }
        if self.chain(parent).len() > 64 {
            return Err(Outcome::Refused(RefusalCode::Full));
        }
        let rights = self.caps[&parent].rights & mask;
        let cap = self.number();
        self.caps.insert(cap, Cap { parent: Some(parent), thing, rights, uses, expires: None, held: true });
        Ok(cap)
    }

    /// A capability and everything derived from it is there no more.
    fn erase(&mut self, cap: u32) {
        let below: Vec<u32> =
            self.caps.iter().filter(|(_, c)| c.parent == Some(cap)).map(|(n, _)| *n).collect();
        below.into_iter().for_each(|child| self.erase(child));
        self.caps.remove(&cap);
        self.end_waits(|c| c == cap, Outcome::Refused(RefusalCode::Revoked));
    }

    fn end_waits(&mut self, which: impl Fn(u32) -> bool, outcome: Outcome) {
        let (ended, rest) = std::mem::take(&mut self.waits).into_iter().partition(|(cap, _)| which(*cap));
        self.waits = rest;
        let ended: Vec<(u32, ReplyToken)> = ended;
        self.answered.extend(ended.into_iter().map(|(_, token)| (token, outcome.clone())));
    }

    pub(super) fn let_go(&mut self, cap: u32) {
        self.end_waits(|c| c == cap, Outcome::Refused(RefusalCode::Revoked));
        if let Some(cap) = self.caps.get_mut(&cap) {
            cap.held = false;
        }
        self.tidy();
    }

    /// What nobody needs goes; containers of factories that nobody holds go to the nearest that somebody holds.
    fn tidy(&mut self) {
        loop {
            let parents: BTreeSet<u32> = self.caps.values().filter_map(|cap| cap.parent).collect();
            let before = self.caps.len();
            self.caps.retain(|n, cap| cap.held || parents.contains(n));
            if self.caps.len() == before {
                break;
            }
        }
        let of = |cap: &Cap| match cap.thing {
            Thing::Factory(maker) => Some(maker),
            Thing::Container(_) => None,
        };
        let named: BTreeSet<u32> = self.caps.values().filter_map(of).collect();
        let held: BTreeSet<u32> = self.caps.values().filter(|cap| cap.held).filter_map(of).collect();
        let moved: Vec<(u32, u32)> = self.boxes.iter().map(|(n, b)| (*n, b.maker)).collect();
        for (container, maker) in moved {
            let heir = self.makers_above(maker).into_iter().find(|m| held.contains(m)).unwrap_or(0);
            self.boxes.get_mut(&container).unwrap().maker = heir;
        }
        loop {
            let needed: BTreeSet<u32> = self
                .makers
                .values()
                .filter_map(|m| m.parent)
                .chain(self.boxes.values().map(|b| b.maker))
                .chain([0])
                .collect();
            let before = self.makers.len();
            self.makers.retain(|m, _| needed.contains(m) || named.contains(m));
            if self.makers.len() == before {
                return;
            }
        }
    }

    fn stop(&mut self, container: u32) {
        let found = self.boxes.get_mut(&container).unwrap();
        (found.status, found.doomed) = (Status::Stopped, false);
        let caps = self.caps.clone();
        let on_it = |cap: u32| caps[&cap].thing == Thing::Container(container);
        self.end_waits(on_it, Outcome::Ended(Exit::Signal(9)));
    }

    /// What comes of a call; `on` is a capability, which may have ended, and `child` the one that a handle names.
    pub(super) fn call(
        &mut self,
        on: u32,
        verb: Verb,
        how: u16,
        child: Option<u32>,
        token: ReplyToken,
    ) -> (Outcome, Option<u32>) {
        match self.try_call(on, verb, how, child, token) {
            Ok(found) => found,
            Err(refused) => (refused, None),
        }
    }

    fn try_call(
        &mut self,
        on: u32,
        verb: Verb,
        how: u16,
        child: Option<u32>,
        token: ReplyToken,
    ) -> Result<(Outcome, Option<u32>), Outcome> {
        let refuse = |code| Err(Outcome::Refused(code));
        if !self.live(on) {
            return refuse(RefusalCode::NotFound);
        }
        let Cap { thing, rights, .. } = self.caps[&on];
        let (for_factory, needed) = needs(verb);
        if for_factory.is_some_and(|factory| factory != matches!(thing, Thing::Factory(_))) {
            return refuse(RefusalCode::WrongKind);
        }
        if !rights.contains(needed) {
            return refuse(RefusalCode::Rights);
        }
        if !needed.is_empty() {
            for cap in self.chain(on) {
                let uses = &mut self.caps.get_mut(&cap).unwrap().uses;
                *uses = uses.map(|uses| uses - 1);
            }
        }
        let done = Ok((Outcome::Done, None));
        match (verb, thing) {
            (V::Derive, _) => Ok((Outcome::Minted, Some(self.add(on, thing, mask(how), None)?))),
            (V::DeriveOnce, _) => {
                let uses = Some(u32::from(how % 4) + 1);
                Ok((Outcome::Minted, Some(self.add(on, thing, Rights::all(), uses)?)))
            }
            (V::DeriveFor, _) => {
                let cap = self.add(on, thing, Rights::all(), None)?;
                self.caps.get_mut(&cap).unwrap().expires = Some(self.now + lifetime(how));
                Ok((Outcome::Minted, Some(cap)))
            }
            (V::Sync | V::Events, _) => done,
            (V::Revoke, _) => {
                let below: Vec<u32> =
                    self.caps.iter().filter(|(_, c)| c.parent == Some(on)).map(|(n, _)| *n).collect();
                below.into_iter().for_each(|child| self.erase(child));
                self.tidy();
                done
            }
            (V::RevokeOne, _) => {
                match child.filter(|c| self.caps.get(c).is_some_and(|c| c.parent == Some(on))) {
                    Some(child) => {
                        self.erase(child);
                        self.tidy();
                        done
                    }
                    None => refuse(RefusalCode::NotFound),
                }
            }
            (V::Drop, _) => {
                self.let_go(on);
                done
            }
            (V::Describe, Thing::Factory(maker)) => {
                let left = self.makers[&maker].containers - self.used(maker).0;
                let depth = self.chain(on).len() as u16 - 1;
                Ok((Outcome::Described(ObjectKind::Factory, rights, depth, Some(left)), None))
            }
            (V::Describe, Thing::Container(_)) => {
                let depth = self.chain(on).len() as u16 - 1;
                Ok((Outcome::Described(ObjectKind::Container, rights, depth, None), None))
            }
            (_, Thing::Factory(maker)) => self.on_factory(on, maker, verb, how),
            (_, Thing::Container(container)) => self.on_container(on, container, verb, how, token),
        }
    }

    fn on_factory(
        &mut self,
        on: u32,
        maker: u32,
        verb: Verb,
        how: u16,
    ) -> Result<(Outcome, Option<u32>), Outcome> {
        let refuse = |code| Err(Outcome::Refused(code));
        match verb {
            V::Create => {
                let id = self.id_for(maker, how);
                if self.boxes.values().any(|b| b.maker == maker && b.id == id) {
                    return refuse(RefusalCode::Exists);
                }
                if !self.room(maker, 1, 0, 1) || !self.room_for_processes(maker, PIDS) {
                    return refuse(RefusalCode::Quota);
                }
                let container = self.number();
                let (status, stored) = (Status::Created, BTreeMap::new());
                let made = Made { maker, id, status, doomed: false, pids: PIDS, piped: piped(how), stored };
                self.boxes.insert(container, made);
                match self.add(on, Thing::Container(container), Rights::CONTAINER, None) {
                    Ok(cap) => Ok((Outcome::Minted, Some(cap))),
                    Err(refused) => {
                        self.boxes.remove(&container);
                        Err(refused)
                    }
                }
            }
            V::Lookup => {
                let id = self.known_id(maker, how);
                let found = self.boxes.iter().find(|(_, b)| b.maker == maker && Some(&b.id) == id.as_ref());
                let Some((container, _)) = found else { return refuse(RefusalCode::NotFound) };
                let container = *container;
                let cap = self.add(on, Thing::Container(container), mask(how) & Rights::CONTAINER, None)?;
                Ok((Outcome::Minted, Some(cap)))
            }
            V::Delegate => {
                if self.makers_above(maker).len() >= 32 {
                    return refuse(RefusalCode::Full);
                }
                if !self.room(maker, 0, 1, 1) {
                    return refuse(RefusalCode::Quota);
                }
                let above = self.makers[&maker].clone();
                let containers = u32::from(how % 9).min(above.containers);
                let below = Maker {
                    parent: Some(maker),
                    containers,
                    factories: (containers + 1).min(above.factories),
                    grants: (64 * (containers + 1)).min(above.grants),
                    processes: [above.processes, quota(how)].into_iter().flatten().min(),
                };
                let new = self.number();
                self.makers.insert(new, below);
                match self.add(on, Thing::Factory(new), mask(how), None) {
                    Ok(cap) => Ok((Outcome::Minted, Some(cap))),
                    Err(refused) => {
                        self.makers.remove(&new);
                        Err(refused)
                    }
                }
            }
            V::List => {
                let mut rows: Vec<(String, Status)> = self
                    .boxes
                    .values()
                    .filter(|b| b.maker == maker)
                    .map(|b| (b.id.clone(), b.status))
                    .collect();
                rows.sort_by(|a, b| a.0.cmp(&b.0));
                rows.truncate(PAGE_ROWS);
                Ok((Outcome::Listed(rows), None))
            }
            V::Usage => {
                let (used, processes) = (self.used(maker).0, self.processes(maker));
                Ok((Outcome::Used(used, self.makers[&maker].containers, processes), None))
            }
            V::Grant => self.store(on, maker, how),
            other => panic!("{other:?} on a factory"),
        }
    }

    /// A capability on one container, stored with another one. Nobody holds it, and nobody lets go of it.
    fn store(&mut self, on: u32, maker: u32, how: u16) -> Result<(Outcome, Option<u32>), Outcome> {
        let find = |how: u16| {
            let id = self.known_id(maker, how);
            let found = self.boxes.iter().find(|(_, b)| b.maker == maker && Some(&b.id) == id.as_ref());
            found.map(|(n, _)| *n).ok_or(Outcome::Refused(RefusalCode::NotFound))
        };
        let (to, container) = (find(how)?, find(how / 2)?);
        let name = how % 2;
        if self.boxes[&to].stored.get(&name).is_some_and(|cap| self.live(*cap)) {
            return Err(Outcome::Refused(RefusalCode::Exists));
        }
        let cap = self.add(on, Thing::Container(container), mask(how) & Rights::CONTAINER, None)?;
        // What has ended by its uses is swept out when something else is stored.
        let stored = std::mem::take(&mut self.boxes.get_mut(&to).unwrap().stored);
        let (mut alive, dead): (BTreeMap<u16, u32>, BTreeMap<u16, u32>) =
            stored.into_iter().partition(|(_, cap)| self.live(*cap));
        dead.into_values().for_each(|cap| self.erase(cap));
        alive.insert(name, cap);
        self.boxes.get_mut(&to).unwrap().stored = alive;
        self.tidy();
        Ok((Outcome::Done, Some(cap)))
    }

    fn on_container(
        &mut self,
        on: u32,
        container: u32,
        verb: Verb,
        how: u16,
        token: ReplyToken,
    ) -> Result<(Outcome, Option<u32>), Outcome> {
        use Status as S;
        let refuse = |code| Err(Outcome::Refused(code));
        let status = self.boxes[&container].status;
        let set = |naive: &mut Naive, status| {
            naive.boxes.get_mut(&container).unwrap().status = status;
            Ok((Outcome::Done, None))
        };
        match (verb, status) {
            (V::State, _) => Ok((Outcome::Is(status), None)),
            (V::Start, S::Created) | (V::Resume, S::Paused) => {
                let done = set(self, S::Running);
                if self.boxes[&container].doomed {
                    self.stop(container);
                }
                done
            }
            (V::Take, _) => {
                let cap = self.boxes[&container].stored.get(&(how % 2)).copied();
                let Some(cap) = cap.filter(|cap| self.live(*cap)) else {
                    return refuse(RefusalCode::NotFound);
                };
                let thing = self.caps[&cap].thing;
                Ok((Outcome::Minted, Some(self.add(cap, thing, Rights::all(), None)?)))
            }
            (V::Update, S::Created | S::Running | S::Paused) => {
                let (maker, more) = (self.boxes[&container].maker, pids(how));
                if !self.room_for_processes(maker, more.saturating_sub(self.boxes[&container].pids)) {
                    return refuse(RefusalCode::Quota);
                }
                self.boxes.get_mut(&container).unwrap().pids = more;
                Ok((Outcome::Done, None))
            }
            (V::Attach, _) => Ok((Outcome::Done, None)),
            (V::Input, S::Created | S::Running | S::Paused) if self.boxes[&container].piped => {
                Ok((Outcome::Done, None))
            }
            (V::Pause, S::Running) => set(self, S::Paused),
            (V::Kill, S::Paused) => {
                self.boxes.get_mut(&container).unwrap().doomed = true;
                Ok((Outcome::Done, None))
            }
            (V::Kill, S::Created | S::Running) => {
                self.stop(container);
                Ok((Outcome::Done, None))
            }
            (V::Wait, S::Stopped) => Ok((Outcome::Ended(Exit::Signal(9)), None)),
            (V::Wait, _) if self.waits.iter().filter(|(cap, _)| *cap == on).count() >= 16 => {
                refuse(RefusalCode::Full)
            }
            (V::Wait, _) => {
                self.waits.push((on, token));
                Ok((Outcome::Waits, None))
            }
            (V::Delete, S::Running | S::Paused) => refuse(RefusalCode::Running),
            (V::Delete, S::Stopped) | (V::DeleteForce, _) => {
                let caps = self.caps.clone();
                let on_it = |cap: u32| caps[&cap].thing == Thing::Container(container);
                self.end_waits(on_it, Outcome::Refused(RefusalCode::Gone));
                self.caps.retain(|_, cap| cap.thing != Thing::Container(container));
                let stored = self.boxes.remove(&container).map(|b| b.stored).unwrap_or_default();
                stored.into_values().for_each(|cap| self.erase(cap));
                self.tidy();
                Ok((Outcome::Done, None))
            }
            _ => refuse(RefusalCode::State),
        }
    }

    /// An id that is taken in this factory, or one that nobody has.
    pub(super) fn id_for(&self, maker: u32, how: u16) -> String {
        let taken: Vec<&String> = self.boxes.values().filter(|b| b.maker == maker).map(|b| &b.id).collect();
        match taken.get(usize::from(how) % 40) {
            Some(id) => (*id).clone(),
            None => format!("c{}", self.next),
        }
    }

    /// An id that somebody has: mostly this very factory.
    pub(super) fn known_id(&self, maker: u32, how: u16) -> Option<String> {
        let asked = |b: &&Made| how.is_multiple_of(4) || b.maker == maker;
        let all: Vec<&String> = self.boxes.values().filter(asked).map(|b| &b.id).collect();
        all.get(usize::from(how / 4) % all.len().max(1)).map(|id| (*id).clone())
    }
}

/// What a verb may be sent to (true: factories only, false: containers only) and the rights it needs.
pub(super) fn needs(verb: Verb) -> (Option<bool>, Rights) {
    match verb {
        V::Derive | V::DeriveOnce | V::DeriveFor | V::Revoke | V::RevokeOne => (None, Rights::DERIVE),
        V::Drop | V::Close | V::Hand | V::Describe | V::Sync | V::Pass => (None, Rights::empty()),
        V::Events => (None, Rights::OBSERVE),
        V::Grant => (Some(true), Rights::LIST),
        V::Take => (Some(false), Rights::EXEC),
        V::Update => (Some(false), Rights::UPDATE),
        V::Attach | V::Input => (Some(false), Rights::ATTACH),
        V::Create => (Some(true), Rights::CREATE),
        V::Lookup | V::List => (Some(true), Rights::LIST),
        V::Delegate => (Some(true), Rights::DELEGATE),
        V::Usage => (Some(true), Rights::empty()),
        V::State => (Some(false), Rights::INSPECT),
        V::Start => (Some(false), Rights::START),
        V::Kill => (Some(false), Rights::SIGNAL),
        V::Pause | V::Resume => (Some(false), Rights::PAUSE),
        V::Wait => (Some(false), Rights::OBSERVE),
        V::Delete | V::DeleteForce => (Some(false), Rights::DELETE),
    }
}

pub(super) fn mask(how: u16) -> Rights {
    if how.is_multiple_of(3) {
        Rights::from_bits_truncate(u32::from(how).wrapping_mul(2_654_435))
    } else {
        Rights::all()
    }
}
