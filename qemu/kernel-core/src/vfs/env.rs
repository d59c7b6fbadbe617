//! What file systems need of the rest of the kernel.

use super::FsContext;
use super::facts::ProcSource;
use crate::account::Charged;
use crate::cred::Credentials;
use crate::hw::{Frame, Hw, PAGE};
use crate::memory::{Charge, GroupId, Memory};
use crate::ns::{NamespaceSet, ProcessId};
use bailiwick_protocol::error::Errno;

/// A point in time: seconds since 1970, UTC, and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, below 10⁹.
    pub nanoseconds: u32,
}

/// Frames and clocks, as file systems use them.
pub trait Frames {
    /// A zeroed frame charged to `group`.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn alloc(&mut self, group: GroupId) -> Result<Frame, Errno>;
    /// One holder less.
    fn release(&mut self, frame: Frame);
    /// One holder more.
    fn share(&mut self, frame: Frame);
    /// The frame's bytes.
    fn bytes(&self, frame: Frame) -> &[u8; PAGE];
    /// The frame's bytes, to be written.
    fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE];
    /// The time of day.
    fn time(&self) -> Time;
    /// A number nobody can foresee.
    fn random(&mut self) -> u64;
    /// Takes so many bytes of the kernel's heap for an object, which whoever asks pays.
    ///
    /// # Errors
    /// `ENOMEM` at a limit of who pays, and where too little of the heap is left
    /// ([`HEAP_RESERVE`](crate::memory::HEAP_RESERVE)).
    fn charge(&self, bytes: usize) -> Result<Charged, Errno>;
}

/// [`Frames`] over the kernel's memory and whoever pays.
pub struct Store<'a, H, G: ?Sized> {
    /// All frames.
    pub memory: &'a mut Memory<H>,
    /// The resource groups.
    pub groups: &'a mut G,
}

impl<H: Hw, G: Charge + ?Sized> Frames for Store<'_, H, G> {
    fn alloc(&mut self, group: GroupId) -> Result<Frame, Errno> {
        self.memory.alloc(self.groups, group).map_err(|_| Errno::ENOMEM)
    }
    fn release(&mut self, frame: Frame) {
        self.memory.release(self.groups, frame);
    }
    fn share(&mut self, frame: Frame) {
        self.memory.share(frame);
    }
    fn bytes(&self, frame: Frame) -> &[u8; PAGE] {
        self.memory.bytes(frame)
    }
    fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        self.memory.bytes_mut(frame)
    }
    fn time(&self) -> Time {
        let (seconds, nanoseconds) = self.memory.hw.realtime();
        Time { seconds: seconds as i64, nanoseconds }
    }
    fn random(&mut self) -> u64 {
        self.memory.hw.random()
    }
    fn charge(&self, bytes: usize) -> Result<Charged, Errno> {
        self.memory.charge(bytes)
    }
}

/// The rest of the kernel, lent for one call.
pub struct Env<'a> {
    /// Frames and clocks.
    pub frames: &'a mut dyn Frames,
    /// Processes, for what proc and cgroup file systems show.
    pub processes: &'a dyn ProcSource,
}

/// On whose behalf a call is made.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The process; none for the kernel's own work (container steps).
    pub process: Option<ProcessId>,
    /// Its credentials.
    pub credentials: &'a Credentials,
    /// Its root, working directory and file-mode mask.
    pub fs: &'a FsContext,
    /// Its namespaces.
    pub namespaces: &'a NamespaceSet,
    /// Who pays for pages it writes.
    pub group: GroupId,
}
