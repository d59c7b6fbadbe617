//! The whole system in QEMU, as `./qemu/run` boots it.

use crate::bundle::Bundle;
use bailiwick_runner::programs;
use serde_json::Value;
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
    /// What `./qemu/run` itself said.
    pub errors: String,
    /// What `./qemu/run` ended with; none if it was killed.
    pub status: Option<i32>,
}

impl Run {
    /// This run, if its exit status is 0.
    ///
    /// # Errors
    /// All that was seen.
    pub fn succeeded(self) -> Result<Run, Run> {
        if self.status == Some(0) { Ok(self) } else { Err(self) }
    }

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
    let output =
        Command::new(programs::workspace().join("qemu/run")).args(arguments).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Run { text, errors, status: output.status.code() })
}

/// Runs the shell's commands on a system that has these bundles and brings up no container by itself.
///
/// # Errors
/// As [`run`], and if the manifest cannot be written.
pub fn exec(bundles: &[(&str, &Bundle)], commands: &str) -> io::Result<Run> {
    boot("", bundles, &["--exec", commands])
}

/// Boots a manifest of these containers, and a shell with every right, with these bundles and further options.
///
/// # Errors
/// As [`run`], and if the manifest cannot be written.
pub fn boot(containers: &str, bundles: &[(&str, &Bundle)], options: &[&str]) -> io::Result<Run> {
    boot_manifest(&format!("{containers}{SHELL}"), bundles, options)
}

/// Boots this manifest with these bundles and further options.
///
/// # Errors
/// As [`run`], and if the manifest cannot be written.
pub fn boot_manifest(manifest: &str, bundles: &[(&str, &Bundle)], options: &[&str]) -> io::Result<Run> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), manifest)?;
    let path = file.path().to_string_lossy().into_owned();
    let packed: Vec<String> =
        bundles.iter().map(|(name, bundle)| format!("{name}={}", bundle.path().display())).collect();
    let mut arguments = vec!["--manifest", &path, "--timeout", "240"];
    for bundle in &packed {
        arguments.extend(["--bundle", bundle]);
    }
    arguments.extend(options);
    run(&arguments)
}

/// A container to look around in by `exec`.
///
/// # Errors
/// As [`Bundle::new`].
pub fn idle() -> io::Result<Bundle> {
    Bundle::new(&["sleep", "100000"])
}

/// A bundle that runs `args`, with a changed configuration.
///
/// # Errors
/// As [`Bundle::new`].
pub fn changed(args: &[&str], change: impl FnOnce(&mut Value)) -> io::Result<Bundle> {
    let mut bundle = Bundle::new(args)?;
    change(&mut bundle.config);
    bundle.write()?;
    Ok(bundle)
}

const SHELL: &str = r#"
[[process]]
name = "shell"
factory = [
  "create", "list", "delegate", "derive",
  "inspect", "observe", "start", "signal", "pause", "exec", "attach", "update", "delete",
]
directories = ["/bundles"]
write = ["/bundles"]
console = true
"#;
