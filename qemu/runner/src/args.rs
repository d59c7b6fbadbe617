//! What was asked for on the command line.

use crate::programs::Kernel;
use bailiwick_manifest::parse::is_bundle_name;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use std::path::PathBuf;

/// Builds everything, packs the boot image and boots it in QEMU.
///
/// With a terminal on standard input the shell prompts, once the manifest's containers are up; `poweroff` or
/// Ctrl-] x leaves. Without one a table of the containers is printed and the machine powers off; the exit status is
/// 0 only if each of them did what the manifest expects.
#[derive(Parser, Clone, Debug)]
#[command(name = "./qemu/run", max_term_width = 110)]
pub struct Args {
    /// Packs the OCI bundle in the host's directory DIR as /bundles/NAME; may be given more than once
    #[arg(long, value_name = "NAME=DIR", value_parser = bundle)]
    pub bundle: Vec<NamedBundle>,
    /// Boots this manifest instead of qemu/manifest.toml
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Draws the manifest's authority instead of booting it: a tree into FILE, and the same for Graphviz into FILE.dot
    #[arg(long, value_name = "FILE")]
    pub authority: Option<PathBuf>,
    /// Has the shell run these commands, divided by ";", then powers off; the exit status is 0 only if each
    /// succeeded
    #[arg(long, value_name = "'CMD; CMD; …'")]
    pub exec: Option<String>,
    /// Stops the machine after this time (60 when nobody sits at it, 28800 otherwise); the exit status is 124
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
    /// Memory of the machine
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub memory: u32,
    /// The machine: the one that starts fastest, or a PC
    #[arg(long, value_enum, default_value_t = Machine::Microvm)]
    pub machine: Machine,
    /// Takes a kernel that is not in ring 3's page tables, but for its ways in and out, against processors that let ring 3
    /// read ahead what it may not
    #[arg(long)]
    pub isolation: bool,
    /// Counts instructions: one tick of the time-stamp counter each, the same in every run
    #[arg(long)]
    pub icount: bool,
    /// Waits for a debugger on this port of 127.0.0.1 (1234 if none is named) before the first instruction
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "1234")]
    pub gdb: Option<u16>,
    /// Writes a GRUB image that boots the same system on PC hardware (console on the first serial port), instead of
    /// booting it here
    #[arg(long, value_name = "FILE", conflicts_with_all = ["timeout", "memory", "machine", "icount", "gdb"])]
    pub iso: Option<PathBuf>,
}

/// Machines of QEMU that the kernel knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Machine {
    /// QEMU's minimal machine.
    Microvm,
    /// A PC of about 2009, with PCI Express.
    Q35,
}

/// A directory of the host and the name it is packed under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedBundle {
    /// The name under /bundles.
    pub name: String,
    /// The directory.
    pub directory: PathBuf,
}

impl Args {
    /// The kernel that was asked for.
    pub fn kernel(&self) -> Kernel {
        if self.isolation { Kernel::Isolated } else { Kernel::Plain }
    }

    /// What was asked for on this process's command line. What makes no sense ends the process with status 2.
    pub fn from_command_line() -> Args {
        let args = Args::parse();
        if let Some(name) = args.named_twice() {
            let text = format!("two bundles are called {name:?}");
            Args::command().error(ErrorKind::ValueValidation, text).exit();
        }
        args
    }

    /// A name that two bundles have.
    fn named_twice(&self) -> Option<&str> {
        let mut names: Vec<&str> = self.bundle.iter().map(|bundle| bundle.name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).find(|pair| pair.first() == pair.get(1)).and_then(|pair| pair.first().copied())
    }
}

fn bundle(text: &str) -> Result<NamedBundle, String> {
    let (name, directory) = text.split_once('=').ok_or("NAME=DIR is expected")?;
    if !is_bundle_name(name) {
        return Err(format!("{name:?} cannot be a name under /bundles"));
    }
    if !PathBuf::from(directory).is_dir() {
        return Err(format!("{directory}: no such directory"));
    }
    Ok(NamedBundle { name: name.to_owned(), directory: directory.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_bundle_needs_a_name_and_a_directory_that_exists() {
        assert_eq!(bundle("a=/").map(|b| b.name), Ok("a".to_owned()));
        for wrong in ["a", "=/", "a/b=/", "..=/", "a=/does/not/exist", "a=/etc/passwd"] {
            assert!(bundle(wrong).is_err(), "{wrong}");
        }
    }
}
