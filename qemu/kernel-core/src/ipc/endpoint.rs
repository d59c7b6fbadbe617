//! Endpoints: the queues, and who takes whom out of them.

use super::message::Fault;
use super::{CallId, Done, EndpointId, NotificationId};
use crate::block::Stage;
use crate::cap::NodeId;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::thread::ThreadId;
use bailiwick_abi::{Error, MessageInfo};

/// Threads in the order in which they came, linked through themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue(Option<Ends>);

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: ThreadId,
    last: ThreadId,
}

impl Queue {
    #[inline]
    pub(super) fn first(&self) -> Option<ThreadId> {
        self.0.map(|ends| ends.first)
    }
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
    /// Forgets the only thread in it.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

/// What goes first at the next receive, so that neither kind can keep the other waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Turn {
    #[default]
    Event,
    Message,
}

/// Where callers and receivers meet.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    pub(super) callers: Queue,
    pub(super) receivers: Queue,
    /// Whose events receivers also get.
    pub(super) bound: Option<NotificationId>,
    turn: Turn,
}

/// One of an endpoint's queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Callers,
    Receivers,
}

impl Endpoint {
    /// The only one who waits here is this receiver, and what comes next is taken as it comes.
    #[inline]
    pub(super) fn await_message(&mut self, receiver: ThreadId) {
        self.receivers = Queue(Some(Ends { first: receiver, last: receiver }));
        self.turn = Turn::Event;
    }
    /// 1 if a message goes first at the next receive.
    #[cfg(test)]
    pub(super) fn turn_is_message(&self) -> u64 {
        u64::from(self.turn == Turn::Message)
    }
    pub(super) fn queue(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Callers => &mut self.callers,
            Side::Receivers => &mut self.receivers,
        }
    }
}

