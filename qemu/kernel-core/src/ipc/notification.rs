//! Notifications: a word of bits that is set by one and taken by another.

use super::endpoint::Side;
use super::{EndpointId, NotificationId};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::thread::{Channel, ThreadId};
use bailiwick_abi::Error;

/// A word of bits.
#[derive(Debug, Default)]
pub(crate) struct Notification {
    bits: u64,
    /// Whose receivers are woken by it.
    pub(super) bound: Option<EndpointId>,
}

impl Notification {
    /// Whether somebody would be woken by it.
    #[inline]
    pub(super) fn has_bits(&self) -> bool {
        self.bits != 0
    }
}

#[cfg(test)]
impl Notification {
    /// The bits that are set.
    pub(super) fn bits(&self) -> u64 {
        self.bits
    }
}

impl<H: Hw> Kernel<H> {
    /// A new notification.
    ///
    /// # Errors
    /// `FULL`, `NO_MEMORY`.
    pub(crate) fn new_notification(&mut self) -> Result<NotificationId, Error> {
        self.room().map_err(|errno| Error(errno.0))?;
        if !self.ipc.notifications.has_room(super::NOTIFICATIONS_MAX) {
            return Err(Error::FULL);
        }
        Ok(NotificationId(self.ipc.notifications.insert(Notification::default())))
    }

    /// Sets bits of a notification and wakes who waits for it: a receiver at the endpoint it is bound to, or whoever
    /// waits for itself. One that is gone: nothing happens.
    pub fn signal_notification(&mut self, id: NotificationId, bits: u64) {
        let Some(found) = self.ipc.notifications.get_mut(id.0) else { return };
        found.bits |= bits;
        let bound = found.bound;
        if let Some(endpoint) = bound
            && let Some(receiver) = self.first_in(endpoint, Side::Receivers)
            && self.take_event(receiver, endpoint)
        {
            self.unqueue(endpoint, Side::Receivers, receiver);
            self.wake_thread(receiver);
            return;
        }
        self.wake(Channel::Notification(id.0));
    }

    /// Takes the bits; none if there are none.
    pub(crate) fn take_bits(&mut self, id: NotificationId) -> Option<u64> {
        let found = self.ipc.notifications.get_mut(id.0)?;
        Some(core::mem::take(&mut found.bits)).filter(|bits| *bits != 0)
    }

    /// True if the notification bound to `endpoint` had bits and `receiver` was told.
    pub(super) fn take_event(&mut self, receiver: ThreadId, endpoint: EndpointId) -> bool {
        let bound = self.ipc.endpoints.get(endpoint.0).and_then(|found| found.bound);
        match bound.and_then(|id| self.take_bits(id)) {
            Some(bits) => {
                self.give_event(receiver, bits);
                true
            }
            None => false,
        }
    }

    /// Binds a notification to an endpoint; nothing happens if it is.
    ///
    /// # Errors
    /// `BUSY` if one of them is bound to another.
    pub(crate) fn bind(&mut self, id: NotificationId, to: EndpointId) -> Result<(), Error> {
        let (Some(notification), Some(endpoint)) =
            (self.ipc.notifications.get_mut(id.0), self.ipc.endpoints.get_mut(to.0))
        else {
            return Err(Error::BAD_HANDLE);
        };
        let free = notification.bound.is_none_or(|bound| bound == to)
            && endpoint.bound.is_none_or(|bound| bound == id);
        if !free {
            return Err(Error::BUSY);
        }
        (notification.bound, endpoint.bound) = (Some(to), Some(id));
        // Bits that are set already are an event for whoever receives there.
        self.signal_notification(id, 0);
        Ok(())
    }
}
