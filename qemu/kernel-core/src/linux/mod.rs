//! The Linux x86_64 system-call interface for container processes.
//!
//! ```text
//!  syscall ─► table ─► Call (this thread, its arguments) ─┬─► Ok(number)         into rax
//!                                                         ├─► Stop::Errno        -errno into rax
//!                                                         ├─► Stop::Wait         undone; made again when woken
//!                                                         └─► Stop::Gone         registers are set, or nobody is left
//!  before ring 3 ─► alarms, stops, signals: a frame on the user's stack, or the default action
//! ```
//!
//! Nothing here sleeps. A call that must wait says on which channels; what it had done so far (bytes of a long
//! write, the end of a sleep) is kept in its thread as `Progress` until it completes or a signal interrupts it.
//!
//! Every number a process passes is checked where it is used, every pointer goes through
//! [`crate::mm::AddressSpace`]'s copies, every path through the walk of [`crate::vfs`].

mod attributes;
mod birth;
mod call;
mod death;
mod deliver;
mod descriptor;
mod entries;
mod exec;
mod files;
mod filter;
mod frame;
mod futex;
mod identity;
mod info;
mod input;
mod io;
mod ioctl;
mod memory;
mod mounts;
mod output;
mod paths;
mod pipe;
mod poll;
mod process;
mod sigcalls;
mod signal;
mod source;
mod space;
mod stat;
mod table;
mod time;
mod tty;

pub use birth::{Gate, Streams, load, load_at, new_output, output, release, release_output, spawn};
pub use death::collect;
pub use deliver::Origin;
pub use descriptor::{Device, End, Object};
pub use input::{Input, close_input, discard_input, keep_input, new_input, write_input};
pub use output::{Output, RING};
pub use process::{LinuxProcess, LinuxThread};
pub use signal::{Action, SignalInfo, Signals};
pub use tty::Terminal;

pub(crate) use call::with_everything;
pub(crate) use death::forget_ended;
pub(crate) use memory::page_fault;
pub(crate) use mounts::follow_pivot;
pub(crate) use process::limit::NOFILE;
pub(crate) use process::{NOFILE_MAX, OF_THREAD};
pub(crate) use source::{Payer, View, machine};

use crate::arena::Arena;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::ns::ProcessId;
use crate::thread::{Channel, ThreadId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use call::{Call, Stop, linux_of, task_of_mut};
use descriptor::Description;
use pipe::Pipe;
use process::Progress;

/// What Linux processes have together.
#[derive(Debug, Default)]
pub struct Linux {
    descriptions: Arena<Description>,
    pipes: Arena<Pipe>,
    /// Pipes of named pipes that are open, by device and inode number.
    fifos: BTreeMap<(u32, u64), u32>,
    outputs: Arena<Output>,
    /// The console, as containers see it.
    pub terminal: Terminal,
    /// Processes made since the start.
    pub forks: u64,
}

impl Linux {
    /// How many open file descriptions, pipes, named pipes and rings of output there are.
    pub fn counts(&self) -> [usize; 4] {
        [self.descriptions.len(), self.pipes.len(), self.fifos.len(), self.outputs.len()]
    }
}

/// Where rings of output begin among [`Channel::Queue`]'s numbers.
const OUTPUTS: u32 = 1 << 31;

/// What is woken when something was written to a ring of output.
pub fn output_channel(output: u32) -> Channel {
    Channel::Queue(OUTPUTS | output)
}

/// Carries out the system call in the registers of `thread`.
pub(crate) fn syscall<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) {
    let Some(found) = k.threads.get(thread) else { return };
    let (process, r) = (found.process, *found.registers());
    let Ok(task) = task_of_mut(k, thread) else { return };
    task.waits = None;
    k.starved = None;
    let mut call = Call { k, thread, process, args: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] };
    let outcome = filter::check(&mut call, r.rax).and_then(|()| table::dispatch(&mut call, r.rax));
    let result = match outcome {
        Ok(value) => value,
        Err(Stop::Errno(errno)) => {
            if errno == Errno::ENOMEM && memory::make_room(k, thread) {
                return;
            }
            (-i64::from(errno.0)) as u64
        }
        Err(Stop::Wait(waiting)) => return wait(k, thread, process, waiting),
        Err(Stop::Gone) => return,
    };
    descriptor::leave_fifo(k, thread);
    if let Ok(task) = task_of_mut(k, thread) {
        task.progress = Progress::None;
        if let Some(mask) = task.saved_mask.take() {
            task.mask = mask;
        }
    }
    if let Some(found) = k.threads.get_mut(thread) {
        found.registers_mut().rax = result;
    }
}

