//! The trait, with a promise for each verb, and what it speaks of.

use crate::plan::{Features, Plan, ProcessPlan, Resources};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::{Detail, Errno, KernelFault};
use bailiwick_protocol::message::{Exit, InputEnd, Nanos, ProcessPage, Scope, Statistics, Waiting};
use core::fmt;

/// A container, as server and glue call it between themselves. The server never uses one again once
/// [`KernelGlue::destroy`] has completed for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerKey(pub u64);

/// A process started by [`KernelGlue::execute`], unique within its container's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExecKey(pub u32);

/// A process the server knows of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ProcessKey {
    /// The container's first process.
    First(ContainerKey),
    /// A process started later.
    Exec(ContainerKey, ExecKey),
}

impl ProcessKey {
    /// The container it is in.
    pub const fn container(self) -> ContainerKey {
        match self {
            ProcessKey::First(key) | ProcessKey::Exec(key, _) => key,
        }
    }
}

/// A process number, as the host (not the container) has it; never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pid(pub u32);

/// A step of a plan failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepFault {
    /// Its position in the list it stands in; none if the failure lies outside the list.
    pub step: Option<u16>,
    /// The kernel's number.
    pub errno: Errno,
    /// What was done to what, and what would help ("mount proc on /proc").
    pub what: String,
}

impl From<StepFault> for KernelFault {
    fn from(fault: StepFault) -> Self {
        KernelFault { step: fault.step, errno: fault.errno, detail: Detail::new(fault.what) }
    }
}
impl fmt::Display for StepFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        KernelFault::from(self.clone()).fmt(f)
    }
}

/// Why a file of a bundle could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BundleError {
    /// It is larger than the limit asked for.
    TooLarge,
    /// It is no regular file, or lies outside the bundle.
    NotAFile,
    /// The kernel's reason.
    Errno(Errno),
}

/// What `prepare` made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The first process.
    pub pid: Pid,
    /// What `pivot_root` exchanged: (where the old root was put, what became the root); none if the plan holds no
    /// such step.
    pub pivot: Option<(String, String)>,
}

/// The outcome of a verb that may take long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress<T> {
    /// It is done, or has failed and left nothing behind.
    Done(Result<T, StepFault>),
    /// It goes on; an [`Event`] will tell. Nothing else may be asked of this container before, but
    /// [`KernelGlue::destroy`] and, of one that is being released, [`KernelGlue::signal`].
    Later,
}

/// What a kernel tells by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A `prepare` that went on has ended.
    Prepared {
        /// Of which container.
        key: ContainerKey,
        /// As [`Progress::Done`] would have it.
        result: Result<Prepared, StepFault>,
    },
    /// A `release` that went on has ended.
    Released {
        /// Of which container.
        key: ContainerKey,
        /// As [`Progress::Done`] would have it.
        result: Result<(), StepFault>,
    },
    /// A `destroy` that went on has ended; the key means nothing any more.
    Destroyed {
        /// Of which container.
        key: ContainerKey,
    },
    /// A process has ended. Its output is complete: everything it wrote can be read.
    Exited {
        /// Which.
        process: ProcessKey,
        /// How.
        exit: Exit,
    },
    /// The kernel killed something in this container because its memory ran out.
    OutOfMemory {
        /// Which container.
        key: ContainerKey,
    },
    /// There is output to be read. Not repeated until it was.
    Output {
        /// Whose.
        process: ProcessKey,
    },
}

/// What one read of a process's output gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputRead {
    /// Bytes written into the buffer.
    pub len: usize,
    /// Bytes the kernel dropped before these because nobody read in time.
    pub lost: u64,
}

/// Everything the manager asks of a kernel.
///
/// The manager calls one verb at a time and knows nothing of how it is done. Every verb leaves the kernel as it
/// was when it fails. None may block for longer than its own work takes: what waits for others (hooks, processes)
/// ends with an [`Event`].
pub trait KernelGlue {
    /// Authority over a bundle's directory, as it comes beside a frame.
    type Directory;

    /// What this kernel can do. The same at every call.
    fn features(&self) -> Features;

    /// The kernel's monotonic clock.
    fn now(&self) -> Nanos;

