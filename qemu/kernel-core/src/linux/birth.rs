//! New processes and threads: clone(2), fork(2), vfork(2), and the gate through which containers start theirs.

use super::call::{Call, Outcome, Stop, Waiting, linux_of, linux_of_mut, task_of_mut};
use super::descriptor::{self, DescriptionId, Descriptor, Device, End, Object, OnExec, Table};
use super::input::{Input, discard_input};
use super::process::{Interrupted, Keeper, LinuxProcess, LinuxThread, Progress, limit};
use super::signal::SIGCHLD;
use super::{Output, death, exec};
use crate::cred::{Capability, Credentials};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::mm::AddressSpace;
use crate::ns::Namespaces;
use crate::ns::{NamespaceSet, ProcessId, Role, Unshare};
use crate::process::ProcessBody;
use crate::thread::{Channel, Context, ThreadBody, ThreadId};
use crate::vfs::Frames;
use crate::vfs::{FsContext, OpenFlags, Store};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::Namespace;
use bailiwick_protocol::error::Errno;

const CSIGNAL: u64 = 0xff;
const CLONE_VM: u64 = 0x100;
const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SETTLS: u64 = 0x8_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
const CLONE_CHILD_SETTID: u64 = 0x100_0000;
/// `SYSVSEM`, `DETACHED`, `IO`, `UNTRACED`: nothing that could be shared or told apart here.
const CLONE_IDLE: u64 = 0x4_0000 | 0x40_0000 | 0x8000_0000 | 0x80_0000;

/// Kinds of namespace that a flags word of clone(2) or unshare(2) names, in the order in which they are made.
pub(crate) fn namespaces_in(flags: u64) -> impl Iterator<Item = Namespace> {
    Namespace::ALL.into_iter().filter(move |kind| flags & kind.clone_flag() != 0)
}

/// What a child is made with besides its parent's state.
struct Birth {
    memory: AddressSpace,
    credentials: Credentials,
    namespaces: NamespaceSet,
    fs: FsContext,
    descriptors: Table,
}

