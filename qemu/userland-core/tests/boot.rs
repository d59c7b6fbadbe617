//! Init over a loopback, on the model's time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_kernel_glue::KernelGlue;
use bailiwick_kernel_glue::model::Model;
use bailiwick_manifest::{Manifest, parse};
use bailiwick_protocol::Rights;
use bailiwick_protocol::message::{Exit, Scope, Status, Waiting};
use bailiwick_server::Loopback;
use bailiwick_userland_core::Patient;
use bailiwick_userland_core::boot::{Action, Init, Millis, Supervisor, Verdict};
use common::{Channel, Paper, Shelf};

fn manifest(text: &str) -> Manifest {
    parse::parse(text, |_| true).unwrap()
}

/// Runs init until everything is settled, or this time has passed; gives what it said.
fn settle(manifest: &Manifest, shelf: Shelf, limit: u64) -> (String, Vec<Verdict>) {
    let (loopback, factory) = common::world();
    let mut init = Init::new(manifest, factory, shelf, Patient);
    let mut paper = Paper::default();
    run_until(&mut init, &loopback, &mut paper, limit, |supervisor| supervisor.settled());
    init.supervisor().summary(&mut paper);
    let verdicts = (0..manifest.containers.len()).map(|index| init.supervisor().verdict(index));
    (paper.text(), verdicts.collect())
}

