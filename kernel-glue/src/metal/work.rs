//! What goes on with one container between a verb and its event: steps and hooks, one after the other.

use super::hook::document;
use super::sys;
use crate::glue::{ContainerKey, Event, Pid, Prepared, Progress, StepFault};
use crate::plan::{Hook, HookKind, Plan, Step};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Call, Error, Handle, Which};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;
use postcard::ser_flavors::Flavor;

/// `SIGKILL` (signal(7)).
const KILL: u8 = 9;

/// Where the work on a container is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// Before this step of `create`.
    Create(usize),
    /// At the gate, with nothing going on.
    Gate,
    /// Before this `startContainer` hook.
    Start(usize),
    /// Before this `poststart` hook.
    Poststart(usize),
    /// Its gate is open, with nothing going on.
    Open,
    /// Before this `poststop` hook.
    Poststop(usize),
}

/// A container as this backend knows it.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) handle: Handle,
    plan: Plan,
    at: At,
    /// The hook that runs: its number.
    hook: Option<u32>,
    next_hook: u32,
    pub(super) pid: Option<u32>,
    pivot: Option<(String, String)>,
}

/// How a stretch of work came out.
pub(super) enum Outcome {
    /// A hook runs; its end carries the work on.
    Later,
    /// `prepare` is done.
    Prepared(Prepared),
    /// `prepare` has failed: the container is to be removed.
    NotPrepared(StepFault),
    /// `release` is done or has failed.
    Released(Result<(), StepFault>),
    /// `destroy` is done: the container is to be forgotten.
    Destroyed,
    /// There was nothing to do.
    Nothing,
}

/// The kernel's number for a fault: both speak the numbers of errno(3).
pub(super) fn errno(error: Error) -> Errno {
    Errno(error.0)
}

impl Container {
    pub(super) fn new(handle: Handle, plan: Plan) -> Self {
        Container { handle, plan, at: At::Create(0), hook: None, next_hook: 0, pid: None, pivot: None }
    }

