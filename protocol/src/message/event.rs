//! What happened to containers.

use super::{Exit, Nanos, PAGE_ROWS, Waiting};
use crate::error::{Errno, RefusalCode};
use crate::id::ContainerId;
use serde::{Deserialize, Serialize};

/// `Events`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Events {
    /// Position in the stream of all events ever: 0 for the oldest kept, then what the last reply gave as `next`. None
    /// begins with whatever happens next.
    pub cursor: Option<u64>,
    /// Whether to wait when nothing is there.
    pub waiting: Waiting,
}

/// What happened to a container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum EventKind {
    /// Its first process waits at the gate.
    Created,
    /// The gate was opened.
    Started,
    /// Its processes were frozen.
    Paused,
    /// They were thawed.
    Resumed,
    /// Its first process has ended.
    Exited(Exit),
    /// The kernel killed a process in it because memory ran out.
    OutOfMemory,
    /// It was removed.
    Deleted,
    /// Its creation was refused by this rule.
    Refused(RefusalCode),
    /// Its creation failed: the kernel's number.
    Failed(Errno),
    /// What was left of it was removed for it to be made again, the time with this number ([`DeleteMode::Again`](super::DeleteMode::Again)). Its
    /// next life is told from `Created` on.
    Restarted(u32),
    /// Its limits were changed.
    Updated,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventRow {
    /// When it was noticed.
    pub at: Nanos,
    /// The container, by the name that its own factory has for it.
    pub id: ContainerId,
    /// What happened.
    pub kind: EventKind,
}

/// Reply to `Events`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EventPage {
    /// The cursor to go on from.
    pub next: u64,
    /// Events between the asked cursor and these that were dropped before this reader came.
    pub lost: u64,
    /// The events, the oldest first.
    pub rows: heapless::Vec<EventRow, PAGE_ROWS>,
}
