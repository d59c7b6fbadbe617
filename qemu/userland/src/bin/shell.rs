//! See [`bailiwick_userland::shell`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::shell::main);
