//! The kernel: all its parts together, and the doors the trap code comes in by.
//!
//! ```text
//!  trap code:  save ring 3 into the current thread's Context
//!              Kernel::syscall | page_fault | exception | tick
//!              match Kernel::next() { Run → load that Context, Idle → hlt, … }
//! ```
//!
//! A door never returns to a *particular* thread. It changes the kernel's state, and [`Kernel::next`] says who runs.

use crate::account::Charged;
use crate::cap::Capabilities;
use crate::console::Console;
use crate::container::Containers;
use crate::group::{Freezer, Groups};
use crate::hw::{Hw, Space};
use crate::ipc::Ipc;
use crate::linux;
use crate::memory::{GroupId, Memory, NoMemory};
use crate::memory::{HEAP_RESERVE, LINUX_RESERVE, Served};
use crate::mm::{Access, AddressSpace, Supply};
use crate::native;
use crate::ns::{NamespaceSet, ProcessId};
use crate::process::{PROCESSES_MAX, Process, ProcessBody, Processes};
use crate::sched::Scheduler;
use crate::thread;
use crate::thread::{Channel, Context, Registers, State, Thread, ThreadBody, ThreadId, Threads};
use crate::vfs::Vfs;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, Nanos};

/// Bytes of the `syscall` instruction: what a system call that is made again goes back by.
const SYSCALL_BYTES: u64 = 2;

/// Which convention the thread that runs next keeps for its floating-point state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Abi {
    /// System calls do not keep it: it is reset when one returns.
    Native,
    /// System calls keep it: it is saved and restored around each.
    Linux,
}

/// Who has the processor after a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// The native thread that made it, in the same address space. Its call is done, and of its registers only those
    /// have changed that every call may change: `rax`, `rdi`, `rsi`, `rdx`, and what the processor itself does.
    Same,
    /// Whoever [`Kernel::next`] says.
    Choose,
}

/// What the processor does next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Ring 3, with this context, in this address space.
    Run {
        /// The address space.
        space: Space,
        /// The context, to be loaded now and saved into at the next trap.
        context: &'a mut Context,
        /// What to do about floating-point state.
        abi: Abi,
    },
    /// Nothing, until an interrupt.
    Idle,
}

/// The kernel.
pub struct Kernel<H: Hw> {
    /// Frames, and the machine.
    pub mem: Memory<H>,
    /// Resource groups.
    pub groups: Groups,
    /// Processes.
    pub processes: Processes,
    /// Threads.
    pub threads: Threads,
    /// Who runs.
    pub sched: Scheduler,
    /// Files.
    pub vfs: Vfs,
    /// The machine's own namespaces, which processes are in that were put into no others.
    pub machine: NamespaceSet,
    /// What Linux processes have together.
    pub linux: linux::Linux,
    /// Containers.
    pub containers: Containers,
    /// The serial console.
    pub console: Console,
    /// What native processes can name.
    pub caps: Capabilities,
    /// Where they exchange messages.
    pub(crate) ipc: Ipc,
    /// The kernel's own view of files; none before [`Kernel::start_init`].
    pub host: Option<native::Host>,
    /// The first process, if it is a native one: its record stays after its end.
    pub(crate) init: Option<ProcessId>,
    pub(crate) sweeping: native::Sweeping,
    /// Why the last system call or fault got no frame, if it did not: cleared at every entry.
    pub starved: Option<NoMemory>,
    reschedule: bool,
}

/// What address spaces are made of, borrowed from the kernel's fields one by one.
macro_rules! supply {
    ($kernel:ident) => {
        Supply {
            memory: &mut $kernel.mem,
            groups: &mut $kernel.groups,
            files: &mut $kernel.vfs,
            starved: &mut $kernel.starved,
        }
    };
}

