//! What the command tells: of itself, of a configuration to begin with, of what a container uses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::{bundle::Bundle, limit};
use common::{Home, Lines, path, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn runc(arguments: &[&str], directory: &Path) -> String {
    let output = limit::output(Command::new("runc").args(arguments).current_dir(directory)).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn words(document: &Value, place: &str) -> BTreeSet<String> {
    let list = document.pointer(place).and_then(Value::as_array).unwrap();
    list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_configuration_to_begin_with_is_runc_s_but_for_version_and_host_name() {
    let (home, directory) = (Home::new(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    for one in [&ours, &theirs] {
        fs::create_dir(one).unwrap();
    }
    home.ok(&["spec", "--bundle", path(&ours)]);
    runc(&["spec"], &theirs);
    let read = |bundle: &Path| -> Value {
        let mut config: Value =
            serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
        for field in ["ociVersion", "hostname"] {
            config.as_object_mut().unwrap().remove(field).unwrap();
        }
        config
    };
    assert_eq!(read(&ours), read(&theirs));
    let line = home.refused(&["spec", "--bundle", path(&ours)]);
    assert!(line.contains("config.json"), "{line}");
}

#[test]
fn features_are_told_in_the_form_of_the_specification() {
    let (home, directory) = (Home::new(), tempfile::tempdir().unwrap());
    let ours: Value = serde_json::from_str(&home.ok(&["features"])).unwrap();
    let theirs: Value = serde_json::from_str(&runc(&["features"], directory.path())).unwrap();
    for place in ["/hooks", "/linux/capabilities", "/linux/seccomp/operators"] {
        assert_eq!(words(&ours, place), words(&theirs, place), "{place}");
    }
    assert!(words(&ours, "/linux/namespaces").is_superset(&words(&theirs, "/linux/namespaces")));
    let missing = words(&theirs, "/mountOptions");
    let missing: Vec<_> = missing.difference(&words(&ours, "/mountOptions")).cloned().collect();
    assert_eq!(missing, ["acl", "noacl", "remount", "tmpcopyup"]);
    let missing = words(&theirs, "/linux/seccomp/actions");
    let missing: Vec<_> = missing.difference(&words(&ours, "/linux/seccomp/actions")).cloned().collect();
    assert_eq!(missing, ["SCMP_ACT_NOTIFY"]);
    assert_eq!(
        (&ours["ociVersionMin"], &ours["linux"]["selinux"]["enabled"]),
        (&"1.0.0".into(), &false.into())
    );
}

#[test]
fn what_a_container_uses_is_told_once_or_until_it_is_gone() {
    let home = Home::new();
    let mut bundle = Bundle::script("echo ready; exec sleep 1000").unwrap();
    bundle.config["linux"]["resources"]["memory"] = serde_json::json!({ "limit": 32 << 20 });
    bundle.write().unwrap();
    let id = home.id("stats");
    home.start(&bundle, &id).next();
    let once: Value = serde_json::from_str(&home.ok(&["events", "--stats", &id])).unwrap();
    assert_eq!((&once["type"], &once["id"]), (&"stats".into(), &id.as_str().into()));
    let data = &once["data"];
    assert_eq!(data["pids"]["current"], 1);
    assert_eq!(data["memory"]["usage"]["limit"], 32 << 20);
    assert!(data["memory"]["usage"]["usage"].as_u64() > Some(0), "{data}");
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{data}");
    let mut command = home.command(&["events", "--interval", "10ms", &id]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command.stdout(writer).spawn().unwrap();
    drop(command);
    let mut lines = Lines::new(reader);
    assert!(lines.next().contains("\"stats\""));
    home.ok(&["delete", "--force", &id]);
    // Reads on, so that a full pipe holds nobody up.
    assert!(lines.rest().iter().all(|line| line.contains("\"stats\"")));
    assert!(child.wait().unwrap().success());
}
