//! A system call under way: who makes it, with what, and how it reaches memory and files.

use super::process::{Interrupted, LinuxProcess, LinuxThread, Progress};
use super::source::{Payer, View};
use crate::container::Containers;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::mm::{Access, Fault};
use crate::ns::{NamespaceId, ProcessId};
use crate::thread::{Channel, Registers, Thread, ThreadBody, ThreadId};
use crate::vfs::{Caller, Env, Store, Vfs};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;
use core::cell::RefCell;

/// Why a call does not return a number.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed.
    Errno(Errno),
    /// It waits and will be made again.
    Wait(Waiting),
    /// The registers are set already, or the thread is no more.
    Gone,
}

/// What a call waits for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) channels: Vec<Channel>,
    pub(crate) deadline: Option<Nanos>,
    pub(crate) interrupted: Interrupted,
}

/// What a call comes to.
pub(crate) type Outcome = Result<u64, Stop>;

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Errno(errno)
    }
}
impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Errno(fault.into())
    }
}

impl Stop {
    /// Waits on one channel; a handler without `SA_RESTART` makes it `EINTR`.
    pub(crate) fn on(channel: Channel) -> Stop {
        Stop::Wait(Waiting {
            channels: alloc::vec![channel],
            deadline: None,
            interrupted: Interrupted::Restarts,
        })
    }
}

/// A system call under way.
pub(crate) struct Call<'k, H: Hw> {
    pub(crate) k: &'k mut Kernel<H>,
    pub(crate) thread: ThreadId,
    pub(crate) process: ProcessId,
    pub(crate) args: [u64; 6],
}

