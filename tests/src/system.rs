//! The whole system in QEMU, as `./qemu/run` boots it.

use crate::bundle::Bundle;
use bailiwick_runner::programs;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What the shell shows before each command.
pub const PROMPT: &str = "bailiwick> ";

/// One machine at a time: the time limits are for a machine that has a processor for itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How a run of the system went.
#[derive(Debug)]
pub struct Run {
    /// Everything the console showed.
    pub text: String,
    /// What `./qemu/run` ended with; none if it was killed.
    pub status: Option<i32>,
}

impl Run {
    /// What stands between the echo of the `index`th command and the next prompt, without lines of other containers
    /// and of init.
    pub fn output(&self, index: usize) -> String {
        let part = self.text.split(PROMPT).nth(index + 1).unwrap_or_default();
        let own = |line: &&str| !line.contains(" | ") && !line.starts_with("init: ");
        part.lines().skip(1).filter(own).fold(String::new(), |text, line| text + line + "\n")
    }

    /// The lines that the container with this id has written, in order.
    pub fn lines_of(&self, id: &str) -> Vec<&str> {
        let prefix = format!("{id} | ");
        self.text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
    }
}

/// Runs `./qemu/run` with these arguments and nobody at the console.
///
/// # Errors
/// It cannot be run at all.
pub fn run(arguments: &[&str]) -> io::Result<Run> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(programs::workspace().join("qemu/run"))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    Ok(Run { text, status: output.status.code() })
}

/// Runs the shell's commands on a system that has these bundles and brings up no container by itself.
///
/// # Errors
/// As [`run`], and if the manifest cannot be written.
pub fn exec(bundles: &[(&str, &Bundle)], commands: &str) -> io::Result<Run> {
    let manifest = tempfile::NamedTempFile::new()?;
    std::fs::write(manifest.path(), SHELL_ONLY)?;
    let path = manifest.path().to_string_lossy().into_owned();
    let packed: Vec<String> =
        bundles.iter().map(|(name, bundle)| format!("{name}={}", bundle.path().display())).collect();
    let mut arguments = vec!["--manifest", &path, "--timeout", "120", "--exec", commands];
    for bundle in &packed {
        arguments.extend(["--bundle", bundle]);
    }
    run(&arguments)
}

const SHELL_ONLY: &str = r#"
[[process]]
name = "shell"
factory = [
  "create", "list", "delegate", "derive",
  "inspect", "observe", "start", "signal", "pause", "exec", "attach", "update", "delete",
]
directories = ["/bundles"]
console = true
"#;
