//! The manager: decides, has the kernel do it, commits, answers.
//!
//! ```text
//!   Delivery ─► decode ─► badge: object, rights ─► op/*: state ─► plan ─► KernelGlue ─► commit ─► Port::reply
//!   Event ────► event ──► commit ─► answers to calls that were waiting for it
//! ```
//!
//! It never waits. A call whose answer is not there yet is *parked* with the object it is about, and answered when
//! the kernel tells, when the object ends ([`RefusalCode::Gone`]) or when the caller's capability is taken back
//! ([`RefusalCode::Revoked`]): each delivery gets exactly one reply. Whatever is refused is refused before anything
//! was changed.

mod audit;
mod end;
mod event;
mod factory;
mod jobs;
mod look;
mod object;
mod parked;
mod picture;
pub(crate) mod quota;
mod tell;

pub(crate) use event::LOG_FRAME;
pub(crate) use factory::Factory;
pub use jobs::{Leftover, STEPS};
pub(crate) use object::{Call, Execution, Object, Process, Record, Work, key_of as kernel_key};
pub(crate) use parked::{LogWait, Parked};
pub(crate) use tell::{EventWait, Watch};

use crate::grant::{Grants, Peers};
use crate::oci::Configs;
use crate::op;
use crate::plan::KnownPlans;
use crate::policy::Policy;
use crate::table::{Handle, Table};
use alloc::boxed::Box;
use alloc::string::String;
use bailiwick_kernel_glue::{Delivery, KernelGlue, Port, ReplyToken};
use bailiwick_protocol::error::{Detail, ErrorReply, FrameError, Refusal, RefusalCode};
use bailiwick_protocol::frame::{FrameBuffer, Tag, tag_of};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::{EventPage, ListPage, ProcessPage, Reply, Request};
use bailiwick_protocol::op::ObjectKind;
use bailiwick_protocol::rights::Rights;
use core::fmt;

/// Names one incarnation of a container's record. See [`Handle`] for what holding one proves.
pub(crate) type ContainerHandle = Handle<Record>;
/// Names one factory.
pub(crate) type FactoryHandle = Handle<Factory>;
/// Names one process started by `Exec`.
pub(crate) type ProcessHandle = Handle<Process>;

/// How much there may be of everything, which is the root factory's quota too. Full is a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Containers.
    pub containers: u32,
    /// Factories, the root one included.
    pub factories: u32,
    /// Processes started by `Exec`, in all containers together.
    pub processes: u32,
}

impl Default for Limits {
    /// 4,096 containers, 1,024 factories, 4,096 processes.
    fn default() -> Self {
        Limits { containers: 4096, factories: 1024, processes: 4096 }
    }
}

/// The container manager: a deterministic function of what it is given.
///
/// It holds no kernel, clock, transport or random source. The owner of the loop hands it one delivery or one kernel
/// event at a time, always with the same kernel.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(crate) grants: Grants<Object>,
    pub(crate) factories: Table<Factory>,
    pub(crate) containers: Table<Record>,
    pub(crate) processes: Table<Process>,
    jobs: jobs::Jobs,
    pub(crate) scratch: Scratch,
    pub(crate) configs: Configs,
    /// Plans that were made lately.
    pub(crate) plans: KnownPlans,
}

/// What a reply borrows until it is sent. What is left in it afterwards means nothing.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) text: String,
    /// Ten times as large as the rest of the manager. A copy makes its own when it needs them.
    pages: Option<Box<Pages>>,
}

/// Pages of answers.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) list: ListPage,
    pub(crate) processes: ProcessPage,
    pub(crate) events: EventPage,
}

impl Scratch {
    pub(crate) fn pages(&mut self) -> &mut Pages {
        self.pages.get_or_insert_default()
    }
}

