//! The small world: what has happened in it, and what must come of the next act.

use super::alphabet::{Act, IDS, Move, What, calls, reads, terms};
use super::list::{Id, Known, List, Standing};
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_kernel_glue::picture::{Picture, Thing};
use bailiwick_kernel_glue::{ContainerKey, KernelGlue, ReplyToken};
use bailiwick_protocol::error::{Errno, ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::{ObjectKind, Op};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Leftover, Limits, OciLifecycleState};
use bailiwick_tests::desk::{Answer, Desk};

pub(super) const CLIENTS: usize = 3;
const HOLDS: usize = 3;
/// Capabilities that have ended and are still tried.
const DEAD: usize = 2;

/// Whether it matters which client is which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Clients {
    Alike,
    Numbered,
}

/// A call without an answer.
#[derive(Clone, Debug)]
struct Open {
    token: ReplyToken,
    client: usize,
    life: u32,
    on: Id,
    op: Op,
    what: What,
    sent: Nanos,
}

#[derive(Clone)]
pub(super) struct World {
    desk: Desk,
    holds: [Vec<Id>; CLIENTS],
    lives: [u32; CLIENTS],
    list: List,
    open: Vec<Open>,
    /// What is stored with which container.
    stored: Vec<(ContainerKey, Id)>,
    /// Containers that somebody has had deleted.
    doomed: Vec<ContainerKey>,
    states: Vec<(ContainerKey, OciLifecycleState)>,
    dead: Vec<Badge>,
}

impl World {
    /// One client holds the root factory, and nothing was done; the server does so many steps of its work at once.
    pub(super) fn new(first: usize, steps: u32, bundles: &[Directory; 2]) -> World {
        let mut desk = Desk::new(Model::new(1), Limits { containers: 2, factories: 3, processes: 2 });
        desk.manager = desk.manager.in_steps_of(steps);
        // The server knows both configurations, so that none is read again in each history.
        for bundle in bundles {
            desk.call(desk.root, &Request::Plan(Page { from: 0 }), Some(bundle)).unwrap();
        }
        let (list, root) = List::new(desk.root);
        let mut holds = [vec![], vec![], vec![]];
        holds[first].push(root);
        World {
            desk,
            holds,
            lives: [0; CLIENTS],
            list,
            open: vec![],
            stored: vec![],
            doomed: vec![],
            states: vec![],
            dead: vec![],
        }
    }

    /// How many kernel steps were taken.
    pub(super) fn kernel_steps(&self) -> u64 {
        self.desk.glue.steps()
    }

    fn badge(&self, id: Id) -> Badge {
        self.list.get(id).badge.unwrap()
    }

    fn is_live(&self, id: Id) -> bool {
        let there = |key: ContainerKey| self.states.iter().any(|(other, _)| *other == key);
        self.list.is_live(id, self.desk.glue.now()) && self.list.get(id).container.is_none_or(there)
    }

    /// Everything that can be done here and may be let through.
    pub(super) fn acts(&self, clients: Clients) -> Vec<Act> {
        let mut acts = vec![Act::Event];
        if self.desk.manager.next_expiry().is_some() {
            acts.push(Act::Second);
        }
        for client in 0..CLIENTS {
            let whom = client as u8;
            if self.holds[client].len() > 1 {
                acts.push(Act::Die { client: whom });
            }
            for (hold, id) in self.holds[client].iter().enumerate() {
                let hold = hold as u8;
                acts.push(Act::Close { client: whom, hold });
                acts.extend(self.takers(client, clients).map(|to| Act::Hand { client: whom, hold, to }));
                let calls = self.calls(client, *id).into_iter().filter(|what| self.allows(*id, *what));
                acts.extend(calls.map(|what| Act::Call { client: whom, hold, what }));
            }
        }
        acts
    }

