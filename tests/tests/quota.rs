//! A tenant at its limit is refused with what is used and what is left; nobody else notices, and what it gives back
//! it can have again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{Directory, Model, Pace};
use bailiwick_protocol::error::{Errno, ErrorReply, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Limits;
use bailiwick_tests::desk::{Desk, config};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// A bundle with these limits: MiB of memory, processes, thousandths of a CPU.
fn limited(memory: Value, pids: Value, cpu: Value) -> Directory {
    let mut config = config(&["sleep", "1000"]);
    let bytes = memory.as_u64().map_or(memory, |mib| (mib * MIB).into());
    let quota = cpu.as_u64().map_or(cpu, |thousandths| (thousandths * 100).into());
    config["linux"]["resources"]["memory"] = json!({ "limit": bytes });
    config["linux"]["resources"]["pids"] = json!({ "limit": pids });
    config["linux"]["resources"]["cpu"] = json!({ "quota": quota, "period": 100_000 });
    Directory::bundle(config.to_string())
}

fn small() -> Directory {
    limited(64.into(), 10.into(), 500.into())
}

fn create(desk: &mut Desk, on: Badge, id: &str, bundle: &Directory) -> Result<Badge, ErrorReply> {
    let request = Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log });
    let answer = desk.call(on, &request, Some(bundle)).map(|answer| answer.mint.unwrap());
    desk.manager.audit().unwrap();
    answer
}

fn tenant(desk: &mut Desk, on: Badge, quota: Quota) -> Badge {
    let request = Request::Delegate(Delegate { rights: Rights::all(), quota, policy: None });
    desk.call(on, &request, None).unwrap().mint.unwrap()
}

fn usage(desk: &mut Desk, on: Badge) -> Usage {
    desk.call(on, &Request::Usage, None).unwrap().read().unwrap()
}

fn why(result: Result<Badge, ErrorReply>) -> String {
    match result {
        Err(ErrorReply::Refusal(refusal)) if refusal.code == RefusalCode::Quota => {
            refusal.detail.as_str().to_owned()
        }
        other => panic!("{other:?} is no refusal for want of quota"),
    }
}

#[test]
fn memory_processes_and_cpu_time_are_charged_to_every_ancestor_and_given_back() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let quota = Quota { memory: Some(200 * MIB), processes: Some(100), cpu: Some(2000), ..Quota::UNBOUNDED };
    let above = tenant(&mut desk, root, quota);
    let below = tenant(&mut desk, above, Quota { memory: Some(128 * MIB), ..Quota::UNBOUNDED });
    let web = create(&mut desk, below, "web", &small()).unwrap();
    create(&mut desk, below, "db", &small()).unwrap();
    let text = why(create(&mut desk, below, "job", &small()));
    assert_eq!(text, format!("bytes of memory: {0} of {0} used, 0 left, {1} asked for", 128 * MIB, 64 * MIB));
    for on in [root, above, below] {
        let used = usage(&mut desk, on).used;
        assert_eq!((used.memory, used.processes, used.cpu, used.containers), (128 * MIB, 20, 1000, 2));
    }
    // Its parent has room for one more of its own, and says of itself alone how much.
    create(&mut desk, above, "own", &small()).unwrap();
    let text = why(create(&mut desk, above, "more", &small()));
    assert!(text.ends_with(&format!("{} left, {} asked for", 8 * MIB, 64 * MIB)), "{text}");
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    // The parent is full now, which is not the tenant's to know in numbers.
    create(&mut desk, above, "more", &small()).unwrap();
    assert_eq!(why(create(&mut desk, below, "job", &small())), "bytes of memory");
    // Nobody else notices.
    create(&mut desk, root, "web", &limited((-1).into(), (-1).into(), (-1).into())).unwrap();
    desk.call(root, &Request::Revoke, None).unwrap();
    desk.settle();
    desk.manager.audit().unwrap();
    assert_eq!(usage(&mut desk, root).used.memory, 192 * MIB, "they live on under the root");
}

