//! Signal frames on the user's stack, as the x86_64 ABI of Linux has them: `struct rt_sigframe`, the floating-point
//! state above it, the red zone above that.

use super::call::{Call, Outcome, Stop, task_of, task_of_mut};
use super::signal::*;
use crate::hw::{Hw, USER_END};
use crate::kernel::Kernel;
use crate::mm::Fault;
use crate::thread::{Registers, ThreadId};
use bailiwick_protocol::error::Errno;

/// Bytes below the stack pointer that belong to the interrupted function.
const RED_ZONE: u64 = 128;
/// Return address, `ucontext`, `siginfo`.
const FRAME: usize = 8 + UCONTEXT + 128;
const UCONTEXT: usize = 304;
const FPU: usize = 512;

// Offsets in the frame.
const AT_UCONTEXT: usize = 8;
const AT_STACK: usize = AT_UCONTEXT + 16;
const AT_REGISTERS: usize = AT_UCONTEXT + 40;
const AT_SEGMENTS: usize = AT_REGISTERS + 144;
const AT_FPU_POINTER: usize = AT_REGISTERS + 184;
const AT_MASK: usize = AT_UCONTEXT + 296;
const AT_INFO: usize = AT_UCONTEXT + UCONTEXT;

/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`
const UC_FLAGS: u64 = 6;
const SS_ONSTACK: u32 = 1;
pub(crate) const SS_DISABLE: u32 = 2;
/// Bits of MXCSR that every processor has; setting another one faults in `fxrstor`.
const MXCSR_MASK: u32 = 0xFFBF;

fn put(frame: &mut [u8; FRAME], at: usize, bytes: &[u8]) {
    if let Some(to) = frame.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// The order of registers in `struct sigcontext`.
fn in_order(r: &Registers) -> [u64; 18] {
    [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax,
        r.rcx, r.rsp, r.rip, r.rflags,
    ]
}

/// Whether `rsp` is on the alternate stack.
pub(crate) fn on_alternate(rsp: u64, (start, size): (u64, u64)) -> bool {
    size > 0 && rsp > start && rsp - start <= size
}

/// Makes `thread` run the handler of `signal` next.
///
/// # Errors
/// [`Fault`] if its stack cannot be written; nothing but the stack has changed then.
pub(crate) fn push<H: Hw>(
    k: &mut Kernel<H>,
    thread: ThreadId,
    signal: u8,
    info: SignalInfo,
    action: Action,
) -> Result<(), Fault> {
    if action.flags & SA_RESTORER == 0 {
        return Err(Fault::Denied);
    }
    let task = task_of(k, thread).map_err(|_| Fault::Unmapped)?;
    let (alternate, blocked) = (task.alternate, task.mask);
    let mask = task.saved_mask.unwrap_or(blocked);
    let found = k.threads.get(thread).ok_or(Fault::Unmapped)?;
    let (process, registers, fpu) = (found.process, *found.registers(), found.context.fpu);

    let on_it = on_alternate(registers.rsp, alternate);
    let top = if action.flags & SA_ONSTACK != 0 && alternate.1 > 0 && !on_it {
        alternate.0.saturating_add(alternate.1)
    } else {
        registers.rsp.saturating_sub(RED_ZONE)
    };
    let fpu_at = top.checked_sub(FPU as u64).ok_or(Fault::Unmapped)? & !63;
    let at = (fpu_at.checked_sub(FRAME as u64).ok_or(Fault::Unmapped)? & !15).wrapping_sub(8);

    let mut frame = [0; FRAME];
    put(&mut frame, 0, &action.restorer.to_le_bytes());
    put(&mut frame, AT_UCONTEXT, &UC_FLAGS.to_le_bytes());
    put(&mut frame, AT_STACK, &alternate.0.to_le_bytes());
    let state = match (alternate.1, on_it) {
        (0, _) => SS_DISABLE,
        (_, true) => SS_ONSTACK,
        _ => 0,
    };
    put(&mut frame, AT_STACK + 8, &state.to_le_bytes());
    put(&mut frame, AT_STACK + 16, &alternate.1.to_le_bytes());
    for (position, value) in in_order(&registers).iter().enumerate() {
        put(&mut frame, AT_REGISTERS + position * 8, &value.to_le_bytes());
    }
    put(&mut frame, AT_SEGMENTS, &(Registers::USER_CS as u16).to_le_bytes());
    put(&mut frame, AT_SEGMENTS + 6, &(Registers::USER_SS as u16).to_le_bytes());
    put(&mut frame, AT_FPU_POINTER, &fpu_at.to_le_bytes());
    put(&mut frame, AT_MASK, &mask.0.to_le_bytes());
    put(&mut frame, AT_INFO, &info.to_bytes(signal));

    k.with_memory(process, |space, s| {
        space.write(s, fpu_at, &fpu)?;
        space.write(s, at, &frame)
    })
    .ok_or(Fault::Unmapped)??;

    if let Ok(task) = task_of_mut(k, thread) {
        let own = if action.flags & SA_NODEFER == 0 { Signals::one(signal) } else { Signals::default() };
        task.mask = blocked.with(action.mask).with(own).without(Signals::UNSTOPPABLE);
        task.saved_mask = None;
    }
    if let Some(found) = k.threads.get_mut(thread) {
        let r = found.registers_mut();
        r.rsp = at;
        r.rip = action.handler.min(USER_END);
        r.rdi = u64::from(signal);
        r.rsi = at + AT_INFO as u64;
        r.rdx = at + AT_UCONTEXT as u64;
        r.rax = 0;
        r.rflags = Registers::USER_FLAGS;
        r.vector = 0;
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

impl<H: Hw> Call<'_, H> {
    /// rt_sigreturn(2): the registers, mask and alternate stack of the frame come back, whatever is in it; what
    /// ring 3 must not set is not taken over.
    pub(crate) fn sigreturn(&mut self) -> Outcome {
        let at = self.registers_mut()?.rsp;
        let context: Result<[u8; UCONTEXT], Errno> = self.read_array(at);
        let Ok(context) = context else { return self.bad_frame() };
        let offset = |at: usize| at - AT_UCONTEXT;
        let registers = |position: usize| word(&context, offset(AT_REGISTERS) + position * 8);
        let fpu_at = word(&context, offset(AT_FPU_POINTER));
        let mut fpu = None;
        if fpu_at != 0 {
            match self.read_array::<FPU>(fpu_at) {
                Ok(state) => fpu = Some(state),
                Err(_) => return self.bad_frame(),
            }
        }
        let mask = Signals(word(&context, offset(AT_MASK))).without(Signals::UNSTOPPABLE);
        let (stack, size) = (word(&context, offset(AT_STACK)), word(&context, offset(AT_STACK + 16)));
        let task = self.task_mut()?;
        task.mask = mask;
        task.alternate = (stack, size);
        let found = self.k.threads.get_mut(self.thread).ok_or(Stop::Gone)?;
        if let Some(mut state) = fpu {
            let mut mxcsr = [0; 4];
            mxcsr.copy_from_slice(&state[24..28]);
            state[24..28].copy_from_slice(&(u32::from_le_bytes(mxcsr) & MXCSR_MASK).to_le_bytes());
            found.context.fpu = state;
        }
        let r = found.registers_mut();
        [r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15] = core::array::from_fn(registers);
        [r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp] =
            core::array::from_fn(|position| registers(position + 8));
        r.rip = registers(16).min(USER_END);
        r.rflags = registers(17) & Registers::FLAGS_OF_USER | Registers::USER_FLAGS;
        (r.cs, r.ss) = (Registers::USER_CS, Registers::USER_SS);
        r.vector = 0;
        Err(Stop::Gone)
    }

    fn bad_frame(&mut self) -> Outcome {
        super::deliver::force(self.k, self.thread, SIGSEGV, SignalInfo::KERNEL);
        Err(Stop::Gone)
    }
}
