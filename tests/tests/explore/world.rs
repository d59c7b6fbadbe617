//! The small world: what its clients can do, what must come of it, and when two worlds are the same.

use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_kernel_glue::{ContainerKey, KernelGlue, ReplyToken};
use bailiwick_protocol::error::{Errno, ErrorReply, RefusalCode};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::{ObjectKind, Op};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Leftover, Limits, OciLifecycleState};
use bailiwick_tests::desk::{Answer, Desk, few};
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

const CLIENTS: usize = 3;
const HOLDS: usize = 3;

/// What was derived from what, by the word of the answers.
#[derive(Clone, Copy, Debug)]
struct Known {
    parent: Option<Badge>,
    kind: ObjectKind,
    most: Rights,
    handle: Option<GrantHandle>,
    /// The container it is on or in, counted through.
    container: Option<usize>,
    uses: Option<u32>,
    dropped: bool,
    cut: bool,
}

#[derive(Clone, Debug)]
struct Open {
    client: usize,
    life: u32,
    on: Badge,
    op: Op,
    terms: Option<Derive>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Call {
        client: u8,
        hold: u8,
        what: What,
    },
    /// Client to the next one.
    Hand {
        client: u8,
        hold: u8,
    },
    Close {
        client: u8,
        hold: u8,
    },
    Die {
        client: u8,
    },
    /// The next kernel event.
    Event,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Derive(u8),
    Revoke,
    /// The capability with this position among those derived from the one the call is sent on.
    RevokeOne(u8),
    Drop,
    Sync,
    Create {
        id: u8,
        bundle: u8,
    },
    Delegate,
    Lookup(u8),
    Start,
    Kill,
    Pause,
    Resume,
    Exec,
    Wait,
    Logs,
    Events,
    Delete(DeleteMode),
    State,
}

/// An act, and which of the kernel steps it takes fails (0 is none).
pub(super) type Move = (Act, u8);

#[derive(Clone)]
pub(super) struct World {
    desk: Desk,
    holds: [Vec<Badge>; CLIENTS],
    lives: [u32; CLIENTS],
    known: BTreeMap<Badge, Known>,
    open: BTreeMap<ReplyToken, Open>,
    containers: usize,
    /// Containers that somebody has had deleted, or whose creation may have been called off.
    doomed: Vec<usize>,
    states: BTreeMap<ContainerKey, OciLifecycleState>,
}

const IDS: [&str; 2] = ["a", "b"];

pub(super) fn bundles() -> [Directory; 2] {
    let plain = json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": { "cwd": "/", "args": ["sleep", "1000"], "user": { "uid": 0, "gid": 0 } },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] }
    });
    let mut slow = plain.clone();
    let hook = |seconds| json!([{ "path": "/bin/sleep", "args": ["sleep", seconds] }]);
    slow["hooks"] = json!({ "createRuntime": hook("2"), "startContainer": hook("1"), "poststop": hook("1") });
    [plain, slow].map(|config| Directory::bundle(config.to_string()))
}

const NARROW: Rights =
    Rights::INSPECT.union(Rights::START).union(Rights::OBSERVE).union(Rights::CREATE).union(Rights::DERIVE);

fn terms(which: u8) -> Derive {
    match which {
        0 => Derive::new(Rights::all()),
        1 => Derive::new(NARROW),
        _ => Derive { uses: Some(1), ..Derive::new(Rights::all()) },
    }
}

impl World {
    pub(super) fn new() -> World {
        let desk = Desk::new(Model::new(1), Limits { containers: 2, factories: 3, processes: 2 });
        let root = Known {
            parent: None,
            kind: ObjectKind::Factory,
            most: Rights::FACTORY,
            handle: None,
            container: None,
            uses: None,
            dropped: false,
            cut: false,
        };
        let (known, holds) = (BTreeMap::from([(desk.root, root)]), [vec![desk.root], vec![], vec![]]);
        World {
            desk,
            holds,
            lives: [0; CLIENTS],
            known,
            open: BTreeMap::new(),
            containers: 0,
            doomed: vec![],
            states: BTreeMap::new(),
        }
    }

    fn above(&self, badge: Badge) -> impl Iterator<Item = &Known> {
        std::iter::successors(self.known.get(&badge), |known| known.parent.and_then(|p| self.known.get(&p)))
    }

    /// Whether a call on this capability may be let through, by the list.
    fn live(&self, badge: Badge) -> bool {
        !self.known[&badge].dropped && self.above(badge).all(|known| !known.cut && known.uses != Some(0))
    }

