//! What proc and cgroup file systems are told about processes, and who pays for their pages.

use super::descriptor::Object;
use super::process::{Job, LinuxProcess};
use super::{Linux, signal};
use crate::cred::Credentials;
use crate::group::{Freezer, Groups};
use crate::hw::{Hw, PAGE, Protection};
use crate::kernel::Kernel;
use crate::memory::{Charge, GroupId, NoMemory};
use crate::mm::{Backing, Role, Sharing};
use crate::ns::{NamespaceSet, ProcessId};
use crate::process::{Process, Processes};
use crate::thread::{State, ThreadBody, Threads};
use crate::vfs::facts::{Descriptor, GroupFacts, MachineFacts, MapFacts, ProcSource, ProcessFacts};
use crate::vfs::{FileId, FsContext};
use alloc::format;
use alloc::vec::Vec;
use bailiwick_protocol::message::Exit;
use core::cell::RefCell;

/// The groups, while others look at them.
pub(crate) struct Payer<'a>(pub(crate) &'a RefCell<&'a mut Groups>);

impl Charge for Payer<'_> {
    fn charge(&mut self, group: GroupId) -> Result<(), NoMemory> {
        self.0.try_borrow_mut().map_or(Err(NoMemory::Machine), |mut groups| groups.charge(group))
    }
    fn uncharge(&mut self, group: GroupId) {
        if let Ok(mut groups) = self.0.try_borrow_mut() {
            groups.uncharge(group);
        }
    }
}

/// Everything that can be told while a file operation is under way.
pub(crate) struct View<'a> {
    pub(crate) processes: &'a Processes,
    pub(crate) threads: &'a Threads,
    pub(crate) linux: &'a Linux,
    pub(crate) groups: &'a RefCell<&'a mut Groups>,
    pub(crate) machine: MachineFacts,
}

/// The machine, counted before its parts are lent.
pub(crate) fn machine<H: Hw>(k: &Kernel<H>) -> MachineFacts {
    let uptime = k.mem.hw.now().0;
    let (seconds, _) = k.mem.hw.realtime();
    MachineFacts {
        uptime,
        idle: k.sched.idle(),
        user: 0,
        system: uptime.saturating_sub(k.sched.idle()),
        boot_time: seconds.saturating_sub(uptime / 1_000_000_000),
        total_frames: k.mem.total() as u64,
        free_frames: k.mem.free() as u64,
        cached_frames: 0,
        load: [0; 3],
        switches: k.sched.switches(),
        forks: k.linux.forks,
        interrupts: 0,
        running: 1,
        threads: k.threads.count() as u32,
    }
}

impl View<'_> {
    /// A process whose end was not yet reported.
    fn found(&self, id: ProcessId) -> Option<(&Process, &LinuxProcess)> {
        let process = self.processes.get(id)?;
        let linux = process.linux().filter(|linux| !linux.reaped)?;
        Some((process, linux))
    }
    fn state(&self, process: &Process, linux: &LinuxProcess) -> u8 {
        if process.exit.is_some() {
            return b'Z';
        }
        if let Job::Stopped(_) = linux.job {
            return b'T';
        }
        let runs = |id: &crate::thread::ThreadId| self.threads.state(*id) == State::Runnable;
        if process.threads.iter().any(runs) { b'R' } else { b'S' }
    }
}

