//! The kernel's own system calls, for native processes: everything goes through capabilities.

use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::ns::ProcessId;
use crate::thread::ThreadId;
use bailiwick_protocol::message::Exit;

/// What a thread of a native process has besides its registers.
#[derive(Debug, Default)]
pub struct NativeThread {}

/// What a native process has besides its address space.
#[derive(Debug, Default)]
pub struct NativeProcess {}

/// Carries out the system call in the registers of `thread`.
pub(crate) fn syscall<H: Hw>(kernel: &mut Kernel<H>, thread: ThreadId) {
    exception(kernel, thread, 6);
}

/// `thread` touched a page that is not mapped, or not so: a page of its own is brought in, otherwise it ends.
pub(crate) fn page_fault<H: Hw>(kernel: &mut Kernel<H>, thread: ThreadId, address: u64, access: Access) {
    let Some(process) = kernel.threads.get(thread).map(|t| t.process) else { return };
    if !matches!(kernel.with_memory(process, |space, s| space.fault(s, address, access)), Some(Ok(()))) {
        exception(kernel, thread, 14);
    }
}

/// `thread` caused a processor exception: its process ends.
pub(crate) fn exception<H: Hw>(kernel: &mut Kernel<H>, thread: ThreadId, _vector: u8) {
    if let Some(process) = kernel.threads.get(thread).map(|t| t.process) {
        kernel.end_process(process, Exit::Signal(11));
    }
}

/// `thread` is about to be removed.
pub(crate) fn thread_ended<H: Hw>(_kernel: &mut Kernel<H>, _thread: ThreadId) {}

/// A native process has ended and has no memory any more.
pub(crate) fn ended<H: Hw>(_kernel: &mut Kernel<H>, _process: ProcessId) {}
