//! The monitor: one small process per container, which holds the server and watches the container.
//!
//! ```text
//!   command ── socket pair ──► monitor: Manager ─► KernelGlue on Linux ─► container
//!   later commands ── STATE/socket ──┘
//! ```
//!
//! Its first connection is the root factory's capability, and the first call on it is the container's creation. From
//! then on it serves whoever connects, root and its own user only, until the container is gone; before the last
//! answer goes out, so is the state directory. It has one thread, cannot be looked into, and runs from a read-only
//! mount of its own (CVE-2019-5736). A capability is a connected descriptor; a reply that brings one carries a new
//! socket beside it.

mod connections;

use crate::failure::Failure;
use crate::state_directory::StateDirectory;
use crate::wire::{self, Message, Streams};
use bailiwick_kernel_glue::linux::{DEFAULT_PARENT, Linux, Reaper};
use bailiwick_kernel_glue::{Delivery, KernelGlue, StepFault};
use bailiwick_protocol::error::{ErrorReply, KernelFault};
use bailiwick_protocol::frame::{FRAME_MAX, Tag, tag_of};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::{Derive, Request, Waiting};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Leftover, Limits, Manager, Policy};
use connections::{Connection, Connections, Flushed, Turn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::DumpableBehavior;
use std::sync::Arc;

/// One container, and grants enough for as many connections as there can be.
const LIMITS: Limits = Limits { containers: 1, factories: 1, processes: 64 };

/// What the command that started it has left in place of its streams.
struct Given {
    /// In place of standard input: the socket in the state directory, listening.
    listener: OwnedFd,
    /// In place of standard output: the first connection.
    creator: OwnedFd,
    /// As the working directory.
    state: StateDirectory,
}

/// What runs.
struct Monitor {
    kernel: Linux,
    manager: Manager,
    root: Badge,
    connections: Connections,
    listener: OwnedFd,
}

/// The whole life of the monitor of container `id`.
pub(crate) fn main(id: &str, reaper: Reaper) -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Fails if it leads a session already, which serves as well.
    let _ = rustix::process::setsid();
    let Given { listener, creator, state } = take_given(id)?;
    match Linux::new(DEFAULT_PARENT) {
        Ok(mut kernel) => {
            kernel.set_reaper(reaper);
            Monitor::new(kernel, listener).live(creator, state)
        }
        Err(fault) => answer_fault(creator, fault, state),
    }
}

fn take_given(id: &str) -> Result<Given, Failure> {
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let creator = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    let state = StateDirectory::working_directory(id)?;
    rustix::process::chdir("/")?;
    Ok(Given { listener, creator, state })
}

/// Where the kernel gives no backend, the creation is answered with the reason.
fn answer_fault(creator: OwnedFd, fault: StepFault, state: StateDirectory) -> Result<(), Failure> {
    let Some(message) = wire::receive(creator.as_fd())? else { return Ok(()) };
    let mut room = [0; FRAME_MAX];
    let error = ErrorReply::from(KernelFault::from(fault));
    let Ok(frame) = error.encode(tag_of(message.frame()), &mut room) else { return Ok(()) };
    drop(state);
    Ok(wire::send(creator.as_fd(), frame, &[], wire::Room::Now)?)
}

impl Monitor {
    fn new(kernel: Linux, listener: OwnedFd) -> Self {
        let (manager, root) = Manager::new(LIMITS, Policy::default());
        Monitor { kernel, manager, root, connections: Connections::default(), listener }
    }

    /// Serves until there is no container any more.
    fn live(mut self, creator: OwnedFd, state: StateDirectory) -> Result<(), Failure> {
        let Some(creation) = wire::receive(creator.as_fd())? else { return Ok(()) };
        let first = self.derive_root().and_then(|badge| self.connections.add(creator, badge));
        if let Some(first) = first {
            self.deliver(first, creation);
        }
        // Without it a later `delete --force` would find less to remove, which is no reason to fail now.
        let _ = state.keep_groups(&self.kernel.group_paths());
        loop {
            self.settle();
            if self.manager.container_count() == 0 {
                // Whoever reads the answer finds nothing left.
                drop(state);
                self.connections.flush();
                return Ok(());
            }
            match self.connections.flush() {
                Flushed::Nothing => self.turn()?,
                // What a send has brought about comes before sleep.
                Flushed::Some => {}
            }
        }
    }

    /// Takes note of everything that has happened by itself. Afterwards only a descriptor can tell of more: neither
    /// an event nor a badge that was given up is left in a queue.
    fn settle(&mut self) {
        loop {
            self.manager.sweep(&mut self.kernel, &mut self.connections);
            while let Some(badge) = self.connections.take_given_up() {
                self.manager.closed(&mut self.kernel, &mut self.connections, badge);
            }
            let Some(event) = self.kernel.next_event(Waiting::No) else { return };
            self.manager.event(&mut self.kernel, &mut self.connections, event);
        }
    }

