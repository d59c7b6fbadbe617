//! Endings: of grants, of containers, of processes nobody asks for any more.

use super::factory::Amounts;
use super::object::key_of;
use super::{ContainerHandle, Execution, FactoryHandle, Manager, Object, Parked, ProcessHandle, Work};
use alloc::vec::Vec;
use bailiwick_kernel_glue::{KernelGlue, Port, Progress};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Reply;
use bailiwick_protocol::rights::Rights;

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

    /// Notes a new grant with its object and charges it.
    pub(crate) fn hold(&mut self, badge: Badge, object: Object) {
        if let Object::Factory(handle) = object {
            if let Some(factory) = self.factories.get_mut(handle) {
                factory.holders = factory.holders.saturating_add(1);
            }
        } else if let Some(execution) = self.execution(object) {
            execution.holders.insert(badge);
        }
        if let Some(payer) = self.payer(object) {
            self.charge(payer, &Amounts::GRANT);
        }
    }

    /// Takes [`Manager::hold`] back. Of an object that is gone nothing is left to be noted.
    pub(crate) fn let_go(&mut self, badge: Badge, object: Object) {
        if let Some(payer) = self.payer(object) {
            self.discharge(payer, &Amounts::GRANT);
        }
        if let Object::Factory(handle) = object {
            if let Some(factory) = self.factories.get_mut(handle) {
                factory.holders = factory.holders.saturating_sub(1);
            }
        } else if let Some(execution) = self.execution(object) {
            execution.holders.remove(&badge);
        }
    }

    /// A grant below `parent`, noted with its object.
    ///
    /// # Errors
    /// `Quota` or `Full`; nothing was changed.
    pub(crate) fn grant(&mut self, parent: Badge, object: Object, mask: Rights) -> Result<Badge, Refusal> {
        let payer = self.payer(object).ok_or(RefusalCode::NotFound)?;
        self.check_quota(payer, &Amounts::GRANT)?;
        let badge = self.grants.derive(parent, object, mask)?;
        self.hold(badge, object);
        Ok(badge)
    }

    /// Ends everything derived from a grant. When this returns no descendant is accepted anywhere, and calls that
    /// waited on one have been answered.
    ///
    /// # Errors
    /// `NotFound` if the grant is not live.
    pub(crate) fn revoke<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        badge: Badge,
    ) -> Result<(), Refusal> {
        let mut ended = Vec::new();
        self.grants.revoke(badge, |badge, object| ended.push((badge, object)))?;
        for (badge, object) in ended {
            self.lost(glue, port, badge, object);
        }
        Ok(())
    }

    /// Ends a grant and everything derived from it.
    fn end_grant<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, badge: Badge) {
        let mut ended = Vec::new();
        // A grant that is not live has ended already.
        let _ = self.grants.end(badge, |badge, object| ended.push((badge, object)));
        for (badge, object) in ended {
            self.lost(glue, port, badge, object);
        }
    }

    /// What follows from the end of one grant.
    pub(crate) fn lost<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        badge: Badge,
        object: Object,
    ) {
        self.let_go(badge, object);
        if let Some(execution) = self.execution(object) {
            answer_revoked(execution, port, badge);
        }
        match object {
            Object::Factory(handle) => {
                if self.factories.get(handle).is_some_and(|factory| factory.holders == 0) {
                    self.orphan(handle);
                }
            }
            Object::Container(handle) => self.lost_container(glue, port, badge, handle),
            Object::Process(handle) => self.forget_process(glue, handle),
        }
        port.revoke(badge);
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
                self.begin_delete(glue, port, handle, None);
            }
            Work::Starting { call } | Work::Deleting { call } => {
                if let Some(call) = call.take_if(|call| call.badge == badge) {
                    call.refuse(port, RefusalCode::Revoked);
                }
            }
            Work::Idle | Work::Creating { .. } => {}
        }
    }

    /// Has the kernel remove a container, whatever goes on with it, and answers `call` in the end.
    pub(crate) fn begin_delete<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
        call: Option<Parked>,
    ) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        match core::mem::replace(&mut record.work, Work::Deleting { call }) {
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
        let Some(mut record) = self.containers.remove(handle) else { return };
        self.dismiss(&record);
        answer_gone(&mut record.first, port);
        let mut holders: Vec<Badge> = record.first.holders.into_iter().collect();
        for process in record.execs.into_values() {
            if let Some(mut process) = self.processes.remove(process) {
                answer_gone(&mut process.execution, port);
                holders.extend(process.execution.holders);
            }
        }
        match record.work {
            Work::Deleting { call: Some(call) } => call.reply(port, &Reply::Done),
            Work::Creating { call: Some(call), .. } | Work::Starting { call: Some(call) } => {
                call.refuse(port, RefusalCode::Gone);
            }
            _ => {}
        }
        for badge in holders {
            self.end_grant(glue, port, badge);
        }
        self.forget_factory(record.factory);
    }

    /// Forgets a process that has ended and that nobody holds.
    pub(super) fn forget_process<G: KernelGlue>(&mut self, glue: &mut G, handle: ProcessHandle) {
        let Some(process) = self.processes.get(handle) else { return };
        if process.execution.exit.is_none() || !process.execution.holders.is_empty() {
            return;
        }
        let (container, key) = (process.container, process.key);
        if let Some(payer) = self.payer(Object::Process(handle)) {
            self.discharge(payer, &Amounts::PROCESS);
        }
        self.processes.remove(handle);
        if let Some(record) = self.containers.get_mut(container) {
            record.execs.remove(&key);
        }
        glue.forget(key_of(container), key);
    }
}

fn answer_gone(execution: &mut Execution, port: &mut impl Port) {
    for call in execution.waits.take() {
        call.refuse(port, RefusalCode::Gone);
    }
    for wait in execution.log_waits.take() {
        wait.parked.refuse(port, RefusalCode::Gone);
    }
}

fn answer_revoked(execution: &mut Execution, port: &mut impl Port, badge: Badge) {
    for call in execution.waits.take_of(badge) {
        call.refuse(port, RefusalCode::Revoked);
    }
    for wait in execution.log_waits.take_of(badge) {
        wait.parked.refuse(port, RefusalCode::Revoked);
    }
}
