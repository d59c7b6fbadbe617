//! See [`bailiwick_userland::manager`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::manager::main);
