//! From the kernel's first instruction to a program's `main`, and its ends.

use crate::{heap, sys};

/// Status of a program that panicked, as Rust has it everywhere.
const PANICKED: u8 = 101;

/// Runs a program and ends with its status.
pub fn run(main: fn(&str) -> u8, text: &[u8]) -> ! {
    bailiwick_rt::link();
    if !heap::init() {
        sys::exit(PANICKED);
    }
    sys::exit(main(core::str::from_utf8(text).unwrap_or_default()))
}

/// Ends a program that panicked. Nothing can be said: it may hold no console, and need not have a heap.
pub fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(PANICKED)
}

/// Makes a program of a `fn(&str) -> u8`, which is given the text that the program was started with and returns its
/// status.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        core::arch::global_asm!(
            ".globl _start",
            "_start:",
            "xor ebp, ebp",
            "and rsp, -16",
            "call {start}",
            "ud2",
            start = sym started,
        );

        extern "sysv64" fn started(text: *const u8, length: usize) -> ! {
            // SAFETY: the kernel has put the text there, or another program that started this one; it stays.
            let text = unsafe { core::slice::from_raw_parts(text, length) };
            $crate::start::run($main, text)
        }

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::start::panicked(info)
        }
    };
}