impl<H: Hw> Call<'_, H> {
    /// clone(2). Memory is shared with threads only: a child of `CLONE_VM | CLONE_VFORK` gets a copy, which it can
    /// tell from sharing only by what its parent sees of its stores.
    pub(crate) fn clone(&mut self) -> Outcome {
        self.make_child(self.arg(0), self.arg(1), self.arg(2), self.arg(3), self.arg(4))
    }
    /// fork(2)
    pub(crate) fn fork(&mut self) -> Outcome {
        self.make_child(u64::from(SIGCHLD), 0, 0, 0, 0)
    }
    /// vfork(2)
    pub(crate) fn vfork(&mut self) -> Outcome {
        self.make_child(CLONE_VFORK | u64::from(SIGCHLD), 0, 0, 0, 0)
    }

    fn make_child(&mut self, flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64) -> Outcome {
        if let Progress::Child(child, number) = self.task()?.progress {
            return self.wait_for_child(child, number);
        }
        if flags & CLONE_THREAD != 0 {
            return self.make_thread(flags, stack, parent_tid, child_tid, tls);
        }
        let kinds: u64 = namespaces_in(flags).map(Namespace::clone_flag).fold(0, |all, flag| all | flag);
        let known =
            CSIGNAL | CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_IDLE;
        let known = known | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | kinds;
        let shares = flags & (CLONE_FS | CLONE_FILES | CLONE_SIGHAND) != 0;
        if flags & !known != 0 || shares || flags & CLONE_VM != 0 && flags & CLONE_VFORK == 0 {
            return Err(Errno::EINVAL.into());
        }
        self.may_fork()?;
        let (child, thread) = self.bear(flags)?;
        let number = linux_of(self.k, child)?.number_in(self.pid_namespace()?);
        if let Some(found) = self.k.threads.get_mut(thread) {
            let registers = found.registers_mut();
            registers.rax = 0;
            if stack != 0 {
                registers.rsp = stack;
            }
            if flags & CLONE_SETTLS != 0 {
                found.context.fs_base = tls;
            }
        }
        let own = linux_of(self.k, child)?.own_number();
        if flags & CLONE_CHILD_SETTID != 0 {
            let bytes = own.to_le_bytes();
            let _ = self.k.with_memory(child, |space, s| space.write(s, child_tid, &bytes));
        }
        if flags & CLONE_CHILD_CLEARTID != 0 {
            task_of_mut(self.k, thread)?.clear_tid = child_tid;
        }
        if flags & CLONE_PARENT_SETTID != 0 {
            let _ = self.write_u32(parent_tid, number);
        }
        self.k.wake_thread(thread);
        if flags & CLONE_VFORK != 0 {
            linux_of_mut(self.k, child)?.on_its_own = false;
            return self.wait_for_child(child, number);
        }
        Ok(u64::from(number))
    }

    /// The parent of vfork(2) waits until its child has a program of its own, or has ended.
    fn wait_for_child(&mut self, child: ProcessId, number: u32) -> Outcome {
        let waits = linux_of(self.k, child)
            .is_ok_and(|linux| !linux.on_its_own && linux.parent == Some(self.process))
            && self.k.processes.get(child).is_some_and(|process| process.exit.is_none());
        if !waits {
            return Ok(u64::from(number));
        }
        self.task_mut()?.progress = Progress::Child(child, number);
        Err(Stop::Wait(Waiting {
            channels: alloc::vec![Channel::Process(child)],
            deadline: None,
            interrupted: Interrupted::Never,
        }))
    }

    /// `RLIMIT_NPROC`
    fn may_fork(&self) -> Result<(), Errno> {
        let me = self.me()?;
        let limit = me.limit(limit::NPROC);
        let exempt = [Capability::SYS_ADMIN, Capability::SYS_RESOURCE]
            .iter()
            .any(|capability| me.credentials.capabilities.effective.has(*capability));
        if limit == u64::MAX || exempt {
            return Ok(());
        }
        let uid = me.credentials.uid;
        let count =
            self.k.processes.iter().filter(|(_, p)| {
                p.exit.is_none() && p.linux().is_some_and(|linux| linux.credentials.uid == uid)
            });
        if count.count() as u64 >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Makes the child process, with one thread that does not run yet.
    fn bear(&mut self, flags: u64) -> Result<(ProcessId, ThreadId), Errno> {
        self.k.room()?;
        let memory = self
            .k
            .with_memory(self.process, |space, s| space.fork(s))
            .ok_or(Errno::ESRCH)?
            .map_err(Errno::from)?;
        let birth = match self.copy_surroundings(memory, flags) {
            Ok(birth) => birth,
            Err((memory, errno)) => {
                destroy(self.k, memory);
                return Err(errno);
            }
        };
        let parent = if flags & CLONE_PARENT != 0 { self.me()?.parent } else { Some(self.process) };
        let context = self.thread()?.context.as_ref().clone();
        let (mask, alternate) = self.task().map(|task| (task.mask, task.alternate))?;
        let me = self.me()?;
        let body = LinuxProcess {
            parent,
            process_group: me.process_group,
            session: me.session,
            fs: Some(birth.fs),
            namespaces: Some(birth.namespaces),
            descriptors: birth.descriptors,
            limits: me.limits,
            actions: me.actions.clone(),
            exit_signal: (flags & CSIGNAL) as u8,
            dumpable: me.dumpable,
            nice: me.nice,
            oom_score: me.oom_score,
            name: me.name.clone(),
            executable: me.executable,
            arguments: me.arguments.clone(),
            environment: me.environment.clone(),
            ..LinuxProcess::empty(birth.credentials)
        };
        let task = LinuxThread { mask, alternate, ..LinuxThread::default() };
        let (child, thread) = enter(self.k, birth.memory, body, context, task)?;
        if let Some(parent) = parent.and_then(|parent| linux_of_mut(self.k, parent).ok()) {
            parent.children.push(child);
        }
        Ok((child, thread))
    }

    fn copy_surroundings(
        &mut self,
        memory: AddressSpace,
        flags: u64,
    ) -> Result<Birth, (AddressSpace, Errno)> {
        let group = self.k.processes.get(self.process).map_or(GroupId::ROOT, |process| process.group);
        let crate::kernel::Kernel { vfs, mem, groups, processes, .. } = &mut *self.k;
        let found = processes.get(self.process).and_then(|process| process.linux());
        let Some(me) = found else { return Err((memory, Errno::ESRCH)) };
        let (Some(set), Some(fs)) = (me.namespaces.as_ref(), me.fs.as_ref()) else {
            return Err((memory, Errno::ESRCH));
        };
        let mut frames = Store { memory: mem, groups };
        let descriptors: Vec<(u32, Descriptor)> = me.descriptors.iter().collect();
        let mut table = Table::default();
        let last = descriptors.last().map_or(0, |(number, _)| *number);
        if let Err(errno) = table.pay_up_to(last, |bytes| frames.charge(bytes)) {
            return Err((memory, errno));
        }
        let mut credentials = me.credentials.clone();
        let mut set = vfs.namespaces.copy_set(set);
        let mut fs = vfs.copy_context(fs);
        for kind in namespaces_in(flags) {
            let made = match kind {
                Namespace::Mount => vfs.unshare_mounts(&mut frames, &mut set, &mut fs, &credentials),
                _ => frames.charge(Namespaces::PRICE).and_then(|charged| {
                    let by = Unshare { credentials: &credentials, group };
                    vfs.namespaces.unshare(&mut set, kind, by, charged)
                }),
            };
            if let Err(errno) = made {
                vfs.release_context(&mut frames, fs);
                vfs.release_set(&mut frames, set);
                return Err((memory, errno));
            }
            if kind == Namespace::User {
                credentials = vfs.namespaces.credentials_inside(&credentials, set.user);
            }
        }
        let child_set = vfs.namespaces.child_set(&set);
        vfs.release_set(&mut frames, set);
        if let Some(file) = me.executable {
            vfs.hold_file(file);
        }
        for (number, descriptor) in descriptors {
            descriptor::hold(self.k, descriptor.description);
            table.put(number, descriptor);
        }
        Ok(Birth { memory, credentials, namespaces: child_set, fs, descriptors: table })
    }

    fn make_thread(&mut self, flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64) -> Outcome {
        let needed = CLONE_VM | CLONE_SIGHAND;
        if flags & needed != needed || namespaces_in(flags).next().is_some() || flags & CLONE_VFORK != 0 {
            return Err(Errno::EINVAL.into());
        }
        let set = self.me()?.namespaces.as_ref().map(|set| set.pid).ok_or(Errno::ESRCH)?;
        let numbers = self.k.vfs.namespaces.take_numbers(set, self.process, Role::Thread)?;
        let mut context = self.thread()?.context.as_ref().clone();
        context.registers.rax = 0;
        context.registers.rsp = if stack == 0 { context.registers.rsp } else { stack };
        if flags & CLONE_SETTLS != 0 {
            context.fs_base = tls;
        }
        let number = numbers.first().map_or(0, |(_, number)| *number);
        let task = LinuxThread {
            mask: self.task()?.mask,
            clear_tid: if flags & CLONE_CHILD_CLEARTID != 0 { child_tid } else { 0 },
            numbers: numbers.clone(),
            ..LinuxThread::default()
        };
        let thread = match self.k.create_thread(self.process, context, ThreadBody::Linux(Box::new(task))) {
            Ok(thread) => thread,
            Err(errno) => {
                self.k.vfs.namespaces.put_numbers(&numbers);
                return Err(errno.into());
            }
        };
        for (flag, at) in [(CLONE_PARENT_SETTID, parent_tid), (CLONE_CHILD_SETTID, child_tid)] {
            if flags & flag != 0 {
                let _ = self.write_u32(at, number);
            }
        }
        self.k.wake_thread(thread);
        Ok(u64::from(number))
    }
}

