//! Between ring 3 and the kernel: what the stubs of `trap.s` call, and what ring 3 is left to.

use crate::machine::Machine;
use crate::one_cpu::OneCpu;
use crate::{ISOLATION, cpu, image, power, timer};
use bailiwick_abi::{Call, Handle, MESSAGE_MAX, MessageInfo, SMALL_MAX};
use bailiwick_kernel_core::first::First;
use bailiwick_kernel_core::hw::USER_END;
use bailiwick_kernel_core::ipc::{Missed, Switch};
use bailiwick_kernel_core::kernel::{Abi, After, Kernel, Next};
use bailiwick_kernel_core::mm::Access;
use bailiwick_kernel_core::thread::{Context, Registers};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::ptr::addr_of_mut;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::registers::model_specific::{FsBase, KernelGsBase};

const PAGE_FAULT: u8 = 14;
const GENERAL_PROTECTION: u8 = 13;
/// Bits of a page fault's error code.
const WRITE: u64 = 2;
const USER: u64 = 4;
const RESERVED: u64 = 8;
const FETCH: u64 = 16;

/// What the stubs find through `gs`.
#[repr(C)]
struct Door {
    /// Where `ss` of the current thread's registers is: what is pushed here first is its stack pointer.
    top: u64,
    scratch: u64,
    kernel_stack: u64,
    /// Where a system call saves floating-point state; 0 if its thread does not keep it.
    keep_fpu: u64,
    /// The number of the call that may go the short way, if the current thread is a native one.
    short_send: u64,
    /// The number of the other.
    short_reply: u64,
    /// What the short way is given.
    kernel: *mut Running,
    /// With isolation, the root of the tables with which the kernel runs,
    kernel_tables: u64,
    /// and of those of the current thread.
    user_tables: u64,
    /// Where the registers are, at the end of the trap stack, that are loaded last.
    last_registers: u64,
}

/// Bytes of the registers that are loaded from the trap stack: rax, and what `iretq` takes.
const LAST_REGISTERS: u64 = 6 * 8;

/// No system call has this number.
const NO_NUMBER: u64 = u64::MAX;

/// Which way messages may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Messages {
    /// The short one, where it serves.
    Short,
    /// The long one, always: to find out what the short one is good for.
    Long,
}

impl Messages {
    /// What the boot parameter `messages=long` says.
    pub(crate) fn asked_for(command_line: &[u8]) -> Messages {
        let mut words = command_line.split(|byte| *byte == b' ');
        if words.any(|word| word == b"messages=long") { Messages::Long } else { Messages::Short }
    }
}

#[unsafe(link_section = ".data.entry")]
static DOOR: OneCpu<Door> = OneCpu::new(Door {
    top: 0,
    scratch: 0,
    kernel_stack: 0,
    keep_fpu: 0,
    short_send: NO_NUMBER,
    short_reply: NO_NUMBER,
    kernel: core::ptr::null_mut(),
    kernel_tables: 0,
    user_tables: 0,
    last_registers: 0,
});

/// What a native thread finds in the floating-point unit after a system call: nothing of anybody's.
static CLEAN: Context = Context::new(0, 0);

/// Distance from the start of a context to where `ss` is.
const TOP: usize = offset_of!(Context, registers) + offset_of!(Registers, ss);
/// The length in a [`MessageInfo`],
const LENGTH_MASK: usize = 2 * MESSAGE_MAX - 1;
const _: () = assert!(MessageInfo(u64::MAX).length() == LENGTH_MASK);
/// and the number of capabilities.
const CAPABILITIES_MASK: u64 = MessageInfo::new(0).with_capabilities(7).0;
/// What the short way returns is a context, and an interrupt saves floating-point state at its start.
const _: () = assert!(offset_of!(Context, fpu) == 0);

/// From where `rsp` is saved to where another register is.
macro_rules! from_rsp {
    ($register:ident) => {
        offset_of!(Registers, $register) as isize - offset_of!(Registers, rsp) as isize
    };
}

/// The kernel, once it runs.
static RUNNING: OneCpu<Option<Running>> = OneCpu::new(None);

struct Running {
    kernel: Kernel<Machine>,
    first: First,
    messages: Messages,
    /// When segments were last loaded, and with which bases.
    loaded: Option<Segments>,
}

