//! Statics of a kernel that runs on one processor, with interrupts off.

use core::cell::UnsafeCell;

/// A static that only code of the kernel's one flow of control touches.
#[repr(transparent)]
pub(crate) struct OneCpu<T>(UnsafeCell<T>);

// SAFETY: there is one processor, the kernel runs with interrupts off, and the one place where it lets interrupts in
// (waiting for work) handles them in assembly that touches no such static. So no two accesses are ever concurrent.
unsafe impl<T> Sync for OneCpu<T> {}

impl<T> OneCpu<T> {
    /// A static with this value.
    pub(crate) const fn new(value: T) -> Self {
        OneCpu(UnsafeCell::new(value))
    }
    /// Where it is. Whoever makes a reference of it sees to it that there is no other.
    pub(crate) const fn pointer(&self) -> *mut T {
        self.0.get()
    }
}
