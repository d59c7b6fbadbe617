//! The manager's side: deliveries from an endpoint, and a [`Port`] to answer on.

use super::channel::Directory;
use super::messages::{Gift, Message, Messages};
use super::sys;
use crate::port::{Delivery, Port, ReplyToken};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_abi::{Call, Error, Handle, Kind, Rights};
use bailiwick_protocol::frame::FrameBuffer;
use bailiwick_protocol::id::Badge;

/// An unbadged capability on the endpoint that the manager is called on.
#[derive(Debug)]
pub struct Endpoint {
    handle: Handle,
    events: Handle,
    messages: Messages,
    room: FrameBuffer,
}

/// Where answers go: the call received last, or one whose right to be answered was parked.
#[derive(Debug)]
pub struct EndpointPort {
    endpoint: Handle,
    messages: Messages,
    current: Current,
    /// The answer to the call received last, if there is one: it goes with the next receive, in one system call.
    answer: FrameBuffer,
    /// Where every other answer is written.
    room: FrameBuffer,
    next: u64,
    parked: BTreeMap<ReplyToken, Handle>,
    /// Badges for answers that could not be given: nobody ever held them.
    unheld: Vec<Badge>,
}

/// Which badges are asked for that nobody holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoneOf {
    /// Those whose capability did not get to its caller with an answer: no system call is made to know them.
    Answers,
    /// Those the kernel tells of as well.
    All,
}

/// Where the call received last is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Current {
    /// It was answered or parked, or there is none.
    None,
    /// It is to be answered.
    Open(ReplyToken),
    /// Its answer is written and was not sent yet.
    Answered,
    /// The same, and a new capability with this badge goes with it.
    AnsweredWith(Badge),
}

/// What arrived at the endpoint.
#[derive(Debug)]
pub enum Arrival<'a> {
    /// Something happened to a container, or nobody holds some badge any more: both are to be taken.
    Event,
    /// A call on a badged capability.
    Call(Delivery<'a, Directory>),
    /// A call on an unbadged one: by whoever made the endpoint, or was handed it as it is.
    Unbadged(ReplyToken),
}

impl Endpoint {
    /// Receives on `handle` (`READ`, `CREATE`, `WRITE` and `GRANT`, to mint from); bits of `events` (`READ`, `WRITE`)
    /// interrupt it, and the kernel sets those in `gone` when nobody holds some badge any more
    /// ([`EndpointPort::take_gone`]).
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn new(
        handle: Handle,
        events: Handle,
        gone: u64,
        messages: Messages,
    ) -> Result<(Endpoint, EndpointPort), Error> {
        sys::bind(events, handle, gone)?;
        let port = EndpointPort {
            endpoint: handle,
            messages: messages.clone(),
            current: Current::None,
            answer: FrameBuffer::new(),
            room: FrameBuffer::new(),
            next: 1,
            parked: BTreeMap::new(),
            unheld: Vec::new(),
        };
        Ok((Endpoint { handle, events, messages, room: FrameBuffer::new() }, port))
    }

    /// Has [`Endpoint::receive`] tell of an event soon, even if none happens: after the next call at the latest, since the
    /// kernel takes turns between calls and events.
    pub fn come_back(&self) {
        sys::signal(self.events, 1);
    }

    /// Waits for the next call or event. What was received before and is not answered yet must have been parked
    /// ([`EndpointPort::park`]): its caller is told otherwise that no answer will come.
    ///
    /// # Errors
    /// The kernel's reason; nobody can call any more if it is `PEER_GONE`.
    #[inline]
    pub fn receive(&mut self, port: &mut EndpointPort) -> Result<Arrival<'_>, Error> {
        let message = self.next(port)?;
        if message.info.is_event() {
            return Ok(Arrival::Event);
        }
        let token = ReplyToken(port.next);
        port.next += 1;
        port.current = Current::Open(token);
        let capabilities = message.info.capabilities();
        let directory = if capabilities > 0 { self.take_directory(&message) } else { None };
        if message.word == 0 {
            return Ok(Arrival::Unbadged(token));
        }
        let badge = Badge(message.word);
        Ok(Arrival::Call(Delivery { badge, frame: &self.room, directory, capabilities, token }))
    }
}

