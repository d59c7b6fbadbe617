//! Whole lives of containers, from the client library to the model kernel and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_client::{CallError, Container, Factory};
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::ObjectKind;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Limits, Loopback, LoopbackChannel, Policy};
use bailiwick_tests::desk::few;

type Channel = LoopbackChannel<Model>;
type Error = CallError<bailiwick_server::loopback::LoopbackError>;

fn world() -> (Loopback<Model>, Factory<Channel>) {
    let (loopback, root) = Loopback::new(Model::new(1), Limits::default(), Policy::default());
    (loopback, Factory::new(root))
}

/// What `runc spec` writes, without a terminal and with this program.
fn config(args: &[&str]) -> serde_json::Value {
    let text = include_str!("../../server/tests/data/runc-spec.json");
    let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = args.into();
    config
}

fn bundle(args: &[&str]) -> Directory {
    Directory::bundle(config(args).to_string())
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(CallError::Reply(ErrorReply::Refusal(refusal))) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

fn status(container: &Container<Channel>) -> Status {
    container.state(|state| state.status).unwrap()
}

fn log(container: &Container<Channel>) -> String {
    let (mut text, mut cursor) = (String::new(), 0);
    loop {
        let logs = Logs { cursor, waiting: Waiting::Yes };
        let end = container
            .logs(logs, |reply| {
                text.push_str(&String::from_utf8_lossy(reply.bytes));
                cursor = reply.next;
                reply.end
            })
            .unwrap();
        if end {
            return text;
        }
    }
}

#[test]
fn a_container_lives_from_create_to_delete_and_leaves_nothing() {
    let (loopback, factory) = world();
    let before = loopback.glue().unwrap().census();
    let web = factory
        .create("web", "/b", Stdio::Log, &bundle(&["sh", "-c", "echo hello; sleep 1; exit 3"]))
        .unwrap();
    assert_eq!(status(&web), Status::Created);
    web.start().unwrap();
    assert_eq!(status(&web), Status::Running);
    assert_eq!(web.wait(), Ok(Exit::Code(3)));
    assert_eq!(log(&web), "hello\n");
    assert_eq!(status(&web), Status::Stopped);
    web.delete(DeleteMode::Stopped).unwrap();
    assert_eq!(refusal(web.start()).code, RefusalCode::NotFound);
    assert_eq!(factory.usage().unwrap().used.containers, 0);
    assert_eq!(loopback.glue().unwrap().census(), before);
    assert_eq!(loopback.manager().unwrap().container_count(), 0);
    assert_eq!(loopback.manager().unwrap().grant_count(), 1);
}

#[test]
fn a_running_container_is_deleted_only_with_force() {
    let (loopback, factory) = world();
    let before = loopback.glue().unwrap().census();
    let web = factory.create("web", "/b", Stdio::Log, &bundle(&["sleep", "1000"])).unwrap();
    assert_eq!(refusal(web.delete(DeleteMode::Stopped)).code, RefusalCode::State);
    web.start().unwrap();
    assert_eq!(refusal(web.delete(DeleteMode::Stopped)).code, RefusalCode::Running);
    assert_eq!(status(&web), Status::Running);
    web.delete(DeleteMode::Force).unwrap();
    assert_eq!(loopback.glue().unwrap().census(), before);
}

#[test]
fn numbers_that_the_host_has_for_processes_are_told_if_the_policy_says_so() {
    let (_loopback, root) = world();
    for (policy, told) in [("include privileged", true), ("include baseline", false)] {
        let factory = root.delegate(Rights::all(), few(2), Some(policy)).unwrap();
        let web = factory.create("web", "/b", Stdio::Log, &bundle(&["sleep", "1000"])).unwrap();
        web.start().unwrap();
        assert_eq!(web.state(|state| (state.status, state.pid.is_some())), Ok((Status::Running, told)));
        let rows = factory.list(Page { from: 0 }).unwrap().rows;
        assert_eq!(rows.iter().map(|row| row.pid.is_some()).collect::<Vec<_>>(), [told]);
        let exec = Exec { args: "sleep\x001000\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
        let (reply, _process) = web.exec(exec).unwrap();
        assert_eq!(reply.pid.is_some(), told);
        let rows = web.processes(Page { from: 0 }).unwrap().rows;
        let inside: Vec<_> = rows.iter().map(|row| row.inner_pid).collect();
        assert_eq!(inside, [Some(1), Some(2)]);
        assert!(rows.iter().all(|row| row.pid.is_some() == told));
        // Who joins it is none of those who are told.
        let mut join = config(&["true"]);
        join["linux"]["namespaces"][2]["path"] = "/run/containers/web/ns/ipc".into();
        let made = factory.create("job", "/b", Stdio::Log, &Directory::bundle(join.to_string()));
        assert_eq!(made.map(|job| job.start()), Ok(Ok(())), "{policy}");
    }
}

#[test]
fn a_process_is_started_in_a_container_waited_for_and_forgotten() {
    let (loopback, factory) = world();
    let web = factory.create("web", "/b", Stdio::Log, &bundle(&["sleep", "1000"])).unwrap();
    web.start().unwrap();
    let exec = |args| Exec { args, env: "A=b\0", cwd: None, user: None, stdio: Stdio::Log };
    let (reply, process) = web.exec(exec("sh\0-c\0echo inside; exit 4\0")).unwrap();
    assert!(reply.pid.is_some_and(|pid| pid > 0));
    assert_eq!(process.describe().unwrap().kind, ObjectKind::Process);
    assert_eq!(process.wait(), Ok(Exit::Code(4)));
    let text = process.logs(Logs { cursor: 0, waiting: Waiting::No }, |r| r.bytes.to_vec()).unwrap();
    assert_eq!(text, b"inside\n");
    assert_eq!(refusal(process.signal(15, Scope::First)).code, RefusalCode::State);
    assert_eq!(loopback.glue().unwrap().census().processes, 2);
    drop(process);
    assert_eq!(loopback.glue().unwrap().census().processes, 1);
    assert_eq!(refusal(web.exec(exec(""))).code, RefusalCode::BadValue);
    assert_eq!(refusal(web.exec(exec("ps"))).code, RefusalCode::BadValue);
    match web.exec(exec("/no/such/program\0")) {
        Err(CallError::Reply(ErrorReply::Kernel(fault))) => assert!(fault.step.is_some()),
        other => panic!("{other:?}"),
    }
    assert_eq!(loopback.glue().unwrap().census().processes, 1);
}

#[test]
fn a_paused_container_resumes_and_a_signal_ends_it() {
    let (_loopback, factory) = world();
    let web = factory.create("web", "/b", Stdio::Log, &bundle(&["sleep", "1000"])).unwrap();
    assert_eq!(refusal(web.pause()).code, RefusalCode::State);
    web.start().unwrap();
    web.pause().unwrap();
    assert_eq!(status(&web), Status::Paused);
    assert_eq!(refusal(web.pause()).code, RefusalCode::State);
    web.resume().unwrap();
    assert_eq!(refusal(web.signal(0, Scope::First)).code, RefusalCode::BadValue);
    assert_eq!(refusal(web.signal(65, Scope::First)).code, RefusalCode::BadValue);
    web.signal(9, Scope::First).unwrap();
    assert_eq!(web.wait(), Ok(Exit::Signal(9)));
    assert_eq!(refusal(web.signal(9, Scope::First)).code, RefusalCode::State);
}

#[test]
fn rights_and_kinds_are_checked_for_every_capability() {
    let (_loopback, factory) = world();
    let web = factory.create("web", "/b", Stdio::Log, &bundle(&["true"])).unwrap();
    let looker = web.derive(Rights::INSPECT).unwrap();
    assert_eq!(looker.describe().unwrap().rights, Rights::INSPECT);
    assert_eq!(status(&looker), Status::Created);
    let refused = refusal(looker.start());
    assert_eq!((refused.code, refused.detail.as_str()), (RefusalCode::Rights, "START"));
    assert_eq!(refusal(looker.derive(Rights::all())).code, RefusalCode::Rights);
    let confused = Factory::new(looker.into_channel());
    assert_eq!(refusal(confused.usage()).code, RefusalCode::WrongKind);
}

#[test]
fn what_was_derived_is_dead_after_it_was_revoked() {
    let (loopback, factory) = world();
    let web = factory.create("web", "/b", Stdio::Log, &bundle(&["true"])).unwrap();
    let one = web.derive(Rights::all()).unwrap();
    let two = one.derive(Rights::all()).unwrap();
    web.revoke().unwrap();
    assert_eq!(refusal(one.start()).code, RefusalCode::NotFound);
    assert_eq!(refusal(two.start()), refusal(one.start()));
    assert_eq!(status(&web), Status::Created);
    factory.revoke().unwrap();
    assert_eq!(refusal(web.start()), refusal(one.start()));
    let again = factory.lookup("web", Rights::all()).unwrap();
    assert_eq!(status(&again), Status::Created);
    assert_eq!(loopback.manager().unwrap().grant_count(), 2);
}

#[test]
fn not_there_and_not_an_id_and_not_yours_look_the_same() {
    let (_loopback, factory) = world();
    let tenant = factory.delegate(Rights::all(), few(2), None).unwrap();
    let _web = factory.create("web", "/b", Stdio::Log, &bundle(&["true"])).unwrap();
    assert_eq!(refusal(tenant.lookup("web", Rights::all())).code, RefusalCode::NotFound);
    assert_eq!(refusal(tenant.lookup("w/b", Rights::all())).code, RefusalCode::NotFound);
    assert_eq!(tenant.list(Page { from: 0 }).unwrap().rows.len(), 0);
    // Both may have a `web`.
    tenant.create("web", "/b", Stdio::Log, &bundle(&["true"])).unwrap();
}

#[test]
fn a_sub_factory_is_charged_to_its_ancestors_and_its_containers_outlive_it() {
    let (loopback, factory) = world();
    let tenant = factory.delegate(Rights::all(), few(1), None).unwrap();
    let job = tenant.create("job", "/b", Stdio::Log, &bundle(&["sleep", "9"])).unwrap();
    let second = tenant.create("second", "/b", Stdio::Log, &bundle(&["true"]));
    assert_eq!(refusal(second).code, RefusalCode::Quota);
    assert_eq!(factory.usage().unwrap().used.containers, 1);
    assert_eq!(factory.list(Page { from: 0 }).unwrap().rows.len(), 0);
    factory.revoke().unwrap();
    assert_eq!(refusal(tenant.usage()).code, RefusalCode::NotFound);
    assert_eq!(refusal(job.start()).code, RefusalCode::NotFound);
    let job = factory.lookup("job", Rights::all()).unwrap();
    job.delete(DeleteMode::Force).unwrap();
    assert_eq!(factory.usage().unwrap().used.containers, 0);
    assert_eq!(loopback.manager().unwrap().container_count(), 0);
}

#[test]
fn a_container_left_behind_is_found_even_if_its_id_is_taken() {
    let (loopback, factory) = world();
    let bundle = bundle(&["sleep", "9"]);
    let long = "x".repeat(64);
    for id in ["web", long.as_str()] {
        for _ in 0..2 {
            let tenant = factory.delegate(Rights::all(), few(1), None).unwrap();
            tenant.create(id, "/b", Stdio::Log, &bundle).unwrap();
        }
        factory.create(id, "/b", Stdio::Log, &bundle).unwrap_err();
        factory.delegate(Rights::all(), few(1), None).unwrap().create(id, "/b", Stdio::Log, &bundle).unwrap();
    }
    let names = factory.list(Page { from: 0 }).unwrap().rows;
    let names: Vec<&str> = names.iter().map(|row| row.id.as_str()).collect();
    let (second, third) = (format!("{}+2", "x".repeat(62)), format!("{}+3", "x".repeat(62)));
    assert_eq!(names, ["web", "web+2", "web+3", &second, &third, &long]);
    for name in names {
        let left = factory.lookup(name, Rights::all()).unwrap();
        assert!(left.state(|state| name.starts_with(&state.id[..3])).unwrap());
        left.delete(DeleteMode::Force).unwrap();
    }
    assert_eq!(factory.usage().unwrap().used.containers, 0);
    assert_eq!(loopback.manager().unwrap().grant_count(), 1);
}

#[test]
fn the_quota_of_the_ancestor_holds_below_it() {
    let (loopback, root) =
        Loopback::new(Model::new(1), Limits { containers: 2, ..Limits::default() }, Policy::default());
    let factory = Factory::new(root);
    let tenant = factory.delegate(Rights::all(), few(100), None).unwrap();
    let bundle = bundle(&["true"]);
    let _one = tenant.create("one", "/b", Stdio::Log, &bundle).unwrap();
    let _two = factory.create("two", "/b", Stdio::Log, &bundle).unwrap();
    let third = refusal(tenant.create("three", "/b", Stdio::Log, &bundle));
    assert_eq!(third.code, RefusalCode::Quota);
    assert_eq!(loopback.manager().unwrap().container_count(), 2);
}

#[test]
fn the_console_shows_whole_lines_behind_the_id() {
    let (loopback, factory) = world();
    let web = factory.create("web", "/b", Stdio::Console, &bundle(&["sh", "-c", "echo a; echo b"])).unwrap();
    web.start().unwrap();
    web.wait().unwrap();
    let glue = loopback.glue().unwrap();
    let lines: Vec<_> =
        glue.console_lines().iter().map(|(id, line)| (id.as_str(), line.as_slice())).collect();
    assert_eq!(lines, [("web", &b"a"[..]), ("web", b"b")]);
}

#[test]
fn a_bundle_that_cannot_be_is_refused_and_leaves_nothing() {
    let (loopback, factory) = world();
    let before = loopback.glue().unwrap().census();
    let unsupported = {
        let mut config = config(&["true"]);
        config["linux"]["seccomp"] = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        Directory::bundle(config.to_string())
    };
    let cases = [
        (Directory::new(), RefusalCode::BadBundle, "config.json: no such file or directory (ENOENT)"),
        (Directory::bundle("{"), RefusalCode::BadConfig, "config.json"),
        (
            Directory::bundle(&b"\"\xff\""[..]),
            RefusalCode::BadConfig,
            "config.json: not UTF-8 from byte 1 on",
        ),
        (
            Directory::bundle(vec![b' '; (1 << 20) + 1]),
            RefusalCode::BadBundle,
            "config.json: larger than 1 MiB",
        ),
        (unsupported, RefusalCode::Unsupported, "config.json: linux.seccomp"),
    ];
    for (bundle, code, text) in cases {
        let refused = refusal(factory.create("web", "/b", Stdio::Log, &bundle));
        assert_eq!(refused.code, code, "{refused}");
        assert!(refused.detail.as_str().starts_with(text), "{refused}");
    }
    let good = bundle(&["true"]);
    assert_eq!(refusal(factory.create("w/b", "/b", Stdio::Log, &good)).code, RefusalCode::BadId);
    assert_eq!(refusal(factory.create("web", "/b", Stdio::Terminal, &good)).code, RefusalCode::BadValue);
    assert_eq!(loopback.glue().unwrap().census(), before);
    assert_eq!(loopback.manager().unwrap().grant_count(), 1);
}

#[test]
fn a_plan_is_shown_in_whole_lines_without_doing_any_of_it() {
    let (loopback, factory) = world();
    let before = loopback.glue().unwrap().census();
    let long = "x".repeat(300);
    let mut config = config(&["true"]);
    config["linux"]["maskedPaths"] = (0..40).map(|n| format!("/proc/{n}{long}")).collect::<Vec<_>>().into();
    let bundle = Directory::bundle(config.to_string());
    let (mut text, mut from) = (String::new(), 0);
    loop {
        let read = |plan: PlanText<'_>| {
            assert!(plan.text.ends_with('\n'));
            text.push_str(plan.text);
            plan.next
        };
        match factory.plan(Page { from }, &bundle, read).unwrap() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert!(text.starts_with("  0 resource group ID"));
    assert!(text.trim_end().ends_with("load true"));
    assert_eq!(text.lines().filter(|line| line.contains("mask ")).count(), 40);
    assert_eq!(loopback.glue().unwrap().census(), before);
}

#[test]
fn the_pair_of_pivot_root_is_what_the_plan_carried() {
    let (_loopback, factory) = world();
    let web = factory.create("web", "/b", Stdio::Log, &bundle(&["true"])).unwrap();
    let pair = web.pivot_root(|pair| (pair.old.to_string(), pair.new.to_string())).unwrap();
    assert_eq!(pair, ("/".to_string(), "rootfs".to_string()));
}

#[test]
fn a_thousand_lives_end_exactly_where_they_began() {
    let (loopback, factory) = world();
    let before = loopback.glue().unwrap().census();
    let bundle = bundle(&["true"]);
    for _ in 0..1000 {
        let web = factory.create("web", "/b", Stdio::Log, &bundle).unwrap();
        web.start().unwrap();
        assert_eq!(web.wait(), Ok(Exit::Code(0)));
        web.delete(DeleteMode::Stopped).unwrap();
    }
    assert_eq!(loopback.glue().unwrap().census(), before);
    let manager = loopback.manager().unwrap();
    assert_eq!((manager.container_count(), manager.grant_count()), (0, 1));
}
