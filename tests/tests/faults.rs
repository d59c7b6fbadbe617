//! Every kernel step of every operation fails once: after each failure everything is as it was before.
//!
//! A walk repeats one operation in fresh worlds, with the first, the second, the third kernel step failing, until
//! the operation comes through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{Directory, Model, Pace};
use bailiwick_protocol::error::{Errno, ErrorReply, KernelFault, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Limits;
use bailiwick_tests::desk::{Desk, config, few};
use serde_json::json;

const EXEC: Exec<'_> = Exec { args: "sleep\x001000\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
const CREATE: Request<'_> = Request::Create(Create { id: "web", bundle: "/b", stdio: Stdio::Log });

/// A bundle whose plan has a step of nearly every kind, and hooks of all six.
fn rich() -> Directory {
    let mut config = config(&["sleep", "1000"]);
    let hook = json!([{ "path": "/bin/true" }, { "path": "/bin/true", "args": ["true"] }]);
    config["hooks"] = json!({
        "prestart": hook, "createRuntime": hook, "createContainer": hook,
        "startContainer": hook, "poststart": hook, "poststop": hook,
    });
    let kinds = ["user", "mount", "pid", "uts", "ipc", "network", "cgroup", "time"];
    config["linux"]["namespaces"] = kinds.map(|kind| json!({ "type": kind })).to_vec().into();
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 65536 }]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 5 } });
    config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    config["linux"]["devices"] = json!([{ "type": "c", "path": "/dev/fuse", "major": 10, "minor": 229 }]);
    config["linux"]["rootfsPropagation"] = "private".into();
    config["domainname"] = "example".into();
    config["root"]["readonly"] = true.into();
    config["process"]["oomScoreAdj"] = 10.into();
    Directory::bundle(config.to_string())
}

/// What must be as it was after a failure.
#[derive(PartialEq, Debug)]
struct Counts {
    census: String,
    containers: u32,
    grants: usize,
    usage: Usage,
}

fn counts(desk: &mut Desk) -> Counts {
    let usage = desk.call(desk.root, &Request::Usage, None).unwrap().read().unwrap();
    Counts {
        census: format!("{:?}", desk.glue.census()),
        containers: desk.manager.container_count(),
        grants: desk.manager.grant_count(),
        usage,
    }
}

fn desk(pace: Pace, seed: u64) -> Desk {
    Desk::new(Model::new(seed).with_pace(pace), Limits::default())
}

