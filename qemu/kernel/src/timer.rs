//! The local interrupt controller (APIC): the timer that ticks, and the end of interrupts.

use crate::paging::INTERRUPT_CONTROLLER;
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::Msr;

/// Vector of the timer.
pub(crate) const TICK: u8 = 32;
/// Vector of an interrupt that was withdrawn: it is not acknowledged.
pub(crate) const SPURIOUS: u8 = 63;
/// Ticks in a second.
const RATE: u64 = 1000;

const EOI: u64 = 0xb0;
const SPURIOUS_VECTOR: u64 = 0xf0;
const LINE_0: u64 = 0x350;
const LINE_1: u64 = 0x360;
const ERRORS: u64 = 0x370;
const TIMER: u64 = 0x320;
const INITIAL_COUNT: u64 = 0x380;
const CURRENT_COUNT: u64 = 0x390;
const DIVIDE: u64 = 0x3e0;
const MASKED: u32 = 1 << 16;
const PERIODIC: u32 = 1 << 17;
const BY_ONE: u32 = 0b1011;

/// Where an interrupt is acknowledged.
pub(crate) const END_OF_INTERRUPT: u64 = INTERRUPT_CONTROLLER + EOI;

/// Ticks of the old interval timer in a second.
const PIT_RATE: u64 = 1_193_182;
/// QEMU and KVM count nanoseconds.
const VIRTUAL_RATE: u64 = 1_000_000_000;

fn put(register: u64, value: u32) {
    // SAFETY: the page is mapped, uncached, and these registers have no effect on memory.
    unsafe { ((INTERRUPT_CONTROLLER + register) as *mut u32).write_volatile(value) };
}

fn get(register: u64) -> u32 {
    // SAFETY: as above; the registers that are read have no side effect.
    unsafe { ((INTERRUPT_CONTROLLER + register) as *const u32).read_volatile() }
}

/// Where the controller is in physical memory.
pub(crate) fn controller_address() -> u64 {
    const APIC_BASE: Msr = Msr::new(0x1b);
    // SAFETY: every x86_64 has this register.
    unsafe { APIC_BASE.read() & 0x000f_ffff_ffff_f000 }
}

/// Acknowledges an interrupt.
pub(crate) fn end_of_interrupt() {
    put(EOI, 0);
}

/// The timer, counting.
pub(crate) struct Timer {
    hz: u64,
}

/// Whose rate is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// QEMU's or KVM's.
    Known,
    /// To be measured.
    Measured,
}

impl Timer {
    /// Turns the controller on, everything but it off, and lets it count down without interrupts.
    pub(crate) fn start(rate: Rate) -> Timer {
        // SAFETY: masks the lines of the two old interrupt controllers, after which they are silent.
        unsafe {
            Port::<u8>::new(0x21).write(0xff);
            Port::<u8>::new(0xa1).write(0xff);
        }
        for line in [LINE_0, LINE_1, ERRORS, TIMER] {
            put(line, MASKED);
        }
        put(SPURIOUS_VECTOR, 0x100 | u32::from(SPURIOUS));
        put(DIVIDE, BY_ONE);
        put(INITIAL_COUNT, u32::MAX);
        Timer { hz: if rate == Rate::Known { VIRTUAL_RATE } else { measured() } }
    }
    /// How often it counts in a second.
    pub(crate) fn hz(&self) -> u64 {
        self.hz
    }
    /// What it counts down.
    pub(crate) fn count(&self) -> u32 {
        get(CURRENT_COUNT)
    }
    /// Makes it tick from now on, with interrupts.
    pub(crate) fn tick(self) {
        put(TIMER, PERIODIC | u32::from(TICK));
        put(INITIAL_COUNT, u32::try_from(self.hz / RATE).unwrap_or(u32::MAX).max(1));
    }
}

/// The rate by the old interval timer, which every PC has: 10 ms of it.
fn measured() -> u64 {
    let read = || {
        // SAFETY: latches and reads the counter of channel 0; no effect on memory.
        unsafe {
            Port::<u8>::new(0x43).write(0);
            let (low, high): (u8, u8) = (Port::new(0x40).read(), Port::new(0x40).read());
            u16::from_le_bytes([low, high])
        }
    };
    // SAFETY: lets channel 0 count down once from 0xffff; its line is masked.
    unsafe {
        Port::<u8>::new(0x43).write(0x30);
        Port::<u8>::new(0x40).write(0xff);
        Port::<u8>::new(0x40).write(0xff);
    }
    let (from, before) = (read(), get(CURRENT_COUNT));
    // One without the timer reads the same for ever.
    for _ in 0..1_000_000 {
        let passed = u64::from(from.wrapping_sub(read()));
        if (PIT_RATE / 100..0x8000).contains(&passed) {
            return u64::from(before.wrapping_sub(get(CURRENT_COUNT))) * PIT_RATE / passed;
        }
    }
    VIRTUAL_RATE
}
