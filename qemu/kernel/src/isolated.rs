//! The kernel's program with page-table isolation: `main.rs` under another name.
#![no_std]
#![no_main]

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    bailiwick_kernel::panicked(info)
}