/// Runs init until this is so, or this time has passed.
fn run_until(
    init: &mut Init<'_, Channel, Shelf, Patient>,
    loopback: &Loopback<Model>,
    paper: &mut Paper,
    limit: u64,
    done: impl Fn(&Supervisor<'_>) -> bool,
) {
    let (mut now, mut started) = (Millis(0), None);
    while !done(init.supervisor()) && now.0 < limit {
        now = init.step(now, paper);
        // The model's time moves with its events; init's own follows it.
        while loopback.pump(Waiting::No).is_some() {}
        let model = loopback.glue().unwrap().now().0 / 1_000_000;
        let base = *started.get_or_insert(model);
        if now.0 > model - base {
            loopback.pump(Waiting::Yes);
        }
    }
}

#[test]
fn what_is_stored_with_a_container_is_stored_again_after_each_restart() {
    let manifest = manifest(
        r#"
        [[container]]
        id = "desk"
        bundle = "sleeper"
        expect = { running = true }
        grants = [
          { name = "work", on = "service", rights = ["inspect", "signal"] },
          { name = "own", on = "desk", rights = ["observe"] },
        ]

        [[container]]
        id = "service"
        bundle = "sleeper"
        restart = { policy = "on-failure", max = 9, backoff_ms = 10 }
        expect = { running = true }"#,
    );
    let (loopback, factory) = common::world();
    let mut init = Init::new(&manifest, factory, Shelf::default().with("sleeper", &["spin"]), Patient);
    let mut paper = Paper::default();
    let mut lives = Vec::new();
    for restarts in 0..3 {
        run_until(&mut init, &loopback, &mut paper, 10_000, |now| {
            now.settled() && now.restarts(1) == restarts
        });
        let desk = init.factory().lookup("desk", Rights::EXEC).unwrap();
        assert_eq!(desk.take("own").unwrap().describe().unwrap().rights, Rights::OBSERVE);
        let work = desk.take("work").unwrap();
        assert_eq!(work.describe().unwrap().rights, Rights::INSPECT | Rights::SIGNAL);
        assert_eq!(
            work.state(|state| (state.id.to_owned(), state.status)).unwrap(),
            ("service".into(), Status::Running)
        );
        work.signal(9, Scope::First).unwrap();
        lives.push(work);
    }
    run_until(&mut init, &loopback, &mut paper, 10_000, |now| now.settled() && now.restarts(1) == 3);
    assert!(lives.iter().all(|life| life.state(|_| ()).is_err()), "a capability is on one life");
    assert!(!paper.text().contains("grant"), "{}", paper.text());
}

#[test]
fn containers_start_in_the_order_of_their_dependencies() {
    let manifest = manifest(
        r#"
        container = [
          { id = "last", bundle = "quiet", after = [{ id = "first", until = "succeeded" }] },
          { id = "lost", bundle = "quiet", after = [{ id = "bad", until = "succeeded" }] },
          { id = "bad", bundle = "bad" },
          { id = "first", bundle = "quiet" },
        ]"#,
    );
    let shelf = Shelf::default().with("quiet", &["true"]).with("bad", &["false"]);
    let (text, verdicts) = settle(&manifest, shelf, 10_000);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is not in {text}"));
    assert!(at("init: first: exit 0") < at("init: last: started"));
    assert!(!text.contains("init: lost: started"));
    assert_eq!(verdicts, [Verdict::Met, Verdict::Missed, Verdict::Missed, Verdict::Met]);
    assert!(
        text.contains("failed lost      exit 0   never started, for \"bad\" will not be there\n"),
        "{text}"
    );
    assert!(text.ends_with("2 of 4 containers did what the manifest expects\n"));
}

#[test]
fn a_drill_kills_once_and_the_policy_restarts() {
    let manifest = manifest(
        r#"
        [[container]]
        id = "service"
        bundle = "sleeper"
        restart = { policy = "on-failure", max = 3, backoff_ms = 100, window_ms = 10000 }
        drill = { signal = "KILL", after_ms = 200 }
        expect = { running = true, restarts = 1 }"#,
    );
    let (text, verdicts) = settle(&manifest, Shelf::default().with("sleeper", &["spin"]), 10_000);
    for line in
        ["drill, signal KILL", "signal KILL, restart in 100 ms", "ok     service   running, 1 restarts"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(text.matches("drill").count(), 1);
    assert_eq!(verdicts, [Verdict::Met]);
}

#[test]
fn a_refusal_that_is_expected_is_met_and_any_other_is_not() {
    let manifest = manifest(
        r#"
        container = [
          { id = "a", bundle = "rdt", expect = { refused = "linux.intelRdt" } },
          { id = "b", bundle = "rdt", expect = { refused = "seccomp" } },
          { id = "c", bundle = "rdt" },
          { id = "d", bundle = "quiet", expect = { refused = "linux.intelRdt" } },
        ]"#,
    );
    let mut rdt = common::config(&["true"]);
    rdt["linux"]["intelRdt"] = serde_json::json!({"closID": "x"});
    let shelf = Shelf::default().with_config("rdt", rdt).with("quiet", &["true"]);
    let (text, verdicts) = settle(&manifest, shelf, 10_000);
    assert_eq!(verdicts, [Verdict::Met, Verdict::Missed, Verdict::Missed, Verdict::Missed]);
    assert!(text.contains("init: a: refused: config.json: linux.intelRdt"), "{text}");
}

#[test]
fn restarts_double_their_delay_and_end_at_the_limit_of_the_window() {
    let manifest = manifest(
        r#"
        [[container]]
        id = "a"
        bundle = "b"
        restart = { policy = "always", max = 3, backoff_ms = 100, window_ms = 1000 }"#,
    );
    let mut supervisor = Supervisor::new(&manifest);
    assert_eq!(supervisor.next_action(Millis(0)), Some(Action::Start(0)));
    supervisor.started(0, Millis(0));
    let mut now = Millis(0);
    for delay in [100, 200, 400] {
        assert_eq!(supervisor.ended(0, Exit::Code(0), now), Some(delay));
        assert_eq!(supervisor.next_action(now), None);
        assert_eq!(supervisor.deadline(), Some(now.after(delay)));
        now = now.after(delay);
        assert_eq!(supervisor.next_action(now), Some(Action::Restart(0)));
        supervisor.started(0, now);
    }
    // The first restart is older than the window by then, the other two are not.
    now = now.after(301);
    assert_eq!(supervisor.ended(0, Exit::Code(0), now), Some(400));
    supervisor.started(0, now);
    assert_eq!(supervisor.ended(0, Exit::Code(7), now), None);
    assert_eq!(supervisor.next_action(now.after(100_000)), None);
    assert_eq!(supervisor.verdict(0), Verdict::Missed);
}

#[test]
fn on_failure_leaves_a_success_alone() {
    let manifest = manifest(
        r#"
        [[container]]
        id = "a"
        bundle = "b"
        restart = { policy = "on-failure", max = 3, backoff_ms = 100, window_ms = 1000 }"#,
    );
    for (exit, delay) in [(Exit::Code(0), None), (Exit::Code(1), Some(100)), (Exit::OutOfMemory, Some(100))] {
        let mut supervisor = Supervisor::new(&manifest);
        supervisor.started(0, Millis(0));
        assert_eq!(supervisor.ended(0, exit, Millis(0)), delay);
    }
}

#[test]
fn what_is_started_by_hand_is_left_alone() {
    let manifest = manifest("container = [{ id = \"a\", bundle = \"b\", start = \"manual\" }]");
    let mut supervisor = Supervisor::new(&manifest);
    assert_eq!(supervisor.next_action(Millis(0)), None);
    assert!(supervisor.brought_up() && supervisor.settled() && supervisor.all_met());
}