    fn children(&self, badge: Badge) -> Vec<(Badge, GrantHandle)> {
        let own = |known: &Known| known.parent == Some(badge) && !known.cut;
        self.known.iter().filter(|(_, k)| own(k)).filter_map(|(b, k)| Some((*b, k.handle?))).collect()
    }

    pub(super) fn acts(&self) -> Vec<Act> {
        let mut acts = vec![Act::Event];
        for client in 0..CLIENTS {
            let whom = client as u8;
            if !self.holds[client].is_empty() {
                acts.push(Act::Die { client: whom });
            }
            for (hold, badge) in self.holds[client].iter().enumerate() {
                let hold = hold as u8;
                acts.push(Act::Close { client: whom, hold });
                if self.holds[(client + 1) % CLIENTS].len() < HOLDS {
                    acts.push(Act::Hand { client: whom, hold });
                }
                let room = self.holds[client].len() < HOLDS;
                let what = self.calls(*badge, room);
                acts.extend(what.into_iter().map(|what| Act::Call { client: whom, hold, what }));
            }
        }
        acts
    }

    fn calls(&self, badge: Badge, room: bool) -> Vec<What> {
        let known = self.known[&badge];
        let mut calls = vec![What::Revoke, What::Drop];
        if !self.live(badge) {
            // A dead capability: one call of each sort shows that it is.
            return vec![What::Sync, What::Derive(0)];
        }
        calls.extend((0..self.children(badge).len()).map(|at| What::RevokeOne(at as u8)));
        if room {
            calls.extend((0..3).map(What::Derive));
        }
        match known.kind {
            ObjectKind::Factory if room => {
                for id in 0..2 {
                    calls.extend((0..2).map(|bundle| What::Create { id, bundle }));
                    calls.push(What::Lookup(id));
                }
                calls.extend([What::Delegate, What::Events]);
            }
            ObjectKind::Factory => {}
            ObjectKind::Container => {
                calls.extend([What::Start, What::Kill, What::Pause, What::Resume, What::Wait, What::Logs]);
                calls.extend([What::Delete(DeleteMode::Force), What::Delete(DeleteMode::Stopped)]);
                calls.extend(room.then_some(What::Exec));
                calls.extend(known.uses.map(|_| What::State));
            }
            ObjectKind::Process => calls.extend([What::Kill, What::Wait]),
        }
        calls
    }

    /// Does it; none if it is not possible here. `fail` is the kernel step that fails, and must be met.
    pub(super) fn apply(&mut self, (act, fail): Move, bundles: &[Directory; 2]) -> Option<()> {
        if fail > 0 {
            self.desk.glue.fail_at(u64::from(fail), Errno::EIO);
        }
        match act {
            Act::Event => self.desk.pump(Waiting::Yes)?,
            Act::Die { client } => {
                self.lives[usize::from(client)] += 1;
                for badge in std::mem::take(&mut self.holds[usize::from(client)]) {
                    self.close(badge);
                }
            }
            Act::Close { client, hold } => {
                let badge = self.holds[usize::from(client)].remove(usize::from(hold));
                self.close(badge);
            }
            Act::Hand { client, hold } => {
                let badge = self.holds[usize::from(client)].remove(usize::from(hold));
                self.holds[(usize::from(client) + 1) % CLIENTS].push(badge);
            }
            Act::Call { client, hold, what } => {
                self.call(usize::from(client), usize::from(hold), what, bundles)
            }
        }
        let missed = self.desk.glue.cancel_failure();
        self.read_answers();
        if fail > 0 && missed { None } else { Some(()) }
    }

    fn close(&mut self, badge: Badge) {
        self.known.get_mut(&badge).unwrap().dropped = true;
        self.desk.close(badge);
    }

