//! Why a system call was refused.

use core::fmt;

/// A refusal. Where Linux has a number for the same thing it is that number, so that what the kernel's file systems
/// refuse passes through unchanged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Error(pub u16);

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl Error {
            $($(#[$doc])* pub const $name: Error = Error($number);)*

            /// What it means, in words.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "the kernel refused",
                }
            }
        }
    };
}

errors! {
    /// The capability lacks a right that this needs.
    DENIED = 1, "the capability does not allow this";
    /// No such file.
    NOT_FOUND = 2, "no such file or directory";
    /// The process has ended.
    GONE = 3, "it has ended";
    /// Interrupted: look again.
    INTERRUPTED = 4, "interrupted";
    /// The input or output failed.
    INPUT_OUTPUT = 5, "input/output error";
    /// No native program.
    NOT_EXECUTABLE = 8, "not a program this kernel can run";
    /// The handle names no capability: it was made up, deleted, revoked or moved away.
    BAD_HANDLE = 9, "no such capability";
    /// Nothing there yet, and the call does not wait.
    WOULD_BLOCK = 11, "nothing there yet";
    /// Out of memory: the machine, the kernel's heap or the resource group.
    NO_MEMORY = 12, "out of memory";
    /// A pointer does not lead to memory of the process that allows this.
    BAD_ADDRESS = 14, "bad address";
    /// It is in use.
    BUSY = 16, "in use";
    /// It is there already.
    EXISTS = 17, "it exists already";
    /// The path leads out of the directory.
    OUTSIDE = 18, "the path leads out of the directory";
    /// The capability is of another kind.
    WRONG_KIND = 22, "another kind of capability or value is needed";
    /// The table is full: slots, threads, objects.
    FULL = 28, "no slot is left";
    /// The receiver is gone and no answer will come, or the reply was dropped.
    PEER_GONE = 32, "the other side is gone";
    /// A number is out of its range.
    RANGE = 34, "out of range";
    /// There is no such system call.
    NO_CALL = 38, "no such system call";
    /// The message is too long or carries more capabilities than the receiver offers room for.
    TOO_LARGE = 90, "the message does not fit";
    /// The capability this was sent on was revoked while it waited.
    REVOKED = 125, "the capability was revoked meanwhile";
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.0)
    }
}
impl core::error::Error for Error {}
