//! The first program, and what becomes of the machine at its end.
//!
//! It is `/sbin/init` of the boot image, a native program, which gets a capability to everything and the command line
//! of the boot loader as its text. That may name another program of the boot image in its place:
//!
//! ```text
//!   native=/sbin/measure                 a native program, in place of init and with its capabilities
//!   linux=/bin/busybox sh /script        no terminal: input is empty, output goes to the console
//!   linux-tty=/bin/busybox sh            the console is its terminal
//! ```
//!
//! Everything up to the end of the line are its arguments, divided by spaces. It runs as root in the machine's own
//! namespaces, with no container around it, and the machine powers off with its status.

use crate::console;
use crate::cred::Credentials;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux::{self, Gate, Streams};
use crate::memory::GroupId;
use crate::ns::ProcessId;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;
use core::fmt;

const ENVIRONMENT: [&[u8]; 3] =
    [b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", b"TERM=xterm", b"HOME=/root"];

/// Where the native first program is.
const INIT: &str = "/sbin/init";

/// A program whose end is the machine's.
#[derive(Debug)]
pub struct First {
    kind: Kind,
    name: String,
}

#[derive(Debug)]
enum Kind {
    /// A native one.
    Native(ProcessId),
    /// A Linux one, and the ring of its output if it has no terminal.
    Linux(ProcessId, Option<u32>),
}

/// Why there is no first program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoFirst {
    /// Neither the boot image nor the command line has one.
    Nothing,
    /// It cannot be started.
    Refused(String, Errno),
}

impl fmt::Display for NoFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoFirst::Nothing => {
                f.write_str("nothing to run: no /sbin/init in the boot image, no linux= on the command line")
            }
            NoFirst::Refused(name, errno) => write!(f, "{name} cannot be started, error {}", errno.0),
        }
    }
}

/// How the first program ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// What was started.
    pub name: String,
    /// How it ended.
    pub exit: Exit,
}

impl Ended {
    /// As a shell has it: the status, or 128 and the signal.
    pub fn status(&self) -> u8 {
        self.exit.status()
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit {
            Exit::Code(code) => write!(f, "{} ended with status {code}", self.name),
            Exit::Signal(signal) => write!(f, "{} ended by signal {signal}", self.name),
            Exit::OutOfMemory => write!(f, "{} ended because memory ran out", self.name),
        }
    }
}

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wish {
    arguments: Vec<Vec<u8>>,
    terminal: bool,
}

fn wish(command_line: &[u8]) -> Option<Wish> {
    let words = || command_line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (at, terminal, program) = words().enumerate().find_map(|(at, word)| {
        let plain = word.strip_prefix(b"linux=").map(|program| (at, false, program));
        plain.or_else(|| word.strip_prefix(b"linux-tty=").map(|program| (at, true, program)))
    })?;
    let arguments = core::iter::once(program).chain(words().skip(at + 1)).map(<[u8]>::to_vec).collect();
    Some(Wish { arguments, terminal })
}

impl First {
    /// Starts what `command_line` asks for.
    ///
    /// # Errors
    /// [`NoFirst`]; the kernel has nothing to do then.
    pub fn start<H: Hw>(k: &mut Kernel<H>, command_line: &[u8]) -> Result<First, NoFirst> {
        let Some(wish) = wish(command_line) else { return native(k, command_line) };
        let name = wish.arguments.first().map(|name| String::from_utf8_lossy(name).into_owned());
        let name = name.unwrap_or_default();
        start(k, wish)
            .map_err(|errno| NoFirst::Refused(name.clone(), errno))
            .map(|(process, output)| First { kind: Kind::Linux(process, output), name })
    }

    /// Whether [`Self::look`] is called after each system call, so that no output is lost. Otherwise now and then is
    /// enough.
    pub fn is_watched(&self) -> bool {
        matches!(self.kind, Kind::Linux(_, Some(_)))
    }

    /// Passes on what the program has written. Tells how it ended, once it has.
    pub fn look<H: Hw>(&self, k: &mut Kernel<H>) -> Option<Ended> {
        let exit = match self.kind {
            Kind::Native(process) => k.processes.get(process).and_then(|process| process.exit),
            Kind::Linux(process, output) => {
                if let Some(output) = output {
                    show(k, output);
                }
                linux::collect(k, process)
            }
        }?;
        // Only now: most looks find that it runs.
        Some(Ended { name: self.name.clone(), exit })
    }
}

/// Starts init, or the native program that the command line names in its place.
fn native<H: Hw>(k: &mut Kernel<H>, command_line: &[u8]) -> Result<First, NoFirst> {
    let named = command_line.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"native="));
    let path = named.unwrap_or(INIT.as_bytes());
    let name = String::from_utf8_lossy(path).into_owned();
    match k.start_init(path, command_line) {
        Ok(process) => Ok(First { kind: Kind::Native(process), name }),
        Err(Errno::ENOENT) if named.is_none() => Err(NoFirst::Nothing),
        Err(errno) => Err(NoFirst::Refused(name, errno)),
    }
}

fn start<H: Hw>(k: &mut Kernel<H>, wish: Wish) -> Result<(ProcessId, Option<u32>), Errno> {
    let output = if wish.terminal { None } else { Some(linux::new_output(k)?) };
    let namespaces = k.vfs.namespaces.copy_set(&k.machine);
    let gate = Gate {
        group: GroupId::ROOT,
        credentials: Credentials::root(k.machine.user),
        fs: k.vfs.new_context(k.machine.mount)?,
        namespaces,
        limits: Gate::default_limits(),
        oom_score: 0,
        streams: output.map_or(Streams::Terminal, Streams::Output),
    };
    let process = linux::spawn(k, gate)?;
    linux::load(k, process, wish.arguments, ENVIRONMENT.iter().map(|text| text.to_vec()).collect())?;
    linux::release(k, process)?;
    Ok((process, output))
}

/// Writes what is in a ring of output to the console.
fn show<H: Hw>(k: &mut Kernel<H>, output: u32) {
    let mut buffer = [0; 256];
    while let Some((count, _)) = linux::output(k, output).map(|ring| ring.read(&mut buffer))
        && count > 0
    {
        console::write_lines(&mut k.mem.hw, buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&str]) -> Vec<Vec<u8>> {
        of.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn everything_after_the_program_are_its_arguments() {
        let wished = wish(b"quiet  linux=/bin/busybox sh  linux-tty=x").unwrap();
        assert_eq!(wished.arguments, words(&["/bin/busybox", "sh", "linux-tty=x"]));
        assert!(!wished.terminal);
        assert!(wish(b"a linux-tty=/bin/sh").unwrap().terminal);
        assert_eq!(wish(b"quiet"), None);
    }
}
