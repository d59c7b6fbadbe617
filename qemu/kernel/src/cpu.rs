//! The processor: what it can do, its descriptor tables, how it comes into the kernel.

use crate::image;
use crate::one_cpu::OneCpu;
use crate::traps;
use bailiwick_kernel_core::thread::Registers;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{GsBase, KernelGsBase, LStar, SFMask, Star};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

const KERNEL_CS: SegmentSelector = SegmentSelector::new(2, PrivilegeLevel::Ring0);
const KERNEL_SS: SegmentSelector = SegmentSelector::new(3, PrivilegeLevel::Ring0);
/// What the processor counts from for `sysret`: the data segment is the next descriptor, the code segment the one
/// after.
const USER_BASE: u16 = 0x23;
const TSS: SegmentSelector = SegmentSelector::new(7, PrivilegeLevel::Ring0);
const _: () = assert!(USER_BASE + 8 == Registers::USER_SS as u16);
const _: () = assert!(USER_BASE + 16 == Registers::USER_CS as u16);

/// Vectors with an entry in the interrupt table: exceptions, and what the local interrupt controller sends.
pub(crate) const VECTORS: usize = 64;
/// Position in the task state of the stack on which traps arrive, and of the one for what must not happen.
const TRAP_STACK: u8 = 1;
const FATAL_STACK: u8 = 2;
/// Exceptions that may come at any instruction of the kernel: not maskable, double fault, machine check.
pub(crate) const FATAL: [u8; 3] = [2, 8, 18];
const BREAKPOINT: u8 = 3;

// Here and in `traps.rs`: what the processor reads with ring 3's tables loaded is in pages of its own.
#[unsafe(link_section = ".data.entry")]
static DESCRIPTORS: OneCpu<GlobalDescriptorTable<16>> = OneCpu::new(GlobalDescriptorTable::empty());
#[unsafe(link_section = ".data.entry")]
static TASK_STATE: OneCpu<TaskStateSegment> = OneCpu::new(TaskStateSegment::new());
#[unsafe(link_section = ".data.entry")]
static INTERRUPTS: OneCpu<[[u32; 4]; VECTORS]> = OneCpu::new([[0; 4]; VECTORS]);

/// What the processor has beyond what every x86_64 has.
#[derive(Clone, Copy)]
pub(crate) struct Features {
    /// Ring 0 never executes pages of ring 3.
    pub(crate) smep: bool,
    /// Ring 0 never touches pages of ring 3.
    pub(crate) smap: bool,
    /// Ring 3 cannot read the addresses of descriptor tables.
    pub(crate) umip: bool,
    /// It makes random numbers.
    pub(crate) random: bool,
    /// It is QEMU's or KVM's, whose interrupt controller counts nanoseconds.
    pub(crate) virtual_timer: bool,
}

impl Features {
    /// Asks the processor.
    pub(crate) fn ask() -> Features {
        let basic = __cpuid(1).ecx;
        let extended = if __cpuid(0).eax >= 7 { Some(__cpuid_count(7, 0)) } else { None };
        let (b, c) = extended.map_or((0, 0), |leaf| (leaf.ebx, leaf.ecx));
        let virtual_timer = basic >> 31 & 1 == 1 && {
            let leaf = __cpuid(0x4000_0000);
            let mut name = [0; 12];
            for (to, word) in name.as_chunks_mut::<4>().0.iter_mut().zip([leaf.ebx, leaf.ecx, leaf.edx]) {
                *to = word.to_le_bytes();
            }
            matches!(&name, b"TCGTCGTCGTCG" | b"KVMKVMKVM\0\0\0")
        };
        Features {
            smep: b >> 7 & 1 == 1,
            smap: b >> 20 & 1 == 1,
            umip: c >> 2 & 1 == 1,
            random: basic >> 30 & 1 == 1,
            virtual_timer,
        }
    }

    /// Turns on what protects the kernel, and leaves off what would need care: there is no `xsave` state, and ring
    /// 3 cannot change its segment bases unseen.
    pub(crate) fn enable(self) {
        let mut flags = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
            | Cr4Flags::OSFXSR
            | Cr4Flags::OSXMMEXCPT_ENABLE
            | Cr4Flags::PAGE_GLOBAL;
        flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, self.smep);
        flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, self.smap);
        flags.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, self.umip);
        // SAFETY: what the kernel needs stays on; it never executes or touches user pages through user addresses.
        unsafe {
            Cr4::write(flags);
            Cr0::update(|cr0| *cr0 |= Cr0Flags::WRITE_PROTECT);
        }
    }
}

