//! What can be asked of a container that was made: open the gate, signals, freezing, numbers, output.

use super::{ContainerId, Member, Stage};
use crate::group::Freezer;
use crate::hw::{Hw, PAGE};
use crate::kernel::Kernel;
use crate::linux;
use crate::memory::GroupId;
use crate::ns::ProcessId;
use alloc::vec::Vec;
use bailiwick_abi::Which;
use bailiwick_kernel_glue::glue::OutputRead;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Nanos, PAGE_ROWS, ProcessPage, ProcessRow, Scope, Statistics};

/// Highest number of a signal (signal(7)).
const SIGNAL_MAX: u8 = 64;

impl<H: Hw> Kernel<H> {
    /// Opens the gate: the first process runs its program.
    ///
    /// # Errors
    /// `EINVAL` if there is no gate or it is open, `EBUSY` while a hook runs, `ESRCH` if the process was killed.
    pub fn container_release(&mut self, id: ContainerId) -> Result<(), Errno> {
        let c = self.containers.made(id)?;
        if c.stage != Stage::AtGate {
            return Err(Errno::EINVAL);
        }
        let process = c.first()?;
        if self.hook_runs(id)? {
            return Err(Errno::EBUSY);
        }
        self.lives(process)?;
        linux::release(self, process)?;
        self.containers.made_mut(id)?.stage = Stage::Released;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `EINVAL` for no signal, or for all by way of a further process; `ESRCH` if whoever is meant has ended.
    pub fn container_signal(
        &mut self,
        id: ContainerId,
        which: Which,
        signal: u8,
        scope: Scope,
    ) -> Result<(), Errno> {
        if signal == 0 || signal > SIGNAL_MAX || (scope == Scope::All && which != Which::First) {
            return Err(Errno::EINVAL);
        }
        let meant = match scope {
            Scope::First => alloc::vec![self.process_called(id, which)?],
            Scope::All => self.living_in(self.containers.made(id)?.group()?),
        };
        if !meant.iter().any(|process| self.lives(*process).is_ok()) {
            return Err(Errno::ESRCH);
        }
        meant.into_iter().for_each(|process| linux::signal(self, process, signal));
        Ok(())
    }

    fn process_called(&self, id: ContainerId, which: Which) -> Result<ProcessId, Errno> {
        let record = self.containers.record(id)?;
        let found = match which {
            Which::Hook(number) => record.hooks.get(&number).map(|hook| hook.process),
            _ => record.made.as_ref().and_then(|c| c.member(which)).map(|member| member.process),
        };
        found.ok_or(Errno::ESRCH)
    }

    /// Living processes of a group and all below.
    pub(super) fn living_in(&self, group: GroupId) -> Vec<ProcessId> {
        let lives = |p: &crate::process::Process| p.exit.is_none() && self.groups.is_within(p.group, group);
        self.processes.iter().filter(|(_, process)| lives(process)).map(|(id, _)| id).collect()
    }

    /// Stops every process of the container; when this returns none runs. Twice is the same.
    ///
    /// # Errors
    /// `ESRCH` if it was destroyed, `EINVAL` if it has no group yet.
    pub fn container_freeze(&mut self, id: ContainerId) -> Result<(), Errno> {
        let group = self.containers.made(id)?.group()?;
        self.set_freezer(group, Freezer::Frozen);
        Ok(())
    }

    /// Lets them go on. Twice is the same.
    ///
    /// # Errors
    /// As [`Kernel::container_freeze`].
    pub fn container_thaw(&mut self, id: ContainerId) -> Result<(), Errno> {
        let group = self.containers.made(id)?.group()?;
        self.set_freezer(group, Freezer::Thawed);
        Ok(())
    }

    /// What the container has used and uses.
    ///
    /// # Errors
    /// As [`Kernel::container_freeze`].
    pub fn container_statistics(&mut self, id: ContainerId) -> Result<Statistics, Errno> {
        let now = self.mem.hw.now();
        self.sched.account(&mut self.groups, &mut self.threads, now);
        let made = self.containers.made(id)?;
        let group = self.groups.get(made.group()?).ok_or(Errno::EINVAL)?;
        let ended = |member: &&Member| {
            self.processes.get(member.process).is_some_and(|process| process.exit.is_some())
        };
        let kept = made.first.iter().chain(made.execs.values()).filter(ended).count();
        let bytes = |frames: u64| frames.saturating_mul(PAGE as u64);
        Ok(Statistics {
            memory: bytes(group.memory()),
            memory_peak: bytes(group.memory_peak()),
            memory_limit: group.limits().frames.map(bytes),
            cpu: Nanos(group.usage.cpu),
            cpu_limit: group
                .limits()
                .quota
                .map(|quota| quota.time.saturating_mul(1000).div_ceil(quota.period)),
            // One that was started from outside and has ended is kept, and counted, for whoever asks how it ended.
            pids: group.usage.pids.saturating_sub(kept as u32),
            pids_limit: group.limits().pids,
            oom_kills: group.usage.oom_kills,
            unknown_calls: group.usage.unknown_calls,
        })
    }

    /// Living processes of the container from position `from` on, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Kernel::container_freeze`].
    pub fn container_processes(&mut self, id: ContainerId, from: u32) -> Result<ProcessPage, Errno> {
        let group = self.containers.made(id)?.group()?;
        let mut rows: Vec<ProcessRow> = Vec::new();
        for process in self.living_in(group) {
            let inner = self.processes.get(process).and_then(|p| p.linux()).map(|linux| linux.own_number());
            rows.extend(self.host_number(process).map(|pid| ProcessRow { pid: Some(pid), inner_pid: inner }));
        }
        rows.sort_unstable_by_key(|row| row.pid);
        let rest = rows.get(from as usize..).unwrap_or(&[]);
        let page = rest.get(..PAGE_ROWS).unwrap_or(rest);
        let next = (rest.len() > PAGE_ROWS).then(|| from + PAGE_ROWS as u32);
        Ok(ProcessPage { rows: page.iter().copied().collect(), next })
    }

    /// Takes what a process has written and nobody has read, as much as fits.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process.
    pub fn container_output(
        &mut self,
        id: ContainerId,
        which: Which,
        buffer: &mut [u8],
    ) -> Result<OutputRead, Errno> {
        let member = self.containers.made_mut(id)?.member_mut(which).ok_or(Errno::ESRCH)?;
        member.output_told = false;
        let Some(ring) = member.output else { return Ok(OutputRead::default()) };
        let (len, lost) = linux::output(self, ring).map_or((0, 0), |output| output.read(buffer));
        if linux::output(self, ring).is_some_and(|output| !output.is_empty()) {
            self.container_changed(id);
        }
        Ok(OutputRead { len, lost })
    }

    /// Forgets a process that is not the first, killing it if it runs; unknown ones: nothing happens.
    ///
    /// # Errors
    /// `EINVAL` for the first process.
    pub fn container_forget(&mut self, id: ContainerId, which: Which) -> Result<(), Errno> {
        match which {
            Which::First => return Err(Errno::EINVAL),
            Which::Exec(number) => {
                if let Some(member) = self.containers.made_mut(id).ok().and_then(|c| c.execs.remove(&number))
                {
                    self.end_member(&member);
                }
            }
            Which::Hook(number) => {
                let record = self.containers.record_mut(id);
                if let Some(hook) = record.ok().and_then(|record| record.hooks.remove(&number)) {
                    self.end_hook(&hook);
                }
            }
        }
        Ok(())
    }
}
