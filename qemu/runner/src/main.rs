//! `./qemu/run`: see [`bailiwick_runner`].

use anyhow::Result;
use bailiwick_runner::args::Args;
use bailiwick_runner::image::{self, Sources, Terminal};
use bailiwick_runner::qemu::{self, Boot, Outcome};
use bailiwick_runner::{iso, programs};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Default of `--timeout` when nobody sits at the console, in seconds.
const LIMIT_ALONE: u32 = 60;
/// Default of `--timeout` when somebody does.
const LIMIT_ATTENDED: u32 = 28_800;

fn main() -> ExitCode {
    match run(&Args::from_command_line()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("qemu/run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<u8> {
    if let Some(file) = &args.authority {
        image::write_authority(args.manifest.as_deref(), &args.bundle, file)?;
        say(&format!("wrote {0} and {0}.dot", file.display()));
        return Ok(0);
    }
    say("building the kernel and its programs");
    let built = programs::build()?;
    let kernel = programs::kernel(args.kernel())?;
    // A disc is booted elsewhere, by somebody.
    let terminal = match (io::stdin().is_terminal() && args.exec.is_none()) || args.iso.is_some() {
        true => Terminal::Present,
        false => Terminal::Absent,
    };
    let sources = Sources::of_workspace(built, args.manifest.as_deref());
    let image = image::pack(&sources, &args.bundle, image::console(args, terminal))?;
    say(&format!("packed the boot image, {} KiB", image.len() / 1024));
    if let Some(disc) = &args.iso {
        iso::write(&kernel, &image, disc)?;
        say(&format!(
            "wrote {}; try it with qemu-system-x86_64 -serial stdio -cpu max -cdrom it",
            disc.display()
        ));
        return Ok(0);
    }
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&image)?;
    boot(args, Boot::Direct { kernel: &kernel, image: file.path() }, terminal)
}

fn boot(args: &Args, boot: Boot<'_>, terminal: Terminal) -> Result<u8> {
    let limit = args.timeout.unwrap_or(match terminal {
        Terminal::Present => LIMIT_ATTENDED,
        Terminal::Absent => LIMIT_ALONE,
    });
    if let Some(port) = args.gdb {
        say(&format!("waiting for gdb: target remote 127.0.0.1:{port}, then hbreak"));
    }
    say("booting");
    let outcome =
        qemu::run(qemu::command(args, boot, terminal), terminal, Duration::from_secs(limit.into()))?;
    match outcome {
        Outcome::PoweredOff(_) => {}
        Outcome::TimedOut => eprintln!("qemu/run: stopped the machine after {limit} s (--timeout)"),
        Outcome::Died(status) if status.success() && terminal == Terminal::Present => {
            eprintln!("qemu/run: QEMU was told to quit before the machine was off");
        }
        Outcome::Died(status) => eprintln!("qemu/run: QEMU ended by itself: {status}"),
    }
    Ok(outcome.status())
}

fn say(text: &str) {
    eprintln!("qemu/run: {text}");
}
