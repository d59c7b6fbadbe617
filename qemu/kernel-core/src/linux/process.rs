//! What a Linux process and its threads are, besides memory and registers.

use super::descriptor::Table;
use super::signal::{Actions, Pending, Signals};
use crate::account::PIECE;
use crate::cred::Credentials;
use crate::ns::{NamespaceSet, Numbers, ProcessId};
use crate::vfs::{FileId, FsContext};
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;

/// What an undone system call had achieved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Progress {
    /// Nothing.
    #[default]
    None,
    /// It ends at this time at the latest.
    Deadline(Nanos),
    /// Its futex was woken.
    Woken,
    /// So many bytes are written.
    Written(u64),
    /// The child was made (vfork(2)): it is waited for until it has its own program or ends.
    Child(ProcessId, u32),
}

/// How a signal with a handler ends a waiting call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupted {
    /// It is made again if the handler's action says so (`SA_RESTART`), otherwise `EINTR`.
    Restarts,
    /// `EINTR` always.
    Fails,
    /// Only a signal that ends the process does.
    Never,
}

/// What a thread has besides its registers.
#[derive(Debug, Default)]
pub struct LinuxThread {
    /// Its numbers, own pid namespace first.
    pub numbers: Numbers,
    /// Signals that wait.
    pub mask: Signals,
    /// The mask to go back to once a signal was dealt with.
    pub(crate) saved_mask: Option<Signals>,
    /// Signals sent to this thread alone.
    pub(crate) pending: Pending,
    /// Alternate signal stack: start and size; no size is none.
    pub(crate) alternate: (u64, u64),
    /// Where to write 0 at the end (`CLONE_CHILD_CLEARTID`); 0 is nowhere.
    pub(crate) clear_tid: u64,
    /// A call was undone and waits.
    pub(crate) waits: Option<Interrupted>,
    /// What that call had achieved.
    pub(crate) progress: Progress,
    /// It waits in open(2) for the other end of this named pipe.
    pub(crate) at_fifo: Option<super::descriptor::AtFifo>,
}

/// What wait(2) can report of a child besides its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    Stopped(u8),
    Continued,
}

/// The interval timer of setitimer(2) `ITIMER_REAL`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Alarm {
    pub(crate) at: Option<Nanos>,
    pub(crate) interval: u64,
}

/// Whether a process runs or is stopped by a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    Runs,
    /// By this signal.
    Stopped(u8),
}

/// What a thread takes of the kernel's heap besides its state.
pub(crate) const OF_THREAD: usize = PIECE + size_of::<LinuxThread>() + Pending::PRICE + NUMBERS;

/// What numbers in two pid namespaces take of the kernel's heap. Nodes of a B-tree may be half empty.
const NUMBERS: usize = 2 * 4 * size_of::<(ProcessId, u32)>();

/// What a Linux process has besides its address space.
#[derive(Debug)]
pub struct LinuxProcess {
    /// Its numbers, own pid namespace first.
    pub numbers: Numbers,
    pub(crate) parent: Option<ProcessId>,
    pub(crate) children: Vec<ProcessId>,
    /// Leader of its process group; its record stays while there are members.
    pub(crate) process_group: ProcessId,
    /// Leader of its session; its record stays while there are members.
    pub(crate) session: ProcessId,
    /// How many processes name this one as leader of their group or session, itself aside.
    pub(crate) led: u32,
    /// Its end was reported: only the number is still in use.
    pub(crate) reaped: bool,
    /// Who it is.
    pub credentials: Credentials,
    /// Root, working directory, mask; none once it has ended.
    pub(crate) fs: Option<FsContext>,
    /// Namespaces; none once it has ended.
    pub(crate) namespaces: Option<NamespaceSet>,
    pub(crate) descriptors: Table,
    /// Soft and hard limits, by number.
    pub limits: [(u64, u64); 16],
    pub(crate) actions: Actions,
    pub(crate) pending: Pending,
    pub(crate) job: Job,
    pub(crate) report: Option<Report>,
    pub(crate) alarm: Alarm,
    /// Signal to the parent at the end.
    pub(crate) exit_signal: u8,
    /// Signal to this process when its parent ends.
    pub(crate) parent_death_signal: u8,
    /// It has its own program, or has ended: who made it by vfork(2) may go on.
    pub(crate) on_its_own: bool,
    /// It called execve(2) since it was made.
    pub(crate) executed: bool,
    pub(crate) subreaper: bool,
    pub(crate) dumpable: bool,
    pub(crate) nice: i8,
    pub(crate) oom_score: i16,
    pub(crate) name: heapless::Vec<u8, 16>,
    pub(crate) executable: Option<FileId>,
    pub(crate) arguments: Vec<u8>,
    pub(crate) environment: Vec<u8>,
    /// User and system time of children that were waited for, in nanoseconds.
    pub(crate) children_time: (u64, u64),
    /// Calls that are unknown here.
    pub unknown_calls: u32,
    /// Who is told of its end.
    pub(crate) keeper: Keeper,
}