/// What ring 3 reaches through segment registers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Segments {
    /// How often the processor had changed hands: another thread may have left its own selectors. A message that goes
    /// the short way does not count. It goes from one native thread to another, which both have bases of 0, whatever
    /// selectors they load: the one that is left may see those of the other, and nothing else.
    switches: u64,
    fs_base: u64,
    gs_base: u64,
}

/// What `return_to_user` loads; null for registers if a native thread's system call is over and it goes on.
#[repr(C)]
pub(crate) struct Return {
    registers: *mut Registers,
    fpu: *const u8,
}

impl Return {
    const TO_SAME: Return = Return { registers: core::ptr::null_mut(), fpu: core::ptr::null() };
}

global_asm!(
    include_str!("trap.s"),
    top = const offset_of!(Door, top),
    scratch = const offset_of!(Door, scratch),
    kernel_stack = const offset_of!(Door, kernel_stack),
    keep_fpu = const offset_of!(Door, keep_fpu),
    short_send = const offset_of!(Door, short_send),
    short_reply = const offset_of!(Door, short_reply),
    kernel = const offset_of!(Door, kernel),
    isolation = const ISOLATION as u64,
    door = sym DOOR,
    kernel_tables = const offset_of!(Door, kernel_tables),
    user_tables = const offset_of!(Door, user_tables),
    last_registers = const offset_of!(Door, last_registers),
    top_of_context = const TOP,
    rax = const from_rsp!(rax),
    rbx = const from_rsp!(rbx),
    rdx = const from_rsp!(rdx),
    rsi = const from_rsp!(rsi),
    rdi = const from_rsp!(rdi),
    rbp = const from_rsp!(rbp),
    r8 = const from_rsp!(r8),
    r9 = const from_rsp!(r9),
    r10 = const from_rsp!(r10),
    r12 = const from_rsp!(r12),
    r13 = const from_rsp!(r13),
    r14 = const from_rsp!(r14),
    r15 = const from_rsp!(r15),
    vector = const from_rsp!(vector),
    rip = const from_rsp!(rip),
    rflags = const from_rsp!(rflags),
    send = const Call::Send as u64,
    reply_receive = const Call::ReplyReceive as u64,
    clean = sym CLEAN,
    small_max = const SMALL_MAX,
    length_mask = const LENGTH_MASK,
    arrives_mask = const LENGTH_MASK as u64 | CAPABILITIES_MASK,
    fast_send = sym fast_send,
    fast_send_other = sym fast_send_other,
    send_across = sym send_across,
    send_long_way = sym send_long_way,
    fast_reply_receive = sym fast_reply_receive,
    fast_reply_receive_other = sym fast_reply_receive_other,
    reply_receive_across = sym reply_receive_across,
    reply_receive_long_way = sym reply_receive_long_way,
    spurious = const timer::SPURIOUS,
    end_of_interrupt = const timer::END_OF_INTERRUPT,
    vectors = const cpu::VECTORS,
    system_call = sym system_call,
    interrupted = sym interrupted,
    kernel_fault = sym kernel_fault,
);

unsafe extern "C" {
    safe static interrupt_stubs: u8;
    fn syscall_entry();
    fn return_to_user();
}

/// Bytes from one stub to the next.
const STUB: u64 = 16;

/// Where a trap with this vector goes.
pub(crate) fn stub_address(vector: u8) -> u64 {
    core::ptr::from_ref(&interrupt_stubs) as u64 + STUB * u64::from(vector)
}
/// Where a system call goes.
pub(crate) fn syscall_address() -> u64 {
    syscall_entry as *const () as u64
}
/// What the kernel's `gs` points to.
pub(crate) fn door_address() -> u64 {
    DOOR.pointer() as u64
}

/// With which tables the kernel runs, if ring 3 has others.
pub(crate) fn set_kernel_tables(root: u64) {
    // SAFETY: nobody has a reference to the door but who is in the middle of setting up all of it.
    unsafe { (*DOOR.pointer()).kernel_tables = root };
}
/// With which tables ring 3 runs, if the kernel has others.
pub(crate) fn set_user_tables(root: u64) {
    // SAFETY: as above.
    unsafe { (*DOOR.pointer()).user_tables = root };
}

