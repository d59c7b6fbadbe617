//! The machine.

use crate::args::{Args, Machine};
use crate::image::Terminal;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What the guest writes to the exit port for success: QEMU ends with twice that and one. 0 is not used, for it
/// would look like QEMU's own failure.
const EXIT_SUCCESS: i32 = 0x10;
/// Exit status when the time was up, as timeout(1) has it.
pub const TIMED_OUT: u8 = 124;

/// What is booted.
#[derive(Clone, Copy, Debug)]
pub enum Boot<'a> {
    /// Kernel and boot image.
    Direct {
        /// The kernel's ELF file.
        kernel: &'a Path,
        /// The packed image.
        image: &'a Path,
    },
    /// A disc with a boot loader.
    Disc(&'a Path),
}

/// How a run of the machine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest powered off with this status; 0 is success.
    PoweredOff(u8),
    /// The time was up.
    TimedOut,
    /// QEMU ended in a way the guest did not choose: it failed itself or was killed.
    Died(ExitStatus),
}

impl Outcome {
    /// The exit status to pass on.
    pub fn status(self) -> u8 {
        match self {
            Outcome::PoweredOff(status) => status,
            Outcome::TimedOut => TIMED_OUT,
            Outcome::Died(_) => 1,
        }
    }
}

/// The command that boots what was asked for, without the standard streams.
pub fn command(args: &Args, boot: Boot<'_>, terminal: Terminal) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    let machine = match (args.machine, boot) {
        (Machine::Microvm, Boot::Direct { .. }) => "microvm,rtc=on,auto-kernel-cmdline=off",
        (Machine::Q35, _) | (_, Boot::Disc(_)) => "q35",
    };
    qemu.args(["-M", machine, "-m", &args.memory.to_string(), "-cpu", "max", "-accel", "tcg,thread=single"]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    match terminal {
        // The escape is Ctrl-], for Ctrl-a is a key of the shell's line editor; every other key goes to the guest.
        Terminal::Present => {
            qemu.args([
                "-echr",
                "0x1d",
                "-chardev",
                "stdio,id=console,mux=on,signal=off",
                "-serial",
                "chardev:console",
            ]);
            qemu.args(["-mon", "chardev=console"]);
        }
        Terminal::Absent => {
            qemu.args(["-serial", "stdio"]);
        }
    }
    if args.icount {
        // A count of instructions is the same each time only if the clock and random numbers begin alike.
        qemu.args(["-icount", "shift=0,sleep=off"]);
        qemu.args(["-rtc", "base=2026-01-01T00:00:00,clock=vm", "-seed", "1"]);
    }
    if let Some(port) = args.gdb {
        qemu.args(["-S", "-gdb", &format!("tcp:127.0.0.1:{port}")]);
    }
    match boot {
        Boot::Direct { kernel, image } => qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(image),
        // GRUB wants a display to draw its menu on.
        Boot::Disc(disc) => qemu.args(["-vga", "std", "-cdrom"]).arg(disc),
    };
    qemu
}

/// Has the terminal show bytes as they come, and gives the state it had: lines of a serial console end with CR LF, and
/// with a CR of the terminal's own there would be two. QEMU, which changes the rest, leaves this as it finds it.
fn take_terminal() -> Option<Termios> {
    let saved = tcgetattr(io::stdin()).ok()?;
    let mut taken = saved.clone();
    taken.output_modes.remove(OutputModes::ONLCR);
    tcsetattr(io::stdin(), OptionalActions::Drain, &taken).ok()?;
    Some(saved)
}

/// Boots and waits for the end, at most `limit`. A terminal is given back in the state it had.
///
/// # Errors
/// QEMU is not installed.
pub fn run(mut qemu: Command, terminal: Terminal, limit: Duration) -> Result<Outcome> {
    let saved = match terminal {
        Terminal::Present => take_terminal(),
        Terminal::Absent => {
            qemu.stdin(Stdio::null());
            None
        }
    };
    let ended = qemu
        .spawn()
        .context("cannot run qemu-system-x86_64: install qemu-system-x86 (./qemu/run does)")
        .and_then(|mut child| wait(&mut child, limit));
    if let Some(saved) = saved {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &saved);
    }
    Ok(ended?.map_or(Outcome::TimedOut, outcome))
}

/// The status QEMU ended with; none if it had to be killed because the time was up.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        bail!("QEMU has no process number")
    };
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(_) => return Ok(Some(child.wait()?)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    let Some(code) = status.code().filter(|code| code & 1 == 1) else { return Outcome::Died(status) };
    match u8::try_from((code >> 1) - EXIT_SUCCESS) {
        Ok(code) => Outcome::PoweredOff(code),
        Err(_) => Outcome::Died(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn only_the_guests_own_success_is_success() {
        let of = |code: i32| outcome(ExitStatus::from_raw(code << 8));
        assert_eq!(of(33), Outcome::PoweredOff(0));
        assert_eq!(of(35), Outcome::PoweredOff(1));
        for code in [0, 1, 2, 31, 32, 34] {
            assert_ne!(of(code).status(), 0, "{code}");
        }
        assert_ne!(outcome(ExitStatus::from_raw(9)).status(), 0);
    }
}
