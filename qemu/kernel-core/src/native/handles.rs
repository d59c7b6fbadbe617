//! Messages, notifications, and capabilities themselves.

use super::call::{Call, NOTHING, Outcome, Stop, message_outcome};
use crate::cap::{Capability, NodeId, Object};
use crate::hw::{Hw, PAGE, USER_END};
use crate::ipc::{CallId, EndpointId};
use crate::thread::Channel;
use bailiwick_abi::{Error, Kind, MessageInfo, Rights};
use core::num::NonZero;

impl<H: Hw> Call<'_, H> {
    // ---- messages ------------------------------------------------------------------------------------------------

    /// The endpoint in the first argument, by which capability, and that one's badge.
    fn port(&self, rights: Rights) -> Result<(EndpointId, NodeId, u64), Error> {
        let node = self.k.caps.node(self.space, self.handle(0))?;
        let found = self.k.caps.capability(node).ok_or(Error::BAD_HANDLE)?;
        match found.object {
            Object::Endpoint(id) if found.rights.contains(rights) => Ok((id, node, found.badge)),
            Object::Endpoint(_) => Err(Error::DENIED),
            _ => Err(Error::WRONG_KIND),
        }
    }
    fn info(&self) -> MessageInfo {
        MessageInfo(self.arg(1))
    }

    pub(super) fn send(&mut self) -> Outcome {
        let (endpoint, via, badge) = self.port(Rights::WRITE)?;
        message_outcome(self.k.call(self.thread, endpoint, via, badge, self.info()))
    }
    pub(super) fn receive(&mut self) -> Outcome {
        let (endpoint, via, _) = self.port(Rights::READ)?;
        message_outcome(self.k.receive(self.thread, endpoint, via, self.info()))
    }
    pub(super) fn reply_receive(&mut self) -> Outcome {
        let (endpoint, via, _) = self.port(Rights::READ)?;
        message_outcome(self.k.reply_receive(self.thread, endpoint, via, self.info()))
    }
    pub(super) fn reply(&mut self) -> Outcome {
        if self.arg(0) != 0 {
            return self.reply_parked();
        }
        let call = self.k.talk(self.thread).and_then(|talk| talk.holds).ok_or(Error::BAD_HANDLE)?;
        let done = self.k.reply(self.thread, call, self.info());
        // A message that was wrong leaves the right where it is; a caller that has gone does not.
        if matches!(done, Ok(_) | Err(Error::GONE))
            && let Some(talk) = self.k.talk_mut(self.thread)
        {
            talk.holds = None;
        }
        message_outcome(done)
    }
    fn reply_parked(&mut self) -> Outcome {
        let call = self.parked()?;
        let done = self.k.reply(self.thread, call, self.info());
        if matches!(done, Ok(_) | Err(Error::GONE)) {
            self.k.caps.delete(self.space, self.handle(0))?;
        }
        message_outcome(done)
    }
    fn parked(&self) -> Result<CallId, Error> {
        match self.object(0, Kind::Reply, Rights::WRITE)? {
            Object::Reply(call) => Ok(call),
            _ => Err(Error::WRONG_KIND),
        }
    }
    pub(super) fn park_reply(&mut self) -> Outcome {
        self.k.room()?;
        let call =
            self.k.talk_mut(self.thread).and_then(|talk| talk.holds.take()).ok_or(Error::BAD_HANDLE)?;
        let rights = Rights::WRITE.with(Rights::GRANT);
        let capability = Capability { object: Object::Reply(call), rights, badge: 0 };
        match self.k.caps.insert(self.space, capability) {
            Ok(handle) => Ok([handle.0, 0, 0]),
            Err(error) => {
                if let Some(talk) = self.k.talk_mut(self.thread) {
                    talk.holds = Some(call);
                }
                Err(error.into())
            }
        }
    }
    pub(super) fn set_buffer(&mut self) -> Outcome {
        let address = self.arg(0);
        if !address.is_multiple_of(PAGE as u64) || address >= USER_END - 2 * PAGE as u64 {
            return Err(Error::BAD_ADDRESS.into());
        }
        let address = NonZero::new(address).ok_or(Error::BAD_ADDRESS)?;
        if let Some(talk) = self.k.talk_mut(self.thread) {
            (talk.buffer, talk.seen) = (Some(address), None);
        }
        Ok(NOTHING)
    }

    // ---- notifications -------------------------------------------------------------------------------------------

    pub(super) fn signal(&mut self) -> Outcome {
        let id = self.notification(0, Rights::WRITE)?;
        self.k.signal_notification(id, self.arg(1));
        Ok(NOTHING)
    }
    pub(super) fn wait(&mut self) -> Outcome {
        let id = self.notification(0, Rights::READ)?;
        let deadline = self.deadline(1);
        match self.k.take_bits(id) {
            Some(bits) => Ok([bits, 0, 0]),
            None if deadline.is_some_and(|time| time <= self.now()) => Ok(NOTHING),
            None => Err(Stop::Wait(Channel::Notification(id.0), deadline)),
        }
    }
    pub(super) fn bind(&mut self) -> Outcome {
        let id = self.notification(0, Rights::READ)?;
        let endpoint = self.endpoint(1, Rights::READ)?;
        let bits = self.arg(2);
        self.k.room()?;
        self.k.bind(id, endpoint)?;
        if bits != 0 && self.k.caps.watch_badges(endpoint, bits)? {
            self.k.signal_notification(id, bits);
        }
        Ok(NOTHING)
    }
    pub(super) fn take_badge(&mut self) -> Outcome {
        let endpoint = self.endpoint(0, Rights::READ.with(Rights::CREATE))?;
        let badge = self.k.caps.take_badge(endpoint).ok_or(Error::WOULD_BLOCK)?;
        Ok([badge, 0, 0])
    }

    // ---- capabilities --------------------------------------------------------------------------------------------

    pub(super) fn revoke_badge(&mut self) -> Outcome {
        self.k.caps.revoke_badge(self.space, self.handle(0), self.arg(1))?;
        Ok(NOTHING)
    }
    pub(super) fn inspect(&mut self) -> Outcome {
        let found = self.look(0)?;
        Ok([found.object.kind() as u64, u64::from(found.rights.0), found.badge])
    }
    /// Puts a new object, which nobody holds yet, into the caller's space. If it has no room the object goes again.
    pub(super) fn hand_out(&mut self, object: Object) -> Outcome {
        match self.k.caps.insert(self.space, Capability::all(object)) {
            Ok(handle) => Ok([handle.0, 0, 0]),
            Err(error) => {
                self.k.object_gone(object);
                Err(error.into())
            }
        }
    }
    pub(super) fn endpoint_create(&mut self) -> Outcome {
        let id = self.k.new_endpoint()?;
        self.hand_out(Object::Endpoint(id))
    }
    pub(super) fn notification_create(&mut self) -> Outcome {
        let id = self.k.new_notification()?;
        self.hand_out(Object::Notification(id))
    }
}
