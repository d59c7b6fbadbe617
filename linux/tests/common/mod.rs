//! Containers below a root directory of the test's own.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

use bailiwick_tests::{bundle::Bundle, limit};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{PipeReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The command under test.
pub const BAILIWICK: &str = env!("CARGO_BIN_EXE_bailiwick");

/// A root directory; what is left in it is removed by force.
pub struct Home {
    directory: tempfile::TempDir,
}

/// How long a container may take to write a line, in seconds.
const LINE_LIMIT: i64 = 60;

/// What a container writes to its standard output.
pub struct Lines {
    pipe: PipeReader,
    unread: Vec<u8>,
}

impl Lines {
    pub fn new(pipe: PipeReader) -> Self {
        Lines { pipe, unread: Vec::new() }
    }
    /// The next line, waiting for it, but not for ever; empty at the end.
    pub fn next(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return text(&line).trim_end().to_owned();
            }
            let limit = Timespec { tv_sec: LINE_LIMIT, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&limit)).unwrap();
            assert_ne!(ready, 0, "no further line within {LINE_LIMIT} s after {:?}", text(&self.unread));
            let mut bytes = [0; 4096];
            match self.pipe.read(&mut bytes).unwrap() {
                0 => return text(&std::mem::take(&mut self.unread)).trim_end().to_owned(),
                n => self.unread.extend_from_slice(&bytes[..n]),
            }
        }
    }
    /// All lines to the end.
    pub fn rest(mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.next()).filter(|line| !line.is_empty())).collect()
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Home {
    pub fn new() -> Self {
        Home { directory: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// An id that no other test uses: control groups are the host's.
    pub fn id(&self, name: &str) -> String {
        let unique = self.directory.path().file_name().unwrap().to_string_lossy();
        format!("{name}{}", unique.trim_start_matches('.'))
    }

    /// The command with these arguments and a time limit, without input.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "60", BAILIWICK, "--root"]).arg(self.root()).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        limit::output(&mut self.command(arguments)).unwrap()
    }

    /// Standard output of a command that must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The one line of a command that must be refused. One that is not may leave its streams open in a container.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let (status, _, line) = self.detached(arguments);
        assert_eq!(status, Some(1), "{arguments:?}: {line}");
        assert!(line.starts_with("bailiwick: ") && line.lines().count() == 1, "{line}");
        line
    }

    /// `create` or a detached command: its streams stay open in the container, so they are no pipe to be read to
    /// the end. Gives the status, what the container writes, and what was said on standard error.
    pub fn detached(&self, arguments: &[&str]) -> (Option<i32>, Lines, String) {
        let (reader, writer) = std::io::pipe().unwrap();
        let errors = self.directory.path().join("errors");
        let mut command = self.command(arguments);
        let status = command.stdout(writer).stderr(File::create(&errors).unwrap()).status().unwrap();
        drop(command);
        (status.code(), Lines::new(reader), fs::read_to_string(errors).unwrap())
    }

    /// A created container.
    pub fn create(&self, bundle: &Bundle, id: &str) -> Lines {
        let (status, lines, errors) = self.detached(&["create", "--bundle", path(bundle.path()), id]);
        assert_eq!(status, Some(0), "{errors}");
        lines
    }

    /// A running container whose program is this script.
    pub fn start(&self, bundle: &Bundle, id: &str) -> Lines {
        let lines = self.create(bundle, id);
        self.ok(&["start", id]);
        lines
    }

    /// A script run to its end: its status, its output, what was said on standard error.
    pub fn run_bundle(&self, bundle: &Bundle, id: &str) -> (i32, String, String) {
        let output = self.run(&["run", "--bundle", path(bundle.path()), id]);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// The same where it must end with status 0.
    pub fn says(&self, bundle: &Bundle, id: &str) -> String {
        let (status, output, errors) = self.run_bundle(bundle, id);
        assert_eq!(status, 0, "{errors}{output}");
        output
    }

    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    /// Waits for the end, which is told as this status.
    pub fn ends_with(&self, id: &str, status: i32) {
        let output = self.run(&["wait", id]);
        assert_eq!(text(&output.stdout), format!("{status}\n"), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(status));
    }

    /// Names in the root directory.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for id in self.names() {
            let _ = self.run(&["delete", "--force", &id]);
        }
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Control groups of the host whose name is this.
pub fn groups(name: &str) -> Vec<PathBuf> {
    let output = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", name]).output().unwrap();
    text(&output.stdout).lines().map(PathBuf::from).collect()
}

/// The number of the process that watches this container.
pub fn monitor_of(id: &str) -> String {
    let numbers =
        fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_it = |number: &String| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        text(&line).split('\0').skip(1).take(2).eq(["monitor", id])
    };
    let mut numbers = numbers;
    numbers.find(is_it).unwrap()
}
