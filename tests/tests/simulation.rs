//! Many clients do what comes into their heads, the kernel fails now and then, clients die, capabilities are taken
//! back, time passes: and whatever the order, the server keeps its promises.
//!
//! Everything follows from a seed. A seed that fails prints itself and the last operations before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{Census, Directory, Model, Pace};
use bailiwick_kernel_glue::{ContainerKey, ReplyToken};
use bailiwick_protocol::error::{Errno, ErrorReply, RefusalCode};
use bailiwick_protocol::frame::Tag;
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::{ObjectKind, Op};
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Limits, OciLifecycleState};
use bailiwick_tests::desk::{Answer, Desk, bundle, config};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};

const CLIENTS: usize = 16;
/// Of all clients together: 20,000 of each.
const OPERATIONS: usize = CLIENTS * 20_000;
const AUDIT_EVERY: usize = 100;
/// Operations that a failing seed prints.
const REMEMBERED: usize = 40;
/// Most capabilities that a client keeps.
const HOLDS: usize = 12;
const IDS: [&str; 8] = ["web", "db", "cache", "job", "a", "b", "c", "d"];
/// What capabilities are stored under.
const STORED: &str = "stored";
/// Limits that containers are given later: good ones, too much for a tenant, what takes a limit away, and no limits.
const UPDATES: [&str; 5] = [
    r#"{"memory":{"limit":67108864},"pids":{"limit":9}}"#,
    r#"{"memory":{"limit":9007199254740992},"cpu":{"quota":900000000}}"#,
    r#"{"memory":{"limit":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}"#,
    r#"{"memory":{"limit":4096},"pids":{"limit":1}}"#,
    "limits",
];

struct Random(u64);

impl Random {
    /// splitmix64
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
    /// Few of some kinds, and no bound of their own on others.
    fn quota(&mut self) -> Quota {
        let mut some = |most: usize| (!self.once_in(4)).then(|| self.below(most) as u64);
        Quota {
            containers: some(12),
            memory: some(8).filter(|n| n % 4 == 3).map(|n| n << 26),
            processes: some(8).filter(|n| n % 4 == 3).map(|n| n * 20),
            waiting: some(60),
            log_bytes: some(40).map(|n| n << 16),
            capabilities: some(600),
            ..Quota::UNBOUNDED
        }
    }
    fn policy(&mut self) -> Option<&'static str> {
        *self.pick(&[
            None,
            None,
            None,
            Some("include baseline"),
            Some("include privileged"),
            Some("nonsense"),
        ])
    }
    fn rights(&mut self) -> Rights {
        let mask = Rights::from_bits_truncate(self.next() as u32 | self.next() as u32);
        if self.once_in(4) { mask } else { Rights::all() }
    }
}

/// A capability that a client holds, with the most it can allow.
#[derive(Clone, Copy, Debug)]
struct Held {
    badge: Badge,
    kind: ObjectKind,
    rights: Rights,
}

/// A call without an answer yet.
#[derive(Debug)]
struct Open {
    client: usize,
    /// Which life of the client made it.
    life: u32,
    on: Held,
    op: Op,
    mask: Rights,
    tag: Tag,
}

#[derive(Default)]
struct Client {
    life: u32,
    holds: Vec<Held>,
}

struct World {
    seed: u64,
    random: Random,
    desk: Desk,
    clients: Vec<Client>,
    open: BTreeMap<ReplyToken, Open>,
    bundles: Vec<Directory>,
    states: BTreeMap<ContainerKey, OciLifecycleState>,
    /// What `Derive` gave, by the badge it was sent on.
    handles: BTreeMap<Badge, Vec<GrantHandle>>,
    last: VecDeque<String>,
    answered: u64,
    succeeded: BTreeMap<Op, u64>,
    empty: Census,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: the last operations were", self.seed);
            for line in &self.last {
                eprintln!("  {line}");
            }
        }
    }
}

