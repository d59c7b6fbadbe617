#![no_std]
//! Memory functions for programs without a libc.
