//! Calls that are answered later: each exactly once, whatever happens to the object or the capability meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{Directory, Model, Pace};
use bailiwick_kernel_glue::plan::HookKind;
use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Limits;
use bailiwick_tests::desk::{Desk, Sent, bundle, config};
use serde_json::{Value, json};

const KILL: Request<'_> = Request::Signal(Signal { signal: 9, scope: Scope::First });
const FORCE: Request<'_> = Request::Delete(Delete { mode: DeleteMode::Force });
const STOPPED: Request<'_> = Request::Delete(Delete { mode: DeleteMode::Stopped });
const FOLLOW: Request<'_> = Request::Logs(Logs { cursor: 0, waiting: Waiting::Yes });

fn create(id: &str) -> Request<'_> {
    Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log })
}

fn mint(desk: &mut Desk, badge: Badge, request: &Request<'_>, directory: Option<&Directory>) -> Badge {
    desk.call(badge, request, directory).unwrap().mint.unwrap()
}

fn derive(desk: &mut Desk, badge: Badge) -> Badge {
    mint(desk, badge, &Request::Derive(Derive::new(Rights::all())), None)
}

fn lookup(desk: &mut Desk, id: &str) -> Badge {
    let root = desk.root;
    mint(desk, root, &Request::Lookup(Lookup { id, rights: Rights::all() }), None)
}

/// A container whose program sleeps, created and started.
fn running(desk: &mut Desk) -> Badge {
    let root = desk.root;
    let web = mint(desk, root, &create("web"), Some(&bundle(&["sleep", "1000"])));
    desk.call(web, &Request::Start, None).unwrap();
    web
}

/// A bundle with hooks of these kinds, each a program with its arguments.
fn with_hooks(hooks: &[(&str, &[&str])]) -> Directory {
    let mut config = config(&["sleep", "1000"]);
    let mut object = serde_json::Map::new();
    for (kind, args) in hooks {
        let hook = json!({ "path": format!("/bin/{}", args[0]), "args": args });
        object.entry(*kind).or_insert(json!([])).as_array_mut().unwrap().push(hook);
    }
    config["hooks"] = Value::Object(object);
    Directory::bundle(config.to_string())
}

/// The one reply of a call: the code of a refusal, or none for success.
fn outcome(desk: &Desk, sent: Sent) -> Option<RefusalCode> {
    let [answer] = desk.answers(sent) else { panic!("{} replies", desk.answers(sent).len()) };
    match answer.error() {
        None => None,
        Some(ErrorReply::Refusal(refusal)) => Some(refusal.code),
        Some(other) => panic!("{other}"),
    }
}

fn waits(desk: &Desk, sent: Sent) -> bool {
    desk.answers(sent).is_empty()
}

#[test]
fn everybody_who_waits_is_told_the_same_exit() {
    let mut desk = Desk::prompt();
    let web = running(&mut desk);
    let other = derive(&mut desk, web);
    let calls = [(web, Request::Wait), (other, Request::Wait), (web, Request::Wait)]
        .map(|(badge, request)| desk.send(badge, &request, None));
    assert!(calls.iter().all(|call| waits(&desk, *call)));
    desk.call(web, &KILL, None).unwrap();
    desk.settle();
    for call in calls {
        assert_eq!(desk.answers(call).len(), 1);
        assert_eq!(desk.answer(call).unwrap().read::<Exit>(), Ok(Exit::Signal(9)));
    }
    // Who comes later is told at once.
    let late = desk.send(web, &Request::Wait, None);
    assert_eq!(desk.answer(late).unwrap().read::<Exit>(), Ok(Exit::Signal(9)));
}

