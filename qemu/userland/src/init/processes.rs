//! The manifest's native processes: started with what it gives them, and waited for.

use super::{CONSOLE, GROUP, ROOT, Result, SystemInit, say};
use crate::service::because;
use crate::slots::process;
use crate::sys;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_abi::{Exit, Handle, Rights};
use bailiwick_manifest::{Access, Boot, Console, PROCESSES_MAX, Process};
use bailiwick_protocol::Quota;

/// Bytes of a frame.
const FRAME: u64 = 4096;
/// The bit that the end of the process at the console sets.
const CONSOLE_ENDED: u64 = 1 << 2;
/// The number of the bit that the end of the first process that ends by itself sets; each has one of its own.
const FIRST_ENDED: usize = 3;
const _: () = assert!(FIRST_ENDED + PROCESSES_MAX < 64);

/// What was started, and what is known of its end.
pub(super) struct Processes<'b> {
    boot: &'b Boot,
    /// The one somebody talks to, if anybody does.
    at_console: Option<(&'b Process, Handle)>,
    /// Those that end by themselves.
    by_themselves: Vec<(&'b Process, Handle)>,
    /// Bits of those that have ended.
    ended: u64,
}

impl<'b> Processes<'b> {
    /// Starts them, those to talk to only if there is something to be said.
    pub(super) fn start(init: &SystemInit<'_>, boot: &'b Boot, events: Handle) -> Result<Self> {
        let mut own = Processes { boot, at_console: None, by_themselves: Vec::new(), ended: 0 };
        let commands = match &boot.console {
            Console::Commands(commands) => format!("-c {commands}"),
            Console::Interactive | Console::Summary => "".to_string(),
        };
        for program in &boot.manifest.processes {
            let text = match &program.args {
                Some(args) => args,
                None if boot.console == Console::Summary => continue,
                None => &commands,
            };
            let started = start(init, program, text)?;
            let bit = if program.args.is_some() {
                own.by_themselves.push((program, started));
                own.bit(own.by_themselves.len() - 1)
            } else if program.console {
                own.at_console = Some((program, started));
                CONSOLE_ENDED
            } else {
                continue;
            };
            sys::process_watch(started, events, bit).map_err(because(&program.name))?;
        }
        match (&boot.console, own.at_console) {
            (Console::Interactive | Console::Commands(_), None) => {
                Err("the manifest gives the console to no process without args".to_string())
            }
            _ => Ok(own),
        }
    }

    fn bit(&self, index: usize) -> u64 {
        1 << (FIRST_ENDED + index)
    }

    /// The process at the console.
    pub(super) fn at_console(&self) -> Option<Handle> {
        self.at_console.map(|(_, handle)| handle)
    }

    /// Takes note of who has ended, and tells. Whether all have that are waited for: whoever is talked to decides alone.
    pub(super) fn are_over(&mut self, bits: u64) -> bool {
        for (index, (program, handle)) in self.by_themselves.iter().enumerate() {
            if bits & self.bit(index) != 0 {
                let how = sys::process_wait(*handle).map_or_else(|error| error.to_string(), how);
                say(&format!("init: process {}: {how}\n", program.name));
            }
        }
        self.ended |= bits;
        let all = self.by_themselves.iter().enumerate().fold(0, |all, (index, _)| all | self.bit(index));
        let wanted = match self.boot.console {
            Console::Interactive => CONSOLE_ENDED,
            Console::Commands(_) => CONSOLE_ENDED | all,
            Console::Summary => all,
        };
        self.ended & wanted == wanted
    }

    /// The machine's status: of who was at the console, or else of the first that did not succeed.
    pub(super) fn status(&self) -> Result<u8> {
        let ended =
            self.by_themselves.iter().enumerate().filter(|(index, _)| self.ended & self.bit(*index) != 0);
        for (program, handle) in self.at_console.iter().chain(ended.map(|(_, started)| started)) {
            match sys::process_wait(*handle).map_err(because(&program.name))? {
                Exit::Code(0) => {}
                Exit::Code(status) => return Ok(status),
                other => return Err(format!("process {}: {}", program.name, how(other))),
            }
        }
        Ok(0)
    }
}

fn how(exit: Exit) -> alloc::string::String {
    match exit {
        Exit::Code(status) => format!("exit {status}"),
        Exit::Signal(number) => format!("signal {number} ended it"),
        Exit::OutOfMemory => "out of memory".to_string(),
    }
}

/// Starts one process with what the manifest gives it.
fn start(init: &SystemInit<'_>, wanted: &Process, text: &str) -> Result<Handle> {
    let name = wanted.name.as_str();
    let group = match (wanted.memory, wanted.threads) {
        (None, None) => GROUP,
        (memory, threads) => {
            let frames = memory.map_or(0, |bytes| (bytes / FRAME).max(1));
            let group =
                sys::group_create(GROUP, &format!("process-{name}"), frames, threads.unwrap_or(0).into());
            group.map_err(because(name))?
        }
    };
    let program =
        sys::process_create(group, ROOT, &format!("/sbin/{}", wanted.program)).map_err(because(name))?;
    let grant =
        |slot, handle, rights| sys::process_grant(program, slot, handle, rights).map_err(because(name));
    if wanted.console {
        // Keys are for whoever is to be talked to.
        let read = if wanted.args.is_some() { Rights::NONE } else { Rights::READ };
        grant(process::CONSOLE.slot(), CONSOLE, read.with(Rights::WRITE))?;
    }
    if !wanted.factory.is_empty() {
        let factory = if wanted.is_tenant() {
            let quota = wanted.quota.unwrap_or(Quota::UNBOUNDED);
            init.factory().delegate(wanted.factory, quota, wanted.policy.as_deref())
        } else {
            init.factory().derive(wanted.factory)
        };
        let factory = factory.map_err(|error| format!("{name}: {error}"))?;
        let handle = factory.into_channel().into_handle();
        grant(process::FACTORY.slot(), handle, Rights::WRITE)?;
        sys::delete(handle);
    }
    for (slot, (path, access)) in (process::DIRECTORIES..).zip(wanted.handed()) {
        let directory = sys::directory_open(ROOT, &path, Rights::ALL).map_err(because(&path))?;
        let write = match access {
            Access::Read => Rights::NONE,
            Access::Write => Rights::WRITE,
        };
        grant(slot, directory, Rights::READ.with(Rights::EXECUTE).with(Rights::GRANT).with(write))?;
        sys::delete(directory);
    }
    for (slot, held) in (process::CONTAINERS..).zip(&wanted.containers) {
        match init.factory().lookup(&held.id, held.rights) {
            Ok(container) => {
                let handle = container.into_channel().into_handle();
                grant(slot, handle, Rights::WRITE)?;
                sys::delete(handle);
            }
            // It may not have come up, or be another's by now: its name then stands for nothing.
            Err(error) => say(&format!("init: process {name}: container {}: {error}\n", held.id)),
        }
    }
    sys::process_start(program, &wanted.text(text)).map_err(because(name))?;
    Ok(program)
}