/// Leaves ring 0 to the threads of `kernel`. `first` is the program whose end is the machine's.
pub(crate) fn run(kernel: Kernel<Machine>, first: First, messages: Messages) -> ! {
    let [kernel_stack, trap_stack, _] = image::stack_ends();
    // SAFETY: nothing of the kernel has a reference to these statics before this, the one call.
    let running = unsafe {
        let running = (*RUNNING.pointer()).insert(Running { kernel, first, messages, loaded: None });
        let pointer = core::ptr::from_mut(running);
        let door = &mut *DOOR.pointer();
        (door.kernel_stack, door.kernel) = (kernel_stack, pointer);
        door.last_registers = trap_stack - LAST_REGISTERS;
        running
    };
    let to = running.leave();
    // SAFETY: what is loaded is a thread's, checked by `leave`; nothing on this stack is needed any more.
    unsafe {
        asm!(
            "mov rsp, {stack}", "jmp {go}",
            stack = in(reg) kernel_stack, go = sym return_to_user,
            in("rax") to.registers, in("rdx") to.fpu, options(noreturn)
        )
    }
}

/// The kernel that was interrupted by ring 3.
///
/// # Safety
/// Called by the stubs only, at most once for each way in: then no other reference to it is alive.
unsafe fn running() -> &'static mut Running {
    // SAFETY: as promised by the caller.
    match unsafe { (*RUNNING.pointer()).as_mut() } {
        Some(running) => running,
        None => power::die(format_args!("ring 3 before the start")),
    }
}

/// Where a message went the short way: the context to go on with. Null if it did not go, and [`Went::TO_ANOTHER_GROUP`]
/// if that is because the other is of another group.
#[repr(transparent)]
pub(crate) struct Went(*mut Context);

impl Went {
    const NOWHERE: Went = Went(core::ptr::null_mut());
    /// At this address there is no context.
    const TO_ANOTHER_GROUP: Went = Went(core::ptr::without_provenance_mut(1));
}

impl Running {
    #[inline(always)]
    fn go_on_with(&mut self, switch: Result<Switch, Missed>) -> Went {
        match switch {
            Ok(switch) => {
                // SAFETY: it stays as long as its thread, which is the current one, and nobody has a reference to it.
                unsafe { (*switch.context).registers.rdi = switch.badge };
                self.kernel.mem.hw.load_space(switch.tables);
                Went(switch.context)
            }
            Err(Missed::TwoGroups) => Went::TO_ANOTHER_GROUP,
            Err(Missed::Otherwise) => Went::NOWHERE,
        }
    }
}

extern "C" fn fast_send(handle: Handle, _: MessageInfo, running: &mut Running) -> Went {
    let switch = running.kernel.fast_send(handle);
    running.go_on_with(switch)
}
extern "C" fn fast_send_other(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if !info.is_small() {
        return fast_send_long(handle, info, running);
    }
    let switch = running.kernel.fast_send_offering(handle, info);
    running.go_on_with(switch)
}
/// Apart, so that others pay for no register that is used here.
#[inline(never)]
extern "C" fn fast_send_long(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if info.capabilities() > 0 {
        return fast_send_capability(handle, info, running);
    }
    let switch = running.kernel.fast_send_long(handle, info);
    running.go_on_with(switch)
}
#[inline(never)]
extern "C" fn fast_send_capability(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if !info.is_small_with_one() {
        return send_any(handle, info, running);
    }
    let switch = running.kernel.fast_send_capability(handle, info);
    running.go_on_with(switch)
}
extern "C" fn send_across(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if !info.is_small() {
        return send_any(handle, info, running);
    }
    match running.kernel.send_across(handle, info) {
        Err(Missed::TwoGroups) => send_any(handle, info, running),
        switch => running.go_on_with(switch),
    }
}
#[inline(never)]
extern "C" fn send_any(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    let switch = running.kernel.send_any(handle, info);
    running.go_on_with(switch)
}

