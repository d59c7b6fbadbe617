//! The kernel's own system calls, for native processes: everything goes through capabilities.
//!
//! ```text
//!  syscall ─► Call (this thread, its space, its arguments) ─┬─► Ok(three words)   rax 0, rdi rsi rdx
//!                                                           ├─► Refused(error)    rax
//!                                                           ├─► Wait              undone; made again when woken
//!                                                           └─► Set               registers are set, it waits for
//!                                                                                 the other side, or is no more
//!  after each: what went because of it ─► sweep
//! ```
//!
//! There is no name in this interface but a [`Handle`](bailiwick_abi::Handle), and no call that finds an object
//! without one. Every pointer goes through the copies of [`crate::mm::AddressSpace`], every path through a walk that
//! stays inside the directory it began at.

mod call;
mod containers;
mod direct;
mod files;
mod handles;
pub(crate) mod host;
mod memory;
mod process;
mod sweep;
mod system;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use host::Host;
pub use process::{TEXT_MAX, THREADS_MAX};
pub use sweep::Sweeping;

use crate::cap::SpaceId;
use crate::hw::{Hw, Space};
use crate::ipc::NotificationId;
use crate::kernel::{After, Kernel};
use crate::mm::{Access, Fault};
use crate::ns::ProcessId;
use crate::thread::{Context, Registers, Thread, ThreadBody, ThreadId};
use alloc::vec::Vec;
use bailiwick_abi::Error;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;
use call::{Call, Outcome, Stop};

/// What a thread of a native process has besides its registers.
#[derive(Debug)]
pub struct NativeThread {
    /// Its process's capabilities: always the same ones.
    pub(crate) space: SpaceId,
    /// Its process's page tables: those too, for a native process never gets others.
    pub(crate) tables: Space,
}

impl NativeThread {
    /// A thread of a process with these.
    pub(crate) fn new(space: SpaceId, tables: Space) -> Self {
        NativeThread { space, tables }
    }
}

/// How far a native process has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It was made and begins here once it is started.
    New {
        /// Address of its first instruction.
        entry: u64,
    },
    /// It was started.
    Started,
}

/// What a native process has besides its address space.
#[derive(Debug)]
pub struct NativeProcess {
    /// Its capabilities.
    pub(crate) space: SpaceId,
    stage: Stage,
    /// What is signalled when it ends.
    watchers: Vec<(NotificationId, u64)>,
}

/// Most watchers of one process.
const WATCHERS_MAX: usize = 64;

impl<H: Hw> Kernel<H> {
    /// Makes a thread in a native process. It waits until [`Kernel::wake_thread`].
    ///
    /// # Errors
    /// As [`Kernel::create_thread`].
    pub(crate) fn create_native_thread(
        &mut self,
        process: ProcessId,
        context: Context,
    ) -> Result<ThreadId, Errno> {
        let found = self.processes.get(process).ok_or(Errno::ESRCH)?;
        let (Some(native), Some(memory)) = (found.native(), &found.memory) else { return Err(Errno::ESRCH) };
        let body = NativeThread::new(native.space, memory.space());
        self.create_thread(process, context, ThreadBody::Native(body))
    }
}

/// What is in the registers of a native thread that has executed `syscall`, and who it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    number: u64,
    args: [u64; 6],
    process: ProcessId,
    space: SpaceId,
}

impl Made {
    /// By this thread, which is this native one.
    #[inline]
    pub(crate) fn new(thread: &Thread, native: &NativeThread) -> Made {
        let r = thread.registers();
        let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
        Made { number: r.rax, args, process: thread.process, space: native.space }
    }
    fn by<H: Hw>(k: &Kernel<H>, thread: ThreadId) -> Option<Made> {
        let found = k.threads.get(thread)?;
        match &found.body {
            ThreadBody::Native(native) => Some(Made::new(found, native)),
            ThreadBody::Linux(_) => None,
        }
    }
}

