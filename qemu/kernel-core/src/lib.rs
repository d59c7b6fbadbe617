//! The kernel without the machine: everything that decides, none of what touches registers.
//!
//! ```text
//!  trap (crate `kernel`)                     this crate
//!    registers ─► Context ─► Kernel::syscall ─┬─► native  (capabilities, IPC, containers)
//!                            Kernel::fault    └─► linux   (the x86_64 system calls of container processes)
//!                            Kernel::tick          │
//!                                                  ├─► vfs · namespaces · resource groups · address spaces
//!    registers ◄─ Context ◄─ Kernel::next    ◄─────┘        over `Memory` and the trait `Hw`
//! ```
//!
//! It is pure: the machine is the trait [`hw::Hw`], which the tests implement with ordinary memory. User memory
//! is never dereferenced. It is walked page by page through the address space's own table and copied through the
//! frame's bytes, so there is one checked door and no `unsafe` in this crate.
//!
//! The kernel runs with interrupts off, on one CPU, and never sleeps: a system call that must wait records why in
//! its thread and is *run again* when that may have changed.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod account;
mod arena;
mod block;
pub mod cap;
mod census;
pub mod console;
pub mod container;
pub mod cred;
pub mod first;
pub mod group;
pub mod hw;
pub mod ipc;
pub mod kernel;
pub mod linux;
pub mod memory;
pub mod mm;
pub mod native;
pub mod ns;
pub mod process;
pub mod ranges;
pub mod sched;
pub mod start;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod thread;
pub mod vfs;
