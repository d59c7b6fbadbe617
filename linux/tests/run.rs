//! `bailiwick run`, as root on Linux, with real bundles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::{bundle::Bundle, limit};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const BAILIWICK: &str = env!("CARGO_BIN_EXE_bailiwick");

/// The command that runs this bundle, with a time limit.
fn command(program: &str, bundle: &Bundle, id: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", program, "run", "--bundle"]).arg(bundle.path());
    command.arg(format!("{id}-{}", std::process::id())).stdin(Stdio::null());
    command
}

fn run(bundle: &Bundle, id: &str) -> Output {
    limit::output(&mut command(BAILIWICK, bundle, id)).unwrap()
}

fn status(bundle: &Bundle, id: &str) -> i32 {
    run(bundle, id).status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output of a script in a container, which must end with status 0.
fn says(script: &str, id: &str) -> String {
    let output = run(&Bundle::script(script).unwrap(), id);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn the_program_s_status_is_the_command_s() {
    for (script, wanted) in [("true", 0), ("false", 1), ("exit 7", 7), ("kill -KILL $$; exit 3", 3)] {
        assert_eq!(status(&Bundle::script(script).unwrap(), "status"), wanted, "{script}");
    }
}

#[test]
fn a_container_is_alone_with_names_of_its_own() {
    let text = says("hostname; echo $$; ps | grep -c script; readlink /proc/self/ns/uts; ls -d /..", "alone");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["bailiwick", "1"]);
    let host = fs::read_link("/proc/self/ns/uts").unwrap();
    assert_ne!(lines[3], host.to_string_lossy());
}

#[test]
fn no_descriptor_but_the_three_streams_comes_in() {
    let bundle = Bundle::new(&["/bin/ls", "/proc/self/fd"]).unwrap();
    // The last one is what ls reads the directory through.
    assert_eq!(stdout(&run(&bundle, "descriptors")), "0\n1\n2\n3\n");
}

#[test]
fn a_read_only_root_refuses_every_write() {
    let mut bundle = Bundle::script("touch /x; touch /etc/passwd; echo y > /tmp/y").unwrap();
    bundle.config["root"]["readonly"] = true.into();
    bundle.write().unwrap();
    let output = run(&bundle, "readonly");
    assert_eq!(stderr(&output).matches("Read-only file system").count(), 3, "{}", stderr(&output));
    assert!(!bundle.rootfs().join("x").exists());
}

#[test]
fn capabilities_are_those_of_the_configuration_in_every_set() {
    let text = says("grep -E '^Cap(Inh|Bnd|Amb)|^NoNewPrivs' /proc/self/status", "capabilities");
    let fields: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(fields[..4], ["CapInh:", "0000000000000000", "CapBnd:", "0000000020000420"], "{text}");
    assert_eq!(fields[4..], ["CapAmb:", "0000000000000000", "NoNewPrivs:", "1"], "{text}");
}

#[test]
fn a_signal_to_the_command_reaches_the_program() {
    let script = "trap 'echo caught; exit 6' TERM; echo ready; while :; do sleep 0.05; done";
    let bundle = Bundle::script(script).unwrap();
    let mut child = command(BAILIWICK, &bundle, "signal").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    // timeout(1) passes the signal on to the command below it.
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(lines.next().unwrap().unwrap(), "caught");
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(6 | 124)), "{status}");
}

#[test]
fn a_memory_hog_ends_at_its_limit() {
    let mut bundle = Bundle::script("exec tail /dev/zero").unwrap();
    bundle.config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20 });
    bundle.write().unwrap();
    assert_eq!(status(&bundle, "hog"), 137);
}

#[test]
fn a_fork_bomb_stops_at_the_process_limit() {
    let script = "i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i + 1)); done; echo not reached";
    let mut bundle = Bundle::script(script).unwrap();
    bundle.config["linux"]["resources"]["pids"] = json!({ "limit": 10 });
    bundle.write().unwrap();
    let output = run(&bundle, "bomb");
    assert!(stderr(&output).contains("fork"), "{}", stderr(&output));
    assert!(!stdout(&output).contains("not reached"));
}

