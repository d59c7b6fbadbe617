//! Typed handles over any channel.
#![no_std]
#![forbid(unsafe_code)]