    /// Whether the gate is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.at, At::Poststart(_) | At::Open)
    }

    /// Begins `release`.
    ///
    /// # Errors
    /// It was begun before, or nobody waits at the gate.
    pub(super) fn release(&mut self) -> Result<(), StepFault> {
        if self.at != At::Gate {
            let what = "open the gate: it is open, or nobody waits there".to_string();
            return Err(StepFault { step: None, errno: Errno::EINVAL, what });
        }
        self.at = At::Start(0);
        Ok(())
    }

    /// Begins `destroy`, whatever goes on: everything is taken apart, and `poststop` hooks are next. False if it was
    /// begun before.
    pub(super) fn destroy(&mut self) -> bool {
        if matches!(self.at, At::Poststop(_)) {
            return false;
        }
        // It succeeds or the container is gone, which is as well.
        let _ = sys::container(Call::ContainerDestroy, self.handle);
        (self.at, self.hook) = (At::Poststop(0), None);
        true
    }

    /// Works until a hook runs or there is an outcome.
    pub(super) fn advance(&mut self) -> Outcome {
        loop {
            let done = match self.at {
                At::Gate | At::Open => return Outcome::Nothing,
                At::Create(at) => self.create_step(at),
                At::Start(at) => self.start_hook(at),
                At::Poststart(at) => match self.plan.poststart.get(at).cloned() {
                    Some(hook) => self.begin_hook(&hook, At::Poststart(at + 1)).or_else(|_| self.skip(at)),
                    None => {
                        self.at = At::Open;
                        return Outcome::Released(Ok(()));
                    }
                },
                At::Poststop(at) => match self.plan.poststop.get(at).cloned() {
                    Some(hook) => self.begin_hook(&hook, At::Poststop(at + 1)).or_else(|_| self.skip(at)),
                    None => return Outcome::Destroyed,
                },
            };
            match done {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(fault) => return self.failed(fault),
            }
        }
    }

    /// A hook that could not be started, where that is a warning only.
    fn skip(&mut self, at: usize) -> Result<Option<Outcome>, StepFault> {
        self.at = match self.at {
            At::Poststart(_) => At::Poststart(at + 1),
            _ => At::Poststop(at + 1),
        };
        Ok(None)
    }

    /// The next step of `create`. The steps are lent out of the plan meanwhile, for they are long to copy.
    fn create_step(&mut self, at: usize) -> Result<Option<Outcome>, StepFault> {
        let steps = core::mem::take(&mut self.plan.create);
        let done = self.carry_out(steps.get(at), at);
        if self.at != At::Gate {
            self.plan.create = steps;
        }
        done
    }

    fn carry_out(&mut self, step: Option<&Step>, at: usize) -> Result<Option<Outcome>, StepFault> {
        let Some(step) = step else {
            self.at = At::Gate;
            let pid = self.pid.map(Pid).ok_or_else(|| StepFault {
                step: None,
                errno: Errno::EINVAL,
                what: "the plan loads no program".to_string(),
            })?;
            return Ok(Some(Outcome::Prepared(Prepared { pid, pivot: self.pivot.take() })));
        };
        let number = u16::try_from(at).ok();
        if let Step::Hook(hook) = step {
            let begun = self.begin_hook(hook, At::Create(at + 1));
            return begun.map_err(|fault| StepFault { step: number, ..fault });
        }
        let room = Encoded(Vec::with_capacity(ENCODED_USUAL));
        let encoded = postcard::serialize_with_flavor(step, room).map_err(|_| StepFault {
            step: number,
            errno: Errno::ENOMEM,
            what: step.to_string(),
        })?;
        let pid = sys::container_step(self.handle, &encoded).map_err(|error| {
            let what = self.reason().map_or_else(|| step.to_string(), |(what, _)| what);
            StepFault { step: number, errno: errno(error), what }
        })?;
        if let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid != 0) {
            self.pid = Some(pid);
        }
        if let Step::PivotRoot { new, old } = step {
            self.pivot = Some((old.clone(), new.clone()));
        }
        self.at = At::Create(at + 1);
        Ok(None)
    }

    fn start_hook(&mut self, at: usize) -> Result<Option<Outcome>, StepFault> {
        if let Some(hook) = self.plan.start.get(at).cloned() {
            return self.begin_hook(&hook, At::Start(at + 1));
        }
        sys::container_release(self.handle).map_err(|error| StepFault {
            step: None,
            errno: errno(error),
            what: "open the gate".to_string(),
        })?;
        self.at = At::Poststart(0);
        Ok(None)
    }

    fn begin_hook(&mut self, hook: &Hook, next: At) -> Result<Option<Outcome>, StepFault> {
        let number = self.next_hook;
        self.next_hook = number.wrapping_add(1);
        let what = || format!("hook {} {}", hook.kind.as_str(), hook.path);
        let encoded = postcard::to_allocvec(hook).map_err(|_| StepFault {
            step: None,
            errno: Errno::ENOMEM,
            what: what(),
        })?;
        let state = document(hook.kind, &self.plan.state, self.pid);
        sys::container_hook(self.handle, number, &encoded, state.as_bytes()).map_err(|error| {
            let what = self.reason().map_or_else(what, |(what, _)| what);
            StepFault { step: None, errno: errno(error), what }
        })?;
        (self.at, self.hook) = (next, Some(number));
        Ok(Some(Outcome::Later))
    }

    /// A hook has ended. None if it is not the one that the work waits for.
    pub(super) fn hook_ended(&mut self, number: u32, exit: Exit) -> Option<Outcome> {
        self.hook.take_if(|waited| *waited == number)?;
        sys::container_forget(self.handle, Which::Hook(number));
        let (kind, path) = self.last_hook()?;
        let how = match exit {
            Exit::Code(0) => return Some(self.advance()),
            Exit::Code(status) => format!("exit status {status}"),
            other => format!("signal {} ended it", other.status() - 128),
        };
        if let At::Poststart(_) | At::Poststop(_) = self.at {
            return Some(self.advance());
        }
        let step = match self.at {
            At::Create(next) => next.checked_sub(1).and_then(|at| u16::try_from(at).ok()),
            _ => None,
        };
        let what = format!("hook {} {path}: {how}", kind.as_str());
        Some(self.failed(StepFault { step, errno: Errno::EIO, what }))
    }

    fn last_hook(&self) -> Option<(HookKind, String)> {
        let before = |at: usize| at.checked_sub(1);
        let hook = match self.at {
            At::Create(next) => match self.plan.create.get(before(next)?)? {
                Step::Hook(hook) => hook,
                _ => return None,
            },
            At::Start(next) => self.plan.start.get(before(next)?)?,
            At::Poststart(next) => self.plan.poststart.get(before(next)?)?,
            At::Poststop(next) => self.plan.poststop.get(before(next)?)?,
            At::Gate | At::Open => return None,
        };
        Some((hook.kind, hook.path.clone()))
    }

    fn failed(&mut self, fault: StepFault) -> Outcome {
        if let At::Create(_) = self.at {
            return Outcome::NotPrepared(fault);
        }
        // What waits at the gate will never run its program.
        let _ = sys::container_signal(self.handle, Which::First, KILL, 1);
        self.at = At::Open;
        Outcome::Released(Err(fault))
    }

    /// What the kernel says about the last refusal: text, and the position of the step in its list.
    pub(super) fn reason(&self) -> Option<(String, Option<u16>)> {
        let mut room = [0; 512];
        let (len, step) = sys::container_fault(self.handle, &mut room).ok()?;
        let text = core::str::from_utf8(room.get(..len)?).ok().filter(|text| !text.is_empty())?;
        Some((text.to_string(), u16::try_from(step).ok()))
    }
}

/// Bytes that nearly every step fits into.
const ENCODED_USUAL: usize = 256;

/// What a step is encoded into: bytes that grow, and seldom have to.
struct Encoded(Vec<u8>);

impl Flavor for Encoded {
    type Output = Vec<u8>;
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

impl Outcome {
    /// As the answer of the verb that began the work.
    pub(super) fn prepared(self) -> Progress<Prepared> {
        match self {
            Outcome::Prepared(prepared) => Progress::Done(Ok(prepared)),
            Outcome::NotPrepared(fault) => Progress::Done(Err(fault)),
            _ => Progress::Later,
        }
    }
    /// As the answer of `release` or `destroy`.
    pub(super) fn done(self) -> Progress<()> {
        match self {
            Outcome::Released(result) => Progress::Done(result),
            Outcome::Destroyed => Progress::Done(Ok(())),
            _ => Progress::Later,
        }
    }
    /// As an event, when the verb has been answered with [`Progress::Later`].
    pub(super) fn event(self, key: ContainerKey) -> Option<Event> {
        Some(match self {
            Outcome::Prepared(prepared) => Event::Prepared { key, result: Ok(prepared) },
            Outcome::NotPrepared(fault) => Event::Prepared { key, result: Err(fault) },
            Outcome::Released(result) => Event::Released { key, result },
            Outcome::Destroyed => Event::Destroyed { key },
            Outcome::Later | Outcome::Nothing => return None,
        })
    }
}
