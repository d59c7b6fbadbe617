//! Calls that wait while the program goes on: each is made by a thread of its own, which does nothing else.
//!
//! The thread has no stack: it is a few instructions that send what is in an `Order`, set bits of a notification once
//! there is an answer, and end. The answer itself is thrown away; whoever is told makes the call again, which then is
//! answered at once. To give a call up, its capability is dropped: the manager then answers it.
#![allow(unsafe_code, reason = "a thread is given an address to begin at")]

use crate::sys;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_abi::{Call, Error, Handle, MessageBuffer, MessageInfo, SMALL_MAX, WORDS};
use bailiwick_kernel_glue::metal::EndpointChannel;
use bailiwick_protocol::frame::Tag;
use bailiwick_protocol::message::Request;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};

/// What a thread is told. The assembly below knows the order of the fields.
#[repr(C)]
struct Order {
    buffer: MessageBuffer,
    handle: u64,
    info: u64,
    words: [u64; WORDS],
    notification: u64,
    bits: u64,
    /// 1 once the thread will not look at the order any more.
    done: AtomicU64,
}

core::arch::global_asm!(
    ".globl bailiwick_waiter",
    "bailiwick_waiter:",
    "mov rbx, rdi",
    "mov eax, {set_buffer}",
    "syscall",
    "mov rdi, [rbx + {handle}]",
    "mov rsi, [rbx + {handle} + 8]",
    "mov rdx, [rbx + {words}]",
    "mov r8, [rbx + {words} + 8]",
    "mov r9, [rbx + {words} + 16]",
    "mov r10, [rbx + {words} + 24]",
    "mov r12, [rbx + {words} + 32]",
    "mov r13, [rbx + {words} + 40]",
    "mov r14, [rbx + {words} + 48]",
    "mov r15, [rbx + {words} + 56]",
    "mov eax, {send}",
    "syscall",
    "mov rdi, [rbx + {notification}]",
    "mov rsi, [rbx + {notification} + 8]",
    "mov qword ptr [rbx + {notification} + 16], 1",
    "mov eax, {signal}",
    "syscall",
    "mov eax, {thread_exit}",
    "syscall",
    "ud2",
    set_buffer = const Call::SetBuffer as u32,
    send = const Call::Send as u32,
    signal = const Call::Signal as u32,
    thread_exit = const Call::ThreadExit as u32,
    handle = const core::mem::offset_of!(Order, handle),
    words = const core::mem::offset_of!(Order, words),
    notification = const core::mem::offset_of!(Order, notification),
);

unsafe extern "C" {
    fn bailiwick_waiter();
}

/// Orders of all threads there were: one that is done is used again. They are never freed.
#[derive(Default)]
pub struct Waiters(RefCell<Vec<*mut Order>>);

impl core::fmt::Debug for Waiters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Waiters").field(&self.0.borrow().len()).finish()
    }
}

impl Waiters {
    /// Sets `bits` of `notification` once there is an answer to `request` on `channel`, whatever it is.
    ///
    /// # Errors
    /// The kernel's reason; `TOO_LARGE` for a request that does not fit into registers.
    pub fn when_answered(
        &self,
        channel: &EndpointChannel,
        request: &Request<'_>,
        notification: Handle,
        bits: u64,
    ) -> Result<(), Error> {
        let mut frame = [0; SMALL_MAX];
        let length = request.encode(Tag(0), &mut frame).map_err(|_| Error::TOO_LARGE)?.len();
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(frame.chunks(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        let order = self.free_order();
        // SAFETY: orders are never freed, and no thread looks at a free one.
        unsafe {
            (*order).handle = channel.handle().0;
            (*order).info = MessageInfo::new(length).0;
            (*order).words = words;
            (*order).notification = notification.0;
            (*order).bits = bits;
            (*order).done.store(0, Ordering::Release);
        }
        let entry = bailiwick_waiter as *const () as usize;
        sys::thread_create(entry, 0, order as usize).inspect_err(|_| {
            // SAFETY: no thread was made that could look at it.
            unsafe { (*order).done.store(1, Ordering::Release) }
        })
    }

    fn free_order(&self) -> *mut Order {
        let mut all = self.0.borrow_mut();
        // SAFETY: orders are never freed, and this field is atomic.
        let free = all.iter().copied().find(|order| unsafe { (**order).done.load(Ordering::Acquire) } == 1);
        free.unwrap_or_else(|| {
            let order = Box::into_raw(Box::new(Order {
                buffer: MessageBuffer::new(),
                handle: 0,
                info: 0,
                words: [0; WORDS],
                notification: 0,
                bits: 0,
                done: AtomicU64::new(1),
            }));
            all.push(order);
            order
        })
    }
}
