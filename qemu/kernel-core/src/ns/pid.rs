//! Process-id namespaces (pid_namespaces(7)): a process has one number in its own and in every one above.

use crate::ns::NamespaceId;
use alloc::collections::BTreeMap;

/// A process, by its position in the kernel's table. Opaque here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProcessId(pub u32);

/// Highest number plus one (`/proc/sys/kernel/pid_max`).
pub const PID_MAX: u32 = 32768;

/// Whether a number is a process's or one of its further threads'.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The process's own number: its first thread's.
    Process,
    /// A further thread's.
    Thread,
}

/// One namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PidNamespace {
    /// The one it was made in; none for the first.
    pub parent: Option<NamespaceId>,
    /// Distance from the first.
    pub level: u8,
    /// The first process ended: no new ones are made.
    pub ended: bool,
    last: u32,
    numbers: BTreeMap<u32, (ProcessId, Role)>,
    processes: BTreeMap<ProcessId, u32>,
}

impl PidNamespace {
    /// The first namespace. Number 1 is the first Linux process's, whose end is the end of all others, unless
    /// `PidNamespace::keep_first` is called before.
    pub fn first() -> Self {
        PidNamespace::default()
    }
    /// Number 1 is nobody's: none of the processes here is the one that the others depend on.
    pub(super) fn keep_first(&mut self) {
        self.last = self.last.max(1);
    }
    /// A namespace inside `parent`, which has level `level - 1`.
    pub fn below(parent: NamespaceId, level: u8) -> Self {
        PidNamespace { parent: Some(parent), level, ..PidNamespace::default() }
    }

    /// The next free number, for `process`. None if there is none.
    pub(super) fn take(&mut self, process: ProcessId, role: Role) -> Option<u32> {
        let mut number = self.last;
        for _ in 0..PID_MAX {
            number = if number + 1 >= PID_MAX { if self.last < 300 { 1 } else { 300 } } else { number + 1 };
            if !self.numbers.contains_key(&number) {
                self.last = number;
                self.numbers.insert(number, (process, role));
                if role == Role::Process {
                    self.processes.insert(process, number);
                }
                return Some(number);
            }
        }
        None
    }
    pub(super) fn put(&mut self, number: u32) {
        if let Some((process, Role::Process)) = self.numbers.remove(&number) {
            self.processes.remove(&process);
        }
    }
    /// Who has `number`.
    pub fn find(&self, number: u32) -> Option<(ProcessId, Role)> {
        self.numbers.get(&number).copied()
    }
    /// The number of `process`, if it is visible here.
    pub fn number(&self, process: ProcessId) -> Option<u32> {
        self.processes.get(&process).copied()
    }
    /// All processes visible here, by number.
    pub fn processes(&self) -> impl Iterator<Item = (u32, ProcessId)> {
        self.numbers.iter().filter(|(_, (_, role))| *role == Role::Process).map(|(n, (p, _))| (*n, *p))
    }
    /// The first number above `number` that is a process's.
    pub fn next_process(&self, number: u32) -> Option<(u32, ProcessId)> {
        let start = number.checked_add(1)?;
        self.numbers.range(start..).find(|(_, (_, role))| *role == Role::Process).map(|(n, (p, _))| (*n, *p))
    }
    /// How many numbers are given out.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }
    /// The number that was given last.
    pub fn last(&self) -> u32 {
        self.last
    }
}

/// The numbers of one thread: its own namespace first, then every one above.
pub type Numbers = heapless::Vec<(NamespaceId, u32), 33>;
