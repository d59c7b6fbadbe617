//! The kernel and its native programs, from a nested cargo.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Native programs that belong into /sbin of every image. Those that the manifest names come on top.
pub const NATIVE: [&str; 2] = ["init", "manager"];

/// Where the sources are.
pub fn workspace() -> PathBuf {
    // This package lies two directories below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// What ring 3's page tables have of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// All of it, out of ring 3's reach.
    Plain,
    /// Its ways in and out.
    Isolated,
}

/// The folder with the freshly built kernel, the plain one, and its programs.
///
/// # Errors
/// Cargo is missing or the build failed; its own words are on standard error by then.
pub fn build() -> Result<PathBuf> {
    let features = "bailiwick-kernel/program,bailiwick-userland/program";
    cargo(&["-p", "bailiwick-kernel", "-p", "bailiwick-userland", "--features", features])
}

/// The freshly built kernel alone.
///
/// # Errors
/// As [`build`].
pub fn kernel(kernel: Kernel) -> Result<PathBuf> {
    let (name, features) = match kernel {
        Kernel::Plain => ("bailiwick-kernel", "program"),
        Kernel::Isolated => ("bailiwick-kernel-isolated", "program,isolation"),
    };
    let built = cargo(&["-p", "bailiwick-kernel", "--bin", name, "--features", features])?;
    Ok(built.join(name))
}

fn cargo(what: &[&str]) -> Result<PathBuf> {
    let root = workspace();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(&root)
        .args(["build", "-q", "--release"])
        .args(what)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the kernel and its programs do not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(target.join("release"))
}

/// A program without what only a debugger reads.
///
/// # Errors
/// strip is missing or does not take the file.
pub fn stripped(program: &Path) -> Result<Vec<u8>> {
    let out = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip")
        .arg("--strip-all")
        .arg("-o")
        .arg(out.path())
        .arg(program)
        .status()
        .context("cannot run strip: install binutils")?;
    if !status.success() {
        bail!("cannot strip {}", program.display());
    }
    Ok(std::fs::read(out.path())?)
}
