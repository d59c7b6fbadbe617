//! A process of the boot manifest that holds capabilities on single containers and no factory, in QEMU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{PROMPT, boot_manifest};
use bailiwick_tests::terminal::Terminal;

/// Whoever may run programs at the desk finds there what it takes to look at the service, and to end it.
const MANIFEST: &str = r#"
[[container]]
id = "desk"
bundle = "service"
expect = { running = true }
grants = [
  { name = "service", on = "service", rights = ["inspect", "observe"] },
  { name = "switch", on = "service", rights = ["signal"] },
]

[[container]]
id = "service"
bundle = "service"
restart = { policy = "on-failure", max = 3, backoff_ms = 10 }
expect = { running = true }

[[process]]
name = "watcher"
program = "shell"
containers = [{ id = "desk", rights = ["exec", "observe"] }, { id = "service", rights = ["observe"] }]
console = true
"#;

/// Types a line at the prompt; gives what it shows until the next prompt.
fn command(terminal: &mut Terminal, keys: &str) -> String {
    terminal.keys(&format!("{keys}\r")).unwrap();
    terminal.until("\x1b[K\n").unwrap();
    terminal.until(PROMPT).unwrap()
}

/// Waits until all of this was shown, in whatever order, and then for a prompt on a line of its own.
fn shown(terminal: &mut Terminal, mut seen: String, wanted: &[&str]) {
    while let Some(missing) = wanted.iter().find(|text| !seen.contains(**text)) {
        seen += &terminal.until(missing).unwrap();
        seen += missing;
    }
    terminal.keys("fly\r").unwrap();
    terminal.until("fly: no such command").unwrap();
    terminal.until(PROMPT).unwrap();
}

#[test]
fn a_process_uses_the_capabilities_it_was_given_and_finds_those_on_the_next_life_where_they_are_stored() {
    let manifest = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(manifest.path(), MANIFEST).unwrap();
    let path = manifest.path().to_str().unwrap();
    let mut t = Terminal::run(&["--manifest", path, "--timeout", "300"]).unwrap();
    let boot = t.until(PROMPT).unwrap();
    assert!(boot.contains("init: service: started"), "{boot}");
    shown(&mut t, boot, &["desk | up\n", "service | up\n"]);
    let look = [
        ("take desk service", "rights: inspect observe\n"),
        ("state desk/service", "\"status\": \"running\""),
        ("stats desk/service", "pids     "),
        ("exec desk echo at the desk", "at the desk\n"),
        // What its rights do not hold.
        ("kill desk/service KILL", "SIGNAL: the capability does not hold the right"),
        ("exec desk/service id", "EXEC: the capability does not hold the right"),
        ("delete --force desk/service", "DELETE: the capability does not hold the right"),
        ("state desk", "INSPECT: the capability does not hold the right"),
        ("take desk other", "other: not found"),
        // What it holds no capability on at all.
        ("list", "no such capability"),
        ("state hello", "no such capability"),
        ("create x hello", "bundle \"hello\": no such capability"),
    ];
    for (keys, shown) in look {
        let answer = command(&mut t, keys);
        assert!(answer.contains(shown), "{keys}: {answer}");
    }
    // What it was handed itself.
    assert!(command(&mut t, "stats service").contains("pids     "));
    assert!(command(&mut t, "state service").contains("INSPECT: the capability does not hold the right"));

    // It may end the service, by another capability; then that is gone, and the next life is where it was.
    t.keys("kill desk/switch KILL\r").unwrap();
    shown(&mut t, String::new(), &["init: service: started\n", "service | up\n"]);
    assert!(command(&mut t, "stats service").contains("no such capability"));
    for (keys, shown) in &look[..3] {
        let answer = command(&mut t, keys);
        assert!(answer.contains(shown), "{keys}: {answer}");
    }
    t.keys("poweroff\r").unwrap();
    let (status, rest) = t.end().unwrap();
    assert_eq!(status.code(), Some(0), "{rest}");
}

#[test]
fn a_process_runs_the_bundles_it_was_handed_and_no_other_one() {
    let manifest = r#"
        [[process]]
        name = "shell"
        factory = ["create", "list", "observe", "start", "delete"]
        bundles = ["second", "first"]
        console = true
    "#;
    let [first, second, other] =
        ["first", "second", "other"].map(|name| Bundle::script(&format!("echo {name}")).unwrap());
    let bundles = [("first", &first), ("second", &second), ("other", &other)];
    let commands = "run a first; wait a; logs a; run b second; wait b; logs b; delete a; run a first; wait a; \
                    run c other; run c ../other; plan .";
    let run = boot_manifest(manifest, &bundles, &["--exec", commands]).unwrap();
    let outputs = [2, 5, 8].map(|at| run.output(at));
    assert_eq!(outputs, ["first\n", "second\n", "0\n"], "{}", run.text);
    for at in [9, 10, 11] {
        assert!(run.output(at).contains("bundle \""), "{at}\n{}", run.text);
    }
    assert!(run.output(9).contains("no such capability"), "{}", run.text);
}
