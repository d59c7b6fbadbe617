//! Typed handles on what a Bailiwick server manages, over any [`Channel`].
//!
//! A handle *is* a capability: whoever holds a [`Container`] may do with it what its rights allow, and nothing
//! else; dropping it gives the capability up. Operations exist only on the kind of handle that understands them,
//! so the wrong call does not compile.
//!
//! ```no_run
//! # use bailiwick_client::{CallError, Factory};
//! # use bailiwick_protocol::{channel::Channel, message::{Exit, Stdio}};
//! fn run<C: Channel>(factory: &Factory<C>, bundle: &C::Directory) -> Result<Exit, CallError<C::Error>> {
//!     let web = factory.create("web", "/bundles/web", Stdio::Log, bundle)?;
//!     web.start()?;
//!     web.wait()
//! }
//! ```
//!
//! Every call blocks until its one reply is there; a reply may be late (`wait`).
#![no_std]
#![forbid(unsafe_code)]

mod call;
mod json;

pub use call::CallError;
pub use json::StateError;

use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::GrantHandle;
use bailiwick_protocol::look::Look;
use bailiwick_protocol::message::*;
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use bailiwick_protocol::{VERSION_MAX, VERSION_MIN};
use call::{call, call_for_capability, done, look};

/// Operations that every handle has.
macro_rules! any_object {
    ($handle:ident) => {
        impl<C: Channel> $handle<C> {
            /// Takes the channel for a capability on this kind of object. A wrong claim shows at the first call.
            pub fn new(channel: C) -> Self {
                $handle { channel }
            }
            /// The channel, to make a call that has no method here.
            pub const fn channel(&self) -> &C {
                &self.channel
            }
            /// The channel itself, to hand the capability on.
            pub fn into_channel(self) -> C {
                self.channel
            }
            /// The server's versions, largest frame and schema hash.
            ///
            /// # Errors
            /// [`CallError`]; a refusal if it speaks none of this build's versions.
            pub fn hello(&self) -> Result<HelloReply, CallError<C::Error>> {
                let hello = Hello { version_min: VERSION_MIN, version_max: VERSION_MAX };
                call(&self.channel, Request::Hello(hello), None, &mut ReplyBuffer::default())
            }
            /// Returns once every earlier revocation is complete.
            ///
            /// # Errors
            /// [`CallError`].
            pub fn sync(&self) -> Result<(), CallError<C::Error>> {
                done(&self.channel, Request::Sync)
            }
            /// What this capability is and allows.
            ///
            /// # Errors
            /// [`CallError`].
            pub fn describe(&self) -> Result<Description, CallError<C::Error>> {
                look(&self.channel, Look::Describe, &mut ReplyBuffer::default(), Description::decode)
            }
            /// A copy with at most these rights, to hand on.
            ///
            /// # Errors
            /// [`CallError`]; a refusal if this capability does not hold `DERIVE`.
            pub fn derive(&self, rights: Rights) -> Result<Self, CallError<C::Error>> {
                self.derive_with(Derive::new(rights)).map(|(_, derived)| derived)
            }
            /// A copy on these terms, to hand on, and what it is known by for [`Self::revoke_one`].
            ///
            /// # Errors
            /// [`CallError`]; a refusal if this capability does not hold `DERIVE`.
            pub fn derive_with(&self, terms: Derive) -> Result<(GrantHandle, Self), CallError<C::Error>> {
                let request = Request::Derive(terms);
                let (reply, channel) = call_for_capability::<C, DeriveReply>(&self.channel, request, None)?;
                Ok((reply.handle, Self::new(channel)))
            }
            /// Ends one capability derived from this one, and everything derived from that. `path` names it: a handle
            /// from this capability, then one from the capability that names, and so on, at most [`PATH_MAX`].
            ///
            /// # Errors
            /// [`CallError`]; a refusal if nothing is named so, or it has ended already.
            pub fn revoke_one(&self, path: &[GrantHandle]) -> Result<(), CallError<C::Error>> {
                // No path that is longer names anything shorter.
                let too_long = || Refusal::new(RefusalCode::BadValue, "path: too long");
                let path = GrantPath::new(path).ok_or_else(|| CallError::Reply(too_long().into()))?;
                done(&self.channel, Request::RevokeOne(RevokeOne { path }))
            }
            /// Ends everything that was derived from this capability. Safe to repeat.
            ///
            /// # Errors
            /// [`CallError`].
            pub fn revoke(&self) -> Result<(), CallError<C::Error>> {
                done(&self.channel, Request::Revoke)
            }
            /// Gives the capability up and waits until the server knows.
            ///
            /// # Errors
            /// [`CallError`]; the capability is given up all the same.
            pub fn close(self) -> Result<(), CallError<C::Error>> {
                done(&self.channel, Request::Drop)
            }
        }
    };
}