impl<H: Hw> Kernel<H> {
    /// A kernel without processes over the machine's memory; `machine` are the namespaces that came with `vfs`.
    pub fn new(mem: Memory<H>, vfs: Vfs, machine: NamespaceSet) -> Self {
        let groups = Groups::new(mem.account());
        Kernel {
            mem,
            groups,
            processes: Processes::default(),
            threads: Threads::default(),
            sched: Scheduler::default(),
            vfs,
            machine,
            linux: linux::Linux::default(),
            containers: Containers::default(),
            console: Console::default(),
            caps: Capabilities::default(),
            ipc: Ipc::default(),
            host: None,
            init: None,
            sweeping: native::Sweeping::default(),
            starved: None,
            reschedule: false,
        }
    }

    // ---- doors -----------------------------------------------------------------------------------------------

    /// The current thread executed `syscall`.
    pub fn syscall(&mut self) -> After {
        let Some(id) = self.sched.current() else { return After::Choose };
        let Some(thread) = self.threads.get(id) else { return After::Choose };
        match &thread.body {
            ThreadBody::Native(native) => {
                let made = native::Made::new(thread, native);
                native::syscall(self, id, made)
            }
            ThreadBody::Linux(_) => {
                let account = self.groups.account(thread.group);
                self.account_user(id);
                let before = self.mem.serve(Served { account, reserve: LINUX_RESERVE });
                linux::syscall(self, id);
                self.mem.serve(before);
                After::Choose
            }
        }
    }

    /// The current thread, a native one, executed `syscall` with the number of `Send`, which could not go the short way.
    pub fn send_long_way(&mut self) -> After {
        let Some(id) = self.sched.current() else { return After::Choose };
        native::send(self, id)
    }
    /// The same with the number of `ReplyReceive`.
    pub fn reply_receive_long_way(&mut self) -> After {
        let Some(id) = self.sched.current() else { return After::Choose };
        native::reply_receive(self, id)
    }

    /// What follows a call of a native thread that is done.
    #[inline]
    pub(crate) fn after_call_of(&self, id: ThreadId) -> After {
        if self.sched.current() == Some(id) && !self.reschedule { After::Same } else { After::Choose }
    }

    /// The current thread touched a page in a way its page table does not allow.
    pub fn page_fault(&mut self, address: u64, access: Access) {
        let Some(id) = self.sched.current() else { return };
        match self.threads.get(id).map(|thread| &thread.body) {
            Some(ThreadBody::Native(_)) => native::page_fault(self, id, address, access),
            Some(ThreadBody::Linux(_)) => {
                self.account_user(id);
                linux::page_fault(self, id, address, access);
            }
            None => {}
        }
    }

    /// The current thread caused another exception.
    pub fn exception(&mut self, vector: u8, error: u64) {
        let Some(id) = self.sched.current() else { return };
        match self.threads.get(id).map(|thread| &thread.body) {
            Some(ThreadBody::Native(_)) => native::exception(self, id, vector),
            Some(ThreadBody::Linux(_)) => {
                self.account_user(id);
                linux::exception(self, id, vector, error);
            }
            None => {}
        }
    }

    /// The timer ticked, in ring 3 or while idle.
    pub fn tick(&mut self) {
        if let Some(id) = self.sched.current() {
            self.account_user(id);
        }
        let now = self.mem.hw.now();
        self.sched.account(&mut self.groups, &mut self.threads, now);
        self.sched.renew(&mut self.groups, now);
        while let Some(id) = self.threads.overdue(now) {
            self.wake_thread(id);
        }
        self.end_overdue_hooks();
        self.console_input();
        self.reschedule = true;
    }

    /// There may be input on the serial console.
    pub fn console_input(&mut self) {
        if self.console.fill(&mut self.mem.hw) {
            linux::console_input(self);
            self.wake(Channel::Console);
            if let Some((notification, bits)) = self.console.watch.filter(|_| !self.console.is_empty()) {
                self.signal_notification(notification, bits);
            }
        }
    }

