//! The program that tries what programs must not do.
#![no_std]
#![no_main]
bailiwick_userland::program!(bailiwick_userland::hostile::main);