pub(crate) fn destroy<H: Hw>(k: &mut Kernel<H>, memory: AddressSpace) {
    memory.destroy(&mut k.supply());
}

/// Puts a process into the table, gives it numbers and one thread that waits. On failure nothing is left of it.
fn enter<H: Hw>(
    k: &mut Kernel<H>,
    memory: AddressSpace,
    body: LinuxProcess,
    context: Context,
    task: LinuxThread,
) -> Result<(ProcessId, ThreadId), Errno> {
    let process = match k.adopt_process(memory, ProcessBody::Linux(Box::new(body))) {
        Ok(process) => process,
        Err((memory, body, errno)) => {
            destroy(k, memory);
            if let ProcessBody::Linux(body) = body {
                death::discard(k, *body);
            }
            return Err(errno);
        }
    };
    k.linux.forks += 1;
    let numbers = linux_of(k, process)?
        .namespaces
        .as_ref()
        .map(|set| set.pid)
        .ok_or(Errno::ESRCH)
        .and_then(|namespace| k.vfs.namespaces.take_numbers(namespace, process, Role::Process));
    let numbers = match numbers {
        Ok(numbers) => numbers,
        Err(errno) => {
            death::abandon(k, process);
            return Err(errno);
        }
    };
    if let Some((namespace, _)) = numbers.first() {
        // The numbers stay in use until the end was reported, which may be after the process left its namespaces.
        k.vfs.namespaces.hold(*namespace);
    }
    let linux = linux_of_mut(k, process)?;
    linux.numbers = numbers.clone();
    let (group, session) = (linux.process_group, linux.session);
    death::lead(k, process, group, session);
    match k.create_thread(process, context, ThreadBody::Linux(Box::new(LinuxThread { numbers, ..task }))) {
        Ok(thread) => Ok((process, thread)),
        Err(errno) => {
            death::abandon(k, process);
            Err(errno)
        }
    }
}

