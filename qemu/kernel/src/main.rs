//! The kernel's program: the library, linked at its place.
//!
//! It is apart because a panic handler cannot be in a build that also has the standard library, as a build of the
//! whole workspace does.
#![no_std]
#![no_main]

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    bailiwick_kernel::panicked(info)
}