/// Loads the kernel's descriptor tables and tells the processor where system calls and traps go.
///
/// # Safety
/// Called once, before the first interrupt or ring 3.
pub(crate) unsafe fn load_descriptors() {
    let [kernel, trap, fatal] = image::stack_ends();
    // SAFETY: nobody else has references to these statics, now or later; the processor reads them from here on.
    unsafe {
        let state = &mut *TASK_STATE.pointer();
        state.privilege_stack_table[0] = VirtAddr::new(kernel);
        state.interrupt_stack_table[usize::from(TRAP_STACK) - 1] = VirtAddr::new(trap);
        state.interrupt_stack_table[usize::from(FATAL_STACK) - 1] = VirtAddr::new(fatal);
        let table = &mut *DESCRIPTORS.pointer();
        // 1 is the segment the boot code runs in.
        table.append(Descriptor::kernel_code_segment());
        table.append(Descriptor::kernel_code_segment());
        table.append(Descriptor::kernel_data_segment());
        // 4 would be 32-bit code of ring 3, which there is none of.
        table.append(Descriptor::UserSegment(0));
        table.append(Descriptor::user_data_segment());
        table.append(Descriptor::user_code_segment());
        table.append(Descriptor::tss_segment(&*TASK_STATE.pointer()));
        (*DESCRIPTORS.pointer()).load_unsafe();
        CS::set_reg(KERNEL_CS);
        SS::set_reg(KERNEL_SS);
        load_tss(TSS);
        load_interrupts();
        Star::write_raw(USER_BASE, KERNEL_CS.0);
        LStar::write(VirtAddr::new(traps::syscall_address()));
        SFMask::write(
            RFlags::INTERRUPT_FLAG
                | RFlags::DIRECTION_FLAG
                | RFlags::TRAP_FLAG
                | RFlags::ALIGNMENT_CHECK
                | RFlags::NESTED_TASK
                | RFlags::IOPL_LOW
                | RFlags::IOPL_HIGH,
        );
        GsBase::write(VirtAddr::new(traps::door_address()));
        KernelGsBase::write(VirtAddr::zero());
    }
}

/// # Safety
/// As [`load_descriptors`], with the stacks of the task state set.
unsafe fn load_interrupts() {
    // SAFETY: as the caller promised.
    let gates = unsafe { &mut *INTERRUPTS.pointer() };
    for (vector, gate) in (0u8..).zip(gates.iter_mut()) {
        let handler = traps::stub_address(vector);
        let stack = if FATAL.contains(&vector) { FATAL_STACK } else { TRAP_STACK };
        let level = if vector == BREAKPOINT { 3 << 13 } else { 0 };
        *gate = [
            (handler as u32 & 0xffff) | u32::from(KERNEL_CS.0) << 16,
            (handler as u32 & 0xffff_0000) | 0x8e00 | level | u32::from(stack),
            (handler >> 32) as u32,
            0,
        ];
    }
    let pointer = DescriptorTablePointer {
        limit: (size_of_val(gates) - 1) as u16,
        base: VirtAddr::new(gates.as_ptr() as u64),
    };
    // SAFETY: each gate leads to a stub that saves everything, on a stack of its own.
    unsafe { lidt(&pointer) };
}

/// Makes the processor use the page tables with this root.
///
/// # Safety
/// They have the kernel's half, as all others do.
pub(crate) unsafe fn load_tables(root: u64) {
    // SAFETY: what the kernel executes and touches stays mapped as it was.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

/// The time-stamp counter.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86_64 has it.
    unsafe { _rdtsc() }
}

/// A random number of the processor; none if it has none ready.
pub(crate) fn random() -> Option<u64> {
    for _ in 0..10 {
        let (number, ok): (u64, u8);
        // SAFETY: asked for only where the processor has the instruction.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) number, out(reg_byte) ok, options(nomem, nostack)) };
        if ok == 1 {
            return Some(number);
        }
    }
    None
}

/// Waits for an interrupt.
pub(crate) fn wait_for_interrupt() {
    // SAFETY: the interrupt is handled in assembly that touches none of the kernel's data. The first instruction
    // lets interrupts in only after the second has begun, so none is missed.
    unsafe { asm!("sti", "hlt", "cli") };
}
