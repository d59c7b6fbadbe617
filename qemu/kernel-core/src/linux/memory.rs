//! Page faults, and what happens when memory runs out.

use super::deliver;
use super::signal::{SIGBUS, SIGSEGV, SignalInfo};
use crate::hw::{Frame, Hw};
use crate::kernel::Kernel;
use crate::memory::{GroupId, NoMemory};
use crate::mm::{Access, Fault, Files, Run};
use crate::ns::ProcessId;
use crate::thread::ThreadId;
use crate::vfs::{FileId, Frames, Vfs};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

impl Files for Vfs {
    fn page(
        &mut self,
        frames: &mut dyn Frames,
        group: GroupId,
        file: FileId,
        index: u32,
        access: Access,
    ) -> Result<Frame, Errno> {
        let access = match access {
            Access::Write => crate::vfs::Access::Write,
            Access::Read | Access::Execute => crate::vfs::Access::Read,
        };
        self.page_for_map(frames, file, index, access, group)
    }
    fn present(&self, file: FileId, index: u32, most: u32) -> Run {
        self.present_for_map(file, index, most)
    }
    fn hold(&mut self, file: FileId) {
        self.hold_file(file);
    }
    fn close(&mut self, frames: &mut dyn Frames, file: FileId) {
        Vfs::close(self, frames, file);
    }
}

/// `thread` touched `address` and the page table said no.
pub(crate) fn page_fault<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, address: u64, access: Access) {
    k.starved = None;
    let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return };
    let (signal, code) = match k.with_memory(process, |space, s| space.fault(s, address, access)) {
        Some(Ok(())) | None => return,
        Some(Err(Fault::Unmapped)) => (SIGSEGV, 1),
        Some(Err(Fault::Denied)) => (SIGSEGV, 2),
        Some(Err(Fault::BeyondEnd)) => (SIGBUS, 2),
        Some(Err(Fault::OutOfMemory(none))) => return kill_for(k, process, none),
    };
    deliver::force(k, thread, signal, SignalInfo { code, address, ..SignalInfo::default() });
}

/// A system call got no frame because a group is at its limit: the biggest process there ends. True if the call is
/// to be made again, or its thread is no more.
pub(crate) fn make_room<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) -> bool {
    let Some(NoMemory::Group(group)) = k.starved.take() else { return false };
    let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return true };
    kill_for(k, process, NoMemory::Group(group));
    if k.threads.get(thread).is_some() {
        // Once more, at once, with what was freed.
        k.wait_on(thread, &[], None);
        k.wake_thread(thread);
    }
    true
}

/// Ends the biggest process that can give back what is missing, or else the one that asked.
fn kill_for<H: Hw>(k: &mut Kernel<H>, asking: ProcessId, none: NoMemory) {
    let meant = |group| match none {
        NoMemory::Group(limited) => k.groups.is_within(group, limited),
        NoMemory::Machine => true,
    };
    let total = k.mem.total().max(1) as i64;
    let badness = |id: ProcessId| -> Option<(i64, ProcessId)> {
        let process = k.processes.get(id).filter(|process| process.exit.is_none() && meant(process.group))?;
        let linux = process.linux().filter(|linux| linux.oom_score > -1000)?;
        let resident = process.memory.as_ref()?.resident() as i64;
        Some((resident + i64::from(linux.oom_score) * total / 1000, id))
    };
    let biggest = k.processes.iter().filter_map(|(id, _)| badness(id)).max_by_key(|(badness, _)| *badness);
    let victim = biggest.map_or(asking, |(_, id)| id);
    if let Some(group) = k.processes.get(victim).map(|process| process.group) {
        k.groups.note_oom(group);
        k.container_starved(group);
    }
    k.end_process(victim, Exit::OutOfMemory);
}