    /// Who can be handed something: of those who hold nothing and wait for nothing, the first.
    fn takers(&self, from: usize, clients: Clients) -> impl Iterator<Item = u8> {
        let bare = |to: usize| self.holds[to].is_empty() && self.open.iter().all(|open| open.client != to);
        let first = (0..CLIENTS).find(|to| *to != from && bare(*to));
        let fits = move |to: &usize| {
            let new = clients == Clients::Numbered || !bare(*to) || first == Some(*to);
            *to != from && self.holds[*to].len() < HOLDS && new
        };
        (0..CLIENTS).filter(fits).map(|to| to as u8)
    }

    fn allows(&self, on: Id, what: What) -> bool {
        let needed = what.request(on, &self.list).op().rights();
        self.is_live(on) && self.list.get(on).rights.contains(needed)
    }

    /// Every call that this capability understands, and for the answer of which its holder has room.
    fn calls(&self, client: usize, on: Id) -> Vec<What> {
        let known = self.list.get(on);
        let named: Vec<u8> = (0..2).filter(|id| self.named(on, *id)).collect();
        // While there is no container, one name is as good as the other.
        let ids: &[u8] = if self.states.is_empty() { &[0] } else { &[0, 1] };
        let children = self.list.children(on).count() as u8;
        let mut calls = calls(known.kind, children, &named, ids, self.list.uses(on).is_some());
        if self.holds[client].len() >= HOLDS {
            calls.retain(|what| !what.mints());
        }
        calls
    }

    /// Whether the factory behind a capability, if it is one, knows a container by this name.
    fn named(&self, on: Id, id: u8) -> bool {
        self.desk.manager.container_named(self.badge(on), IDS[usize::from(id)]).is_some()
    }

    /// Does it; none if it is not possible here. `fail` is the kernel step that fails, and is met.
    pub(super) fn apply(&mut self, (act, fail): Move, bundles: &[Directory; 2]) -> Option<()> {
        if fail > 0 {
            self.desk.glue.fail_at(u64::from(fail), Errno::EIO);
        }
        match act {
            Act::Event => self.desk.pump(Waiting::Yes)?,
            Act::Second => self.desk.glue.advance(Nanos(1_000_000_000)),
            Act::Die { client } => {
                self.lives[usize::from(client)] += 1;
                for id in std::mem::take(&mut self.holds[usize::from(client)]) {
                    self.close(id);
                }
            }
            Act::Close { client, hold } => {
                let id = self.holds[usize::from(client)].remove(usize::from(hold));
                self.close(id);
            }
            Act::Hand { client, hold, to } => {
                let id = self.holds[usize::from(client)].remove(usize::from(hold));
                self.holds[usize::from(to)].push(id);
            }
            Act::Call { client, hold, what } => self.call(client.into(), hold.into(), what, bundles),
        }
        assert!(!self.desk.glue.cancel_failure(), "step {fail} was not met");
        self.read_answers();
        self.look_at_containers();
        self.look_at_the_transport();
        self.tidy();
        Some(())
    }

    fn close(&mut self, id: Id) {
        self.list.give_up(id);
        self.desk.close(self.badge(id));
    }