#[test]
fn a_container_without_a_limit_of_which_there_is_a_quota_is_refused_by_its_name() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let quota = Quota { memory: Some(200 * MIB), processes: Some(100), cpu: Some(2000), ..Quota::UNBOUNDED };
    let on = tenant(&mut desk, root, quota);
    let before = desk.everything();
    for (bundle, name) in [
        (limited((-1).into(), 5.into(), 100.into()), "memory.limit"),
        (limited(5.into(), (-1).into(), 100.into()), "pids.limit"),
        (limited(5.into(), 5.into(), (-1).into()), "cpu.quota"),
    ] {
        let text = why(create(&mut desk, on, "web", &bundle));
        assert!(text.starts_with(&format!("config.json: linux.resources.{name}: is unlimited")), "{text}");
    }
    assert!(desk.everything() == before);
}

fn update(desk: &mut Desk, on: Badge, resources: &str) -> Result<(), ErrorReply> {
    let answer = desk.call(on, &Request::Update(Update { resources }), None).map(drop);
    desk.manager.audit().unwrap();
    answer
}

#[test]
fn new_limits_are_charged_by_their_difference_to_every_ancestor() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let quota = Quota { memory: Some(200 * MIB), processes: Some(30), cpu: Some(2000), ..Quota::UNBOUNDED };
    let above = tenant(&mut desk, root, quota);
    let below = tenant(&mut desk, above, Quota { memory: Some(128 * MIB), ..Quota::UNBOUNDED });
    let web = create(&mut desk, below, "web", &small()).unwrap();
    let used = |desk: &mut Desk| {
        [root, above, below]
            .map(|on| usage(desk, on).used)
            .map(|used| (used.memory / MIB, used.processes, used.cpu))
    };
    let statistics = |desk: &mut Desk| -> Statistics {
        desk.call(web, &Request::Statistics, None).unwrap().read().unwrap()
    };
    update(&mut desk, web, r#"{"memory":{"limit":134217728},"cpu":{"quota":150000}}"#).unwrap();
    assert_eq!(used(&mut desk), [(128, 10, 1500); 3]);
    let shown = statistics(&mut desk);
    assert_eq!(
        (shown.memory_limit, shown.pids_limit, shown.cpu_limit),
        (Some(128 * MIB), Some(10), Some(1500))
    );
    desk.call(web, &Request::Start, None).unwrap();
    update(&mut desk, web, r#"{"memory":{"limit":33554432},"pids":{"limit":30}}"#).unwrap();
    assert_eq!(used(&mut desk), [(32, 30, 1500); 3]);
    let everything = desk.everything();
    let more = r#"{"memory":{"limit":134217729}}"#;
    let error = update(&mut desk, web, more).unwrap_err().to_string();
    assert!(error.contains(&format!("{} left, {} asked for", 96 * MIB, 96 * MIB + 1)), "{error}");
    // What is used up above is not the tenant's to know in numbers.
    let error = update(&mut desk, web, r#"{"cpu":{"quota":200001}}"#).unwrap_err().to_string();
    assert!(error.starts_with("thousandths of a CPU: 1500 of 2000 used"), "{error}");
    for (text, start) in [
        (
            r#"{"memory":{"limit":-1}}"#,
            "resources.json: memory.limit: is unlimited, and the factory has a quota",
        ),
        (r#"{"memory":{"limit":-5}}"#, "resources.json: memory.limit: -5 is negative"),
        (r#"{"memory":{"limit":"5"}}"#, "resources.json: memory.limit: \"5\" is not an integer"),
        (r#"{"devices":[{"allow":true}]}"#, "resources.json: devices: "),
        (r#"{"blockIO":{"weight":10}}"#, "resources.json: blockIO"),
        (r#"{"#, "resources.json: "),
        (r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#, "resources.json: memory.limit: "),
        (r#"{"memory":{"limit":4096}}"#, "limit memory: more than that is in use"),
    ] {
        let error = update(&mut desk, web, text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text}: {error}");
        assert!(desk.everything() == everything, "{text}");
    }
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    assert_eq!(used(&mut desk), [(0, 0, 0); 3]);
}

#[test]
fn a_holder_is_told_what_is_left_of_each_kind_of_its_own_quota_and_nothing_of_its_ancestors() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let above = tenant(&mut desk, root, Quota { memory: Some(100 * MIB), ..Quota::UNBOUNDED });
    let quota = Quota { containers: Some(3), cpu: Some(2000), memory: Some(90 * MIB), ..Quota::UNBOUNDED };
    let below = tenant(&mut desk, above, quota);
    create(&mut desk, above, "other", &limited(50.into(), 5.into(), 10.into())).unwrap();
    let web = create(&mut desk, below, "web", &limited(40.into(), 5.into(), 500.into())).unwrap();
    let described = |desk: &mut Desk, on: Badge| -> Description {
        desk.call(on, &Request::Describe, None).unwrap().read().unwrap()
    };
    let left = described(&mut desk, below).left.unwrap();
    assert_eq!((left.containers, left.cpu, left.memory), (Some(2), Some(1500), Some(50 * MIB)));
    let Usage { used, quota } = usage(&mut desk, below);
    assert_eq!(left, quota.left(&used));
    assert_eq!(described(&mut desk, web).left, None);
}

#[test]
fn calls_that_wait_and_logs_are_counted_and_given_back_when_they_end() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let quota = Quota { waiting: Some(3), log_bytes: Some(2 * 65536), ..Quota::UNBOUNDED };
    let on = tenant(&mut desk, root, quota);
    let web = create(&mut desk, on, "web", &small()).unwrap();
    desk.call(web, &Request::Start, None).unwrap();
    let logs = Request::Logs(Logs { cursor: 0, waiting: Waiting::Yes });
    let waits = [Request::Wait, logs, Request::Wait].map(|request| desk.send(web, &request, None));
    assert_eq!(usage(&mut desk, on).used.waiting, 3);
    let error = desk.call(web, &Request::Wait, None).unwrap_err().to_string();
    assert!(error.starts_with("waiting calls: 3 of 3 used, 0 left, 1 asked for"), "{error}");
    let exec = Exec { args: "sleep\x0099\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
    desk.call(web, &Request::Exec(exec), None).unwrap();
    let error = desk.call(web, &Request::Exec(exec), None).unwrap_err().to_string();
    assert!(error.starts_with("bytes of logs: 131072 of 131072 used"), "{error}");
    desk.manager.audit().unwrap();
    desk.call(web, &Request::Signal(Signal { signal: 9, scope: Scope::All }), None).unwrap();
    desk.settle();
    assert!(waits.iter().all(|sent| desk.answers(*sent).len() == 1));
    assert_eq!(usage(&mut desk, on).used.waiting, 0);
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    let used = usage(&mut desk, on).used;
    assert_eq!((used.log_bytes, used.event_bytes, used.execs, used.memory), (0, 0, 0, 0));
    desk.manager.audit().unwrap();
}

#[test]
fn whatever_kernel_step_fails_the_quota_is_as_it_was() {
    let quota = Quota { memory: Some(64 * MIB), processes: Some(10), cpu: Some(500), ..Quota::UNBOUNDED };
    for (pace, seed) in [(Pace::Prompt, 1), (Pace::Varied, 5)] {
        for n in 1.. {
            let mut desk = Desk::new(Model::new(seed).with_pace(pace), Limits::default());
            let root = desk.root;
            let on = tenant(&mut desk, root, quota);
            let before = (usage(&mut desk, on), usage(&mut desk, root));
            desk.glue.fail_at(n, Errno::ENOSPC);
            let result = create(&mut desk, on, "web", &small());
            let fired = !desk.glue.cancel_failure();
            desk.settle();
            desk.manager.audit().unwrap();
            if !fired {
                result.unwrap();
                assert!(n > 10);
                break;
            }
            assert_eq!((usage(&mut desk, on), usage(&mut desk, root)), before, "after failure {n}");
            // All of it is free again.
            create(&mut desk, on, "web", &small()).unwrap();
        }
    }
}

#[test]
fn a_sub_factory_is_never_given_more_than_its_parent_has_in_quota_or_policy() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let delegate = |desk: &mut Desk, on: Badge, quota: Quota, policy: Option<&str>| {
        let request = Request::Delegate(Delegate { rights: Rights::all(), quota, policy });
        desk.call(on, &request, None).map(|answer| answer.mint.unwrap())
    };
    let quota = Quota { containers: Some(2), memory: Some(MIB), ..Quota::UNBOUNDED };
    let strict = delegate(&mut desk, root, quota, Some("include restricted")).unwrap();
    let more = Quota { containers: Some(9), memory: Some(9 * MIB), ..Quota::UNBOUNDED };
    let below = delegate(&mut desk, strict, more, Some("include privileged")).unwrap();
    let limits = |desk: &mut Desk, on: Badge| {
        let answer = desk.call(on, &Request::Limits, None).unwrap();
        let LimitsReply { quota, policy } = answer.read().unwrap();
        (quota, policy.to_owned())
    };
    let (above, inherited) = (limits(&mut desk, strict), limits(&mut desk, below));
    assert_eq!((inherited.0.containers, inherited.0.memory, &inherited.1), (Some(2), Some(MIB), &above.1));
    let error = create(&mut desk, below, "web", &small()).unwrap_err().to_string();
    assert_eq!(error, "config.json: process.user.uid: 0: the factory's policy does not allow it");
    let error = delegate(&mut desk, below, more, Some("uid 0-5\nfly")).unwrap_err().to_string();
    assert!(error.starts_with("policy: line 2: \"fly\" is no word of a policy"), "{error}");
    let long = "# \n".repeat(1025);
    let error = delegate(&mut desk, below, more, Some(&long)).unwrap_err().to_string();
    assert!(error.starts_with("policy: longer than 3072 bytes"), "{error}");
    desk.manager.audit().unwrap();
}

#[test]
fn a_container_joins_namespaces_of_its_own_factory_only() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let (mine, other) =
        (tenant(&mut desk, root, Quota::UNBOUNDED), tenant(&mut desk, root, Quota::UNBOUNDED));
    let joining = |id: &str| {
        let mut config = config(&["sleep", "1000"]);
        config["linux"]["namespaces"][1] =
            json!({ "type": "network", "path": format!("/run/containers/{id}/ns/net") });
        Directory::bundle(config.to_string())
    };
    create(&mut desk, other, "theirs", &small()).unwrap();
    create(&mut desk, mine, "web", &small()).unwrap();
    let before = desk.everything();
    for id in ["theirs", "nobody"] {
        let error = create(&mut desk, mine, "joiner", &joining(id)).unwrap_err().to_string();
        assert_eq!(error, format!("config.json: linux.namespaces: container {id}: not found"));
    }
    assert!(desk.everything() == before);
    // The model knows no paths of the host, but it is asked for the namespace of the right process.
    let error = create(&mut desk, mine, "joiner", &joining("web"));
    assert!(error.is_ok() || error.unwrap_err().to_string().contains("/proc/"));
}

#[test]
fn factories_stand_at_most_thirty_two_one_below_the_other() {
    let mut desk = Desk::prompt();
    let delegate =
        Request::Delegate(Delegate { rights: Rights::all(), quota: Quota::UNBOUNDED, policy: None });
    let (mut at, mut below) = (desk.root, 0);
    let refused = loop {
        match desk.call(at, &delegate, None) {
            Ok(answer) => at = answer.mint.unwrap(),
            Err(error) => break error,
        }
        below += 1;
    };
    let full = matches!(&refused, ErrorReply::Refusal(refusal) if refusal.code == RefusalCode::Full);
    assert!(full && below == 31, "{refused} after {below}");
}
