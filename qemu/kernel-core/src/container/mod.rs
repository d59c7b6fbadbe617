//! Containers, as system calls make and use them.
//!
//! The functions below are what the native system calls 70 and up come down to: rights are checked, texts copied in
//! and decoded. None of them is carried out yet: each answers `ENOSYS` and changes nothing.

use crate::hw::Hw;
use crate::ipc::NotificationId;
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::ns::ProcessId;
use crate::vfs::Location;
use alloc::string::String;
use bailiwick_abi::{ContainerEvent, Which};
use bailiwick_kernel_glue::StepFault;
use bailiwick_kernel_glue::glue::OutputRead;
use bailiwick_kernel_glue::plan::{Hook, ProcessPlan, Step};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{ProcessPage, Scope, Statistics, Stdio};

/// A container, by position. Capabilities to it are gone before the position is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerId(pub u32);

/// Whether a container's processes may have the console as their terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsoleUse {
    /// They may.
    Allowed,
    /// They may not: `Stdio::Terminal` is `EPERM`.
    Refused,
}

/// What a new container is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewContainer {
    /// The group below which its own is made.
    pub group: GroupId,
    /// The bundle. The container counts it for itself.
    pub bundle: Location,
    /// What absolute paths of the host begin at.
    pub host: Option<Location>,
    /// Where its events go.
    pub events: NotificationId,
    /// The bits an event sets.
    pub bits: u64,
    /// Its number there.
    pub key: u64,
    /// Who may have the console.
    pub console: ConsoleUse,
    /// Standard streams of the first process.
    pub stdio: Stdio,
}

fn nothing_yet() -> StepFault {
    StepFault { step: None, errno: Errno::ENOSYS, what: String::from("containers are not made yet") }
}

impl<H: Hw> Kernel<H> {
    /// Makes a container with nothing in it.
    ///
    /// # Errors
    /// `EEXIST` if the notification has one with this key, `ENOMEM`, `ENOSPC`.
    pub fn container_create(&mut self, _new: NewContainer) -> Result<ContainerId, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Carries out one step. Gives the first process once `Load` has made it.
    ///
    /// # Errors
    /// [`StepFault`], kept for [`Kernel::container_fault`]. `step` is none.
    pub fn container_step(&mut self, _id: ContainerId, _step: &Step) -> Result<Option<ProcessId>, StepFault> {
        Err(nothing_yet())
    }

    /// Opens the gate.
    ///
    /// # Errors
    /// `EINVAL` if there is no process at the gate.
    pub fn container_release(&mut self, _id: ContainerId) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Starts a further process, which can then be called `Which::Exec(number)`.
    ///
    /// # Errors
    /// [`StepFault`], kept for [`Kernel::container_fault`]; `EEXIST` if the number is in use.
    pub fn container_execute(
        &mut self,
        _id: ContainerId,
        _number: u32,
        _plan: &ProcessPlan,
    ) -> Result<ProcessId, StepFault> {
        Err(nothing_yet())
    }

    /// Starts a hook, which can then be called `Which::Hook(number)`, with `state` as its standard input. The kind
    /// of hook says in which namespaces and below which root.
    ///
    /// # Errors
    /// As [`Kernel::container_execute`].
    pub fn container_hook(
        &mut self,
        _id: ContainerId,
        _number: u32,
        _hook: &Hook,
        _state: &[u8],
    ) -> Result<ProcessId, StepFault> {
        Err(nothing_yet())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `ESRCH` if it has ended or there is no such process, `EINVAL` for a bad signal or `Scope::All` with another
    /// than the first.
    pub fn container_signal(
        &mut self,
        _id: ContainerId,
        _which: Which,
        _signal: u8,
        _scope: Scope,
    ) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Freezes it; nothing happens if it is.
    ///
    /// # Errors
    /// `ESRCH` if it was destroyed.
    pub fn container_freeze(&mut self, _id: ContainerId) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Thaws it; nothing happens if it is.
    ///
    /// # Errors
    /// `ESRCH` if it was destroyed.
    pub fn container_thaw(&mut self, _id: ContainerId) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// What it uses.
    ///
    /// # Errors
    /// `ESRCH` if it was destroyed.
    pub fn container_statistics(&mut self, _id: ContainerId) -> Result<Statistics, Errno> {
        Err(Errno::ENOSYS)
    }

    /// The processes inside, from position `from` on, in the order of their numbers.
    ///
    /// # Errors
    /// `ESRCH` if it was destroyed.
    pub fn container_processes(&mut self, _id: ContainerId, _from: u32) -> Result<ProcessPage, Errno> {
        Err(Errno::ENOSYS)
    }

    /// Takes output.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process.
    pub fn container_output(
        &mut self,
        _id: ContainerId,
        _which: Which,
        _buffer: &mut [u8],
    ) -> Result<OutputRead, Errno> {
        Err(Errno::ENOSYS)
    }

    /// The next event of the containers of this notification, with the container's key.
    pub fn container_event(&mut self, _events: NotificationId) -> Option<(u64, ContainerEvent)> {
        None
    }

    /// Forgets a process that is not the first, killing it if it runs; unknown ones: nothing happens.
    ///
    /// # Errors
    /// `EINVAL` for the first process.
    pub fn container_forget(&mut self, _id: ContainerId, _which: Which) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    /// Kills what runs inside and takes everything apart; the record stays for `poststop` hooks. Called twice: the
    /// same.
    pub fn container_destroy(&mut self, _id: ContainerId) {}

    /// Removes the record too; destroys before if nobody did. The caller has removed every capability to it.
    pub fn container_remove(&mut self, _id: ContainerId) {}

    /// Why the last step, process or hook was refused.
    pub fn container_fault(&self, _id: ContainerId) -> Option<&StepFault> {
        None
    }

    /// The container with this key.
    pub fn container_find(&self, _events: NotificationId, _key: u64) -> Option<ContainerId> {
        None
    }

    /// Nobody holds the notification any more: its containers are removed.
    pub fn containers_orphaned(&mut self, _events: NotificationId) {}
}