    fn call(&mut self, client: usize, hold: usize, what: What, bundles: &[Directory; 2]) {
        let on = self.holds[client][hold];
        let request = what.request(on, &self.list);
        let child = match what {
            What::RevokeOne(at) => self.list.children(on).nth(at.into()).map(|child| child.0),
            _ => None,
        };
        let directory = match what {
            What::Create { bundle, .. } => Some(&bundles[usize::from(bundle)]),
            _ => None,
        };
        let (op, known, sent) = (request.op(), *self.list.get(on), self.desk.glue.now());
        let taken = self.what_is_stored_with(known.container).filter(|_| what == What::Take);
        let live = self.list.is_live(on, sent);
        let token = self.desk.send(self.badge(on), &request, directory).token;
        let answer = self.desk.port.answers_to(token).first().cloned();
        self.open.push(Open { token, client, life: self.lives[client], on, op, what, sent });
        let refusal = refusal(answer.as_ref());
        let nothing = refusal.as_ref().is_some_and(|refusal| *refusal == RefusalCode::NotFound.into());
        let gone = known.container.is_some_and(|key| !self.exists(key));
        if !live || (gone && nothing) {
            assert!(nothing, "{what:?} on a capability that has ended: {answer:?}");
            return;
        }
        let code = refusal.as_ref().map(|refusal| refusal.code);
        let missing = !known.rights.contains(op.rights());
        assert_eq!(
            code == Some(RefusalCode::Rights),
            missing,
            "{what:?} with {:?}: {answer:?}",
            known.rights
        );
        assert!(code != Some(RefusalCode::WrongKind) && code != Some(RefusalCode::Internal), "{answer:?}");
        if missing {
            return;
        }
        if !op.rights().is_empty() {
            self.list.spend(on);
        }
        if code == Some(RefusalCode::NotFound) {
            let own = match what {
                What::RevokeOne(_) => true,
                // As below, or what it is on is gone.
                What::Take => taken.is_none_or(|id| {
                    self.list.get(id).container.is_some_and(|container| !self.exists(container))
                }),
                // What was left over of a sweep may have called its creation off.
                What::Lookup(id) => !self.named(on, id),
                What::Grant { to, on: other } => !self.named(on, to) || !self.named(on, other),
                _ => false,
            };
            assert!(own, "{what:?} on a live capability: {answer:?}");
            return;
        }
        assert!(what != What::Take || taken.is_some() || code.is_some(), "taken, and nothing is stored");
        if refusal.is_none() {
            let done = answer.filter(|answer| answer.error().is_none());
            self.done(what, on, child, done.as_ref());
        }
    }

    /// What comes of a call that was let through and not refused: it waits, or was carried out.
    fn done(&mut self, what: What, on: Id, child: Option<Id>, done: Option<&Answer>) {
        let known = *self.list.get(on);
        match (what, done) {
            (What::Drop, _) => self.list.give_up(on),
            (What::Revoke, _) => self.list.take_back_below(on),
            (What::RevokeOne(_), _) => child.into_iter().for_each(|child| self.list.take_back(child)),
            (What::Delete(_), _) => self.doomed.extend(known.container),
            (What::Grant { to, on: named }, Some(answer)) => {
                let key = |id: u8| {
                    self.desk.manager.container_named(known.badge.unwrap(), IDS[usize::from(id)]).unwrap()
                };
                let (to, container) = (key(to), key(named));
                let stored = self.list.add(Known {
                    badge: None,
                    parent: Some(on),
                    kind: ObjectKind::Container,
                    rights: known.rights & Rights::CONTAINER,
                    handle: Some(answer.read::<DeriveReply>().unwrap().handle),
                    container: Some(container),
                    uses: None,
                    expires: None,
                    standing: Standing::There,
                });
                self.stored.retain(|(other, _)| *other != to);
                self.stored.push((to, stored));
            }
            _ => {}
        }
    }

    /// What can be taken out, by the list.
    fn what_is_stored_with(&self, container: Option<ContainerKey>) -> Option<Id> {
        let found = self.stored.iter().find(|(to, _)| Some(*to) == container);
        found.map(|(_, id)| *id).filter(|id| self.is_live(*id))
    }

    fn exists(&self, container: ContainerKey) -> bool {
        self.desk.manager.states().iter().any(|(key, _)| *key == container)
    }

    fn read_answers(&mut self) {
        for (token, answers) in self.desk.take_answers() {
            let at = self.open.iter().position(|open| open.token == token);
            let Some(at) = at else { panic!("{token:?} was answered twice") };
            let open = self.open.remove(at);
            let [answer] = &answers[..] else { panic!("{open:?} has {} answers", answers.len()) };
            let failed = answer.error();
            if let Some(ErrorReply::Frame(error)) = &failed {
                panic!("{open:?}: {error}");
            }
            assert_eq!(answer.mint.is_some(), open.what.mints() && failed.is_none(), "{open:?}");
            if let Some(badge) = answer.mint {
                self.minted(&open, answer, badge);
            }
        }
    }

