//! OCI bundles made on the spot: Debian's static busybox as root file system, `config.json` as `runc spec` writes it.

use serde_json::Value;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's busybox-static puts its program.
const BUSYBOX: &str = "/bin/busybox";
/// Where Debian's bash-static puts its program.
const BASH: &str = "/bin/bash-static";
/// Directories every root file system here has.
const DIRECTORIES: [&str; 12] =
    ["bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin"];

/// A bundle in a directory of its own, removed when dropped.
#[derive(Debug)]
pub struct Bundle {
    directory: tempfile::TempDir,
    /// The configuration as it will be written by [`Bundle::write`].
    pub config: Value,
}

impl Bundle {
    /// A bundle that runs `args`, with a writable root and no terminal.
    ///
    /// # Errors
    /// What the file system said, or that busybox-static or runc is not installed.
    pub fn new(args: &[&str]) -> io::Result<Bundle> {
        let directory = tempfile::tempdir()?;
        populate(&directory.path().join("rootfs"))?;
        let mut config = spec()?;
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = args.into();
        config["root"]["readonly"] = false.into();
        config["hostname"] = "bailiwick".into();
        let bundle = Bundle { directory, config };
        bundle.write()?;
        Ok(bundle)
    }

    /// A bundle whose program is this shell script.
    ///
    /// # Errors
    /// As [`Bundle::new`].
    pub fn script(text: &str) -> io::Result<Bundle> {
        let bundle = Bundle::new(&["/script"])?;
        let shebang = if text.starts_with("#!") { "" } else { "#!/bin/sh\n" };
        let path = bundle.rootfs().join("script");
        fs::write(&path, format!("{shebang}{text}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(bundle)
    }

    /// Writes the configuration out.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write(&self) -> io::Result<()> {
        fs::write(self.path().join("config.json"), serde_json::to_vec_pretty(&self.config)?)
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }
}

/// What `runc spec` writes, from the runc that is installed.
fn spec() -> io::Result<Value> {
    let directory = tempfile::tempdir()?;
    let output = Command::new("runc").arg("spec").current_dir(directory.path()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(serde_json::from_slice(&fs::read(directory.path().join("config.json"))?)?)
}

/// Fills a root file system: busybox under every name it answers to, bash, users, the usual directories.
fn populate(rootfs: &Path) -> io::Result<()> {
    for name in DIRECTORIES {
        fs::create_dir_all(rootfs.join(name))?;
    }
    fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy(BUSYBOX, rootfs.join("bin/busybox"))?;
    if Path::new(BASH).exists() {
        fs::copy(BASH, rootfs.join("bin/bash"))?;
    }
    let list = Command::new(BUSYBOX).arg("--list").output()?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("/bin/busybox", rootfs.join("bin").join(applet))?;
    }
    fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")?;
    fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\n")
}
