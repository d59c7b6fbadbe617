//! The operations, one file a verb, all of the same shape.
//!
//! ```text
//!   run(world, call, request) ─► refusal, and nothing was changed
//!                             ─► Answer: a reply, a capability, or taken (answered or parked by the verb itself)
//! ```
//!
//! By the time `run` is called the frame was decoded, the badge is live, the kind of object is right and the rights
//! are held. What is left to a verb is the state of its object and the values of its request.

mod annotation;
mod attach;
mod create;
mod delegate;
mod delete;
mod derive;
mod describe;
mod events;
mod exec;
mod give_up;
mod grant;
mod hello;
mod input;
mod limits;
mod list;
mod logs;
mod lookup;
mod pause;
mod pivot_root;
mod plan;
mod processes;
mod resume;
mod revoke;
mod signal;
mod start;
mod state;
mod statistics;
mod sync;
mod take;
mod update;
mod usage;
mod wait;

pub(crate) use state::state_of;

use crate::manager::{Call, Outcome, Record, Work, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Detail, Errno, ErrorReply, KernelFault, Refusal, RefusalCode};
use bailiwick_protocol::message::Request;
use core::fmt;

/// Hands a call to its verb.
#[inline(always)]
pub(crate) fn dispatch<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    request: &Request<'_>,
    directory: Option<G::Directory>,
) -> Outcome<'m> {
    match *request {
        Request::Hello(hello) => hello::run(hello),
        Request::Describe => describe::run(world, call),
        Request::Derive(derive) => derive::run(world, call, derive),
        Request::Revoke => revoke::run(world, call),
        Request::Drop => give_up::run(world, call),
        Request::Sync => sync::run(world, call),
        Request::RevokeOne(ref one) => revoke::run_one(world, call, one),
        Request::Create(create) => create::run(world, call, create, directory),
        Request::List(page) => list::run(world, call, page),
        Request::Lookup(lookup) => lookup::run(world, call, lookup),
        Request::Plan(page) => plan::run(world, call, page, directory),
        Request::Delegate(delegate) => delegate::run(world, call, delegate),
        Request::Usage => usage::run(world, call),
        Request::Limits => limits::run(world, call),
        Request::State => state::run(world, call),
        Request::Annotation(annotation) => annotation::run(world, call, annotation),
        Request::Start => start::run(world, call),
        Request::Signal(signal) => signal::run(world, call, signal),
        Request::Pause => pause::run(world, call),
        Request::Resume => resume::run(world, call),
        Request::Exec(exec) => exec::run(world, call, exec),
        Request::Wait => wait::run(world, call),
        Request::Logs(logs) => logs::run(world, call, logs),
        Request::Statistics => statistics::run(world, call),
        Request::Processes(page) => processes::run(world, call, page),
        Request::Delete(delete) => delete::run(world, call, delete),
        Request::PivotRoot => pivot_root::run(world, call),
        Request::Update(update) => update::run(world, call, update),
        Request::Attach(attach) => attach::run(world, call, attach),
        Request::Events(events) => events::run(world, call, events),
        Request::Grant(grant) => grant::run(world, call, grant),
        Request::Take(take) => take::run(world, call, take),
        Request::Input(input) => input::run(world, call, input),
    }
}

/// A kernel's refusal of something that is no plan.
fn fault(errno: Errno, what: impl fmt::Display) -> ErrorReply {
    KernelFault { step: None, errno, detail: Detail::new(what) }.into()
}

/// Refuses while something else goes on with the container.
fn idle(record: &Record) -> Result<(), ErrorReply> {
    let what = match record.work {
        Work::Idle => return Ok(()),
        Work::Creating { .. } => "it is being created",
        Work::Starting { .. } => "it is being started",
        Work::Deleting { .. } => "it is being deleted",
    };
    Err(Refusal::new(RefusalCode::Busy, what).into())
}

/// Refuses a container that is being deleted.
fn stays(record: &Record) -> Result<(), ErrorReply> {
    if let Work::Deleting { .. } = record.work { idle(record) } else { Ok(()) }
}

/// Refuses a value of the request.
fn bad_value(fault: impl fmt::Display) -> ErrorReply {
    Refusal::new(RefusalCode::BadValue, fault).into()
}