    fn minted(&mut self, open: &Open, answer: &Answer, badge: Badge) {
        let above = *self.list.get(open.on);
        let container = self.desk.manager.container_of(badge);
        let (mut parent, mut from) = (open.on, above);
        let (kind, rights) = match open.what {
            What::Create { .. } | What::Lookup(_) => (ObjectKind::Container, Rights::CONTAINER),
            What::Exec => (ObjectKind::Process, Rights::PROCESS),
            What::Delegate(_) => (ObjectKind::Factory, Rights::FACTORY),
            What::Take => {
                // It hangs on what is stored, not on what it was taken out with.
                let found = self.what_is_stored_with(above.container);
                (parent, from) = found.map(|id| (id, *self.list.get(id))).unwrap();
                assert_eq!(container, from.container, "{open:?}");
                (ObjectKind::Container, from.rights)
            }
            What::Derive(which) => (above.kind, terms(which).rights),
            other => panic!("{other:?} gave a capability"),
        };
        let terms = match open.what {
            What::Derive(which) => terms(which),
            _ => Derive::new(rights),
        };
        let id = self.list.add(Known {
            badge: Some(badge),
            parent: Some(parent),
            kind,
            rights: from.rights & rights,
            handle: (open.op == Op::Derive).then(|| answer.read::<DeriveReply>().unwrap().handle),
            container,
            uses: terms.uses,
            expires: terms.lifetime.map(|lifetime| Nanos(open.sent.0 + lifetime.0)),
            standing: Standing::There,
        });
        if self.lives[open.client] == open.life && self.holds[open.client].len() < HOLDS {
            self.holds[open.client].push(id);
        } else {
            self.close(id);
        }
    }

    /// States go one way; a container goes only because somebody had it deleted, or because it never came to be.
    fn look_at_containers(&mut self) {
        let rank = |state| match state {
            OciLifecycleState::Creating => 0,
            OciLifecycleState::Created => 1,
            OciLifecycleState::Running | OciLifecycleState::Paused => 2,
            OciLifecycleState::Stopped => 3,
        };
        let states = self.desk.manager.states();
        for (key, before) in std::mem::replace(&mut self.states, states) {
            match self.states.iter().find(|(other, _)| *other == key) {
                Some((_, now)) => {
                    assert!(rank(*now) >= rank(before), "{key:?} went from {before:?} to {now:?}");
                }
                None => {
                    let wanted = self.doomed.contains(&key) || before == OciLifecycleState::Creating;
                    assert!(wanted, "{key:?} went, and nobody asked for that");
                    self.doomed.retain(|doomed| *doomed != key);
                    for (_, stored) in self.stored.iter().filter(|(to, _)| *to == key) {
                        self.list.take_back(*stored);
                    }
                    self.stored.retain(|(to, _)| *to != key);
                }
            }
        }
        let census = self.desk.glue.census();
        assert!(census.keys <= self.states.len() && census.groups <= census.keys, "{census:?}");
    }

    /// The transport is told that a capability is dead only if it is.
    fn look_at_the_transport(&mut self) {
        for badge in std::mem::take(&mut self.desk.port.revoked) {
            let live = self.list.of_badge(badge).is_some_and(|id| self.is_live(id));
            assert!(!live, "{badge:?} is live, and the transport was told that it is not");
        }
    }

