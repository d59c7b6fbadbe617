//! Endings: of grants, of containers, of processes nobody asks for any more.

use super::jobs::{Job, Remains};
use super::object::key_of;
use super::quota::{self, CAPABILITY};
use super::{ContainerHandle, Factory, FactoryHandle, Manager, Object, Parked, Process};
use super::{ProcessHandle, Record, Watch, Work};
use crate::grant::{Derived, GivenUp, Peers, Terms};
use crate::lifecycle::OciLifecycleState;
use crate::table::Table;
use alloc::vec::Vec;
use bailiwick_kernel_glue::{KernelGlue, Port, Progress};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::{EventKind, Reply};

/// The grants on an object, if it is there.
pub(super) fn peers<'t>(
    factories: &'t mut Table<Factory>,
    containers: &'t mut Table<Record>,
    processes: &'t mut Table<Process>,
    object: Object,
) -> Option<&'t mut Peers> {
    match object {
        Object::Factory(handle) => factories.get_mut(handle).map(|factory| &mut factory.peers),
        Object::Container(handle) => containers.get_mut(handle).map(|record| &mut record.first.peers),
        Object::Process(handle) => processes.get_mut(handle).map(|process| &mut process.execution.peers),
    }
}

impl Manager {
    /// What the object is charged to.
    pub(super) fn payer(&self, object: Object) -> Option<FactoryHandle> {
        let container = match object {
            Object::Factory(handle) => return Some(handle),
            Object::Container(handle) => handle,
            Object::Process(handle) => self.processes.get(handle)?.container,
        };
        self.containers.get(container).map(|record| record.factory)
    }

    /// Whether one more call may wait on the object.
    ///
    /// # Errors
    /// `Quota`.
    pub(crate) fn may_wait(&self, object: Object) -> Result<(), Refusal> {
        let payer = self.payer(object).ok_or(RefusalCode::NotFound)?;
        self.check_quota(payer, &quota::waiting(1))
    }

    /// Counts one more call that waits on the object.
    pub(crate) fn now_waiting(&mut self, object: Object) {
        if let Some(payer) = self.payer(object) {
            self.charge(payer, &quota::waiting(1));
        }
    }

    /// Counts calls that waited on the object and were answered.
    pub(super) fn no_longer_waiting(&mut self, object: Object, calls: usize) {
        if let Some(payer) = self.payer(object).filter(|_| calls > 0) {
            self.discharge(payer, &quota::waiting(calls));
        }
    }

    /// A grant below `parent`, charged to its object.
    ///
    /// # Errors
    /// `Quota` or `Full`; nothing was changed.
    pub(crate) fn grant(
        &mut self,
        parent: Badge,
        object: Object,
        terms: impl Into<Terms>,
    ) -> Result<Derived, Refusal> {
        let payer = self.payer(object).ok_or(RefusalCode::NotFound)?;
        self.check_capability(payer)?;
        let Manager { grants, factories, containers, processes, .. } = self;
        let peers = peers(factories, containers, processes, object).ok_or(RefusalCode::NotFound)?;
        let derived = grants.derive(parent, object, terms.into(), peers)?;
        self.charge(payer, &CAPABILITY);
        Ok(derived)
    }

