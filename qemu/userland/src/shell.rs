//! The shell as a process: an ordinary client with a factory, a console and a directory of bundles.
//!
//! Its text says what to do: `-c COMMANDS` runs these and ends, with status 1 if one failed; anything else prompts.
//! `-l LABEL` before it puts the label in front of each line of theirs. It holds no power switch: `poweroff` ends it, and init, which has one, does the rest.

use crate::console::{Attended, Listener};
use crate::slots::process as slot;
use crate::sys;
use bailiwick_abi::{Error, Handle, Rights};
use bailiwick_client::{Container, Factory};
use bailiwick_kernel_glue::metal::{Directory, EndpointChannel, Messages};
use bailiwick_manifest::Told;
use bailiwick_userland_core::shell::Shell;
use bailiwick_userland_core::{Bundles, Console, Labelled};

/// Columns, where nobody tells.
const WIDTH: usize = 80;

/// Bundles below a directory capability.
#[derive(Clone, Copy, Debug)]
pub struct BundleDirectory(pub Handle);

impl Bundles for BundleDirectory {
    type Directory = Directory;
    type Error = Error;

    fn open(&self, name: &str) -> Result<Directory, Error> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(Error::NOT_FOUND);
        }
        sys::directory_open(self.0, name, Rights::ALL).map(Directory::new)
    }
}

/// The bundles that the shell was handed: those by themselves, then those below its first directory.
#[derive(Clone, Copy, Debug)]
struct Given<'t>(Told<'t>);

impl Bundles for Given<'_> {
    type Directory = Directory;
    type Error = Error;

    fn open(&self, name: &str) -> Result<Directory, Error> {
        match (slot::DIRECTORIES..).zip(self.0.bundles()).find(|(_, own)| *own == name) {
            // A copy: the one in the slot is for the next time.
            Some((number, _)) => sys::derive(Handle::first(number), Rights::ALL).map(Directory::new),
            None => BundleDirectory(Handle::first(self.first_directory())).open(name),
        }
    }
}

impl Given<'_> {
    fn first_directory(&self) -> u32 {
        (slot::DIRECTORIES..)
            .zip(self.0.bundles())
            .map(|(number, _)| number + 1)
            .last()
            .unwrap_or(slot::DIRECTORIES)
    }
}

/// Runs commands or prompts.
pub fn main(text: &str) -> u8 {
    let Ok(messages) = Messages::new() else { return 1 };
    let told = Told::of(text);
    let text = told.text;
    let factory = Factory::new(EndpointChannel::new(messages.clone(), slot::FACTORY));
    let mut console = Attended::new(slot::CONSOLE);
    let Ok(listener) = Listener::new(console.clone()) else { return 1 };
    let mut shell = Shell::new(factory, Given(told), listener);
    for (number, name) in (slot::CONTAINERS..).zip(told.containers()) {
        let channel = EndpointChannel::new(messages.clone(), Handle::first(number));
        shell = shell.hold(name, Container::new(channel));
    }
    let labelled = text.strip_prefix("-l ").and_then(|text| text.split_once(' '));
    let run =
        |commands: &str, console: &mut dyn Console| u8::from(shell.run_list(commands, console).failed > 0);
    match labelled.map_or(text, |(_, text)| text).strip_prefix("-c ") {
        Some(commands) => match labelled {
            Some((label, _)) => run(commands, &mut Labelled::new(console, label)),
            None => run(commands, &mut console),
        },
        None => {
            shell.converse(&mut console, WIDTH);
            0
        }
    }
}
