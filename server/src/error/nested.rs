//! The errors of single parts of a kernel, each with its sentence and its number in errno(3).

use bailiwick_protocol::error::{Errno, RefusalCode};
use core::fmt;

/// "Message too long" of errno(3), which the protocol's table has no name for.
const EMSGSIZE: Errno = Errno(90);

/// Why a capability cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CapError {
    /// It is none.
    InvalidCapability,
    /// It lacks a right.
    InsufficientRights,
    /// It was taken back.
    CapabilityRevoked,
    /// It stands for another kind of object.
    InvalidObject,
    /// Its holder may not do this with it.
    PermissionDenied,
    /// Its slot is taken.
    AlreadyExists,
    /// Its slot is empty.
    NotFound,
    /// There is no number left for a new one.
    IdExhausted,
}

impl CapError {
    /// The protocol's word for it.
    pub const fn refusal(self) -> RefusalCode {
        match self {
            CapError::InvalidCapability | CapError::NotFound => RefusalCode::NotFound,
            CapError::InsufficientRights | CapError::PermissionDenied => RefusalCode::Rights,
            CapError::CapabilityRevoked => RefusalCode::Revoked,
            CapError::InvalidObject => RefusalCode::WrongKind,
            CapError::AlreadyExists => RefusalCode::Exists,
            CapError::IdExhausted => RefusalCode::Full,
        }
    }
}

impl fmt::Display for CapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CapError::InvalidCapability => "it is no capability",
            CapError::InsufficientRights => "it lacks a right",
            CapError::CapabilityRevoked => "it was revoked",
            CapError::InvalidObject => "it stands for another kind of object",
            CapError::PermissionDenied => "its holder may not do this with it",
            CapError::AlreadyExists => "its slot is taken",
            CapError::NotFound => "its slot is empty",
            CapError::IdExhausted => "no number is left for a new one",
        })
    }
}

/// Why a message could not be passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IpcError {
    /// It is no endpoint.
    InvalidEndpoint {
        /// Its number.
        id: u64,
    },
    /// It is no channel.
    InvalidChannel {
        /// Its number.
        id: u64,
    },
    /// The message is too large.
    MessageTooLarge {
        /// Its bytes.
        size: usize,
        /// Most bytes of a message.
        max: usize,
    },
    /// The queue is full.
    QueueFull {
        /// Messages it can hold.
        capacity: usize,
    },
    /// The queue is empty.
    QueueEmpty,
    /// The capability beside the message is none.
    InvalidCapability,
    /// The other process is gone.
    ProcessNotFound {
        /// Its number.
        pid: u64,
    },
    /// There is no such endpoint.
    EndpointNotFound {
        /// Its number.
        id: u64,
    },
    /// The sender may not send here.
    PermissionDenied,
    /// It would have to wait.
    WouldBlock,
    /// It took too long.
    Timeout,
}

impl IpcError {
    /// Its number in errno(3).
    pub const fn errno(self) -> Errno {
        match self {
            IpcError::InvalidEndpoint { .. }
            | IpcError::InvalidChannel { .. }
            | IpcError::InvalidCapability => Errno::EBADF,
            IpcError::MessageTooLarge { .. } => EMSGSIZE,
            IpcError::QueueFull { .. } | IpcError::QueueEmpty | IpcError::WouldBlock => Errno::EAGAIN,
            IpcError::ProcessNotFound { .. } => Errno::ESRCH,
            IpcError::EndpointNotFound { .. } => Errno::ENOENT,
            IpcError::PermissionDenied => Errno::EPERM,
            IpcError::Timeout => Errno::ETIMEDOUT,
        }
    }
}

impl fmt::Display for IpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpcError::InvalidEndpoint { id } => write!(f, "{id} is no endpoint"),
            IpcError::InvalidChannel { id } => write!(f, "{id} is no channel"),
            IpcError::MessageTooLarge { size, max } => {
                write!(f, "a message of {size} bytes is too large: {max} is the most")
            }
            IpcError::QueueFull { capacity } => write!(f, "the queue is full with {capacity} messages"),
            IpcError::QueueEmpty => f.write_str("the queue is empty"),
            IpcError::InvalidCapability => f.write_str("the capability beside the message is none"),
            IpcError::ProcessNotFound { pid } => write!(f, "there is no process {pid}"),
            IpcError::EndpointNotFound { id } => write!(f, "there is no endpoint {id}"),
            IpcError::PermissionDenied => f.write_str("the sender may not send here"),
            IpcError::WouldBlock => f.write_str("the message would have to wait"),
            IpcError::Timeout => f.write_str("nobody took the message in time"),
        }
    }
}

/// Why something could not be scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SchedError {
    /// It is no priority.
    InvalidPriority {
        /// The number given.
        priority: u8,
    },
    /// There is no such CPU.
    InvalidCpuId {
        /// Its number.
        cpu: usize,
    },
    /// There is no such task.
    TaskNotFound {
        /// Its number.
        id: u64,
    },
    /// The CPU is off.
    CpuOffline {
        /// Its number.
        cpu: usize,
    },
    /// The set of CPUs is empty or not allowed.
    InvalidAffinity,
    /// Nothing is ready to run.
    QueueEmpty,
    /// It is ready to run already.
    AlreadyScheduled,
}