impl ProcSource for View<'_> {
    fn process(&self, id: ProcessId) -> Option<ProcessFacts> {
        let (process, linux) = self.found(id)?;
        let threads = || process.threads.iter().filter_map(|id| self.threads.get(*id));
        let time: u64 = threads().map(|thread| thread.cpu).sum::<u64>() + process.cpu_of_ended;
        let user: u64 = threads().map(|thread| thread.cpu_user).sum();
        let blocked = threads().find_map(|thread| match &thread.body {
            ThreadBody::Linux(task) => Some(task.mask.0),
            ThreadBody::Native(_) => None,
        });
        let (bytes, resident) = process.memory.as_ref().map_or((0, 0), |m| (m.bytes(), m.resident()));
        Some(ProcessFacts {
            name: linux.name.clone(),
            state: self.state(process, linux),
            parent: linux.parent,
            process_group: Some(linux.process_group),
            session: Some(linux.session),
            threads: process.threads.len() as u32,
            user_time: user.min(time),
            system_time: time - user.min(time),
            started: process.started,
            virtual_bytes: bytes,
            resident_pages: resident,
            signals: [
                blocked.unwrap_or(0),
                linux.actions.ignored().0,
                linux.actions.caught().0,
                linux.pending.set.0,
            ],
            nice: linux.nice,
            oom_score: linux.oom_score,
            group: process.group,
            exit_code: process.exit.map_or(0, wait_status),
        })
    }
    fn credentials(&self, id: ProcessId) -> Option<&Credentials> {
        self.found(id).map(|(_, linux)| &linux.credentials)
    }
    fn context(&self, id: ProcessId) -> Option<&FsContext> {
        self.found(id)?.1.fs.as_ref()
    }
    fn namespaces(&self, id: ProcessId) -> Option<&NamespaceSet> {
        self.found(id)?.1.namespaces.as_ref()
    }
    fn executable(&self, id: ProcessId) -> Option<FileId> {
        self.found(id)?.1.executable
    }
    fn arguments(&self, id: ProcessId) -> Vec<u8> {
        self.found(id).filter(|(p, _)| p.exit.is_none()).map(|(_, l)| l.arguments.clone()).unwrap_or_default()
    }
    fn environment(&self, id: ProcessId) -> Vec<u8> {
        self.found(id)
            .filter(|(p, _)| p.exit.is_none())
            .map(|(_, l)| l.environment.clone())
            .unwrap_or_default()
    }
    fn maps(&self, id: ProcessId) -> Vec<MapFacts> {
        let Some(memory) = self.found(id).and_then(|(process, _)| process.memory.as_ref()) else {
            return Vec::new();
        };
        let letter = |protection: Protection, flag: Protection, letter: u8| {
            if protection.contains(flag) { letter } else { b'-' }
        };
        let facts = |area: &crate::mm::Area| {
            let (file, offset) = match area.backing {
                Backing::File { file, offset } => (Some(file), offset),
                Backing::Anonymous => (None, 0),
            };
            MapFacts {
                start: area.start,
                end: area.end,
                mode: [
                    letter(area.protection, Protection::READ, b'r'),
                    letter(area.protection, Protection::WRITE, b'w'),
                    letter(area.protection, Protection::EXECUTE, b'x'),
                    if area.sharing == Sharing::Shared { b's' } else { b'p' },
                ],
                offset,
                file,
                name: match area.role {
                    Role::Heap => "[heap]",
                    Role::Stack => "[stack]",
                    Role::Plain => "",
                },
            }
        };
        memory.areas().map(facts).collect()
    }
    fn limits(&self, id: ProcessId) -> [(u64, u64); 16] {
        self.found(id).map_or([(u64::MAX, u64::MAX); 16], |(_, linux)| linux.limits)
    }
    fn next_descriptor(&self, id: ProcessId, from: u32) -> Option<u32> {
        self.found(id)?.1.descriptors.next(from)
    }
    fn descriptor(&self, id: ProcessId, number: u32) -> Option<Descriptor> {
        let descriptor = self.found(id)?.1.descriptors.get(number)?;
        let object = self.linux.descriptions.get(descriptor.description.0)?.object;
        if let Some(file) = object.file() {
            return Some(Descriptor::File(file));
        }
        Some(Descriptor::Other(match object {
            Object::Pipe(pipe, ..) => format!("pipe:[{pipe}]"),
            Object::Pair(read, _) => format!("socket:[{read}]"),
            Object::Output(output) => format!("pipe:[output {output}]"),
            Object::Device(super::Device::Terminal, _) => "/dev/console".into(),
            _ => "/dev/null".into(),
        }))
    }
    fn descriptor_flags(&self, id: ProcessId, number: u32) -> Option<u32> {
        let descriptor = self.found(id)?.1.descriptors.get(number)?;
        let description = self.linux.descriptions.get(descriptor.description.0)?;
        Some(description.flags.bits())
    }
    fn machine(&self) -> MachineFacts {
        self.machine
    }
    fn group(&self, id: GroupId) -> Option<GroupFacts> {
        let groups = self.groups.try_borrow().ok()?;
        let group = groups.get(id)?;
        let quota = group.limits().quota;
        Some(GroupFacts {
            path: groups.path(id),
            memory_current: group.memory() * PAGE as u64,
            memory_peak: group.memory_peak() * PAGE as u64,
            memory_max: group.limits().frames.map(|frames| frames * PAGE as u64),
            pids_current: group.usage.pids,
            pids_max: group.limits().pids,
            cpu: [group.usage.cpu, group.usage.cpu, 0],
            cpu_max: (quota.map(|q| q.time / 1000), quota.map_or(100_000, |q| q.period / 1000)),
            cpu_weight: 1 + (u64::from(group.limits().weight.max(2)) - 2) * 9999 / 262_142,
            oom_kills: group.usage.oom_kills,
            frozen: group.freezer() == Freezer::Frozen,
        })
    }
    fn group_members(&self, id: GroupId) -> Vec<ProcessId> {
        self.processes
            .iter()
            .filter(|(_, p)| p.group == id && p.linux().is_some())
            .map(|(id, _)| id)
            .collect()
    }
}

/// How a process ended, as wait(2) encodes it.
pub(crate) fn wait_status(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => i32::from(code) << 8,
        Exit::Signal(signal) => i32::from(signal),
        Exit::OutOfMemory => i32::from(signal::SIGKILL),
    }
}
