//! Signals to this command that are meant for the container.

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// The signals that arrived and were not passed on yet.
pub(crate) struct Signals {
    pending: Vec<(u8, UnixStream)>,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        let mut pending = Vec::new();
        for signal in FORWARDED {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, writer)?;
            pending.push((signal as u8, reader));
        }
        Ok(Signals { pending })
    }

    /// Sleeps until one arrives.
    pub(crate) fn sleep(&self) -> rustix::io::Result<()> {
        let readers = self.pending.iter().map(|(_, reader)| PollFd::new(reader, PollFlags::IN));
        rustix::io::retry_on_intr(|| poll(&mut readers.clone().collect::<Vec<_>>(), None)).map(drop)
    }

    /// Takes the signals that arrived, each once however often it came.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let arrived = |reader: &mut UnixStream| matches!(reader.read(&mut [0; 64]), Ok(1..));
        self.pending.iter_mut().filter_map(|(signal, reader)| arrived(reader).then_some(*signal)).collect()
    }
}
