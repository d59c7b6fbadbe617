//! See [`bailiwick_userland::requests`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::requests::main);
