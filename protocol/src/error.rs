//! Three layers of "no", kept apart: the frame made no sense, the rules refuse, the kernel refused.
//!
//! On the wire an error is numbers plus a short text that names the *thing* (a JSON path, a path, an id). The
//! sentence that goes with a number is known to both sides and does not travel. Codes that this build does not
//! know are kept as they came, so that an older client shows the number it was given.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Longest text beside an error code, in bytes. Longer ones are cut at a character boundary.
pub const DETAIL_MAX: usize = 240;

/// The thing an error is about.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail(heapless::String<DETAIL_MAX>);

impl Detail {
    /// Formats `text`, cutting what does not fit at a character boundary.
    pub fn new(text: impl fmt::Display) -> Self {
        let mut detail = Detail::default();
        let _ = fmt::write(&mut Cut(&mut detail.0), format_args!("{text}"));
        detail
    }
    /// These words, as many as fit, with spaces between.
    pub fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut detail = Detail::default();
        for word in words {
            let space = if detail.0.is_empty() { "" } else { " " };
            if detail.0.len() + space.len() + word.len() > DETAIL_MAX {
                break;
            }
            // There is room for both.
            let _ = detail.0.push_str(space).and_then(|()| detail.0.push_str(word));
        }
        detail
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

struct Cut<'a>(&'a mut heapless::String<DETAIL_MAX>);
impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            self.0.push(c).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}

macro_rules! codes {
    ($(#[$outer:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $type(pub u16);

        #[allow(non_upper_case_globals, reason = "they read like the variants of an enum, but unknown codes survive")]
        impl $type {
            $($(#[$doc])* #[doc = concat!("\"", $text, "\".")] pub const $name: $type = $type($number);)*
            /// Every code this build knows.
            pub const ALL: &'static [$type] = &[$($type::$name),*];
            /// The code's name, or none for a code of a newer build.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
            /// The sentence that goes with the code.
            pub const fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "a reason this build has no words for" }
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($type), "({})"), self.0),
                }
            }
        }
    };
}

codes! {
    /// The bytes made no sense. The sender's library is at fault; repeating the call does not help.
    FrameError {
        /// Shorter than a header, or the body ends early.
        Truncated = 1, "the frame ends too early";
        /// Larger than [`crate::frame::FRAME_MAX`].
        TooLarge = 2, "the frame is larger than 4096 bytes";
        /// No operation has this number. `Hello` tells the version range.
        UnknownOp = 3, "no operation has this number";
        /// The body does not decode as the operation's request.
        Malformed = 4, "the body does not decode";
        /// Bytes are left over after the body.
        TrailingBytes = 5, "bytes are left over after the body";
        /// The number of capabilities beside the frame is not what the operation takes.
        CapabilityCount = 6, "the operation takes another number of capabilities";
        /// The reply answers another call.
        WrongTag = 7, "the reply belongs to another call";
    }
}

codes! {
    /// Which rule said no.
    RefusalCode {
        /// Not there, or not the caller's: the two look the same on purpose.
        NotFound = 1, "not found";
        /// The capability does not hold a right the operation needs. Ask its giver for more.
        Rights = 2, "the capability does not hold the right";
        /// The capability stands for another kind of object.
        WrongKind = 3, "this kind of object does not understand the operation";
        /// The container's state does not allow it.
        State = 4, "not possible in this state";
        /// An object with this id exists in this factory.
        Exists = 5, "the id is taken";
        /// The id breaks a rule.
        BadId = 6, "not a container id";
        /// The configuration breaks the specification. The text names file, JSON path and reason.
        BadConfig = 7, "the configuration is not valid";
        /// The configuration asks for what this kernel cannot do. The text names the JSON path.
        Unsupported = 8, "not supported on this kernel";
        /// A bound of the factory is reached. `Usage` tells which.
        Quota = 9, "the quota is used up";
        /// A bound of the server is reached.
        Full = 10, "the server is full";
        /// A value is out of its range. The text names it.
        BadValue = 11, "the value is not valid";
        /// The policy of the factory does not allow it. The text names the JSON path.
        Policy = 12, "the factory's policy does not allow it";
        /// The capability was taken back.
        Revoked = 13, "the capability was revoked";
        /// The container is running; stop it first or delete with force.
        Running = 14, "the container is running: kill it first, or delete with force";
        /// The object ended while the call was waiting for it.
        Gone = 15, "the object ended while the call was waiting";
        /// The server lost the reply: a defect of the server.
        Internal = 16, "the server made a mistake";
        /// The bundle is not usable. The text names the file and the reason.
        BadBundle = 17, "the bundle is not usable";
        /// No common protocol version.
        Version = 18, "no protocol version in common";
        /// Another operation on this object has not finished.
        Busy = 19, "another operation on it has not finished";
    }
}

/// The rules say no; nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Which rule.
    pub code: RefusalCode,
    /// What it is about, and what would help.
    pub detail: Detail,
}

