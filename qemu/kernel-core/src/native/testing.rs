//! Native processes without programs, for tests: a test is what runs in them.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "for tests")]

use super::{NativeProcess, Stage};
use crate::cap::{Capability, Object, SpaceId};
use crate::hw::{PAGE, Protection};
use crate::ipc::Missed;
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::mm::{Backing, MapRequest, Place, Role, Sharing};
use crate::ns::ProcessId;
use crate::process::ProcessBody;
use crate::testing::FakeHw;
use crate::thread::{Context, Registers, ThreadId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_abi::{Call, Handle, MessageInfo, SMALL_MAX};

/// Where each process has three pages that can be written; the next address is not mapped.
pub const PAGES: u64 = 0x10_0000;

/// A kernel over the machine of ordinary memory.
pub struct World {
    /// The kernel.
    pub k: Kernel<FakeHw>,
}

/// A process with one thread.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// The process.
    pub process: ProcessId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its capabilities.
    pub space: SpaceId,
}

/// What a call has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    /// It returned this in `rax`, with these in `rdi`, `rsi` and `rdx`.
    Back(u64, [u64; 3]),
    /// It waits.
    Waits,
    /// There is no such thread any more.
    Gone,
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl World {
    /// A kernel without processes.
    pub fn new() -> World {
        World { k: Kernel::start(FakeHw::memory(2048), None).unwrap() }
    }

    /// A new process with three pages at [`PAGES`] and one thread that can run.
    pub fn actor(&mut self) -> Actor {
        let space = self.k.caps.new_space();
        let body = NativeProcess { space, stage: Stage::Started, watchers: Vec::new() };
        let process = self.k.create_process(GroupId::ROOT, ProcessBody::Native(Box::new(body))).unwrap();
        self.map(process, PAGES, 3, Protection::READ | Protection::WRITE);
        let thread = self.thread(process);
        Actor { process, thread, space }
    }
    /// A further thread that can run.
    pub fn thread(&mut self, process: ProcessId) -> ThreadId {
        let thread = self.k.create_native_thread(process, Context::new(0x1000, 0)).unwrap();
        self.k.wake_thread(thread);
        thread
    }
    /// Maps pages of zeros.
    pub fn map(&mut self, process: ProcessId, address: u64, pages: u64, protection: Protection) {
        let request = MapRequest {
            place: Place::Fixed(address),
            length: pages * PAGE as u64,
            protection,
            sharing: Sharing::Private,
            backing: Backing::Anonymous,
            may_write: true,
            role: Role::Plain,
        };
        self.k.with_memory(process, |space, s| space.map(s, request)).unwrap().unwrap();
    }
    /// Gives a process a capability.
    pub fn give(&mut self, to: Actor, capability: Capability) -> Handle {
        self.k.caps.insert(to.space, capability).unwrap()
    }
    /// Gives a process a new endpoint's capability with all rights.
    pub fn endpoint(&mut self, to: Actor) -> (Handle, Object) {
        let object = Object::Endpoint(self.k.new_endpoint().unwrap());
        (self.give(to, Capability::all(object)), object)
    }

    /// The registers of a thread.
    pub fn registers(&self, thread: ThreadId) -> Registers {
        *self.k.threads.get(thread).unwrap().registers()
    }
    /// Puts a message into the registers of a thread.
    pub fn words(&mut self, thread: ThreadId, words: [u64; 8]) {
        let r = self.k.threads.get_mut(thread).unwrap().registers_mut();
        [r.rdx, r.r8, r.r9, r.r10, r.r12, r.r13, r.r14, r.r15] = words;
    }
    /// The message in the registers of a thread.
    pub fn words_in(&self, thread: ThreadId) -> [u64; 8] {
        let r = self.registers(thread);
        [r.rdx, r.r8, r.r9, r.r10, r.r12, r.r13, r.r14, r.r15]
    }
    /// Writes into the memory of a process.
    pub fn write(&mut self, process: ProcessId, address: u64, bytes: &[u8]) {
        self.k.with_memory(process, |space, s| space.write(s, address, bytes)).unwrap().unwrap();
    }
    /// Reads the memory of a process.
    pub fn read(&mut self, process: ProcessId, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = alloc::vec![0; length];
        self.k.with_memory(process, |space, s| space.read(s, address, &mut bytes)).unwrap().unwrap();
        bytes
    }

    /// Lets a thread that can run make a call with two arguments; the other registers are left as they are.
    pub fn enter(&mut self, thread: ThreadId, call: Call, first: u64, second: u64) -> Came {
        self.run(thread);
        let r = self.k.threads.get_mut(thread).unwrap().registers_mut();
        (r.rax, r.rdi, r.rsi, r.vector) = (call as u64, first, second, Registers::SYSCALL);
        self.k.syscall();
        self.came(thread)
    }
    /// The same by the function that the call has of its own, if it has one.
    pub fn enter_directly(&mut self, thread: ThreadId, call: Call, args: [u64; 3]) -> Option<Came> {
        self.run(thread);
        let r = self.k.threads.get_mut(thread).unwrap().registers_mut();
        (r.rax, [r.rdi, r.rsi, r.rdx], r.vector) = (call as u64, args, Registers::SYSCALL);
        assert_eq!(self.k.native_call(), Some(call as u64));
        match call {
            Call::Null => self.k.null_call(),
            Call::Derive => drop(self.k.derive_call()),
            Call::Delete => drop(self.k.delete_call()),
            Call::Revoke => drop(self.k.revoke_call()),
            _ => return None,
        }
        Some(self.came(thread))
    }
    /// Does for the current thread what the trap code does before anything else: a call that may go the short way
    /// does. False if it must go the long way.
    pub fn try_short(&mut self, call: Call, handle: u64, info: MessageInfo) -> bool {
        let (handle, plain) = (Handle(handle), info.0 <= SMALL_MAX as u64);
        let Some(from) = self.k.sched.current() else {
            return self.k.fast_send(handle).or(self.k.fast_reply_receive(handle)).is_ok();
        };
        let switch = match call {
            Call::Send if plain => self.k.fast_send(handle),
            Call::Send if info.is_small() => self.k.fast_send_offering(handle, info),
            Call::Send if info.is_small_with_one() => self.k.fast_send_capability(handle, info),
            Call::Send if info.capabilities() > 0 => self.k.send_any(handle, info),
            Call::Send => self.k.fast_send_long(handle, info),
            Call::ReplyReceive if plain => self.k.fast_reply_receive(handle),
            Call::ReplyReceive if info.is_small() => self.k.fast_reply_receive_offering(handle, info),
            Call::ReplyReceive if info.is_small_with_one() => {
                self.k.fast_reply_receive_capability(handle, info)
            }
            Call::ReplyReceive if info.capabilities() > 0 => self.k.reply_receive_any(handle, info),
            Call::ReplyReceive => self.k.fast_reply_receive_long(handle, info),
            _ => Err(Missed::Otherwise),
        };
        let switch = match (switch, call) {
            (Err(Missed::TwoGroups), Call::Send) if info.is_small() => self.k.send_across(handle, info),
            (Err(Missed::TwoGroups), _) if info.is_small() => self.k.reply_receive_across(handle, info),
            (switch, _) => switch,
        };
        let switch = match (switch, call) {
            (Err(Missed::TwoGroups), Call::Send) => self.k.send_any(handle, info),
            (Err(Missed::TwoGroups), _) => self.k.reply_receive_any(handle, info),
            (switch, _) => switch,
        };
        let (Ok(switch), Some(to)) = (switch, self.k.sched.current()) else { return false };
        let context = core::ptr::from_ref(self.k.threads.get(to).unwrap().context.as_ref());
        assert_eq!(switch.context.cast_const(), context, "somebody else's registers");
        let process = self.k.threads.get(to).unwrap().process;
        let tables = self.k.processes.get(process).unwrap().memory.as_ref().unwrap().space();
        assert_eq!(switch.tables, tables, "somebody else's page tables");
        let used = if info.length() > SMALL_MAX { 0 } else { info.length().div_ceil(8) };
        let sent = self.words_in(from);
        self.words(to, core::array::from_fn(|at| if at < used { sent[at] } else { 0 }));
        let r = self.k.threads.get_mut(to).unwrap().registers_mut();
        (r.rax, r.rdi, r.rsi) = (0, switch.badge, info.with_room(0).0);
        true
    }
    /// Lets a thread make a call with six arguments.
    pub fn call(&mut self, thread: ThreadId, call: Call, args: [u64; 6]) -> Came {
        let r = self.k.threads.get_mut(thread).unwrap().registers_mut();
        [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args;
        self.enter(thread, call, args[0], args[1])
    }
    /// Gives a thread the processor.
    pub fn run(&mut self, thread: ThreadId) {
        assert!(self.k.is_runnable(thread), "{thread:?} waits");
        let Kernel { sched, groups, threads, .. } = &mut self.k;
        sched.put_back(groups, threads);
        sched.forget(groups, threads, thread);
        sched.switch_to(thread);
    }
    /// What the last call of a thread has come to.
    pub fn came(&self, thread: ThreadId) -> Came {
        match self.k.threads.get(thread) {
            None => Came::Gone,
            Some(_) if !self.k.is_runnable(thread) => Came::Waits,
            Some(found) => {
                let r = found.registers();
                Came::Back(r.rax, [r.rdi, r.rsi, r.rdx])
            }
        }
    }
}
