//! What must come of each act, held against the list of who derived what.

use super::super::alphabet::{IDS, What, terms};
use super::super::list::{Id, Known, Standing};
use super::{DEAD, Open, World, refusal};
use bailiwick_kernel_glue::model::Directory;
use bailiwick_kernel_glue::{ContainerKey, KernelGlue};
use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::{ObjectKind, Op};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::OciLifecycleState;
use bailiwick_tests::desk::Answer;

impl World {
    /// Sends a call, and holds what comes at once against what must come.
    pub(super) fn call(&mut self, on: Id, what: What, bundles: &[Directory; 2]) {
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
        self.open.push(Open { token, on, op, what, sent });
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

    pub(super) fn read_answers(&mut self) {
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
        if self.held.len() < self.start.held {
            self.held.push(id);
        } else {
            self.close(id);
        }
    }

    /// States go one way; a container goes only because somebody had it deleted, or because it never came to be.
    pub(super) fn look_at_containers(&mut self) {
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
    pub(super) fn look_at_the_transport(&mut self) {
        for badge in std::mem::take(&mut self.desk.port.revoked) {
            let live = self.list.of_badge(badge).is_some_and(|id| self.is_live(id));
            assert!(!live, "{badge:?} is live, and the transport was told that it is not");
        }
    }

    /// What has ended is held no longer, and what nobody needs is forgotten.
    pub(super) fn tidy(&mut self) {
        for id in std::mem::take(&mut self.held) {
            // One that is used up is there until its holder lets go of it.
            if self.is_live(id) || self.list.uses(id) == Some(0) && self.desk.manager.knows(self.badge(id)) {
                self.held.push(id);
            } else {
                self.dead.push(self.badge(id));
            }
        }
        self.dead.drain(..self.dead.len().saturating_sub(DEAD));
        let World { held, open, stored, list, .. } = self;
        list.forget(|id| {
            held.contains(&id)
                || open.iter().any(|open| open.on == id)
                || stored.iter().any(|(_, stored)| *stored == id)
        });
    }

    /// What can be taken out, by the list.
    fn what_is_stored_with(&self, container: Option<ContainerKey>) -> Option<Id> {
        let found = self.stored.iter().find(|(to, _)| Some(*to) == container);
        found.map(|(_, id)| *id).filter(|id| self.is_live(*id))
    }

    pub(super) fn exists(&self, container: ContainerKey) -> bool {
        self.desk.manager.states().iter().any(|(key, _)| *key == container)
    }
}