/// A directory outside the root file system that no container may touch.
struct Canary(tempfile::TempDir);

impl Canary {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "untouched").unwrap();
        Canary(directory)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn assert_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(fs::read_to_string(self.path().join("file")).unwrap(), "untouched");
    }
}

/// Replaces a directory of the root file system by a link.
fn replace(bundle: &Bundle, name: &str, target: &Path) {
    let path = bundle.rootfs().join(name);
    let _ = fs::remove_dir_all(&path);
    symlink(target, path).unwrap();
}

#[test]
fn links_in_the_root_file_system_lead_nowhere_outside() {
    for name in ["dev", "sys", "proc", "etc", "tmp"] {
        let canary = Canary::new();
        let mut bundle = Bundle::script("echo hi > /tmp/x; echo hi > /etc/y").unwrap();
        bundle.config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/etc/new/mount", "type": "tmpfs", "source": "tmpfs"
        }));
        bundle.write().unwrap();
        replace(&bundle, name, canary.path());
        let _ = run(&bundle, "links");
        canary.assert_untouched();
    }
}

#[test]
fn a_link_in_place_of_proc_is_refused() {
    let bundle = Bundle::script("true").unwrap();
    replace(&bundle, "proc", Path::new("/tmp"));
    let output = run(&bundle, "proc");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/proc: is a symbolic link"), "{}", stderr(&output));
}

#[test]
fn a_working_directory_behind_a_descriptor_is_refused() {
    for number in 3..16 {
        let mut bundle = Bundle::script("true").unwrap();
        bundle.config["process"]["cwd"] = format!("/proc/self/fd/{number}").into();
        bundle.write().unwrap();
        assert_eq!(status(&bundle, "cwd"), 1, "descriptor {number}");
    }
}

