//! Containers on a machine of ordinary memory: whole plans, made by the planner from real configurations.

mod faults;
mod hooks;
mod input;
mod inside;
mod lives;
mod memory;
mod mounts;

use super::*;
use crate::kernel::Kernel;
use crate::testing::FakeHw;
use crate::thread::{Registers, ThreadId};
use crate::vfs::{From, Last, OpenFlags, Opened};
use alloc::format;
use alloc::string::ToString;
use bailiwick_abi::ContainerEvent;
use bailiwick_kernel_glue::own_kernel::FEATURES;
use bailiwick_kernel_glue::plan::{CapabilitySets, Plan};
use bailiwick_protocol::message::Exit;
use bailiwick_server::Policy;
use bailiwick_server::oci::{OciConfig, ValidConfig};
use bailiwick_server::plan::{Request, plan};

/// What `runc spec` writes, but without a terminal.
const SPEC: &str = include_str!("../../../../../server/tests/data/runc-spec.json");

pub(super) const EVENTS: NotificationId = NotificationId(7);

/// A static program with one segment.
pub(super) fn program(machine: u16) -> Vec<u8> {
    let mut file = alloc::vec![0u8; 256];
    file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for (at, value) in [(16, 2), (18, machine), (20, 1), (52, 64), (54, 56), (56, 1), (64, 1), (68, 5)] {
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    for (at, value) in [(24, 0x40_0078u64), (32, 64), (80, 0x40_0000), (96, 0x100), (104, 0x1000)] {
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    file
}

/// Counts that must be what they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Census {
    kernel: bailiwick_abi::Census,
    root: crate::group::Usage,
    machine: [u32; 10],
}

pub(super) struct World {
    pub(super) k: Kernel<FakeHw>,
    key: u64,
}

impl World {
    pub(super) fn new() -> World {
        let k = Kernel::start(FakeHw::memory(4096), None).unwrap();
        let mut w = World { k, key: 0 };
        for directory in ["/secret", "/tmp", "/bin", "/bundles", "/bundles/web"] {
            w.mkdir(directory);
        }
        w.put("/secret/file", b"secret", 0o600);
        w.put("/bin/hook", &program(62), 0o755);
        w.bundle("/bundles/web");
        w
    }

    /// The files of a bundle.
    pub(super) fn bundle(&mut self, at: &str) {
        for name in ["", "/bin", "/etc", "/proc", "/sys", "/dev", "/tmp", "/home"] {
            self.mkdir(&format!("{at}/rootfs{name}"));
        }
        self.put(&format!("{at}/rootfs/bin/sh"), &program(62), 0o755);
        self.put(&format!("{at}/rootfs/bin/other"), &program(40), 0o755);
        self.put(&format!("{at}/rootfs/etc/plain"), b"text", 0o644);
        self.put(&format!("{at}/note"), b"note", 0o644);
    }

    pub(super) fn mkdir(&mut self, path: &str) {
        self.k.as_host(|vfs, env, by| vfs.mkdir(env, by, From::CWD, path.as_bytes(), 0o755)).unwrap();
    }
    pub(super) fn link(&mut self, target: &str, path: &str) {
        let (target, path) = (target.as_bytes(), path.as_bytes());
        self.k.as_host(|vfs, env, by| vfs.symlink(env, by, target, From::CWD, path)).unwrap();
    }
    pub(super) fn at(&mut self, path: &str) -> Location {
        self.k.as_host(|vfs, env, by| vfs.lookup(env, by, From::CWD, path.as_bytes(), Last::Follow)).unwrap()
    }
    pub(super) fn exists(&mut self, path: &str) -> bool {
        self.k.as_host(|vfs, env, by| vfs.lookup(env, by, From::CWD, path.as_bytes(), Last::NoFollow)).is_ok()
    }
    pub(super) fn put(&mut self, path: &str, bytes: &[u8], mode: u32) {
        let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
        self.k
            .as_host(|vfs, env, by| {
                let Opened::Regular(file) = vfs.open(env, by, From::CWD, path.as_bytes(), flags, mode)?
                else {
                    return Err(Errno::EISDIR);
                };
                let done = vfs.write(env, by, file, bytes);
                vfs.close(env.frames, file);
                done
            })
            .unwrap();
    }

    pub(super) fn census(&mut self) -> Census {
        let mut root = self.k.groups.get(GroupId::ROOT).unwrap().usage;
        (root.cpu, root.oom_kills, root.unknown_calls) = (0, 0, 0);
        let machine = self.k.machine.ids().map(|id| self.k.vfs.namespaces.holders(id));
        Census { kernel: self.k.census(), root, machine }
    }

    pub(super) fn create(&mut self) -> ContainerId {
        self.create_with(Stdio::Log)
    }
    pub(super) fn create_with(&mut self, stdio: Stdio) -> ContainerId {
        self.create_of(stdio, BundleWrites::Allowed)
    }
    pub(super) fn create_of(&mut self, stdio: Stdio, bundle_writes: BundleWrites) -> ContainerId {
        self.try_create_of(stdio, bundle_writes).unwrap()
    }
    pub(super) fn try_create(&mut self, stdio: Stdio) -> Result<ContainerId, Errno> {
        self.try_create_of(stdio, BundleWrites::Allowed)
    }
    fn try_create_of(&mut self, stdio: Stdio, bundle_writes: BundleWrites) -> Result<ContainerId, Errno> {
        let bundle = self.at("/bundles/web");
        self.key += 1;
        let new = NewContainer {
            group: GroupId::ROOT,
            bundle,
            bundle_writes,
            host: self.k.containers.host_root(),
            events: EVENTS,
            bits: 1,
            key: self.key,
            console: ConsoleUse::Allowed,
            stdio,
        };
        self.k.container_create(new)
    }

    /// Carries out steps until one fails: its position.
    pub(super) fn steps(&mut self, id: ContainerId, steps: &[Step]) -> Result<(), (usize, StepFault)> {
        for (at, step) in steps.iter().enumerate() {
            self.k.container_step(id, step).map_err(|fault| (at, fault))?;
        }
        Ok(())
    }
    /// A container at the gate.
    pub(super) fn made(&mut self, plan: &Plan) -> ContainerId {
        let id = self.create();
        if let Err((at, fault)) = self.steps(id, &plan.create) {
            panic!("step {at}: {fault}");
        }
        id
    }
    /// A container that runs.
    pub(super) fn started(&mut self, plan: &Plan) -> ContainerId {
        let id = self.made(plan);
        self.k.container_release(id).unwrap();
        id
    }
    pub(super) fn first(&self, id: ContainerId) -> ProcessId {
        self.k.containers.made(id).unwrap().first().unwrap()
    }
    pub(super) fn event(&mut self) -> Option<ContainerEvent> {
        self.k.container_event(EVENTS).map(|(_, event)| event)
    }

    // ---- being a process ---------------------------------------------------------------------------------------

    fn thread(&self, process: ProcessId) -> ThreadId {
        self.k.processes.get(process).unwrap().threads[0]
    }
    /// Makes a system call as `process`. The text is at the address that [`World::text`] gives.
    pub(super) fn call(&mut self, process: ProcessId, number: u64, args: [u64; 4]) -> i64 {
        let thread = self.thread(process);
        self.run(thread);
        let r = self.k.threads.get_mut(thread).unwrap().registers_mut();
        (r.rax, r.rdi, r.rsi, r.rdx, r.r10) = (number, args[0], args[1], args[2], args[3]);
        r.vector = Registers::SYSCALL;
        self.k.syscall();
        self.k.threads.get(thread).map_or(0, |thread| thread.registers().rax as i64)
    }
    /// Puts a text into the process's memory, below its stack pointer.
    pub(super) fn text(&mut self, process: ProcessId, text: &str) -> u64 {
        self.text_at(process, 0, text)
    }
    /// Puts a text so many bytes after that.
    pub(super) fn text_at(&mut self, process: ProcessId, offset: u64, text: &str) -> u64 {
        let thread = self.thread(process);
        let at = self.k.threads.get(thread).unwrap().registers().rsp - 8192 + offset;
        let bytes = [text.as_bytes(), b"\0"].concat();
        self.k.with_memory(process, |space, s| space.write(s, at, &bytes)).unwrap().unwrap();
        at
    }
    /// Opens a file as `process`: its descriptor, or the negative number.
    pub(super) fn open(&mut self, process: ProcessId, path: &str, flags: u64) -> i64 {
        let at = self.text(process, path);
        self.call(process, 2, [at, flags, 0o644, 0])
    }
    /// Everything in a file, as `process` reads it.
    pub(super) fn read(&mut self, process: ProcessId, path: &str) -> Result<String, i64> {
        let fd = self.open(process, path, 0);
        if fd < 0 {
            return Err(fd);
        }
        let at = self.text(process, "");
        let mut all = Vec::new();
        loop {
            let count = self.call(process, 0, [fd as u64, at, 4096, 0]);
            if count < 0 {
                return Err(count);
            }
            if count == 0 {
                break;
            }
            let mut bytes = alloc::vec![0; count as usize];
            self.k.with_memory(process, |space, s| space.read(s, at, &mut bytes)).unwrap().unwrap();
            all.extend(bytes);
        }
        self.call(process, 3, [fd as u64, 0, 0, 0]);
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
    /// Writes to a descriptor as `process`.
    pub(super) fn write(&mut self, process: ProcessId, fd: u64, text: &str) -> i64 {
        let at = self.text(process, text);
        self.call(process, 1, [fd, at, text.len() as u64, 0])
    }
    /// Stores into a page as `process`.
    pub(super) fn touch(&mut self, process: ProcessId, address: u64) {
        let thread = self.thread(process);
        self.run(thread);
        self.k.page_fault(address, crate::mm::Access::Write);
    }
    /// Lets time pass until `thread` has the processor.
    fn run(&mut self, thread: ThreadId) {
        for _ in 0..1000 {
            self.k.mem.hw.now.0 += 1000;
            self.k.yield_now();
            let _ = self.k.next();
            if self.k.sched.current() == Some(thread) {
                return;
            }
        }
        panic!("the process does not get to run");
    }
    /// Ends `process` with this status.
    pub(super) fn exit(&mut self, process: ProcessId, status: u64) {
        self.call(process, 231, [status, 0, 0, 0]);
    }
}

/// The planner's plan of a configuration: what `runc spec` writes, changed by whoever asks.
pub(super) fn spec_plan(change: impl FnOnce(&mut OciConfig)) -> Plan {
    let mut config = OciConfig::parse(SPEC).unwrap();
    config.process.terminal = false;
    change(&mut config);
    let valid = ValidConfig::new(config).unwrap();
    let request = Request { id: "web", bundle: "/bundles/web", group: "web", stdio: Stdio::Log };
    plan(&valid, &FEATURES, &Policy::default(), &request).unwrap()
}

/// Position of the first step that `wanted` accepts.
pub(super) fn position(plan: &Plan, wanted: impl Fn(&Step) -> bool) -> usize {
    plan.create.iter().position(wanted).unwrap()
}
/// The plan with one step replaced.
pub(super) fn with(plan: &Plan, at: usize, step: Step) -> Plan {
    let mut plan = plan.clone();
    plan.create[at] = step;
    plan
}
