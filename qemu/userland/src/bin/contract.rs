//! See [`bailiwick_userland::contract`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::contract::main);
