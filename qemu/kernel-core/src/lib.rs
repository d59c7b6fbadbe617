//! The kernel without the machine.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
