//! Clocks, sleeping, alarms.

use super::call::{Call, Outcome, Stop, Waiting};
use super::process::{Alarm, Interrupted, Progress};
use crate::hw::Hw;
use crate::ns::Body;
use crate::thread::Channel;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;

const SECOND: u64 = 1_000_000_000;
const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;

/// `struct timespec` of nanoseconds.
pub(crate) fn timespec(nanoseconds: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(nanoseconds / SECOND).to_le_bytes());
    bytes[8..].copy_from_slice(&(nanoseconds % SECOND).to_le_bytes());
    bytes
}
/// `struct timeval` of nanoseconds.
pub(crate) fn timeval(nanoseconds: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(nanoseconds / SECOND).to_le_bytes());
    bytes[8..].copy_from_slice(&(nanoseconds % SECOND / 1000).to_le_bytes());
    bytes
}

impl<H: Hw> Call<'_, H> {
    /// A `struct timespec` in nanoseconds.
    ///
    /// # Errors
    /// `EINVAL` if it is negative or not normal.
    pub(crate) fn read_timespec(&mut self, at: u64) -> Result<u64, Errno> {
        let (seconds, nanoseconds) = (self.read_u64(at)?, self.read_u64(at.wrapping_add(8))?);
        if seconds > i64::MAX as u64 || nanoseconds >= SECOND {
            return Err(Errno::EINVAL);
        }
        Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
    }

    /// The time namespace's offsets: monotonic, since boot.
    fn offsets(&self) -> (i64, i64) {
        let namespace = self.me().ok().and_then(|me| me.namespaces.as_ref()).map(|set| set.time);
        match namespace.and_then(|id| self.k.vfs.namespaces.body(id)) {
            Some(Body::Time { monotonic, boottime, .. }) => (*monotonic, *boottime),
            _ => (0, 0),
        }
    }

    /// The time on a clock, in nanoseconds.
    fn clock(&self, clock: u32) -> Result<u64, Errno> {
        let now = self.now().0;
        Ok(match clock {
            CLOCK_REALTIME | 5 | 8 | 11 => {
                let (seconds, nanoseconds) = self.k.mem.hw.realtime();
                seconds.saturating_mul(SECOND).saturating_add(nanoseconds.into())
            }
            CLOCK_MONOTONIC | 4 | 6 => now.saturating_add_signed(self.offsets().0),
            7 | 9 => now.saturating_add_signed(self.offsets().1),
            2 => {
                let (user, system) = self.own_time();
                user + system
            }
            3 => self.thread()?.cpu,
            _ => return Err(Errno::EINVAL),
        })
    }
    /// clock_gettime(2)
    pub(crate) fn clock_gettime(&mut self) -> Outcome {
        let bytes = timespec(self.clock(self.word(0))?);
        self.write_bytes(self.arg(1), &bytes)?;
        Ok(0)
    }
    /// clock_getres(2)
    pub(crate) fn clock_getres(&mut self) -> Outcome {
        self.clock(self.word(0))?;
        if self.arg(1) != 0 {
            self.write_bytes(self.arg(1), &timespec(1))?;
        }
        Ok(0)
    }
    /// gettimeofday(2)
    pub(crate) fn gettimeofday(&mut self) -> Outcome {
        if self.arg(0) != 0 {
            let bytes = timeval(self.clock(CLOCK_REALTIME)?);
            self.write_bytes(self.arg(0), &bytes)?;
        }
        if self.arg(1) != 0 {
            self.write_u64(self.arg(1), 0)?;
        }
        Ok(0)
    }
    /// time(2)
    pub(crate) fn time(&mut self) -> Outcome {
        let seconds = self.clock(CLOCK_REALTIME)? / SECOND;
        if self.arg(0) != 0 {
            self.write_u64(self.arg(0), seconds)?;
        }
        Ok(seconds)
    }

    fn sleep_until(&mut self, at: Nanos) -> Outcome {
        if at <= self.now() {
            return Ok(0);
        }
        Err(Stop::Wait(Waiting {
            channels: alloc::vec![Channel::Time],
            deadline: Some(at),
            interrupted: Interrupted::Fails,
        }))
    }
    /// nanosleep(2)
    pub(crate) fn nanosleep(&mut self) -> Outcome {
        let length = self.read_timespec(self.arg(0))?;
        let at = self.deadline(length)?;
        self.sleep_until(at)
    }
    /// clock_nanosleep(2)
    pub(crate) fn clock_nanosleep(&mut self) -> Outcome {
        let clock = self.word(0);
        let time = self.read_timespec(self.arg(2))?;
        let absolute = self.word(1) & 1 != 0;
        let now = self.clock(clock)?;
        if matches!(clock, 2 | 3) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let length = if absolute { time.saturating_sub(now) } else { time };
        let at = self.deadline(length)?;
        self.sleep_until(at)
    }

    // ---- alarms ------------------------------------------------------------------------------------------------

    fn set_alarm(&mut self, first: u64, interval: u64) -> Result<(u64, u64), Errno> {
        let now = self.now();
        let me = self.me_mut()?;
        let left = me.alarm.at.map_or(0, |at| at.0.saturating_sub(now.0).max(1));
        let old = (left, me.alarm.interval);
        let at = (first > 0).then(|| Nanos(now.0.saturating_add(first)));
        me.alarm = Alarm { at, interval };
        Ok(old)
    }
    /// alarm(2)
    pub(crate) fn alarm(&mut self) -> Outcome {
        let (left, _) = self.set_alarm(u64::from(self.word(0)) * SECOND, 0)?;
        // Half a second and more counts as one, and what is left is never shown as nothing.
        Ok(if left == 0 { 0 } else { ((left + SECOND / 2) / SECOND).max(1) })
    }
    fn show_alarm(&mut self, to: u64, (left, interval): (u64, u64)) -> Result<(), Errno> {
        self.write_bytes(to, &timeval(interval))?;
        self.write_bytes(to.wrapping_add(16), &timeval(left))
    }
    /// getitimer(2): of real time only.
    pub(crate) fn getitimer(&mut self) -> Outcome {
        if self.word(0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let now = self.now();
        let alarm = self.me()?.alarm;
        let left = alarm.at.map_or(0, |at| at.0.saturating_sub(now.0));
        self.show_alarm(self.arg(1), (left, alarm.interval))?;
        Ok(0)
    }
    /// setitimer(2): of real time only.
    pub(crate) fn setitimer(&mut self) -> Outcome {
        if self.word(0) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut new = [0u64; 2];
        if self.arg(1) != 0 {
            for (position, time) in new.iter_mut().enumerate() {
                let at = self.arg(1).wrapping_add(position as u64 * 16);
                let (seconds, micros) = (self.read_u64(at)?, self.read_u64(at.wrapping_add(8))?);
                if seconds > i64::MAX as u64 || micros >= 1_000_000 {
                    return Err(Errno::EINVAL.into());
                }
                *time = seconds.saturating_mul(SECOND).saturating_add(micros * 1000);
            }
        }
        let old = self.set_alarm(new[1], new[0])?;
        if self.arg(2) != 0 {
            self.show_alarm(self.arg(2), old)?;
        }
        Ok(0)
    }

    /// pause(2)
    pub(crate) fn pause(&mut self) -> Outcome {
        self.task_mut()?.progress = Progress::None;
        Err(Stop::Wait(Waiting {
            channels: alloc::vec![Channel::Process(self.process)],
            deadline: None,
            interrupted: Interrupted::Fails,
        }))
    }
}