/// The kernel's fields as one process's view of files.
pub(crate) fn with_files<H: Hw, T>(
    k: &mut Kernel<H>,
    process: ProcessId,
    work: impl FnOnce(&mut Vfs, &mut Env<'_>, &Caller<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let machine = super::source::machine(k);
    let Kernel { mem, groups, processes, threads, vfs, linux, .. } = k;
    let cell = RefCell::new(groups);
    let view = View { processes, threads, linux, groups: &cell, machine };
    let mut payer = Payer(&cell);
    let mut store = Store { memory: mem, groups: &mut payer };
    let found = processes.get(process).ok_or(Errno::ESRCH)?;
    let linux = found.linux().ok_or(Errno::ESRCH)?;
    let caller = Caller {
        process: Some(process),
        credentials: &linux.credentials,
        fs: linux.fs.as_ref().ok_or(Errno::ESRCH)?,
        namespaces: linux.namespaces.as_ref().ok_or(Errno::ESRCH)?,
        group: found.group,
    };
    work(vfs, &mut Env { frames: &mut store, processes: &view }, &caller)
}

/// The kernel's fields as everything that files can tell, on behalf of nobody yet.
pub(crate) fn with_everything<H: Hw, T, E>(
    k: &mut Kernel<H>,
    work: impl FnOnce(&mut Vfs, &mut Env<'_>, &Containers) -> Result<T, E>,
) -> Result<T, E> {
    let machine = super::source::machine(k);
    let Kernel { mem, groups, processes, threads, vfs, linux, containers, .. } = k;
    let cell = RefCell::new(groups);
    let view = View { processes, threads, linux, groups: &cell, machine };
    let mut payer = Payer(&cell);
    let mut store = Store { memory: mem, groups: &mut payer };
    work(vfs, &mut Env { frames: &mut store, processes: &view }, containers)
}

impl<H: Hw> Call<'_, H> {
    pub(crate) fn arg(&self, at: usize) -> u64 {
        self.args.get(at).copied().unwrap_or(0)
    }
    /// An argument that C calls `int`.
    pub(crate) fn int(&self, at: usize) -> i32 {
        self.arg(at) as i32
    }
    /// An argument that C calls `unsigned int`.
    pub(crate) fn word(&self, at: usize) -> u32 {
        self.arg(at) as u32
    }

    pub(crate) fn me(&self) -> Result<&LinuxProcess, Errno> {
        linux_of(self.k, self.process)
    }
    pub(crate) fn me_mut(&mut self) -> Result<&mut LinuxProcess, Errno> {
        linux_of_mut(self.k, self.process)
    }
    pub(crate) fn thread(&self) -> Result<&Thread, Errno> {
        self.k.threads.get(self.thread).ok_or(Errno::ESRCH)
    }
    pub(crate) fn registers_mut(&mut self) -> Result<&mut Registers, Errno> {
        self.k.threads.get_mut(self.thread).map(Thread::registers_mut).ok_or(Errno::ESRCH)
    }
    pub(crate) fn task(&self) -> Result<&LinuxThread, Errno> {
        task_of(self.k, self.thread)
    }
    pub(crate) fn task_mut(&mut self) -> Result<&mut LinuxThread, Errno> {
        task_of_mut(self.k, self.thread)
    }
    pub(crate) fn now(&self) -> Nanos {
        self.k.mem.hw.now()
    }
    /// The pid namespace the caller is in: numbers in arguments and results are its.
    pub(crate) fn pid_namespace(&self) -> Result<NamespaceId, Errno> {
        self.me()?.namespaces.as_ref().map(|set| set.pid).ok_or(Errno::ESRCH)
    }

    // ---- memory ------------------------------------------------------------------------------------------------

    pub(crate) fn read_bytes(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let copied = self.k.with_memory(self.process, |space, s| space.read(s, address, buffer));
        Ok(copied.ok_or(Errno::ESRCH)??)
    }
    pub(crate) fn write_bytes(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let copied = self.k.with_memory(self.process, |space, s| space.write(s, address, bytes));
        Ok(copied.ok_or(Errno::ESRCH)??)
    }
    pub(crate) fn read_array<const N: usize>(&mut self, address: u64) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read_bytes(address, &mut bytes)?;
        Ok(bytes)
    }
    pub(crate) fn read_u64(&mut self, address: u64) -> Result<u64, Errno> {
        self.read_array(address).map(u64::from_le_bytes)
    }
    pub(crate) fn read_u32(&mut self, address: u64) -> Result<u32, Errno> {
        self.read_array(address).map(u32::from_le_bytes)
    }
    pub(crate) fn write_u64(&mut self, address: u64, value: u64) -> Result<(), Errno> {
        self.write_bytes(address, &value.to_le_bytes())
    }
    pub(crate) fn write_u32(&mut self, address: u64, value: u32) -> Result<(), Errno> {
        self.write_bytes(address, &value.to_le_bytes())
    }
    pub(crate) fn read_string(&mut self, address: u64, max: usize) -> Result<Vec<u8>, Errno> {
        let text = self.k.with_memory(self.process, |space, s| space.read_string(s, address, max));
        text.ok_or(Errno::ESRCH)?
    }
    /// The path in an argument.
    pub(crate) fn path(&mut self, at: usize) -> Result<Vec<u8>, Errno> {
        self.read_string(self.arg(at), crate::vfs::PATH_MAX)
    }
    /// How many bytes from `address` on can be read or written, at most `length`.
    ///
    /// # Errors
    /// `EFAULT` if not one can, but some were asked for.
    pub(crate) fn reach(&mut self, address: u64, length: usize, access: Access) -> Result<usize, Errno> {
        let reached = self.k.with_memory(self.process, |space, s| space.reach(s, address, length, access));
        match reached.ok_or(Errno::ESRCH)? {
            0 if length > 0 => Err(Errno::EFAULT),
            reached => Ok(reached),
        }
    }

    // ---- files -------------------------------------------------------------------------------------------------

    pub(crate) fn files<T>(
        &mut self,
        work: impl FnOnce(&mut Vfs, &mut Env<'_>, &Caller<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        with_files(self.k, self.process, work)
    }

    // ---- waiting -----------------------------------------------------------------------------------------------

    /// The deadline of this call: the one it had when it was first made, or `from_now` from now.
    pub(crate) fn deadline(&mut self, from_now: u64) -> Result<Nanos, Errno> {
        if let Progress::Deadline(at) = self.task()?.progress {
            return Ok(at);
        }
        let at = Nanos(self.now().0.saturating_add(from_now));
        self.task_mut()?.progress = Progress::Deadline(at);
        Ok(at)
    }
}

pub(crate) fn linux_of<H: Hw>(k: &Kernel<H>, process: ProcessId) -> Result<&LinuxProcess, Errno> {
    k.processes.get(process).and_then(|process| process.linux()).ok_or(Errno::ESRCH)
}
pub(crate) fn linux_of_mut<H: Hw>(k: &mut Kernel<H>, process: ProcessId) -> Result<&mut LinuxProcess, Errno> {
    k.processes.get_mut(process).and_then(|process| process.linux_mut()).ok_or(Errno::ESRCH)
}
pub(crate) fn task_of<H: Hw>(k: &Kernel<H>, thread: ThreadId) -> Result<&LinuxThread, Errno> {
    match k.threads.get(thread).map(|thread| &thread.body) {
        Some(ThreadBody::Linux(task)) => Ok(task),
        _ => Err(Errno::ESRCH),
    }
}
pub(crate) fn task_of_mut<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) -> Result<&mut LinuxThread, Errno> {
    match k.threads.get_mut(thread).map(|thread| &mut thread.body) {
        Some(ThreadBody::Linux(task)) => Ok(task),
        _ => Err(Errno::ESRCH),
    }
}