impl<H: Hw> Kernel<H> {
    fn endpoint_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.ipc.endpoints.get_mut(id.0)
    }
    pub(super) fn first_in(&mut self, id: EndpointId, side: Side) -> Option<ThreadId> {
        self.endpoint_mut(id)?.queue(side).first()
    }
    pub(super) fn next_in_queue(&self, id: ThreadId) -> Option<ThreadId> {
        self.talk(id)?.next
    }

    /// Puts a thread at the end of a queue.
    fn queue_up(&mut self, endpoint: EndpointId, side: Side, id: ThreadId) {
        let Some(queue) = self.endpoint_mut(endpoint).map(|found| found.queue(side)) else { return };
        let before = queue.0.map(|ends| ends.last);
        queue.0 = Some(Ends { first: queue.first().unwrap_or(id), last: id });
        if let Some(talk) = self.talk_mut(id) {
            talk.previous = before;
        }
        if let Some(talk) = before.and_then(|before| self.talk_mut(before)) {
            talk.next = Some(id);
        }
    }

    /// Takes a thread out of the queue it is in.
    pub(super) fn unqueue(&mut self, endpoint: EndpointId, side: Side, id: ThreadId) {
        let Some(talk) = self.talk_mut(id) else { return };
        let (previous, next) = (talk.previous.take(), talk.next.take());
        if let Some(talk) = previous.and_then(|previous| self.talk_mut(previous)) {
            talk.next = next;
        }
        if let Some(talk) = next.and_then(|next| self.talk_mut(next)) {
            talk.previous = previous;
        }
        let Some(queue) = self.endpoint_mut(endpoint).map(|found| found.queue(side)) else { return };
        queue.0 = queue.0.and_then(|Ends { first, last }| {
            let first = if first == id { next } else { Some(first) };
            let last = if last == id { previous } else { Some(last) };
            Some(Ends { first: first?, last: last? })
        });
    }

    // ---- call --------------------------------------------------------------------------------------------------

    /// Sends the message in the registers of `caller` and waits for its answer.
    ///
    /// # Errors
    /// Whatever is wrong with the message itself; `TOO_LARGE` if a receiver that waits has no room for its
    /// capabilities.
    pub(crate) fn call(
        &mut self,
        caller: ThreadId,
        endpoint: EndpointId,
        via: NodeId,
        badge: u64,
        info: MessageInfo,
    ) -> Result<Done, Error> {
        self.offer(caller, info)?;
        while let Some(receiver) = self.first_in(endpoint, Side::Receivers) {
            match self.copy_message(caller, receiver, info, badge) {
                Ok(()) => {
                    self.unqueue(endpoint, Side::Receivers, receiver);
                    self.accepted(caller, receiver);
                    self.block(caller, Stage::Awaiting);
                    self.hand_over(receiver);
                    return Ok(Done::Set);
                }
                // It can't be given anything: its own call fails, and the next one is tried.
                Err(Fault::Receiver(error)) => {
                    self.unqueue(endpoint, Side::Receivers, receiver);
                    self.fail(receiver, error);
                }
                Err(Fault::Sender(error)) => return Err(error),
            }
        }
        if self.caps.readers(crate::cap::Object::Endpoint(endpoint)) == 0 {
            return Err(Error::PEER_GONE);
        }
        self.block(caller, Stage::Calling { endpoint, via, badge });
        self.queue_up(endpoint, Side::Callers, caller);
        Ok(Done::Set)
    }

    /// Notes what the thread can be given, after looking whether its message is well formed.
    fn offer(&mut self, id: ThreadId, info: MessageInfo) -> Result<(), Error> {
        if !info.is_valid() {
            return Err(Error::TOO_LARGE);
        }
        let Some(talk) = self.talk_mut(id) else { return Err(Error::GONE) };
        if talk.buffer.is_none() && info.needs_buffer() {
            return Err(Error::BAD_ADDRESS);
        }
        talk.room = info.room() as u32;
        Ok(())
    }

    /// A message has gone over: the receiver holds the right to answer it.
    fn accepted(&mut self, caller: ThreadId, receiver: ThreadId) {
        let Some(life) = self.talk(caller).map(|talk| talk.life) else { return };
        if let Some(talk) = self.talk_mut(receiver) {
            talk.holds = Some(CallId { thread: caller, life });
        }
        self.end_stage(receiver);
    }

    // ---- receive -----------------------------------------------------------------------------------------------

    /// Gives `receiver` the next message or event, or makes it wait for one. A right to answer that it still has is
    /// dropped before.
    ///
    /// # Errors
    /// What is wrong with the receiver's buffer.
    pub(crate) fn receive(
        &mut self,
        receiver: ThreadId,
        endpoint: EndpointId,
        via: NodeId,
        info: MessageInfo,
    ) -> Result<Done, Error> {
        self.offer(receiver, MessageInfo::new(0).with_room(info.room()))?;
        if let Some(call) = self.talk_mut(receiver).and_then(|talk| talk.holds.take()) {
            self.drop_call(call);
        }
        let turn = self.ipc.endpoints.get(endpoint.0).map_or(Turn::Event, |found| found.turn);
        if turn == Turn::Event && self.take_event(receiver, endpoint) {
            self.set_turn(endpoint, Turn::Message);
            return Ok(Done::Set);
        }
        self.set_turn(endpoint, Turn::Event);
        if self.take_message(receiver, endpoint)? || self.take_event(receiver, endpoint) {
            return Ok(Done::Set);
        }
        self.block(receiver, Stage::Receiving { endpoint, via });
        self.queue_up(endpoint, Side::Receivers, receiver);
        Ok(Done::Set)
    }

    fn set_turn(&mut self, endpoint: EndpointId, turn: Turn) {
        if let Some(found) = self.endpoint_mut(endpoint) {
            found.turn = turn;
        }
    }

    /// True if a caller's message was given to `receiver`.
    fn take_message(&mut self, receiver: ThreadId, endpoint: EndpointId) -> Result<bool, Error> {
        while let Some(caller) = self.first_in(endpoint, Side::Callers) {
            let badge = match self.stage(caller) {
                Stage::Calling { badge, .. } => badge,
                _ => 0,
            };
            let info = MessageInfo(self.registers_of(caller).map_or(0, |registers| registers.rsi));
            let copied = self.copy_message(caller, receiver, info, badge);
            match copied {
                Ok(()) => {
                    self.unqueue(endpoint, Side::Callers, caller);
                    self.accepted(caller, receiver);
                    self.set_stage(caller, Stage::Awaiting);
                    return Ok(true);
                }
                Err(Fault::Sender(error)) => {
                    self.unqueue(endpoint, Side::Callers, caller);
                    self.fail(caller, error);
                }
                Err(Fault::Receiver(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    // ---- reply -------------------------------------------------------------------------------------------------

    /// Answers a call with the message in the registers of `server`. Returns the caller, which does not run yet.
    ///
    /// # Errors
    /// `GONE` if the call waits no more. Whatever is wrong with the message: the call waits on then, and can be
    /// answered otherwise.
    pub(crate) fn answer(
        &mut self,
        server: ThreadId,
        call: CallId,
        info: MessageInfo,
    ) -> Result<ThreadId, Error> {
        if !self.is_awaited(call) {
            return Err(Error::GONE);
        }
        if !info.is_valid() {
            return Err(Error::TOO_LARGE);
        }
        match self.copy_message(server, call.thread, info, 0) {
            Ok(()) => {}
            Err(Fault::Sender(error)) => return Err(error),
            // The caller's own doing: its call fails, the server's succeeds.
            Err(Fault::Receiver(error)) => {
                if let Some(registers) = self.registers_of(call.thread) {
                    registers.rax = u64::from(error.0);
                }
            }
        }
        self.end_stage(call.thread);
        Ok(call.thread)
    }

    /// `Reply` with handle 0, or by the parked right it names.
    ///
    /// # Errors
    /// As [`Kernel::answer`], and those of the handle.
    pub(crate) fn reply(&mut self, server: ThreadId, call: CallId, info: MessageInfo) -> Result<Done, Error> {
        let caller = self.answer(server, call, info)?;
        self.wake_thread(caller);
        Ok(Done::Returns)
    }

    /// `ReplyReceive`: answers if there is something to be answered, and receives.
    ///
    /// # Errors
    /// As [`Kernel::answer`], with nothing done, but that a caller that has gone is no error; as
    /// [`Kernel::receive`], after the answer.
    pub(crate) fn reply_receive(
        &mut self,
        server: ThreadId,
        endpoint: EndpointId,
        via: NodeId,
        info: MessageInfo,
    ) -> Result<Done, Error> {
        let mut answered = None;
        if let Some(call) = self.talk(server).and_then(|talk| talk.holds) {
            match self.answer(server, call, info) {
                Ok(caller) => answered = Some(caller),
                Err(Error::GONE) => {}
                Err(error) => return Err(error),
            }
            if let Some(talk) = self.talk_mut(server) {
                talk.holds = None;
            }
        }
        let received = self.receive(server, endpoint, via, info);
        if let Some(caller) = answered {
            self.hand_over(caller);
        }
        received
    }

    /// A new endpoint.
    ///
    /// # Errors
    /// `FULL`, `NO_MEMORY`.
    pub(crate) fn new_endpoint(&mut self) -> Result<EndpointId, Error> {
        self.room().map_err(|errno| Error(errno.0))?;
        if !self.ipc.endpoints.has_room(super::ENDPOINTS_MAX) {
            return Err(Error::FULL);
        }
        Ok(EndpointId(self.ipc.endpoints.insert(Endpoint::default())))
    }
}