    /// Sleeps until something happens and handles what came over connections. Only to be called when everything is
    /// settled and no reply is waiting to be sent, for nothing would wake it for those.
    fn turn(&mut self) -> Result<(), Failure> {
        let ends: Vec<_> =
            self.connections.iter().map(|(c, end)| (c, end.socket.clone(), end.turn)).collect();
        let wanted = |turn: &Turn| if *turn == Turn::Client { PollFlags::IN } else { PollFlags::empty() };
        // Who connects while there is no room waits until there is.
        let more = if self.connections.has_room() { PollFlags::IN } else { PollFlags::empty() };
        let mut polled = vec![PollFd::new(&self.kernel, PollFlags::IN), PollFd::new(&self.listener, more)];
        polled.extend(ends.iter().map(|(_, socket, turn)| PollFd::new(socket, wanted(turn))));
        match poll(&mut polled, self.patience().as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let came: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        drop(polled);
        for ((connection, _, turn), flags) in ends.iter().zip(came.iter().skip(2)) {
            self.ready(*connection, *turn, *flags);
        }
        if came.get(1).is_some_and(|flags| !flags.is_empty()) {
            self.accept();
        }
        Ok(())
    }

    /// How long to sleep at most: until a capability ends by itself, and not at all while work is left over.
    fn patience(&self) -> Option<Timespec> {
        let left = match self.manager.leftover() {
            Leftover::Some => 0,
            Leftover::None => self.manager.next_expiry()?.0.saturating_sub(self.kernel.now().0),
        };
        let seconds = i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX);
        Some(Timespec { tv_sec: seconds, tv_nsec: (left % 1_000_000_000) as _ })
    }

    fn ready(&mut self, connection: Connection, turn: Turn, flags: PollFlags) {
        if flags.contains(PollFlags::IN) && turn == Turn::Client {
            let message = self.connections.socket(connection).map(|socket| wire::receive(socket.as_fd()));
            match message {
                Some(Ok(Some(message))) => self.deliver(connection, message),
                Some(_) => self.connections.closed(connection),
                None => {}
            }
        } else if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
            self.connections.closed(connection);
        }
    }

    /// Hands one message to the manager.
    fn deliver(&mut self, connection: Connection, mut message: Message) {
        let Some((badge, token)) = self.connections.begin(connection) else { return };
        let descriptors = std::mem::take(&mut message.descriptors);
        let frame = message.frame();
        let Beside { directory, streams, console, capabilities } =
            sort_out(descriptors, message.count, Streams::of(frame));
        self.kernel.set_streams(streams);
        self.kernel.set_console(console);
        let delivery = Delivery { badge, frame, directory: directory.map(Arc::new), capabilities, token };
        self.manager.deliver(&mut self.kernel, &mut self.connections, delivery);
        self.kernel.set_streams(None);
        self.kernel.set_console(None);
    }

    /// A capability on the factory for each who connects: giving it up or revoking it concerns nobody else.
    fn derive_root(&mut self) -> Option<Badge> {
        let mut room = [0; FRAME_MAX];
        let frame = Request::Derive(Derive::new(Rights::FACTORY)).encode(Tag(0), &mut room).ok()?;
        let token = Connections::OWN;
        let delivery = Delivery { badge: self.root, frame, directory: None, capabilities: 0, token };
        self.manager.deliver(&mut self.kernel, &mut self.connections, delivery);
        self.connections.take_own()
    }

    /// Takes a connection, if there is room and root or this process's own user is behind it (R13).
    fn accept(&mut self) {
        if !self.connections.has_room() {
            return;
        }
        let Ok(socket) = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) else { return };
        let peer = rustix::net::sockopt::socket_peercred(&socket);
        let trusted = |uid: rustix::process::Uid| uid.is_root() || uid == rustix::process::geteuid();
        if !peer.is_ok_and(|peer| trusted(peer.uid)) {
            return;
        }
        if let Some(badge) = self.derive_root() {
            let _ = self.connections.add(socket, badge);
        }
    }
}

/// What came beside a frame.
#[derive(Debug)]
struct Beside {
    directory: Option<OwnedFd>,
    streams: Option<[OwnedFd; 3]>,
    console: Option<OwnedFd>,
    /// How many capabilities the protocol sees.
    capabilities: usize,
}

/// Tells apart what came beside a frame, which asks for these `streams`. Where they did not all come, none did.
fn sort_out(mut descriptors: Vec<OwnedFd>, count: usize, streams: Streams) -> Beside {
    let all_came = descriptors.len() == count && count >= streams.count();
    let streams = if all_came { streams } else { Streams::None };
    let capabilities = count - streams.count();
    let mut rest = descriptors.split_off(capabilities.min(descriptors.len()));
    let directory = if capabilities == 1 { descriptors.pop() } else { None };
    let (streams, console) = match streams {
        Streams::None => (None, None),
        Streams::Three => (<[OwnedFd; 3]>::try_from(rest).ok(), None),
        Streams::Console => (None, rest.pop()),
    };
    Beside { directory, streams, console, capabilities }
}