    /// What has ended is held no longer, and what nobody needs is forgotten.
    fn tidy(&mut self) {
        for client in 0..CLIENTS {
            for id in std::mem::take(&mut self.holds[client]) {
                // One that is used up is there until its holder lets go of it.
                if self.is_live(id)
                    || self.list.uses(id) == Some(0) && self.desk.manager.knows(self.badge(id))
                {
                    self.holds[client].push(id);
                } else {
                    self.dead.push(self.badge(id));
                }
            }
        }
        self.dead.drain(..self.dead.len().saturating_sub(DEAD));
        let World { holds, open, stored, list, .. } = self;
        list.forget(|id| {
            holds.iter().flatten().any(|held| *held == id)
                || open.iter().any(|open| open.on == id)
                || stored.iter().any(|(_, stored)| *stored == id)
        });
    }

    /// What must hold in every state.
    pub(super) fn audit(&self) -> Result<(), String> {
        self.desk.manager.audit()
    }

    /// A number of this state, and how many states there are of which only the clients change places.
    pub(super) fn fingerprint(&self, clients: Clients, picture: &mut Picture) -> (u64, u32) {
        picture.clear();
        self.desk.manager.draw(self.desk.glue.now(), picture);
        self.desk.glue.draw(picture);
        let holder = |client: usize| Thing::Holder(client as u64);
        for client in 0..CLIENTS {
            picture.mark(holder(client), ("client", (clients == Clients::Numbered).then_some(client)));
            for id in &self.holds[client] {
                picture.link(holder(client), Thing::Grant(self.badge(*id)), "holds");
            }
        }
        for open in &self.open {
            let there = self.lives[open.client] == open.life;
            let who = if there { holder(open.client) } else { holder(CLIENTS) };
            picture.link(who, Thing::Grant(self.badge(open.on)), ("waits", open.op as u16));
        }
        let fingerprint = picture.fingerprint();
        let colours = [0, 1, 2].map(|client| picture.colour(holder(client)));
        let pairs = [(0, 1), (0, 2), (1, 2)].iter().filter(|(a, b)| colours[*a] == colours[*b]).count();
        (fingerprint, [6, 3, 1, 1][pairs])
    }

    /// Everything that only reads or is refused, on every capability: it is answered as it must be, and changes nothing.
    pub(super) fn try_the_rest(mut self, bundle: &Directory, picture: &mut Picture) {
        // Asked for anything, the model does first what is due.
        self.desk.glue.advance(Nanos(0));
        let before = self.fingerprint(Clients::Alike, picture).0;
        let quiet = self.desk.manager.leftover() == Leftover::None;
        let lasting = self.desk.manager.next_expiry().is_none_or(|end| end > self.desk.glue.now());
        for badge in self.dead.clone() {
            for request in [Request::Describe, Request::Sync, Request::Revoke] {
                let answer = self.ask(badge, &request, None);
                assert_eq!(refusal(answer.as_ref()), Some(RefusalCode::NotFound.into()), "{request:?}");
            }
        }
        for client in 0..CLIENTS {
            for id in self.holds[client].clone() {
                for what in self.calls(client, id) {
                    if self.allows(id, what) {
                        continue;
                    }
                    let request = what.request(id, &self.list);
                    // Of one that ends only by itself time is not over yet: the rest is refused for want of rights.
                    let code = if self.is_live(id) { RefusalCode::Rights } else { RefusalCode::NotFound };
                    let directory = (request.capabilities() > 0).then_some(bundle);
                    let badge = self.badge(id);
                    let answer = self.ask(badge, &request, directory);
                    assert_eq!(refusal(answer.as_ref()).map(|refusal| refusal.code), Some(code), "{what:?}");
                }
                if self.list.uses(id).is_none() {
                    self.read_everything(id, bundle);
                }
            }
        }
        self.read_answers();
        if quiet && lasting {
            assert_eq!(
                before,
                self.fingerprint(Clients::Alike, picture).0,
                "a question has changed something"
            );
        }
    }

    fn ask(&mut self, badge: Badge, request: &Request<'_>, directory: Option<&Directory>) -> Option<Answer> {
        let sent = self.desk.send(badge, request, directory);
        let answer = self.desk.answer(sent).cloned();
        self.desk.forget(sent);
        answer
    }

