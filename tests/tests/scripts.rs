//! The scripts that every kernel must run alike give the same lines each time they run under runc.
//!
//! This is what makes them a measure: a line that depends on time, chance or a process number would show as a
//! difference between kernels where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn scripts() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    scripts.sort();
    scripts
}

/// Runs the script in a fresh bundle under runc: its lines, standard output before standard error.
fn lines(name: &str, script: &Path) -> Vec<String> {
    let bundle = Bundle::script(&std::fs::read_to_string(script).unwrap()).unwrap();
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60", "runc", "run", "--bundle"])
        .arg(bundle.path())
        .arg(format!("script-{name}-{}", std::process::id()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

#[test]
fn every_script_gives_the_same_lines_each_time() {
    let scripts = scripts();
    assert!(scripts.len() >= 12, "a dozen scripts, found {}", scripts.len());
    for (name, script) in scripts {
        let first = lines(&name, &script);
        assert!(first.len() > 3, "{name}: runc gave only {first:?}");
        assert_eq!(first, lines(&name, &script), "{name}");
    }
}
