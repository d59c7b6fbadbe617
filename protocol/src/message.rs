//! Requests and replies, one type each per operation.
//!
//! Everything here borrows from the frame: decoding copies nothing, allocates nothing and takes time linear in
//! the frame. No sequence has elements of size zero, so a claimed length cannot drive a loop by itself.

mod authority;
mod event;
mod state;

use crate::id::ContainerId;
use crate::quota::{Amounts, Quota};
use crate::rights::Rights;
use serde::{Deserialize, Serialize};

pub use authority::*;
pub use event::*;
pub use state::*;

/// Nanoseconds of the kernel's monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Nanos(pub u64);

/// Where a process's standard streams go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stdio {
    /// Input is empty; output goes to the record's bounded log.
    Log,
    /// As `Log`, and each line also appears on the console behind the container's id.
    Console,
    /// The console is the process's terminal until it ends.
    Terminal,
    /// The streams the server itself was started with (an embedded server on Linux).
    Inherit,
    /// As `Log`, but input is a pipe that [`Input`] writes to.
    Piped,
}

/// `Create`. The bundle's directory capability comes beside the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Create<'a> {
    /// The wanted id; checked by the server, so that a refusal can say what is wrong with it.
    pub id: &'a str,
    /// What the state reports as the bundle's path. Not opened by anyone.
    pub bundle: &'a str,
    /// Standard streams.
    pub stdio: Stdio,
}

/// `List`, `Processes` and `Plan`: which page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Page {
    /// Position to go on from: 0 first, then what the last reply gave as `next`.
    pub from: u32,
}

/// `Lookup`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lookup<'a> {
    /// The container's id.
    pub id: &'a str,
    /// Mask put over the factory's container rights.
    pub rights: Rights,
}

/// Longest text of a policy, in bytes: with everything else it fits a frame.
pub const POLICY_MAX: usize = 3072;

/// `Delegate`: the sub-factory's bounds. Each is cut to the parent's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delegate<'a> {
    /// Mask put over the parent's rights.
    pub rights: Rights,
    /// What it may have at one time. Where nothing is said, what goes with the number of containers, or else what
    /// the parent may have.
    pub quota: Quota,
    /// What its bundles may ask for, as the text of a policy of at most [`POLICY_MAX`] bytes; none for the parent's.
    pub policy: Option<&'a str>,
}

/// Reply to `Usage`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// What this factory and everything below it uses.
    pub used: Amounts,
    /// What it may use at one time.
    pub quota: Quota,
}

/// Reply to `Limits`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitsReply<'a> {
    /// What the factory may have at one time.
    pub quota: Quota,
    /// What its bundles may ask for, as the text of a policy.
    pub policy: &'a str,
}

/// `Annotation`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Annotation {
    /// Its position in the order of keys.
    pub index: u32,
}

/// Reply to `Annotation`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnnotationReply<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// The first process (or the process started by `Exec`).
    First,
    /// Every process of the container.
    All,
}

/// `Signal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signal {
    /// Its number, 1 to 64 (signal(7)).
    pub signal: u8,
    /// For whom.
    pub scope: Scope,
}

/// `Exec`. `args` and `env` are each a run of strings, every one ended by a NUL byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exec<'a> {
    /// Program and arguments; the program is looked up in the `PATH` of `env` if it has no slash.
    pub args: &'a str,
    /// `KEY=value` strings added to, or replacing, those of the configuration.
    pub env: &'a str,
    /// Working directory; none for the configuration's.
    pub cwd: Option<&'a str>,
    /// User and group; none for the configuration's.
    pub user: Option<(u32, u32)>,
    /// Standard streams.
    pub stdio: Stdio,
}

/// Reply to `Exec`; the process's capability comes beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecReply {
    /// Its number as the host has it; none if the policy it was made under does not tell.
    pub pid: Option<u32>,
}

/// Whether a call for something that is not there yet waits for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Waiting {
    /// Answer at once.
    No,
    /// Answer when there is something to tell.
    Yes,
}

/// `Logs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Logs {
    /// Position in the stream of all bytes ever written: 0 for the oldest kept.
    pub cursor: u64,
    /// Whether to wait for more when nothing is there.
    pub waiting: Waiting,
}

/// Reply to `Logs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogsReply<'a> {
    /// The cursor to go on from.
    pub next: u64,
    /// Bytes between the asked cursor and these that were dropped before anyone read them.
    pub lost: u64,
    /// Whether the stream has ended: nothing follows `next`.
    pub end: bool,
    /// What was written.
    pub bytes: &'a [u8],
}

/// Reply to `Statistics`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Memory in use, in bytes.
    pub memory: u64,
    /// The most that was ever in use.
    pub memory_peak: u64,
    /// The limit; none if unlimited.
    pub memory_limit: Option<u64>,
    /// CPU time used by all processes that ever were inside.
    pub cpu: Nanos,
    /// Thousandths of a CPU's time they may use, rounded up; none if unlimited.
    pub cpu_limit: Option<u64>,
    /// Processes inside now.
    pub pids: u32,
    /// The limit; none if unlimited.
    pub pids_limit: Option<u32>,
    /// Times the kernel killed a process because memory ran out.
    pub oom_kills: u32,
    /// System calls that the kernel does not know and answered with `ENOSYS` (our own kernel).
    pub unknown_calls: u32,
}

