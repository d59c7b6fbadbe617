//! File descriptors and what they stand for.

use super::signal::SignalInfo;
use super::{call, deliver};
use crate::account::{Charged, price_of};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::ns::NamespaceId;
use crate::thread::Channel;
use crate::vfs::{FileId, OpenFlags, Store};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// An open file description of the Linux side, by position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct DescriptionId(pub(crate) u32);

/// Which end of a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// For reading.
    Read,
    /// For writing.
    Write,
    /// Both: a named pipe opened for both.
    Both,
}

/// Character devices that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// 1:3
    Null,
    /// 1:5
    Zero,
    /// 1:7
    Full,
    /// 1:8 and 1:9
    Random,
    /// 5:0, 5:1 and 4:64: the console.
    Terminal,
}

impl Device {
    /// The device with this number.
    pub fn numbered(major: u32, minor: u32) -> Option<Device> {
        Some(match (major, minor) {
            (1, 3) => Device::Null,
            (1, 5) => Device::Zero,
            (1, 7) => Device::Full,
            (1, 8 | 9) => Device::Random,
            (5, 0 | 1) | (4, 64) => Device::Terminal,
            _ => return None,
        })
    }
}

/// What an open file description stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A file with contents.
    File(FileId),
    /// A directory.
    Directory(FileId),
    /// A place only (`O_PATH`).
    Path(FileId),
    /// A namespace.
    Namespace(FileId, NamespaceId),
    /// A device; the file it was opened by, unless it was given as a standard stream.
    Device(Device, Option<FileId>),
    /// An end of a pipe, and the file if it has a name.
    Pipe(u32, End, Option<FileId>),
    /// Both directions between two processes: read from the first pipe, write to the second.
    Pair(u32, u32),
    /// A ring of output, by number.
    Output(u32),
}

impl Object {
    /// The file of the virtual file system behind it, if there is one.
    pub(crate) fn file(self) -> Option<FileId> {
        match self {
            Object::File(file)
            | Object::Directory(file)
            | Object::Path(file)
            | Object::Namespace(file, _) => Some(file),
            Object::Device(_, file) | Object::Pipe(_, _, file) => file,
            Object::Pair(..) | Object::Output(_) => None,
        }
    }
}

/// An open file description.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) object: Object,
    /// Access mode, append, nonblock.
    pub(crate) flags: OpenFlags,
    pub(crate) holders: u32,
    _charged: Charged,
}

/// A descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Descriptor {
    pub(crate) description: DescriptionId,
    pub(crate) on_exec: OnExec,
}

/// What execve(2) does with a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnExec {
    Keep,
    Close,
}

impl OnExec {
    pub(crate) fn of(flags: OpenFlags) -> OnExec {
        if flags.contains(OpenFlags::CLOSE_ON_EXEC) { OnExec::Close } else { OnExec::Keep }
    }
}

/// The descriptors of a process.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Option<Descriptor>>,
    /// For slots beyond the first [`SLOTS`], which come with the process.
    more: Option<(usize, Charged)>,
}

/// Slots that are paid for at once.
const SLOTS: usize = 64;

impl Table {
    /// What the first slots take of the kernel's heap.
    pub(crate) const PRICE: usize = SLOTS * size_of::<Option<Descriptor>>();

    /// Pays for slots up to this number, if they are not paid for.
    ///
    /// # Errors
    /// `ENOMEM`; nothing changes then.
    pub(crate) fn pay_up_to(
        &mut self,
        number: u32,
        charge: impl FnOnce(usize) -> Result<Charged, Errno>,
    ) -> Result<(), Errno> {
        let wanted = (number as usize + 1).next_multiple_of(SLOTS) - SLOTS;
        let bytes = wanted * size_of::<Option<Descriptor>>();
        match &mut self.more {
            _ if wanted == 0 => {}
            Some((paid, _)) if *paid >= wanted => {}
            Some((paid, charged)) => {
                charged.resize(bytes).map_err(|_| Errno::ENOMEM)?;
                *paid = wanted;
            }
            None => self.more = Some((wanted, charge(bytes)?)),
        }
        Ok(())
    }
    pub(crate) fn get(&self, number: u32) -> Option<Descriptor> {
        self.slots.get(number as usize).copied().flatten()
    }
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Descriptor> {
        self.slots.get_mut(number as usize)?.as_mut()
    }
    /// The lowest free number that is at least `from`.
    pub(crate) fn free(&self, from: u32) -> u32 {
        let from = from as usize;
        let taken = self.slots.get(from..).unwrap_or(&[]);
        (from + taken.iter().position(Option::is_none).unwrap_or(taken.len())) as u32
    }
    /// Puts a descriptor at `number`, which is paid for; returns what was there.
    pub(crate) fn put(&mut self, number: u32, descriptor: Descriptor) -> Option<Descriptor> {
        let at = number as usize;
        if self.slots.len() <= at {
            // What is paid for, and no more.
            let wanted = (at + 1).next_multiple_of(SLOTS);
            self.slots.reserve_exact(wanted - self.slots.len());
            self.slots.resize(at + 1, None);
        }
        self.slots.get_mut(at).and_then(|slot| slot.replace(descriptor))
    }
    pub(crate) fn take(&mut self, number: u32) -> Option<Descriptor> {
        self.slots.get_mut(number as usize)?.take()
    }
    /// All of them, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Descriptor)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at as u32, (*slot)?)))
    }
    /// The lowest that is at least `from`.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        let rest = self.slots.get(from as usize..)?;
        rest.iter().position(Option::is_some).map(|at| from + at as u32)
    }
}

