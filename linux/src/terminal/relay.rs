//! Between this command's own terminal and that of a process in the container.

use crate::failure::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use signal_hook::consts::SIGWINCH;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// How long more output is waited for where somebody else keeps the terminal open after the program's end.
const LAST: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Keystrokes go in, output comes out, sizes follow, until [`Relay::finish`]. This command's own terminal is raw
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Relay {
    raw: Option<Raw>,
    output: JoinHandle<()>,
    running: PipeWriter,
}

impl Relay {
    /// Begins with the master side of a terminal.
    pub(super) fn start(master: OwnedFd) -> Result<Self, Failure> {
        let master = Arc::new(master);
        let raw = Raw::begin()?;
        if raw.is_some() {
            follow_size(master.clone())?;
        }
        let (stopped, running) = std::io::pipe()?;
        let screen = master.clone();
        let output = thread::Builder::new().spawn(move || show(&screen, &stopped))?;
        // Ends with this command: nothing interrupts its reading.
        thread::Builder::new().spawn(move || type_in(&master))?;
        Ok(Relay { raw, output, running })
    }

    /// The program has ended: shows what it wrote last, and gives this command's terminal back as it was.
    pub(crate) fn finish(self) {
        drop(self.running);
        // It does not panic; if it did, there would be nothing left to show.
        let _ = self.output.join();
        drop(self.raw);
    }
}

/// This command's own terminal, raw until this is dropped.
#[derive(Debug)]
struct Raw {
    before: Termios,
}

impl Raw {
    /// None if standard input is no terminal.
    fn begin() -> Result<Option<Self>, Failure> {
        let own = rustix::stdio::stdin();
        if !rustix::termios::isatty(own) {
            return Ok(None);
        }
        let before = rustix::termios::tcgetattr(own)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(own, OptionalActions::Now, &raw)?;
        Ok(Some(Raw { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The size of this command's terminal is that of the process's, now and whenever it changes.
fn follow_size(master: Arc<OwnedFd>) -> Result<(), Failure> {
    let (mut changes, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGWINCH, writer)?;
    copy_size(&master);
    thread::Builder::new().spawn(move || {
        while matches!(changes.read(&mut [0; 64]), Ok(1..)) {
            copy_size(&master);
        }
    })?;
    Ok(())
}

fn copy_size(master: &OwnedFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        let _ = rustix::termios::tcsetwinsize(master, size);
    }
}

/// Output to standard output, until nobody has the terminal open any more, or until it is `stopped` and nothing more
/// comes. What standard output does not take is lost, and the process not held up by it.
fn show(master: &OwnedFd, stopped: &PipeReader) {
    let mut out = std::io::stdout();
    let mut bytes = [0; 4096];
    let mut patience = None;
    loop {
        let mut polled = vec![PollFd::new(master, PollFlags::IN)];
        if patience.is_none() {
            polled.push(PollFd::new(stopped, PollFlags::IN));
        }
        let ready = rustix::io::retry_on_intr(|| poll(&mut polled, patience.as_ref()));
        let came: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        match (ready, came.as_slice()) {
            (Ok(0) | Err(_), _) => return,
            (_, [terminal, ..]) if !terminal.is_empty() => {}
            _ => {
                patience = Some(LAST);
                continue;
            }
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(master, &mut bytes)) {
            // EIO: the last one has closed it.
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let _ = out.write_all(bytes.get(..n).unwrap_or_default()).and_then(|()| out.flush());
            }
        }
    }
}

/// Standard input to the terminal. At its end the character for that is typed, if the terminal heeds it.
fn type_in(master: &OwnedFd) {
    let mut bytes = [0; 4096];
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => break,
            Ok(n) => {
                if write_all(master, bytes.get(..n).unwrap_or_default()).is_err() {
                    return;
                }
            }
        }
    }
    if let Ok(modes) = rustix::termios::tcgetattr(master)
        && modes.local_modes.contains(LocalModes::ICANON)
    {
        let _ = write_all(master, &[modes.special_codes[SpecialCodeIndex::VEOF]]);
    }
}

fn write_all(master: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(master, bytes))?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
