//! The kernel's own machine code: boot, page tables, traps, timer, console. Everything that decides is in
//! `bailiwick_kernel_core`, which has no `unsafe`; everything `unsafe` of the kernel is here.
//!
//! ```text
//!   boot.s ─► start ─► boot      what the boot loader tells
//!                      heap      an eighth of memory
//!                      paging    the final page tables
//!                      cpu       descriptor tables, protections
//!                      timer     a thousand ticks a second; clock
//!                      traps ─► ring 3 ─► trap.s ─► traps ─► kernel_core ─► traps ─► ring 3
//! ```
#![no_std]
extern crate alloc;

mod boot;
mod clock;
mod cpu;
mod heap;
mod image;
mod machine;
mod one_cpu;
mod paging;
mod physical;
mod power;
mod timer;
mod traps;
mod uart;

use bailiwick_kernel_core::first::First;
use bailiwick_kernel_core::hw::{Frame, PAGE};
use bailiwick_kernel_core::kernel::Kernel;
use bailiwick_kernel_core::memory::Memory;
use bailiwick_kernel_core::ranges::{Range, Ranges};
use bailiwick_kernel_core::vfs::BootImage;
pub use power::panicked;

use boot::Boot;
use clock::Clock;
use core::arch::global_asm;
use cpu::Features;
use machine::Machine;
use timer::{Rate, Timer};
use traps::Messages;
use uart::Uart;

global_asm!(
    include_str!("boot.s"),
    kernel_stack = const image::KERNEL_STACK_END,
    start = sym start,
);

/// Whether the kernel is in no page tables but its own: ring 3's have only its ways in and out.
const ISOLATION: bool = cfg!(feature = "isolation");

const MIB: u64 = 1 << 20;
/// The heap is this part of memory,
const HEAP_PART: u64 = 8;
/// and never less than this.
const HEAP_MIN: u64 = 2 * MIB;

/// Where the boot code calls Rust, once.
extern "C" fn start(protocol: u32, info: u32) -> ! {
    bailiwick_rt::link();
    let uart = Uart::init();
    // SAFETY: the boot code passes on what the loader gave it, and no memory was used yet.
    let Some(boot) = (unsafe { boot::tell(protocol, info) }) else {
        power::die(format_args!("the boot loader left nothing that is understood here"));
    };
    // SAFETY: once, before interrupts and ring 3.
    unsafe { cpu::load_descriptors() };
    let features = Features::ask();
    features.enable();
    let (memory, mut free) = memory(&boot);
    // SAFETY: once, with the first page tables.
    let mut machine = unsafe { set_up(memory, &mut free, uart, features) };
    let timer = Timer::start(if features.virtual_timer { Rate::Known } else { Rate::Measured });
    machine.set_clock(Clock::start(&timer));
    timer.tick();
    report(&boot, &free, features);

    let mut kernel = match Kernel::start(Memory::new(machine, &frames(&free)), boot_image(&boot)) {
        Ok(kernel) => kernel,
        Err(errno) => power::die(format_args!("the boot image cannot be loaded, error {}", errno.0)),
    };
    match First::start(&mut kernel, &boot.command_line) {
        Ok(first) => traps::run(kernel, first, Messages::asked_for(&boot.command_line)),
        Err(why) => power::die(format_args!("{why}")),
    }
}

/// The pages of memory that are used at all, and those of them that are free.
fn memory(boot: &Boot) -> (Ranges, Ranges) {
    let mut memory = boot.memory.clone();
    if let Some(low) = Range::new(0, image::PHYSICAL_START) {
        memory.remove(low);
    }
    let memory = memory.inner_pages();
    let mut free = memory.clone();
    let own = Range::new(image::PHYSICAL_START, image::physical_end());
    [own, boot.image].into_iter().flatten().filter_map(Range::outer_pages).for_each(|used| free.remove(used));
    (memory, free)
}

/// Takes heap and page tables out of `free`, and loads the page tables.
///
/// # Safety
/// Called once, while the first page tables are in use; `free` is memory that nobody uses.
unsafe fn set_up(memory: Ranges, free: &mut Ranges, uart: Uart, features: Features) -> Machine {
    let reachable = Range { start: 0, end: physical::BOOT_MAPPED };
    let Some(room) =
        free.iter().filter_map(|range| range.common(reachable)).max_by_key(|range| range.bytes())
    else {
        power::die(format_args!("there is no memory"));
    };
    let heap = (memory.bytes() / HEAP_PART).max(HEAP_MIN) / PAGE as u64 * PAGE as u64;
    if heap >= room.bytes() {
        power::die(format_args!("{} KiB of memory are too few", memory.bytes() / 1024));
    }
    // SAFETY: once; the first page tables map it, and the final ones will at the same place.
    unsafe { heap::init(physical::pointer(room.start), heap as usize) };
    let mut next = room.start + heap;
    let mut table = || {
        let frame = next;
        next += PAGE as u64;
        (next <= room.end).then(|| {
            // SAFETY: free memory, mapped, and of nobody else: the counter has passed it.
            unsafe { physical::pointer(frame).write_bytes(0, PAGE) };
            Frame((frame / PAGE as u64) as u32)
        })
    };
    let root = table().unwrap_or(Frame(0));
    let common = if ISOLATION { table().unwrap_or(Frame(0)) } else { root };
    // SAFETY: `memory` is what the boot loader called memory; it stays mapped. What is taken out of `free` here is
    // never a frame.
    let mut machine = unsafe { Machine::new(memory.clone(), [root, common], uart, features) };
    if machine.map_kernel(&memory, timer::controller_address(), &mut table).is_none() {
        power::die(format_args!("there is no memory for page tables"));
    }
    if let Some(used) = Range::new(room.start, next) {
        free.remove(used);
    }
    machine.load_kernel();
    machine
}

/// The free ranges, as frames.
fn frames(free: &Ranges) -> alloc::vec::Vec<(u32, u32)> {
    let number = |address: u64| u32::try_from(address / PAGE as u64).unwrap_or(u32::MAX);
    free.iter().map(|range| (number(range.start), number(range.bytes()))).collect()
}

fn boot_image(boot: &Boot) -> Option<BootImage> {
    let image = boot.image?;
    if !image.start.is_multiple_of(PAGE as u64) {
        power::die(format_args!("the boot image is not at a page boundary"));
    }
    Some(BootImage { first: Frame((image.start / PAGE as u64) as u32), bytes: image.bytes() })
}

fn report(boot: &Boot, free: &Ranges, features: Features) {
    let image = boot.image.map_or(0, Range::bytes);
    power::say(format_args!(
        "{} MiB of memory, {} free, {} KiB of heap, boot image {} KiB",
        boot.memory.bytes() / MIB,
        free.bytes() / MIB,
        heap::free() / 1024,
        image / 1024,
    ));
    let missing = [(features.smep, " smep"), (features.smap, " smap"), (features.umip, " umip")];
    if missing.iter().any(|(there, _)| !there) {
        let name = |at: usize| missing.get(at).filter(|(there, _)| !there).map_or("", |(_, name)| *name);
        power::say(format_args!("this processor lacks{}{}{}", name(0), name(1), name(2)));
    }
}