/// Where the standard streams of a new process go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Streams {
    /// Input is empty, output goes to this ring.
    Output(u32),
    /// The console is its controlling terminal.
    Terminal,
    /// Input is this one, which is taken over; output goes nowhere.
    Input(Input),
    /// Input is this one, which is taken over; output goes to this ring.
    Piped(Input, u32),
}

impl Streams {
    const fn input(self) -> Option<Input> {
        match self {
            Streams::Output(_) | Streams::Terminal => None,
            Streams::Input(input) | Streams::Piped(input, _) => Some(input),
        }
    }
}

/// A process that is to be started from outside, at the gate of a container.
#[derive(Debug)]
pub struct Gate {
    /// Who pays.
    pub group: GroupId,
    /// Who it is.
    pub credentials: Credentials,
    /// Root, working directory, mask.
    pub fs: FsContext,
    /// Its namespaces; pid and time those of the process itself.
    pub namespaces: NamespaceSet,
    /// Limits, by number.
    pub limits: [(u64, u64); 16],
    /// Out-of-memory score.
    pub oom_score: i16,
    /// Standard streams.
    pub streams: Streams,
}

impl Gate {
    /// The limits of a process that was given none.
    pub fn default_limits() -> [(u64, u64); 16] {
        super::process::default_limits()
    }
}

/// A new ring of output, held once: give it back with [`release_output`].
///
/// # Errors
/// `ENOMEM` if who pays is at a limit, or the kernel's heap is nearly full.
pub fn new_output<H: Hw>(k: &mut Kernel<H>) -> Result<u32, Errno> {
    let charged = k.charge(Output::PRICE)?;
    Ok(k.linux.outputs.insert(Output::held(charged)))
}

/// One holder of a ring of output less.
pub fn release_output<H: Hw>(k: &mut Kernel<H>, output: u32) {
    descriptor::release_output(k, output);
}

/// The ring with this number.
pub fn output<H: Hw>(k: &mut Kernel<H>, number: u32) -> Option<&mut Output> {
    k.linux.outputs.get_mut(number)
}