    /// Reads a whole file below `directory`, at most `limit` bytes of it, following no link that leads out.
    ///
    /// # Errors
    /// [`BundleError`]; [`BundleError::TooLarge`] if there is more than `limit`.
    fn read_bundle(
        &mut self,
        directory: &Self::Directory,
        path: &str,
        limit: usize,
    ) -> Result<Vec<u8>, BundleError>;

    /// Carries out `plan.create`. After success the container's first process waits at the gate and has run no
    /// instruction of its program. After failure nothing is left: no process, mount, namespace, group or file
    /// that was not there before (a mount point made inside the bundle's own root file system stays, as it
    /// does with every OCI runtime).
    ///
    /// `key` must not be in use; if it is, this fails with `EEXIST` and changes nothing.
    fn prepare(&mut self, key: ContainerKey, bundle: Self::Directory, plan: &Plan) -> Progress<Prepared>;

    /// Runs `plan.start`, opens the gate, runs `plan.poststart`. After failure of a `startContainer` hook the
    /// process at the gate has been killed and [`Event::Exited`] follows, after the failure was told. Called twice: `EINVAL`, nothing changes.
    fn release(&mut self, key: ContainerKey) -> Progress<()>;

    /// Starts a further process in a container whose gate is open. It runs when this returns.
    ///
    /// # Errors
    /// [`StepFault`]; no process is left then. `EEXIST` if `process` is in use.
    fn execute(&mut self, key: ContainerKey, process: ExecKey, plan: &ProcessPlan) -> Result<Pid, StepFault>;

    /// Sends a signal. A process that has ended gives `ESRCH`. `Scope::All` reaches every process in the
    /// container, and is possible for [`ProcessKey::First`] only (`EINVAL` otherwise).
    fn signal(&mut self, process: ProcessKey, signal: u8, scope: Scope) -> Result<(), Errno>;

    /// Stops every process of the container where it is; when this returns none runs. Called twice: the same.
    fn freeze(&mut self, key: ContainerKey) -> Result<(), Errno>;

    /// Lets them go on. Called twice: the same.
    fn thaw(&mut self, key: ContainerKey) -> Result<(), Errno>;

    /// Makes these the container's limits, all of them or none; what is not named is unlimited, or the kernel's default,
    /// but pinning, which stays. Possible as long as the container is there, frozen or not. A limit of memory below what
    /// is in use and cannot be reclaimed is `EBUSY`; one of processes below those there are only stops further ones.
    ///
    /// # Errors
    /// [`StepFault`] names the limit that was not taken; everything is as before then.
    fn update(&mut self, key: ContainerKey, resources: &Resources) -> Result<(), StepFault>;

    /// What the container has used and uses.
    fn statistics(&mut self, key: ContainerKey) -> Result<Statistics, Errno>;

    /// The processes inside, from position `from` on, in the order of their numbers.
    fn processes(&mut self, key: ContainerKey, from: u32) -> Result<ProcessPage, Errno>;

    /// Takes what the process has written and nobody has read, as much as fits.
    fn read_output(&mut self, process: ProcessKey, buffer: &mut [u8]) -> OutputRead;

    /// Gives a process whose streams are `Stdio::Piped` something to read: as much as there is room for now, perhaps
    /// nothing. With [`InputEnd::Close`] its input ends there, if all was taken. Gives how much was taken.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process, `EINVAL` if its input is no pipe, `EPIPE` if that has ended or nobody can
    /// read it.
    fn write_input(&mut self, process: ProcessKey, bytes: &[u8], then: InputEnd) -> Result<usize, Errno>;

    /// Writes one line of a container's output to the console, behind its name. Best effort.
    fn console(&mut self, name: &str, line: &[u8]);

    /// Forgets a process started by `execute`; one that still runs is killed first. Unknown ones: nothing happens.
    fn forget(&mut self, key: ContainerKey, process: ExecKey);

    /// Kills what still runs, removes everything `prepare` made, runs `plan.poststop`, forgets the key. Possible at
    /// any time, even while another verb goes on, whose own event then never comes. Always succeeds in the
    /// end; unknown keys are done at once.
    fn destroy(&mut self, key: ContainerKey) -> Progress<()>;

    /// The next event, in the order in which things happened to each container. With [`Waiting::Yes`] this blocks
    /// until there is one, and gives none only if none can ever come.
    fn next_event(&mut self, waiting: Waiting) -> Option<Event>;
}
