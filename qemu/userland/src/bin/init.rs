//! See [`bailiwick_userland::init`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::init::main);