/// Undoes the call: the thread waits, also for signals and for its alarm.
fn wait<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, process: ProcessId, waiting: call::Waiting) {
    if let Ok(task) = task_of_mut(k, thread) {
        task.waits = Some(waiting.interrupted);
    }
    let mut channels: Vec<Channel> = waiting.channels;
    if !channels.contains(&Channel::Process(process)) {
        channels.push(Channel::Process(process));
    }
    let alarm = linux_of(k, process).ok().and_then(|linux| linux.alarm.at);
    let deadline = match (waiting.deadline, alarm) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    k.wait_on(thread, &channels, deadline);
    // The call itself may have let in, by its mask, a signal that had come before: nobody would send it again.
    if deliver::open_signals(k, thread, process) != Signals::default() {
        k.wake_thread(thread);
    }
}

/// `thread` caused a processor exception other than a page fault.
pub(crate) fn exception<H: Hw>(k: &mut Kernel<H>, thread: ThreadId, vector: u8, _error: u64) {
    deliver::exception(k, thread, vector);
}

/// Called before `thread` goes back to ring 3, however it came: the place for signals. It may end the thread or
/// make it wait.
pub(crate) fn before_user<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) {
    deliver::before_user(k, thread);
}

/// `thread` is about to be removed.
pub(crate) fn thread_ended<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) {
    descriptor::leave_fifo(k, thread);
    give_numbers_back(k, thread);
}

/// The numbers of a thread are free again, but for those that are its process's too: they are in use until its end was
/// reported.
fn give_numbers_back<H: Hw>(k: &mut Kernel<H>, thread: ThreadId) {
    let Some(process) = k.threads.get(thread).map(|thread| thread.process) else { return };
    let Ok(task) = task_of_mut(k, thread) else { return };
    let numbers = core::mem::take(&mut task.numbers);
    if linux_of(k, process).is_ok_and(|linux| linux.numbers != numbers) {
        k.vfs.namespaces.put_numbers(&numbers);
    }
}

/// A Linux process has ended and has no memory any more. Closes its files, tells its parent. A record is left until
/// the end was reported.
pub(crate) fn ended<H: Hw>(k: &mut Kernel<H>, process: ProcessId) {
    death::ended(k, process);
}

/// Sends a signal from outside: by a manager, for a container. A process that has ended is left alone.
pub fn signal<H: Hw>(k: &mut Kernel<H>, process: ProcessId, number: u8) {
    if (1..=signal::LAST).contains(&number) {
        deliver::send(k, process, number, SignalInfo::default(), Origin::Outside);
    }
}

/// The console's input goes to the containers' terminal while a session has it: keys become signals at once.
pub(crate) fn console_input<H: Hw>(k: &mut Kernel<H>) {
    if k.linux.terminal.session.is_none() {
        return;
    }
    let mut echo = Vec::new();
    let mut keys = Vec::new();
    while let Some(byte) = k.console.take() {
        keys.extend(k.linux.terminal.receive(byte, &mut echo));
    }
    k.mem.hw.console_write(&echo);
    for key in keys {
        let number = match key {
            tty::Key::Interrupt => signal::SIGINT,
            tty::Key::Quit => signal::SIGQUIT,
            tty::Key::Suspend => signal::SIGTSTP,
        };
        if let Some(group) = k.linux.terminal.foreground {
            deliver::send_to_group(k, group, number, SignalInfo::KERNEL);
        }
    }
}
