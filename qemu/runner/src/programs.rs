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

/// The folder with freshly built programs.
///
/// # Errors
/// Cargo is missing or the build failed; its own words are on standard error by then.
pub fn build() -> Result<PathBuf> {
    let root = workspace();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(&root)
        .args(["build", "-q", "--release", "-p", "bailiwick-kernel", "-p", "bailiwick-userland"])
        .args(["--features", "bailiwick-kernel/program,bailiwick-userland/program"])
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
