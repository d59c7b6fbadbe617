//! The kernel's heap: two-level segregated fit behind lists of freed blocks, with a count of what is left that costs
//! little to ask for.

use bailiwick_rt::FreeLists;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use embedded_alloc::TlsfHeap;

// SAFETY: one processor, and the kernel runs with interrupts off.
#[global_allocator]
static HEAP: FreeLists<TlsfHeap> = unsafe { FreeLists::new(TlsfHeap::empty()) };
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// Gives the heap its memory.
///
/// # Safety
/// Called once; the memory is mapped, writable, and nobody else's from now on.
pub(crate) unsafe fn init(start: *mut u8, size: usize) {
    SIZE.store(size, Relaxed);
    // SAFETY: as promised by the caller.
    unsafe { HEAP.heap().init(start as usize, size) }
}

/// Bytes that are left, from below.
pub(crate) fn free() -> usize {
    SIZE.load(Relaxed).saturating_sub(HEAP.used())
}

struct NothingToLock;
critical_section::set_impl!(NothingToLock);

// SAFETY: one processor, and the kernel runs with interrupts off. Where it lets them in, while it waits for work, they
// are handled in assembly. So whatever runs in the kernel is a critical section already.
unsafe impl critical_section::Impl for NothingToLock {
    unsafe fn acquire() -> bool {
        false
    }
    unsafe fn release(_: bool) {}
}
