//! The narrow door to a kernel.
#![cfg_attr(not(feature = "linux"), no_std)]
#![deny(unsafe_code)]
extern crate alloc;
