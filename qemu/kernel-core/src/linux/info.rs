//! The machine, limits, usage, priorities: uname(2), sysinfo(2), prlimit(2), getrusage(2), sched(7).

use super::call::{Call, Outcome, linux_of, linux_of_mut};
use super::process::{NOFILE_MAX, limit};
use super::time::timeval;
use crate::cred::Capability;
use crate::hw::{Hw, PAGE};
use crate::mm::Access;
use crate::ns::ProcessId;
use bailiwick_protocol::error::Errno;

/// `struct rusage` of user and system time.
pub(crate) fn rusage((user, system): (u64, u64)) -> [u8; 144] {
    let mut bytes = [0; 144];
    bytes[..16].copy_from_slice(&timeval(user));
    bytes[16..32].copy_from_slice(&timeval(system));
    bytes
}

impl<H: Hw> Call<'_, H> {
    /// uname(2). The release is the one whose system calls these are.
    pub(crate) fn uname(&mut self) -> Outcome {
        let set = self.me()?.namespaces.as_ref().ok_or(Errno::ESRCH)?;
        let (host, domain) = self.k.vfs.namespaces.names(set.uts);
        let fields: [&[u8]; 6] = [b"Linux", host, b"6.1.0-bailiwick", b"#1 Bailiwick", b"x86_64", domain];
        let mut bytes = [0; 390];
        for (field, to) in fields.iter().zip(bytes.chunks_mut(65)) {
            to.iter_mut().take(64).zip(field.iter()).for_each(|(to, from)| *to = *from);
        }
        self.write_bytes(self.arg(0), &bytes)?;
        Ok(0)
    }

    fn new_name(&mut self) -> Result<alloc::vec::Vec<u8>, Errno> {
        let length = usize::try_from(self.int(1)).map_err(|_| Errno::EINVAL)?;
        if length > crate::ns::NAME_MAX {
            return Err(Errno::EINVAL);
        }
        let set = self.me()?.namespaces.as_ref().ok_or(Errno::ESRCH)?;
        let owner = self.k.vfs.namespaces.owner(set.uts);
        if !self.k.vfs.namespaces.capable(&self.me()?.credentials, owner, Capability::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let mut name = alloc::vec![0; length];
        self.read_bytes(self.arg(0), &mut name)?;
        Ok(name)
    }
    /// sethostname(2)
    pub(crate) fn sethostname(&mut self) -> Outcome {
        let name = self.new_name()?;
        let uts = self.me()?.namespaces.as_ref().ok_or(Errno::ESRCH)?.uts;
        self.k.vfs.namespaces.set_host(uts, &name)?;
        Ok(0)
    }
    /// setdomainname(2)
    pub(crate) fn setdomainname(&mut self) -> Outcome {
        let name = self.new_name()?;
        let uts = self.me()?.namespaces.as_ref().ok_or(Errno::ESRCH)?.uts;
        self.k.vfs.namespaces.set_domain(uts, &name)?;
        Ok(0)
    }

    /// sysinfo(2)
    pub(crate) fn sysinfo(&mut self) -> Outcome {
        let machine = super::source::machine(self.k);
        let mut bytes = [0; 112];
        bytes[..8].copy_from_slice(&(machine.uptime / 1_000_000_000).to_le_bytes());
        bytes[32..40].copy_from_slice(&(machine.total_frames * PAGE as u64).to_le_bytes());
        bytes[40..48].copy_from_slice(&(machine.free_frames * PAGE as u64).to_le_bytes());
        bytes[80..82].copy_from_slice(&(self.k.processes.count() as u16).to_le_bytes());
        bytes[104..108].copy_from_slice(&1u32.to_le_bytes());
        self.write_bytes(self.arg(0), &bytes)?;
        Ok(0)
    }

    // ---- limits ------------------------------------------------------------------------------------------------

    fn limit_of(&self, process: ProcessId, number: u32) -> Result<(u64, u64), Errno> {
        linux_of(self.k, process)?.limits.get(number as usize).copied().ok_or(Errno::EINVAL)
    }
    fn set_limit(&mut self, process: ProcessId, number: u32, (soft, hard): (u64, u64)) -> Result<(), Errno> {
        let old = self.limit_of(process, number)?;
        if soft > hard || number as usize == limit::NOFILE && hard > NOFILE_MAX.max(old.1) {
            return Err(if soft > hard { Errno::EINVAL } else { Errno::EPERM });
        }
        if hard > old.1 && !self.capable(Capability::SYS_RESOURCE)? {
            return Err(Errno::EPERM);
        }
        if let Some(slot) = linux_of_mut(self.k, process)?.limits.get_mut(number as usize) {
            *slot = (soft, hard);
        }
        self.k.with_memory(process, |space, _| match number as usize {
            limit::AS => space.bytes_max = soft,
            limit::STACK => space.stack_max = soft,
            _ => {}
        });
        Ok(())
    }
    fn show_limit(&mut self, (soft, hard): (u64, u64), to: u64) -> Result<(), Errno> {
        self.write_u64(to, soft)?;
        self.write_u64(to.wrapping_add(8), hard)
    }
    /// getrlimit(2)
    pub(crate) fn getrlimit(&mut self) -> Outcome {
        let limit = self.limit_of(self.process, self.word(0))?;
        self.show_limit(limit, self.arg(1))?;
        Ok(0)
    }
    /// setrlimit(2)
    pub(crate) fn setrlimit(&mut self) -> Outcome {
        let at = self.arg(1);
        let new = (self.read_u64(at)?, self.read_u64(at.wrapping_add(8))?);
        self.set_limit(self.process, self.word(0), new)?;
        Ok(0)
    }
    /// prlimit(2)
    pub(crate) fn prlimit64(&mut self) -> Outcome {
        let process = self.process_arg(0)?;
        if process != self.process {
            let (me, other) = (&self.me()?.credentials, &linux_of(self.k, process)?.credentials);
            let same = [other.uid, other.euid, other.suid] == [me.uid; 3];
            if !same && !self.k.vfs.namespaces.capable(me, other.user_namespace, Capability::SYS_RESOURCE) {
                return Err(Errno::EPERM.into());
            }
        }
        let (number, new, old) = (self.word(1), self.arg(2), self.arg(3));
        let before = self.limit_of(process, number)?;
        if new != 0 {
            let limit = (self.read_u64(new)?, self.read_u64(new.wrapping_add(8))?);
            self.set_limit(process, number, limit)?;
        }
        if old != 0 {
            self.show_limit(before, old)?;
        }
        Ok(0)
    }

    // ---- usage -------------------------------------------------------------------------------------------------

    /// User and system time of this process.
    pub(crate) fn own_time(&self) -> (u64, u64) {
        let Some(process) = self.k.processes.get(self.process) else { return (0, 0) };
        let threads = || process.threads.iter().filter_map(|id| self.k.threads.get(*id));
        let total = threads().map(|thread| thread.cpu).sum::<u64>() + process.cpu_of_ended;
        let user = threads().map(|thread| thread.cpu_user).sum::<u64>().min(total);
        (user, total - user)
    }
    /// getrusage(2)
    pub(crate) fn getrusage(&mut self) -> Outcome {
        let time = match self.int(0) {
            0 | 1 => self.own_time(),
            -1 => self.me()?.children_time,
            _ => return Err(Errno::EINVAL.into()),
        };
        let mut bytes = rusage(time);
        let resident = self.k.with_memory(self.process, |space, _| space.resident()).unwrap_or(0);
        bytes[32..40].copy_from_slice(&(resident * PAGE as u64 / 1024).to_le_bytes());
        self.write_bytes(self.arg(1), &bytes)?;
        Ok(0)
    }
    /// times(2): in hundredths of a second.
    pub(crate) fn times(&mut self) -> Outcome {
        const TICK: u64 = 10_000_000;
        let (own, children) = (self.own_time(), self.me()?.children_time);
        if self.arg(0) != 0 {
            for (at, time) in [own.0, own.1, children.0, children.1].into_iter().enumerate() {
                self.write_u64(self.arg(0).wrapping_add(at as u64 * 8), time / TICK)?;
            }
        }
        Ok(self.now().0 / TICK)
    }

    // ---- scheduling --------------------------------------------------------------------------------------------

    /// sched_yield(2)
    pub(crate) fn sched_yield(&mut self) -> Outcome {
        self.k.yield_now();
        Ok(0)
    }
    /// sched_getaffinity(2): there is one processor.
    pub(crate) fn sched_getaffinity(&mut self) -> Outcome {
        if self.arg(1) < 8 {
            return Err(Errno::EINVAL.into());
        }
        self.write_u64(self.arg(2), 1)?;
        Ok(8)
    }
    /// sched_setaffinity(2)
    pub(crate) fn sched_setaffinity(&mut self) -> Outcome {
        let length = self.arg(1).min(8) as usize;
        let mut mask = [0; 8];
        let part = mask.get_mut(..length).unwrap_or_default();
        self.reach(self.arg(2), length, Access::Read)?;
        self.read_bytes(self.arg(2), part)?;
        if u64::from_le_bytes(mask) & 1 == 0 { Err(Errno::EINVAL.into()) } else { Ok(0) }
    }
    /// getpriority(2): of a process only; shifted as the system call has it.
    pub(crate) fn getpriority(&mut self) -> Outcome {
        if self.word(0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let process = self.process_arg(1)?;
        Ok((20 - i64::from(linux_of(self.k, process)?.nice)) as u64)
    }
    /// setpriority(2): kept and shown; who may run is decided by the group's weight.
    pub(crate) fn setpriority(&mut self) -> Outcome {
        if self.word(0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let process = self.process_arg(1)?;
        let nice = self.int(2).clamp(-20, 19) as i8;
        if nice < linux_of(self.k, process)?.nice && !self.capable(Capability::SYS_NICE)? {
            return Err(Errno::EACCES.into());
        }
        linux_of_mut(self.k, process)?.nice = nice;
        Ok(0)
    }
    /// personality(2): there is one.
    pub(crate) fn personality(&mut self) -> Outcome {
        match self.word(0) {
            u32::MAX | 0 => Ok(0),
            _ => Err(Errno::EINVAL.into()),
        }
    }
    /// getrandom(2)
    pub(crate) fn getrandom(&mut self) -> Outcome {
        if self.word(2) & !7 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let length = self.reach(self.arg(0), self.arg(1).min(64 << 10) as usize, Access::Write)?;
        let mut bytes = alloc::vec![0; length];
        for chunk in bytes.chunks_mut(8) {
            let word = self.k.mem.hw.random().to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
        self.write_bytes(self.arg(0), &bytes)?;
        Ok(length as u64)
    }

    /// A call that does not exist here: counted.
    pub(crate) fn unknown(&mut self) -> Outcome {
        if let Some(group) = self.k.processes.get(self.process).map(|process| process.group) {
            self.k.groups.note_unknown_call(group);
        }
        let me = self.me_mut()?;
        me.unknown_calls = me.unknown_calls.saturating_add(1);
        Err(Errno::ENOSYS.into())
    }
}
