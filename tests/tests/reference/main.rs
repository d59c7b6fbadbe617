//! 64 clients against a naive model of what must come of each call: maps and recursion, written from the documents, with
//! no line of the server's in it.
//!
//! A seed that fails is made as short as it gets and printed as a script for [`scripts`]. By default 50,000 operations;
//! `BAILIWICK_SIMULATE=1000000` does that many, `BAILIWICK_SEED=7` follows another seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod naive;

use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Leftover, Limits};
use bailiwick_tests::desk::{Answer, Desk, config};
use std::collections::BTreeMap;

use naive::{Naive, Outcome, Thing, mask};

const CLIENTS: usize = 64;
const HOLDS: usize = 8;
/// After so many operations the server looks over everything it keeps.
const AUDIT_EVERY: usize = 1000;
/// Most operations done to make a script shorter.
const SHORTEN_MAX: usize = 20_000_000;

/// What one client does: which, on which of its capabilities, what, and a number that says how.
#[derive(Clone, Copy, Debug)]
struct Do(u8, u8, Verb, u16);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verb {
    Derive,
    DeriveOnce,
    Revoke,
    RevokeOne,
    Drop,
    Close,
    Hand,
    Create,
    Lookup,
    Delegate,
    List,
    Usage,
    Describe,
    State,
    Start,
    Kill,
    Pause,
    Resume,
    Wait,
    Delete,
    DeleteForce,
    DeriveFor,
    Pass,
    Sync,
    Update,
    Grant,
    Take,
    Attach,
    Input,
    Events,
}
use Verb as V;

const VERBS: [(Verb, usize); 30] = [
    (V::Derive, 16),
    (V::DeriveOnce, 4),
    (V::Revoke, 1),
    (V::RevokeOne, 8),
    (V::Drop, 3),
    (V::Close, 5),
    (V::Hand, 14),
    (V::Create, 30),
    (V::Lookup, 30),
    (V::Delegate, 6),
    (V::List, 4),
    (V::Usage, 4),
    (V::Describe, 6),
    (V::State, 6),
    (V::Start, 24),
    (V::Kill, 6),
    (V::Pause, 14),
    (V::Resume, 14),
    (V::Wait, 8),
    (V::Delete, 10),
    (V::DeleteForce, 14),
    (V::DeriveFor, 4),
    (V::Pass, 3),
    (V::Sync, 3),
    (V::Update, 14),
    (V::Grant, 20),
    (V::Take, 24),
    (V::Attach, 6),
    (V::Input, 10),
    (V::Events, 4),
];

/// What capabilities are stored under.
const STORED: [&str; 2] = ["one", "other"];

/// The server and the naive model, side by side.
struct World {
    desk: Desk,
    naive: Naive,
    /// By the naive model's number.
    badges: BTreeMap<u32, Badge>,
    handles: BTreeMap<u32, GrantHandle>,
    holds: Vec<Vec<u32>>,
    bundle: Directory,
    done: BTreeMap<Verb, u32>,
}

impl World {
    fn new() -> World {
        let limits = Limits { containers: 200, factories: 60, processes: 60 };
        let desk = Desk::new(Model::new(1), limits);
        let naive = Naive::new(200, 60, 1 << 17);
        let mut holds = vec![vec![]; CLIENTS];
        holds[0].push(0);
        let badges = BTreeMap::from([(0, desk.root)]);
        let mut config = config(&["sleep", "100000000"]);
        config["linux"]["resources"]["pids"] = serde_json::json!({ "limit": naive::PIDS });
        let bundle = Directory::bundle(config.to_string());
        World { desk, naive, badges, handles: BTreeMap::new(), holds, bundle, done: BTreeMap::new() }
    }

    /// Does one thing on both sides.
    ///
    /// # Errors
    /// Where they disagree, in words.
    fn step(&mut self, Do(client, pick, verb, how): Do) -> Result<(), String> {
        if verb == V::Pass {
            return self.pass(Nanos(u64::from(how % 8) * 500_000_000));
        }
        let client = usize::from(client) % CLIENTS;
        let holds = self.holds[client].len();
        if holds == 0 {
            // The one who holds the first capability lets it have something.
            let verb = [V::Derive, V::Delegate, V::Create, V::Lookup, V::Create][usize::from(pick) % 5];
            return self.call(client, 0, verb, how);
        }
        let at = self.pick(client, pick, verb);
        let on = self.holds[client][at];
        // Who holds the first capability keeps it.
        let first = on == 0;
        match verb {
            V::Close | V::Drop if first => return Ok(()),
            V::Revoke if first && !how.is_multiple_of(200) => return Ok(()),
            V::Hand if first => return Ok(()),
            V::Hand => {
                self.holds[client].swap_remove(at);
                let to = usize::from(how) % CLIENTS;
                if self.holds[to].len() < HOLDS {
                    self.holds[to].push(on);
                    return Ok(());
                }
                return self.close(on);
            }
            V::Close => {
                self.holds[client].swap_remove(at);
                return self.close(on);
            }
            _ => {}
        }
        self.call(client, on, verb, how)
    }

