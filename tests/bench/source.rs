//! Sizes: of the sources and of the boot image.

use crate::figure::{Figure, Kind};
use anyhow::{Context, Result};
use bailiwick_manifest::Console;
use bailiwick_runner::image::{self, Sources};
use bailiwick_runner::programs;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of the kernel's code, and the image without bundles.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    Ok(vec![lines()?, image()?])
}

fn lines() -> Result<Figure> {
    let root = programs::workspace();
    let mut lines = 0;
    for folder in ["qemu/kernel/src", "qemu/kernel-core/src"] {
        for file in sources(&root.join(folder))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            lines += code(&text);
        }
    }
    let inside =
        "`qemu/kernel` and `qemu/kernel-core`, assembly included, without tests, comments and empty lines";
    Ok(Figure::new("kernel code", (lines as f64, "lines"), Kind::Shown, inside, "tests/bench/run --quick"))
}

/// Every source file below `folder` that is not there for tests alone.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if ["tests", "tests.rs", "testing", "testing.rs"].contains(&name.as_str()) => {}
            _ if path.is_dir() => found.extend(sources(&path)?),
            Some("rs" | "s") => found.push(path),
            _ => {}
        }
    }
    Ok(found)
}

/// Lines of a file before its tests that are neither empty nor a comment.
fn code(text: &str) -> usize {
    let own = text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    own.filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with('#')).count()
}

fn image() -> Result<Figure> {
    let empty = tempfile::tempdir()?;
    let manifest = empty.path().join("manifest.toml");
    fs::write(&manifest, include_str!("requests.toml").replace("\"requests\"", "\"shell\""))?;
    let built = programs::build()?;
    let kernel = programs::stripped(&built.join("bailiwick-kernel"))?.len();
    let sources =
        Sources { bundles: empty.path().to_owned(), ..Sources::of_workspace(built, Some(&manifest)) };
    let packed = image::pack(&sources, &[], Console::Interactive)?.len();
    let size = (kernel + packed).div_ceil(1024);
    let inside = "kernel, init, manager, shell and compiled manifest, stripped, packed, without bundles";
    Ok(Figure::new("boot image", (size as f64, "KiB"), Kind::Shown, inside, "tests/bench/run --quick"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_empty_lines_and_tests_are_no_code() {
        assert_eq!(code("//! x\n\nfn a() {\n    // y\n    b();\n}\n#[cfg(test)]\nmod tests {\n}\n"), 3);
    }
}
