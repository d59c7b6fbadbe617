//! What a tenant is told does not depend on what others do: the same script, alone and beside a busy neighbour who uses
//! the same ids, gets the same bytes, under any policy that does not tell the host's process numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_protocol::frame::{FRAME_MAX, Tag};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Leftover;
use bailiwick_tests::desk::{Desk, bundle, few};

const ALL: Rights = Rights::all();
/// What ordinary images need; the host's process numbers are not told.
const POLICY: &str = "include baseline";

/// One tenant: what it holds, in the order it came, and every byte it was sent.
struct Tenant {
    holds: Vec<Badge>,
    handles: Vec<GrantHandle>,
    received: Vec<(String, Vec<u8>, bool)>,
    tag: u16,
}

impl Tenant {
    fn new(desk: &mut Desk, containers: u64) -> Tenant {
        let request =
            Request::Delegate(Delegate { rights: ALL, quota: few(containers), policy: Some(POLICY) });
        let badge = desk.call(desk.root, &request, None).unwrap().mint.unwrap();
        Tenant { holds: vec![badge], handles: vec![], received: vec![], tag: 0 }
    }

    fn call(&mut self, desk: &mut Desk, on: usize, request: Request<'_>) {
        let directory = (request.capabilities() > 0).then(|| bundle(&["sleep", "1000"]));
        self.tag += 1;
        let mut room = [0; FRAME_MAX];
        let frame = request.encode(Tag(self.tag), &mut room).unwrap().to_vec();
        let badge = self.holds[on % self.holds.len()];
        let sent = desk.send_bytes(badge, &frame, directory.clone(), request.capabilities());
        while desk.pump(Waiting::No).is_some() {}
        let Some(answer) = desk.answer(sent).cloned() else {
            return self.received.push((format!("{request:?}"), vec![], false));
        };
        self.holds.extend(answer.mint);
        // A few dead ones are kept, to be used.
        while self.holds.len() > 12
            && let Some(dead) = self.holds.iter().position(|badge| desk.port.revoked.contains(badge))
        {
            self.holds.remove(dead);
        }
        if let (Request::Derive(_), Ok(reply)) = (&request, answer.read::<DeriveReply>()) {
            self.handles.push(reply.handle);
        }
        self.received.push((format!("{request:?}"), answer.frame, answer.mint.is_some()));
    }
}

/// A day of a tenant: everything there is to ask, much of it wrong, up to its quota and beyond.
fn step(n: usize, handles: &[GrantHandle]) -> (usize, Request<'static>) {
    let ids = ["web", "db", "cache", "nothing"];
    let id = ids[n / 7 % 4];
    let handle = handles.get(n / 3 % 5).copied().unwrap_or(GrantHandle(7));
    let page = Page { from: 0 };
    let waiting = if n.is_multiple_of(2) { Waiting::No } else { Waiting::Yes };
    let request = match n % 31 {
        0 | 1 | 16 => return (0, Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log })),
        2 => return (0, Request::Lookup(Lookup { id, rights: ALL })),
        3 => return (0, Request::List(page)),
        4 => return (0, Request::Usage),
        5 => return (0, Request::Delegate(Delegate { rights: ALL, quota: few(2), policy: None })),
        6 | 7 => Request::Derive(Derive { uses: (n % 4 == 3).then_some(2), ..Derive::new(ALL) }),
        8 => Request::RevokeOne(RevokeOne { path: GrantPath::new(&[handle]).unwrap() }),
        9 if n.is_multiple_of(5) => Request::Revoke,
        10 => Request::Describe,
        11 => Request::Start,
        12 => Request::State,
        13 => Request::Exec(Exec { args: "sleep\x009\0", env: "", cwd: None, user: None, stdio: Stdio::Log }),
        14 => Request::Pause,
        15 => Request::Resume,
        17 => Request::Statistics,
        18 => Request::Processes(page),
        19 => Request::Logs(Logs { cursor: 0, waiting }),
        20 => return (0, Request::Events(Events { cursor: Some(0), waiting: Waiting::No })),
        21 => Request::Signal(Signal { signal: 9, scope: Scope::First }),
        22 => Request::Delete(Delete {
            mode: if n.is_multiple_of(3) { DeleteMode::Force } else { DeleteMode::Stopped },
        }),
        23 => Request::Sync,
        24 => Request::Wait,
        25 => return (0, Request::Plan(page)),
        26 => Request::PivotRoot,
        27 => Request::Annotation(Annotation { index: 0 }),
        28 if n.is_multiple_of(2) => Request::Drop,
        30 if n.is_multiple_of(2) => {
            return (0, Request::Grant(Grant { to: id, name: "x", on: "db", rights: ALL }));
        }
        30 => Request::Take(Take { name: "x" }),
        29 => Request::Update(Update { resources: r#"{"memory":{"limit":50000000},"pids":{"limit":9}}"# }),
        _ => Request::Hello(Hello { version_min: 1, version_max: 1 }),
    };
    (n * 7 % 23, request)
}

