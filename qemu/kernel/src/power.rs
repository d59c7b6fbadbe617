//! What the kernel says on the console, and the end of the machine.

use crate::uart::Uart;
use core::fmt::{Arguments, Write};
use x86_64::instructions::{hlt, interrupts, port::Port};

/// QEMU's isa-debug-exit: QEMU ends with twice the number written there, and one.
const EXIT_PORT: u16 = 0xf4;
/// Written there for success. It is not 0, for that would make the status 1, which is QEMU's own failure.
const SUCCESS: u32 = 0x10;
/// What QEMU can pass on above it: its status is one byte.
const STATUS_MAX: u8 = 0x7f - SUCCESS as u8;
/// Written there when the kernel itself is at fault. Below [`SUCCESS`], so no status of a program looks like it.
const FAULT: u32 = 0x0f;

/// Writes a line to the console.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = writeln!(Uart, "bailiwick: {line}");
}

/// Says why the kernel cannot go on, and ends the machine.
pub(crate) fn die(why: Arguments<'_>) -> ! {
    say(format_args!("kernel: {why}"));
    end(FAULT)
}

/// Ends the machine with this status; what does not fit into QEMU's is passed on as its highest.
pub(crate) fn off(status: u8) -> ! {
    end(SUCCESS + u32::from(status.min(STATUS_MAX)))
}

fn end(code: u32) -> ! {
    // SAFETY: on QEMU with that device this ends the machine; elsewhere nothing listens on this port.
    unsafe { Port::new(EXIT_PORT).write(code) };
    say(format_args!("the machine can be switched off"));
    loop {
        interrupts::disable();
        hlt();
    }
}

/// Ends the machine, for its kernel has panicked.
pub fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    die(format_args!("{info}"))
}