#[test]
fn calls_on_a_container_that_is_removed_meanwhile_are_gone() {
    let mut desk = Desk::prompt();
    let web = running(&mut desk);
    let exec = Exec { args: "sleep\x001000\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
    let process = mint(&mut desk, web, &Request::Exec(exec), None);
    let calls = [(web, Request::Wait), (web, FOLLOW), (process, Request::Wait), (process, FOLLOW)]
        .map(|(badge, request)| desk.send(badge, &request, None));
    assert!(calls.iter().all(|call| waits(&desk, *call)));
    desk.call(web, &FORCE, None).unwrap();
    for call in calls {
        assert_eq!(outcome(&desk, call), Some(RefusalCode::Gone));
    }
    desk.settle();
    assert!(desk.port.revoked.is_superset(&[web, process].into()));
    assert_eq!((desk.manager.container_count(), desk.manager.grant_count()), (0, 1));
}

#[test]
fn calls_on_a_capability_that_is_taken_back_meanwhile_are_revoked_and_others_are_not() {
    let mut desk = Desk::prompt();
    let web = running(&mut desk);
    let lent = derive(&mut desk, web);
    let further = derive(&mut desk, lent);
    let taken = [(lent, Request::Wait), (lent, FOLLOW), (further, Request::Wait), (further, FOLLOW)]
        .map(|(badge, request)| desk.send(badge, &request, None));
    let kept = desk.send(web, &Request::Wait, None);
    desk.call(web, &Request::Revoke, None).unwrap();
    for call in taken {
        assert_eq!(outcome(&desk, call), Some(RefusalCode::Revoked));
    }
    assert!(waits(&desk, kept));
    desk.call(web, &KILL, None).unwrap();
    desk.settle();
    assert_eq!(outcome(&desk, kept), None);
    assert!(taken.iter().all(|call| desk.answers(*call).len() == 1));
}

#[test]
fn a_holder_that_goes_away_leaves_no_waiting_call_behind() {
    let mut desk = Desk::prompt();
    let web = running(&mut desk);
    for _ in 0..200 {
        let lent = derive(&mut desk, web);
        for request in [Request::Wait, FOLLOW] {
            let call = desk.send(lent, &request, None);
            assert!(waits(&desk, call), "the calls of those who went away still take room");
        }
        desk.close(lent);
    }
    assert_eq!(desk.manager.grant_count(), 2);
}

#[test]
fn one_holder_cannot_use_up_the_room_for_the_waiting_calls_of_another() {
    let mut desk = Desk::prompt();
    let web = running(&mut desk);
    let greedy = derive(&mut desk, web);
    let calls: Vec<Sent> = (0..1000).map(|_| desk.send(greedy, &Request::Wait, None)).collect();
    let full = calls.iter().filter(|call| !waits(&desk, **call)).count();
    assert!(full > 0 && full < 1000, "{full} of 1000 calls refused");
    let other = desk.send(web, &Request::Wait, None);
    assert!(waits(&desk, other), "somebody else's calls made this one fail");
}

#[test]
fn a_start_or_a_removal_goes_on_when_its_caller_is_revoked() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let hooks = with_hooks(&[("startContainer", &["sleep", "5"]), ("poststop", &["sleep", "5"])]);
    let web = mint(&mut desk, root, &create("web"), Some(&hooks));
    let lent = derive(&mut desk, web);
    let start = desk.send(lent, &Request::Start, None);
    desk.call(web, &Request::Revoke, None).unwrap();
    assert_eq!(outcome(&desk, start), Some(RefusalCode::Revoked));
    while desk.pump(Waiting::Yes).is_some() {
        let answer = desk.call(web, &Request::State, None).unwrap();
        if answer.read::<State<'_>>().unwrap().status == Status::Running {
            break;
        }
    }
    let lent = derive(&mut desk, web);
    let delete = desk.send(lent, &FORCE, None);
    desk.call(web, &Request::Revoke, None).unwrap();
    assert_eq!(outcome(&desk, delete), Some(RefusalCode::Revoked));
    desk.settle();
    assert_eq!((desk.manager.container_count(), desk.manager.grant_count()), (0, 1));
    assert_eq!((desk.answers(start).len(), desk.answers(delete).len()), (1, 1));
}

