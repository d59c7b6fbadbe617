//! The narrow door between the container manager and a kernel.
//!
//! ```text
//!   manager ── Plan ──►  KernelGlue::prepare · release · execute · signal · freeze · … · destroy
//!           ◄─ Event ──  KernelGlue::next_event       (prepared, exited, output, out of memory)
//!           ── reply ─►  Port                         (the transport: replies, minted capabilities)
//! ```
//!
//! [`plan`] is the vocabulary: the ordered list of kernel steps that turns a configuration into a container, as
//! plain data; [`filter`] is its part about system-call filters. [`glue`] is the trait with a promise for each verb. [`port`] is the server's side of a transport.
//! [`picture`] is for tests that compare whole states.
//! The backends have equal shape: `model` in memory, `metal` on our own kernel, `linux` on Linux; `contract` is
//! the one suite that all three must pass.
#![cfg_attr(not(feature = "linux"), no_std)]
#![deny(unsafe_code)]
extern crate alloc;

pub mod filter;
pub mod glue;
#[cfg(feature = "linux")]
pub mod linux;
pub mod own_kernel;
pub mod picture;
pub mod plan;
pub mod port;

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "metal")]
pub mod metal;
#[cfg(feature = "model")]
pub mod model;

pub use glue::{
    BundleError, ContainerKey, Event, ExecKey, KernelGlue, OutputRead, Pid, Prepared, ProcessKey, Progress,
    StepFault,
};
pub use plan::{Plan, ProcessPlan, Step};
pub use port::{Delivery, Port, ReplyToken};
