//! Clocks, console, power, statistics and resource groups.

use super::call::{Call, NOTHING, Outcome, Stop};
use crate::cap::Object;
use crate::console;
use crate::group::{Limits, NAME_MAX};
use crate::hw::Hw;
use crate::thread::Channel;
use alloc::vec::Vec;
use bailiwick_abi::{Error, Kind, Rights};
use bailiwick_protocol::message::Nanos;

/// Most bytes that one call writes to the console.
const WRITE_MAX: usize = 4096;

impl<H: Hw> Call<'_, H> {
    pub(super) fn clock_now(&mut self) -> Outcome {
        self.object(0, Kind::Clock, Rights::READ)?;
        Ok([self.now().0, 0, 0])
    }
    pub(super) fn clock_realtime(&mut self) -> Outcome {
        self.object(0, Kind::Clock, Rights::READ)?;
        let (seconds, nanoseconds) = self.k.mem.hw.realtime();
        Ok([seconds, u64::from(nanoseconds), 0])
    }
    pub(super) fn sleep_until(&mut self) -> Outcome {
        self.object(0, Kind::Clock, Rights::READ)?;
        let until = Nanos(self.arg(1));
        if until <= self.now() { Ok(NOTHING) } else { Err(Stop::Wait(Channel::Time, Some(until))) }
    }

    pub(super) fn console_write(&mut self) -> Outcome {
        self.object(0, Kind::Console, Rights::WRITE)?;
        let text = self.text_at(self.arg(1), self.length(2).min(WRITE_MAX), WRITE_MAX)?;
        console::write_lines(&mut self.k.mem.hw, &text);
        Ok([text.len() as u64, 0, 0])
    }
    pub(super) fn console_read(&mut self) -> Outcome {
        self.object(0, Kind::Console, Rights::READ)?;
        let (address, deadline) = (self.arg(1), self.deadline(3));
        let count = self.length(2).min(self.k.console.len());
        if count == 0 && self.length(2) > 0 {
            return match deadline {
                Some(time) if time <= self.now() => Ok(NOTHING),
                _ => Err(Stop::Wait(Channel::Console, deadline)),
            };
        }
        self.writable(address, count)?;
        let bytes: Vec<u8> = (0..count).filter_map(|_| self.k.console.take()).collect();
        self.write_bytes(address, &bytes)?;
        Ok([bytes.len() as u64, 0, 0])
    }

    pub(super) fn console_watch(&mut self) -> Outcome {
        self.object(0, Kind::Console, Rights::READ)?;
        let (notification, bits) = (self.notification(1, Rights::WRITE)?, self.arg(2));
        self.k.console.watch = (bits != 0).then_some((notification, bits));
        if !self.k.console.is_empty() {
            self.k.signal_notification(notification, bits);
        }
        Ok(NOTHING)
    }

    pub(super) fn power_off(&mut self) -> Outcome {
        self.object(0, Kind::Power, Rights::WRITE)?;
        self.k.mem.hw.power_off(self.arg(1) as u8)
    }
    pub(super) fn system_memory(&mut self) -> Outcome {
        self.object(0, Kind::System, Rights::READ)?;
        let memory = &self.k.mem;
        Ok([memory.free() as u64, memory.total() as u64, memory.hw.heap_free() as u64])
    }

    pub(super) fn system_census(&mut self) -> Outcome {
        self.object(0, Kind::System, Rights::READ)?;
        let bytes = self.k.census().to_words().map(u64::to_le_bytes);
        Ok([self.give(1, bytes.as_flattened())?, 0, 0])
    }

    pub(super) fn group_create(&mut self) -> Outcome {
        self.k.room()?;
        let parent = self.group_in(self.handle(0), Rights::CREATE)?;
        let name = self.text(1, NAME_MAX)?;
        let name = core::str::from_utf8(&name).map_err(|_| Error::WRONG_KIND)?;
        let limit = |at: usize| Some(self.arg(at)).filter(|most| *most != 0);
        let pids = limit(4).map(u32::try_from).transpose().map_err(|_| Error::RANGE)?;
        let limits = Limits { frames: limit(3), pids, ..Limits::default() };
        let group = self.k.groups.create(parent, name, limits)?;
        self.hand_out(Object::Group(group))
    }
    pub(super) fn group_destroy(&mut self) -> Outcome {
        let group = self.group_in(self.handle(0), Rights::WRITE)?;
        self.k.destroy_group(group)?;
        self.k.caps.drop_object(self.space, self.handle(0))?;
        Ok(NOTHING)
    }
    pub(super) fn group_usage(&mut self) -> Outcome {
        let group = self.group_in(self.handle(0), Rights::READ)?;
        let group = self.k.groups.get(group).ok_or(Error::GONE)?;
        Ok([group.memory(), u64::from(group.usage.pids), group.usage.cpu])
    }
}
