//! The boot image: programs, compiled manifest, bundles.

use crate::args::{Args, NamedBundle};
use crate::bundles::{self, Busybox};
use crate::cpio;
use crate::programs::{self, NATIVE};
use crate::tree::{Kind, Node, Tree};
use anyhow::{Context, Result, anyhow};
use bailiwick_manifest::{BOOT_PATH, Boot, Console, Manifest, authority, parse};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the image needs of the host.
#[derive(Debug)]
pub struct Sources {
    /// The folder with the built programs.
    pub programs: PathBuf,
    /// The folder with the default bundles' configurations.
    pub bundles: PathBuf,
    /// The manifest.
    pub manifest: PathBuf,
}

impl Sources {
    /// Those of this workspace, with the manifest that was asked for.
    pub fn of_workspace(programs: PathBuf, manifest: Option<&Path>) -> Sources {
        let qemu = programs::workspace().join("qemu");
        Sources {
            programs,
            manifest: manifest.map_or(qemu.join("manifest.toml"), Path::to_owned),
            bundles: qemu.join("bundles"),
        }
    }
}

/// What happens on the console of a machine started with these arguments.
pub fn console(args: &Args, terminal: Terminal) -> Console {
    match (&args.exec, terminal) {
        (Some(commands), _) => Console::Commands(commands.clone()),
        (None, Terminal::Present) => Console::Interactive,
        (None, Terminal::Absent) => Console::Summary,
    }
}

/// Whether somebody sits at the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// Standard input is a terminal.
    Present,
    /// It is not.
    Absent,
}

/// Draws the manifest's authority: a tree into `file`, and the same for Graphviz into `file` with `.dot` behind it.
///
/// # Errors
/// As [`pack`], or a file cannot be written.
pub fn write_authority(manifest: Option<&Path>, extra: &[NamedBundle], file: &Path) -> Result<()> {
    let sources = Sources::of_workspace(PathBuf::new(), manifest);
    let defaults = bundles::names(&sources.bundles)?;
    let manifest = self::manifest(&sources.manifest, &all_names(&defaults, extra))?;
    let dot = PathBuf::from(format!("{}.dot", file.display()));
    for (file, text) in [(file, authority::tree(&manifest)), (&dot, authority::dot(&manifest))] {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn all_names<'n>(defaults: &'n [String], extra: &'n [NamedBundle]) -> BTreeSet<&'n str> {
    defaults.iter().map(String::as_str).chain(extra.iter().map(|bundle| bundle.name.as_str())).collect()
}

/// Packs the image.
///
/// # Errors
/// A file cannot be read, or the manifest is wrong: then with its line.
pub fn pack(sources: &Sources, extra: &[NamedBundle], console: Console) -> Result<Vec<u8>> {
    cpio::pack(&tree(sources, extra, console)?)
}

/// What [`pack`] packs.
///
/// # Errors
/// As [`pack`].
pub fn tree(sources: &Sources, extra: &[NamedBundle], console: Console) -> Result<Tree> {
    let defaults = bundles::names(&sources.bundles)?;
    let manifest = manifest(&sources.manifest, &all_names(&defaults, extra))?;
    let mut tree = Tree::default();
    for directory in ["bundles", "dev", "etc", "proc", "run/containers", "sbin", "sys", "tmp"] {
        tree.directories(directory);
    }
    let named = manifest.processes.iter().map(|process| process.program.as_str());
    for name in NATIVE.into_iter().chain(named) {
        let program = programs::stripped(&sources.programs.join(name))?;
        tree.add(format!("sbin/{name}"), Node::new(0o755, Kind::File(program)));
    }
    let boot = Boot { manifest, console }
        .encode()
        .map_err(|error| anyhow!("cannot compile the manifest: {error}"))?;
    tree.add(BOOT_PATH.trim_start_matches('/'), Node::new(0o444, Kind::File(boot)));
    add_bundles(&mut tree, sources, &defaults, extra)?;
    Ok(tree)
}

fn add_bundles(tree: &mut Tree, sources: &Sources, defaults: &[String], extra: &[NamedBundle]) -> Result<()> {
    let mut busybox = Busybox::installed()?;
    let replaced = |name: &str| extra.iter().any(|bundle| bundle.name == name);
    for name in defaults.iter().filter(|name| !replaced(name)) {
        bundles::add(tree, &mut busybox, &sources.bundles, name)?;
    }
    for NamedBundle { name, directory } in extra {
        let directory =
            directory.canonicalize().with_context(|| format!("cannot read {}", directory.display()))?;
        tree.copy(&format!("bundles/{name}"), &directory)?;
    }
    Ok(())
}

fn manifest(path: &Path, bundles: &BTreeSet<&str>) -> Result<Manifest> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse::parse(&text, |name| bundles.contains(name))
        .map_err(|error| anyhow!("{}:{}: {}", path.display(), error.line, error.message))
}
