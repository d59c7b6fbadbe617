//! What goes on with one container between a verb and its event: steps and hooks, one after the other.

use super::hook::document;
use super::steps::Steps;
use super::sys;
use crate::glue::{ContainerKey, Event, Pid, Prepared, Progress, StepFault};
use crate::plan::{Hook, HookKind, HookState, Plan};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Call, Error, Handle, Which};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

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
    /// What is left of `create`.
    steps: Steps,
    start: Vec<Hook>,
    poststart: Vec<Hook>,
    poststop: Vec<Hook>,
    /// What hooks are told.
    state: HookState,
    at: At,
    /// The hook that runs: its number.
    hook: Option<u32>,
    next_hook: u32,
    pub(super) pid: Option<u32>,
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
    pub(super) fn new(handle: Handle, steps: Steps, plan: &Plan) -> Self {
        Container {
            handle,
            steps,
            start: plan.start.clone(),
            poststart: plan.poststart.clone(),
            poststop: plan.poststop.clone(),
            state: plan.state.clone(),
            at: At::Create(0),
            hook: None,
            next_hook: 0,
            pid: None,
        }
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
                At::Create(at) => self.create_steps(at),
                At::Start(at) => self.start_hook(at),
                At::Poststart(at) => match self.poststart.get(at).cloned() {
                    Some(hook) => self.begin_hook(&hook, At::Poststart(at + 1)).or_else(|_| self.skip(at)),
                    None => {
                        self.at = At::Open;
                        return Outcome::Released(Ok(()));
                    }
                },
                At::Poststop(at) => match self.poststop.get(at).cloned() {
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

    /// The next steps of `create`: a hook, or as many others as are handed over at once.
    fn create_steps(&mut self, at: usize) -> Result<Option<Outcome>, StepFault> {
        let number = |at: usize| u16::try_from(at).ok();
        if let Some(hook) = self.steps.hook(at).cloned() {
            let begun = self.begin_hook(&hook, At::Create(at + 1));
            return begun.map_err(|fault| StepFault { step: number(at), ..fault });
        }
        let Some((text, next)) = self.steps.some(at) else {
            return self.at_gate().map(Some);
        };
        let pid = sys::container_steps(self.handle, text).map_err(|error| {
            let unknown = || ("take steps of the plan".to_string(), None);
            let (what, position) = self.reason().unwrap_or_else(unknown);
            let at = at + usize::from(position.unwrap_or(0));
            StepFault { step: number(at), errno: errno(error), what }
        })?;
        if let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid != 0) {
            self.pid = Some(pid);
        }
        self.at = At::Create(next);
        Ok(None)
    }

    /// All steps of `create` are done.
    fn at_gate(&mut self) -> Result<Outcome, StepFault> {
        self.at = At::Gate;
        let pivot = core::mem::take(&mut self.steps).pivot;
        let pid = self.pid.map(Pid).ok_or_else(|| StepFault {
            step: None,
            errno: Errno::EINVAL,
            what: "the plan loads no program".to_string(),
        })?;
        Ok(Outcome::Prepared(Prepared { pid, pivot }))
    }

    fn start_hook(&mut self, at: usize) -> Result<Option<Outcome>, StepFault> {
        if let Some(hook) = self.start.get(at).cloned() {
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
        let state = document(hook.kind, &self.state, self.pid);
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
            At::Create(next) => self.steps.hook(before(next)?)?,
            At::Start(next) => self.start.get(before(next)?)?,
            At::Poststart(next) => self.poststart.get(before(next)?)?,
            At::Poststop(next) => self.poststop.get(before(next)?)?,
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
