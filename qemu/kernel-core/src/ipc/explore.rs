//! Every history of one server and two clients, up to a depth: calls, answers at once or parked, revocation, death.
//!
//! After each step everybody who waits has somebody to wait for, and after the end of all nothing is left. Each history is
//! played twice, with the short way and without: they must come out alike. One client sends long messages.

use super::tests::check;
use super::{CallId, EndpointId, NotificationId};
use crate::block::{ControlBlock, Stage};
use crate::cap::Object;
use crate::kernel::Kernel;
use crate::native::testing::{Actor, Came, PAGES, World};
use crate::testing::FakeHw;
use crate::testing::explore::{self, Explored};
use alloc::vec::Vec;
use bailiwick_abi::{Call, CapabilityWord, Handle, MessageInfo, Rights, Transfer};
use bailiwick_protocol::message::Exit;

/// The server, and the clients with their badges.
const SERVER: usize = 0;
const BADGES: [u64; 3] = [0, 1, 2];
const FRAMES: u32 = 64;
const LONG: u64 = MessageInfo::new(100).0;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Send(usize),
    Receive,
    Reply,
    ReplyReceive,
    Park,
    ReplyParked,
    DropParked,
    RevokeBadge(usize),
    Signal,
    TakeBadge,
    Kill(usize),
}

const STEPS: [Step; 15] = [
    Step::Send(1),
    Step::Send(2),
    Step::Receive,
    Step::Reply,
    Step::ReplyReceive,
    Step::Park,
    Step::ReplyParked,
    Step::DropParked,
    Step::RevokeBadge(1),
    Step::RevokeBadge(2),
    Step::Signal,
    Step::TakeBadge,
    Step::Kill(SERVER),
    Step::Kill(1),
    Step::Kill(2),
];

/// Which way messages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// As the trap code has them go.
    ShortFirst,
    Long,
}

struct Play {
    w: World,
    way: Way,
    /// How many went the short way.
    short: usize,
    who: Vec<Actor>,
    /// The server's endpoint, and each client's capability of it.
    ports: Vec<Handle>,
    note: Handle,
    endpoint: EndpointId,
    notification: NotificationId,
    parked: Vec<Handle>,
}

impl Play {
    fn new(way: Way) -> Play {
        let mut w = World { k: Kernel::start(FakeHw::memory(FRAMES), None).unwrap() };
        let who: Vec<Actor> = BADGES.iter().map(|_| w.actor()).collect();
        for actor in &who {
            w.enter(actor.thread, Call::SetBuffer, PAGES, 0);
        }
        let (own, object) = w.endpoint(who[SERVER]);
        let Came::Back(0, [note, ..]) = w.enter(who[SERVER].thread, Call::NotificationCreate, 0, 0) else {
            panic!()
        };
        w.call(who[SERVER].thread, Call::Bind, [note, own.0, 2, 0, 0, 0]);
        let mut ports = alloc::vec![own];
        for client in [1, 2] {
            let minted = w.k.caps.derive(who[SERVER].space, own, Rights::ALL, BADGES[client]).unwrap();
            let word = CapabilityWord::new(minted, Rights::ALL, Transfer::Move);
            let wanted = crate::cap::Wanted::from_slice(&[word.into()]).unwrap();
            let passed = w.k.caps.transfer(who[SERVER].space, who[client].space, &wanted).unwrap();
            ports.push(passed[0].handle());
        }
        w.k.sweep();
        let note = Handle(note);
        let noted = w.k.caps.look(who[SERVER].space, note).unwrap().object;
        let (Object::Endpoint(endpoint), Object::Notification(notification)) = (object, noted) else {
            panic!()
        };
        Play { w, way, short: 0, who, ports, note, endpoint, notification, parked: Vec::new() }
    }

    /// Takes a step, if it is possible now.
    fn take(&mut self, step: Step) -> Option<()> {
        let actor = match step {
            Step::Send(client) | Step::Kill(client) => self.who[client],
            _ => self.who[SERVER],
        };
        if let Step::Kill(_) = step {
            self.w.k.threads.get(actor.thread)?;
            self.w.k.end_process(actor.process, Exit::Signal(9));
            return Some(());
        }
        if !self.w.k.is_runnable(actor.thread) {
            return None;
        }
        let own = self.ports[SERVER].0;
        let parked = || self.parked.first().copied();
        let (call, first, second) = match step {
            Step::Send(1) => (Call::Send, self.ports[1].0, LONG),
            Step::Send(client) => (Call::Send, self.ports[client].0, 0),
            Step::Receive => (Call::Receive, own, 0),
            Step::Reply => (Call::Reply, 0, 0),
            Step::ReplyReceive => (Call::ReplyReceive, own, LONG),
            Step::Park => (Call::ParkReply, 0, 0),
            Step::ReplyParked => (Call::Reply, parked()?.0, 0),
            Step::DropParked => (Call::Delete, parked()?.0, 0),
            Step::RevokeBadge(client) => (Call::RevokeBadge, own, BADGES[client]),
            Step::Signal => (Call::Signal, self.note.0, 1),
            Step::TakeBadge => (Call::TakeBadge, own, 0),
            Step::Kill(_) => return None,
        };
        let came = self.go(actor, call, first, second);
        match (step, came) {
            (Step::Park, Came::Back(0, [right, ..])) => self.parked.push(Handle(right)),
            (Step::ReplyParked | Step::DropParked, _) => drop(self.parked.remove(0)),
            _ => {}
        }
        Some(())
    }

