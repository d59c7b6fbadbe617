//! Native processes: made of a program, given capabilities, started, waited for.

use super::call::{Call, NOTHING, Outcome, PATH_MAX, Stop};
use super::host::{Host, with_host};
use super::{NativeProcess, Stage, exit_word, refused};
use crate::cap::{Capability, Object};
use crate::cred::Credentials;
use crate::hw::{Hw, PAGE, Protection, USER_END};
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::mm::{self, Backing, MapRequest, Place, Role, Sharing};
use crate::ns::ProcessId;
use crate::process::ProcessBody;
use crate::thread::{Channel, Context};
use crate::vfs::{From, Last, Location, OpenFlags, Opened};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_abi::{Error, Handle, Kind, Rights, slot};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

/// Most bytes of the text a process is started with.
pub const TEXT_MAX: usize = 64 << 10;
/// Most threads of a native process: how many calls it can have under way, and how much of what waits elsewhere, such as
/// slots for rights to answer, it can fill.
pub const THREADS_MAX: usize = 64;
/// Bytes of a first thread's stack, and what follows it at the end of the address space.
const STACK: u64 = 1 << 20;

impl<H: Hw> Call<'_, H> {
    /// Who pays for what the caller makes.
    pub(super) fn group(&self) -> GroupId {
        self.k.processes.get(self.process).map_or(GroupId::ROOT, |process| process.group)
    }
    fn process_in(&self, at: usize, rights: Rights) -> Result<ProcessId, Error> {
        match self.object(at, Kind::Process, rights)? {
            Object::Process(id) => Ok(id),
            _ => Err(Error::WRONG_KIND),
        }
    }
    pub(super) fn group_in(&self, handle: Handle, rights: Rights) -> Result<GroupId, Error> {
        match self.named(handle, Kind::Group, rights)? {
            Object::Group(id) => Ok(id),
            _ => Err(Error::WRONG_KIND),
        }
    }

    pub(super) fn process_create(&mut self) -> Outcome {
        let group = self.group_in(self.handle(0), Rights::CREATE)?;
        let directory = self.directory(self.handle(1), Rights::EXECUTE)?;
        let path = self.text(2, PATH_MAX)?;
        let process = self.k.new_native(group, From::inside(directory), &path)?;
        self.hand_out(Object::Process(process))
    }

    pub(super) fn process_grant(&mut self) -> Outcome {
        self.k.room()?;
        let process = self.process_in(0, Rights::WRITE)?;
        let node = self.k.caps.node(self.space, self.handle(2))?;
        let found = self.k.caps.capability(node).ok_or(Error::BAD_HANDLE)?;
        if !found.rights.contains(Rights::GRANT) {
            return Err(Error::DENIED.into());
        }
        if let Object::Reply(_) = found.object {
            return Err(Error::WRONG_KIND.into());
        }
        let native = self.k.processes.get(process).filter(|p| p.exit.is_none()).and_then(|p| p.native());
        let native = native.ok_or(Error::GONE)?;
        if native.stage == Stage::Started {
            return Err(Error::BUSY.into());
        }
        let space = native.space;
        let number = u32::try_from(self.arg(1)).map_err(|_| Error::RANGE)?;
        let rights = found.rights.restrict(Rights(self.arg(3) as u8));
        self.k.caps.insert_at(space, number, Capability { rights, ..found }, Some(node))?;
        Ok(NOTHING)
    }

    pub(super) fn process_start(&mut self) -> Outcome {
        let process = self.process_in(0, Rights::WRITE)?;
        let text = self.text(1, TEXT_MAX)?;
        self.k.start_native(process, &text)?;
        Ok(NOTHING)
    }

    pub(super) fn process_wait(&mut self) -> Outcome {
        let id = self.process_in(0, Rights::READ)?;
        match self.k.processes.get(id).ok_or(Error::GONE)?.exit {
            Some(exit) => Ok([exit_word(exit), 0, 0]),
            None => Err(Stop::Wait(Channel::Process(id), None)),
        }
    }
    pub(super) fn process_kill(&mut self) -> Outcome {
        let id = self.process_in(0, Rights::WRITE)?;
        self.k.end_process(id, Exit::Signal(9));
        Ok(NOTHING)
    }
    pub(super) fn process_watch(&mut self) -> Outcome {
        let id = self.process_in(0, Rights::READ)?;
        let notification = self.notification(1, Rights::WRITE)?;
        let bits = self.arg(2);
        self.k.room()?;
        let process = self.k.processes.get_mut(id).ok_or(Error::GONE)?;
        if process.exit.is_some() {
            self.k.signal_notification(notification, bits);
            return Ok(NOTHING);
        }
        let native = process.native_mut().ok_or(Error::WRONG_KIND)?;
        if native.watchers.len() >= super::WATCHERS_MAX {
            return Err(Error::FULL.into());
        }
        native.watchers.push((notification, bits));
        Ok(NOTHING)
    }
    pub(super) fn process_usage(&mut self) -> Outcome {
        let id = self.process_in(0, Rights::READ)?;
        let process = self.k.processes.get(id).ok_or(Error::GONE)?;
        let frames = process.memory.as_ref().map_or(0, |memory| memory.resident());
        let threads = process.threads.iter().filter_map(|id| self.k.threads.get(*id));
        let time = threads.map(|thread| thread.cpu).sum::<u64>() + process.cpu_of_ended;
        Ok([frames, time, 0])
    }

    pub(super) fn exit(&mut self) -> Outcome {
        self.k.end_process(self.process, Exit::Code(self.arg(0) as u8));
        Err(Stop::Set)
    }
    pub(super) fn thread_create(&mut self) -> Outcome {
        let mut context = Context::new(self.arg(0), self.arg(1));
        context.registers.rdi = self.arg(2);
        // Where it begins is loaded into the instruction pointer: no address but a user's may come there.
        if self.arg(0) >= USER_END || self.arg(1) >= USER_END {
            return Err(Error::BAD_ADDRESS.into());
        }
        if self.k.processes.get(self.process).is_some_and(|own| own.threads.len() >= THREADS_MAX) {
            return Err(Error::FULL.into());
        }
        let thread = self.k.create_native_thread(self.process, context)?;
        self.k.wake_thread(thread);
        Ok(NOTHING)
    }
    pub(super) fn thread_exit(&mut self) -> Outcome {
        self.k.end_thread(self.thread, Exit::Code(0));
        Err(Stop::Set)
    }
}