/// One row of `Processes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Number as the host has it; none if the policy it was made under does not tell.
    pub pid: Option<u32>,
    /// Number inside the container; none if the kernel does not tell.
    pub inner_pid: Option<u32>,
}

/// Most rows in one `List` or `Processes` reply.
pub const PAGE_ROWS: usize = 32;

/// Reply to `Processes`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProcessPage {
    /// The rows.
    pub rows: heapless::Vec<ProcessRow, PAGE_ROWS>,
    /// Where to go on; none at the end.
    pub next: Option<u32>,
}

/// One row of `List`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListRow {
    /// The container's id.
    pub id: ContainerId,
    /// Where it is in its life.
    pub status: Status,
    /// Its first process, as in [`State`].
    pub pid: Option<u32>,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
}

/// Reply to `List`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ListPage {
    /// The rows, in the order of ids.
    pub rows: heapless::Vec<ListRow, PAGE_ROWS>,
    /// Where to go on; none at the end.
    pub next: Option<u32>,
}

/// Reply to `Plan`: a piece of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanText<'a> {
    /// Whole lines, one kernel step each.
    pub text: &'a str,
    /// Where to go on; none at the end.
    pub next: Option<u32>,
}

/// How `Delete` treats a container that still runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DeleteMode {
    /// Refuse unless it is stopped (runtime-spec, runtime.md "Delete").
    Stopped,
    /// Kill every process first.
    Force,
    /// As `Stopped`, and tell of a restart instead of a removal: whoever deletes it is about to make it again, for the
    /// time with this number, counted from 1.
    Again(u32),
}

/// `Delete`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delete {
    /// What to do with one that runs.
    pub mode: DeleteMode,
}

/// Reply to `PivotRoot`: what the kernel exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PivotRootReply<'a> {
    /// Where the old root was put, seen from the new one, until it was unmounted.
    pub old: &'a str,
    /// The directory that became the root, seen from the old one.
    pub new: &'a str,
}

/// `Update`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Update<'a> {
    /// `linux.resources` of a `config.json` (config-linux.md "Control groups"): memory, cpu and pids. What is not there,
    /// and an amount of CPU time that is 0, stays as it is; -1 takes a limit away.
    pub resources: &'a str,
}

/// `Attach`. What nobody reads in time is dropped, and counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attach {
    /// Position in the stream of all bytes ever written, as the last reply gave it. None begins with what is written next.
    pub cursor: Option<u64>,
    /// Whether to wait when nothing is there.
    pub waiting: Waiting,
}

/// `Input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Input<'a> {
    /// What the process is to read.
    pub bytes: &'a [u8],
    /// What follows these bytes.
    pub then: InputEnd,
}

/// What follows some bytes of input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InputEnd {
    /// More may follow.
    Open,
    /// Nothing: the reader comes to the end, once all bytes were taken.
    Close,
}

/// Reply to `Input`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InputReply {
    /// How many of the bytes there was room for; the others are to be sent again once the process has read some.
    pub taken: u32,
}

/// Most capabilities that are stored with one container.
pub const STORED_MAX: usize = 16;

/// `Grant`. Both containers are of this very factory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant<'a> {
    /// The container that the capability is stored with, by its id.
    pub to: &'a str,
    /// What it is taken out by; such names are of the same letters as ids.
    pub name: &'a str,
    /// The container that it is a capability on, by its id.
    pub on: &'a str,
    /// Mask put over the factory's container rights.
    pub rights: Rights,
}

/// `Take`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Take<'a> {
    /// What it was stored under.
    pub name: &'a str,
}

/// A decoded request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are the rows of the operations table, see `Op`")]
pub enum Request<'a> {
    Hello(Hello),
    Describe,
    Derive(Derive),
    Revoke,
    Drop,
    Sync,
    RevokeOne(RevokeOne),
    Create(Create<'a>),
    List(Page),
    Lookup(Lookup<'a>),
    Plan(Page),
    Delegate(Delegate<'a>),
    Usage,
    Limits,
    State,
    Annotation(Annotation),
    Start,
    Signal(Signal),
    Pause,
    Resume,
    Exec(Exec<'a>),
    Wait,
    Logs(Logs),
    Statistics,
    Processes(Page),
    Delete(Delete),
    PivotRoot,
    Update(Update<'a>),
    Attach(Attach),
    Events(Events),
    Grant(Grant<'a>),
    Take(Take<'a>),
    Input(Input<'a>),
}

/// A reply's body, before it is encoded.
///
/// Operations that only say "done" reply with [`Reply::Done`]; where a capability comes back (`Derive`,
/// `Create`, `Lookup`, `Delegate`, `Exec`, `Take`) it is beside the frame. Pages are borrowed: a reply is moved more than
/// once on its way, and they are large.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are named like the replies they hold")]
pub enum Reply<'a> {
    Done,
    Hello(HelloReply),
    Description(Description),
    Derive(DeriveReply),
    State(State<'a>),
    Annotation(AnnotationReply<'a>),
    List(&'a ListPage),
    PlanText(PlanText<'a>),
    Usage(Usage),
    Limits(LimitsReply<'a>),
    Exec(ExecReply),
    Exit(Exit),
    Logs(LogsReply<'a>),
    Statistics(Statistics),
    Processes(&'a ProcessPage),
    PivotRoot(PivotRootReply<'a>),
    Events(&'a EventPage),
    Input(InputReply),
}
