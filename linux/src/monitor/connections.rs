//! The monitor's side of its connections: which badge each one is, and the replies that are to go out.

use crate::wire::{self, Room};
use bailiwick_kernel_glue::{Port, ReplyToken};
use bailiwick_protocol::frame::FrameBuffer;
use bailiwick_protocol::id::Badge;
use rustix::fd::{AsFd, OwnedFd};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Most connections at one time. Who connects beyond that waits; a capability beyond it is given up at once.
const CONNECTIONS_MAX: usize = 256;

/// Names a connection, and with it the one call that may be under way on it. Never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Connection(u64);

/// Whether a connection waits for the answer of a call. While it does nothing more is read from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    Client,
    Monitor,
}

/// Whether there were replies to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flushed {
    Nothing,
    Some,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: Rc<OwnedFd>,
    pub(super) badge: Badge,
    pub(super) turn: Turn,
}

#[derive(Debug)]
struct Outgoing {
    connection: Connection,
    socket: Rc<OwnedFd>,
    frame: Vec<u8>,
    capability: Option<OwnedFd>,
}

/// All connections. Replies are kept until [`Connections::flush`], so that what must be true before a caller goes
/// on can be made true first.
#[derive(Debug, Default)]
pub(super) struct Connections {
    ends: BTreeMap<Connection, End>,
    next: u64,
    outgoing: Vec<Outgoing>,
    /// Where a reply is written.
    room: FrameBuffer,
    /// Badges that nobody holds any more, for the manager to be told.
    given_up: Vec<Badge>,
    /// The badge that came as the answer to the monitor's own call.
    own: Option<Badge>,
}

impl Connections {
    /// The token of the monitor's own calls.
    pub(super) const OWN: ReplyToken = ReplyToken(u64::MAX);

    /// Takes a socket as a capability with this badge. If there is no room it is closed, and the badge given up.
    pub(super) fn add(&mut self, socket: OwnedFd, badge: Badge) -> Option<Connection> {
        if !self.has_room() {
            self.given_up.push(badge);
            return None;
        }
        let connection = Connection(self.next);
        self.next += 1;
        self.ends.insert(connection, End { socket: Rc::new(socket), badge, turn: Turn::Client });
        Some(connection)
    }

    /// Whether another connection would be taken.
    pub(super) fn has_room(&self) -> bool {
        self.ends.len() < CONNECTIONS_MAX
    }

    /// Every connection with its end.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Connection, &End)> {
        self.ends.iter().map(|(connection, end)| (*connection, end))
    }

    /// Begins a call on a connection: its badge and what to answer with.
    pub(super) fn begin(&mut self, connection: Connection) -> Option<(Badge, ReplyToken)> {
        let end = self.ends.get_mut(&connection)?;
        end.turn = Turn::Monitor;
        Some((end.badge, ReplyToken(connection.0)))
    }

    /// The socket of a connection.
    pub(super) fn socket(&self, connection: Connection) -> Option<Rc<OwnedFd>> {
        self.ends.get(&connection).map(|end| end.socket.clone())
    }

    /// The other end has closed.
    pub(super) fn closed(&mut self, connection: Connection) {
        if let Some(end) = self.ends.remove(&connection) {
            self.given_up.push(end.badge);
        }
    }

    /// Takes one badge that nobody holds any more.
    pub(super) fn take_given_up(&mut self) -> Option<Badge> {
        self.given_up.pop()
    }

    /// Takes the badge that the monitor's own call has brought.
    pub(super) fn take_own(&mut self) -> Option<Badge> {
        self.own.take()
    }

    /// Sends every reply. A caller that does not read is closed: nothing here waits for one.
    pub(super) fn flush(&mut self) -> Flushed {
        if self.outgoing.is_empty() {
            return Flushed::Nothing;
        }
        for Outgoing { connection, socket, frame, capability } in std::mem::take(&mut self.outgoing) {
            let beside: Vec<_> = capability.iter().map(|fd| fd.as_fd()).collect();
            if wire::send(socket.as_fd(), &frame, &beside, Room::Now).is_err() {
                self.closed(connection);
            }
        }
        Flushed::Some
    }

    /// A new capability with this badge: the end to be handed out.
    fn mint(&mut self, badge: Badge) -> Option<OwnedFd> {
        match wire::pair() {
            Ok((ours, theirs)) => {
                let _ = self.add(ours, badge);
                Some(theirs)
            }
            Err(_) => {
                self.given_up.push(badge);
                None
            }
        }
    }
}

impl Port for Connections {
    fn reply(&mut self, token: ReplyToken, mint: Option<Badge>, write: impl FnOnce(&mut FrameBuffer)) {
        if token == Self::OWN {
            self.own = mint;
            return;
        }
        let connection = Connection(token.0);
        let Some(end) = self.ends.get_mut(&connection).filter(|end| end.turn == Turn::Monitor) else {
            self.given_up.extend(mint);
            return;
        };
        end.turn = Turn::Client;
        let socket = end.socket.clone();
        let capability = mint.and_then(|badge| self.mint(badge));
        write(&mut self.room);
        self.outgoing.push(Outgoing { connection, socket, frame: self.room.to_vec(), capability });
    }

    fn revoke(&mut self, badge: Badge) {
        self.ends.retain(|_, end| end.badge != badge);
    }
}
