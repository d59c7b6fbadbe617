//! Processes: an address space, threads, and who pays for them.

use crate::account::{Charged, price_of};
use crate::arena::Arena;
use crate::linux::LinuxProcess;
use crate::memory::GroupId;
use crate::mm::AddressSpace;
use crate::native::NativeProcess;
use crate::ns::ProcessId;
use crate::thread::ThreadId;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

/// Most processes there can be, zombies included.
pub const PROCESSES_MAX: usize = 2048;

/// Which system calls a process makes.
#[derive(Debug)]
pub enum ProcessBody {
    /// The kernel's own: authority is in its capability space.
    Native(Box<NativeProcess>),
    /// Those of Linux on x86_64.
    Linux(Box<LinuxProcess>),
}

/// A process. It has threads until it ends; after that it is a record of how it ended, until nobody wants to know.
#[derive(Debug)]
pub struct Process {
    /// Who pays.
    pub group: GroupId,
    /// Its address space; none once it has ended.
    pub memory: Option<AddressSpace>,
    /// Its threads.
    pub threads: Vec<ThreadId>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// When it was made, in nanoseconds since start.
    pub started: u64,
    /// Time that its ended threads had used, in nanoseconds.
    pub cpu_of_ended: u64,
    /// What depends on its kind.
    pub body: ProcessBody,
    pub(crate) charged: Charged,
}

impl Process {
    /// What a process takes of the kernel's heap, besides threads, areas and what it opens.
    pub(crate) fn price(body: &ProcessBody) -> usize {
        let of_kind = match body {
            ProcessBody::Native(_) => size_of::<NativeProcess>(),
            ProcessBody::Linux(linux) => LinuxProcess::price(linux.text()),
        };
        price_of::<Process>() + of_kind
    }
    /// Pays for so much text of a Linux process from now on ([`LinuxProcess::text`]).
    ///
    /// # Errors
    /// `ENOMEM` at a limit of its group; nothing changes then.
    pub(crate) fn pay_for_text(&mut self, bytes: usize) -> Result<(), Errno> {
        let price = price_of::<Process>() + LinuxProcess::price(bytes);
        self.charged.resize(price).map_err(|_| Errno::ENOMEM)
    }
    /// Its Linux side, if it has one.
    pub fn linux(&self) -> Option<&LinuxProcess> {
        match &self.body {
            ProcessBody::Linux(linux) => Some(linux),
            ProcessBody::Native(_) => None,
        }
    }
    /// Its Linux side, to be changed.
    pub fn linux_mut(&mut self) -> Option<&mut LinuxProcess> {
        match &mut self.body {
            ProcessBody::Linux(linux) => Some(linux),
            ProcessBody::Native(_) => None,
        }
    }
    /// Its native side, if it has one.
    pub fn native(&self) -> Option<&NativeProcess> {
        match &self.body {
            ProcessBody::Native(native) => Some(native),
            ProcessBody::Linux(_) => None,
        }
    }
    /// Its native side, to be changed.
    pub fn native_mut(&mut self) -> Option<&mut NativeProcess> {
        match &mut self.body {
            ProcessBody::Native(native) => Some(native),
            ProcessBody::Linux(_) => None,
        }
    }
}

/// All processes.
#[derive(Debug, Default)]
pub struct Processes(Arena<Process>);

impl Processes {
    /// A process.
    pub fn get(&self, id: ProcessId) -> Option<&Process> {
        self.0.get(id.0)
    }
    /// A process, to be changed.
    pub fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.0.get_mut(id.0)
    }
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ProcessId, &Process)> {
        self.0.iter().map(|(at, process)| (ProcessId(at), process))
    }
    /// The native side of all that have one.
    pub(crate) fn natives_mut(&mut self) -> impl Iterator<Item = &mut NativeProcess> {
        self.0.iter_mut().filter_map(|(_, process)| process.native_mut())
    }
    pub(crate) fn insert(&mut self, process: Process) -> ProcessId {
        ProcessId(self.0.insert(process))
    }
    pub(crate) fn remove(&mut self, id: ProcessId) -> Option<alloc::boxed::Box<Process>> {
        self.0.remove(id.0)
    }
}