    fn call(&mut self, client: usize, hold: usize, what: What, bundles: &[Directory; 2]) {
        let on = self.holds[client][hold];
        let mut directory = None;
        let mut derived = None;
        let request = match what {
            What::Derive(which) => {
                derived = Some(terms(which));
                Request::Derive(terms(which))
            }
            What::Revoke => Request::Revoke,
            What::RevokeOne(at) => {
                let (_, handle) = self.children(on)[usize::from(at)];
                Request::RevokeOne(RevokeOne { path: GrantPath::new(&[handle]).unwrap() })
            }
            What::Drop => Request::Drop,
            What::Sync => Request::Sync,
            What::Create { id, bundle } => {
                directory = Some(&bundles[usize::from(bundle)]);
                Request::Create(Create { id: IDS[usize::from(id)], bundle: "/b", stdio: Stdio::Log })
            }
            What::Delegate => {
                Request::Delegate(Delegate { rights: Rights::all(), quota: few(1), policy: None })
            }
            What::Lookup(id) => Request::Lookup(Lookup { id: IDS[usize::from(id)], rights: Rights::all() }),
            What::Start => Request::Start,
            What::Kill => Request::Signal(Signal { signal: 9, scope: Scope::First }),
            What::Pause => Request::Pause,
            What::Resume => Request::Resume,
            What::Exec => {
                Request::Exec(Exec { args: "true\0", env: "", cwd: None, user: None, stdio: Stdio::Log })
            }
            What::Wait => Request::Wait,
            What::Logs => Request::Logs(Logs { cursor: 0, waiting: Waiting::Yes }),
            What::Events => Request::Events(Events { cursor: None, waiting: Waiting::Yes }),
            What::Delete(mode) => Request::Delete(Delete { mode }),
            What::State => Request::State,
        };
        let live = self.live(on);
        // What the list says comes of it, before the answer is read: later answers may be to calls made before.
        let sent = self.desk.send(on, &request, directory);
        let open = Open { client, life: self.lives[client], on, op: request.op(), terms: derived };
        let spent = !request.op().rights().is_empty();
        let answer = self.desk.answer(sent).cloned();
        self.open.insert(sent.token, open);
        let refusal = match answer.as_ref().and_then(Answer::error) {
            Some(ErrorReply::Refusal(refusal)) => Some(refusal),
            _ => None,
        };
        let nothing = refusal.as_ref().is_some_and(|r| *r == RefusalCode::NotFound.into());
        if !live {
            assert!(nothing, "{what:?} on a capability that has ended: {answer:?}");
            return;
        }
        let gone = self.known[&on].container.is_some_and(|c| c == 0 || self.doomed.contains(&c));
        assert!(
            !nothing || gone || matches!(what, What::RevokeOne(_)),
            "{what:?} on a live capability: {answer:?}"
        );
        let refused = refusal.is_some_and(|r| matches!(r.code, RefusalCode::Rights | RefusalCode::WrongKind));
        if nothing || refused {
            return;
        }
        assert!(self.known[&on].most.contains(request.op().rights()), "{what:?} was let through");
        if spent {
            let mut at = Some(on);
            while let Some(known) = at.and_then(|badge| self.known.get_mut(&badge)) {
                known.uses = known.uses.map(|uses| uses - 1);
                at = known.parent;
            }
        }
        match what {
            What::Drop => self.known.get_mut(&on).unwrap().dropped = true,
            What::Revoke => {
                let below = self.known.values_mut().filter(|known| known.parent == Some(on));
                below.for_each(|known| known.cut = true);
            }
            What::RevokeOne(at) => {
                let (child, _) = self.children(on)[usize::from(at)];
                self.known.get_mut(&child).unwrap().cut = true;
            }
            What::Delete(_) if answer.as_ref().is_none_or(|answer| answer.error().is_none()) => {
                match self.known[&on].container {
                    // One that was looked up may be any.
                    Some(0) => self.doomed.extend(0..=self.containers),
                    container => self.doomed.extend(container),
                }
            }
            _ => {}
        }
    }

    fn read_answers(&mut self) {
        for (token, answers) in self.desk.take_answers() {
            let Some(open) = self.open.remove(&token) else { panic!("{token:?} was answered twice") };
            let [answer] = &answers[..] else { panic!("{open:?} has {} answers", answers.len()) };
            let failed = answer.error();
            if let Some(ErrorReply::Frame(error)) = &failed {
                panic!("{open:?}: {error}");
            }
            let minting = matches!(open.op, Op::Create | Op::Lookup | Op::Delegate | Op::Derive | Op::Exec);
            assert_eq!(answer.mint.is_some(), minting && failed.is_none(), "{open:?}");
            if let Some(badge) = answer.mint {
                self.minted(&open, answer, badge);
            }
        }
        // Dead capabilities are kept as long as there is room: to be used.
        for client in 0..CLIENTS {
            let dead: Vec<Badge> =
                self.holds[client].iter().copied().filter(|b| self.known[b].dropped).collect();
            self.holds[client].retain(|badge| !dead.contains(badge));
        }
    }