/// What can be done with whatever events are told of.
macro_rules! watched {
    ($handle:ident) => {
        impl<C: Channel> $handle<C> {
            /// A page of what has happened, from a cursor on; see [`Events`].
            ///
            /// # Errors
            /// [`CallError`].
            pub fn events(&self, events: Events) -> Result<EventPage, CallError<C::Error>> {
                call(&self.channel, Request::Events(events), None, &mut ReplyBuffer::default())
            }
        }
    };
}

/// A capability on a factory: it creates containers within a quota.
#[derive(Debug)]
pub struct Factory<C> {
    channel: C,
}
any_object!(Factory);
watched!(Factory);

/// A capability on one container.
#[derive(Debug)]
pub struct Container<C> {
    channel: C,
}
any_object!(Container);
watched!(Container);

/// A capability on a process that was started in a container.
#[derive(Debug)]
pub struct Process<C> {
    channel: C,
}
any_object!(Process);

impl<C: Channel> Factory<C> {
    /// Makes a container from the bundle in `directory`; its first process then waits at the gate.
    ///
    /// # Errors
    /// [`CallError`]; a refusal names the rule or the place in config.json, a kernel fault the step.
    pub fn create(
        &self,
        id: &str,
        bundle: &str,
        stdio: Stdio,
        directory: &C::Directory,
    ) -> Result<Container<C>, CallError<C::Error>> {
        let request = Request::Create(Create { id, bundle, stdio });
        let (_, channel) = call_for_capability::<C, ()>(&self.channel, request, Some(directory))?;
        Ok(Container::new(channel))
    }

    /// A capability with at most these rights on the container with this id.
    ///
    /// # Errors
    /// [`CallError`]; not there and not yours look the same.
    pub fn lookup(&self, id: &str, rights: Rights) -> Result<Container<C>, CallError<C::Error>> {
        let request = Request::Lookup(Lookup { id, rights });
        call_for_capability::<C, ()>(&self.channel, request, None).map(|(_, channel)| Container::new(channel))
    }

    /// One page of the containers below this factory.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn list(&self, page: Page) -> Result<ListPage, CallError<C::Error>> {
        call(&self.channel, Request::List(page), None, &mut ReplyBuffer::default())
    }

    /// One page of the kernel steps that creating from this bundle would take; `read` is given the text.
    ///
    /// # Errors
    /// [`CallError`]; the same refusals as [`Factory::create`].
    pub fn plan<R>(
        &self,
        page: Page,
        directory: &C::Directory,
        read: impl FnOnce(PlanText<'_>) -> R,
    ) -> Result<R, CallError<C::Error>> {
        call(&self.channel, Request::Plan(page), Some(directory), &mut ReplyBuffer::default()).map(read)
    }

    /// A sub-factory with at most these rights, this quota and, if one is given, this policy (its text).
    ///
    /// # Errors
    /// [`CallError`]; a refusal names the line of the policy that is wrong.
    pub fn delegate(
        &self,
        rights: Rights,
        quota: Quota,
        policy: Option<&str>,
    ) -> Result<Self, CallError<C::Error>> {
        let request = Request::Delegate(Delegate { rights, quota, policy });
        call_for_capability::<C, ()>(&self.channel, request, None).map(|(_, channel)| Self::new(channel))
    }

    /// Stores a capability on one container of this factory with another one: whoever may run programs in that can take
    /// it out by its name ([`Container::take`]). It ends with both containers, with this capability and by its handle,
    /// and so does what was taken out.
    ///
    /// # Errors
    /// [`CallError`]; a refusal if a container is not there or something is stored under the name.
    pub fn grant(&self, grant: Grant<'_>) -> Result<GrantHandle, CallError<C::Error>> {
        let request = Request::Grant(grant);
        let reply: DeriveReply = call(&self.channel, request, None, &mut ReplyBuffer::default())?;
        Ok(reply.handle)
    }

    /// What has been used of the quota.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn usage(&self) -> Result<Usage, CallError<C::Error>> {
        call(&self.channel, Request::Usage, None, &mut ReplyBuffer::default())
    }

    /// The quota and the policy; `read` is given them.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn limits<R>(&self, read: impl FnOnce(LimitsReply<'_>) -> R) -> Result<R, CallError<C::Error>> {
        call(&self.channel, Request::Limits, None, &mut ReplyBuffer::default()).map(read)
    }
}

