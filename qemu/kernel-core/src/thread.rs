//! Threads: saved registers, what they wait for, how they are charged.
//!
//! A thread that waits does not wait *inside* the kernel. Its system call is undone (the instruction pointer goes
//! back to the `syscall` instruction, no register has changed) and made again when what it waited for may have
//! happened. What a call had already done before it began to wait is kept in the thread by whoever implements it.

use crate::account::{Charged, PIECE};
use crate::arena::Table;
use crate::block::{ControlBlock, Stage};
use crate::cap::SpaceId;
use crate::hw::Space;
use crate::linux::LinuxThread;
use crate::memory::GroupId;
use crate::native::NativeThread;
use crate::ns::ProcessId;
use crate::sched::Entity;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;
use core::num::NonZero;

/// A thread, by position. The position is reused after its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ThreadId(pub u32);

/// Most threads there can be.
pub const THREADS_MAX: usize = 4096;

/// The general registers, in the order in which the trap code pushes them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the fields are registers")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// How the kernel was entered; see [`Registers::SYSCALL`].
    pub vector: u64,
    /// The error code of the exception.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl Registers {
    /// In `vector`: entered by `syscall`, so that `rcx` and `r11` are dead. Anything else is left by `iretq`, which
    /// restores every register: set 0 when rip, rcx or r11 are replaced (signal frames, sigreturn, execve).
    pub const SYSCALL: u64 = u64::MAX;
    const ZERO: Registers = Registers {
        r15: 0,
        r14: 0,
        r13: 0,
        r12: 0,
        rbp: 0,
        rbx: 0,
        r11: 0,
        r10: 0,
        r9: 0,
        r8: 0,
        rax: 0,
        rcx: 0,
        rdx: 0,
        rsi: 0,
        rdi: 0,
        vector: 0,
        error: 0,
        rip: 0,
        cs: 0,
        rflags: 0,
        rsp: 0,
        ss: 0,
    };
    /// User code segment selector.
    pub const USER_CS: u64 = 0x33;
    /// User data segment selector.
    pub const USER_SS: u64 = 0x2b;
    /// The flags a thread begins with: interrupts on, nothing else.
    pub const USER_FLAGS: u64 = 0x202;
    /// Flags that ring 3 may set for itself (carry, parity, adjust, zero, sign, trap, direction, overflow, AC, ID).
    pub const FLAGS_OF_USER: u64 = 0x24_0dd5;
}

/// What the trap code saves of ring 3, at an address that does not change during the thread's life.
#[repr(C, align(64))]
#[derive(Clone, Debug)]
pub struct Context {
    /// Floating-point state, as `fxsave64` writes it. Saved at every entry of a Linux thread; for native threads
    /// only when they are interrupted, since their system calls do not keep it.
    pub fpu: [u8; 512],
    /// The rest.
    pub registers: Registers,
    /// Base of `fs`.
    pub fs_base: u64,
    /// Base of `gs`.
    pub gs_base: u64,
}

impl Context {
    /// A context that begins at `rip` with stack `rsp`, everything else zero and the floating-point unit as after
    /// `finit`, with all exceptions masked.
    pub const fn new(rip: u64, rsp: u64) -> Self {
        let mut fpu = [0; 512];
        // The control word 0x37F, and MXCSR 0x1F80.
        (fpu[0], fpu[1], fpu[24], fpu[25]) = (0x7F, 0x03, 0x80, 0x1F);
        let mut registers = Registers::ZERO;
        (registers.rip, registers.rsp) = (rip, rsp);
        (registers.cs, registers.ss) = (Registers::USER_CS, Registers::USER_SS);
        registers.rflags = Registers::USER_FLAGS;
        Context { fpu, registers, fs_base: 0, gs_base: 0 }
    }
}

/// Something a thread can wait for. Whoever changes it calls `Kernel::wake` with the same value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Channel {
    /// A process: a child of it, or it itself, changed state; a signal came.
    Process(ProcessId),
    /// A pipe, socket or other queue of the Linux side, by its number there.
    Queue(u32),
    /// A futex: frame and offset.
    Futex(u32, u16),
    /// Input on the console.
    Console,
    /// A notification object.
    Notification(u32),
    /// Only time.
    Time,
}

/// Which system calls a thread makes.
#[derive(Debug)]
pub enum ThreadBody {
    /// The kernel's own.
    Native(NativeThread),
    /// Those of Linux on x86_64.
    Linux(Box<LinuxThread>),
}

/// Whether a thread can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It runs, or would if it got the processor.
    Runnable,
    /// It waits: for a [`Channel`], a deadline, or its turn in a message.
    Waiting,
}

/// A thread.
#[derive(Debug)]
pub struct Thread {
    /// Its registers.
    pub context: Box<Context>,
    /// Whose it is.
    pub process: ProcessId,
    /// Who pays for its time: its process's group.
    pub group: GroupId,
    /// Its share of the processor.
    pub entity: Entity,
    /// Time it used, in nanoseconds.
    pub cpu: u64,
    /// How much of that was spent in ring 3 (counted for Linux threads).
    pub cpu_user: u64,
    /// What depends on the kind of its process.
    pub body: ThreadBody,
    channels: Vec<Channel>,
    deadline: Option<Nanos>,
    _charged: Charged,
}

/// What a thread takes of the kernel's heap. The tables of threads and of control blocks may be half empty.
pub(crate) const PRICE: usize = 2 * (size_of::<Option<Thread>>() + size_of::<ControlBlock>())
    + (PIECE + size_of::<Context>())
    + crate::linux::OF_THREAD;

