//! The kernel's heap: two-level segregated fit, with a count of what is left that costs nothing to ask for.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use embedded_alloc::TlsfHeap;

/// Bytes that the allocator spends on a block besides its contents, at most, alignment aside.
const OVERHEAD: usize = 32;

struct Heap {
    inner: TlsfHeap,
    size: AtomicUsize,
    used: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { inner: TlsfHeap::empty(), size: AtomicUsize::new(0), used: AtomicUsize::new(0) };

/// What a block takes, from above.
fn cost(layout: Layout) -> usize {
    layout
        .size()
        .next_multiple_of(16)
        .saturating_add(OVERHEAD)
        .saturating_add(layout.align().saturating_sub(16))
}

// SAFETY: everything is passed on to an allocator; the counters have no part in which memory is handed out.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the one that is asked for.
        let block = unsafe { self.inner.alloc(layout) };
        if !block.is_null() {
            self.used.fetch_add(cost(layout), Relaxed);
        }
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.used.fetch_sub(cost(layout), Relaxed);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { self.inner.dealloc(block, layout) }
    }
}

/// Gives the heap its memory.
///
/// # Safety
/// Called once; the memory is mapped, writable, and nobody else's from now on.
pub(crate) unsafe fn init(start: *mut u8, size: usize) {
    HEAP.size.store(size, Relaxed);
    // SAFETY: as promised by the caller.
    unsafe { HEAP.inner.init(start as usize, size) }
}

/// Bytes that are left, from below.
pub(crate) fn free() -> usize {
    HEAP.size.load(Relaxed).saturating_sub(HEAP.used.load(Relaxed))
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