impl<H: Hw> Kernel<H> {
    /// Makes a native process of a program, without threads and capabilities.
    ///
    /// # Errors
    /// Those of the path; `ENOEXEC` if it is no static program for this machine; `EAGAIN`, `ENOMEM`.
    fn new_native(&mut self, group: GroupId, from: From, path: &[u8]) -> Result<ProcessId, Errno> {
        let space = self.caps.new_space();
        let native = NativeProcess { space, stage: Stage::Started, watchers: Vec::new() };
        let process = match self.create_process(group, ProcessBody::Native(Box::new(native))) {
            Ok(process) => process,
            Err(errno) => {
                self.caps.end_space(space);
                return Err(errno);
            }
        };
        match self.load_native(process, from, path) {
            Ok(entry) => {
                if let Some(native) = self.processes.get_mut(process).and_then(|p| p.native_mut()) {
                    native.stage = Stage::New { entry };
                }
                Ok(process)
            }
            Err(errno) => {
                self.end_process(process, Exit::Signal(9));
                Err(errno)
            }
        }
    }

    /// Maps the program and its stack. Returns where it begins.
    fn load_native(&mut self, process: ProcessId, from: From, path: &[u8]) -> Result<u64, Errno> {
        let group = self.processes.get(process).map_or(GroupId::ROOT, |process| process.group);
        let (file, start) = with_host(self, group, |vfs, env, caller| {
            let (file, _) = vfs.open_program(env, caller, from, path, Last::Follow)?;
            let mut start = alloc::vec![0; PAGE];
            match vfs.read_at(env, caller, file, 0, &mut start) {
                Ok(count) => {
                    start.truncate(count);
                    Ok((file, start))
                }
                Err(errno) => {
                    vfs.close(env.frames, file);
                    Err(errno)
                }
            }
        })?;
        let image = mm::parse(&start).and_then(|image| match image.interpreter {
            None => Ok(image),
            Some(_) => Err(Errno::ENOEXEC),
        });
        let loaded = image.and_then(|image| {
            self.with_memory(process, |space, s| {
                space.stack_max = STACK;
                let loaded = space.load(s, &image, file, None)?;
                let stack = MapRequest {
                    place: Place::FixedNoReplace(USER_END - STACK),
                    length: STACK,
                    protection: Protection::READ | Protection::WRITE,
                    sharing: Sharing::Private,
                    backing: Backing::Anonymous,
                    may_write: true,
                    role: Role::Stack,
                };
                space.map(s, stack).map_err(|_| Errno::ENOEXEC)?;
                Ok(loaded.entry)
            })
            .ok_or(Errno::ESRCH)?
        });
        with_host(self, group, |vfs, env, _| {
            vfs.close(env.frames, file);
            Ok(())
        })?;
        loaded.and_then(|entry| if entry < USER_END { Ok(entry) } else { Err(Errno::ENOEXEC) })
    }