const STEPS: usize = 1500;

fn live(neighbours: usize) -> Vec<(String, Vec<u8>, bool)> {
    let mut desk = Desk::prompt();
    let mut tenant = Tenant::new(&mut desk, 3);
    let mut others: Vec<Tenant> = (0..neighbours).map(|n| Tenant::new(&mut desk, 5 + n as u64)).collect();
    for n in 0..STEPS {
        for (at, other) in others.iter_mut().enumerate() {
            for k in 0..3 {
                let (on, request) = step(n * 13 + at * 5 + k * 11, &other.handles);
                other.call(&mut desk, on, request);
            }
        }
        let (on, request) = step(n, &tenant.handles);
        tenant.call(&mut desk, on, request);
    }
    desk.manager.audit().unwrap();
    tenant.received
}

#[test]
fn every_byte_a_tenant_receives_is_the_same_alone_and_beside_busy_neighbours() {
    let alone = live(0);
    let beside = live(3);
    for (n, (alone, beside)) in alone.iter().zip(&beside).enumerate() {
        assert_eq!(alone, beside, "call {n}");
    }
    // A script of which nothing succeeds would prove nothing.
    let fine = alone.iter().filter(|(_, frame, _)| frame.starts_with(&[0, 0])).count();
    let minted = alone.iter().filter(|(_, _, minted)| *minted).count();
    assert!(fine > STEPS / 4 && minted > STEPS / 20, "{fine} calls succeeded, {minted} capabilities came");
}

#[test]
fn not_there_not_yours_and_taken_back_are_the_same_bytes() {
    let mut desk = Desk::prompt();
    let (mut ours, mut theirs) = (Tenant::new(&mut desk, 3), Tenant::new(&mut desk, 3));
    let create = |id| Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log });
    theirs.call(&mut desk, 0, create("secret"));
    let lookup = |id| Request::Lookup(Lookup { id, rights: ALL });
    ours.call(&mut desk, 0, create("web"));
    ours.call(&mut desk, 0, lookup("secret"));
    ours.call(&mut desk, 0, lookup("absent"));
    let body = |at: usize, name: &str| {
        let bytes = &ours.received[at].1;
        (bytes[..2].to_vec(), bytes[4..bytes.len() - name.len()].to_vec())
    };
    assert_eq!(body(1, "secret"), body(2, "absent"));
    // Capabilities that were revoked from above, that were given up, whose container is gone, that never were. Most of
    // what is to be swept of them is left over while they are used.
    desk.manager = desk.manager.in_steps_of(1);
    let (factory, web) = (ours.holds[0], ours.holds[1]);
    let mint = |desk: &mut Desk, on, request| desk.call(on, &request, None).unwrap().mint.unwrap();
    let derive = |desk: &mut Desk, on| mint(desk, on, Request::Derive(Derive::new(ALL)));
    let revoked: Vec<Badge> = (0..60).map(|_| derive(&mut desk, web)).collect();
    let gone: Vec<Badge> = (0..60).map(|_| mint(&mut desk, factory, lookup("web"))).collect();
    let (dropped, joint) = (derive(&mut desk, factory), derive(&mut desk, factory));
    derive(&mut desk, joint);
    desk.call(web, &Request::Revoke, None).unwrap();
    desk.close(dropped);
    desk.close(joint);
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    for request in
        [Request::Describe, Request::State, Request::Start, Request::Sync, Request::Drop, Request::Revoke]
    {
        let mut room = [0; FRAME_MAX];
        let frame = request.encode(Tag(9), &mut room).unwrap().to_vec();
        let dead =
            [revoked[0], revoked[59], gone[0], gone[59], web, dropped, joint, Badge(u64::MAX), Badge(0)];
        let answers = dead.map(|badge| {
            let sent = desk.send_bytes(badge, &frame, None, 0);
            desk.answer(sent).unwrap().frame.clone()
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{request:?}: {answers:?}");
        assert_eq!(desk.manager.leftover(), Leftover::Some, "{request:?}");
    }
}