extern "C" fn fast_reply_receive(handle: Handle, _: MessageInfo, running: &mut Running) -> Went {
    let switch = running.kernel.fast_reply_receive(handle);
    running.go_on_with(switch)
}
extern "C" fn fast_reply_receive_other(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if !info.is_small() {
        return fast_reply_receive_long(handle, info, running);
    }
    let switch = running.kernel.fast_reply_receive_offering(handle, info);
    running.go_on_with(switch)
}
#[inline(never)]
extern "C" fn fast_reply_receive_long(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if info.capabilities() > 0 {
        return fast_reply_receive_capability(handle, info, running);
    }
    let switch = running.kernel.fast_reply_receive_long(handle, info);
    running.go_on_with(switch)
}
#[inline(never)]
extern "C" fn fast_reply_receive_capability(
    handle: Handle,
    info: MessageInfo,
    running: &mut Running,
) -> Went {
    if !info.is_small_with_one() {
        return reply_receive_any(handle, info, running);
    }
    let switch = running.kernel.fast_reply_receive_capability(handle, info);
    running.go_on_with(switch)
}
extern "C" fn reply_receive_across(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    if !info.is_small() {
        return reply_receive_any(handle, info, running);
    }
    match running.kernel.reply_receive_across(handle, info) {
        Err(Missed::TwoGroups) => reply_receive_any(handle, info, running),
        switch => running.go_on_with(switch),
    }
}
#[inline(never)]
extern "C" fn reply_receive_any(handle: Handle, info: MessageInfo, running: &mut Running) -> Went {
    let switch = running.kernel.reply_receive_any(handle, info);
    running.go_on_with(switch)
}

/// The current thread's `Send` could not go the short way.
extern "C" fn send_long_way() -> Return {
    // SAFETY: called by the stub of system calls, once; what was tried before has come back.
    let running = unsafe { running() };
    let after = running.kernel.send_long_way();
    running.after(after)
}
/// The current thread's `ReplyReceive` could not.
extern "C" fn reply_receive_long_way() -> Return {
    // SAFETY: as above.
    let running = unsafe { running() };
    let after = running.kernel.reply_receive_long_way();
    running.after(after)
}

extern "C" fn system_call() -> Return {
    // SAFETY: called by the stub of system calls, once.
    let running = unsafe { running() };
    let Some(number) = running.kernel.native_call() else { return other_call(running) };
    if number == NULL {
        running.kernel.null_call();
        return Return::TO_SAME;
    }
    numbered_call(running, number)
}

/// Apart, so that a call that does nothing pays for no register that is used here.
#[inline(never)]
fn numbered_call(running: &mut Running, number: u64) -> Return {
    match number {
        DERIVE => derive_call(running),
        DELETE => delete_call(running),
        REVOKE => revoke_call(running),
        _ => other_call(running),
    }
}

const NULL: u64 = Call::Null as u64;
const DERIVE: u64 = Call::Derive as u64;
const DELETE: u64 = Call::Delete as u64;
const REVOKE: u64 = Call::Revoke as u64;

#[inline(never)]
fn derive_call(running: &mut Running) -> Return {
    let after = running.kernel.derive_call();
    running.after(after)
}
#[inline(never)]
fn delete_call(running: &mut Running) -> Return {
    let after = running.kernel.delete_call();
    running.after(after)
}
#[inline(never)]
fn revoke_call(running: &mut Running) -> Return {
    let after = running.kernel.revoke_call();
    running.after(after)
}
#[inline(never)]
fn other_call(running: &mut Running) -> Return {
    let after = running.kernel.syscall();
    running.after(after)
}

/// `registers` are those of the current thread, in its context.
extern "C" fn interrupted(registers: *const Registers) -> Return {
    // SAFETY: the stub has just filled them, and nobody has a reference to them.
    let (vector, error, rip) = unsafe { ((*registers).vector as u8, (*registers).error, (*registers).rip) };
    let address = Cr2::read_raw();
    // SAFETY: called by the stub of interrupts from ring 3, once.
    let running = unsafe { running() };
    match vector {
        timer::TICK => {
            timer::end_of_interrupt();
            running.tick();
        }
        timer::SPURIOUS => {}
        // The processor's own access, on behalf of an instruction that ring 3 has no business with.
        PAGE_FAULT if error & (RESERVED | USER) == 0 => running.kernel.exception(GENERAL_PROTECTION, 0),
        PAGE_FAULT if error & RESERVED == 0 => {
            running.kernel.page_fault(address, access(error));
        }
        vector if cpu::FATAL.contains(&vector) || vector == PAGE_FAULT => {
            power::die(format_args!("exception {vector} in ring 3 at {rip:#x}, error {error:#x}"))
        }
        vector if vector < timer::TICK => running.kernel.exception(vector, error),
        _ => timer::end_of_interrupt(),
    }
    running.leave()
}

