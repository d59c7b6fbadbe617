//! A thread that sets bits of a notification when a time has come: for a program that waits elsewhere.
//!
//! ```text
//!   set(time) ──► what it is, then the thread's own notification ──► the thread waits for that time, or to be told
//!                                                                   another one; then it sets the bits, once
//! ```
#![allow(unsafe_code, reason = "a thread is given an address to begin at")]

use crate::sys;
use alloc::boxed::Box;
use bailiwick_abi::{Error, Handle};
use bailiwick_protocol::message::Nanos;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// A time that never comes.
const NEVER: u64 = u64::MAX;
/// Bytes of the thread's stack, on which there is nothing but three calls one in another.
const STACK: usize = 4096;

/// What the thread is told. It is never freed.
#[derive(Debug)]
struct Order {
    told: Handle,
    rings: Handle,
    bits: u64,
    due: AtomicU64,
}

/// The alarm of one program.
#[derive(Debug)]
pub struct Alarm {
    order: &'static Order,
    set: Cell<u64>,
}

impl Alarm {
    /// An alarm that sets `bits` of `notification` (`WRITE`). It is set to no time yet.
    ///
    /// # Errors
    /// The kernel's reason for giving no notification, stack or thread.
    pub fn new(notification: Handle, bits: u64) -> Result<Alarm, Error> {
        let told = sys::notification()?;
        let due = AtomicU64::new(NEVER);
        let order: &'static Order = Box::leak(Box::new(Order { told, rings: notification, bits, due }));
        let stack = sys::allocate(STACK)?;
        // As if it had been called: 8 bytes below a multiple of 16.
        let top = stack + STACK - 8;
        sys::thread_create(run as *const () as usize, top, core::ptr::from_ref(order) as usize)?;
        Ok(Alarm { order, set: Cell::new(NEVER) })
    }

    /// Rings at this time, and not at the one that was set before; never if it is none. Costs no system call if nothing
    /// has changed.
    pub fn set(&self, time: Option<Nanos>) {
        let due = time.map_or(NEVER, |time| time.0);
        if self.set.replace(due) != due {
            self.order.due.store(due, Ordering::Release);
            sys::signal(self.order.told, 1);
        }
    }
}

/// The thread. It allocates nothing: the heap is for one thread.
extern "sysv64" fn run(order: *const Order) -> ! {
    // SAFETY: the order is never freed, and what is shared in it is atomic.
    let order = unsafe { &*order };
    let mut until = NEVER;
    loop {
        until = match sys::wait(order.told, until) {
            // The time has come.
            Ok(0) => {
                sys::signal(order.rings, order.bits);
                NEVER
            }
            Ok(_) => order.due.load(Ordering::Acquire),
            // It cannot go on without its notification.
            Err(_) => sys::thread_exit(),
        };
    }
}
