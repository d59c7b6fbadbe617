//! What a client and the container manager must agree on, and nothing else.
//!
//! ```text
//!  client                                   manager
//!    │  frame: op │ tag │ postcard body       │
//!    │  + capabilities beside the bytes       │
//!    ├───────────────── call ────────────────►│  badge: put there by the kernel, never by the sender
//!    │                                        │
//!    │◄──────────────── reply ────────────────┤  frame: status │ tag │ postcard body
//!    │  exactly one, perhaps much later       │  + capabilities beside the bytes
//! ```
//!
//! *The channel is the object*: which container a request is about is decided by the capability it was sent
//! on. So no request carries an identity or an object name, and [`op`] is a table of verbs only.
//!
//! The modules, in reading order: [`op`] the table of operations, [`message`] requests and replies,
//! [`frame`] their bytes ([`look`] the ones that are asked most), [`error`] the three layers of refusal, [`rights`], [`quota`], [`id`] and [`signal`] the words
//! used in them, [`channel`] what carries frames.
#![no_std]
#![forbid(unsafe_code)]
#[cfg(test)]
extern crate std;

pub mod buffer;
pub mod channel;
pub mod error;
pub mod frame;
pub mod id;
pub mod look;
pub mod message;
pub mod op;
pub mod quota;
pub mod rights;
pub mod signal;

pub use error::{ErrorReply, FrameError, KernelFault, Refusal, RefusalCode};
pub use id::{Badge, ContainerId, GrantHandle, IdError};
pub use op::Op;
pub use quota::{Amounts, Quota};
pub use rights::Rights;

/// Lowest protocol version this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Highest protocol version this build speaks.
pub const VERSION_MAX: u16 = 1;