    fn read_everything(&mut self, id: Id, bundle: &Directory) {
        let (known, badge) = (*self.list.get(id), self.badge(id));
        let plan = Request::Plan(Page { from: 0 });
        for request in reads().into_iter().chain([plan]) {
            let (op, directory) = (request.op(), (request.capabilities() > 0).then_some(bundle));
            if op == Op::Sync && self.desk.manager.leftover() == Leftover::Some {
                continue;
            }
            let Some(answer) = self.ask(badge, &request, directory) else { continue };
            let live = self.is_live(id);
            let refusal = refusal(Some(&answer));
            match refusal.map(|refusal| refusal.code) {
                None if answer.error().is_some() => {}
                None => {
                    let fits = op.target().accepts(known.kind) && known.rights.contains(op.rights());
                    assert!(live && fits, "{request:?} was carried out");
                }
                Some(RefusalCode::Rights) => assert!(!known.rights.contains(op.rights()), "{request:?}"),
                Some(RefusalCode::WrongKind) => assert!(!op.target().accepts(known.kind), "{request:?}"),
                Some(RefusalCode::NotFound) => {
                    let empty = matches!(
                        request,
                        Request::RevokeOne(_) | Request::Lookup(_) | Request::Annotation(_)
                    );
                    assert!(empty || !live || known.container.is_some_and(|key| !self.exists(key)));
                }
                Some(code) => assert_ne!(code, RefusalCode::Internal),
            }
            if request == Request::Describe && answer.error().is_none() {
                let told: Description = answer.read().unwrap();
                assert_eq!((told.kind, told.rights), (known.kind, known.rights), "{told:?}");
                assert_eq!(usize::from(told.depth), self.list.chain(id).count() - 1, "{told:?}");
            }
        }
    }

    /// Everybody dies and everything is removed. Nothing is left.
    pub(super) fn wind_up(mut self) {
        let page = Page { from: 0 };
        let root = self.desk.root;
        let holds = self.holds.iter_mut().flat_map(std::mem::take).collect::<Vec<_>>();
        for id in holds {
            if self.badge(id) != root {
                self.close(id);
            }
        }
        while self.desk.pump(Waiting::Yes).is_some() {}
        if self.desk.call(root, &Request::Describe, None).is_ok() {
            let delete = Request::Delete(Delete { mode: DeleteMode::Force });
            self.desk.call(root, &Request::Revoke, None).unwrap();
            self.desk.call(root, &Request::Sync, None).unwrap();
            loop {
                let list: ListPage =
                    self.desk.call(root, &Request::List(page), None).unwrap().read().unwrap();
                let Some(row) = list.rows.first() else { break };
                let lookup = Request::Lookup(Lookup { id: row.id.as_str(), rights: Rights::all() });
                let badge = self.desk.call(root, &lookup, None).unwrap().mint.unwrap();
                // One that is being removed is waited for.
                let _ = self.desk.call(badge, &delete, None);
                while self.desk.pump(Waiting::Yes).is_some() {}
                self.desk.close(badge);
            }
            self.desk.close(root);
            while self.desk.pump(Waiting::Yes).is_some() {}
            assert_eq!(self.desk.glue.census(), Model::new(1).census());
            assert_eq!((self.desk.manager.container_count(), self.desk.manager.grant_count()), (0, 0));
        }
        for (token, answers) in self.desk.take_answers() {
            self.open.retain(|open| open.token != token);
            assert_eq!(answers.len(), 1);
        }
        assert!(self.open.is_empty(), "without an answer: {:?}", self.open);
        self.desk.manager.audit().unwrap();
    }
}

fn refusal(answer: Option<&Answer>) -> Option<Refusal> {
    match answer.and_then(Answer::error) {
        Some(ErrorReply::Refusal(refusal)) => Some(refusal),
        _ => None,
    }
}
