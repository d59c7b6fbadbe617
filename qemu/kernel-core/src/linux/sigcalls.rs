//! System calls about signals.

use super::call::{Call, Outcome, Stop, Waiting, linux_of};
use super::deliver::{self, Origin};
use super::frame::{SS_DISABLE, on_alternate};
use super::process::Interrupted;
use super::signal::*;
use crate::cred::Capability;
use crate::hw::Hw;
use crate::ns::ProcessId;
use crate::thread::{Channel, ThreadBody, ThreadId};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// Smallest alternate stack (`MINSIGSTKSZ`).
const STACK_MIN: u64 = 2048;

fn signal(number: i32) -> Result<u8, Errno> {
    u8::try_from(number).ok().filter(|number| (1..=LAST).contains(number)).ok_or(Errno::EINVAL)
}

impl<H: Hw> Call<'_, H> {
    /// rt_sigaction(2)
    pub(crate) fn rt_sigaction(&mut self) -> Outcome {
        let number = signal(self.int(0))?;
        if self.arg(3) != 8 {
            return Err(Errno::EINVAL.into());
        }
        let old = self.me()?.actions.get(number);
        if self.arg(1) != 0 {
            let bytes: [u8; 32] = self.read_array(self.arg(1))?;
            let word = |at: usize| {
                bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
            };
            if Signals::UNSTOPPABLE.has(number) {
                return Err(Errno::EINVAL.into());
            }
            let mask = Signals(word(24)).without(Signals::UNSTOPPABLE);
            let action = Action { handler: word(0), flags: word(8), restorer: word(16), mask };
            let me = self.me_mut()?;
            me.actions.set(number, action);
            if me.actions.ignores(number) {
                me.pending.remove(Signals::one(number));
            }
        }
        if self.arg(2) != 0 {
            let mut bytes = [0; 32];
            for (at, value) in [old.handler, old.flags, old.restorer, old.mask.0].iter().enumerate() {
                if let Some(to) = bytes.get_mut(at * 8..at * 8 + 8) {
                    to.copy_from_slice(&value.to_le_bytes());
                }
            }
            self.write_bytes(self.arg(2), &bytes)?;
        }
        Ok(0)
    }

    /// rt_sigprocmask(2)
    pub(crate) fn rt_sigprocmask(&mut self) -> Outcome {
        if self.arg(3) != 8 {
            return Err(Errno::EINVAL.into());
        }
        let old = self.task()?.mask;
        if self.arg(1) != 0 {
            let set = Signals(self.read_u64(self.arg(1))?);
            let new = match self.int(0) {
                0 => old.with(set),
                1 => old.without(set),
                2 => set,
                _ => return Err(Errno::EINVAL.into()),
            };
            self.task_mut()?.mask = new.without(Signals::UNSTOPPABLE);
        }
        if self.arg(2) != 0 {
            self.write_u64(self.arg(2), old.0)?;
        }
        Ok(0)
    }
    /// rt_sigpending(2)
    pub(crate) fn rt_sigpending(&mut self) -> Outcome {
        let task = self.task()?;
        let set = task.pending.set.with(self.me()?.pending.set).and(task.mask);
        self.write_u64(self.arg(0), set.0)?;
        Ok(0)
    }
    /// rt_sigsuspend(2)
    pub(crate) fn rt_sigsuspend(&mut self) -> Outcome {
        self.wear_mask(self.arg(0), self.arg(1))?;
        self.pause()
    }
    /// rt_sigtimedwait(2)
    pub(crate) fn rt_sigtimedwait(&mut self) -> Outcome {
        if self.arg(3) != 8 {
            return Err(Errno::EINVAL.into());
        }
        let wanted = Signals(self.read_u64(self.arg(0))?).without(Signals::UNSTOPPABLE);
        let (own, shared) = (self.task()?.pending.set.and(wanted), self.me()?.pending.set.and(wanted));
        let taken = match (own.first(), shared.first()) {
            (Some(number), _) => Some((number, self.task_mut()?.pending.take(number))),
            (_, Some(number)) => Some((number, self.me_mut()?.pending.take(number))),
            _ => None,
        };
        if let Some((number, info)) = taken {
            if self.arg(1) != 0 {
                self.write_bytes(self.arg(1), &info.to_bytes(number))?;
            }
            return Ok(number.into());
        }
        let mut deadline = None;
        if let Some(time) = self.timeout(self.arg(2))? {
            let at = self.deadline(time)?;
            if at <= self.now() {
                return Err(Errno::EAGAIN.into());
            }
            deadline = Some(at);
        }
        Err(Stop::Wait(Waiting {
            channels: alloc::vec![Channel::Process(self.process)],
            deadline,
            interrupted: Interrupted::Fails,
        }))
    }
    /// sigaltstack(2)
    pub(crate) fn sigaltstack(&mut self) -> Outcome {
        let rsp = self.registers_mut()?.rsp;
        let old = self.task()?.alternate;
        let on_it = on_alternate(rsp, old);
        if self.arg(0) != 0 {
            let bytes: [u8; 24] = self.read_array(self.arg(0))?;
            let word = |at: usize| {
                bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
            };
            let flags = word(8) as u32;
            if on_it {
                return Err(Errno::EPERM.into());
            }
            let new = match flags & !(1 << 31) {
                SS_DISABLE => (0, 0),
                0 | 1 if word(16) < STACK_MIN => return Err(Errno::ENOMEM.into()),
                0 | 1 => (word(0), word(16)),
                _ => return Err(Errno::EINVAL.into()),
            };
            self.task_mut()?.alternate = new;
        }
        if self.arg(1) != 0 {
            let flags = if old.1 == 0 { SS_DISABLE } else { u32::from(on_it) };
            let mut bytes = [0; 24];
            bytes[..8].copy_from_slice(&old.0.to_le_bytes());
            bytes[8..12].copy_from_slice(&flags.to_le_bytes());
            bytes[16..].copy_from_slice(&old.1.to_le_bytes());
            self.write_bytes(self.arg(1), &bytes)?;
        }
        Ok(0)
    }

    // ---- sending -----------------------------------------------------------------------------------------------

    /// Whether the caller may send `number` to a process (kill(2)).
    fn may_signal(&self, target: ProcessId, number: u8) -> Result<bool, Errno> {
        let me = self.me()?;
        let other = linux_of(self.k, target)?;
        let (mine, theirs) = (&me.credentials, &other.credentials);
        let same = [mine.euid, mine.uid].iter().any(|uid| *uid == theirs.uid || *uid == theirs.suid);
        let continues = number == SIGCONT && me.session == other.session;
        Ok(same || continues || self.k.vfs.namespaces.capable(mine, theirs.user_namespace, Capability::KILL))
    }
    fn info_for(&self, target: ProcessId, code: i32) -> Result<SignalInfo, Errno> {
        let me = self.me()?;
        let other = linux_of(self.k, target)?;
        let pid = other.numbers.first().map_or(0, |(namespace, _)| me.number_in(*namespace));
        let user = self.k.vfs.namespaces.user(other.credentials.user_namespace);
        let uid = user.map_or(0, |user| user.map_from(me.credentials.uid));
        Ok(SignalInfo { code, pid, uid, ..SignalInfo::default() })
    }
    /// Sends to one process; 0 only asks whether that is allowed.
    fn signal_one(&mut self, target: ProcessId, number: i32) -> Result<(), Errno> {
        let wanted = if number == 0 { 0 } else { signal(number)? };
        if !self.may_signal(target, wanted)? {
            return Err(Errno::EPERM);
        }
        if wanted != 0 {
            let info = self.info_for(target, SI_USER)?;
            let inside = linux_of(self.k, target)?
                .numbers
                .first()
                .is_some_and(|(namespace, _)| self.me().is_ok_and(|me| me.number_in(*namespace) != 0));
            let origin = if inside { Origin::Inside } else { Origin::Outside };
            deliver::send(self.k, target, wanted, info, origin);
        }
        Ok(())
    }
    /// Sends to many: succeeds if one could be reached.
    fn signal_all(&mut self, targets: Vec<ProcessId>, number: i32) -> Outcome {
        let mut result = Err(Errno::ESRCH);
        for target in targets {
            match self.signal_one(target, number) {
                Ok(()) => result = Ok(0),
                Err(errno) if result.is_err() => result = Err(errno),
                Err(_) => {}
            }
            if self.k.threads.get(self.thread).is_none() {
                return Err(Stop::Gone);
            }
        }
        Ok(result?)
    }
    /// kill(2)
    pub(crate) fn kill(&mut self) -> Outcome {
        let number = self.int(1);
        if number != 0 {
            signal(number)?;
        }
        match self.int(0) {
            pid if pid > 0 => {
                let target = self.find(pid as u32).ok_or(Errno::ESRCH)?;
                self.signal_one(target, number)?;
                Ok(0)
            }
            0 => {
                let targets = deliver::members(self.k, self.me()?.process_group);
                self.signal_all(targets, number)
            }
            -1 => {
                let namespace = self.pid_namespace()?;
                let all = self.k.vfs.namespaces.pid(namespace).ok_or(Errno::ESRCH)?;
                let targets: Vec<ProcessId> = all
                    .processes()
                    .filter(|(pid, process)| *pid != 1 && *process != self.process)
                    .map(|(_, process)| process)
                    .filter(|process| self.k.processes.get(*process).is_some_and(|p| p.exit.is_none()))
                    .collect();
                self.signal_all(targets, number)
            }
            i32::MIN => Err(Errno::ESRCH.into()),
            pid => {
                let group = self.find_any(pid.unsigned_abs()).ok_or(Errno::ESRCH)?;
                let targets = deliver::members(self.k, group);
                self.signal_all(targets, number)
            }
        }
    }

    fn signal_thread(&mut self, group: Option<i32>, tid: i32, number: i32) -> Outcome {
        if tid <= 0 || group.is_some_and(|group| group <= 0) {
            return Err(Errno::EINVAL.into());
        }
        let process = self.find(tid as u32).ok_or(Errno::ESRCH)?;
        if let Some(group) = group
            && self.find(group as u32) != Some(process)
        {
            return Err(Errno::ESRCH.into());
        }
        let wanted = if number == 0 { 0 } else { signal(number)? };
        if !self.may_signal(process, wanted)? {
            return Err(Errno::EPERM.into());
        }
        let namespace = self.pid_namespace()?;
        let has_number = |id: &ThreadId| match self.k.threads.get(*id).map(|thread| &thread.body) {
            Some(ThreadBody::Linux(task)) => task.numbers.contains(&(namespace, tid as u32)),
            _ => false,
        };
        let threads =
            self.k.processes.get(process).map(|process| process.threads.clone()).unwrap_or_default();
        let thread = threads.into_iter().find(has_number);
        let info = self.info_for(process, SI_TKILL)?;
        if let (Some(thread), 1..) = (thread, wanted) {
            deliver::send_to_thread(self.k, thread, wanted, info);
        }
        Ok(0)
    }
    /// tkill(2)
    pub(crate) fn tkill(&mut self) -> Outcome {
        self.signal_thread(None, self.int(0), self.int(1))
    }
    /// tgkill(2)
    pub(crate) fn tgkill(&mut self) -> Outcome {
        self.signal_thread(Some(self.int(0)), self.int(1), self.int(2))
    }
}
