//! What happens because capabilities went.

use crate::cap::{Gone, Object};
use crate::group::{Group, Legacy};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::thread::Channel;
use crate::vfs::Store;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

/// Whether what went is being acted on: the end of an object can make others go, which then come in their turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sweeping {
    /// No.
    #[default]
    Idle,
    /// Yes.
    UnderWay,
}

impl<H: Hw> Kernel<H> {
    /// Acts on everything that went since the last time.
    #[inline]
    pub(crate) fn sweep(&mut self) {
        // Nearly always that is one capability of an endpoint, where nobody waits.
        if let Some(endpoint) = self.caps.gone_endpoint()
            && self.nobody_waits_at(endpoint)
        {
            self.caps.next_lost();
        }
        if self.caps.has_gone() {
            self.sweep_all();
        }
    }
    #[inline(never)]
    pub(crate) fn sweep_all(&mut self) {
        if core::mem::replace(&mut self.sweeping, Sweeping::UnderWay) == Sweeping::UnderWay {
            return;
        }
        while let Some(gone) = self.caps.next_gone() {
            match gone {
                Gone::Capability(Object::Endpoint(id)) => self.endpoint_lost(id),
                Gone::Capability(Object::Notification(id)) => self.wake(Channel::Notification(id.0)),
                Gone::Capability(Object::Process(id)) => self.wake(Channel::Process(id)),
                Gone::Capability(Object::Console) => self.wake(Channel::Console),
                Gone::Capability(_) => {}
                Gone::Readers(id) => self.endpoint_deaf(id),
                Gone::Badge(id) => self.tell_of_badge(id),
                Gone::Object(object) => self.object_gone(object),
            }
        }
        self.sweeping = Sweeping::Idle;
    }

    /// Nobody holds an object any more.
    pub(crate) fn object_gone(&mut self, object: Object) {
        match object {
            Object::Endpoint(id) => self.endpoint_gone(id),
            Object::Reply(call) => self.drop_call(call),
            Object::Notification(id) => {
                self.containers_orphaned(id);
                self.forget_watcher(id);
                self.notification_gone(id);
            }
            Object::Memory(file) | Object::Directory(file) => {
                self.vfs.close(&mut Store { memory: &mut self.mem, groups: &mut self.groups }, file);
            }
            Object::Process(id) => {
                // One that was never started can't be any more; one that runs goes on without a name.
                if self.processes.get(id).is_some_and(|process| process.threads.is_empty()) {
                    self.end_process(id, Exit::Signal(9));
                    self.forget_process(id);
                }
            }
            // A group that is not empty stays: who made what is in it removes it.
            Object::Group(id) => drop(self.destroy_group(id)),
            Object::Container(_) | Object::Console | Object::Power | Object::Clock | Object::System => {}
        }
    }

    /// Removes a group that holds no process and no group. What memory it still pays for is its parent's to pay then.
    ///
    /// # Errors
    /// `EBUSY` if something is in it, `ENOENT` if there is no such group, `EPERM` for the root.
    pub fn destroy_group(&mut self, id: GroupId) -> Result<(), Errno> {
        if self.groups.get(id).is_some_and(Group::is_empty) {
            // It has nothing that could run, so it has no claim to its place in the queue.
            self.sched.forget_group(&mut self.groups, id);
        }
        let Legacy { frames, heir } = self.groups.remove(id)?;
        self.mem.bequeath(id, heir, frames);
        Ok(())
    }

    fn forget_watcher(&mut self, gone: crate::ipc::NotificationId) {
        for native in self.processes.natives_mut() {
            native.watchers.retain(|(id, _)| *id != gone);
        }
    }
}
