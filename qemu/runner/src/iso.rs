//! A disc that GRUB boots.

use crate::programs;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const GRUB_CONFIG: &str = "\
set timeout=0
menuentry bailiwick {
  multiboot2 /boot/kernel
  module2 /boot/image
  boot
}
";

/// Writes the disc.
///
/// # Errors
/// grub-mkrescue or one of the programs it calls is missing.
pub fn write(kernel: &Path, image: &[u8], disc: &Path) -> Result<()> {
    let parent = disc.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(parent.is_dir(), "cannot write {}: {} is no directory", disc.display(), parent.display());
    let directory = tempfile::tempdir()?;
    let boot = directory.path().join("boot");
    fs::create_dir_all(boot.join("grub"))?;
    fs::write(boot.join("kernel"), programs::stripped(kernel)?)?;
    fs::write(boot.join("image"), image)?;
    fs::write(boot.join("grub/grub.cfg"), GRUB_CONFIG)?;
    let output = Command::new("grub-mkrescue")
        .arg("-o")
        .arg(disc)
        .arg(directory.path())
        .stdin(Stdio::null())
        .output()
        .context(
            "cannot run grub-mkrescue: install grub-common, grub-pc-bin, xorriso, mtools (./qemu/run does)",
        )?;
    ensure!(
        output.status.success(),
        "grub-mkrescue cannot write {}: {}",
        disc.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
