//! Every error a caller of the container manager can meet, in one type.
//!
//! ```text
//!   FrameError ─┐                                       ┌─► ErrorReply::Frame     numbers
//!   Refusal ────┼─► KernelError ── Display: a sentence ─┼─► ErrorReply::Refusal   and one
//!   KernelFault ┘   ▲   ▲                               └─► ErrorReply::Kernel    short text
//!                   │   └ the record, the namespaces
//!                   └ CapError, IpcError, SchedError, SyscallError, FsError
//! ```
//!
//! On the wire an error is numbers and a bounded text ([`bailiwick_protocol::error`]); here it is a type to match
//! on. What came from the wire goes back as it came, whatever its code.

mod nested;
mod wire;

pub use nested::{CapError, FsError, IpcError, SchedError, SyscallError};

use alloc::borrow::Cow;
use bailiwick_protocol::error::{FrameError, KernelFault, Refusal};
use core::fmt;

/// A short text of an error, mostly known when the program is built.
pub type Text = Cow<'static, str>;

/// Why something about a container could not be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KernelError {
    /// There is not that much memory.
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The address cannot be one.
    InvalidAddress {
        /// The address.
        addr: usize,
    },
    /// Nothing is mapped at the address.
    UnmappedMemory {
        /// The address.
        addr: usize,
    },
    /// The capability cannot be used.
    InvalidCapability {
        /// Its badge.
        cap_id: u64,
        /// Why.
        reason: CapError,
    },
    /// The capability does not hold every right that is needed.
    InsufficientRights {
        /// Bits of the rights that are needed.
        required: u16,
        /// Bits of the rights it holds.
        actual: u16,
    },
    /// The capability was taken back.
    CapabilityRevoked {
        /// Its badge.
        cap_id: u64,
    },
    /// There is no such process.
    ProcessNotFound {
        /// Its number.
        pid: u64,
    },
    /// There is no such thread.
    ThreadNotFound {
        /// Its number.
        tid: u64,
    },
    /// It is not possible in this state.
    InvalidState {
        /// The state it needs.
        expected: &'static str,
        /// The state there is.
        actual: &'static str,
    },
    /// Passing messages failed.
    IpcError(IpcError),
    /// Scheduling failed.
    SchedulerError(SchedError),
    /// A system call was malformed.
    SyscallError(SyscallError),
    /// A file system said no.
    FsError(FsError),
    /// A device failed.
    HardwareError {
        /// Which.
        device: Text,
        /// Its own number for it.
        code: u32,
    },
    /// A value is out of its range.
    InvalidArgument {
        /// What the value is for.
        name: Text,
        /// What was given, and what is wrong with it.
        value: Text,
    },
    /// This kernel cannot do it.
    OperationNotSupported {
        /// What.
        operation: Text,
    },
    /// A bound is reached.
    ResourceExhausted {
        /// Of what.
        resource: Text,
    },
    /// The caller may not do it.
    PermissionDenied {
        /// What.
        operation: Text,
    },
    /// The name is taken.
    AlreadyExists {
        /// Kind of thing.
        resource: Text,
        /// Its name.
        id: Text,
    },
    /// It is not there, or not the caller's.
    NotFound {
        /// Kind of thing.
        resource: Text,
        /// Its name.
        id: Text,
    },
    /// It took too long.
    Timeout {
        /// What.
        operation: Text,
        /// How long was waited, in milliseconds.
        duration_ms: u64,
    },
    /// This build lacks it.
    NotImplemented {
        /// What.
        feature: Text,
    },
    /// It would have to wait.
    WouldBlock,
    /// Nobody is at the other end.
    BrokenPipe,
    /// A part of the kernel does not run yet.
    NotInitialized {
        /// Which.
        subsystem: Text,
    },
    /// A bare text, from callers that have no better.
    LegacyError {
        /// The text.
        message: Text,
    },
    /// The rules said no, for a reason that none of the others carries whole.
    Refused(Refusal),
    /// The kernel said no while a plan was carried out.
    Fault(KernelFault),
    /// The frame made no sense.
    Frame(FrameError),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use KernelError as E;
        match self {
            E::OutOfMemory { requested, available } => {
                write!(f, "{requested} bytes of memory are needed, and {available} are free")
            }
            E::InvalidAddress { addr } => write!(f, "{addr:#x} is no address"),
            E::UnmappedMemory { addr } => write!(f, "nothing is mapped at {addr:#x}"),
            E::InvalidCapability { cap_id, reason } => write!(f, "capability {cap_id:#x}: {reason}"),
            E::InsufficientRights { required, actual } => {
                write!(f, "rights {required:#x} are needed, and the capability holds {actual:#x}")
            }
            E::CapabilityRevoked { cap_id } => write!(f, "capability {cap_id:#x} was revoked"),
            E::ProcessNotFound { pid } => write!(f, "there is no process {pid}"),
            E::ThreadNotFound { tid } => write!(f, "there is no thread {tid}"),
            E::InvalidState { expected, actual } => {
                write!(f, "the container is {actual}, and this needs it to be {expected}")
            }
            E::IpcError(error) => error.fmt(f),
            E::SchedulerError(error) => error.fmt(f),
            E::SyscallError(error) => error.fmt(f),
            E::FsError(error) => error.fmt(f),
            E::HardwareError { device, code } => write!(f, "{device} failed with code {code:#x}"),
            E::InvalidArgument { name, value } => write!(f, "{name}: {value}"),
            E::OperationNotSupported { operation } => write!(f, "{operation}: not supported on this kernel"),
            E::ResourceExhausted { resource } => write!(f, "{resource}: used up"),
            E::PermissionDenied { operation } => write!(f, "{operation}: not permitted"),
            E::AlreadyExists { resource, id } => write!(f, "{resource} {id} exists already"),
            E::NotFound { resource, id } => write!(f, "there is no {resource} {id}"),
            E::Timeout { operation, duration_ms } => {
                write!(f, "{operation}: not done after {duration_ms} ms")
            }
            E::NotImplemented { feature } => write!(f, "{feature}: not in this build"),
            E::WouldBlock => f.write_str("it would have to wait"),
            E::BrokenPipe => f.write_str("nobody is at the other end"),
            E::NotInitialized { subsystem } => write!(f, "{subsystem} does not run yet"),
            E::LegacyError { message } => f.write_str(message),
            E::Refused(refusal) => refusal.fmt(f),
            E::Fault(fault) => fault.fmt(f),
            E::Frame(error) => write!(f, "bad frame: {error}"),
        }
    }
}
impl core::error::Error for KernelError {}

impl From<IpcError> for KernelError {
    fn from(error: IpcError) -> Self {
        KernelError::IpcError(error)
    }
}
impl From<SchedError> for KernelError {
    fn from(error: SchedError) -> Self {
        KernelError::SchedulerError(error)
    }
}
impl From<SyscallError> for KernelError {
    fn from(error: SyscallError) -> Self {
        KernelError::SyscallError(error)
    }
}
impl From<FsError> for KernelError {
    fn from(error: FsError) -> Self {
        KernelError::FsError(error)
    }
}
impl From<&'static str> for KernelError {
    fn from(message: &'static str) -> Self {
        KernelError::LegacyError { message: message.into() }
    }
}