/// A desk with the rich container created and, if asked, started.
fn with_container(desk: &mut Desk, requests: &[Request<'_>]) -> Badge {
    let web = desk.call(desk.root, &CREATE, Some(&rich())).unwrap().mint.unwrap();
    for request in requests {
        desk.call(web, request, None).unwrap();
    }
    web
}

/// The fault of a reply that must be one.
fn fault(reply: Result<impl std::fmt::Debug, ErrorReply>) -> KernelFault {
    match reply {
        Err(ErrorReply::Kernel(fault)) => {
            assert!(!fault.detail.as_str().is_empty(), "{fault:?} names nothing");
            assert_eq!(fault.to_string().lines().count(), 1);
            fault
        }
        other => panic!("not a kernel fault: {other:?}"),
    }
}

#[test]
fn a_creation_that_fails_at_any_step_leaves_nothing_and_names_the_step() {
    for (pace, seed) in [(Pace::Prompt, 1), (Pace::Varied, 2), (Pace::Varied, 3)] {
        let mut named = std::collections::BTreeSet::new();
        let mut steps = 0;
        for n in 1.. {
            let mut desk = desk(pace, seed);
            let before = counts(&mut desk);
            desk.glue.fail_at(n, Errno::ENOSPC);
            let reply = desk.call(desk.root, &CREATE, Some(&rich()));
            if desk.glue.cancel_failure() {
                reply.unwrap();
                steps = n;
                break;
            }
            if n == 1 {
                // Reading config.json is no step of the plan.
                let error = reply.unwrap_err().to_string();
                assert!(error.starts_with("config.json: no space left on device (ENOSPC)"), "{error}");
            } else {
                let fault = fault(reply);
                assert_eq!(fault.errno, Errno::ENOSPC);
                named.insert(fault.step.unwrap());
            }
            desk.settle();
            assert_eq!(counts(&mut desk), before, "after failure {n}");
            // The id is free again, and the next attempt succeeds.
            desk.call(desk.root, &CREATE, Some(&rich())).unwrap();
        }
        let count = u64::from(*named.last().unwrap()) + 1;
        assert_eq!(named.len() as u64, count, "every step of the plan was the one that failed: {named:?}");
        assert!(count > 40 && steps > count, "{count} steps of the plan, {steps} of the kernel");
    }
}

#[test]
fn a_plan_that_cannot_be_read_changes_nothing() {
    let mut desk = desk(Pace::Prompt, 1);
    let before = desk.everything();
    desk.glue.fail_at(1, Errno::EIO);
    let error = desk.call(desk.root, &Request::Plan(Page { from: 0 }), Some(&rich())).unwrap_err();
    assert!(desk.everything() == before);
    assert!(error.to_string().contains("(EIO)"), "{error}");
}

#[test]
fn an_operation_that_fails_at_any_step_changes_nothing_and_can_be_repeated() {
    let start = Request::Start;
    let signal = Request::Signal(Signal { signal: 15, scope: Scope::All });
    let update =
        Update { resources: r#"{"pids":{"limit":9},"cpu":{"quota":5000},"memory":{"limit":90000000}}"# };
    let cases: [(&[Request<'_>], Request<'_>); 7] = [
        (&[start], Request::Pause),
        (&[start, Request::Pause], Request::Resume),
        (&[start], Request::Statistics),
        (&[start], Request::Processes(Page { from: 0 })),
        (&[start], signal),
        (&[start], Request::Update(update)),
        (&[start], Request::Exec(EXEC)),
    ];
    for (before, request) in cases {
        for n in 1.. {
            let mut desk = desk(Pace::Prompt, 1);
            let web = with_container(&mut desk, before);
            let (everything, numbers) = (desk.everything(), counts(&mut desk));
            desk.glue.fail_at(n, Errno::ENOMEM);
            let reply = desk.call(web, &request, None);
            if desk.glue.cancel_failure() {
                reply.unwrap();
                assert!(n > 1, "{request:?} takes no kernel step");
                break;
            }
            let fault = fault(reply);
            assert_eq!(fault.errno, Errno::ENOMEM);
            if let Request::Exec(_) = request {
                assert!(fault.step.is_some(), "{fault} names no step");
                // A slot and a generation were taken and given back.
            } else {
                assert!(desk.everything() == everything, "{request:?} failed at {n}");
            }
            assert_eq!(counts(&mut desk), numbers, "{request:?} failed at {n}");
            desk.call(web, &request, None).unwrap();
        }
    }
}

#[test]
fn a_start_that_fails_leaves_a_container_that_is_created_or_stopped_and_can_be_deleted() {
    for (pace, seed) in [(Pace::Prompt, 1), (Pace::Varied, 4), (Pace::Varied, 9)] {
        for n in 1.. {
            let mut desk = desk(pace, seed);
            let empty = counts(&mut desk);
            let web = with_container(&mut desk, &[]);
            desk.glue.fail_at(n, Errno::EPERM);
            let reply = desk.call(web, &Request::Start, None);
            let fired = !desk.glue.cancel_failure();
            // Two startContainer hooks, the gate, two poststart hooks that only warn.
            match n {
                1..=3 => assert_eq!(fault(reply).errno, Errno::EPERM),
                _ => drop(reply.unwrap()),
            }
            while desk.pump(Waiting::No).is_some() {}
            let answer = desk.call(web, &Request::State, None).unwrap();
            let state: State<'_> = answer.read().unwrap();
            let expected = match n {
                1 | 2 => Status::Stopped,
                3 => Status::Created,
                _ => Status::Running,
            };
            assert_eq!(state.status, expected, "failure {n}, seed {seed}");
            if n == 3 {
                // Nothing was wrong but this once.
                desk.call(web, &Request::Start, None).unwrap();
            }
            desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
            assert_eq!(counts(&mut desk), empty, "failure {n}");
            if !fired {
                break;
            }
        }
    }
}

#[test]
fn a_removal_succeeds_whatever_fails_on_the_way() {
    for (pace, seed) in [(Pace::Prompt, 1), (Pace::Varied, 4)] {
        for n in 1.. {
            let mut desk = desk(pace, seed);
            let empty = counts(&mut desk);
            let web = with_container(&mut desk, &[Request::Start]);
            desk.glue.fail_at(n, Errno::EIO);
            desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
            let fired = !desk.glue.cancel_failure();
            assert_eq!(counts(&mut desk), empty);
            if !fired {
                assert!(n > 2, "both poststop hooks failed once");
                break;
            }
        }
    }
}

#[test]
fn a_creation_whose_grant_was_revoked_leaves_nothing_at_whatever_step_it_was() {
    let mut config = config(&["true"]);
    config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sleep", "args": ["sleep", "5"] }] });
    let slow = Directory::bundle(config.to_string());
    for seed in 0..20 {
        let mut desk = desk(Pace::Varied, seed);
        let tenant = Request::Delegate(Delegate { rights: Rights::all(), quota: few(1), policy: None });
        let tenant = desk.call(desk.root, &tenant, None).unwrap().mint.unwrap();
        let sent = desk.send(tenant, &CREATE, Some(&slow));
        assert!(desk.answer(sent).is_none());
        desk.call(desk.root, &Request::Revoke, None).unwrap();
        assert_eq!(desk.answers(sent).len(), 1);
        assert_eq!(desk.answer(sent).unwrap().error(), Some(RefusalCode::Revoked.into()));
        desk.settle();
        let left = counts(&mut desk);
        assert_eq!((left.containers, left.grants, left.usage.used.containers), (0, 1, 0));
        assert_eq!(desk.glue.census(), Model::new(seed).census());
        assert_eq!(desk.answers(sent).len(), 1);
    }
}
