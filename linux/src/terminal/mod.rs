//! Terminals of processes: who gets one, and where its other side goes.
//!
//! ```text
//!   process ── /dev/pts/0 │ master ──► this command ──► --console-socket, whose reader relays
//!                                                   └─► relay to this command's own terminal
//! ```
//!
//! The process makes its terminal in the container and sends the master side over one end of a socket pair, which this
//! command has passed along with its request, the first size waiting on it. The master is passed on as runc does: one
//! message on a stream socket, with the terminal's path inside as its bytes.

mod relay;

use crate::failure::Failure;
use crate::wire;
use bailiwick_kernel_glue::linux::Directory;
use bailiwick_server::oci::CONFIG_MAX;
pub(crate) use relay::Relay;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::termios::Winsize;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a process's description says of a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    /// It wants none.
    Streams,
    /// It wants one, perhaps of this size at first.
    Terminal(Option<Winsize>),
    /// The description cannot be read; the server will say why.
    Unknown,
}

impl Wish {
    /// Of the object `process` of the specification.
    pub(crate) fn of_process(process: &Value) -> Self {
        if process.get("terminal").and_then(Value::as_bool) != Some(true) {
            return Wish::Streams;
        }
        let number = |name| {
            let value = process.get("consoleSize").and_then(|size| size.get(name)).and_then(Value::as_u64);
            value.and_then(|n| u16::try_from(n).ok())
        };
        let size = number("height").zip(number("width"));
        Wish::Terminal(size.map(|(rows, columns)| Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        }))
    }

    /// The same, or a terminal of no particular size if none is wished for.
    pub(crate) fn or_terminal(self) -> Self {
        match self {
            Wish::Terminal(size) => Wish::Terminal(size),
            Wish::Streams | Wish::Unknown => Wish::Terminal(None),
        }
    }

    /// Of the configuration in a bundle.
    pub(crate) fn of_bundle(bundle: &Directory) -> Self {
        config(bundle)
            .map_or(Wish::Unknown, |config| config.get("process").map_or(Wish::Streams, Self::of_process))
    }
}

/// The bundle's configuration, opened as the server does and no more of it read.
fn config(bundle: &Directory) -> Option<Value> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(bundle, "config.json", flags, Mode::empty(), resolve).ok()?;
    let mut text = String::new();
    File::from(file).take(CONFIG_MAX as u64).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// How long this command stays with the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    Foreground,
    Detached,
}

/// Where the master side of a terminal that does not exist yet will go.
#[derive(Debug)]
pub(crate) struct Console {
    ours: OwnedFd,
    to: Option<OwnedFd>,
}

impl Console {
    /// For a process with this wish: the console, and the end of it to be passed along; none without a terminal.
    pub(crate) fn prepare(
        wish: Wish,
        socket: Option<&Path>,
        presence: Presence,
    ) -> Result<Option<(Self, OwnedFd)>, Failure> {
        let size = match (wish, socket) {
            (Wish::Terminal(size), _) => size,
            (Wish::Streams, Some(path)) => {
                let what = "nothing to send there: process.terminal is not true";
                return Err(Failure::about(format_args!("--console-socket {}", path.display()), what));
            }
            (Wish::Streams, None) | (Wish::Unknown, _) => return Ok(None),
        };
        if socket.is_none() && presence == Presence::Detached {
            let what = "a detached process's terminal has to go somewhere; give --console-socket";
            return Err(Failure::about("process.terminal", what));
        }
        let to = socket.map(connect).transpose()?;
        let (ours, theirs) = wire::pair()?;
        // On its way before the request, so that the program never sees another one.
        if let Some(size) = own_size(to.as_ref()).or(size) {
            let [[a, b], [c, d]] = [size.ws_row, size.ws_col].map(u16::to_le_bytes);
            wire::send(ours.as_fd(), &[a, b, c, d], &[], wire::Room::Now)?;
        }
        Ok(Some((Console { ours, to }, theirs)))
    }

    /// Takes the terminal, which has been made by now. Without a socket to send it to it is relayed here.
    pub(crate) fn receive(self) -> Result<Option<Relay>, Failure> {
        let about = |reason: &dyn std::fmt::Display| Failure::about("the process's terminal", reason);
        let message = wire::receive_now(self.ours.as_fd()).map_err(|error| about(&error))?;
        let mut message = message.ok_or_else(|| about(&"was not handed over"))?;
        let master = message.descriptors.pop().ok_or_else(|| about(&"was not handed over"))?;
        let Some(to) = self.to else { return Relay::start(master).map(Some) };
        wire::send(to.as_fd(), message.frame(), &[master.as_fd()], wire::Room::Now)
            .map_err(|error| Failure::about("--console-socket", error))?;
        Ok(None)
    }
}

/// The size of this command's own terminal, if that is where the other is relayed.
fn own_size(to: Option<&OwnedFd>) -> Option<Winsize> {
    let own = rustix::stdio::stdin();
    if to.is_some() || !rustix::termios::isatty(own) {
        return None;
    }
    rustix::termios::tcgetwinsize(own).ok()
}

fn connect(path: &Path) -> Result<OwnedFd, Failure> {
    let about = |error| Failure::about(format_args!("--console-socket {}", path.display()), error);
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(about)?;
    let address = SocketAddrUnix::new(path).map_err(about)?;
    rustix::net::connect(&socket, &address).map_err(about)?;
    Ok(socket)
}
