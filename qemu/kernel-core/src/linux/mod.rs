//! The Linux x86_64 system-call interface for container processes: the border towards the rest of the kernel.

use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::ns::ProcessId;
use crate::thread::ThreadId;
use bailiwick_protocol::message::Exit;

/// What a thread of a Linux process has besides its registers.
#[derive(Debug, Default)]
pub struct LinuxThread {}

/// What a Linux process has besides its address space.
#[derive(Debug, Default)]
pub struct LinuxProcess {}

/// Carries out the system call in the registers of `thread`.
pub(crate) fn syscall<H: Hw>(kernel: &mut Kernel<H>, thread: ThreadId) {
    exception(kernel, thread, 6, 0);
}

/// `thread` touched `address` and the page table said no.
pub(crate) fn page_fault<H: Hw>(kernel: &mut Kernel<H>, thread: ThreadId, _address: u64, _access: Access) {
    exception(kernel, thread, 14, 0);
}

/// `thread` caused a processor exception other than a page fault.
pub(crate) fn exception<H: Hw>(kernel: &mut Kernel<H>, thread: ThreadId, _vector: u8, _error: u64) {
    if let Some(process) = kernel.threads.get(thread).map(|t| t.process) {
        kernel.end_process(process, Exit::Signal(9));
    }
}

/// Called before `thread` goes back to ring 3, however it came: the place for signals. It may end the thread or
/// make it wait.
pub(crate) fn before_user<H: Hw>(_kernel: &mut Kernel<H>, _thread: ThreadId) {}

/// A Linux process has ended and has no memory any more. Closes its files, tells its parent.
/// What it leaves (a zombie) is its own business: `Kernel::forget_process` removes the rest.
pub(crate) fn ended<H: Hw>(kernel: &mut Kernel<H>, process: ProcessId) {
    kernel.forget_process(process);
}