    /// Starts a process: its first thread begins with the address of `text` in `rdi` and its length in `rsi`, on a
    /// stack that is a multiple of 16.
    ///
    /// # Errors
    /// `BUSY` if it was started, `GONE` if it has ended, `NO_MEMORY`, `FULL`.
    fn start_native(&mut self, process: ProcessId, text: &[u8]) -> Result<(), Error> {
        let native = self.processes.get(process).filter(|p| p.exit.is_none()).and_then(|p| p.native());
        let Stage::New { entry } = native.ok_or(Error::GONE)?.stage else { return Err(Error::BUSY) };
        let at = (USER_END - text.len() as u64) & !15;
        let copied = self.with_memory(process, |space, s| space.write(s, at, text));
        copied.and_then(Result::ok).ok_or(Error::NO_MEMORY)?;
        let mut context = Context::new(entry, at);
        (context.registers.rdi, context.registers.rsi) = (at, text.len() as u64);
        let thread = self.create_native_thread(process, context).map_err(refused)?;
        if let Some(native) = self.processes.get_mut(process).and_then(|p| p.native_mut()) {
            native.stage = Stage::Started;
        }
        self.wake_thread(thread);
        Ok(())
    }

    /// Starts the first process: the program at `path` of the boot image, told `text`. It gets a capability to
    /// everything there is, in the slots of [`bailiwick_abi::slot`].
    ///
    /// # Errors
    /// Why it could not be: nothing can run then.
    pub fn start_init(&mut self, path: &[u8], text: &[u8]) -> Result<ProcessId, Errno> {
        let root = self.open_host()?;
        let process = self.new_native(GroupId::ROOT, From::inside(root), path)?;
        let directory = with_host(self, GroupId::ROOT, |vfs, env, caller| {
            match vfs.open_at(env, caller, root, OpenFlags::DIRECTORY)? {
                Opened::Directory(file) => Ok(file),
                _ => Err(Errno::ENOTDIR),
            }
        })?;
        let native = self.processes.get(process).and_then(|p| p.native()).ok_or(Errno::ESRCH)?;
        let space = native.space;
        let objects = [
            (slot::CONSOLE, Object::Console),
            (slot::POWER, Object::Power),
            (slot::ROOT, Object::Directory(directory)),
            (slot::GROUP, Object::Group(GroupId::ROOT)),
            (slot::CLOCK, Object::Clock),
            (slot::SYSTEM, Object::System),
        ];
        for (number, object) in objects {
            let put = self.caps.insert_at(space, number, Capability::all(object), None);
            put.map_err(|error| Errno(error.0))?;
        }
        // It is no Linux process and has no number; a Linux process with its number would be taken for it.
        self.vfs.namespaces.keep_first_number(self.machine.pid);
        self.start_native(process, text).map_err(|error| Errno(error.0))?;
        // Nobody holds it, and yet somebody wants to know how it ends: whoever runs the machine.
        self.init = Some(process);
        Ok(process)
    }

    /// The kernel's own view of files, made at the first use. Returns its root.
    fn open_host(&mut self) -> Result<Location, Errno> {
        if let Some(host) = &self.host {
            return Ok(host.fs.root);
        }
        let fs = self.vfs.new_context(self.machine.mount)?;
        let root = fs.root;
        self.host = Some(Host { fs, credentials: Credentials::root(self.machine.user) });
        Ok(root)
    }
}