    /// Who runs now.
    #[allow(clippy::should_implement_trait, reason = "it is no iterator: what it gives is lent")]
    pub fn next(&mut self) -> Next<'_> {
        let Some(id) = self.choose() else { return Next::Idle };
        let process = self.threads.get(id).and_then(|thread| self.processes.get(thread.process));
        let space = process.and_then(|process| process.memory.as_ref()).map(AddressSpace::space);
        match (space, self.threads.get_mut(id)) {
            (Some(space), Some(thread)) => {
                let abi = match thread.body {
                    ThreadBody::Native(_) => Abi::Native,
                    ThreadBody::Linux(_) => Abi::Linux,
                };
                Next::Run { space, context: &mut thread.context, abi }
            }
            _ => Next::Idle,
        }
    }

    fn choose(&mut self) -> Option<ThreadId> {
        loop {
            let id = match self.sched.current() {
                Some(id) if !self.reschedule => id,
                _ => self.reschedule()?,
            };
            match self.threads.get(id).map(|thread| &thread.body) {
                Some(ThreadBody::Native(_)) => return Some(id),
                Some(ThreadBody::Linux(_)) => linux::before_user(self, id),
                None => {}
            }
            if self.sched.current() == Some(id) && !self.reschedule {
                let now = self.mem.hw.now();
                self.sched.account(&mut self.groups, &mut self.threads, now);
                return Some(id);
            }
        }
    }

    fn reschedule(&mut self) -> Option<ThreadId> {
        self.reschedule = false;
        let now = self.mem.hw.now();
        self.sched.account(&mut self.groups, &mut self.threads, now);
        self.sched.put_back(&mut self.groups, &mut self.threads);
        self.sched.pick(&mut self.groups, &mut self.threads)
    }

    /// What passed since the last look was spent in ring 3.
    fn account_user(&mut self, id: ThreadId) {
        let before = self.threads.get(id).map_or(0, |thread| thread.cpu);
        let now = self.mem.hw.now();
        self.sched.account(&mut self.groups, &mut self.threads, now);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.cpu_user += thread.cpu - before;
        }
    }

    // ---- waiting ---------------------------------------------------------------------------------------------

    /// Makes `id` wait for any of `channels` or until `deadline`. Its system call is undone and will be made again,
    /// with the same registers, after any of them: being woken means that it is worth looking again.
    pub fn wait_on(&mut self, id: ThreadId, channels: &[Channel], deadline: Option<Nanos>) {
        if let Some(thread) = self.threads.get_mut(id) {
            let registers = thread.registers_mut();
            if registers.vector == Registers::SYSCALL {
                registers.rip = registers.rip.wrapping_sub(SYSCALL_BYTES);
            }
        }
        self.threads.note_waits(id, channels, deadline);
        self.leave(id);
    }

    /// Takes the processor from a thread that has just begun to wait.
    pub(crate) fn leave(&mut self, id: ThreadId) {
        if self.sched.current() == Some(id) {
            let now = self.mem.hw.now();
            self.sched.account(&mut self.groups, &mut self.threads, now);
            self.sched.drop_current(id);
        }
    }

    /// Wakes everybody who waits for `channel`.
    pub fn wake(&mut self, channel: Channel) {
        while let Some(id) = self.threads.waiter(channel) {
            self.wake_thread(id);
        }
    }

    /// Wakes one thread, whatever it waits for.
    pub fn wake_thread(&mut self, id: ThreadId) {
        if self.threads.end_waits(id) {
            self.sched.enqueue(&mut self.groups, &mut self.threads, id);
        }
    }

    /// Lets others run before the current thread goes on.
    pub fn yield_now(&mut self) {
        self.reschedule = true;
    }

    /// Freezes or thaws a group and all below it. When it is frozen none of its threads runs.
    pub fn set_freezer(&mut self, group: GroupId, freezer: Freezer) {
        self.groups.set_freezer(group, freezer);
        match freezer {
            Freezer::Thawed => self.sched.thawed(&mut self.groups, group),
            Freezer::Frozen => self.reschedule = true,
        }
    }

    // ---- processes -------------------------------------------------------------------------------------------

    /// Whether the kernel has room for another object.
    ///
    /// # Errors
    /// `ENOMEM` if its heap is nearly full.
    #[inline]
    pub fn room(&self) -> Result<(), Errno> {
        self.mem.room()
    }

    /// Takes so many bytes of the kernel's heap for an object, which whoever the kernel works for pays.
    ///
    /// # Errors
    /// `ENOMEM` at a limit of who pays, and if the heap is nearly full.
    pub(crate) fn charge(&self, bytes: usize) -> Result<Charged, Errno> {
        self.mem.charge(bytes)
    }

    /// Does something for `group`, which pays for the objects that are made.
    pub(crate) fn on_behalf_of<T>(&mut self, group: GroupId, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.mem.serve(Served { account: self.groups.account(group), reserve: HEAP_RESERVE });
        let done = work(self);
        self.mem.serve(before);
        done
    }

    /// Makes a process without threads, with an empty address space, in `group`.
    ///
    /// # Errors
    /// `EAGAIN` if a group's pids limit or the kernel's own is reached; `ENOMEM` if memory is.
    pub fn create_process(&mut self, group: GroupId, body: ProcessBody) -> Result<ProcessId, Errno> {
        self.room()?;
        if self.processes.count() >= PROCESSES_MAX {
            return Err(Errno::EAGAIN);
        }
        let charged = self.charge_process(group, &body)?;
        let Ok(memory) = self.on_behalf_of(group, |k| AddressSpace::new(&mut supply!(k), group)) else {
            self.groups.uncharge_pid(group);
            return Err(Errno::ENOMEM);
        };
        Ok(self.insert_process(memory, body, charged))
    }

    /// Makes a process of an address space that is there already (fork(2) made it).
    ///
    /// # Errors
    /// As [`Kernel::create_process`], with everything given back to the caller.
    pub fn adopt_process(
        &mut self,
        memory: AddressSpace,
        body: ProcessBody,
    ) -> Result<ProcessId, (AddressSpace, ProcessBody, Errno)> {
        let group = memory.group();
        let charged = if self.processes.count() >= PROCESSES_MAX {
            Err(Errno::EAGAIN)
        } else {
            self.room().and_then(|()| self.charge_process(group, &body))
        };
        match charged {
            Ok(charged) => Ok(self.insert_process(memory, body, charged)),
            Err(errno) => Err((memory, body, errno)),
        }
    }

    /// Counts a process of `group`, and what it takes of the kernel's heap.
    fn charge_process(&mut self, group: GroupId, body: &ProcessBody) -> Result<Charged, Errno> {
        let price = Process::price(body);
        let charged = Charged::new(&self.groups.account(group), price).map_err(|_| Errno::ENOMEM)?;
        self.groups.charge_pid(group)?;
        Ok(charged)
    }

    fn insert_process(&mut self, memory: AddressSpace, body: ProcessBody, charged: Charged) -> ProcessId {
        let group = memory.group();
        let started = self.mem.hw.now().0;
        self.processes.insert(Process {
            group,
            memory: Some(memory),
            threads: Vec::new(),
            exit: None,
            started,
            cpu_of_ended: 0,
            body,
            charged,
        })
    }

    /// What address spaces are made of.
    pub(crate) fn supply(&mut self) -> Supply<'_, H> {
        supply!(self)
    }

    /// Lends a process's address space together with what it is made of; none if the process has ended.
    pub fn with_memory<T>(
        &mut self,
        process: ProcessId,
        work: impl FnOnce(&mut AddressSpace, &mut Supply<'_, H>) -> T,
    ) -> Option<T> {
        let memory = self.processes.get_mut(process)?.memory.as_mut()?;
        Some(work(memory, &mut supply!(self)))
    }

    /// Replaces a process's address space (execve(2)) and gives the old one back.
    pub fn replace_memory(&mut self, process: ProcessId, new: AddressSpace) -> Option<AddressSpace> {
        self.processes.get_mut(process)?.memory.replace(new)
    }

    /// Makes a thread in `process`. It waits until [`Kernel::wake_thread`].
    ///
    /// # Errors
    /// `EAGAIN` at a limit, `ENOMEM`, `ESRCH` if the process has ended.
    pub fn create_thread(
        &mut self,
        process: ProcessId,
        context: Context,
        body: ThreadBody,
    ) -> Result<ThreadId, Errno> {
        self.room()?;
        if !self.threads.has_room() {
            return Err(Errno::EAGAIN);
        }
        let found = self.processes.get_mut(process).filter(|p| p.exit.is_none()).ok_or(Errno::ESRCH)?;
        let group = found.group;
        let charged = Charged::new(&self.groups.account(group), thread::PRICE).map_err(|_| Errno::ENOMEM)?;
        // The process itself was counted when it was made: that is its first thread.
        if !found.threads.is_empty() {
            self.groups.charge_pid(group)?;
        }
        let id = self.threads.insert(Thread::new(process, group, context, body, charged));
        found.threads.push(id);
        Ok(id)
    }

    /// Ends one thread. The process ends with its last one, as if by `exit`.
    pub fn end_thread(&mut self, id: ThreadId, exit: Exit) {
        let Some(process) = self.threads.get(id).map(|thread| thread.process) else { return };
        if self.processes.get(process).is_some_and(|p| p.threads.as_slice() == [id]) {
            return self.end_process(process, exit);
        }
        self.remove_thread(id);
        if let Some(group) = self.processes.get(process).map(|p| p.group) {
            self.groups.uncharge_pid(group);
        }
    }

    fn remove_thread(&mut self, id: ThreadId) {
        // Whatever it has spent is on its account before it goes.
        let now = self.mem.hw.now();
        self.sched.account(&mut self.groups, &mut self.threads, now);
        native::thread_ended(self, id);
        linux::thread_ended(self, id);
        self.sched.forget(&mut self.groups, &mut self.threads, id);
        if let Some(thread) = self.threads.remove(id)
            && let Some(process) = self.processes.get_mut(thread.process)
        {
            process.threads.retain(|other| *other != id);
            process.cpu_of_ended += thread.cpu;
        }
    }

    /// Ends a process: its threads are no more, its memory is free, whoever waits is told. Ended ones stay ended.
    pub fn end_process(&mut self, id: ProcessId, exit: Exit) {
        let Some(process) = self.processes.get_mut(id).filter(|p| p.exit.is_none()) else { return };
        process.exit = Some(exit);
        let (group, threads) = (process.group, process.threads.clone());
        let is_native = matches!(process.body, ProcessBody::Native(_));
        for (at, thread) in threads.into_iter().enumerate() {
            self.remove_thread(thread);
            if at > 0 {
                self.groups.uncharge_pid(group);
            }
        }
        if let Some(memory) = self.processes.get_mut(id).and_then(|process| process.memory.take()) {
            memory.destroy(&mut supply!(self));
        }
        if is_native {
            native::ended(self, id);
        } else {
            linux::ended(self, id);
        }
        self.container_process_ended(id);
        self.wake(Channel::Process(id));
    }

    /// Forgets a process that has ended: nobody will ask for its exit any more.
    pub fn forget_process(&mut self, id: ProcessId) {
        if self.processes.get(id).is_some_and(|process| process.exit.is_some())
            && let Some(process) = self.processes.remove(id)
        {
            self.groups.uncharge_pid(process.group);
        }
    }

    /// Whether a thread is runnable: it runs or waits for the processor only.
    pub fn is_runnable(&self, id: ThreadId) -> bool {
        self.threads.state(id) == State::Runnable
    }
}