    /// Time passes, and the server is woken for what ends by that.
    fn pass(&mut self, time: Nanos) -> Result<(), String> {
        self.desk.glue.advance(time);
        let Desk { manager, glue, port, .. } = &mut self.desk;
        manager.sweep(glue, port);
        self.naive.pass(time.0);
        self.settle()
    }

    /// Which of its capabilities a client does this on: mostly one of the right kind, sometimes any.
    fn pick(&self, client: usize, pick: u8, verb: Verb) -> usize {
        let holds = &self.holds[client];
        let suits = |cap: &u32| {
            let kind = naive::needs(verb).0;
            let found = self.naive.caps.get(cap).map(|cap| matches!(cap.thing, Thing::Factory(_)));
            kind.is_none_or(|kind| found.is_none_or(|found| found == kind))
        };
        let suited: Vec<usize> = (0..holds.len()).filter(|at| pick >= 224 || suits(&holds[*at])).collect();
        *suited.get(usize::from(pick) % suited.len().max(1)).unwrap_or(&(usize::from(pick) % holds.len()))
    }

    fn close(&mut self, cap: u32) -> Result<(), String> {
        self.desk.close(self.badges[&cap]);
        if self.naive.caps.get(&cap).is_some_and(|cap| cap.held) {
            self.naive.let_go(cap);
        }
        self.settle()
    }