#[test]
fn a_forced_removal_ends_a_creation_and_a_start_that_go_on() {
    let mut desk = Desk::prompt();
    let (root, empty) = (desk.root, desk.glue.census());
    let creating = desk.send(root, &create("web"), Some(&with_hooks(&[("prestart", &["sleep", "5"])])));
    let web = lookup(&mut desk, "web");
    let waiting = desk.send(web, &Request::Wait, None);
    desk.call(web, &FORCE, None).unwrap();
    assert_eq!(outcome(&desk, creating), Some(RefusalCode::Gone));
    assert_eq!(outcome(&desk, waiting), Some(RefusalCode::Gone));
    let slow = with_hooks(&[("startContainer", &["sleep", "5"])]);
    let web = mint(&mut desk, root, &create("web"), Some(&slow));
    let starting = desk.send(web, &Request::Start, None);
    desk.call(web, &FORCE, None).unwrap();
    assert_eq!(outcome(&desk, starting), Some(RefusalCode::Gone));
    desk.settle();
    assert_eq!((desk.manager.grant_count(), desk.glue.census()), (1, empty));
}

#[test]
fn while_one_operation_goes_on_another_is_told_that_the_container_is_busy() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let slow = with_hooks(&[("startContainer", &["sleep", "5"]), ("poststop", &["sleep", "5"])]);
    let web = mint(&mut desk, root, &create("web"), Some(&slow));
    let first = desk.send(web, &Request::Start, None);
    let second = desk.send(web, &Request::Start, None);
    assert!(waits(&desk, first));
    assert_eq!(outcome(&desk, second), Some(RefusalCode::Busy));
    desk.call(web, &KILL, None).unwrap();
    desk.call(web, &Request::Wait, None).unwrap();
    while waits(&desk, first) && desk.pump(Waiting::Yes).is_some() {}
    let first = desk.send(web, &STOPPED, None);
    let second = desk.send(web, &STOPPED, None);
    let third = desk.send(web, &FORCE, None);
    assert!(waits(&desk, first));
    assert_eq!([second, third].map(|call| outcome(&desk, call)), [Some(RefusalCode::Busy); 2]);
    desk.settle();
    assert_eq!(outcome(&desk, first), None);
}

#[test]
fn a_slow_creation_delays_nobody_else() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let slow: Vec<Sent> = ["a", "b", "c"]
        .map(|id| desk.send(root, &create(id), Some(&with_hooks(&[("createRuntime", &["sleep", "3600"])]))))
        .to_vec();
    let now = desk.glue.steps();
    let web = running(&mut desk);
    let list = desk.call(root, &Request::List(Page { from: 0 }), None).unwrap();
    assert_eq!(list.read::<ListPage>().unwrap().rows.len(), 4);
    desk.call(web, &KILL, None).unwrap();
    let exit = desk.call(web, &Request::Wait, None).unwrap();
    assert_eq!(exit.read::<Exit>(), Ok(Exit::Signal(9)));
    desk.call(web, &STOPPED, None).unwrap();
    assert!(desk.glue.steps() > now);
    assert!(slow.iter().all(|call| waits(&desk, *call)), "an hour has not passed for anybody");
    desk.settle();
    assert!(slow.iter().all(|call| outcome(&desk, *call).is_none()));
}

#[test]
fn hooks_of_all_kinds_run_in_the_order_of_the_specification() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let kinds = ["poststop", "poststart", "startContainer", "createContainer", "createRuntime", "prestart"];
    let twice: Vec<(&str, &[&str])> =
        kinds.iter().flat_map(|kind| [(*kind, &["true"][..]), (*kind, &["sleep", "1"][..])]).collect();
    let web = mint(&mut desk, root, &create("web"), Some(&with_hooks(&twice)));
    use HookKind as H;
    let of = |kinds: &[HookKind]| kinds.iter().flat_map(|kind| [*kind; 2]).collect::<Vec<_>>();
    let create = [H::Prestart, H::CreateRuntime, H::CreateContainer];
    assert_eq!(desk.glue.hooks(), of(&create));
    desk.call(web, &Request::Start, None).unwrap();
    assert_eq!(desk.glue.hooks(), of(&[&create[..], &[H::StartContainer, H::Poststart]].concat()));
    desk.call(web, &FORCE, None).unwrap();
    let all = [&create[..], &[H::StartContainer, H::Poststart, H::Poststop]].concat();
    assert_eq!(desk.glue.hooks(), of(&all));
}