// What is left in it means nothing, in a copy either.
impl Clone for Scratch {
    fn clone(&self) -> Self {
        Scratch::default()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

/// What an operation works on.
pub(crate) struct World<'m, 'p, G, P> {
    pub(crate) manager: &'m mut Manager,
    pub(crate) glue: &'p mut G,
    pub(crate) port: &'p mut P,
}

/// What comes of an operation that was not refused.
pub(crate) enum Answer<'m> {
    /// This reply.
    Reply(Reply<'m>),
    /// "Done", and a new capability with this badge beside it.
    Capability(Reply<'m>, Badge),
    /// The operation has answered the call itself, or parked it.
    Taken,
}

/// What comes of an operation.
pub(crate) type Outcome<'m> = Result<Answer<'m>, ErrorReply>;

impl Manager {
    /// A manager without containers, and the badge of its root factory: all rights, all of `limits`, this policy.
    /// The owner of the transport mints the first capability with that badge.
    pub fn new(limits: Limits, policy: Policy) -> (Manager, Badge) {
        let (factories, root) = Table::with_first(limits.factories, Factory::root(&limits, policy));
        let mut manager = Manager {
            grants: Grants::default(),
            factories,
            containers: Table::new(limits.containers),
            processes: Table::new(limits.processes),
            jobs: jobs::Jobs::new(STEPS),
            scratch: Scratch { text: String::new(), pages: Some(Box::default()) },
            configs: Configs::default(),
            plans: KnownPlans::default(),
        };
        // The first grant of an empty table always has room; a badge of nobody would stand for nothing.
        let mut peers = Peers::new();
        let first = manager.grants.root(Object::Factory(root), Rights::FACTORY, &mut peers);
        if let Some(factory) = manager.factories.get_mut(root) {
            factory.peers = peers;
        }
        manager.charge(root, &quota::CAPABILITY);
        let badge = first.unwrap_or(Badge(0));
        (manager, badge)
    }

    /// Handles one message and answers it through `port`, now or in a later call.
    pub fn deliver<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        delivery: Delivery<'_, G::Directory>,
    ) {
        if self.look(port, &delivery).is_none() {
            self.deliver_in_full(glue, port, delivery);
        }
    }

    /// The same without the short way of calls that only look, which gives the same answers: to compare with.
    pub fn deliver_in_full<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        delivery: Delivery<'_, G::Directory>,
    ) {
        self.sweep(glue, port);
        let (token, tag) = (delivery.token, tag_of(delivery.frame));
        // Looked at where it is: it may be large.
        match &self.decide(glue, port, delivery) {
            Ok(Answer::Reply(reply)) => answer(port, token, tag, reply, None),
            Ok(Answer::Capability(reply, badge)) => answer(port, token, tag, reply, Some(*badge)),
            Ok(Answer::Taken) => {}
            Err(error) => refuse(port, token, tag, error),
        }
    }

    fn decide<'m, G: KernelGlue, P: Port>(
        &'m mut self,
        glue: &mut G,
        port: &mut P,
        delivery: Delivery<'_, G::Directory>,
    ) -> Outcome<'m> {
        let decoded = Request::decode(delivery.frame);
        let (tag, request) = match &decoded {
            Ok((tag, request)) => (*tag, request),
            Err(error) => return Err((*error).into()),
        };
        if delivery.capabilities != request.capabilities() {
            return Err(FrameError::CapabilityCount.into());
        }
        let grant = match self.grants.steady(delivery.badge) {
            Some(grant) => grant,
            None => self.grants.resolve(delivery.badge, || glue.now())?,
        };
        // A grant whose object has ended waits to be swept.
        if !self.exists(grant.object) {
            return Err(RefusalCode::NotFound.into());
        }
        let op = request.op();
        if !op.target().accepts(grant.object.kind()) {
            return Err(Refusal::new(RefusalCode::WrongKind, op.name()).into());
        }
        if !grant.rights.contains(op.rights()) {
            refuse_rights(port, delivery.token, tag, op.rights().difference(grant.rights));
            return Ok(Answer::Taken);
        }
        if grant.uses.is_some() && !op.rights().is_empty() {
            self.grants.spend(delivery.badge);
        }
        let call = Call { parked: Parked { token: delivery.token, tag, badge: delivery.badge }, grant };
        op::dispatch(World { manager: self, glue, port }, call, request, delivery.directory)
    }

    /// The transport tells that nobody holds the capability with this badge any more.
    pub fn closed<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        self.give_up(glue, port, badge);
    }

    /// Containers there are, those being created or deleted included.
    pub fn container_count(&self) -> u32 {
        self.containers.len()
    }

    /// Grants there are, those that wait to be swept included.
    pub fn grant_count(&self) -> usize {
        self.grants.len()
    }

    /// The factory of a call that was let through to a factory operation.
    pub(crate) fn factory(&self, call: &Call) -> Result<(FactoryHandle, &Factory), ErrorReply> {
        match call.object() {
            Object::Factory(handle) => {
                let factory = self.factories.get(handle).ok_or(RefusalCode::NotFound)?;
                Ok((handle, factory))
            }
            _ => Err(RefusalCode::WrongKind.into()),
        }
    }

    /// The container of a call that was let through to a container operation.
    pub(crate) fn container(&mut self, call: &Call) -> Result<(ContainerHandle, &mut Record), ErrorReply> {
        match call.object() {
            Object::Container(handle) => {
                let record = self.containers.get_mut(handle).ok_or(RefusalCode::NotFound)?;
                Ok((handle, record))
            }
            _ => Err(RefusalCode::WrongKind.into()),
        }
    }

    /// What runs behind a container or a process: its exit, its output, who waits for either.
    pub(crate) fn execution(&mut self, object: Object) -> Option<&mut Execution> {
        match object {
            Object::Factory(_) => None,
            Object::Container(handle) => self.containers.get_mut(handle).map(|record| &mut record.first),
            Object::Process(handle) => self.processes.get_mut(handle).map(|process| &mut process.execution),
        }
    }
}

/// Names the rights that the sender's capability does not hold. Answered from here, where the text is: it is not moved.
#[cold]
#[inline(never)]
fn refuse_rights(port: &mut impl Port, token: ReplyToken, tag: Tag, missing: Rights) {
    let detail = Detail::words(missing.iter_names().map(|(name, _)| name));
    refuse(port, token, tag, &Refusal { code: RefusalCode::Rights, detail }.into());
}

/// Sends a reply. One that does not fit a frame becomes a refusal that says so.
#[inline]
pub(crate) fn answer(
    port: &mut impl Port,
    token: ReplyToken,
    tag: Tag,
    reply: &Reply<'_>,
    mint: Option<Badge>,
) {
    port.reply(token, mint, |room| encode_reply(reply, tag, room));
}

/// Makes the frame this reply, or the refusal that says that it does not fit one.
#[inline]
fn encode_reply(reply: &Reply<'_>, tag: Tag, room: &mut FrameBuffer) {
    if reply.encode_in(tag, room).is_err() {
        let error = Refusal::new(RefusalCode::Full, "the answer: larger than a frame");
        // It fits.
        let _ = ErrorReply::from(error).encode_in(tag, room);
    }
}

/// Sends an error, which always fits a frame.
pub(crate) fn refuse(port: &mut impl Port, token: ReplyToken, tag: Tag, error: &ErrorReply) {
    port.reply(token, None, |room| {
        let _ = error.encode_in(tag, room);
    });
}

impl Object {
    /// What kind of object it is.
    pub(crate) const fn kind(self) -> ObjectKind {
        match self {
            Object::Factory(_) => ObjectKind::Factory,
            Object::Container(_) => ObjectKind::Container,
            Object::Process(_) => ObjectKind::Process,
        }
    }
}