    fn call(&mut self, client: usize, on: u32, verb: Verb, how: u16) -> Result<(), String> {
        let own = |cap: &u32| self.naive.caps.get(cap).is_some_and(|cap| cap.parent == Some(on));
        let child = match verb {
            V::RevokeOne => {
                let known: Vec<u32> = self.handles.keys().copied().filter(own).collect();
                known.get(usize::from(how) % known.len().max(1)).copied()
            }
            _ => None,
        };
        let id = match (verb, self.naive.caps.get(&on).map(|cap| cap.thing)) {
            (V::Create, Some(Thing::Factory(maker))) => self.naive.id_for(maker, how),
            (V::Lookup | V::Grant, Some(Thing::Factory(maker))) => {
                self.naive.known_id(maker, how).unwrap_or_else(|| "nothing".into())
            }
            _ => "x".into(),
        };
        // Another one, to store a capability on it.
        let other = match self.naive.caps.get(&on).map(|cap| cap.thing) {
            Some(Thing::Factory(maker)) => self.naive.known_id(maker, how / 2),
            _ => None,
        };
        let other = other.unwrap_or_else(|| "nothing".into());
        let limit = format!(r#"{{"pids":{{"limit":{}}}}}"#, naive::pids(how));
        let request = match verb {
            V::Grant => {
                let name = STORED[usize::from(how % 2)];
                Request::Grant(Grant { to: &id, name, on: &other, rights: mask(how) })
            }
            V::Update => Request::Update(Update { resources: &limit }),
            _ => self.request(verb, how, &id, child),
        };
        let directory = (request.capabilities() > 0).then(|| self.bundle.clone());
        let sent = self.desk.send(self.badges[&on], &request, directory.as_ref());
        while self.desk.pump(Waiting::No).is_some() {}
        let (expected, cap) = self.naive.call(on, verb, how, child, sent.token);
        let answers = self.desk.answers(sent).to_vec();
        self.desk.forget(sent);
        let got = read(verb, &answers);
        if got != expected {
            return Err(format!("{request:?}: the server says {got:?}, the model {expected:?}"));
        }
        match expected {
            // A dead capability is tried again, but not for ever.
            Outcome::Refused(RefusalCode::NotFound) if !how.is_multiple_of(4) && !self.naive.live(on) => {
                self.holds[client].retain(|cap| *cap != on);
                self.close(on)?;
            }
            Outcome::Refused(_) => {}
            _ => *self.done.entry(verb).or_default() += 1,
        }
        if let (Some(cap), V::Grant) = (cap, verb) {
            let reply: DeriveReply = answers[0].read().map_err(|error| error.to_string())?;
            self.handles.insert(cap, reply.handle);
        }
        if let (Some(cap), Some(badge)) = (cap, answers.first().and_then(|answer| answer.mint)) {
            self.badges.insert(cap, badge);
            if let Ok(reply) = answers[0].read::<DeriveReply>()
                && matches!(verb, V::Derive | V::DeriveOnce | V::DeriveFor)
            {
                self.handles.insert(cap, reply.handle);
            }
            if self.holds[client].len() < HOLDS {
                self.holds[client].push(cap);
            } else {
                self.close(cap)?;
            }
        }
        self.settle()
    }

    fn request<'a>(&self, verb: Verb, how: u16, id: &'a str, child: Option<u32>) -> Request<'a> {
        match verb {
            V::Derive => Request::Derive(Derive::new(mask(how))),
            V::DeriveOnce => {
                let uses = Some(u32::from(how % 4) + 1);
                Request::Derive(Derive { uses, ..Derive::new(Rights::all()) })
            }
            V::Revoke => Request::Revoke,
            V::RevokeOne => {
                let handle = child.and_then(|cap| self.handles.get(&cap).copied()).unwrap_or(GrantHandle(1));
                Request::RevokeOne(RevokeOne { path: GrantPath::new(&[handle]).unwrap() })
            }
            V::DeriveFor => {
                let lifetime = Some(Nanos(naive::lifetime(how)));
                Request::Derive(Derive { lifetime, ..Derive::new(Rights::all()) })
            }
            V::Create => {
                let stdio = if naive::piped(how) { Stdio::Piped } else { Stdio::Log };
                Request::Create(Create { id, bundle: "/b", stdio })
            }
            V::Lookup => Request::Lookup(Lookup { id, rights: mask(how) }),
            V::Delegate => {
                let containers = Some(u64::from(how % 9));
                let quota = Quota { containers, processes: naive::quota(how), ..Quota::UNBOUNDED };
                Request::Delegate(Delegate { rights: mask(how), quota, policy: None })
            }
            V::List => Request::List(Page { from: 0 }),
            V::Usage => Request::Usage,
            V::Describe => Request::Describe,
            V::State => Request::State,
            V::Start => Request::Start,
            V::Kill => Request::Signal(Signal { signal: 9, scope: Scope::First }),
            V::Pause => Request::Pause,
            V::Resume => Request::Resume,
            V::Wait => Request::Wait,
            V::Delete => Request::Delete(Delete { mode: DeleteMode::Stopped }),
            V::DeleteForce => Request::Delete(Delete { mode: DeleteMode::Force }),
            V::Sync => Request::Sync,
            V::Take => Request::Take(Take { name: STORED[usize::from(how % 2)] }),
            V::Attach => Request::Attach(Attach { cursor: None, waiting: Waiting::No }),
            V::Input => Request::Input(Input { bytes: b"x", then: InputEnd::Open }),
            V::Events => Request::Events(Events { cursor: None, waiting: Waiting::No }),
            V::Drop | V::Close | V::Hand | V::Pass | V::Grant | V::Update => Request::Drop,
        }
    }

    /// Calls that waited got their answers, and the same number of everything is there.
    fn settle(&mut self) -> Result<(), String> {
        while self.desk.manager.leftover() == Leftover::Some || self.desk.pump(Waiting::No).is_some() {
            self.desk.pump(Waiting::No);
        }
        let expected = std::mem::take(&mut self.naive.answered);
        let mut got = BTreeMap::new();
        for (token, answers) in self.desk.take_answers() {
            got.insert(token, read(V::Wait, &answers));
        }
        if got != expected {
            return Err(format!("late answers: the server gave {got:?}, the model {expected:?}"));
        }
        let counts = (self.desk.manager.grant_count(), self.desk.manager.container_count() as usize);
        let naive = (self.naive.caps.len(), self.naive.boxes.len());
        if counts != naive {
            return Err(format!("grants and containers: the server has {counts:?}, the model {naive:?}"));
        }
        for holds in &mut self.holds {
            // Dead ones are kept for a while, to be used.
            if holds.len() == HOLDS {
                let naive = &self.naive;
                holds.retain(|cap| naive.caps.get(cap).is_some_and(|cap| cap.held));
            }
        }
        Ok(())
    }

    /// The server agrees with itself. What nobody can name any more is forgotten, so that a long history costs no more
    /// for each operation than a short one.
    fn audit(&mut self) -> Result<(), String> {
        let World { naive, holds, .. } = self;
        let known = |cap: &u32| naive.caps.contains_key(cap) || holds.iter().any(|holds| holds.contains(cap));
        self.badges.retain(|cap, _| known(cap));
        self.handles.retain(|cap, _| known(cap));
        self.desk.manager.audit()
    }
}