#[test]
fn a_hook_that_fails_ends_what_it_belongs_to_or_only_warns() {
    for slow in [false, true] {
        let failing: &[&str] = if slow { &["sh", "-c", "sleep 1; exit 3"] } else { &["false"] };
        for kind in ["prestart", "createRuntime", "createContainer"] {
            let mut desk = Desk::prompt();
            let (root, empty) = (desk.root, desk.glue.census());
            let error = desk.call(root, &create("web"), Some(&with_hooks(&[(kind, failing)]))).unwrap_err();
            assert!(error.to_string().contains(&format!("hook {kind}")), "{error}");
            assert!(matches!(&error, ErrorReply::Kernel(fault) if fault.step.is_some()), "{error}");
            assert_eq!((desk.glue.census(), desk.manager.grant_count()), (empty, 1));
        }
        let mut desk = Desk::prompt();
        let root = desk.root;
        let bundle = with_hooks(&[("startContainer", failing), ("poststop", failing)]);
        let web = mint(&mut desk, root, &create("web"), Some(&bundle));
        let error = desk.call(web, &Request::Start, None).unwrap_err();
        assert!(error.to_string().contains("hook startContainer"), "{error}");
        let exit = desk.call(web, &Request::Wait, None).unwrap();
        assert_eq!(exit.read::<Exit>(), Ok(Exit::Signal(9)), "what waited at the gate was killed");
        desk.call(web, &STOPPED, None).unwrap();
        let web = mint(&mut desk, root, &create("web"), Some(&with_hooks(&[("poststart", failing)])));
        desk.call(web, &Request::Start, None).unwrap();
    }
}

#[test]
fn a_follower_reads_every_byte_and_is_told_the_end() {
    for seed in 0..10 {
        let mut desk = Desk::new(Model::new(seed).with_pace(Pace::Varied), Limits::default());
        let root = desk.root;
        let script = "echo one; sleep 1; echo two; sleep 1; echo three";
        let web = mint(&mut desk, root, &create("web"), Some(&bundle(&["sh", "-c", script])));
        let mut text: Vec<u8> = Vec::new();
        let mut cursor = 0;
        let mut call = desk.send(web, &FOLLOW, None);
        assert!(waits(&desk, call), "nothing was written before the gate is open");
        desk.call(web, &Request::Start, None).unwrap();
        loop {
            while waits(&desk, call) {
                desk.pump(Waiting::Yes).unwrap();
            }
            let reply: LogsReply<'_> = desk.answer(call).unwrap().read().unwrap();
            assert_eq!(reply.lost, 0);
            assert!(reply.end || !reply.bytes.is_empty(), "woken for nothing");
            text.extend(reply.bytes);
            cursor = reply.next.max(cursor);
            if reply.end {
                break;
            }
            call = desk.send(web, &Request::Logs(Logs { cursor, waiting: Waiting::Yes }), None);
        }
        assert_eq!(text, b"one\ntwo\nthree\n");
    }
}

#[test]
fn lives_at_a_varied_pace_have_one_reply_for_each_call() {
    for seed in 0..100 {
        let mut desk = Desk::new(Model::new(seed).with_pace(Pace::Varied), Limits::default());
        let (root, empty) = (desk.root, desk.glue.census());
        let hooks: Vec<(&str, &[&str])> = ["prestart", "startContainer", "poststart", "poststop"]
            .map(|k| (k, &["sleep", "1"][..]))
            .to_vec();
        let created: Vec<Sent> =
            ["a", "b", "c", "d"].map(|id| desk.send(root, &create(id), Some(&with_hooks(&hooks)))).to_vec();
        desk.settle();
        let badges: Vec<Badge> =
            created.iter().map(|call| desk.answer(*call).unwrap().mint.unwrap()).collect();
        let mut calls = created;
        for request in [Request::Start, KILL, FORCE] {
            calls.extend(badges.iter().map(|badge| desk.send(*badge, &request, None)).collect::<Vec<_>>());
            calls.extend(
                badges.iter().map(|badge| desk.send(*badge, &Request::Wait, None)).collect::<Vec<_>>(),
            );
            if request == KILL {
                desk.settle();
            }
        }
        desk.settle();
        assert!(calls.iter().all(|call| desk.answers(*call).len() == 1), "seed {seed}");
        assert_eq!((desk.manager.grant_count(), desk.glue.census()), (1, empty), "seed {seed}");
    }
}
