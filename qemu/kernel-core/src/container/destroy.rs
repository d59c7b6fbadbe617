//! The end of a container: everything it has is given back.

use super::ContainerId;
use crate::hw::Hw;
use crate::ipc::NotificationId;
use crate::kernel::Kernel;
use crate::linux;
use crate::memory::GroupId;
use crate::vfs::Store;
use bailiwick_protocol::message::Exit;

impl<H: Hw> Kernel<H> {
    /// Kills what runs inside, frozen or not, and takes everything apart; the record stays for `poststop` hooks.
    /// Possible at any time. Called twice: the same.
    pub fn container_destroy(&mut self, id: ContainerId) {
        let Ok(record) = self.containers.record_mut(id) else { return };
        let Some(mut c) = record.made.take() else { return };
        for hook in core::mem::take(&mut record.hooks).into_values() {
            self.end_hook(&hook);
        }
        for member in core::mem::take(&mut c.execs).into_values().chain(c.first.take()) {
            self.end_member(&member);
        }
        if let Some(group) = c.group {
            self.clear_group(group);
        }
        self.unbecome(core::mem::take(&mut c.becoming));
        let mut frames = Store { memory: &mut self.mem, groups: &mut self.groups };
        for at in c.late_read_only.into_iter().chain(c.root).chain(c.host) {
            self.vfs.release(&mut frames, at);
        }
        self.vfs.release_context(&mut frames, c.fs);
        self.vfs.release_set(&mut frames, c.set);
        if let Some(group) = c.group {
            self.remove_group(group);
        }
        self.containers.ready.remove(&id);
    }

    /// Removes the record too; destroys before if nobody did. A `poststop` hook that runs is killed.
    pub fn container_remove(&mut self, id: ContainerId) {
        self.container_destroy(id);
        let Some(record) = self.containers.all.remove(&id) else { return };
        for hook in record.hooks.values() {
            self.end_hook(hook);
        }
        let mut frames = Store { memory: &mut self.mem, groups: &mut self.groups };
        for at in [Some(record.of.bundle), record.of.host].into_iter().flatten() {
            self.vfs.release(&mut frames, at);
        }
        self.containers.ready.remove(&id);
    }

    /// Nobody holds the notification any more: its containers are removed.
    pub fn containers_orphaned(&mut self, events: NotificationId) {
        let of = |c: &super::Container| c.of.events == events;
        let ids: alloc::vec::Vec<ContainerId> =
            self.containers.all.iter().filter(|(_, c)| of(c)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.container_remove(id));
    }

    /// Ends every process of a group and all below, and forgets those whose end nobody would ask for.
    pub(super) fn clear_group(&mut self, group: GroupId) {
        for process in self.living_in(group) {
            self.end_process(process, Exit::Signal(9));
        }
        let within = |p: &crate::process::Process| self.groups.is_within(p.group, group);
        let ended: alloc::vec::Vec<_> =
            self.processes.iter().filter(|(_, process)| within(process)).map(|(id, _)| id).collect();
        ended.into_iter().for_each(|process| linux::forget_ended(self, process));
    }
}
