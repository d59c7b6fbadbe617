//! Runtime for native programs.
#![no_std]