fn bundles() -> Vec<Directory> {
    let slow = |kind: &str, seconds: &str| {
        let mut config = config(&["sleep", "1000"]);
        config["hooks"] = json!({ kind: [{ "path": "/bin/sleep", "args": ["sleep", seconds] }] });
        Directory::bundle(config.to_string())
    };
    let failing = |kind: &str| {
        let mut config = config(&["sleep", "1000"]);
        config["hooks"] = json!({ kind: [{ "path": "/bin/false" }] });
        Directory::bundle(config.to_string())
    };
    let limited = |memory: u64| {
        let mut config = config(&["sleep", "1000"]);
        config["linux"]["resources"]["memory"] = json!({ "limit": memory });
        config["linux"]["resources"]["pids"] = json!({ "limit": 20 });
        Directory::bundle(config.to_string())
    };
    vec![
        limited(1 << 26),
        limited(1 << 28),
        bundle(&["true"]),
        bundle(&["sleep", "1000"]),
        bundle(&["sleep", "1000"]),
        bundle(&["sh", "-c", "echo one; sleep 1; echo two; exit 3"]),
        bundle(&["sh", "-c", "trap 'echo no' TERM; sleep 1000"]),
        bundle(&["hog"]),
        bundle(&["no-such-program"]),
        slow("createRuntime", "2"),
        slow("startContainer", "1"),
        slow("poststart", "1"),
        slow("poststop", "3"),
        failing("prestart"),
        failing("startContainer"),
        failing("poststop"),
        Directory::bundle("{"),
        Directory::new(),
    ]
}

