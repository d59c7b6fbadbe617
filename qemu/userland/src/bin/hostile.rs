//! See [`bailiwick_userland::hostile`].
#![no_std]
#![no_main]

bailiwick_userland::program!(bailiwick_userland::hostile::main);
