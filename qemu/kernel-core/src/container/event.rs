//! Events, read off the state of a container: none is stored, so none can pile up.

use super::{ContainerId, Made};
use crate::hw::Hw;
use crate::ipc::NotificationId;
use crate::kernel::Kernel;
use crate::linux;
use crate::memory::GroupId;
use crate::ns::ProcessId;
use alloc::vec::Vec;
use bailiwick_abi::{ContainerEvent, Which};
use bailiwick_protocol::message::Exit;

const fn told(exit: Exit) -> bailiwick_abi::Exit {
    match exit {
        Exit::Code(code) => bailiwick_abi::Exit::Code(code),
        Exit::Signal(signal) => bailiwick_abi::Exit::Signal(signal),
        Exit::OutOfMemory => bailiwick_abi::Exit::OutOfMemory,
    }
}

impl<H: Hw> Kernel<H> {
    /// The next event of the containers of this notification, with the container's key. Of one container's, the
    /// ends of hooks come first and output comes before the end of whoever wrote it.
    pub fn container_event(&mut self, events: NotificationId) -> Option<(u64, ContainerEvent)> {
        let ready: Vec<ContainerId> = self.containers.ready.iter().copied().collect();
        for id in ready {
            match self.containers.record(id).map(|record| record.of) {
                Ok(of) if of.events == events => match self.event_of(id) {
                    Some(event) => return Some((of.key, event)),
                    None => self.containers.ready.remove(&id),
                },
                Ok(_) => false,
                Err(_) => self.containers.ready.remove(&id),
            };
        }
        None
    }

    /// The next thing that this container has to tell: each is told once.
    fn event_of(&mut self, id: ContainerId) -> Option<ContainerEvent> {
        if let Some(event) = self.hook_event(id) {
            return Some(event);
        }
        let c = self.containers.made(id).ok()?;
        let kills = c.group.and_then(|group| self.groups.get(group)).map_or(0, |g| g.usage.oom_kills);
        if kills > c.oom_told {
            self.containers.made_mut(id).ok()?.oom_told = kills;
            return Some(ContainerEvent::OutOfMemory);
        }
        members(c).into_iter().find_map(|which| self.member_event(id, which))
    }

    fn hook_event(&mut self, id: ContainerId) -> Option<ContainerEvent> {
        let hooks = self.containers.record(id).ok()?.hooks.iter();
        let (number, exit) = hooks
            .filter_map(|(number, hook)| Some((*number, self.processes.get(hook.process)?.exit?)))
            .next()?;
        let hook = self.containers.record_mut(id).ok()?.hooks.remove(&number)?;
        self.end_hook(&hook);
        Some(ContainerEvent::Exited { which: Which::Hook(number), exit: told(exit) })
    }

    fn member_event(&mut self, id: ContainerId, which: Which) -> Option<ContainerEvent> {
        let member = self.containers.made(id).ok()?.member(which)?;
        let (process, output_told, exit_told) = (member.process, member.output_told, member.exit_told);
        let has_output = !output_told
            && member.output.is_some_and(|ring| linux::output(self, ring).is_some_and(|o| !o.is_empty()));
        let member = self.containers.made_mut(id).ok()?.member_mut(which)?;
        if has_output {
            member.output_told = true;
            return Some(ContainerEvent::Output { which });
        }
        let exit = self.processes.get(process)?.exit.filter(|_| !exit_told)?;
        member.exit_told = true;
        Some(ContainerEvent::Exited { which, exit: told(exit) })
    }

    /// Something happened that a container may have to tell.
    pub(crate) fn container_changed(&mut self, id: ContainerId) {
        if let Ok(of) = self.containers.record(id).map(|record| record.of) {
            self.containers.ready.insert(id);
            self.signal_notification(of.events, of.bits);
        }
    }

    /// A process has ended.
    pub(crate) fn container_process_ended(&mut self, process: ProcessId) {
        if let Some(id) = self.containers.processes.get(&process).copied() {
            self.container_changed(id);
        }
    }

    /// Something was written to a ring of output.
    pub(crate) fn container_wrote(&mut self, output: u32) {
        if let Some(id) = self.containers.outputs.get(&output).copied() {
            self.container_changed(id);
        }
    }

    /// A process was killed because memory ran out in `group`.
    pub(crate) fn container_starved(&mut self, group: GroupId) {
        let chain: Vec<GroupId> = self.groups.chain(group).collect();
        let owns = |c: &Made| c.group.is_some_and(|own| chain.contains(&own));
        let all = self.containers.all.iter();
        let ids: Vec<ContainerId> =
            all.filter(|(_, c)| c.made.as_ref().is_some_and(owns)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.container_changed(id));
    }
}

/// All processes of a container that were started from outside.
fn members(c: &Made) -> Vec<Which> {
    let first = c.first.iter().map(|_| Which::First);
    first.chain(c.execs.keys().map(|exec| Which::Exec(*exec))).collect()
}
