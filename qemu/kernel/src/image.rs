//! The kernel's own image in memory: its segments and its stacks.

use crate::one_cpu::OneCpu;
use bailiwick_kernel_core::hw::PAGE;

/// What is added to a physical address of the image to get the one it is linked at.
pub(crate) const BASE: u64 = 0xffff_ffff_8000_0000;
/// Where the image begins: below it is what firmware and boot loader use.
pub(crate) const PHYSICAL_START: u64 = 0x10_0000;

const KERNEL_STACK: usize = 64 << 10;
const TRAP_STACK: usize = 16 << 10;
/// Offset in [`Stacks`] of the kernel stack's end.
pub(crate) const KERNEL_STACK_END: usize = PAGE + KERNEL_STACK;

/// The stacks, each with a page below it that is not mapped.
#[repr(C, align(4096))]
pub(crate) struct Stacks {
    below_kernel: [u8; PAGE],
    kernel: [u8; KERNEL_STACK],
    below_trap: [u8; PAGE],
    trap: [u8; TRAP_STACK],
    below_fatal: [u8; PAGE],
    fatal: [u8; TRAP_STACK],
}

#[unsafe(no_mangle)]
pub(crate) static STACKS: OneCpu<Stacks> = OneCpu::new(Stacks {
    below_kernel: [0; PAGE],
    kernel: [0; KERNEL_STACK],
    below_trap: [0; PAGE],
    trap: [0; TRAP_STACK],
    below_fatal: [0; PAGE],
    fatal: [0; TRAP_STACK],
});

/// Ends of the stacks: the kernel's, the one on which traps arrive, the one for what must not happen.
pub(crate) fn stack_ends() -> [u64; 3] {
    let start = STACKS.pointer() as u64;
    let end = |first: usize, size: usize| start + (first + size) as u64;
    [
        start + KERNEL_STACK_END as u64,
        end(core::mem::offset_of!(Stacks, trap), TRAP_STACK),
        end(core::mem::offset_of!(Stacks, fatal), TRAP_STACK),
    ]
}

/// Whether the page at this address of the image guards a stack.
pub(crate) fn is_guard(address: u64) -> bool {
    let start = STACKS.pointer() as u64;
    let offsets = [
        core::mem::offset_of!(Stacks, below_kernel),
        core::mem::offset_of!(Stacks, below_trap),
        core::mem::offset_of!(Stacks, below_fatal),
    ];
    offsets.iter().any(|offset| start + *offset as u64 == address)
}

/// What may be done with a part of the image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Instructions: fetched and read.
    Text,
    /// Constants: read.
    Constants,
    /// Variables: read and written.
    Variables,
}

unsafe extern "C" {
    safe static image_text: u8;
    safe static image_entry_text_end: u8;
    safe static image_rodata: u8;
    safe static image_data: u8;
    safe static image_entry_data_end: u8;
    safe static image_end: u8;
}

fn at(symbol: &u8) -> u64 {
    core::ptr::from_ref(symbol) as u64
}

/// The parts of the image in the upper half, as addresses of their first byte and of the first byte after them.
pub(crate) fn parts() -> [(Part, u64, u64); 3] {
    [
        (Part::Text, at(&image_text), at(&image_rodata)),
        (Part::Constants, at(&image_rodata), at(&image_data)),
        (Part::Variables, at(&image_data), at(&image_end)),
    ]
}

/// What the processor and `trap.s` need before the kernel's own tables are loaded, and after: the ways in and out,
/// what they and the processor read, the stacks on which traps arrive.
pub(crate) fn entry_parts() -> [(Part, u64, u64); 4] {
    let [_, trap, fatal] = stack_ends();
    [
        (Part::Text, at(&image_text), at(&image_entry_text_end)),
        (Part::Variables, at(&image_data), at(&image_entry_data_end)),
        (Part::Variables, trap - TRAP_STACK as u64, trap),
        (Part::Variables, fatal - TRAP_STACK as u64, fatal),
    ]
}

/// First physical address after the image.
pub(crate) fn physical_end() -> u64 {
    core::ptr::from_ref(&image_end) as u64 - BASE
}

/// The part of the image that lies at a physical address.
pub(crate) fn part_at(physical: u64) -> Option<Part> {
    let address = physical + BASE;
    parts().into_iter().find(|(_, start, end)| (*start..*end).contains(&address)).map(|(part, ..)| part)
}