fn read(verb: Verb, answers: &[Answer]) -> Outcome {
    let [answer] = answers else {
        assert!(answers.is_empty(), "two answers to one call");
        return Outcome::Waits;
    };
    match answer.error() {
        Some(ErrorReply::Refusal(refusal)) => Outcome::Refused(refusal.code),
        Some(error) => panic!("{error}"),
        None if answer.mint.is_some() => Outcome::Minted,
        None => match verb {
            V::Describe => {
                let told: Description = answer.read().unwrap();
                let left = told.left.map(|left| left.containers.unwrap_or(u64::MAX) as u32);
                Outcome::Described(told.kind, told.rights, told.depth, left)
            }
            V::Usage => {
                let told: Usage = answer.read().unwrap();
                let containers = told.quota.containers.unwrap_or(u64::MAX) as u32;
                Outcome::Used(told.used.containers as u32, containers, told.used.processes)
            }
            V::List => {
                let told: ListPage = answer.read().unwrap();
                Outcome::Listed(
                    told.rows.iter().map(|row| (row.id.as_str().to_owned(), row.status)).collect(),
                )
            }
            V::State => Outcome::Is(answer.read::<State<'_>>().unwrap().status),
            V::Wait => Outcome::Ended(answer.read().unwrap()),
            _ => Outcome::Done,
        },
    }
}

/// Runs a script; where the two sides disagree, how many steps were done and what they say.
fn run(script: &[Do]) -> Result<World, (usize, String)> {
    let mut world = World::new();
    for (at, step) in script.iter().enumerate() {
        world.step(*step).map_err(|finding| (at, finding))?;
        if at.is_multiple_of(AUDIT_EVERY) {
            world.audit().map_err(|finding| (at, finding))?;
        }
    }
    world.audit().map_err(|finding| (script.len(), finding))?;
    Ok(world)
}

/// The shortest script found that fails, by leaving out ever smaller pieces.
fn shorten(mut script: Vec<Do>) -> Vec<Do> {
    let (mut size, mut left) = (script.len() / 2, SHORTEN_MAX);
    while size > 0 && left > 0 {
        let mut at = 0;
        while at < script.len() && left > 0 {
            left = left.saturating_sub(script.len());
            let mut shorter = script.clone();
            shorter.drain(at..(at + size).min(script.len()));
            match run(&shorter) {
                Err((failed, _)) => {
                    shorter.truncate(failed + 1);
                    script = shorter;
                }
                Ok(_) => at += size,
            }
        }
        size /= 2;
    }
    script
}

fn generate(seed: u64, count: usize) -> Vec<Do> {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let total: usize = VERBS.iter().map(|(_, weight)| weight).sum();
    let verb = move |number: u64| {
        let mut left = number as usize % total;
        let found = VERBS.iter().find(|(_, weight)| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        found.unwrap().0
    };
    (0..count)
        .map(|n| {
            let bits = random();
            // The one with the first capability keeps the others supplied.
            let client = if n % 8 == 0 { 0 } else { bits as u8 };
            Do(client, (bits >> 8) as u8, verb(bits >> 32), (bits >> 16) as u16)
        })
        .collect()
}

fn simulate(seed: u64, count: usize) {
    let script = generate(seed, count);
    match run(&script) {
        Ok(world) => {
            println!("seed {seed}: {count} operations, succeeded: {:?}", world.done);
            for (verb, _) in VERBS.iter().filter(|(verb, _)| !matches!(verb, V::Hand | V::Close | V::Pass)) {
                let succeeded = world.done.get(verb).copied().unwrap_or(0);
                assert!(
                    succeeded as usize > count / 2000,
                    "seed {seed}: {verb:?} succeeded {succeeded} times"
                );
            }
        }
        Err((at, finding)) => {
            let short = shorten(script[..script.len().min(at + 1)].to_vec());
            let told = run(&short).err().map_or(finding.clone(), |(_, finding)| finding);
            let lines: Vec<String> =
                short.iter().map(|Do(c, p, v, h)| format!("    Do({c}, {p}, V::{v:?}, {h}),")).collect();
            panic!("seed {seed}, step {at}: {finding}\nin short: {told}\n&[\n{}\n],", lines.join("\n"));
        }
    }
}

#[test]
fn sixty_four_clients_get_what_the_naive_model_says() {
    let count = std::env::var("BAILIWICK_SIMULATE").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000);
    let seed = std::env::var("BAILIWICK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    simulate(seed, count);
}

/// Scripts that failed once, as they were printed.
const SCRIPTS: &[&[Do]] = &[
    &[
        // A container whose factory nobody holds goes to the heir, and its capabilities with it.
        Do(0, 0, V::Delegate, 4),
        Do(0, 1, V::Create, 40),
        Do(0, 1, V::Close, 0),
        Do(0, 0, V::List, 0),
        Do(0, 1, V::Start, 0),
        Do(0, 1, V::Describe, 0),
    ],
    &[
        // What was stored and is used up ends when something else is stored.
        Do(0, 0, V::Create, 41),
        Do(0, 0, V::Create, 41),
        Do(0, 0, V::DeriveOnce, 4),
        Do(0, 1, V::Grant, 8),
        Do(0, 0, V::Grant, 9),
    ],
];

#[test]
fn scripts() {
    for script in SCRIPTS {
        if let Err((at, finding)) = run(script) {
            panic!("step {at}: {finding}");
        }
    }
}