impl Refusal {
    /// A refusal about `thing`.
    pub fn new(code: RefusalCode, thing: impl fmt::Display) -> Self {
        Refusal { code, detail: Detail::new(thing) }
    }
}
impl From<RefusalCode> for Refusal {
    fn from(code: RefusalCode) -> Self {
        Refusal { code, detail: Detail::default() }
    }
}

/// An error number of the kernel (`errno` of Linux, on both kernels).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Errno(pub u16);

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = concat!($text, " (errno(3)).")] pub const $name: Errno = Errno($number);)*
            /// Its name, as in errno(3).
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
            /// Its sentence, as strerror(3) gives it.
            pub const fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "unknown error" }
            }
        }
    };
}
errnos! {
    EPERM = 1, "operation not permitted"; ENOENT = 2, "no such file or directory"; ESRCH = 3, "no such process";
    EINTR = 4, "interrupted system call"; EIO = 5, "input/output error"; ENXIO = 6, "no such device or address";
    E2BIG = 7, "argument list too long"; ENOEXEC = 8, "exec format error"; EBADF = 9, "bad file descriptor";
    ECHILD = 10, "no child processes"; EAGAIN = 11, "resource temporarily unavailable";
    ENOMEM = 12, "cannot allocate memory"; EACCES = 13, "permission denied"; EFAULT = 14, "bad address";
    ENOTBLK = 15, "block device required"; EBUSY = 16, "device or resource busy"; EEXIST = 17, "file exists";
    EXDEV = 18, "invalid cross-device link"; ENODEV = 19, "no such device"; ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory"; EINVAL = 22, "invalid argument"; ENFILE = 23, "too many open files in system";
    EMFILE = 24, "too many open files"; ENOTTY = 25, "inappropriate ioctl for device";
    ETXTBSY = 26, "text file busy"; EFBIG = 27, "file too large"; ENOSPC = 28, "no space left on device";
    ESPIPE = 29, "illegal seek"; EROFS = 30, "read-only file system"; EMLINK = 31, "too many links";
    EPIPE = 32, "broken pipe"; EDOM = 33, "numerical argument out of domain";
    ERANGE = 34, "numerical result out of range"; EDEADLK = 35, "resource deadlock avoided";
    ENAMETOOLONG = 36, "file name too long"; ENOLCK = 37, "no locks available";
    ENOSYS = 38, "function not implemented"; ENOTEMPTY = 39, "directory not empty";
    ELOOP = 40, "too many levels of symbolic links"; ENODATA = 61, "no data available";
    EOVERFLOW = 75, "value too large for defined data type"; EUSERS = 87, "too many users";
    ENOTSOCK = 88, "socket operation on non-socket"; EOPNOTSUPP = 95, "operation not supported";
    EAFNOSUPPORT = 97, "address family not supported by protocol"; EADDRINUSE = 98, "address already in use";
    ECONNREFUSED = 111, "connection refused"; ETIMEDOUT = 110, "connection timed out";
    ESTALE = 116, "stale file handle"; EDQUOT = 122, "disk quota exceeded";
}
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.text()),
            None => write!(f, "error {}", self.0),
        }
    }
}
impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}
impl core::error::Error for Errno {}

/// The kernel said no while a plan was carried out; what had been done of it was undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KernelFault {
    /// Position of the step in the plan, from 0; none if the failing work was no plan.
    pub step: Option<u16>,
    /// The kernel's number.
    pub errno: Errno,
    /// The step in words: what was done to what ("mount proc on /proc").
    pub detail: Detail,
}

/// Any error a reply can carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ErrorReply {
    /// The frame made no sense.
    Frame(FrameError),
    /// The rules say no.
    Refusal(Refusal),
    /// The kernel said no.
    Kernel(KernelFault),
}

impl From<FrameError> for ErrorReply {
    fn from(e: FrameError) -> Self {
        ErrorReply::Frame(e)
    }
}
impl From<Refusal> for ErrorReply {
    fn from(e: Refusal) -> Self {
        ErrorReply::Refusal(e)
    }
}
impl From<RefusalCode> for ErrorReply {
    fn from(e: RefusalCode) -> Self {
        ErrorReply::Refusal(e.into())
    }
}
impl From<KernelFault> for ErrorReply {
    fn from(e: KernelFault) -> Self {
        ErrorReply::Kernel(e)
    }
}
impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text())
    }
}
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_str() {
            "" => f.write_str(self.code.text()),
            thing => write!(f, "{thing}: {}", self.code.text()),
        }
    }
}
impl fmt::Display for KernelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = self.step {
            write!(f, "step {step}, ")?;
        }
        write!(f, "{}: {}", self.detail.as_str(), self.errno)
    }
}
impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorReply::Frame(e) => write!(f, "bad frame: {e}"),
            ErrorReply::Refusal(e) => e.fmt(f),
            ErrorReply::Kernel(e) => e.fmt(f),
        }
    }
}
impl core::error::Error for ErrorReply {}