impl SchedError {
    /// Its number in errno(3).
    pub const fn errno(self) -> Errno {
        match self {
            SchedError::InvalidPriority { .. }
            | SchedError::InvalidCpuId { .. }
            | SchedError::InvalidAffinity => Errno::EINVAL,
            SchedError::TaskNotFound { .. } => Errno::ESRCH,
            SchedError::CpuOffline { .. } => Errno::ENODEV,
            SchedError::QueueEmpty => Errno::EAGAIN,
            SchedError::AlreadyScheduled => Errno::EBUSY,
        }
    }
}

impl fmt::Display for SchedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchedError::InvalidPriority { priority } => write!(f, "{priority} is no priority"),
            SchedError::InvalidCpuId { cpu } => write!(f, "there is no CPU {cpu}"),
            SchedError::TaskNotFound { id } => write!(f, "there is no task {id}"),
            SchedError::CpuOffline { cpu } => write!(f, "CPU {cpu} is off"),
            SchedError::InvalidAffinity => f.write_str("the set of CPUs is empty or not allowed"),
            SchedError::QueueEmpty => f.write_str("nothing is ready to run"),
            SchedError::AlreadyScheduled => f.write_str("it is ready to run already"),
        }
    }
}

/// What is wrong with a system call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SyscallError {
    /// There is none with this number.
    InvalidSyscall {
        /// The number.
        nr: usize,
    },
    /// An argument is out of its range.
    InvalidArgument {
        /// Its position, from 0.
        arg: usize,
    },
    /// A pointer leads nowhere.
    InvalidPointer {
        /// The address.
        addr: usize,
    },
    /// The caller's buffer is too small.
    BufferTooSmall {
        /// Bytes needed.
        required: usize,
        /// Bytes given.
        provided: usize,
    },
    /// A string is too long.
    StringTooLong {
        /// Most bytes.
        max: usize,
    },
    /// The caller may not call it.
    AccessDenied,
    /// This build lacks it.
    NotImplemented,
}

impl SyscallError {
    /// Its number in errno(3).
    pub const fn errno(self) -> Errno {
        match self {
            SyscallError::InvalidSyscall { .. } | SyscallError::NotImplemented => Errno::ENOSYS,
            SyscallError::InvalidArgument { .. } => Errno::EINVAL,
            SyscallError::InvalidPointer { .. } => Errno::EFAULT,
            SyscallError::BufferTooSmall { .. } => Errno::ERANGE,
            SyscallError::StringTooLong { .. } => Errno::ENAMETOOLONG,
            SyscallError::AccessDenied => Errno::EACCES,
        }
    }
}

impl fmt::Display for SyscallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyscallError::InvalidSyscall { nr } => write!(f, "there is no system call {nr}"),
            SyscallError::InvalidArgument { arg } => write!(f, "argument {arg} is out of its range"),
            SyscallError::InvalidPointer { addr } => write!(f, "{addr:#x} points nowhere"),
            SyscallError::BufferTooSmall { required, provided } => {
                write!(f, "{required} bytes of room are needed, and {provided} were given")
            }
            SyscallError::StringTooLong { max } => write!(f, "a string is longer than {max} bytes"),
            SyscallError::AccessDenied => f.write_str("the caller may not make this system call"),
            SyscallError::NotImplemented => f.write_str("this build lacks the system call"),
        }
    }
}

macro_rules! fs_errors {
    ($($name:ident, $errno:ident, $text:literal;)*) => {
        /// Why a file system said no.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum FsError {
            $(#[doc = concat!("\"", $text, "\".")] $name,)*
        }
        impl FsError {
            /// Every value.
            pub const ALL: &'static [FsError] = &[$(FsError::$name),*];
            /// Its number in errno(3).
            pub const fn errno(self) -> Errno {
                match self { $(FsError::$name => Errno::$errno,)* }
            }
        }
        impl fmt::Display for FsError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(FsError::$name => $text,)* })
            }
        }
    };
}
fs_errors! {
    NotFound, ENOENT, "the file or directory is not there";
    AlreadyExists, EEXIST, "the path is taken";
    PermissionDenied, EACCES, "the file's permissions do not allow it";
    NotADirectory, ENOTDIR, "it is no directory";
    NotAFile, EINVAL, "it is no regular file";
    IsADirectory, EISDIR, "it is a directory";
    ReadOnly, EROFS, "the file system is read-only";
    InvalidPath, EINVAL, "it is no path";
    NoRootFs, ENOENT, "there is no root file system";
    AlreadyMounted, EBUSY, "something is mounted there already";
    NotMounted, EINVAL, "nothing is mounted there";
    UnknownFsType, ENODEV, "there is no file system of this type";
    IoError, EIO, "the device failed to read or write";
    DirectoryNotEmpty, ENOTEMPTY, "the directory is not empty";
    TooManyOpenFiles, EMFILE, "too many files are open";
    BadFileDescriptor, EBADF, "it is no open file";
    NotSupported, EOPNOTSUPP, "this kind of file cannot do it";
    NotASymlink, EINVAL, "it is no symbolic link";
    FileTooLarge, EFBIG, "the file would be too large";
    CorruptedData, EIO, "the data on the device makes no sense";
    SymlinkLoop, ELOOP, "the symbolic links lead in a circle";
    NoSpace, ENOSPC, "no space is left";
}
