//! The first serial port, a 16550: the kernel's only console.

use core::fmt;
use x86_64::instructions::port::Port;

const BASE: u16 = 0x3f8;
const DATA: u16 = BASE;
const INTERRUPTS: u16 = BASE + 1;
const FIFO: u16 = BASE + 2;
const LINE: u16 = BASE + 3;
const MODEM: u16 = BASE + 4;
const STATUS: u16 = BASE + 5;

const RECEIVED: u8 = 1;
const CAN_SEND: u8 = 0x20;
/// How often the state is asked for before a byte is given up on: longer than a byte takes at 9600 baud.
const PATIENCE: u32 = 100_000;

fn get(port: u16) -> u8 {
    // SAFETY: reading a register of the serial port has no effect on memory; without one it gives 0xff.
    unsafe { Port::new(port).read() }
}

fn put(port: u16, value: u8) {
    // SAFETY: writing a register of the serial port has no effect on memory.
    unsafe { Port::new(port).write(value) }
}

/// The serial port. Copies are the same port.
#[derive(Clone, Copy)]
pub(crate) struct Uart;

impl Uart {
    /// Sets it to 115200 baud, 8 data bits, no parity, one stop bit, with its queues on and its interrupts off.
    pub(crate) fn init() -> Uart {
        put(INTERRUPTS, 0);
        put(LINE, 0x80);
        put(DATA, 1);
        put(INTERRUPTS, 0);
        put(LINE, 3);
        put(FIFO, 0x07);
        put(MODEM, 3);
        Uart
    }
    /// Sends a byte, after those before it.
    pub(crate) fn send(self, byte: u8) {
        for _ in 0..PATIENCE {
            if get(STATUS) & CAN_SEND != 0 {
                return put(DATA, byte);
            }
        }
    }
    /// Takes a byte that was received. A port that is not there has received nothing.
    pub(crate) fn receive(self) -> Option<u8> {
        let status = get(STATUS);
        (status & RECEIVED != 0 && status != 0xff).then(|| get(DATA))
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
        Ok(())
    }
}
