//! Telling: events to streams, and answers to calls that waited for what has happened.
//!
//! An event goes to the stream of its container and to that of each factory above it. Who waits is answered by a job,
//! one call a step, so however many wait, nobody else does.

use super::jobs::Job;
use super::parked::{LogWait, Parked, Waits};
use super::{ContainerHandle, FactoryHandle, LOG_FRAME, Manager, Object};
use crate::log::Ended;
use crate::stream::{Event, Stream};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::id::{Badge, ContainerId};
use bailiwick_protocol::message::{EventKind, Reply};
use core::fmt;

/// What is told of one container, or of all below one factory, and who waits for it.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) stream: Stream,
    pub(crate) waits: Waits<EventWait>,
}

// Without the stream: that a refusal is told of is the one thing that it changes, and no state.
impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("waits", &self.waits).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new() -> Self {
        Watch { stream: Stream::default(), waits: Waits::new() }
    }
}

/// A call for events from `cursor` on.
#[derive(Clone, Debug)]
pub(crate) struct EventWait {
    pub(crate) parked: Parked,
    pub(crate) cursor: u64,
}

/// What is there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Output, or the end of a process.
    Output,
    /// Events.
    Events,
}

impl Manager {
    /// What is told of an object, if anything ever is.
    pub(crate) fn watch(&mut self, object: Object) -> Option<&mut Watch> {
        match object {
            Object::Factory(handle) => self.factories.get_mut(handle).map(|factory| &mut factory.watch),
            Object::Container(handle) => self.containers.get_mut(handle).map(|record| &mut record.watch),
            Object::Process(_) => None,
        }
    }

    /// Tells that something has happened to a container.
    pub(crate) fn tell<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
        kind: EventKind,
    ) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        let (factory, id) = (record.factory, record.name.clone());
        record.watch.stream.push(Event { at: glue.now(), id: id.clone(), kind });
        self.begin(glue, port, Job::Tell(Object::Container(handle), News::Events));
        self.tell_factories(glue, port, factory, &id, kind);
    }

    /// Tells that something has happened to a container of this factory.
    pub(crate) fn tell_factories<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        factory: FactoryHandle,
        id: &Arc<ContainerId>,
        kind: EventKind,
    ) {
        let at = glue.now();
        let mut next = Some(factory);
        while let Some(handle) = next
            && let Some(factory) = self.factories.get_mut(handle)
        {
            next = factory.parent;
            factory.watch.stream.push(Event { at, id: id.clone(), kind });
            self.begin(glue, port, Job::Tell(Object::Factory(handle), News::Events));
        }
    }

    /// Answers one call that has waited on an object for what is there now. None if there is no such call.
    pub(super) fn answer_one<P: Port>(&mut self, port: &mut P, object: Object, news: News) -> Option<()> {
        self.answer_next(port, object, news)?;
        self.no_longer_waiting(object, 1);
        Some(())
    }

    fn answer_next<P: Port>(&mut self, port: &mut P, object: Object, news: News) -> Option<()> {
        match news {
            News::Output => self.answer_output(port, object),
            News::Events => {
                let watch = self.watch(object)?;
                let end = watch.stream.end();
                let EventWait { parked, cursor } = watch.waits.take_one(|wait| wait.cursor != end)?;
                match watch.stream.read(cursor) {
                    Some(page) => self.reply_if_live(port, parked, &Reply::Events(&page)),
                    None => parked.refuse(port, RefusalCode::BadValue),
                }
                Some(())
            }
        }
    }

    fn answer_output<P: Port>(&mut self, port: &mut P, object: Object) -> Option<()> {
        let execution = self.execution(object)?;
        if let Some(exit) = execution.exit
            && let Some(call) = execution.waits.take_one(|_| true)
        {
            self.reply_if_live(port, call, &Reply::Exit(exit));
            return Some(());
        }
        let (ended, end) = (execution.ended(), execution.log.end());
        let wait = execution.log_waits.take_one(|wait| wait.cursor != end || ended == Ended::Yes)?;
        self.answer_log(port, object, wait);
        Some(())
    }

    fn answer_log<P: Port>(&mut self, port: &mut P, object: Object, wait: LogWait) {
        let LogWait { parked, cursor } = wait;
        let live = self.grants.is_attached(parked.badge);
        let Some(execution) = self.execution(object).filter(|_| live) else {
            return parked.refuse(port, RefusalCode::Revoked);
        };
        match execution.log.read(cursor, LOG_FRAME, execution.ended()) {
            Some(reply) => parked.reply(port, &Reply::Logs(reply)),
            None => parked.refuse(port, RefusalCode::BadValue),
        }
    }

    /// Answers the calls that waited on an object and came on a capability that has ended: a bounded number.
    pub(super) fn answer_revoked<P: Port>(&mut self, port: &mut P, object: Object, badge: Badge) {
        let mut calls = Vec::new();
        if let Some(execution) = self.execution(object) {
            calls.extend(execution.waits.take_of(badge));
            calls.extend(execution.log_waits.take_of(badge).into_iter().map(|wait| wait.parked));
        }
        if let Some(watch) = self.watch(object) {
            calls.extend(watch.waits.take_of(badge).into_iter().map(|wait| wait.parked));
        }
        if calls.is_empty() {
            return;
        }
        self.no_longer_waiting(object, calls.len());
        calls.into_iter().for_each(|call| call.refuse(port, RefusalCode::Revoked));
    }
}
