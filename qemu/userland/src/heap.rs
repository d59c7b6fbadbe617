//! The heap: one range of the address space, whose pages come when they are touched.

use crate::sys;
use embedded_alloc::TlsfHeap;

/// Bytes of address space. What is not touched costs nothing.
const SIZE: usize = 32 << 20;

#[global_allocator]
static HEAP: TlsfHeap = TlsfHeap::empty();

/// Gives the heap its memory. False if there is none.
#[allow(unsafe_code, reason = "an allocator is given memory")]
pub(crate) fn init() -> bool {
    match sys::allocate(SIZE) {
        Ok(address) => {
            // SAFETY: the kernel has mapped these bytes for nobody else, and this is called once.
            unsafe { HEAP.init(address, SIZE) };
            true
        }
        Err(_) => false,
    }
}

struct OneThread;
critical_section::set_impl!(OneThread);

#[allow(unsafe_code, reason = "the trait is unsafe")]
// SAFETY: a program here has one thread, and nothing interrupts it that runs in it.
unsafe impl critical_section::Impl for OneThread {
    unsafe fn acquire() -> bool {
        false
    }
    unsafe fn release(_: bool) {}
}