/// Carries out the system call that `thread` has made.
#[inline]
pub(crate) fn syscall<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, made: Made) -> After {
    carry_out(k, thread, made, |call| call.dispatch(made.number))
}
/// The same, of which the number is known to be that of `Send`,
pub(crate) fn send<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) -> After {
    let Some(made) = Made::by(k, thread) else { return After::Choose };
    carry_out(k, thread, made, |call| call.send())
}
/// and of `ReplyReceive`.
pub(crate) fn reply_receive<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) -> After {
    let Some(made) = Made::by(k, thread) else { return After::Choose };
    carry_out(k, thread, made, |call| call.reply_receive())
}

#[inline(always)]
fn carry_out<H: Hw>(
    k: &mut Kernel<H>,
    thread: ThreadId,
    made: Made,
    which: impl FnOnce(&mut Call<'_, H>) -> Outcome,
) -> After {
    let Made { args, process, space, .. } = made;
    let outcome = which(&mut Call { k, thread, process, space, args });
    match outcome {
        Ok(results) => set(k, thread, 0, Some(results)),
        Err(Stop::Refused(error)) => set(k, thread, u64::from(error.0), None),
        Err(Stop::Wait(channel, deadline)) => k.wait_on(thread, &[channel], deadline),
        Err(Stop::Set) => {}
    }
    if k.caps.has_gone() {
        k.sweep();
    }
    match outcome {
        Ok(_) | Err(Stop::Refused(_)) => k.after_call_of(thread),
        Err(Stop::Wait(..) | Stop::Set) => After::Choose,
    }
}

fn set<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, status: u64, results: Option<[u64; 3]>) {
    let Some(found) = k.threads.get_mut(thread) else { return };
    let registers: &mut Registers = found.registers_mut();
    registers.rax = status;
    if let Some(results) = results {
        [registers.rdi, registers.rsi, registers.rdx] = results;
    }
}

/// `thread` touched a page that is not mapped, or not so: a page of its own is brought in, otherwise it ends.
pub(crate) fn page_fault<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, address: u64, access: Access) {
    let Some(process) = k.threads.get(thread).map(|t| t.process) else { return };
    match k.with_memory(process, |space, s| space.fault(s, address, access)) {
        Some(Ok(())) => {}
        Some(Err(Fault::OutOfMemory(_))) => k.end_process(process, Exit::OutOfMemory),
        _ => exception(k, thread, 14),
    }
}

/// `thread` caused a processor exception: its process ends.
pub(crate) fn exception<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, _vector: u8) {
    if let Some(process) = k.threads.get(thread).map(|t| t.process) {
        k.end_process(process, Exit::Signal(11));
    }
}

/// `thread` is about to be removed.
pub(crate) fn thread_ended<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) {
    k.talker_ended(thread);
}

/// A native process has ended and has no memory any more. Its capabilities go; its record stays while somebody holds
/// a capability to it.
pub(crate) fn ended<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    let Some(native) = k.processes.get_mut(process).and_then(|process| process.native_mut()) else { return };
    native.stage = Stage::Started;
    let (space, watchers) = (native.space, core::mem::take(&mut native.watchers));
    k.caps.end_space(space);
    for (notification, bits) in watchers {
        k.signal_notification(notification, bits);
    }
    if k.init != Some(process) && k.caps.holders(crate::cap::Object::Process(process)) == 0 {
        k.forget_process(process);
    }
    k.sweep();
}

/// How a process ended, as native programs are told.
pub(crate) fn exit_word(exit: Exit) -> u64 {
    match exit {
        Exit::Code(code) => bailiwick_abi::Exit::Code(code),
        Exit::Signal(signal) => bailiwick_abi::Exit::Signal(signal),
        Exit::OutOfMemory => bailiwick_abi::Exit::OutOfMemory,
    }
    .to_word()
}

/// The rest of the kernel speaks the numbers of Linux; where this interface has one for the same thing it is the same.
pub(crate) fn refused(errno: Errno) -> Error {
    Error(errno.0)
}