/// What can be done with anything that runs.
macro_rules! running {
    ($handle:ident) => {
        impl<C: Channel> $handle<C> {
            /// Sends a signal, 1 to 64.
            ///
            /// # Errors
            /// [`CallError`].
            pub fn signal(&self, signal: u8, scope: Scope) -> Result<(), CallError<C::Error>> {
                done(&self.channel, Request::Signal(Signal { signal, scope }))
            }
            /// Waits until the process has ended.
            ///
            /// # Errors
            /// [`CallError`]; a refusal if the object goes away meanwhile.
            pub fn wait(&self) -> Result<Exit, CallError<C::Error>> {
                call(&self.channel, Request::Wait, None, &mut ReplyBuffer::default())
            }
            /// A piece of what is written from now on, or from a cursor on; `read` is given it.
            ///
            /// # Errors
            /// [`CallError`]; a refusal if its output goes where nobody else can read it.
            pub fn attach<R>(
                &self,
                attach: Attach,
                read: impl FnOnce(LogsReply<'_>) -> R,
            ) -> Result<R, CallError<C::Error>> {
                call(&self.channel, Request::Attach(attach), None, &mut ReplyBuffer::default()).map(read)
            }
            /// Writes to its standard input; gives how many bytes there was room for.
            ///
            /// # Errors
            /// [`CallError`]; a refusal if its input is no pipe ([`Stdio::Piped`]).
            pub fn input(&self, bytes: &[u8], then: InputEnd) -> Result<u32, CallError<C::Error>> {
                let request = Request::Input(Input { bytes, then });
                let reply: InputReply = call(&self.channel, request, None, &mut ReplyBuffer::default())?;
                Ok(reply.taken)
            }
            /// A piece of what was written; `read` is given it.
            ///
            /// # Errors
            /// [`CallError`].
            pub fn logs<R>(
                &self,
                logs: Logs,
                read: impl FnOnce(LogsReply<'_>) -> R,
            ) -> Result<R, CallError<C::Error>> {
                call(&self.channel, Request::Logs(logs), None, &mut ReplyBuffer::default()).map(read)
            }
        }
    };
}
running!(Container);
running!(Process);

impl<C: Channel> Container<C> {
    /// The OCI state; `read` is given it.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn state<R>(&self, read: impl FnOnce(State<'_>) -> R) -> Result<R, CallError<C::Error>> {
        look(&self.channel, Look::State, &mut ReplyBuffer::default(), State::decode).map(read)
    }
    /// One annotation, by position; `read` is given it.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn annotation<R>(
        &self,
        index: u32,
        read: impl FnOnce(AnnotationReply<'_>) -> R,
    ) -> Result<R, CallError<C::Error>> {
        let request = Request::Annotation(Annotation { index });
        call(&self.channel, request, None, &mut ReplyBuffer::default()).map(read)
    }
    /// Opens the gate.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn start(&self) -> Result<(), CallError<C::Error>> {
        done(&self.channel, Request::Start)
    }
    /// Freezes every process inside.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn pause(&self) -> Result<(), CallError<C::Error>> {
        done(&self.channel, Request::Pause)
    }
    /// Thaws them.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn resume(&self) -> Result<(), CallError<C::Error>> {
        done(&self.channel, Request::Resume)
    }
    /// Runs a further process inside.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn exec(&self, exec: Exec<'_>) -> Result<(ExecReply, Process<C>), CallError<C::Error>> {
        let (reply, channel) = call_for_capability(&self.channel, Request::Exec(exec), None)?;
        Ok((reply, Process::new(channel)))
    }
    /// Memory, CPU time, process counts.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn statistics(&self) -> Result<Statistics, CallError<C::Error>> {
        call(&self.channel, Request::Statistics, None, &mut ReplyBuffer::default())
    }
    /// A capability that was stored with this container under this name.
    ///
    /// # Errors
    /// [`CallError`]; what was taken back is not there.
    pub fn take(&self, name: &str) -> Result<Container<C>, CallError<C::Error>> {
        let request = Request::Take(Take { name });
        call_for_capability::<C, ()>(&self.channel, request, None).map(|(_, channel)| Container::new(channel))
    }
    /// Changes limits: `resources` is JSON as `linux.resources` of a `config.json`. All of it is done or none.
    ///
    /// # Errors
    /// [`CallError`]; a refusal names the place in the JSON or the kind of quota, a kernel fault the limit that the
    /// kernel does not take, such as one of memory below what is in use.
    pub fn update(&self, resources: &str) -> Result<(), CallError<C::Error>> {
        done(&self.channel, Request::Update(Update { resources }))
    }
    /// One page of the processes inside.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn processes(&self, page: Page) -> Result<ProcessPage, CallError<C::Error>> {
        call(&self.channel, Request::Processes(page), None, &mut ReplyBuffer::default())
    }
    /// Removes the container.
    ///
    /// # Errors
    /// [`CallError`]; a refusal if it runs and `mode` does not force.
    pub fn delete(&self, mode: DeleteMode) -> Result<(), CallError<C::Error>> {
        done(&self.channel, Request::Delete(Delete { mode }))
    }
    /// The pair that `pivot_root` exchanged; `read` is given it.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn pivot_root<R>(
        &self,
        read: impl FnOnce(PivotRootReply<'_>) -> R,
    ) -> Result<R, CallError<C::Error>> {
        call(&self.channel, Request::PivotRoot, None, &mut ReplyBuffer::default()).map(read)
    }
}
