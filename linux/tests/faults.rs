//! Whichever system call fails, and whenever: what was begun is taken back or finished, and nothing is left behind.
//!
//! strace(1) makes the n-th call of a kind fail in each process of one `run`: the command, the monitor, the container's first
//! process. It ends when all of them have, so a process that stays shows as a run that does not end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::{bundle::Bundle, limit};
use common::{BAILIWICK, Home, groups, path, text};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// What the container's program ends with if nothing failed.
const STATUS: i32 = 7;

/// The calls that make, change or watch something, what their arguments hold where only some of them can fail, and the
/// error each is given.
const CALLS: [(&str, &str, &str); 31] = [
    ("clone", "", "EAGAIN"),
    ("clone3", "", "EAGAIN"),
    ("unshare", "", "EPERM"),
    ("setns", "", "EPERM"),
    ("epoll_create1", "", "EMFILE"),
    ("epoll_ctl", "EPOLL_CTL_ADD", "ENOSPC"),
    ("pidfd_open", "", "EMFILE"),
    ("eventfd2", "", "EMFILE"),
    ("pipe2", "", "EMFILE"),
    ("socketpair", "", "EMFILE"),
    ("listen", "", "EADDRINUSE"),
    ("bind", "", "EADDRINUSE"),
    ("mkdir", "", "ENOSPC"),
    ("mkdirat", "", "ENOSPC"),
    ("mknodat", "", "ENOSPC"),
    ("symlinkat", "", "ENOSPC"),
    ("openat2", "", "EMFILE"),
    ("open_tree", "", "EMFILE"),
    ("fsopen", "", "EMFILE"),
    ("fsconfig", "", "EINVAL"),
    ("fsmount", "", "EMFILE"),
    ("move_mount", "", "ENOMEM"),
    ("mount_setattr", "", "EINVAL"),
    ("mount", "", "ENOMEM"),
    ("umount2", "", "EBUSY"),
    ("pivot_root", "", "EBUSY"),
    ("sethostname", "", "EPERM"),
    ("capset", "", "EPERM"),
    ("setgroups", "", "EPERM"),
    ("execve", "", "ENOENT"),
    ("fchdir", "", "EACCES"),
];

/// The `n`-th such call of each process fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    call: &'static str,
    error: &'static str,
    n: usize,
}

/// One `run` below strace(1) with these options, or its time's end.
fn traced(home: &Home, bundle: &Bundle, id: &str, options: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", "strace", "-f", "-qq"]).args(options);
    command.args([BAILIWICK, "--root"]).arg(home.root());
    command.args(["run", "--bundle", path(bundle.path()), id]).stdin(Stdio::null());
    limit::output(&mut command).unwrap()
}

/// What is to fail in turn, each in a run of its own: of each call the n-th that some process makes, if nothing fails.
fn faults(home: &Home, bundle: &Bundle) -> BTreeSet<Fault> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("trace");
    let run = traced(home, bundle, &home.id("counted"), &["-ff", "-o", path(&output)]);
    assert_eq!(run.status.code(), Some(STATUS), "{}", text(&run.stderr));
    let mut all = BTreeSet::new();
    for trace in fs::read_dir(directory.path()).unwrap() {
        let trace = text(&fs::read(trace.unwrap().path()).unwrap());
        for (call, arguments, error) in CALLS {
            let made = trace.lines().filter_map(|line| line.strip_prefix(call)?.strip_prefix('('));
            let can_fail = made.enumerate().filter(|(_, line)| line.contains(arguments));
            all.extend(can_fail.map(|(before, _)| Fault { call, error, n: before + 1 }));
        }
    }
    all
}

/// Runs it with this fault, and says what is wrong then.
fn fail(home: &Home, bundle: &Bundle, Fault { call, error, n }: Fault) -> Option<String> {
    let id = home.id(&format!("{call}{n}-"));
    let inject = format!("inject={call}:error={error}:when={n}");
    let run = traced(home, bundle, &id, &["-o", "/dev/null", "-e", &inject]);
    let errors = text(&run.stderr);
    let mut wrong = Vec::new();
    match run.status.code() {
        Some(STATUS) => {}
        Some(124 | 137) | None => wrong.push("some process does not end".to_owned()),
        Some(101) => wrong.push("a panic".to_owned()),
        Some(status) if errors.is_empty() => wrong.push(format!("status {status} without a word")),
        Some(_) => {}
    }
    if errors.contains("panicked") {
        wrong.push("a panic".to_owned());
    }
    if home.names().contains(&id) {
        wrong.push("a state directory is left".to_owned());
    }
    let groups = groups(&id);
    if !groups.is_empty() {
        wrong.push(format!("{groups:?} are left"));
    }
    let what = || format!("{call} number {n}, {error}: {}; {}", wrong.join(", "), errors.trim_end());
    (!wrong.is_empty()).then(what)
}

#[test]
fn whatever_system_call_fails_nothing_is_left() {
    let home = Home::new();
    let bundle = Bundle::script(&format!("exit {STATUS}")).unwrap();
    let (queue, wrong) = (Mutex::new(faults(&home, &bundle)), Mutex::new(Vec::new()));
    eprintln!("{} calls fail in turn", queue.lock().unwrap().len());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop_first();
                    let Some(fault) = next else { return };
                    wrong.lock().unwrap().extend(fail(&home, &bundle, fault));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
