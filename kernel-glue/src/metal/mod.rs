//! Our own kernel: containers by its system calls, messages by its endpoints.
//!
//! ```text
//!   Metal            KernelGlue   plans step by step, hooks one after the other, events
//!   Endpoint         deliveries   ─┐
//!   EndpointPort     Port          ├─ one message buffer for the thread (Messages)
//!   EndpointChannel  Channel      ─┘
//! ```
//!
//! The kernel does one step at a time and undoes nothing: after a failure the whole container is destroyed. It waits
//! for nobody either: a hook is started, and its end is an event that carries the work on (`work.rs`).
//!
//! `sys` holds every system call of this backend; nothing else here is unsafe but lending the message buffer.

mod channel;
mod endpoint;
mod glue;
mod hook;
mod messages;
mod steps;
mod sys;
mod work;

pub use channel::{Directory, EndpointChannel};
pub use endpoint::{Arrival, Endpoint, EndpointPort, GoneOf};
pub use glue::{Authority, Metal};
pub use messages::Messages;

/// Messages as the system calls have them, for programs that must send what [`Messages`] would not.
pub mod raw {
    pub use super::sys::{Arrived, Results, call, message, set_buffer, words_of};
}