#[test]
fn hooks_run_in_the_order_of_the_specification() {
    let log = tempfile::tempdir().unwrap();
    let file = log.path().join("log");
    let hook = |kind: &str| {
        let script = format!("cat > /dev/null; echo {kind} >> {}", file.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
    };
    let mut bundle = Bundle::script("true").unwrap();
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    for kind in kinds {
        bundle.config["hooks"][kind] = hook(kind);
    }
    bundle.write().unwrap();
    let output = run(&bundle, "hooks");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let order = fs::read_to_string(&file).unwrap();
    assert_eq!(order.lines().collect::<Vec<_>>(), kinds);
}

#[test]
fn bad_bundles_are_refused_in_one_line_that_names_the_thing() {
    let broken = |edit: &dyn Fn(&mut Bundle)| {
        let mut bundle = Bundle::script("true").unwrap();
        edit(&mut bundle);
        bundle.write().unwrap();
        bundle
    };
    let cases: Vec<(Bundle, &str)> = vec![
        (broken(&|b| b.config["process"]["args"] = json!(["/bin/nothing"])), "/bin/nothing"),
        (broken(&|b| b.config["process"]["args"] = json!(["/etc"])), "/etc"),
        (broken(&|b| b.config["process"]["args"] = json!(["/etc/passwd"])), "/etc/passwd"),
        (broken(&|b| b.config["process"]["cwd"] = json!("/nowhere")), "/nowhere"),
        (broken(&|b| b.config["root"]["path"] = json!("missing")), "missing"),
        (
            broken(&|b| {
                let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent" });
                b.config["linux"]["seccomp"] = seccomp;
            }),
            "linux.seccomp.listenerPath",
        ),
        (broken(&|b| b.config["linux"]["intelRdt"] = json!({ "closID": "x" })), "linux.intelRdt"),
        (broken(&|b| b.config["linux"]["namespaces"][0]["type"] = json!("none")), "linux.namespaces[0].type"),
    ];
    for (bundle, named) in cases {
        let before = leftovers(&bundle, "bad");
        let output = run(&bundle, "bad");
        let line = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{named}: {line}");
        assert!(
            line.starts_with("bailiwick: ") && line.lines().count() == 1 && line.contains(named),
            "{named}: {line}"
        );
        assert_eq!(leftovers(&bundle, "bad"), before, "{named}");
    }
}

/// Mounts of the host that this bundle is in, and control groups of containers whose id begins like this.
fn leftovers(bundle: &Bundle, id: &str) -> (usize, BTreeSet<PathBuf>) {
    let path = bundle.path().to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().matches(&*path).count();
    let output = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-path", &format!("*/{id}*-{}", std::process::id())])
        .output()
        .unwrap();
    (mounts, stdout(&output).lines().map(PathBuf::from).collect())
}

/// How many runs, eight at a time: `BAILIWICK_RUNS`, or a number that takes a few seconds.
fn runs() -> usize {
    std::env::var("BAILIWICK_RUNS").map_or(16, |number| number.parse().expect("BAILIWICK_RUNS is a number"))
}

/// A program that ends at once may have ended before anybody waits for it.
#[test]
fn many_short_runs_side_by_side_all_return_and_leave_nothing() {
    let bundle = Bundle::new(&["/bin/true"]).unwrap();
    let before = leftovers(&bundle, "many");
    let (next, runs) = (AtomicUsize::new(0), runs());
    let statuses: Vec<Option<i32>> = std::thread::scope(|scope| {
        let worker = || {
            let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|n| *n < runs));
            let one = |n| command(BAILIWICK, &bundle, &format!("many-{n}")).status().unwrap().code();
            numbers.map(one).collect::<Vec<_>>()
        };
        let workers = [(); 8].map(|()| scope.spawn(worker));
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    // timeout(1) says 124 of a command that it had to end.
    let hung = statuses.iter().filter(|status| **status == Some(124)).count();
    assert_eq!((statuses.len(), hung), (runs, 0));
    assert!(statuses.iter().all(|status| *status == Some(0)), "{statuses:?}");
    assert_eq!(leftovers(&bundle, "many"), before);
}

/// A line of runc's that is another one here, and why.
const KNOWN: &[(&str, &str, &str)] = &[(
    "identity",
    "/root",
    "runc sets HOME from the image's /etc/passwd, which the specification does not ask for",
)];

fn lines(program: &str, bundle: &Bundle, name: &str) -> Vec<String> {
    let output = limit::output(&mut command(program, bundle, name)).unwrap();
    [stdout(&output), stderr(&output)].concat().lines().map(str::to_owned).collect()
}

/// Lines that differ from runc's without being known to.
fn differences(name: &str, script: &Path) -> Vec<String> {
    let text = fs::read_to_string(script).unwrap();
    let wanted = lines("runc", &Bundle::script(&text).unwrap(), name);
    let got = lines(BAILIWICK, &Bundle::script(&text).unwrap(), name);
    assert!(wanted.len() > 3, "{name}: runc gave {wanted:?}");
    let known = |line: &str| KNOWN.iter().any(|(script, start, _)| *script == name && line == *start);
    (0..wanted.len().max(got.len()))
        .map(|i| (wanted.get(i), got.get(i)))
        .filter(|(w, g)| w != g && !w.is_some_and(|line| known(line)))
        .map(|(w, g)| format!("{name}: runc {w:?}, bailiwick {g:?}"))
        .collect()
}

#[test]
fn a_dozen_scripts_give_the_lines_of_runc() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts");
    let scripts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(scripts.len() >= 12);
    for script in scripts {
        let name = script.file_stem().unwrap().to_string_lossy().into_owned();
        // Process numbers that programs see may depend on chance under runc too: a difference counts if it stays.
        if !differences(&name, &script).is_empty() {
            assert_eq!(differences(&name, &script), Vec::<String>::new());
        }
    }
}