/// A new description, held once. It takes over the file in `object`, and counts the ends of pipes.
pub(crate) fn describe<H: Hw>(
    k: &mut Kernel<H>,
    object: Object,
    flags: OpenFlags,
) -> Result<DescriptionId, Errno> {
    let place = k.linux.descriptions.prepare().ok_or(Errno::ENFILE);
    let charged = place.and_then(|()| k.charge(price_of::<Description>())).inspect_err(|_| {
        if let Some(file) = object.file() {
            close_file(k, file);
        }
    })?;
    match object {
        Object::Pipe(pipe, end, _) => open_end(k, pipe, end),
        Object::Pair(read, write) => {
            open_end(k, read, End::Read);
            open_end(k, write, End::Write);
        }
        Object::Output(output) => {
            if let Some(output) = k.linux.outputs.get_mut(output) {
                output.holders += 1;
            }
        }
        _ => {}
    }
    let description = Description { object, flags, holders: 1, _charged: charged };
    Ok(DescriptionId(k.linux.descriptions.insert(description)))
}

/// One more holder.
pub(crate) fn hold<H: Hw>(k: &mut Kernel<H>, id: DescriptionId) {
    if let Some(description) = k.linux.descriptions.get_mut(id.0) {
        description.holders = description.holders.saturating_add(1);
    }
}

/// One holder less; the last one closes.
pub(crate) fn release<H: Hw>(k: &mut Kernel<H>, id: DescriptionId) {
    let Some(description) = k.linux.descriptions.get_mut(id.0) else { return };
    description.holders = description.holders.saturating_sub(1);
    if description.holders > 0 {
        return;
    }
    let Some(description) = k.linux.descriptions.remove(id.0) else { return };
    match description.object {
        Object::Pipe(pipe, end, file) => {
            close_end(k, pipe, end, if file.is_some() { Fifo::Named } else { Fifo::Nameless });
        }
        Object::Pair(read, write) => {
            close_end(k, read, End::Read, Fifo::Nameless);
            close_end(k, write, End::Write, Fifo::Nameless);
        }
        Object::Output(output) => release_output(k, output),
        _ => {}
    }
    if let Some(file) = description.object.file() {
        close_file(k, file);
    }
}

pub(crate) fn close_file<H: Hw>(k: &mut Kernel<H>, file: FileId) {
    k.vfs.close(&mut Store { memory: &mut k.mem, groups: &mut k.groups }, file);
}

pub(crate) fn open_end<H: Hw>(k: &mut Kernel<H>, number: u32, end: End) {
    let Some(pipe) = k.linux.pipes.get_mut(number) else { return };
    let (reads, writes) = (u32::from(end != End::Write), u32::from(end != End::Read));
    pipe.readers += reads;
    pipe.writers += writes;
    pipe.opens = (pipe.opens.0.wrapping_add(reads), pipe.opens.1.wrapping_add(writes));
}

/// A thread waits in open(2) for the other end of a named pipe. Its own end counts as open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AtFifo {
    pub(crate) pipe: u32,
    pub(crate) end: End,
    /// How often the other end had been opened when it came.
    pub(crate) seen: u32,
}

/// A thread does not wait for the other end of a named pipe any more.
pub(crate) fn leave_fifo<H: Hw>(k: &mut Kernel<H>, thread: crate::thread::ThreadId) {
    if let Ok(task) = call::task_of_mut(k, thread)
        && let Some(at) = task.at_fifo.take()
    {
        close_end(k, at.pipe, at.end, Fifo::Named);
    }
}

