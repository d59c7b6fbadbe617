//! One bundle, three runs: in a container of our own kernel, by `bailiwick` on Linux, and by runc. Every line and the
//! status are the same.
//!
//! The scripts do what shell scripts do: text tools, processes, files, signals, identity, mounts. There is one place
//! for what may differ, [`KNOWN`], and every difference has its reason there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_runner::programs;
use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::boot;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What may differ between runc and both of ours: the script, its line under runc, our line, why.
const KNOWN: [(&str, &str, &str, &str); 1] = [(
    "identity",
    "/root",
    "",
    "runc sets HOME from the image's /etc/passwd, which the specification does not ask for",
)];

/// One pipe for everything a script writes, so that the order is the order of the writes.
const RUN_SCRIPT: &str = "exec /script 2>&1";

/// A fresh bundle with this script.
fn bundle(script: &Path) -> Bundle {
    let text = fs::read_to_string(script).unwrap();
    let first = if text.starts_with("#!") { "" } else { "#!/bin/sh\n" };
    let bundle = Bundle::new(&["/bin/sh", "-c", RUN_SCRIPT]).unwrap();
    let path = bundle.rootfs().join("script");
    fs::write(&path, format!("{first}{text}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    bundle
}

/// What a script came to: its lines, its status.
type Ran = (Vec<String>, i32);

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Run on Linux by this runtime.
fn on_linux(runtime: &Path, name: &str, script: &Path) -> Ran {
    let bundle = bundle(script);
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120"])
        .arg(runtime)
        .args(["run", "--bundle"])
        .arg(bundle.path())
        .arg(format!("three-{name}-{}", std::process::id()))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    (lines(&String::from_utf8_lossy(&output.stdout)), output.status.code().unwrap())
}

/// The `bailiwick` command, built.
fn bailiwick() -> PathBuf {
    let root = programs::workspace();
    let cargo =
        Command::new(env!("CARGO")).current_dir(&root).args(["build", "-q", "-p", "bailiwick"]).status();
    assert!(cargo.unwrap().success(), "bailiwick does not build");
    std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from).join("debug/bailiwick")
}

/// All of them as containers of one machine.
fn in_qemu(scripts: &[(String, PathBuf)]) -> Vec<Ran> {
    let bundles: Vec<Bundle> = scripts.iter().map(|(_, script)| bundle(script)).collect();
    let packed: Vec<(&str, &Bundle)> = scripts.iter().map(|(name, _)| name.as_str()).zip(&bundles).collect();
    let commands: String =
        scripts.iter().map(|(name, _)| format!("run {name} {name}; wait {name}; logs {name}; ")).collect();
    let run = boot("", &packed, &["--memory", "256", "--exec", &commands]).unwrap();
    let ran =
        |at: usize| (lines(&run.output(3 * at + 2)), run.output(3 * at + 1).trim().parse().unwrap_or(-1));
    let all = (0..scripts.len()).map(ran).collect();
    // What they write appears on the console too, as it is written.
    let shown: usize = scripts.iter().map(|(name, _)| run.lines_of(name).len()).sum();
    assert!(shown > 200, "{}", run.text);
    all
}

/// Tells where a run is other than runc's, known differences apart.
fn differences(who: &str, name: &str, ours: &Ran, runc: &Ran) -> Vec<String> {
    let known =
        |runc: &str, ours: &str| KNOWN.iter().any(|known| (known.0, known.1, known.2) == (name, runc, ours));
    let mut found = Vec::new();
    for at in 0..ours.0.len().max(runc.0.len()) {
        let line = |ran: &Ran| ran.0.get(at).cloned().unwrap_or_else(|| "(no line)".to_owned());
        let (ours, runc) = (line(ours), line(runc));
        if ours != runc && !known(&runc, &ours) {
            found.push(format!("{name}, line {}: {who} gives {ours:?}, runc {runc:?}", at + 1));
        }
    }
    if ours.1 != runc.1 {
        found.push(format!("{name}: {who} ends with status {}, runc with {}", ours.1, runc.1));
    }
    found
}

#[test]
fn a_dozen_bundles_give_the_same_lines_on_our_kernel_by_bailiwick_on_linux_and_by_runc() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut scripts: Vec<(String, PathBuf)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 12, "a dozen scripts, found {}", scripts.len());
    let (bailiwick, ours) = (bailiwick(), in_qemu(&scripts));
    let mut found = Vec::new();
    for ((name, script), ours) in scripts.iter().zip(ours) {
        let runc = on_linux(Path::new("runc"), name, script);
        assert!(runc.0.len() > 3, "{name}: runc gave only {runc:?}");
        found.extend(differences("bailiwick on Linux", name, &on_linux(&bailiwick, name, script), &runc));
        found.extend(differences("our own kernel", name, &ours, &runc));
    }
    assert!(found.is_empty(), "{found:#?}");
}