fn access(error: u64) -> Access {
    match error {
        error if error & FETCH != 0 => Access::Execute,
        error if error & WRITE != 0 => Access::Write,
        _ => Access::Read,
    }
}

/// A trap in ring 0: a mistake of the kernel.
extern "C" fn kernel_fault(registers: *const Registers) -> ! {
    // SAFETY: the stub has just filled them, on the trap stack.
    let registers = unsafe { &*registers };
    power::die(format_args!(
        "exception {} at {:#x}, error {:#x}, address {:#x}, stack {:#x}",
        registers.vector,
        registers.rip,
        registers.error,
        Cr2::read_raw(),
        registers.rsp
    ))
}

impl Running {
    /// Powers off if the first program has ended.
    fn look(&mut self) {
        if let Some(ended) = self.first.look(&mut self.kernel) {
            power::say(format_args!("{ended}"));
            power::off(ended.status());
        }
    }

    fn tick(&mut self) {
        self.kernel.tick();
        self.look();
    }

    #[inline(always)]
    fn after(&mut self, after: After) -> Return {
        match after {
            // It is in its own address space, and where it goes on is where it came from.
            After::Same => Return::TO_SAME,
            After::Choose => self.leave(),
        }
    }

    /// Finds out who runs next and prepares the processor for it.
    fn leave(&mut self) -> Return {
        loop {
            if self.first.is_watched() {
                self.look();
            }
            let (space, context, abi) = match self.kernel.next() {
                Next::Idle => {
                    cpu::wait_for_interrupt();
                    self.tick();
                    continue;
                }
                Next::Run { space, context, abi } => (space, context as *mut Context, abi),
            };
            // SAFETY: the kernel has just lent it, and is not used before `prepare` is done.
            if let Some(to) = self.prepare(unsafe { &mut *context }, abi) {
                self.kernel.mem.hw.load_space(space);
                return to;
            }
            // It would fault on its way into ring 3.
            self.kernel.exception(GENERAL_PROTECTION, 0);
        }
    }

    /// Makes the processor ready for a thread; none if it cannot go where it wants to.
    fn prepare(&mut self, context: &mut Context, abi: Abi) -> Option<Return> {
        let registers = &mut context.registers;
        if registers.rip >= USER_END {
            return None;
        }
        registers.cs = Registers::USER_CS;
        registers.ss = Registers::USER_SS;
        registers.rflags = registers.rflags & Registers::FLAGS_OF_USER | Registers::USER_FLAGS;
        let switches = self.kernel.sched.switches();
        let wanted = Segments { switches, fs_base: context.fs_base, gs_base: context.gs_base };
        if self.loaded != Some(wanted) {
            self.loaded = Some(wanted);
            wanted.load();
        }
        let after_call = context.registers.vector == Registers::SYSCALL;
        let fpu = context.fpu.as_mut_ptr();
        // SAFETY: the stubs use the door only after the return to ring 3.
        let door = unsafe { &mut *DOOR.pointer() };
        door.top = addr_of_mut!(context.registers.ss) as u64;
        (door.keep_fpu, door.short_send, door.short_reply) = match abi {
            Abi::Linux => (fpu as u64, NO_NUMBER, NO_NUMBER),
            Abi::Native if self.messages == Messages::Long => (0, NO_NUMBER, NO_NUMBER),
            Abi::Native => (0, Call::Send as u64, Call::ReplyReceive as u64),
        };
        let clean = CLEAN.fpu.as_ptr();
        Some(Return {
            registers: addr_of_mut!(context.registers),
            fpu: if abi == Abi::Native && after_call { clean } else { fpu },
        })
    }
}

impl Segments {
    fn load(self) {
        // SAFETY: null selectors mean nothing but zero bases, and the kernel's own gs is out of reach meanwhile: it
        // is swapped away and back, with no way in between.
        unsafe {
            asm!(
                "mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "swapgs", "mov gs, {0:e}", "swapgs",
                in(reg) 0, options(nomem, nostack, preserves_flags)
            );
        }
        FsBase::write(VirtAddr::try_new(self.fs_base).unwrap_or(VirtAddr::zero()));
        KernelGsBase::write(VirtAddr::try_new(self.gs_base).unwrap_or(VirtAddr::zero()));
    }
}
