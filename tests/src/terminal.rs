//! The system in QEMU with somebody at its console: a pseudo-terminal that is typed on and read from.

use bailiwick_runner::programs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is waited for,
const LIMIT: Duration = Duration::from_secs(180);
/// and how long building what is booted may take.
const BUILDING: Duration = Duration::from_secs(1800);

/// A terminal on which `./qemu/run` runs.
#[derive(Debug)]
pub struct Terminal {
    machine: Child,
    keys: File,
    /// Everything that was shown, as it came, line ends included.
    pub bytes: Vec<u8>,
    /// The same without CR. Bytes, for a read may end within a character.
    shown: Vec<u8>,
    /// How much of `shown` was looked for.
    seen: usize,
}

impl Terminal {
    /// Runs `./qemu/run` with these arguments on a new terminal of 80 columns, until the machine boots.
    ///
    /// # Errors
    /// There are no pseudo-terminals, it cannot be run at all, or nothing can be built.
    pub fn run(arguments: &[&str]) -> io::Result<Terminal> {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&keys)?;
        unlockpt(&keys)?;
        tcsetwinsize(&keys, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })?;
        let name = ptsname(&keys, Vec::new())?;
        let end = || open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        // In a session of its own: its terminal is this one.
        let machine = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(programs::workspace().join("qemu/run"))
            .args(arguments)
            .stdin(Stdio::from(end()?))
            .stdout(Stdio::from(end()?))
            .stderr(Stdio::from(end()?))
            .spawn()?;
        let (bytes, shown, seen) = Default::default();
        let mut terminal = Terminal { machine, keys: keys.into(), bytes, shown, seen };
        terminal.until_within("qemu/run: booting", BUILDING)?;
        Ok(terminal)
    }

    /// Types this.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn keys(&mut self, text: &str) -> io::Result<()> {
        self.keys.write_all(text.as_bytes())
    }

    /// Waits until `text` is shown, after what was looked for before; gives what was shown up to it.
    ///
    /// # Errors
    /// It was not shown in time, or the machine is off: then with everything that was shown.
    pub fn until(&mut self, text: &str) -> io::Result<String> {
        self.until_within(text, LIMIT)
    }

    fn until_within(&mut self, text: &str, limit: Duration) -> io::Result<String> {
        let end = Instant::now() + limit;
        loop {
            let fresh = self.shown.get(self.seen..).unwrap_or_default();
            if let Some(at) = fresh.windows(text.len()).position(|bytes| bytes == text.as_bytes()) {
                let before = String::from_utf8_lossy(fresh.get(..at).unwrap_or_default()).into_owned();
                self.seen += at + text.len();
                return Ok(before);
            }
            if self.more(end)? == 0 {
                return Err(io::Error::other(format!("{text:?} was not shown:\n{}", self.all())));
            }
        }
    }

    /// Everything that was shown, without CR.
    #[must_use]
    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Waits until the machine is off; gives the status of `./qemu/run` and what was shown at the end.
    ///
    /// # Errors
    /// It stays on.
    pub fn end(&mut self) -> io::Result<(ExitStatus, String)> {
        let end = Instant::now() + LIMIT;
        while self.more(end)? > 0 {}
        let rest = self.shown.get(self.seen..).unwrap_or_default();
        let rest = String::from_utf8_lossy(rest).into_owned();
        self.seen = self.shown.len();
        Ok((self.machine.wait()?, rest))
    }

    /// Takes what is shown next; nothing if the terminal is closed.
    fn more(&mut self, end: Instant) -> io::Result<usize> {
        let left =
            Timespec::try_from(end.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&self.keys, PollFlags::IN)], Some(&left))? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("nothing more is shown:\n{}", self.all()),
            ));
        }
        let mut room = [0; 1];
        // A terminal whose other end is closed gives EIO.
        let count = self.keys.read(&mut room).unwrap_or(0);
        let came = room.get(..count).unwrap_or_default();
        self.bytes.extend_from_slice(came);
        self.shown.extend(came.iter().filter(|byte| **byte != b'\r'));
        Ok(count)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Closing the terminal would do as well; this is sooner. It is over already if `end` was called.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}