impl Endpoint {
    /// Sends the answer to the call received last, if there is one, and waits.
    #[inline]
    fn next(&mut self, port: &mut EndpointPort) -> Result<Message, Error> {
        let mut call = match core::mem::replace(&mut port.current, Current::None) {
            Current::AnsweredWith(badge) => match self.next_after(port, badge) {
                Ok(message) => return Ok(message),
                Err(_) => Call::Receive,
            },
            Current::Answered => Call::ReplyReceive,
            Current::None | Current::Open(_) => Call::Receive,
        };
        loop {
            if call == Call::Receive {
                port.answer.clear();
            }
            let came = self.messages.exchange(call, self.handle, &port.answer, None, &mut self.room);
            match came {
                // It is the caller's that is refused, if it is: then the caller is told that there is no answer.
                Err(_) if call == Call::ReplyReceive => call = Call::Receive,
                came => return came,
            }
        }
    }

    /// Sends the answer with a new capability beside it, and waits. If the caller is gone or takes none, or the kernel has
    /// no room for it, nothing was sent: the caller is told by the next receive that there is no answer.
    #[cold]
    fn next_after(&mut self, port: &mut EndpointPort, badge: Badge) -> Result<Message, Error> {
        let gift = Some(badged(self.handle, badge));
        self.messages
            .exchange(Call::ReplyReceive, self.handle, &port.answer, gift, &mut self.room)
            .inspect_err(|_| port.unheld.push(badge))
    }

    /// The first directory that came beside a message. All else is given up.
    #[cold]
    fn take_directory(&self, message: &Message) -> Option<Directory> {
        let mut directory = None;
        for (handle, kind) in self.messages.capabilities(message) {
            match kind {
                Some(Kind::Directory) if directory.is_none() => directory = Some(Directory::new(handle)),
                _ => sys::delete(handle),
            }
        }
        directory
    }
}

impl EndpointPort {
    /// Keeps the right to answer the call received last, if it is not answered yet.
    #[inline]
    pub fn park(&mut self) {
        if let Current::Open(token) = self.current {
            self.park_as(token);
        }
    }

    #[cold]
    fn park_as(&mut self, token: ReplyToken) {
        self.current = Current::None;
        // If no slot is left, the caller is told that no answer will come when the next call is received.
        if let Ok(handle) = sys::park_reply() {
            self.parked.insert(token, handle);
        }
    }

    /// The next badge that nobody holds any more, each once. One that was revoked is not told. To be asked after every call and event until there is none.
    pub fn take_gone(&mut self, arrived: GoneOf) -> Option<Badge> {
        let unheld = self.unheld.pop();
        match arrived {
            GoneOf::Answers => unheld,
            GoneOf::All => unheld.or_else(|| sys::take_badge(self.endpoint).map(Badge)),
        }
    }
}

impl EndpointPort {
    /// Sends what is written in the room to a parked call, and a new capability beside it.
    fn send(&mut self, handle: Handle, mint: Option<Badge>) {
        let gift = mint.map(|badge| badged(self.endpoint, badge));
        if self.messages.reply(handle, &self.room, gift).is_err() {
            // The caller is gone, or takes no capabilities, or the kernel has no room for one. It is told at least that
            // there is no answer.
            self.unheld.extend(mint);
            sys::delete(handle);
        }
    }
}

/// A new capability for an answer, which the kernel makes where it goes.
fn badged(endpoint: Handle, badge: Badge) -> Gift {
    Gift::badged(endpoint, Rights::WRITE.with(Rights::GRANT), badge.0)
}

impl Port for EndpointPort {
    #[inline(always)]
    fn reply(&mut self, token: ReplyToken, mint: Option<Badge>, write: impl FnOnce(&mut FrameBuffer)) {
        let open = self.current == Current::Open(token);
        let parked = if open { None } else { self.parked.remove(&token) };
        if !open && parked.is_none() {
            return self.unheld.extend(mint);
        }
        // In one place, so that it is compiled in there.
        write(if open { &mut self.answer } else { &mut self.room });
        match parked {
            Some(handle) => self.send(handle, mint),
            None => self.current = mint.map_or(Current::Answered, Current::AnsweredWith),
        }
    }

    #[inline(always)]
    fn lend(&mut self, token: ReplyToken) -> Option<&mut FrameBuffer> {
        match self.current {
            Current::Open(open) if open == token => {
                self.current = Current::Answered;
                Some(&mut self.answer)
            }
            _ => None,
        }
    }

    fn revoke(&mut self, badge: Badge) {
        if self.current == Current::AnsweredWith(badge) {
            // Its caller is told that there is no answer.
            self.current = Current::None;
        }
        sys::revoke_badge(self.endpoint, badge.0);
    }
}