/// Whether a pipe has a name that leads to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fifo {
    Named,
    Nameless,
}

/// One end of a pipe less. The last one of both kinds ends the pipe.
pub(crate) fn close_end<H: Hw>(k: &mut Kernel<H>, number: u32, end: End, fifo: Fifo) {
    let Some(pipe) = k.linux.pipes.get_mut(number) else { return };
    pipe.readers -= u32::from(end != End::Write && pipe.readers > 0);
    pipe.writers -= u32::from(end != End::Read && pipe.writers > 0);
    if pipe.readers == 0 && pipe.writers == 0 {
        pipe.clear(&mut Store { memory: &mut k.mem, groups: &mut k.groups });
        k.linux.pipes.remove(number);
        if fifo == Fifo::Named {
            k.linux.fifos.retain(|_, pipe| *pipe != number);
        }
    }
    k.wake(Channel::Queue(number));
}

/// One holder of an output ring less; the last one ends it.
pub(crate) fn release_output<H: Hw>(k: &mut Kernel<H>, number: u32) {
    let Some(output) = k.linux.outputs.get_mut(number) else { return };
    output.holders = output.holders.saturating_sub(1);
    if output.holders == 0 {
        k.linux.outputs.remove(number);
    }
}

impl<H: Hw> super::call::Call<'_, H> {
    /// What descriptor `number` stands for, and its flags.
    ///
    /// # Errors
    /// `EBADF`
    pub(crate) fn object(&self, number: i32) -> Result<(Object, OpenFlags), Errno> {
        let id = self.description(number)?;
        let description = self.k.linux.descriptions.get(id.0).ok_or(Errno::EBADF)?;
        Ok((description.object, description.flags))
    }
    pub(crate) fn description(&self, number: i32) -> Result<DescriptionId, Errno> {
        let number = u32::try_from(number).map_err(|_| Errno::EBADF)?;
        self.me()?.descriptors.get(number).map(|d| d.description).ok_or(Errno::EBADF)
    }
    /// The file of the virtual file system behind a descriptor.
    ///
    /// # Errors
    /// `EBADF`; `ENOTDIR` if it is something else.
    pub(crate) fn file_of(&self, number: i32) -> Result<FileId, Errno> {
        self.object(number)?.0.file().ok_or(Errno::ENOTDIR)
    }

    /// Gives a description the lowest free number from `from` on. On failure the description is released.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`, `EINVAL` if `from` is beyond the limit.
    pub(crate) fn install(
        &mut self,
        description: DescriptionId,
        on_exec: OnExec,
        from: u32,
    ) -> Result<u32, Errno> {
        let found = self.me().map(|me| (me.limit(super::process::limit::NOFILE), me.descriptors.free(from)));
        let number = match found {
            Ok((limit, _)) if u64::from(from) >= limit => Err(Errno::EINVAL),
            Ok((limit, number)) if u64::from(number) >= limit => Err(Errno::EMFILE),
            Ok((_, number)) => self.pay_up_to(number).map(|()| number),
            Err(errno) => Err(errno),
        };
        match number {
            Ok(number) => {
                self.me_mut()?.descriptors.put(number, Descriptor { description, on_exec });
                Ok(number)
            }
            Err(errno) => {
                release(self.k, description);
                Err(errno)
            }
        }
    }
    /// Pays for the caller's descriptors up to this number.
    ///
    /// # Errors
    /// `ENOMEM`
    pub(crate) fn pay_up_to(&mut self, number: u32) -> Result<(), Errno> {
        let Kernel { mem, processes, .. } = &mut *self.k;
        let me = processes.get_mut(self.process).and_then(|process| process.linux_mut());
        me.ok_or(Errno::ESRCH)?.descriptors.pay_up_to(number, |bytes| mem.charge(bytes))
    }
    /// A new description at the lowest free number.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`; what `object` holds is given back then.
    pub(crate) fn install_new(&mut self, object: Object, flags: OpenFlags) -> Result<u32, Errno> {
        let description = describe(self.k, object, flags - OpenFlags::CLOSE_ON_EXEC)?;
        self.install(description, OnExec::of(flags), 0)
    }

    /// `SIGPIPE` to the caller: nobody reads any more.
    pub(crate) fn broken_pipe(&mut self) -> Errno {
        deliver::send_to_thread(self.k, self.thread, super::signal::SIGPIPE, SignalInfo::KERNEL);
        Errno::EPIPE
    }
}
