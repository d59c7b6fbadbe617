//! `bailiwick check`, run as a user would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use std::process::{Command, Output};

fn check(config: &str) -> Output {
    let bundle = tempfile::tempdir().unwrap();
    std::fs::write(bundle.path().join("config.json"), config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_bailiwick")).arg("check").arg(bundle.path()).output().unwrap()
}

/// Standard error of a refused configuration, which must be one line.
fn refusal(config: &str) -> String {
    let output = check(config);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

const SPEC: &str = include_str!("../../server/tests/data/runc-spec.json");

#[test]
fn what_runc_spec_writes_is_valid() {
    let output = check(SPEC);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty() && output.stdout.is_empty());
}

#[test]
fn a_refusal_names_the_file_and_the_place_in_it() {
    let broken = SPEC.replace("\"cwd\": \"/\"", "\"cwd\": \"relative\"");
    assert_ne!(broken, SPEC);
    let line = refusal(&broken);
    assert!(line.starts_with("bailiwick: config.json: process.cwd"), "{line}");
}

/// What is put where, and the place the refusal must name.
const BROKEN: &[(&str, &str, &str)] = &[
    ("/process/args", "[]", "process.args"),
    ("/process/user/uid", "-1", "process.user.uid"),
    ("/process/user/uid", "4294967296", "process.user.uid"),
    ("/process/noNewPrivileges", "\"yes\"", "process.noNewPrivileges"),
    ("/process/rlimits/0/type", "\"RLIMIT_X\"", "process.rlimits[0].type"),
    ("/root/path", "\"../other\"", "root.path"),
    ("/root/path", "\"root\\u0000fs\"", "root.path"),
    ("/mounts/0/destination", "\"/a/../../b\"", "mounts[0].destination"),
    ("/linux/namespaces/0/type", "\"nothing\"", "linux.namespaces[0].type"),
    ("/linux/resources", "{\"memory\": {\"limit\": -5}}", "linux.resources.memory.limit"),
    ("/process/capabilities/bounding/0", "\"CAP_ANYTHING\"", "process.capabilities.bounding[0]"),
];

#[test]
fn a_broken_field_is_refused_by_its_path() {
    for (pointer, value, place) in BROKEN {
        let mut config: serde_json::Value = serde_json::from_str(SPEC).unwrap();
        *config.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        let line = refusal(&config.to_string());
        assert!(line.starts_with(&format!("bailiwick: config.json: {place}")), "{pointer} {value}: {line}");
    }
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let twice = SPEC.replacen('{', "{\"hostname\": \"first\",", 1);
    assert!(refusal(&twice).contains("hostname"));
}

#[test]
fn bad_files_are_refused_in_one_line_each() {
    for bad in ["", "{", "[]", "null", "not json", "{\"root\": 5}", &SPEC[..SPEC.len() / 2]] {
        assert!(refusal(bad).starts_with("bailiwick: config.json"), "{bad}");
    }
    assert!(refusal(&"[".repeat(10_000)).starts_with("bailiwick: config.json"));
    assert!(refusal(&" ".repeat(10 << 20)).contains("larger than 1048576 bytes"));
}

#[test]
fn a_bundle_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["check", "/nonexistent/bundle"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/bundle/config.json"));
}
