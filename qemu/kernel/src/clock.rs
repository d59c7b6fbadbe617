//! The clocks: time since start by the time-stamp counter, time of day by the battery clock.

use crate::cpu;
use crate::timer::Timer;
use bailiwick_protocol::message::Nanos;
use x86_64::instructions::port::Port;

const SECOND: u64 = 1_000_000_000;
/// A rate is taken for a multiple of this, in Hz: it is measured no better.
const GRAIN: u64 = 1_000_000;
/// Part of a second for which the counter is measured.
const MEASURED: u64 = 500;

/// Time since start, and the time of day at start.
pub(crate) struct Clock {
    start: u64,
    /// Nanoseconds in a tick, times 2³².
    scale: u64,
    /// Seconds since 1970 at start.
    day: u64,
}

impl Clock {
    /// A clock that stands still.
    pub(crate) fn stopped() -> Clock {
        Clock { start: 0, scale: 0, day: 0 }
    }

    /// A clock that begins now; its rate is measured with the timer's.
    pub(crate) fn start(timer: &Timer) -> Clock {
        let hz = ticks_per_second(timer).max(GRAIN);
        Clock { start: cpu::ticks(), scale: (SECOND << 32) / hz, day: seconds_of_day() }
    }

    /// Time since start.
    pub(crate) fn now(&self) -> Nanos {
        // The counter does not go back.
        let ticks = cpu::ticks().wrapping_sub(self.start);
        Nanos(((u128::from(ticks) * u128::from(self.scale)) >> 32) as u64)
    }

    /// Seconds since 1970, and nanoseconds.
    pub(crate) fn realtime(&self) -> (u64, u32) {
        let now = self.now().0;
        (self.day + now / SECOND, (now % SECOND) as u32)
    }
}

/// The rate of the time-stamp counter, rounded to [`GRAIN`].
fn ticks_per_second(timer: &Timer) -> u64 {
    let (count, ticks) = pair(timer);
    let wanted = timer.hz() / MEASURED;
    let (passed, ticks) = loop {
        let (now, later) = pair(timer);
        // It counts down.
        let passed = u64::from(count.wrapping_sub(now));
        if passed >= wanted {
            break (passed, later.wrapping_sub(ticks));
        }
    };
    let hz = u128::from(ticks) * u128::from(timer.hz()) / u128::from(passed);
    (hz as u64).saturating_add(GRAIN / 2) / GRAIN * GRAIN
}

/// Both counters at one time: of a few tries, the one that took least.
fn pair(timer: &Timer) -> (u32, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..4 {
        let before = cpu::ticks();
        let count = timer.count();
        let after = cpu::ticks();
        let took = after.wrapping_sub(before);
        if took < best.0 {
            best = (took, count, before + took / 2);
        }
    }
    (best.1, best.2)
}

/// Reads a register of the battery clock.
fn battery(register: u8) -> u8 {
    // SAFETY: the two ports are the battery clock's; reading a register has no effect on memory. Bit 7 keeps
    // not-maskable interrupts as they are after reset.
    unsafe {
        Port::new(0x70).write(register);
        Port::new(0x71).read()
    }
}

/// Seconds since 1970 by the battery clock; 0 if there is none.
fn seconds_of_day() -> u64 {
    const UPDATING: u8 = 0x80;
    // An update takes 2 ms at most; a machine without the clock reads as 0xff for ever.
    for _ in 0..1_000_000 {
        if battery(0x0a) & UPDATING == 0 {
            let first = fields();
            if first == fields() {
                return since_1970(first).unwrap_or(0);
            }
        }
    }
    0
}

/// Second, minute, hour, day, month, year, and the mode.
fn fields() -> [u8; 7] {
    [0, 2, 4, 7, 8, 9, 0x0b].map(battery)
}

/// Seconds since 1970 of a date between 2000 and 2099; none if the fields are no date.
fn since_1970([second, minute, hour, day, month, year, mode]: [u8; 7]) -> Option<u64> {
    let plain = |value: u8| if mode & 4 == 0 { (value >> 4) * 10 + (value & 15) } else { value };
    let afternoon = mode & 2 == 0 && hour & 0x80 != 0;
    let mut hour = plain(hour & 0x7f);
    if mode & 2 == 0 {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let [second, minute, day, month, year] = [second, minute, day, month, year].map(plain).map(u64::from);
    let is_date = second < 61 && minute < 60 && hour < 24 && (1..=31).contains(&day) && year < 100;
    let before =
        [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334].get(month.checked_sub(1)? as usize)?;
    let leap_years = year.div_ceil(4) + u64::from(year % 4 == 0 && month > 2);
    // 1 January 2000 was day 10957.
    let days = 10_957 + year * 365 + leap_years + before + day - 1;
    is_date.then(|| ((days * 24 + u64::from(hour)) * 60 + minute) * 60 + second)
}
