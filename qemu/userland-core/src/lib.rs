//! What init and the shell decide, without the machine.
//!
//! ```text
//!   keys ──► editor ──► words ──► command ──► shell ──► client library ──► Channel
//!   compiled manifest ──► boot::Supervisor ──► boot::Init ──► client library ──► Channel
//! ```
//!
//! Everything here is generic over [`Channel`](bailiwick_protocol::channel::Channel), the console and the clock, so
//! that the same code runs in ring 3 on our kernel and, in tests, against a manager over a loopback. The shell is an
//! ordinary client: it can do what its factory's rights allow and nothing else.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod boot;
pub mod command;
pub mod console;
pub mod editor;
pub mod limits;
pub mod shell;
pub mod words;

pub use console::{Attention, Bundles, Console, Labelled, Patient, Waited, Waiter};
