//! A system call under way, and which one it is.

use super::refused;
use crate::cap::{Capability, Object, SpaceId};
use crate::hw::Hw;
use crate::ipc::{Done, EndpointId, NotificationId};
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::ns::ProcessId;
use crate::thread::{Channel, ThreadId};
use alloc::vec::Vec;
use bailiwick_abi::{Call as Number, Error, Handle, Kind, Rights};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;

/// Why a call does not return three words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// It was refused.
    Refused(Error),
    /// It waits and will be made again.
    Wait(Channel, Option<Nanos>),
    /// The registers are set, it waits for the other side, or the thread is no more.
    Set,
}

/// What a call comes to: the three result words.
pub(super) type Outcome = Result<[u64; 3], Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Refused(error)
    }
}
impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Refused(refused(errno))
    }
}

/// Nothing but success.
pub(super) const NOTHING: [u64; 3] = [0; 3];

/// Most bytes of a path or name.
pub(super) const PATH_MAX: usize = 4096;

/// A system call under way.
pub(super) struct Call<'k, H: Hw> {
    pub(super) k: &'k mut Kernel<H>,
    pub(super) thread: ThreadId,
    pub(super) process: ProcessId,
    pub(super) space: SpaceId,
    pub(super) args: [u64; 6],
}

impl<H: Hw> Call<'_, H> {
    pub(super) fn dispatch(&mut self, number: u64) -> Outcome {
        let Some(call) = Number::from_number(number) else { return Err(Error::NO_CALL.into()) };
        match call {
            Number::Null => Ok(NOTHING),
            Number::Send => self.send(),
            Number::Receive => self.receive(),
            Number::Reply => self.reply(),
            Number::ReplyReceive => self.reply_receive(),
            Number::ParkReply => self.park_reply(),
            Number::SetBuffer => self.set_buffer(),
            Number::Signal => self.signal(),
            Number::Wait => self.wait(),
            Number::Bind => self.bind(),
            Number::TakeBadge => self.take_badge(),
            Number::Derive => self.derive(),
            Number::Delete => self.delete(),
            Number::Revoke => self.revoke(),
            Number::RevokeBadge => self.revoke_badge(),
            Number::Inspect => self.inspect(),
            Number::EndpointCreate => self.endpoint_create(),
            Number::NotificationCreate => self.notification_create(),
            Number::MemoryCreate => self.memory_create(),
            Number::MemoryMap => self.memory_map(),
            Number::Allocate => self.allocate(),
            Number::Unmap => self.unmap(),
            Number::ProcessCreate => self.process_create(),
            Number::ProcessGrant => self.process_grant(),
            Number::ProcessStart => self.process_start(),
            Number::ProcessWait => self.process_wait(),
            Number::ProcessKill => self.process_kill(),
            Number::ProcessWatch => self.process_watch(),
            Number::ProcessUsage => self.process_usage(),
            Number::Exit => self.exit(),
            Number::ThreadCreate => self.thread_create(),
            Number::ThreadExit => self.thread_exit(),
            Number::Yield => {
                self.k.yield_now();
                Ok(NOTHING)
            }
            Number::ClockNow => self.clock_now(),
            Number::ClockRealtime => self.clock_realtime(),
            Number::SleepUntil => self.sleep_until(),
            Number::ConsoleWrite => self.console_write(),
            Number::ConsoleRead => self.console_read(),
            Number::ConsoleWatch => self.console_watch(),
            Number::PowerOff => self.power_off(),
            Number::SystemMemory => self.system_memory(),
            Number::SystemCensus => self.system_census(),
            Number::GroupCreate => self.group_create(),
            Number::GroupDestroy => self.group_destroy(),
            Number::GroupUsage => self.group_usage(),
            Number::DirectoryOpen => self.directory_open(),
            Number::FileRead => self.file_read(),
            Number::DirectoryList => self.directory_list(),
            Number::ContainerCreate => self.container_create(),
            Number::ContainerSteps => self.container_steps(),
            Number::ContainerRelease => self.container_release(),
            Number::ContainerExecute => self.container_execute(),
            Number::ContainerHook => self.container_hook(),
            Number::ContainerSignal => self.container_signal(),
            Number::ContainerFreeze => self.container_freeze(),
            Number::ContainerThaw => self.container_thaw(),
            Number::ContainerStatistics => self.container_statistics(),
            Number::ContainerProcesses => self.container_processes(),
            Number::ContainerOutput => self.container_output(),
            Number::ContainerInput => self.container_input(),
            Number::ContainerEvent => self.container_event(),
            Number::ContainerForget => self.container_forget(),
            Number::ContainerDestroy => self.container_destroy(),
            Number::ContainerRemove => self.container_remove(),
            Number::ContainerFault => self.container_fault(),
            Number::ContainerOpen => self.container_open(),
            Number::ContainerUpdate => self.container_update(),
        }
    }

    // ---- arguments -----------------------------------------------------------------------------------------------

    pub(super) fn arg(&self, at: usize) -> u64 {
        self.args.get(at).copied().unwrap_or(0)
    }
    pub(super) fn handle(&self, at: usize) -> Handle {
        Handle(self.arg(at))
    }
    /// A length in an argument: more than fits the address space is more than any limit.
    pub(super) fn length(&self, at: usize) -> usize {
        usize::try_from(self.arg(at)).unwrap_or(usize::MAX)
    }
    /// The capability that an argument names.
    pub(super) fn look(&self, at: usize) -> Result<Capability, Error> {
        self.k.caps.look(self.space, self.handle(at))
    }
    /// The object that a handle names.
    pub(super) fn named(&self, handle: Handle, kind: Kind, rights: Rights) -> Result<Object, Error> {
        self.k.caps.object(self.space, handle, kind, rights)
    }
    /// The object that an argument names.
    pub(super) fn object(&self, at: usize, kind: Kind, rights: Rights) -> Result<Object, Error> {
        self.named(self.handle(at), kind, rights)
    }
    pub(super) fn endpoint(&self, at: usize, rights: Rights) -> Result<EndpointId, Error> {
        match self.object(at, Kind::Endpoint, rights)? {
            Object::Endpoint(id) => Ok(id),
            _ => Err(Error::WRONG_KIND),
        }
    }
    pub(super) fn notification_of(&self, handle: Handle, rights: Rights) -> Result<NotificationId, Error> {
        match self.named(handle, Kind::Notification, rights)? {
            Object::Notification(id) => Ok(id),
            _ => Err(Error::WRONG_KIND),
        }
    }
    pub(super) fn notification(&self, at: usize, rights: Rights) -> Result<NotificationId, Error> {
        self.notification_of(self.handle(at), rights)
    }
    /// The deadline in an argument: `u64::MAX` is none.
    pub(super) fn deadline(&self, at: usize) -> Option<Nanos> {
        Some(self.arg(at)).filter(|time| *time != u64::MAX).map(Nanos)
    }
    pub(super) fn now(&self) -> Nanos {
        self.k.mem.hw.now()
    }

    // ---- memory --------------------------------------------------------------------------------------------------

    pub(super) fn read_bytes(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let copied = self.k.with_memory(self.process, |space, s| space.read(s, address, buffer));
        copied.and_then(Result::ok).ok_or(Error::BAD_ADDRESS)
    }
    pub(super) fn write_bytes(&mut self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        let copied = self.k.with_memory(self.process, |space, s| space.write(s, address, bytes));
        copied.and_then(Result::ok).ok_or(Error::BAD_ADDRESS)
    }
    /// Copies the bytes in, which two arguments from `at` on name: address and length.
    ///
    /// # Errors
    /// `TOO_LARGE` beyond `max` bytes, `BAD_ADDRESS`, `NO_MEMORY`.
    pub(super) fn text(&mut self, at: usize, max: usize) -> Result<Vec<u8>, Error> {
        self.text_at(self.arg(at), self.length(at + 1), max)
    }
    pub(super) fn text_at(&mut self, address: u64, length: usize, max: usize) -> Result<Vec<u8>, Error> {
        if length > max {
            return Err(Error::TOO_LARGE);
        }
        self.k.room().map_err(refused)?;
        let mut bytes = alloc::vec![0; length];
        self.read_bytes(address, &mut bytes)?;
        Ok(bytes)
    }
    /// Whether `length` bytes from `address` on can be written.
    pub(super) fn writable(&mut self, address: u64, length: usize) -> Result<(), Error> {
        let reach = |space: &mut crate::mm::AddressSpace, s: &mut crate::mm::Supply<'_, H>| {
            space.reach(s, address, length, Access::Write)
        };
        match self.k.with_memory(self.process, reach) {
            Some(reached) if reached == length => Ok(()),
            _ => Err(Error::BAD_ADDRESS),
        }
    }
    /// Writes a result into the buffer that two arguments from `at` on name; returns its length.
    ///
    /// # Errors
    /// `TOO_LARGE` if it does not fit, `BAD_ADDRESS`.
    pub(super) fn give(&mut self, at: usize, bytes: &[u8]) -> Result<u64, Error> {
        if bytes.len() > self.length(at + 1) {
            return Err(Error::TOO_LARGE);
        }
        self.write_bytes(self.arg(at), bytes)?;
        Ok(bytes.len() as u64)
    }
}

/// What a message call comes to, as an outcome.
pub(super) fn message_outcome(done: Result<Done, Error>) -> Outcome {
    match done {
        Ok(Done::Returns) => Ok(NOTHING),
        Ok(Done::Set) => Err(Stop::Set),
        Err(error) => Err(error.into()),
    }
}
