//! The container manager: everything that decides, and nothing that is a kernel or a transport.
//!
//! ```text
//!   frame + badge ─► manager ─► grant        what the badge stands for, and which rights
//!                       │     ─► op/*         one verb each: looks, checks, changes nothing
//!                       │           ─► oci    config.json, read and checked
//!                       │           ─► policy what the factory lets it ask for
//!                       │           ─► plan   the ordered list of kernel steps, a pure function
//!                       │                 ─► KernelGlue ─► commit ─► reply
//!                       ◄─ Event ─── the kernel tells: prepared, exited, output
//! ```
//!
//! *Decide* begins with [`grant::Grants::resolve`], which tells what a badge stands for; *commit* changes an
//! [`container::OciContainer`] through [`lifecycle`]'s table and by no other way. The records stand in [`table`]s
//! whose handles carry a generation; only [`manager`] touches them. There is no clock, file, thread or socket in
//! this crate, so the same deliveries and events give the same bytes. [`loopback`] joins a client and a manager in
//! one process.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod container;
pub mod data_model;
pub mod error;
pub mod grant;
pub mod lifecycle;
pub mod log;
pub mod loopback;
pub mod manager;
pub mod oci;
mod op;
pub mod plan;
pub mod policy;
pub mod stream;
pub mod table;

pub use container::OciContainer;
pub use error::KernelError;
pub use grant::Grants;
pub use lifecycle::{LifecycleEvent, OciLifecycleState};
pub use loopback::{Loopback, LoopbackChannel};
pub use manager::{Leftover, Limits, Manager};
pub use oci::{ConfigError, OciConfig, ValidConfig};
pub use policy::Policy;
