//! What happens when capabilities, objects and threads go.

use super::endpoint::Side;
use super::{EndpointId, NotificationId};
use crate::block::Stage;
use crate::cap::Object;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::thread::ThreadId;
use bailiwick_abi::Error;

impl<H: Hw> Kernel<H> {
    /// Whether neither a caller nor a receiver waits at an endpoint.
    #[inline]
    pub(crate) fn nobody_waits_at(&self, endpoint: EndpointId) -> bool {
        let found = self.ipc.endpoints.get(endpoint.0);
        found.is_none_or(|found| found.callers.is_empty() && found.receivers.is_empty())
    }
    /// Capabilities to an endpoint went: who waits there by one of them does not any more.
    pub(crate) fn endpoint_lost(&mut self, endpoint: EndpointId) {
        if self.nobody_waits_at(endpoint) {
            return;
        }
        for side in [Side::Callers, Side::Receivers] {
            let mut at = self.first_in(endpoint, side);
            while let Some(id) = at {
                at = self.next_in_queue(id);
                let via = match self.stage(id) {
                    Stage::Calling { via, .. } | Stage::Receiving { via, .. } => via,
                    _ => continue,
                };
                if self.caps.capability(via).is_none_or(|found| found.object != Object::Endpoint(endpoint)) {
                    self.unqueue(endpoint, side, id);
                    self.fail(id, Error::REVOKED);
                }
            }
        }
    }

    /// Nobody can receive at an endpoint any more: who calls there gets no answer.
    pub(crate) fn endpoint_deaf(&mut self, endpoint: EndpointId) {
        while let Some(id) = self.first_in(endpoint, Side::Callers) {
            self.unqueue(endpoint, Side::Callers, id);
            self.fail(id, Error::PEER_GONE);
        }
    }

    /// Nobody holds an endpoint any more.
    pub(crate) fn endpoint_gone(&mut self, endpoint: EndpointId) {
        self.endpoint_deaf(endpoint);
        self.caps.forget_badges(endpoint);
        let bound = self.ipc.endpoints.remove(endpoint.0).and_then(|found| found.bound);
        if let Some(found) = bound.and_then(|id| self.ipc.notifications.get_mut(id.0)) {
            found.bound = None;
        }
    }

    /// A badge of an endpoint has ended, the first since its receiver took the last one: the receiver is told.
    pub(crate) fn tell_of_badge(&mut self, endpoint: EndpointId) {
        let bits = self.caps.badge_bits(endpoint);
        if let Some(id) = self.ipc.endpoints.get(endpoint.0).and_then(|found| found.bound) {
            self.signal_notification(id, bits);
        }
    }

    /// Nobody holds a notification any more.
    pub(crate) fn notification_gone(&mut self, id: NotificationId) {
        self.console.watch.take_if(|(watcher, _)| *watcher == id);
        let bound = self.ipc.notifications.remove(id.0).and_then(|found| found.bound);
        if let Some(found) = bound.and_then(|endpoint| self.ipc.endpoints.get_mut(endpoint.0)) {
            found.bound = None;
        }
    }

    /// A thread is about to be removed: it leaves its queue, and the call it has not answered gets no answer.
    pub(crate) fn talker_ended(&mut self, id: ThreadId) {
        match self.stage(id) {
            Stage::Calling { endpoint, .. } => self.unqueue(endpoint, Side::Callers, id),
            Stage::Receiving { endpoint, .. } => self.unqueue(endpoint, Side::Receivers, id),
            Stage::Runnable | Stage::Waiting | Stage::Awaiting => {}
        }
        self.end_stage(id);
        if let Some(call) = self.talk_mut(id).and_then(|talk| talk.holds.take()) {
            self.drop_call(call);
        }
    }
}