    fn go(&mut self, actor: Actor, call: Call, first: u64, second: u64) -> Came {
        let may = matches!(call, Call::Send | Call::ReplyReceive) && self.way == Way::ShortFirst;
        if may {
            self.w.run(actor.thread);
            if self.w.try_short(call, first, MessageInfo(second)) {
                self.short += 1;
                return self.w.came(actor.thread);
            }
        }
        self.w.enter(actor.thread, call, first, second)
    }

    fn is_awaited(&self, call: CallId) -> bool {
        self.w.k.talk(call.thread).is_some_and(|talk| talk.awaits(call))
    }

    /// What tells this state from others.
    fn key(&self) -> Vec<u64> {
        let thread_of = |id| self.who.iter().position(|actor| actor.thread == id).unwrap_or(9) as u64;
        let mut key = Vec::new();
        for actor in &self.who {
            let talk: Option<&ControlBlock> =
                self.w.k.threads.get(actor.thread).and_then(|_| self.w.k.talk(actor.thread));
            let next = talk.and_then(|talk| talk.next).map_or(8, thread_of);
            let holds = talk
                .and_then(|talk| talk.holds)
                .map_or(8, |call| thread_of(call.thread) * 2 + u64::from(self.is_awaited(call)));
            let stage = match talk.map(|talk| talk.stage) {
                None => 0,
                Some(Stage::Runnable | Stage::Waiting) => 1,
                Some(Stage::Calling { .. }) => 2,
                Some(Stage::Awaiting) => 3,
                Some(Stage::Receiving { .. }) => 4,
            };
            let port = self.w.k.caps.look(actor.space, self.ports[thread_of(actor.thread) as usize]);
            let seen = talk.and_then(|talk| talk.frame_of_bytes(self.w.k.mem.generation));
            key.extend([stage, next, holds, u64::from(port.is_ok()), u64::from(seen.is_some())]);
        }
        for right in &self.parked {
            let found = self.w.k.caps.look(self.who[SERVER].space, *right);
            key.push(found.map_or(8, |found| match found.object {
                Object::Reply(call) => thread_of(call.thread) * 2 + u64::from(self.is_awaited(call)),
                _ => 9,
            }));
        }
        let endpoint = self.w.k.ipc.endpoints.get(self.endpoint.0);
        key.push(endpoint.map_or(0, |found| 1 + found.turn_is_message()));
        let bits = self.w.k.ipc.notifications.get(self.notification.0);
        key.push(bits.map_or(9, |found| found.bits()));
        key.push(self.w.k.caps.badge_records() as u64);
        key
    }

    /// How the call of each stands. One that was refused has results of no call.
    fn outcomes(&self) -> Vec<Came> {
        let came = self.who.iter().map(|actor| self.w.came(actor.thread));
        came.map(|came| match came {
            Came::Back(status, _) if status != 0 => Came::Back(status, [0; 3]),
            came => came,
        })
        .collect()
    }

    /// Ends everybody; then nothing may be left.
    fn end(mut self) {
        for actor in self.who.clone() {
            self.w.k.end_process(actor.process, Exit::Signal(9));
        }
        let k = &self.w.k;
        let left = (k.caps.count(), k.caps.badge_records(), k.threads.count(), k.processes.count());
        assert_eq!(left, (0, 0, 0, 0));
        assert_eq!(k.ipc.counts(), [0, 0]);
    }
}

/// A state by the steps that lead to it: the world itself cannot be copied.
struct State {
    path: Vec<Step>,
    key: Vec<u64>,
    /// How many messages of the path went the short way.
    short: usize,
}

fn reach(path: Vec<Step>) -> Option<State> {
    let [(key, outcomes, short), (other_key, other_outcomes, _)] =
        [play(&path, Way::ShortFirst)?, play(&path, Way::Long)?];
    assert_eq!((&key, outcomes), (&other_key, other_outcomes), "{path:?}");
    Some(State { path, key, short })
}

/// What tells the state at the end of a path from others, how everybody's call stands, and how many messages went the
/// short way.
fn play(path: &[Step], way: Way) -> Option<(Vec<u64>, Vec<Came>, usize)> {
    let mut play = Play::new(way);
    path.iter().try_for_each(|step| play.take(*step))?;
    check(&play.w);
    let (key, outcomes, short) = (play.key(), play.outcomes(), play.short);
    play.end();
    Some((key, outcomes, short))
}

#[test]
fn in_every_short_history_of_messages_nobody_waits_for_nothing_and_the_end_of_all_leaves_nothing() {
    let depth = explore::depth("BAILIWICK_EXPLORE_MESSAGES", 30);
    let first = reach(Vec::new()).unwrap();
    let went = core::cell::Cell::new(0);
    let explored: Explored = explore::breadth_first(
        first,
        depth,
        |state| state.key.clone(),
        |state| {
            let next = STEPS.iter().filter_map(|step| {
                let mut path = state.path.clone();
                path.push(*step);
                let reached = reach(path)?;
                went.set(went.get() + usize::from(reached.short > state.short));
                Some(reached)
            });
            next.collect()
        },
    );
    extern crate std;
    std::println!("messages: {explored:?}, depth {depth}");
    // All there are: no further step leads to another.
    assert!(explored.states > 900, "{explored:?}");
    assert!(went.get() > 50, "the short way was gone {} times", went.get());
}
