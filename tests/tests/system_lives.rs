//! Lives of containers in QEMU: the operations by hand, and what init makes of a manifest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{Run, boot, exec, idle, run};
use serde_json::Value;

fn status(run: &Run, at: usize) -> Value {
    let state: Value = serde_json::from_str(&run.output(at)).unwrap_or_else(|_| panic!("{at}: {}", run.text));
    state["status"].clone()
}

#[test]
fn the_life_of_a_container_follows_the_specification() {
    let commands = "create a box; state a; exec a true; start a; start a; delete a; pause a; state a; resume a; \
                    kill a KILL; wait a; state a; kill a; delete a; state a";
    let run = exec(&[("box", &idle().unwrap())], commands).unwrap();
    let states = [1, 7, 11].map(|at| status(&run, at));
    assert_eq!(states, ["created", "paused", "stopped"]);
    for (at, part) in [
        (2, "needs it to be running"),
        (4, "start a: "),
        (5, "the container is running"),
        (10, "137"),
        (12, "the container is stopped"),
        (14, "not found"),
    ] {
        assert!(run.output(at).contains(part), "{at} {part}\n{}", run.text);
        assert_eq!(run.output(at).lines().count(), 1, "{at}\n{}", run.text);
    }
}

#[test]
fn signals_pauses_and_further_programs_do_what_a_process_expects_of_them() {
    let script = "rm -f /tmp/*; trap 'echo one; touch /tmp/one' USR1; trap 'echo ends; exit 5' TERM; echo ready; \
                  touch /tmp/ready; while :; do sleep 0.01; done";
    let bundle = Bundle::script(script).unwrap();
    let until = |file: &str| format!("exec a sh -c 'while [ ! -e /tmp/{file} ]; do sleep 0.01; done'");
    // The file system outlives the container: what the first life was ready for is not what the second one is.
    let (ready, one) = (until("ready"), until("one").replace("done'", "done; rm /tmp/ready'"));
    let commands = format!(
        "run a traps; {ready}; kill a USR1; {one}; pause a; kill a TERM; pause a; exec a true; \
         state a; resume a; wait a; wait a; logs a; resume a; \
         delete a; run a traps; exec a sh -c 'exit 7'; exec a sh -c 'kill -9 $$'; {ready}; exec a kill -TERM 1; \
         wait a; delete a; create a traps; kill a KILL; wait a; list; kill a 0; kill a 65; delete a"
    );
    let run = exec(&[("traps", &bundle)], &commands).unwrap();
    assert_eq!(status(&run, 8), "paused", "{}", run.text);
    for (at, part) in [
        (6, "the container is paused"),
        (7, "the container is paused"),
        (10, "5"),
        (11, "5"),
        (12, "ready\none\nends\n"),
        (13, "the container is stopped"),
        (16, "status 7"),
        (17, "status 137"),
        (20, "5"),
        (24, "137"),
        (25, "signal KILL"),
        (26, "no such signal"),
        (27, "no such signal"),
    ] {
        assert!(run.output(at).contains(part), "{at} {part}\n{}", run.text);
    }
    for at in [1, 2, 3, 4, 5, 9, 14, 15, 18, 19, 21, 22, 23, 28] {
        assert_eq!(run.output(at), "", "{at}\n{}", run.text);
    }
}

/// Every policy and every kind of dependency, some of them bound to fail.
const MANIFEST: &str = r#"
[[container]]
id = "last"
bundle = "say"
after = [{ id = "quiet", until = "succeeded" }, { id = "killed" }]

[[container]]
id = "quiet"
bundle = "say"

[[container]]
id = "crash"
bundle = "three"
restart = { policy = "on-failure", max = 2, backoff_ms = 40, window_ms = 100000 }
expect = { exit = 3 }

[[container]]
id = "always"
bundle = "say"
restart = { policy = "always", max = 1, backoff_ms = 10 }

[[container]]
id = "calm"
bundle = "say"
restart = { policy = "on-failure", max = 5 }

[[container]]
id = "killed"
bundle = "idle"
drill = { signal = "KILL", after_ms = 50 }
expect = { signal = "KILL" }

[[container]]
id = "manual"
bundle = "say"
start = "manual"