impl Thread {
    /// A thread of `process` that begins with `context`.
    pub(crate) fn new(
        process: ProcessId,
        group: GroupId,
        context: Context,
        body: ThreadBody,
        charged: Charged,
    ) -> Self {
        Thread {
            context: Box::new(context),
            process,
            group,
            entity: Entity::default(),
            cpu: 0,
            cpu_user: 0,
            body,
            _charged: charged,
            channels: Vec::new(),
            deadline: None,
        }
    }
    /// Its general registers.
    pub fn registers(&self) -> &Registers {
        &self.context.registers
    }
    /// Its general registers, to be changed.
    pub fn registers_mut(&mut self) -> &mut Registers {
        &mut self.context.registers
    }
}

/// All threads, and who waits for what.
#[derive(Debug, Default)]
pub struct Threads {
    all: Table<Thread>,
    /// What messages need of each, by its position.
    blocks: Vec<ControlBlock>,
    waiting: BTreeSet<(Channel, ThreadId)>,
    deadlines: BTreeSet<(Nanos, ThreadId)>,
}

impl Threads {
    /// A thread.
    pub fn get(&self, id: ThreadId) -> Option<&Thread> {
        self.all.get(id.0)
    }
    /// A thread, to be changed.
    pub fn get_mut(&mut self, id: ThreadId) -> Option<&mut Thread> {
        self.all.get_mut(id.0)
    }
    /// A thread's control block; an inert one if there is no such thread any more.
    #[inline]
    pub(crate) fn block(&self, id: ThreadId) -> Option<&ControlBlock> {
        self.blocks.get(id.0 as usize)
    }
    /// A thread's control block, to be changed.
    #[inline]
    pub(crate) fn block_mut(&mut self, id: ThreadId) -> Option<&mut ControlBlock> {
        self.blocks.get_mut(id.0 as usize)
    }
    /// All control blocks.
    #[inline]
    pub(crate) fn blocks_mut(&mut self) -> &mut [ControlBlock] {
        &mut self.blocks
    }
    /// Whether a thread can run. Changed by the kernel's `wait_on` and `wake`, and by messages.
    pub fn state(&self, id: ThreadId) -> State {
        self.block(id).map_or(State::Waiting, ControlBlock::state)
    }
    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }
    /// How many things threads wait for, points in time included.
    pub fn waits(&self) -> usize {
        self.waiting.len() + self.deadlines.len()
    }
    /// All threads.
    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, &Thread)> {
        self.all.iter().map(|(at, thread)| (ThreadId(at), thread))
    }
    /// Whether there can be one more.
    pub(crate) fn has_room(&mut self) -> bool {
        // Each has the same place in both.
        self.all.has_room(THREADS_MAX) && {
            let blocks = self.all.capacity().saturating_sub(self.blocks.len());
            self.blocks.try_reserve_exact(blocks).is_ok()
        }
    }
    pub(crate) fn insert(&mut self, mut thread: Thread) -> ThreadId {
        let (group, context) = (thread.group, core::ptr::from_mut(thread.context.as_mut()));
        let (space, tables) = match &thread.body {
            ThreadBody::Native(native) => (native.space, native.tables),
            ThreadBody::Linux(_) => (SpaceId::NOTHING, Space(0)),
        };
        let id = ThreadId(self.all.insert(thread));
        while self.blocks.len() <= id.0 as usize {
            self.blocks.push(ControlBlock::inert(NonZero::<u64>::MIN));
        }
        if let Some(block) = self.block_mut(id) {
            *block = ControlBlock { group, context, space, tables, ..ControlBlock::inert(block.life) };
        }
        id
    }
    pub(crate) fn remove(&mut self, id: ThreadId) -> Option<Thread> {
        self.forget_waits(id);
        if let Some(block) = self.block_mut(id) {
            *block = ControlBlock::inert(block.life.saturating_add(1));
        }
        self.all.remove(id.0)
    }

    /// Notes what `id` waits for. Waits it had before are forgotten.
    pub(crate) fn note_waits(&mut self, id: ThreadId, channels: &[Channel], deadline: Option<Nanos>) {
        self.forget_waits(id);
        let Some(thread) = self.all.get_mut(id.0) else { return };
        if let Some(block) = self.blocks.get_mut(id.0 as usize)
            && block.stage == Stage::Runnable
        {
            block.stage = Stage::Waiting;
        }
        thread.channels.extend_from_slice(channels);
        thread.deadline = deadline;
        self.waiting.extend(channels.iter().map(|channel| (*channel, id)));
        self.deadlines.extend(deadline.map(|time| (time, id)));
    }

    fn forget_waits(&mut self, id: ThreadId) {
        let Some(thread) = self.all.get_mut(id.0) else { return };
        for channel in thread.channels.drain(..) {
            self.waiting.remove(&(channel, id));
        }
        if let Some(time) = thread.deadline.take() {
            self.deadlines.remove(&(time, id));
        }
    }

    /// Makes `id` runnable again; false if it was or is no more.
    pub(crate) fn end_waits(&mut self, id: ThreadId) -> bool {
        self.forget_waits(id);
        let Some(block) = self.block_mut(id).filter(|block| !block.context.is_null()) else { return false };
        core::mem::replace(&mut block.stage, Stage::Runnable) != Stage::Runnable
    }

    /// Somebody who waits for `channel`.
    pub(crate) fn waiter(&self, channel: Channel) -> Option<ThreadId> {
        let first = (channel, ThreadId(0));
        self.waiting.range(first..).next().filter(|(c, _)| *c == channel).map(|(_, id)| *id)
    }

    /// Somebody whose deadline is not after `now`.
    pub(crate) fn overdue(&self, now: Nanos) -> Option<ThreadId> {
        self.deadlines.first().filter(|(time, _)| *time <= now).map(|(_, id)| *id)
    }

    /// The earliest deadline of all.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.deadlines.first().map(|(time, _)| *time)
    }
}
