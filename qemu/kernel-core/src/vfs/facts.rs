//! What proc, sysfs and cgroup file systems ask about processes and the machine, as plain data.

use super::{FileId, FsContext};
use crate::cred::Credentials;
use crate::memory::GroupId;
use crate::ns::{NamespaceSet, ProcessId};
use alloc::string::String;
use alloc::vec::Vec;

/// What one process is, for `stat`, `status` and their neighbours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessFacts {
    /// Its name: up to 15 bytes (`comm`).
    pub name: heapless::Vec<u8, 16>,
    /// State letter of proc_pid_stat(5): `R`, `S`, `D`, `T`, `Z`.
    pub state: u8,
    /// Its parent, if any.
    pub parent: Option<ProcessId>,
    /// The process whose number is its process group's.
    pub process_group: Option<ProcessId>,
    /// The process whose number is its session's.
    pub session: Option<ProcessId>,
    /// Threads.
    pub threads: u32,
    /// User time, nanoseconds.
    pub user_time: u64,
    /// System time, nanoseconds.
    pub system_time: u64,
    /// Start, nanoseconds since boot.
    pub started: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Pages in memory.
    pub resident_pages: u64,
    /// Blocked, ignored and caught signals, one bit each, and pending ones.
    pub signals: [u64; 4],
    /// Nice value.
    pub nice: i8,
    /// Out-of-memory score adjustment.
    pub oom_score: i16,
    /// Resource group.
    pub group: GroupId,
    /// Exit code as wait(2) gives it.
    pub exit_code: i32,
}

/// One line of `maps`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapFacts {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// "r-xp" and the like.
    pub mode: [u8; 4],
    /// Offset in the file.
    pub offset: u64,
    /// The mapped file.
    pub file: Option<FileId>,
    /// A name for what is no file (`[heap]`, `[stack]`), or empty.
    pub name: &'static str,
}

/// What a descriptor stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Descriptor {
    /// A file of the virtual file system.
    File(FileId),
    /// Something else, with the text that readlink(2) shows: `pipe:[7]`.
    Other(String),
}

/// The machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MachineFacts {
    /// Nanoseconds since boot.
    pub uptime: u64,
    /// Nanoseconds the CPU idled.
    pub idle: u64,
    /// Nanoseconds in user mode.
    pub user: u64,
    /// Nanoseconds in the kernel.
    pub system: u64,
    /// Seconds since 1970 at boot.
    pub boot_time: u64,
    /// Frames there are.
    pub total_frames: u64,
    /// Frames free.
    pub free_frames: u64,
    /// Frames that hold file pages.
    pub cached_frames: u64,
    /// Load averages over 1, 5 and 15 minutes, in hundredths.
    pub load: [u32; 3],
    /// Context switches since boot.
    pub switches: u64,
    /// Processes made since boot.
    pub forks: u64,
    /// Interrupts since boot.
    pub interrupts: u64,
    /// Runnable threads.
    pub running: u32,
    /// All threads.
    pub threads: u32,
}

/// A resource group, for the cgroup file system and `/proc/PID/cgroup`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupFacts {
    /// Its path in the tree, "/" for the root.
    pub path: String,
    /// Bytes in use.
    pub memory_current: u64,
    /// Most bytes that were in use.
    pub memory_peak: u64,
    /// Limit in bytes.
    pub memory_max: Option<u64>,
    /// Processes.
    pub pids_current: u32,
    /// Limit.
    pub pids_max: Option<u32>,
    /// CPU time, nanoseconds: all, user, system.
    pub cpu: [u64; 3],
    /// Quota and period in microseconds; no quota is unlimited.
    pub cpu_max: (Option<u64>, u64),
    /// Weight, 1 to 10,000.
    pub cpu_weight: u64,
    /// Processes killed because memory ran out.
    pub oom_kills: u32,
    /// Whether it is frozen.
    pub frozen: bool,
}

/// Where facts come from: the process table, the groups, the machine. Answers are copies or short borrows; an
/// unknown process has none.
pub trait ProcSource {
    /// What a process is.
    fn process(&self, process: ProcessId) -> Option<ProcessFacts>;
    /// Its credentials.
    fn credentials(&self, process: ProcessId) -> Option<&Credentials>;
    /// Its root and working directory; none once it ended.
    fn context(&self, process: ProcessId) -> Option<&FsContext>;
    /// Its namespaces; none once it ended.
    fn namespaces(&self, process: ProcessId) -> Option<&NamespaceSet>;
    /// The program it runs.
    fn executable(&self, process: ProcessId) -> Option<FileId>;
    /// Arguments, each ended by a zero byte.
    fn arguments(&self, process: ProcessId) -> Vec<u8>;
    /// Environment, each entry ended by a zero byte.
    fn environment(&self, process: ProcessId) -> Vec<u8>;
    /// Address space.
    fn maps(&self, process: ProcessId) -> Vec<MapFacts>;
    /// Soft and hard limits, by `RLIMIT_*` number.
    fn limits(&self, process: ProcessId) -> [(u64, u64); 16];
    /// The lowest open descriptor that is at least `from`.
    fn next_descriptor(&self, process: ProcessId, from: u32) -> Option<u32>;
    /// What descriptor `number` stands for.
    fn descriptor(&self, process: ProcessId, number: u32) -> Option<Descriptor>;
    /// Open flags of a descriptor, for `fdinfo`.
    fn descriptor_flags(&self, process: ProcessId, number: u32) -> Option<u32>;
    /// The machine.
    fn machine(&self) -> MachineFacts;
    /// A resource group.
    fn group(&self, group: GroupId) -> Option<GroupFacts>;
    /// Processes that are in the group itself.
    fn group_members(&self, group: GroupId) -> Vec<ProcessId>;
}

/// Nobody and nothing: for the kernel's own work before there are processes, and for tests.
#[derive(Clone, Copy, Debug)]
pub struct NoProcesses;

impl ProcSource for NoProcesses {
    fn process(&self, _: ProcessId) -> Option<ProcessFacts> {
        None
    }
    fn credentials(&self, _: ProcessId) -> Option<&Credentials> {
        None
    }
    fn context(&self, _: ProcessId) -> Option<&FsContext> {
        None
    }
    fn namespaces(&self, _: ProcessId) -> Option<&NamespaceSet> {
        None
    }
    fn executable(&self, _: ProcessId) -> Option<FileId> {
        None
    }
    fn arguments(&self, _: ProcessId) -> Vec<u8> {
        Vec::new()
    }
    fn environment(&self, _: ProcessId) -> Vec<u8> {
        Vec::new()
    }
    fn maps(&self, _: ProcessId) -> Vec<MapFacts> {
        Vec::new()
    }
    fn limits(&self, _: ProcessId) -> [(u64, u64); 16] {
        [(u64::MAX, u64::MAX); 16]
    }
    fn next_descriptor(&self, _: ProcessId, _: u32) -> Option<u32> {
        None
    }
    fn descriptor(&self, _: ProcessId, _: u32) -> Option<Descriptor> {
        None
    }
    fn descriptor_flags(&self, _: ProcessId, _: u32) -> Option<u32> {
        None
    }
    fn machine(&self) -> MachineFacts {
        MachineFacts::default()
    }
    fn group(&self, _: GroupId) -> Option<GroupFacts> {
        None
    }
    fn group_members(&self, _: GroupId) -> Vec<ProcessId> {
        Vec::new()
    }
}
