//! The small world: what has happened in it, and what can happen next.
//!
//! There are no clients in it. A server sees on which capability a call comes and which one nobody holds any more, never
//! who holds it: a capability that is handed on is nothing to it, and the death of a client is the end of each of its
//! capabilities, one after the other. So what is held is held by anybody, and a history here is one of any number of
//! clients, whoever holds what.

mod probe;
mod promises;

use super::alphabet::{Act, IDS, Move, What, calls};
use super::list::{Id, List};
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_kernel_glue::picture::{Picture, Thing};
use bailiwick_kernel_glue::{ContainerKey, KernelGlue, ReplyToken};
use bailiwick_protocol::error::{Errno, ErrorReply, Refusal};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::Op;
use bailiwick_server::{Leftover, Limits, OciLifecycleState};
use bailiwick_tests::desk::{Answer, Desk};

/// Capabilities that have ended and are still tried.
const DEAD: usize = 2;

/// A call without an answer.
#[derive(Clone, Debug)]
struct Open {
    token: ReplyToken,
    on: Id,
    op: Op,
    what: What,
    sent: Nanos,
}

/// How the world begins, and how wide it can become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Steps of left-over work that the server does at once.
    pub(super) steps: u32,
    /// Most capabilities that are held at once.
    pub(super) held: usize,
}

#[derive(Clone)]
pub(super) struct World {
    start: Start,
    desk: Desk,
    held: Vec<Id>,
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
    /// Somebody holds the root factory, and nothing was done.
    pub(super) fn new(start: Start, bundles: &[Directory; 2]) -> World {
        let mut desk = Desk::new(Model::new(1), Limits { containers: 2, factories: 3, processes: 2 });
        desk.glue.set_order(0);
        // The server has made a container of each bundle once, so that none is read and planned again in each history.
        for (bundle, directory) in (0..).zip(bundles) {
            let (list, root) = List::new(desk.root);
            let create = What::Create { id: 0, bundle }.request(root, &list);
            let made = desk.call(desk.root, &create, Some(directory)).unwrap().mint.unwrap();
            desk.call(made, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
            desk.settle();
        }
        desk.manager = desk.manager.in_steps_of(start.steps);
        desk.port.revoked.clear();
        let (list, root) = List::new(desk.root);
        World {
            start,
            desk,
            held: vec![root],
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

    /// In how many orders the things could have happened that the last act let happen.
    pub(super) fn orders(&self) -> u64 {
        self.desk.glue.orders()
    }

    /// Whether the next call finds nothing else to be done first.
    pub(super) fn is_quiet(&self) -> bool {
        let due = self.desk.manager.next_expiry().is_some_and(|end| end <= self.desk.glue.now());
        !due && self.desk.manager.leftover() == Leftover::None
    }

    fn badge(&self, id: Id) -> Badge {
        self.list.get(id).badge.unwrap()
    }

    fn is_live(&self, id: Id) -> bool {
        let there = |key: ContainerKey| self.states.iter().any(|(other, _)| *other == key);
        self.list.is_live(id, self.desk.glue.now()) && self.list.get(id).container.is_none_or(there)
    }

    /// Everything that can be done here and may be let through.
    pub(super) fn acts(&self) -> Vec<Act> {
        let mut acts = vec![Act::Event];
        if self.desk.manager.next_expiry().is_some() {
            acts.push(Act::Second);
        }
        for (hold, id) in self.held.iter().enumerate() {
            let hold = hold as u8;
            acts.push(Act::Close { hold });
            let calls = self.calls(*id).into_iter().filter(|what| self.allows(*id, *what));
            // With nothing left over `Sync` is a question, and asked with the others (`try_the_rest`).
            let calls = calls.filter(|what| *what != What::Sync || !self.is_quiet());
            acts.extend(calls.map(|what| Act::Call { hold, what }));
        }
        acts
    }

    fn allows(&self, on: Id, what: What) -> bool {
        let needed = what.request(on, &self.list).op().rights();
        self.is_live(on) && self.list.get(on).rights.contains(needed)
    }

    /// Every call that this capability understands, and for the answer of which there is room.
    fn calls(&self, on: Id) -> Vec<What> {
        let known = self.list.get(on);
        let named: Vec<u8> = (0..2).filter(|id| self.named(on, *id)).collect();
        // While there is no container, one name is as good as the other.
        let ids: &[u8] = if self.states.is_empty() { &[0] } else { &[0, 1] };
        let children = self.list.children(on).count() as u8;
        let mut calls = calls(known.kind, children, &named, ids, self.list.uses(on).is_some());
        if self.held.len() >= self.start.held {
            calls.retain(|what| !what.mints());
        }
        calls
    }

    /// Whether the factory behind a capability, if it is one, knows a container by this name.
    fn named(&self, on: Id, id: u8) -> bool {
        self.desk.manager.container_named(self.badge(on), IDS[usize::from(id)]).is_some()
    }

    /// Does it; none if it is not possible here, or if so many kernel steps are not taken.
    pub(super) fn apply(&mut self, Move { act, fail, order }: Move, bundles: &[Directory; 2]) -> Option<()> {
        self.desk.glue.set_order(order.into());
        if fail > 0 {
            self.desk.glue.fail_at(u64::from(fail), Errno::EIO);
        }
        match act {
            Act::Event => self.desk.pump(Waiting::Yes)?,
            Act::Second => self.desk.glue.advance(Nanos(1_000_000_000)),
            Act::Close { hold } => {
                let id = self.held.remove(usize::from(hold));
                self.close(id);
            }
            Act::Call { hold, what } => self.call(self.held[usize::from(hold)], what, bundles),
        }
        if self.desk.glue.cancel_failure() {
            return None;
        }
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

    /// What must hold in every state.
    pub(super) fn audit(&self) -> Result<(), String> {
        self.desk.manager.audit()
    }

    /// A number of this state.
    pub(super) fn fingerprint(&self, picture: &mut Picture) -> u64 {
        picture.clear();
        self.desk.manager.draw(self.desk.glue.now(), picture);
        self.desk.glue.draw(picture);
        for id in &self.held {
            picture.mark(Thing::Grant(self.badge(*id)), "is held");
        }
        for open in &self.open {
            picture.link(Thing::World, Thing::Grant(self.badge(open.on)), ("waits", open.op as u16));
        }
        picture.fingerprint()
    }
}

fn refusal(answer: Option<&Answer>) -> Option<Refusal> {
    match answer.and_then(Answer::error) {
        Some(ErrorReply::Refusal(refusal)) => Some(refusal),
        _ => None,
    }
}
