//! See [`bailiwick_userland::measure`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::measure::main);