[[container]]
id = "never"
bundle = "say"
after = [{ id = "crash", until = "succeeded" }]

[[container]]
id = "wrong"
bundle = "three"
"#;

#[test]
fn init_keeps_order_restarts_with_back_off_to_a_limit_and_tells_what_failed() {
    let (say, three) = (Bundle::script("echo said").unwrap(), Bundle::script("exit 3").unwrap());
    let bundles = [("say", &say), ("three", &three), ("idle", &idle().unwrap())];
    let run = boot(MANIFEST, &bundles, &[]).unwrap();
    assert_eq!(run.status, Some(1), "{}", run.text);
    let at = |part: &str| run.text.find(part).unwrap_or_else(|| panic!("{part:?} is not in\n{}", run.text));
    assert!(at("init: quiet: exit 0") < at("init: last: started"));
    assert!(at("init: killed: started") < at("init: last: started"));
    assert!(at("init: crash: exit 3, restart in 40 ms") < at("init: crash: exit 3, restart in 80 ms"));
    assert!(run.text.contains("init: always: exit 0, restart in 10 ms"), "{}", run.text);
    assert_eq!((run.lines_of("always").len(), run.lines_of("calm").len()), (2, 1), "{}", run.text);
    assert!(!run.text.contains("init: manual: started") && !run.text.contains("init: never: started"));
    let table = [
        "ok     last      exit 0      exit 0",
        "ok     quiet     exit 0      exit 0",
        "ok     crash     exit 3      exit 3, 2 restarts",
        "ok     always    exit 0      exit 0, 1 restarts",
        "ok     calm      exit 0      exit 0",
        "ok     killed    signal KILL signal KILL",
        "ok     manual    exit 0      started by hand",
        "failed never     exit 0      never started, for \"crash\" will not be there",
        "failed wrong     exit 0      exit 3",
        "7 of 9 containers did what the manifest expects",
    ];
    assert!(run.text.contains(&table.join("\n")), "{}", run.text);
}

#[test]
fn a_bad_manifest_is_refused_with_its_line_before_anything_is_booted() {
    let container = "[[container]]\nid = \"a\"\n";
    for (text, line, reason) in [
        (format!("{container}bundle = \"nothing\"\n"), 3, "no bundle is called \"nothing\""),
        (format!("{container}bundle = \"hello\"\ncolour = 1\n"), 4, "unknown field `colour`"),
        (format!("{container}bundle = \"hello\"\nafter = [{{ id = \"b\" }}]\n"), 4, "does not declare"),
        (
            format!(
                "{container}bundle = \"hello\"\n[[process]]\nname = \"p\"\ncontainers = [{{ id = \"b\", rights = [\"exec\"] }}]\n"
            ),
            6,
            "a capability on \"b\", which this manifest does not declare",
        ),
        ("\n[[container]\n".to_owned(), 2, "unclosed"),
    ] {
        let manifest = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(manifest.path(), &text).unwrap();
        let path = manifest.path().to_str().unwrap();
        let run = run(&["--manifest", path]).unwrap();
        assert_eq!((run.status, run.text.as_str()), (Some(1), ""));
        let said = run.errors.lines().last().unwrap();
        assert!(
            said.starts_with(&format!("qemu/run: {path}:{line}: ")) && said.contains(reason),
            "{}",
            run.errors
        );
    }
}

#[test]
fn a_program_reads_what_is_typed_for_it_until_its_end() {
    let cat = Bundle::new(&["cat"]).unwrap();
    let commands = "run -i a cat; input a one; input a 'two  words'; input a; wait a; logs a; input a more; \
                    run b cat; input b x";
    let run = exec(&[("cat", &cat)], commands).unwrap();
    for at in [0, 1, 2, 3] {
        assert_eq!(run.output(at), "", "{at}\n{}", run.text);
    }
    assert_eq!(
        (run.output(4).as_str(), run.output(5).as_str()),
        ("0\n", "one\ntwo  words\n"),
        "{}",
        run.text
    );
    assert!(run.output(6).contains("the process has ended"), "{}", run.text);
    assert!(run.output(8).contains("its input is no pipe"), "{}", run.text);
}
