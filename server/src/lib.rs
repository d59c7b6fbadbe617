//! The container manager, so far as it stands: the grants behind badges, the record of a container and the one table
//! of its moves.
//!
//! Data flows one way: frame bytes → request → decide → plan → kernel-glue → commit → reply. *Decide* begins with
//! [`grant::Grants::resolve`], which tells what a badge stands for; *commit* changes an
//! [`container::OciContainer`] through [`lifecycle`]'s table and by no other way. There is no clock, file, thread
//! or socket in this crate.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod container;
pub mod error;
pub mod grant;
pub mod lifecycle;
pub mod oci;

pub use container::OciContainer;
pub use error::KernelError;
pub use grant::Grants;
pub use lifecycle::{LifecycleEvent, OciLifecycleState};
pub use oci::{ConfigError, OciConfig, ValidConfig};
