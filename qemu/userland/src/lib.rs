//! The native programs of the Bailiwick kernel, and the runtime they share.
//!
//! ```text
//!   kernel ── console, power, boot image, root group, clock ──► init ── reads the manifest
//!                                                                 │
//!                    group, console, clock, boot image ◄──────────┼──────────► a factory, /bundles, the console
//!                                  manager                        │                        shell
//!                                     ▲                           │                          │
//!                                     └──────── calls ────────────┴──────────────────────────┘
//! ```
//!
//! A program holds what [`slots`] says its starter put into its capability space, and nothing else: init alone can
//! start programs and switch the machine off. What the programs decide is in `bailiwick-userland-core` and
//! `bailiwick-server`; here they meet the kernel.
#![no_std]
extern crate alloc;

pub mod alarm;
pub mod console;
pub mod contract;
mod heap;
pub mod hostile;
pub mod init;
pub mod manager;
pub mod measure;
pub mod requests;
mod service;
pub mod shell;
pub mod slots;
pub mod start;
pub mod sys;
pub mod waiter;
