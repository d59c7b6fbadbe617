//! Waiting for several descriptors: poll(2), select(2) and their relatives.

use super::call::{Call, Outcome, Stop, Waiting};
use super::descriptor::{Device, End, Object};
use super::pipe::ATOMIC;
use super::process::{Interrupted, limit};
use super::signal::Signals;
use crate::hw::Hw;
use crate::thread::Channel;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;

const POLLIN: u16 = 1;
const POLLOUT: u16 = 4;
const POLLERR: u16 = 8;
const POLLHUP: u16 = 16;
const POLLNVAL: u16 = 32;
const POLLRDNORM: u16 = 64;
const POLLWRNORM: u16 = 256;
const READABLE: u16 = POLLIN | POLLRDNORM;
const WRITABLE: u16 = POLLOUT | POLLWRNORM;

impl<H: Hw> Call<'_, H> {
    /// What can be done with an object at once, and what to wait on for more.
    fn ready(&mut self, object: Object) -> (u16, Option<Channel>) {
        match object {
            Object::Pipe(number, end, _) => {
                let channel = Some(Channel::Queue(number));
                let Some(pipe) = self.k.linux.pipes.get(number) else { return (POLLERR, None) };
                let mut now = 0;
                if end != End::Write {
                    now |= if pipe.len() > 0 { READABLE } else { 0 };
                    now |= if pipe.writers == 0 { POLLHUP } else { 0 };
                }
                if end != End::Read {
                    now |= if pipe.room() >= ATOMIC { WRITABLE } else { 0 };
                    now |= if pipe.readers == 0 { POLLERR } else { 0 };
                }
                (now, channel)
            }
            Object::Pair(read, write) => {
                let mut now = 0;
                if let Some(pipe) = self.k.linux.pipes.get(read) {
                    now |= if pipe.len() > 0 || pipe.writers == 0 { READABLE } else { 0 };
                    now |= if pipe.writers == 0 { POLLHUP } else { 0 };
                }
                if self.k.linux.pipes.get(write).is_some_and(|pipe| pipe.room() >= ATOMIC) {
                    now |= WRITABLE;
                }
                (now, Some(Channel::Queue(read)))
            }
            Object::Device(Device::Terminal, _) => {
                super::console_input(self.k);
                let now = if self.k.linux.terminal.readable() { READABLE } else { 0 };
                (now | WRITABLE, Some(Channel::Console))
            }
            Object::Output(_) => (WRITABLE, None),
            Object::Path(_) => (POLLNVAL, None),
            _ => (READABLE | WRITABLE, None),
        }
    }

    /// Waits for what was looked at, unless the time is over.
    fn wait_for(&mut self, mut channels: Vec<Channel>, timeout: Option<u64>) -> Outcome {
        let mut deadline: Option<Nanos> = None;
        if let Some(nanoseconds) = timeout {
            let at = self.deadline(nanoseconds)?;
            if at <= self.now() {
                return Ok(0);
            }
            deadline = Some(at);
        }
        channels.sort_unstable();
        channels.dedup();
        Err(Stop::Wait(Waiting { channels, deadline, interrupted: Interrupted::Fails }))
    }

    fn poll_for(&mut self, timeout: Option<u64>) -> Outcome {
        let (at, count) = (self.arg(0), self.word(1));
        if u64::from(count) > self.me()?.limit(limit::NOFILE) {
            return Err(Errno::EINVAL.into());
        }
        let mut channels = Vec::new();
        let mut found = 0;
        for position in 0..u64::from(count) {
            let entry = at.wrapping_add(position * 8);
            let bytes: [u8; 8] = self.read_array(entry)?;
            let number = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let wanted = u16::from_le_bytes([bytes[4], bytes[5]]);
            let now = if number < 0 {
                0
            } else if let Ok((object, _)) = self.object(number) {
                let (now, channel) = self.ready(object);
                channels.extend(channel);
                now & (wanted | POLLERR | POLLHUP | POLLNVAL)
            } else {
                POLLNVAL
            };
            found += u64::from(now != 0);
            self.write_bytes(entry.wrapping_add(6), &now.to_le_bytes())?;
        }
        if found > 0 { Ok(found) } else { self.wait_for(channels, timeout) }
    }
    /// poll(2)
    pub(crate) fn poll(&mut self) -> Outcome {
        let timeout = u64::try_from(self.int(2)).ok().map(|milliseconds| milliseconds * 1_000_000);
        self.poll_for(timeout)
    }
    /// ppoll(2)
    pub(crate) fn ppoll(&mut self) -> Outcome {
        let timeout = self.timeout(self.arg(2))?;
        self.wear_mask(self.arg(3), self.arg(4))?;
        self.poll_for(timeout)
    }

    /// A timespec that may be missing, in nanoseconds.
    pub(crate) fn timeout(&mut self, at: u64) -> Result<Option<u64>, Errno> {
        if at == 0 {
            return Ok(None);
        }
        self.read_timespec(at).map(Some)
    }

    /// Puts a mask on for the time of this call; does nothing when the call is made again.
    pub(crate) fn wear_mask(&mut self, at: u64, size: u64) -> Result<(), Errno> {
        if at == 0 {
            return Ok(());
        }
        if size != 8 {
            return Err(Errno::EINVAL);
        }
        let mask = Signals(self.read_u64(at)?).without(Signals::UNSTOPPABLE);
        let task = self.task_mut()?;
        if task.saved_mask.is_none() {
            task.saved_mask = Some(core::mem::replace(&mut task.mask, mask));
        }
        Ok(())
    }

    fn select_for(&mut self, timeout: Option<u64>) -> Outcome {
        let count = self.int(0);
        if count < 0 {
            return Err(Errno::EINVAL.into());
        }
        let count = (count as u64).min(self.me()?.limit(limit::NOFILE));
        let words = count.div_ceil(64) as usize;
        let mut asked = [const { Vec::new() }; 3];
        for (at, set) in asked.iter_mut().enumerate() {
            let address = self.arg(at + 1);
            for word in 0..words {
                set.push(if address == 0 {
                    0
                } else {
                    self.read_u64(address.wrapping_add(word as u64 * 8))?
                });
            }
        }
        let mut given = asked.clone();
        let mut channels = Vec::new();
        let mut found = 0;
        for number in 0..count {
            let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
            let wanted: [bool; 3] =
                core::array::from_fn(|at| asked[at].get(word).is_some_and(|set| set & bit != 0));
            if wanted == [false; 3] {
                continue;
            }
            let (object, _) = self.object(number as i32)?;
            let (now, channel) = self.ready(object);
            channels.extend(channel);
            let got = [now & (READABLE | POLLHUP | POLLERR) != 0, now & (WRITABLE | POLLERR) != 0, false];
            for (at, set) in given.iter_mut().enumerate() {
                if wanted[at] && got[at] {
                    found += 1;
                } else if let Some(set) = set.get_mut(word) {
                    *set &= !bit;
                }
            }
        }
        if found == 0
            && let Err(stop) = self.wait_for(channels, timeout)
        {
            return Err(stop);
        }
        for (at, set) in given.iter().enumerate() {
            let address = self.arg(at + 1);
            for (word, value) in set.iter().enumerate() {
                if address != 0 {
                    self.write_u64(address.wrapping_add(word as u64 * 8), *value)?;
                }
            }
        }
        Ok(found)
    }
    /// select(2)
    pub(crate) fn select(&mut self) -> Outcome {
        let timeout = match self.arg(4) {
            0 => None,
            at => {
                let (seconds, micros) =
                    (self.read_u64(at)? as i64, self.read_u64(at.wrapping_add(8))? as i64);
                if seconds < 0 || micros < 0 {
                    return Err(Errno::EINVAL.into());
                }
                Some((seconds as u64).saturating_mul(1_000_000_000).saturating_add(micros as u64 * 1000))
            }
        };
        self.select_for(timeout)
    }
    /// pselect6(2)
    pub(crate) fn pselect6(&mut self) -> Outcome {
        let timeout = self.timeout(self.arg(4))?;
        if self.arg(5) != 0 {
            let (mask, size) = (self.read_u64(self.arg(5))?, self.read_u64(self.arg(5).wrapping_add(8))?);
            self.wear_mask(mask, size)?;
        }
        self.select_for(timeout)
    }
}