/// Makes a process at the gate: it has everything but a program. It leads its own session and process group, its
/// parent is the kernel, and its record stays after its end until [`super::collect`].
///
/// # Errors
/// `EAGAIN` at the pids limit, `ENOMEM`; what `gate` holds is given back then.
pub fn spawn<H: Hw>(k: &mut Kernel<H>, gate: Gate) -> Result<ProcessId, Errno> {
    let memory = AddressSpace::new(&mut k.supply(), gate.group);
    let mut body = LinuxProcess {
        fs: Some(gate.fs),
        namespaces: Some(gate.namespaces),
        limits: gate.limits,
        oom_score: gate.oom_score,
        keeper: Keeper::Kernel,
        ..LinuxProcess::empty(gate.credentials)
    };
    let _ = body.name.extend_from_slice(b"gate");
    let Ok(memory) = memory else {
        if let Some(input) = gate.streams.input() {
            discard_input(k, input);
        }
        death::discard(k, body);
        return Err(Errno::ENOMEM);
    };
    if let Err(errno) = streams(k, &mut body.descriptors, gate.streams) {
        death::discard(k, body);
        destroy(k, memory);
        return Err(errno);
    }
    let (process, _) = enter(k, memory, body, Context::new(0, 0), LinuxThread::default())?;
    let linux = linux_of_mut(k, process)?;
    (linux.process_group, linux.session) = (process, process);
    if gate.streams == Streams::Terminal {
        k.linux.terminal.session = Some(process);
        k.linux.terminal.foreground = Some(process);
    }
    Ok(process)
}

fn streams<H: Hw>(k: &mut Kernel<H>, table: &mut Table, streams: Streams) -> Result<(), Errno> {
    let both = OpenFlags::READ_WRITE;
    let (input, output) = match streams {
        Streams::Output(ring) => (
            (Object::Device(Device::Null, None), OpenFlags::empty()),
            (Object::Output(ring), OpenFlags::WRITE_ONLY),
        ),
        Streams::Terminal => {
            let terminal = (Object::Device(Device::Terminal, None), both);
            (terminal, terminal)
        }
        Streams::Input(input) => (
            (Object::Pipe(input.0, End::Read, None), OpenFlags::empty()),
            (Object::Device(Device::Null, None), OpenFlags::WRITE_ONLY),
        ),
        Streams::Piped(input, ring) => (
            (Object::Pipe(input.0, End::Read, None), OpenFlags::empty()),
            (Object::Output(ring), OpenFlags::WRITE_ONLY),
        ),
    };
    let mut put = |k: &mut Kernel<H>, number: u32, description: DescriptionId| {
        descriptor::hold(k, description);
        table.put(number, Descriptor { description, on_exec: OnExec::Keep });
    };
    let input = match descriptor::describe(k, input.0, input.1) {
        Ok(input) => input,
        Err(errno) => {
            if let Some(input) = streams.input() {
                discard_input(k, input);
            }
            return Err(errno);
        }
    };
    put(k, 0, input);
    descriptor::release(k, input);
    let output = descriptor::describe(k, output.0, output.1)?;
    put(k, 1, output);
    put(k, 2, output);
    descriptor::release(k, output);
    Ok(())
}

/// Gives a process at the gate its program. `args` must not be empty.
///
/// # Errors
/// Those of execve(2); the process is unchanged then.
pub fn load<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let thread = first_thread(k, process)?;
    exec::by_search(k, thread, process, args, env)
}

/// As [`load`], with the program's path apart from its arguments; it is not looked up in the `PATH`.
///
/// # Errors
/// Those of execve(2); the process is unchanged then.
pub fn load_at<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    path: &[u8],
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let thread = first_thread(k, process)?;
    exec::by_path(k, thread, process, path, args, env)
}

/// Opens the gate: the process runs its program.
///
/// # Errors
/// `ESRCH` if it has ended.
pub fn release<H: Hw>(k: &mut Kernel<H>, process: ProcessId) -> Result<(), Errno> {
    let thread = first_thread(k, process)?;
    k.wake_thread(thread);
    Ok(())
}

fn first_thread<H: Hw>(k: &Kernel<H>, process: ProcessId) -> Result<ThreadId, Errno> {
    k.processes.get(process).and_then(|process| process.threads.first().copied()).ok_or(Errno::ESRCH)
}
