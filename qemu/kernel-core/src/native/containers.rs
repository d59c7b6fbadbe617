//! Containers: rights are checked, texts copied in and decoded; the rest is done by [`crate::container`].

use super::call::{Call, NOTHING, Outcome};
use super::refused;
use crate::cap::Object;
use crate::container::{BundleWrites, ConsoleUse, ContainerId, NewContainer};
use crate::hw::Hw;
use crate::ns::ProcessId;
use bailiwick_abi::{CONTAINER_TEXT_MAX, ContainerRequest, Error, Handle, Kind, Rights, Which};
use bailiwick_kernel_glue::plan::{Hook, ProcessPlan, Resources, Step};
use bailiwick_protocol::message::{InputEnd, Scope, Stdio};
use serde::de::DeserializeOwned;

/// Most bytes of output that one call takes.
const OUTPUT_MAX: usize = 64 << 10;

impl<H: Hw> Call<'_, H> {
    fn container(&self, rights: Rights) -> Result<ContainerId, Error> {
        match self.object(0, Kind::Container, rights)? {
            Object::Container(id) => Ok(id),
            _ => Err(Error::WRONG_KIND),
        }
    }
    fn which(&self, at: usize) -> Result<Which, Error> {
        Which::from_word(self.arg(at)).ok_or(Error::RANGE)
    }
    fn number(&self, at: usize) -> Result<u32, Error> {
        u32::try_from(self.arg(at)).map_err(|_| Error::RANGE)
    }
    /// Something in postcard, with nothing after it.
    fn decoded<T: DeserializeOwned>(&mut self, at: usize) -> Result<T, Error> {
        let text = self.text(at, CONTAINER_TEXT_MAX)?;
        match postcard::take_from_bytes(&text) {
            Ok((value, [])) => Ok(value),
            _ => Err(Error::WRONG_KIND),
        }
    }

    /// A process's number as the machine's first namespace has it; 0 for one that has ended already.
    fn shown(&self, process: ProcessId) -> u64 {
        self.k.host_number(process).map_or(0, u64::from)
    }

    pub(super) fn container_create(&mut self) -> Outcome {
        let mut bytes = [0; ContainerRequest::BYTES];
        self.read_bytes(self.arg(0), &mut bytes)?;
        let request = ContainerRequest::from_bytes(&bytes);
        let both = Rights::READ.with(Rights::WRITE);
        let given = |word: u64| Some(Handle(word)).filter(|handle| handle.0 != 0);
        let host = given(request.host).map(|handle| self.directory(handle, Rights::READ)).transpose()?;
        let console = match given(request.console) {
            Some(handle) => self.named(handle, Kind::Console, both).map(|_| ConsoleUse::Allowed)?,
            None => ConsoleUse::Refused,
        };
        let stdio = match request.stdio {
            0 => Stdio::Log,
            1 => Stdio::Console,
            2 => Stdio::Terminal,
            4 => Stdio::Piped,
            _ => return Err(Error::RANGE.into()),
        };
        let new = NewContainer {
            group: self.group_in(Handle(request.group), Rights::CREATE)?,
            bundle: self.directory(Handle(request.bundle), Rights::READ)?,
            bundle_writes: match self.directory(Handle(request.bundle), both) {
                Ok(_) => BundleWrites::Allowed,
                Err(_) => BundleWrites::Refused,
            },
            host,
            events: self.notification_of(Handle(request.events), both)?,
            bits: request.bits,
            key: request.key,
            console,
            stdio,
        };
        if self.k.caps.room(self.space) == 0 {
            return Err(Error::FULL.into());
        }
        let id = self.k.container_create(new)?;
        self.hand_out(Object::Container(id)).inspect_err(|_| self.k.container_remove(id))
    }

    pub(super) fn container_steps(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let text = self.text(1, CONTAINER_TEXT_MAX)?;
        let (mut left, mut position, mut process) = (text.as_slice(), 0, None);
        loop {
            let (step, after): (Step, _) = postcard::take_from_bytes(left).map_err(|_| Error::WRONG_KIND)?;
            let made = self.k.container_step(id, &step).map_err(|fault| {
                self.k.container_fault_at(id, position);
                refused(fault.errno)
            })?;
            process = made.or(process);
            if after.is_empty() {
                return Ok([process.map_or(0, |process| self.shown(process)), 0, 0]);
            }
            (left, position) = (after, position.saturating_add(1));
        }
    }
    pub(super) fn container_release(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        self.k.container_release(id)?;
        Ok(NOTHING)
    }
    pub(super) fn container_execute(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let number = self.number(1)?;
        let plan: ProcessPlan = self.decoded(2)?;
        let process = self.k.container_execute(id, number, &plan).map_err(|fault| refused(fault.errno))?;
        Ok([self.shown(process), 0, 0])
    }
    pub(super) fn container_hook(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let number = self.number(1)?;
        let hook: Hook = self.decoded(2)?;
        let state = self.text(4, CONTAINER_TEXT_MAX)?;
        let process =
            self.k.container_hook(id, number, &hook, &state).map_err(|fault| refused(fault.errno))?;
        Ok([self.shown(process), 0, 0])
    }
    pub(super) fn container_signal(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let which = self.which(1)?;
        let signal = u8::try_from(self.arg(2)).map_err(|_| Error::RANGE)?;
        let scope = match self.arg(3) {
            0 => Scope::First,
            1 => Scope::All,
            _ => return Err(Error::RANGE.into()),
        };
        self.k.container_signal(id, which, signal, scope)?;
        Ok(NOTHING)
    }
    pub(super) fn container_freeze(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        self.k.container_freeze(id)?;
        Ok(NOTHING)
    }
    pub(super) fn container_thaw(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        self.k.container_thaw(id)?;
        Ok(NOTHING)
    }
    pub(super) fn container_statistics(&mut self) -> Outcome {
        let id = self.container(Rights::READ)?;
        let statistics = self.k.container_statistics(id)?;
        let bytes = postcard::to_allocvec(&statistics).map_err(|_| Error::NO_MEMORY)?;
        Ok([self.give(1, &bytes)?, 0, 0])
    }
    pub(super) fn container_update(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let resources: Resources = self.decoded(1)?;
        self.k.container_update(id, &resources)?;
        Ok(NOTHING)
    }
    pub(super) fn container_processes(&mut self) -> Outcome {
        let id = self.container(Rights::READ)?;
        let page = self.k.container_processes(id, self.number(1)?)?;
        let bytes = postcard::to_allocvec(&page).map_err(|_| Error::NO_MEMORY)?;
        Ok([self.give(2, &bytes)?, 0, 0])
    }
    pub(super) fn container_output(&mut self) -> Outcome {
        let id = self.container(Rights::READ)?;
        let which = self.which(1)?;
        let length = self.length(3).min(OUTPUT_MAX);
        // What is taken is taken: whether there is room for it is looked at before.
        self.writable(self.arg(2), length)?;
        self.k.room()?;
        let mut buffer = alloc::vec![0; length];
        let read = self.k.container_output(id, which, &mut buffer)?;
        self.write_bytes(self.arg(2), buffer.get(..read.len).unwrap_or_default())?;
        Ok([read.len as u64, read.lost, 0])
    }
    pub(super) fn container_input(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let which = self.which(1)?;
        let bytes = self.text(2, CONTAINER_TEXT_MAX)?;
        let then = match self.arg(4) {
            0 => InputEnd::Open,
            1 => InputEnd::Close,
            _ => return Err(Error::RANGE.into()),
        };
        Ok([self.k.container_input(id, which, &bytes, then)? as u64, 0, 0])
    }
    pub(super) fn container_event(&mut self) -> Outcome {
        let events = self.notification(0, Rights::READ)?;
        let (key, event) = self.k.container_event(events).ok_or(Error::WOULD_BLOCK)?;
        let (which, what) = event.to_words();
        Ok([key, which, what])
    }
    pub(super) fn container_forget(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        let which = self.which(1)?;
        self.k.container_forget(id, which)?;
        Ok(NOTHING)
    }
    pub(super) fn container_destroy(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        self.k.container_destroy(id);
        Ok(NOTHING)
    }
    pub(super) fn container_remove(&mut self) -> Outcome {
        let id = self.container(Rights::WRITE)?;
        self.k.caps.drop_object(self.space, self.handle(0))?;
        self.k.container_remove(id);
        Ok(NOTHING)
    }
    pub(super) fn container_fault(&mut self) -> Outcome {
        let id = self.container(Rights::READ)?;
        let fault = self.k.container_fault(id).ok_or(Error::WOULD_BLOCK)?;
        let (step, text) = (fault.step, fault.what.clone());
        let fits = text.len().min(self.length(2));
        let text = text.as_bytes().get(..fits).unwrap_or_default();
        self.write_bytes(self.arg(1), text)?;
        Ok([text.len() as u64, step.map_or(u64::MAX, u64::from), 0])
    }
    pub(super) fn container_open(&mut self) -> Outcome {
        let all = Rights::READ.with(Rights::WRITE).with(Rights::CREATE);
        let events = self.notification(0, all)?;
        let id = self.k.container_find(events, self.arg(1)).ok_or(Error::NOT_FOUND)?;
        let capability = crate::cap::Capability::all(Object::Container(id));
        Ok([self.k.caps.insert(self.space, capability)?.0, 0, 0])
    }
}