/// Who is told of a process's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeper {
    /// Its parent, by wait(2); without one its record goes at once.
    Parent,
    /// The kernel: the record stays until [`crate::linux::collect`].
    Kernel,
}

/// Number of a limit of setrlimit(2).
pub(crate) mod limit {
    pub(crate) const FSIZE: usize = 1;
    pub(crate) const STACK: usize = 3;
    pub(crate) const NPROC: usize = 6;
    pub(crate) const NOFILE: usize = 7;
    pub(crate) const AS: usize = 9;
}

/// Most descriptors a process can ever be allowed.
pub(crate) const NOFILE_MAX: u64 = 4096;

/// Limits of a process that was given none.
pub(crate) fn default_limits() -> [(u64, u64); 16] {
    let mut limits = [(u64::MAX, u64::MAX); 16];
    limits[limit::STACK] = (8 << 20, u64::MAX);
    limits[limit::NOFILE] = (1024, NOFILE_MAX);
    // Core files are not written; locked memory, queues and priorities are not given.
    limits[4] = (0, u64::MAX);
    limits[8] = (8 << 20, 8 << 20);
    limits[12] = (819_200, 819_200);
    limits[13] = (0, 0);
    limits[14] = (0, 0);
    limits
}

impl LinuxProcess {
    /// What one takes of the kernel's heap, with so many bytes of text.
    pub(crate) const fn price(text: usize) -> usize {
        size_of::<LinuxProcess>()
            + Table::PRICE
            + Actions::PRICE
            + Pending::PRICE
            + NUMBERS
            + 4 * PIECE
            + text
    }
    /// Bytes of what it keeps that its program chose: arguments, environment, supplementary groups.
    pub(crate) fn text(&self) -> usize {
        let groups = self.credentials.groups.len() * size_of::<crate::cred::Gid>();
        self.arguments.len() + self.environment.len() + groups
    }
    /// The soft limit with this number.
    pub(crate) fn limit(&self, number: usize) -> u64 {
        self.limits.get(number).map_or(u64::MAX, |(soft, _)| *soft)
    }
    /// Its number in its own pid namespace.
    pub(crate) fn own_number(&self) -> u32 {
        self.numbers.first().map_or(0, |(_, number)| *number)
    }
    /// Its number in `namespace`; 0 if it has none there.
    pub(crate) fn number_in(&self, namespace: crate::ns::NamespaceId) -> u32 {
        self.numbers.iter().find(|(id, _)| *id == namespace).map_or(0, |(_, number)| *number)
    }
    /// Whether it is the first process of its pid namespace: signals without a handler do not reach it.
    pub(crate) fn is_init(&self) -> bool {
        self.own_number() == 1
    }
}

impl LinuxProcess {
    /// A process that has nothing.
    pub(crate) fn empty(credentials: Credentials) -> LinuxProcess {
        LinuxProcess {
            numbers: Numbers::new(),
            parent: None,
            children: Vec::new(),
            process_group: ProcessId(u32::MAX),
            session: ProcessId(u32::MAX),
            led: 0,
            reaped: false,
            credentials,
            fs: None,
            namespaces: None,
            descriptors: Table::default(),
            limits: default_limits(),
            actions: Actions::default(),
            pending: Pending::default(),
            job: Job::Runs,
            report: None,
            alarm: Alarm::default(),
            exit_signal: 0,
            parent_death_signal: 0,
            on_its_own: true,
            executed: false,
            subreaper: false,
            dumpable: true,
            nice: 0,
            oom_score: 0,
            name: heapless::Vec::new(),
            executable: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            children_time: (0, 0),
            unknown_calls: 0,
            keeper: Keeper::Parent,
        }
    }
}
