//! What the kernel tells: work that has ended, processes that have ended, output.

use super::jobs::Job;
use super::object::handle_of;
use super::tell::News;
use super::{ContainerHandle, Manager, Object, Work};
use bailiwick_kernel_glue::{ContainerKey, Event, KernelGlue, Port, Prepared, ProcessKey, StepFault};
use bailiwick_protocol::error::{KernelFault, RefusalCode};
use bailiwick_protocol::frame::FRAME_MAX;
use bailiwick_protocol::message::{EventKind, Exit, Reply, Stdio};

/// Bytes read from the kernel at once.
const READ: usize = 4096;
/// Bytes read for one event, so that one container that writes without end cannot keep the manager busy. The
/// kernel tells again of what is left.
const READ_MAX: usize = 16 * READ;
/// Bytes read when a process has ended: more than any kernel keeps of one.
const LAST_MAX: usize = 16 * READ_MAX;
/// Room left in a frame of output for everything that is not output.
pub(crate) const LOG_FRAME: usize = FRAME_MAX - 64;

impl Manager {
    /// Takes note of what the kernel tells and answers who was waiting for it. Events of containers that are gone
    /// change nothing.
    pub fn event<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, event: Event) {
        self.sweep(glue, port);
        match event {
            Event::Prepared { key, result } => self.prepared(glue, port, handle_of(key), result),
            Event::Released { key, result } => self.released(glue, port, handle_of(key), result),
            Event::Destroyed { key } => self.destroyed(glue, port, key),
            Event::Exited { process, exit } => self.exited(glue, port, process, exit),
            Event::Output { process } => self.output(glue, port, process),
            Event::OutOfMemory { key } => self.tell(glue, port, handle_of(key), EventKind::OutOfMemory),
        }
    }

    /// A `prepare` has ended: the container is created, or never was.
    pub(crate) fn prepared<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
        result: Result<Prepared, StepFault>,
    ) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        let Work::Creating { call, grant } = &mut record.work else { return };
        let (call, grant) = (call.take(), *grant);
        record.work = Work::Idle;
        let fault = match result {
            // Its authority was cut off, and is not swept yet.
            Ok(_) if !self.grants.is_attached(grant) => RefusalCode::Revoked.into(),
            Ok(prepared) => match commit_created(record, prepared) {
                Ok(()) => {
                    self.tell(glue, port, handle, EventKind::Created);
                    if let Some(call) = call {
                        call.reply_with(port, &Reply::Done, grant);
                    }
                    return;
                }
                Err(error) => error,
            },
            Err(fault) => {
                let failed = EventKind::Failed(fault.errno);
                self.tell(glue, port, handle, failed);
                KernelFault::from(fault).into()
            }
        };
        if let Some(call) = call {
            call.refuse(port, fault);
        }
        // What prepare left is nothing, but the kernel may have been right and only the commit wrong.
        self.begin_delete(glue, port, handle, None, EventKind::Deleted);
    }

    /// A `release` has ended.
    pub(crate) fn released<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
        result: Result<(), StepFault>,
    ) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        let Work::Starting { call } = &mut record.work else { return };
        let call = call.take();
        record.work = Work::Idle;
        if result.is_ok() && record.first.exit.is_none() {
            self.started(glue, port, handle);
        }
        match (call, result) {
            (Some(call), Ok(())) => self.reply_if_live(port, call, &Reply::Done),
            (Some(call), Err(fault)) => call.refuse(port, KernelFault::from(fault)),
            (None, _) => {}
        }
    }

    /// The gate was opened. The state was checked when the work began, and only this work could change it since.
    fn started<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, handle: ContainerHandle) {
        let Some(record) = self.containers.get_mut(handle) else { return };
        if record.oci.start(record.pid.map_or(0, |pid| pid.0)).is_ok() {
            self.tell(glue, port, handle, EventKind::Started);
        }
    }

    fn destroyed<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, key: ContainerKey) {
        let handle = handle_of(key);
        let deleting = |record: &super::Record| matches!(record.work, Work::Deleting { .. });
        if self.containers.get(handle).is_some_and(deleting) {
            self.remove(glue, port, handle);
        }
    }

    fn exited<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        process: ProcessKey,
        exit: Exit,
    ) {
        let Some(object) = self.object_of(process) else { return };
        self.drain(glue, process, LAST_MAX);
        if let Object::Container(handle) = object {
            self.first_exited(glue, port, handle, exit);
        }
        let name = self.console_name(process);
        let Some(execution) = self.execution(object) else { return };
        if execution.exit.is_some() {
            return;
        }
        execution.exit = Some(exit);
        if let Some(name) = name.filter(|_| execution.stdio == Stdio::Console) {
            execution.lines.finish(|line| glue.console(name.as_str(), line));
        }
        self.begin(glue, port, Job::Tell(object, News::Output));
        if let Object::Process(handle) = object {
            self.forget_process(glue, handle);
        }
    }

    /// The record follows its first process. One that ends while `release` goes on had its gate opened: a hook that
    /// failed would have been told first.
    fn first_exited<G: KernelGlue, P: Port>(
        &mut self,
        glue: &mut G,
        port: &mut P,
        handle: ContainerHandle,
        exit: Exit,
    ) {
        let starting = |record: &super::Record| matches!(record.work, Work::Starting { .. });
        if self.containers.get(handle).is_some_and(starting) {
            self.started(glue, port, handle);
        }
        let Some(record) = self.containers.get_mut(handle) else { return };
        // Refused only if it has stopped already: the first status is kept.
        if record.oci.report_exit(exit).and_then(|()| record.oci.stop()).is_ok() {
            self.tell(glue, port, handle, EventKind::Exited(exit));
        }
    }

    fn output<G: KernelGlue, P: Port>(&mut self, glue: &mut G, port: &mut P, process: ProcessKey) {
        self.drain(glue, process, READ_MAX);
        let object = self.object_of(process);
        if let Some(object) = object {
            self.begin(glue, port, Job::Tell(object, News::Output));
        }
    }

    fn console_name(&self, process: ProcessKey) -> Option<bailiwick_protocol::ContainerId> {
        self.containers.get(handle_of(process.container())).map(|record| record.oci.id().clone())
    }

    /// Moves what a process wrote from the kernel into its log.
    fn drain<G: KernelGlue>(&mut self, glue: &mut G, process: ProcessKey, limit: usize) {
        let name = self.console_name(process);
        let object = self.object_of(process);
        let Some(execution) = object.and_then(|object| self.execution(object)) else { return };
        let (mut room, mut total) = ([0; READ], 0);
        while total < limit {
            let read = glue.read_output(process, &mut room);
            let bytes = room.get(..read.len).unwrap_or(&room);
            if bytes.is_empty() && read.lost == 0 {
                return;
            }
            execution.log.lose(read.lost);
            execution.log.append(bytes);
            if let (Stdio::Console, Some(name)) = (execution.stdio, &name) {
                execution.lines.feed(bytes, |line| glue.console(name.as_str(), line));
            }
            total = total.saturating_add(bytes.len());
        }
    }
}

/// The commit of a creation: pair, process, state.
fn commit_created(
    record: &mut super::Record,
    prepared: Prepared,
) -> Result<(), bailiwick_protocol::ErrorReply> {
    if let Some((old, new)) = prepared.pivot {
        record.oci.report_pivot_root(old, new)?;
    }
    record.oci.mark_created()?;
    record.pid = Some(prepared.pid);
    record.told = record.pid.filter(|_| record.policy.tells_pids());
    Ok(())
}
