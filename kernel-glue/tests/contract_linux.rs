//! The contract of kernel-glue on the Linux backend, as root.
//!
//! The backend wants a process with one thread, so this is a program with its own `main`. It counts as the standard
//! test programs do. A case that hangs has failed: each has a time limit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

#[allow(unreachable_pub, reason = "each test program has its own")]
mod limit;

use bailiwick_kernel_glue::contract::bundle::{ENTRIES, Entry};
use bailiwick_kernel_glue::contract::{self, Census, Fixture, Outcome, Report};
use bailiwick_kernel_glue::linux::{self, Directory, Linux};
use bailiwick_kernel_glue::plan::{Hook, HookKind};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const BUSYBOX: &str = "/bin/busybox";
/// Where traced hooks leave their trace, seen from the root file system.
const TRAIL: &str = "tmp/trail";

struct OnLinux {
    glue: Linux,
    bundle: tempfile::TempDir,
}

impl OnLinux {
    fn new() -> Self {
        let bundle = tempfile::tempdir().unwrap();
        for entry in ENTRIES {
            let at = |path: &str| bundle.path().join(path);
            match *entry {
                Entry::Directory(path) => fs::create_dir(at(path)).unwrap(),
                Entry::File(path, text) => fs::write(at(path), text).unwrap(),
                Entry::Link(path, target) => symlink(target, at(path)).unwrap(),
                Entry::Busybox(path) => {
                    fs::copy(BUSYBOX, at(path)).expect("busybox-static is installed");
                    fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap();
                }
            }
        }
        OnLinux { glue: Linux::new(&parent()).unwrap(), bundle }
    }

    fn trail_file(&self) -> PathBuf {
        self.bundle.path().join("rootfs").join(TRAIL)
    }
}

/// The name below which this run has its control groups: another one may have left some, or go on beside it.
fn name() -> String {
    format!("run-{}", std::process::id())
}

fn parent() -> String {
    format!("{}/{}", linux::DEFAULT_PARENT, name())
}

/// Control groups of this run below `directory`, and with `inside` everything there.
fn groups(directory: &Path, inside: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let ours = entry.file_name() == *name();
            if inside {
                found.push(entry.path());
            }
            groups(&entry.path(), inside || ours, found);
            if ours && fs::read_dir(entry.path()).is_ok_and(|mut all| !all.any(is_directory)) {
                // The backend leaves a parent that it shares with others.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

fn is_directory(entry: std::io::Result<fs::DirEntry>) -> bool {
    entry.is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Leaves the mounts of the host to the host: what others mount meanwhile is nothing that a case left behind.
fn be_alone_with_mounts() {
    // SAFETY: the process has one thread and shares no file-system attributes.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "a mount namespace of its own");
    let none = core::ptr::null();
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the target is a NUL-terminated constant; a change of propagation reads nothing else.
    let private = unsafe { libc::mount(none, c"/".as_ptr(), none, flags, core::ptr::null()) };
    assert_eq!(private, 0, "mounts of its own");
}

fn words(path: &str) -> u64 {
    fs::read_to_string(path).unwrap().split_whitespace().count() as u64
}

impl Fixture for OnLinux {
    type Glue = Linux;

    fn glue(&mut self) -> &mut Linux {
        &mut self.glue
    }

    fn directory(&mut self) -> Result<Directory, String> {
        let directory = fs::File::open(self.bundle.path()).map_err(|error| error.to_string())?;
        Ok(Directory::new(directory.into()))
    }

    fn census(&mut self) -> Census {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count() as u64;
        let children = words(&format!("/proc/self/task/{}/children", std::process::id()));
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let mut found = Vec::new();
        groups(Path::new("/sys/fs/cgroup"), false, &mut found);
        let groups = found.len() as u64;
        vec![("children", children), ("descriptors", descriptors), ("mounts", mounts), ("groups", groups)]
    }

    fn traced(&mut self, kind: HookKind) -> Option<Hook> {
        let file = match kind {
            HookKind::StartContainer => Path::new("/").join(TRAIL),
            _ => self.trail_file(),
        };
        let script = format!("echo {} >> {}", kind.as_str(), file.display());
        let args = ["busybox", "sh", "-c", &script].map(String::from).into();
        Some(Hook { kind, path: BUSYBOX.into(), args, env: Vec::new(), timeout: None })
    }

    fn trail(&mut self) -> Vec<HookKind> {
        let text = fs::read_to_string(self.trail_file()).unwrap_or_default();
        let _ = fs::remove_file(self.trail_file());
        let kind = |line: &str| HookKind::ALL.into_iter().find(|kind| kind.as_str() == line);
        text.lines().map(|line| kind(line).expect("only traced hooks write there")).collect()
    }
}

/// Prints as the standard test programs do.
struct Lines;

impl Report for Lines {
    fn begin(&mut self, name: &'static str) {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        limit::begin();
    }
    fn end(&mut self, _: &'static str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => println!("ok"),
            Outcome::Failed(what) => println!("FAILED\n    {what}"),
            Outcome::Skipped(why) => println!("ignored, {why}"),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    if !fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t") {
        println!(
            "test the contract ... ignored, it needs root\ntest result: ok. 0 passed; 0 failed; 1 ignored"
        );
        return;
    }
    be_alone_with_mounts();
    let wanted = arguments.into_iter().find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut fixture = OnLinux::new();
    let counts = contract::run_some(&mut fixture, &mut Lines, |name| name.contains(&wanted));
    let result = if counts.failed == 0 { "ok" } else { "FAILED" };
    let contract::Counts { passed, failed, skipped } = counts;
    println!("test result: {result}. {passed} passed; {failed} failed; {skipped} ignored");
    limit::end();
    drop(fixture);
    std::process::exit(i32::from(failed != 0));
}
