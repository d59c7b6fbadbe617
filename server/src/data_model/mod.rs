//! Records that describe containers and their namespaces, for callers who keep such a model beside the kernel's
//! own objects: a tool that shows containers, a test, a simulation.
//!
//! ```text
//!   ContainerManager ── id ─► ContainerRecord ─┬─ OciContainer   configuration and life
//!         │                                    └─ NamespaceSet ─┬─ PidNamespace      numbers inside ⇄ outside
//!         └─ list ─► ContainerInfo                              ├─ MountNamespace    root and mount points
//!                                                               ├─ NetworkNamespace  interfaces
//!                                                               └─ UtsNamespace      host and domain name
//! ```
//!
//! Nothing here acts on a kernel: no process runs, nothing is mounted, no name is set. The real objects are the
//! kernel's and are reached through `bailiwick-kernel-glue`; the server that checks authority and has the kernel do
//! the work is [`crate::Manager`], which uses none of this. What holds of the kernel's objects holds of the records
//! as far as records can: the first process has number 1 and takes the others with it, a path never leads above the
//! root, a host name has at most 64 bytes. Every collection has a maximum; when it is full the answer is
//! [`KernelError::ResourceExhausted`](crate::KernelError::ResourceExhausted). A call that fails has changed nothing.

mod info;
mod manager;
mod mount;
mod network;
mod pid;
mod set;
mod uts;

pub use info::ContainerInfo;
pub use manager::{CONTAINERS_MAX, ContainerManager, ContainerRecord, with_container_manager};
pub use mount::{MOUNTS_MAX, MountNamespace, PATH_MAX};
pub use network::{INTERFACE_NAME_MAX, INTERFACES_MAX, NetworkNamespace};
pub use pid::{PID_MAX, PROCESSES_MAX, PidNamespace};
pub use set::NamespaceSet;
pub use uts::{UTS_NAME_MAX, UtsNamespace};