impl World {
    fn new(seed: u64, pace: Pace) -> World {
        let limits = Limits { containers: 40, factories: 24, processes: 60 };
        let glue = Model::new(seed).with_pace(pace);
        let empty = glue.census();
        let desk = Desk::new(glue, limits);
        let root = Held { badge: desk.root, kind: ObjectKind::Factory, rights: Rights::FACTORY };
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::default()).collect();
        clients[0].holds.push(root);
        World {
            seed,
            random: Random(seed),
            desk,
            clients,
            open: BTreeMap::new(),
            bundles: bundles(),
            states: BTreeMap::new(),
            handles: BTreeMap::new(),
            last: VecDeque::new(),
            answered: 0,
            succeeded: BTreeMap::new(),
            empty,
        }
    }

    fn note(&mut self, line: String) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn step(&mut self) {
        match self.random.below(1000) {
            0 => self.die(),
            1..=30 => self.hand_over(),
            31..=60 => {
                let n = 1 + self.random.below(30) as u64;
                self.note(format!("kernel step {n} from here fails"));
                self.desk.glue.fail_at(n, Errno::EIO);
            }
            61..=120 => {
                let time = Nanos(self.random.next() % 2_000_000_000);
                self.note(format!("{} ms pass", time.0 / 1_000_000));
                self.desk.glue.advance(time);
            }
            _ => self.call(),
        }
        for _ in 0..self.random.below(3) {
            self.desk.pump(Waiting::No);
        }
        self.read_answers();
    }

    /// One client sends something on a capability it holds, or held.
    fn call(&mut self) {
        // The one with the root capability keeps the others supplied.
        let client = if self.random.once_in(10) { 0 } else { self.random.below(CLIENTS) };
        if self.clients[client].holds.is_empty() {
            return self.hand_over();
        }
        let two = [0, 1].map(|_| *self.random.pick(&self.clients[client].holds));
        let on = two.into_iter().find(|held| held.kind != ObjectKind::Factory).unwrap_or(two[0]);
        if self.clients[client].holds.len() > HOLDS && on.badge != self.desk.root {
            self.note(format!("{client}: closes {:?}", on.badge));
            self.clients[client].holds.retain(|held| held.badge != on.badge);
            return self.desk.close(on.badge);
        }
        let op = loop {
            let op = *self.random.pick(Op::ALL);
            let rare = match op {
                Op::Revoke if on.badge == self.desk.root => 4000,
                Op::Revoke => 40,
                Op::RevokeOne => 4,
                Op::Hello | Op::Sync | Op::Usage | Op::Limits | Op::Plan => 10,
                Op::Describe | Op::List | Op::Drop | Op::Delegate => 10,
                Op::Derive if on.badge == self.desk.root => 2,
                Op::Derive => 20,
                _ => 1,
            };
            let sensible = op.target().accepts(on.kind) && on.rights.contains(op.rights());
            let understood = sensible || self.random.once_in(50);
            // Who gave the root capability up would end the history.
            let last = op == Op::Drop && on.badge == self.desk.root;
            if understood && !last && self.random.once_in(rare) {
                break op;
            }
        };
        let mask = self.random.rights();
        let id = *self.random.pick(&IDS);
        let request = self.request(on.badge, op, id, mask);
        let directory = (request.capabilities() > 0).then(|| self.random.pick(&self.bundles).clone());
        let sent = self.desk.send(on.badge, &request, directory.as_ref());
        self.note(format!("{client}: {request:?} on {:?} {:?}", on.kind, on.badge));
        let life = self.clients[client].life;
        let open = Open { client, life, on, op, mask, tag: sent.tag };
        assert!(self.open.insert(sent.token, open).is_none());
    }

    fn request(&mut self, on: Badge, op: Op, id: &'static str, mask: Rights) -> Request<'static> {
        let random = &mut self.random;
        let page = Page { from: random.below(3) as u32 * 20 };
        let waiting = if random.once_in(2) { Waiting::Yes } else { Waiting::No };
        match op {
            Op::Hello => Request::Hello(Hello { version_min: 1, version_max: random.below(3) as u16 }),
            Op::Describe => Request::Describe,
            Op::Derive => {
                let lifetime = random.once_in(8).then(|| Nanos(random.next() % 20_000_000_000));
                let uses = random.once_in(8).then(|| random.below(20) as u32);
                Request::Derive(Derive { rights: mask, lifetime, uses })
            }
            Op::Revoke => Request::Revoke,
            Op::Drop => Request::Drop,
            Op::Sync => Request::Sync,
            Op::RevokeOne => {
                // Known or guessed, which is no harm: handles name nothing that is not one's own.
                let guess = GrantHandle((1 + random.below(4) as u64) << 32 | random.below(3) as u64);
                let handle = self.handles.get_mut(&on).and_then(Vec::pop).unwrap_or(guess);
                Request::RevokeOne(RevokeOne { path: GrantPath::new(&[handle]).unwrap() })
            }
            Op::Create => {
                let stdio = if random.once_in(2) { Stdio::Piped } else { Stdio::Log };
                Request::Create(Create { id, bundle: "/b", stdio })
            }
            Op::List => Request::List(page),
            Op::Lookup => Request::Lookup(Lookup { id, rights: mask }),
            Op::Plan => Request::Plan(page),
            Op::Delegate => {
                Request::Delegate(Delegate { rights: mask, quota: random.quota(), policy: random.policy() })
            }
            Op::Usage => Request::Usage,
            Op::Limits => Request::Limits,
            Op::State => Request::State,
            Op::Annotation => Request::Annotation(Annotation { index: 0 }),
            Op::Start => Request::Start,
            Op::Signal => {
                let scope = if random.once_in(3) { Scope::All } else { Scope::First };
                Request::Signal(Signal { signal: *random.pick(&[9, 15, 1, 0, 65]), scope })
            }
            Op::Pause => Request::Pause,
            Op::Resume => Request::Resume,
            Op::Exec => {
                let args = *random.pick(&["true\0", "sleep\x00100\0", "echo\0x\0", "none\0", ""]);
                Request::Exec(Exec { args, env: "", cwd: None, user: None, stdio: Stdio::Log })
            }
            Op::Wait => Request::Wait,
            Op::Logs => Request::Logs(Logs { cursor: random.below(9) as u64, waiting }),
            Op::Statistics => Request::Statistics,
            Op::Processes => Request::Processes(page),
            Op::Delete => {
                let mode = if random.once_in(2) { DeleteMode::Force } else { DeleteMode::Stopped };
                Request::Delete(Delete { mode })
            }
            Op::PivotRoot => Request::PivotRoot,
            Op::Grant => {
                let on = *random.pick(&IDS);
                Request::Grant(Grant { to: id, name: STORED, on, rights: mask })
            }
            Op::Attach => {
                let cursor = random.once_in(2).then(|| random.below(9) as u64);
                Request::Attach(Attach { cursor, waiting })
            }
            Op::Input => {
                let then = if random.once_in(9) { InputEnd::Close } else { InputEnd::Open };
                Request::Input(Input { bytes: b"line\n", then })
            }
            Op::Take => Request::Take(Take { name: STORED }),
            Op::Update => {
                let resources = *random.pick(&UPDATES);
                Request::Update(Update { resources })
            }
            Op::Events => {
                let cursor = random.once_in(2).then(|| random.below(20) as u64);
                Request::Events(Events { cursor, waiting })
            }
        }
    }

    /// One client gives a capability to another, as both may.
    fn hand_over(&mut self) {
        let (from, to) = (self.random.below(CLIENTS), self.random.below(CLIENTS));
        if from == to || self.clients[from].holds.is_empty() {
            return;
        }
        let at = self.random.below(self.clients[from].holds.len());
        // The root capability stays where it is.
        if self.clients[from].holds[at].badge == self.desk.root {
            return;
        }
        let held = self.clients[from].holds.swap_remove(at);
        self.note(format!("{from}: hands {:?} to {to}", held.badge));
        self.clients[to].holds.push(held);
    }

    /// A client ends, and with it every capability it holds. The first one never does.
    fn die(&mut self) {
        let client = 1 + self.random.below(CLIENTS - 1);
        self.note(format!("{client}: dies"));
        self.clients[client].life += 1;
        for held in std::mem::take(&mut self.clients[client].holds) {
            self.desk.close(held.badge);
        }
    }

    fn read_answers(&mut self) {
        for (token, answers) in self.desk.take_answers() {
            let Some(open) = self.open.remove(&token) else { panic!("{token:?} was answered twice") };
            let [answer] = &answers[..] else { panic!("{open:?} has {} answers", answers.len()) };
            self.answered += 1;
            self.read_answer(&open, answer);
        }
    }

    fn read_answer(&mut self, open: &Open, answer: &Answer) {
        assert_eq!(bailiwick_protocol::frame::tag_of(&answer.frame), open.tag, "{open:?}");
        match answer.error() {
            Some(ErrorReply::Refusal(refusal)) => {
                assert!(refusal.code.name().is_some() && refusal.code != RefusalCode::Internal, "{refusal}");
            }
            Some(ErrorReply::Frame(error)) => panic!("{open:?}: {error}"),
            Some(ErrorReply::Kernel(_)) => {}
            None => {
                assert!(open.op.target().accepts(open.on.kind), "{open:?} was carried out");
                assert!(open.on.rights.contains(open.op.rights()), "{open:?} was carried out");
                *self.succeeded.entry(open.op).or_default() += 1;
            }
        }
        let minting =
            matches!(open.op, Op::Create | Op::Lookup | Op::Delegate | Op::Derive | Op::Exec | Op::Take);
        assert_eq!(answer.mint.is_some(), minting && answer.error().is_none(), "{open:?}");
        if let Some(badge) = answer.mint {
            self.minted(open, badge);
        }
        if open.op == Op::Describe && answer.error().is_none() {
            let description: Description = answer.read().unwrap();
            assert_eq!(description.kind, open.on.kind);
            assert!(open.on.rights.contains(description.rights), "{open:?}: {description:?}");
        }
        if open.op == Op::Derive && answer.error().is_none() {
            let reply: DeriveReply = answer.read().unwrap();
            self.handles.entry(open.on.badge).or_default().push(reply.handle);
        }
        if open.op == Op::Drop {
            for client in &mut self.clients {
                client.holds.retain(|held| held.badge != open.on.badge);
            }
        }
    }

    fn minted(&mut self, open: &Open, badge: Badge) {
        let (kind, most) = match open.op {
            Op::Create => (ObjectKind::Container, Rights::CONTAINER),
            Op::Lookup => (ObjectKind::Container, Rights::CONTAINER & open.mask),
            Op::Take => (ObjectKind::Container, Rights::CONTAINER),
            Op::Exec => (ObjectKind::Process, Rights::PROCESS),
            Op::Delegate => (ObjectKind::Factory, open.mask),
            _ => (open.on.kind, open.mask),
        };
        let above = match open.op {
            // What was stored does not come from the capability it was taken out with.
            Op::Take => Rights::CONTAINER,
            _ => open.on.rights,
        };
        let client = &mut self.clients[open.client];
        if client.life == open.life {
            client.holds.push(Held { badge, kind, rights: above & most });
        } else {
            // The one it was for has died meanwhile.
            self.desk.close(badge);
        }
    }

    /// Capabilities the server has declared dead: mostly thrown away, sometimes kept and used.
    fn tidy(&mut self) {
        let (dead, random) = (&self.desk.port.revoked, &mut self.random);
        for client in &mut self.clients {
            client.holds.retain(|held| !dead.contains(&held.badge) || random.once_in(10));
        }
    }

    fn audit(&mut self) {
        if let Err(finding) = self.desk.manager.audit() {
            panic!("{finding}");
        }
        let mut states = BTreeMap::new();
        for (key, state) in self.desk.manager.states() {
            let rank = |state| match state {
                OciLifecycleState::Creating => 0,
                OciLifecycleState::Created => 1,
                OciLifecycleState::Running | OciLifecycleState::Paused => 2,
                OciLifecycleState::Stopped => 3,
            };
            if let Some(before) = self.states.get(&key) {
                assert!(rank(state) >= rank(*before), "{key:?} went from {before:?} to {state:?}");
            }
            states.insert(key, state);
        }
        self.states = states;
        let census = self.desk.glue.census();
        let records = self.desk.manager.container_count() as usize;
        assert!(census.keys <= records, "{} containers of the kernel, {records} records", census.keys);
        assert!(census.groups <= census.keys);
    }

    /// Everything is taken back and removed; nothing may be left.
    fn end(&mut self) {
        self.desk.glue.cancel_failure();
        let root = self.desk.root;
        self.note("the end".into());
        self.desk.call(root, &Request::Revoke, None).unwrap();
        self.audit();
        while self.desk.pump(Waiting::Yes).is_some() {}
        self.read_answers();
        let page: ListPage =
            self.desk.call(root, &Request::List(Page { from: 0 }), None).unwrap().read().unwrap();
        let usage: Usage = self.desk.call(root, &Request::Usage, None).unwrap().read().unwrap();
        assert_eq!(usage.used.containers, u64::from(self.desk.manager.container_count()));
        assert!(page.rows.len() == PAGE_ROWS || page.rows.len() as u64 == usage.used.containers);
        for _ in 0..2 {
            let page: ListPage =
                self.desk.call(root, &Request::List(Page { from: 0 }), None).unwrap().read().unwrap();
            for row in page.rows {
                let lookup = Request::Lookup(Lookup { id: row.id.as_str(), rights: Rights::all() });
                let badge = self.desk.call(root, &lookup, None).unwrap().mint.unwrap();
                self.desk.call(badge, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
            }
        }
        while self.desk.pump(Waiting::Yes).is_some() {}
        self.read_answers();
        self.audit();
        assert!(self.open.is_empty(), "calls without an answer: {:?}", self.open);
        assert_eq!(self.desk.glue.census(), self.empty);
        assert_eq!((self.desk.manager.container_count(), self.desk.manager.grant_count()), (0, 1));
    }
}

fn simulate(seed: u64, pace: Pace) {
    let mut world = World::new(seed, pace);
    for step in 0..OPERATIONS {
        world.step();
        if step % AUDIT_EVERY == 0 {
            world.tidy();
            world.audit();
        }
    }
    world.end();
    // A history in which next to nothing succeeds would prove nothing.
    for op in Op::ALL.iter().filter(|op| !matches!(op, Op::Annotation)) {
        let count = world.succeeded.get(op).copied().unwrap_or(0);
        assert!(count >= 100, "seed {seed}: {op:?} succeeded {count} times in {} calls", world.answered);
    }
}

#[test]
fn histories_of_a_prompt_kernel_keep_every_promise() {
    [0, 1].into_iter().for_each(|seed| simulate(seed, Pace::Prompt));
}

#[test]
fn histories_of_a_kernel_that_takes_its_time_keep_every_promise() {
    [2, 3].into_iter().for_each(|seed| simulate(seed, Pace::Varied));
}
