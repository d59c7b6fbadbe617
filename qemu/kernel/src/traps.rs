//! Between ring 3 and the kernel: what the stubs of `trap.s` call, and what ring 3 is left to.

use crate::machine::Machine;
use crate::one_cpu::OneCpu;
use crate::{cpu, image, power, timer};
use bailiwick_kernel_core::first::First;
use bailiwick_kernel_core::hw::USER_END;
use bailiwick_kernel_core::kernel::{Abi, Kernel, Next};
use bailiwick_kernel_core::mm::Access;
use bailiwick_kernel_core::thread::{Context, Registers};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::ptr::addr_of_mut;
use spin::Once;
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
    /// The end of the current thread's registers: they are pushed there.
    registers_end: u64,
    scratch: u64,
    kernel_stack: u64,
    /// Where a system call saves floating-point state; 0 if its thread does not keep it.
    keep_fpu: u64,
    /// Where an interrupt does.
    interrupted_fpu: u64,
}

static DOOR: OneCpu<Door> =
    OneCpu::new(Door { registers_end: 0, scratch: 0, kernel_stack: 0, keep_fpu: 0, interrupted_fpu: 0 });

/// What a native thread finds in the floating-point unit after a system call: nothing of anybody's.
static CLEAN: Once<Context> = Once::new();

/// The kernel, once it runs.
static RUNNING: OneCpu<Option<Running>> = OneCpu::new(None);

struct Running {
    kernel: Kernel<Machine>,
    first: First,
    /// When segments were last loaded, and with which bases.
    loaded: Option<Segments>,
}

/// What ring 3 reaches through segment registers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Segments {
    /// How often the processor had changed hands: another thread may have left its own selectors.
    switches: u64,
    fs_base: u64,
    gs_base: u64,
}

/// What `return_to_user` loads.
#[repr(C)]
pub(crate) struct Return {
    registers: *mut Registers,
    fpu: *const u8,
}

global_asm!(
    include_str!("trap.s"),
    registers_end = const offset_of!(Door, registers_end),
    scratch = const offset_of!(Door, scratch),
    kernel_stack = const offset_of!(Door, kernel_stack),
    keep_fpu = const offset_of!(Door, keep_fpu),
    interrupted_fpu = const offset_of!(Door, interrupted_fpu),
    user_ss = const Registers::USER_SS,
    user_cs = const Registers::USER_CS,
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

/// Leaves ring 0 to the threads of `kernel`. `first` is the program whose end is the machine's.
pub(crate) fn run(kernel: Kernel<Machine>, first: First) -> ! {
    let [kernel_stack, ..] = image::stack_ends();
    // SAFETY: nothing of the kernel has a reference to these statics before this, the one call.
    let running = unsafe {
        (*DOOR.pointer()).kernel_stack = kernel_stack;
        (*RUNNING.pointer()).insert(Running { kernel, first, loaded: None })
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

extern "C" fn system_call() -> Return {
    // SAFETY: called by the stub of system calls, once.
    let running = unsafe { running() };
    running.kernel.syscall();
    running.leave()
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
        door.registers_end = addr_of_mut!(context.registers) as u64 + size_of::<Registers>() as u64;
        door.interrupted_fpu = fpu as u64;
        door.keep_fpu = if abi == Abi::Linux { fpu as u64 } else { 0 };
        let clean = CLEAN.call_once(|| Context::new(0, 0)).fpu.as_ptr();
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
