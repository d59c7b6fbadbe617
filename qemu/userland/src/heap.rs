//! The heap: one range of the address space, whose pages come when they are touched.

use crate::sys;
use bailiwick_rt::FreeLists;
use embedded_alloc::TlsfHeap;

/// Bytes of address space. What is not touched costs nothing.
const SIZE: usize = 32 << 20;

#[allow(unsafe_code, reason = "a heap for one thread")]
// SAFETY: a program here has one thread, and nothing interrupts it that runs in it.
#[global_allocator]
static HEAP: FreeLists<TlsfHeap> = unsafe { FreeLists::new(TlsfHeap::empty()) };

/// Gives the heap its memory. False if there is none.
#[allow(unsafe_code, reason = "an allocator is given memory")]
pub(crate) fn init() -> bool {
    match sys::allocate(SIZE) {
        Ok(address) => {
            // SAFETY: the kernel has mapped these bytes for nobody else, and this is called once.
            unsafe { HEAP.heap().init(address, SIZE) };
            true
        }
        Err(_) => false,
    }
}

/// Bytes of the heap that [`touch`] leaves out: what the allocator needs for itself and what is in use.
const SPARED: usize = 1 << 20;
/// Bytes of the stack that it touches: most of what there is.
const STACK: usize = 768 << 10;

/// Touches memory that the program may come to use, so that it takes no page more from now on, unless it needs very
/// much.
pub(crate) fn touch() {
    let mut heap = alloc::vec![0u8; SIZE - SPARED];
    heap.fill(1);
    core::hint::black_box(&heap);
    touch_stack();
}

#[inline(never)]
fn touch_stack() {
    let mut stack = [0u8; STACK];
    stack.fill(1);
    core::hint::black_box(&stack);
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