    fn minted(&mut self, open: &Open, answer: &Answer, badge: Badge) {
        let above = self.known[&open.on];
        let (kind, most, container) = match open.op {
            Op::Create => {
                self.containers += 1;
                (ObjectKind::Container, Rights::CONTAINER, Some(self.containers))
            }
            // Which one it is, is not looked into: it counts as one that may be gone.
            Op::Lookup => (ObjectKind::Container, Rights::CONTAINER, Some(0)),
            Op::Exec => (ObjectKind::Process, Rights::PROCESS, above.container),
            Op::Delegate => (ObjectKind::Factory, Rights::FACTORY, None),
            _ => (above.kind, open.terms.unwrap().rights, above.container),
        };
        let known = Known {
            parent: Some(open.on),
            kind,
            most: above.most & most,
            handle: (open.op == Op::Derive).then(|| answer.read::<DeriveReply>().unwrap().handle),
            container,
            uses: open.terms.and_then(|terms| terms.uses),
            dropped: false,
            cut: false,
        };
        self.known.insert(badge, known);
        if self.lives[open.client] == open.life && self.holds[open.client].len() < HOLDS {
            self.holds[open.client].push(badge);
        } else {
            self.close(badge);
        }
    }

    /// What must hold in every state.
    pub(super) fn audit(&self) -> Result<(), String> {
        self.desk.manager.audit()
    }

    /// What must hold of every step.
    pub(super) fn check(&mut self) {
        let mut states = BTreeMap::new();
        for (key, state) in self.desk.manager.states() {
            let rank = |state| match state {
                OciLifecycleState::Creating => 0,
                OciLifecycleState::Created => 1,
                OciLifecycleState::Running | OciLifecycleState::Paused => 2,
                OciLifecycleState::Stopped => 3,
            };
            let before = self.states.get(&key).copied().unwrap_or(OciLifecycleState::Creating);
            assert!(rank(state) >= rank(before), "{key:?} went from {before:?} to {state:?}");
            states.insert(key, state);
        }
        self.states = states;
        let census = self.desk.glue.census();
        assert!(census.keys <= self.desk.manager.container_count() as usize, "{census:?}");
        assert_eq!(self.desk.manager.leftover(), Leftover::None);
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut held: Vec<Badge> = self.holds.iter().flatten().copied().collect();
        for holds in &self.holds {
            holds.len().hash(&mut hasher);
        }
        for badge in &held {
            let known = self.known[badge];
            (self.live(*badge), known.kind as u8, self.children(*badge).len()).hash(&mut hasher);
        }
        for open in self.open.values() {
            held.push(open.on);
            (open.client, open.op as u16, open.life == self.lives[open.client]).hash(&mut hasher);
        }
        let keys = self.desk.manager.fingerprint(&held, self.desk.glue.now(), &mut hasher);
        self.desk.glue.fingerprint(&keys, &mut hasher);
        hasher.finish()
    }

    /// Everything that only reads, on every capability; then everybody dies and everything is removed. Nothing is left.
    pub(super) fn wind_up(mut self) {
        let page = Page { from: 0 };
        let reads = [
            Request::Hello(Hello { version_min: 1, version_max: 1 }),
            Request::Describe,
            Request::List(page),
            Request::Usage,
            Request::State,
            Request::Annotation(Annotation { index: 0 }),
            Request::Statistics,
            Request::Processes(page),
            Request::PivotRoot,
        ];
        for badge in self.holds.iter().flatten().copied().collect::<Vec<_>>() {
            for request in &reads {
                let live = self.live(badge);
                let known = self.known[&badge];
                if live && known.uses.is_some() {
                    continue;
                }
                match self.desk.call(badge, request, None) {
                    Ok(answer) if *request == Request::Describe => {
                        let description: Description = answer.read().unwrap();
                        assert!(
                            live && known.most.contains(description.rights) && known.kind == description.kind
                        );
                    }
                    Ok(_) => assert!(live && known.most.contains(request.op().rights())),
                    Err(ErrorReply::Refusal(refusal)) => assert_ne!(refusal.code, RefusalCode::Internal),
                    Err(error) => assert!(matches!(error, ErrorReply::Kernel(_)), "{error}"),
                }
            }
        }
        self.read_answers();
        let root = self.desk.root;
        for badge in
            self.holds.iter_mut().flat_map(std::mem::take).filter(|badge| *badge != root).collect::<Vec<_>>()
        {
            self.desk.close(badge);
        }
        while self.desk.pump(Waiting::Yes).is_some() {}
        if self.live(root) {
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
            assert_eq!(self.desk.glue.census(), Model::new(1).census());
            assert_eq!((self.desk.manager.container_count(), self.desk.manager.grant_count()), (0, 0));
        }
        for (token, answers) in self.desk.take_answers() {
            self.open.remove(&token);
            assert_eq!(answers.len(), 1);
        }
        // Whoever waits for a container that runs for ever, on a capability nobody took back, waits.
        assert!(
            self.open.values().all(|open| !self.known[&open.on].dropped || self.known[&open.on].cut),
            "{:?}",
            self.open
        );
        self.desk.manager.audit().unwrap();
    }
}