    /// Frees a record below which nothing is attached, and whatever joint was there for it alone.
    pub(super) fn free<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        self.free_one(glue, port, badge);
        self.wither(glue, port);
    }

    /// Frees joints on which nothing hangs any more: at most as many as there are derivations in a row.
    pub(super) fn wither<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P) {
        while let Some(badge) = self.grants.take_withered() {
            self.free_one(glue, port, badge);
        }
    }

    /// The object of a grant that is there is there as well, or all grants on it are being freed by a job.
    fn free_one<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        let Some(object) = self.grants.object(badge) else { return };
        let payer = self.payer(object);
        let Manager { grants, factories, containers, processes, .. } = self;
        let Some(peers) = peers(factories, containers, processes, object) else { return };
        grants.free(badge, peers);
        if let Some(payer) = payer {
            self.discharge(payer, &CAPABILITY);
        }
        self.lost(glue, port, badge, object);
        port.revoke(badge);
    }

    /// The holder of this grant has given it up. What was derived from it lives on.
    pub(super) fn give_up<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        match self.grants.give_up(badge) {
            Ok(GivenUp::Bare) => self.free(glue, port, badge),
            Ok(GivenUp::Joint) => {
                let Some(object) = self.grants.object(badge) else { return };
                let Manager { factories, containers, processes, .. } = self;
                if let Some(peers) = peers(factories, containers, processes, object) {
                    peers.let_go();
                }
                self.lost(glue, port, badge, object);
                port.revoke(badge);
            }
            // It was cut off, or is none: whoever cut it sees to the rest.
            Err(_) => {}
        }
    }

    /// Takes a grant back that was made in this very call and that nobody has seen.
    pub(crate) fn take_back(&mut self, badge: Badge, object: Object) {
        let payer = self.payer(object);
        let Manager { grants, factories, containers, processes, .. } = self;
        let Some(peers) = peers(factories, containers, processes, object) else { return };
        if grants.free(badge, peers).is_some()
            && let Some(payer) = payer
        {
            self.discharge(payer, &CAPABILITY);
        }
    }

    /// Ends everything derived from a grant. When this returns no descendant is accepted any more; calls that wait on
    /// one are answered when it is swept.
    pub(crate) fn revoke<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        let sweep = self.grants.cut_below(badge);
        self.begin(glue, port, Job::Sweep(sweep));
    }

    /// Ends one grant below another, with everything derived from it.
    ///
    /// # Errors
    /// `NotFound` if the path names none.
    pub(crate) fn revoke_one<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        badge: Badge,
        path: &[GrantHandle],
    ) -> Result<(), Refusal> {
        let found = self.grants.find(badge, path)?;
        self.end_grant(glue, port, found);
        Ok(())
    }

    /// Ends a grant, if it is still there, with everything derived from it.
    pub(crate) fn end_grant<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        // Most have nothing below them, and there is nothing to be put off.
        if self.grants.leaf(badge).is_some_and(|object| self.exists(object)) {
            return self.free(glue, port, badge);
        }
        let sweep = self.grants.cut(badge);
        self.begin(glue, port, Job::Sweep(sweep));
        self.wither(glue, port);
    }

    /// Answers a call that waited, unless its capability was cut off meanwhile.
    pub(crate) fn reply_if_live<P: Port>(&self, port: &mut P, call: Parked, reply: &Reply<'_>) {
        if self.grants.is_attached(call.badge) {
            call.reply(port, reply);
        } else {
            call.refuse(port, RefusalCode::Revoked);
        }
    }

    /// What follows from the end of one grant, or from its being given up.
    fn lost<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge, object: Object) {
        self.answer_revoked(port, object, badge);
        match object {
            Object::Factory(handle) => {
                let held = |factory: &Factory| factory.peers.held() > 0;
                if !self.factories.get(handle).is_some_and(held) {
                    self.begin(glue, port, Job::Orphans(handle));
                }
            }
            Object::Container(handle) => self.lost_container(glue, port, badge, handle),
            Object::Process(handle) => self.forget_process(glue, handle),
        }
    }

    /// A call that waits for work on the container is answered. If what ended is the grant that a creation would
    /// have handed out, its authority is gone and the creation is called off.
    fn lost_container<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        badge: Badge,
        handle: ContainerHandle,
    ) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        match &mut record.work {
            Work::Creating { call, grant } if *grant == badge => {
                if let Some(call) = call.take() {
                    call.refuse(port, RefusalCode::Revoked);
                }
                self.begin_delete(glue, port, handle, None, EventKind::Deleted);
            }
            Work::Starting { call } | Work::Deleting { call, .. } => {
                if let Some(call) = call.take_if(|call| call.badge == badge) {
                    call.refuse(port, RefusalCode::Revoked);
                }
            }
            Work::Idle | Work::Creating { .. } => {}
        }
    }

    /// Has the kernel remove a container, whatever goes on with it; in the end tells so and answers `call`.
    pub(crate) fn begin_delete<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
        call: Option<Parked>,
        told: EventKind,
    ) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        match core::mem::replace(&mut record.work, Work::Deleting { call, told }) {
            Work::Creating { call: Some(call), .. } | Work::Starting { call: Some(call) } => {
                call.refuse(port, RefusalCode::Gone);
            }
            _ => {}
        }
        match glue.destroy(key_of(handle)) {
            // It "always succeeds in the end": a fault it tells of concerns poststop hooks, which only warn.
            Progress::Done(_) => self.remove(glue, port, handle),
            Progress::Later => {}
        }
    }

    /// Forgets a container that the kernel no longer has: waiting calls are answered, every grant on it and on its
    /// processes ends, and what it was charged for is given back.
    pub(super) fn remove<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
    ) {
        if let Some(record) = self.containers.get(handle)
            && record.oci.state() != OciLifecycleState::Creating
            && let Work::Deleting { told, .. } = record.work
        {
            self.tell(glue, port, handle, told);
        }
        let Some(record) = self.containers.remove(handle) else { return };
        self.dismiss(&record);
        // At once, however long it takes to sweep: what was stored, and what was taken out, ends here.
        let sweeps = record.stored.values().map(|badge| self.grants.cut(*badge)).collect();
        let mut ended = Vec::from([Remains::new(record.first, record.watch).with(sweeps)]);
        for process in record.execs.into_values() {
            let process = self.processes.remove(process);
            ended.extend(process.map(|process| Remains::new(process.execution, Watch::new())));
        }
        match record.work {
            Work::Deleting { call: Some(call), .. } => call.reply(port, &Reply::Done),
            Work::Creating { call: Some(call), .. } | Work::Starting { call: Some(call) } => {
                call.refuse(port, RefusalCode::Gone);
            }
            _ => {}
        }
        self.begin(glue, port, Job::Ended(ended));
        self.forget_factory(record.factory);
    }

    /// Forgets a process that has ended and on which there is no grant.
    pub(super) fn forget_process<G: KernelGlue>(&mut self, glue: &mut G, handle: ProcessHandle) {
        let Some(process) = self.processes.get(handle) else { return };
        if process.execution.exit.is_none() || process.execution.peers.records() > 0 {
            return;
        }
        let (container, key) = (process.container, process.key);
        let cost = quota::exec(process.execution.stdio);
        if let Some(payer) = self.payer(Object::Process(handle)) {
            self.discharge(payer, &cost);
        }
        self.processes.remove(handle);
        if let Some(record) = self.containers.get_mut(container) {
            record.execs.remove(&key);
        }
        glue.forget(key_of(container), key);
    }
}
