//! What the backend waits for: one epoll descriptor over processes, control sockets, output, hooks and a timer.

use super::fault::{Context, Outcome};
use crate::glue::{ContainerKey, ProcessKey};
use alloc::collections::BTreeMap;
use core::mem::MaybeUninit;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::time::{Duration, Instant};

/// What has become ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Watched {
    /// The control socket of a container that is being made or started.
    Control(ContainerKey),
    /// A process has ended.
    Process(ProcessKey),
    /// There is output.
    Output(ProcessKey),
    /// A hook has ended.
    Hook(ContainerKey),
    /// Memory ran out in the container's group.
    Memory(ContainerKey),
    /// A hook's time may be over.
    Timer,
}

/// A registration; [`Watcher::remove`] wants it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Token(u64);

/// How often a registration fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// As long as it is ready.
    Level,
    /// Once, until [`Watcher::rearm`].
    Once,
}

impl Mode {
    fn flags(self) -> EventFlags {
        match self {
            Mode::Level => EventFlags::IN,
            Mode::Once => EventFlags::IN | EventFlags::ONESHOT,
        }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    epoll: OwnedFd,
    timer: OwnedFd,
    next: u64,
    all: BTreeMap<Token, Watched>,
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

const TIMER: Token = Token(0);

impl Watcher {
    pub(super) fn new() -> Outcome<Self> {
        let what = || "prepare to wait for events".into();
        let epoll = epoll::create(CreateFlags::CLOEXEC).context(what)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context(what)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER.0), EventFlags::IN).context(what)?;
        Ok(Watcher { epoll, timer, next: TIMER.0 + 1, all: BTreeMap::new() })
    }

    pub(super) fn add(&mut self, fd: impl AsFd, what: Watched, mode: Mode) -> Outcome<Token> {
        let token = Token(self.next);
        self.next += 1;
        epoll::add(&self.epoll, fd, EventData::new_u64(token.0), mode.flags())
            .context(|| "watch a process".into())?;
        self.all.insert(token, what);
        Ok(token)
    }

    pub(super) fn rearm(&self, token: Token, fd: impl AsFd) {
        if self.all.contains_key(&token) {
            let _ = epoll::modify(&self.epoll, fd, EventData::new_u64(token.0), Mode::Once.flags());
        }
    }

    pub(super) fn remove(&mut self, token: Token, fd: impl AsFd) {
        if self.all.remove(&token).is_some() {
            let _ = epoll::delete(&self.epoll, fd);
        }
    }

    /// Whether nothing is watched, so nothing will ever happen.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Sets the timer to `deadline`; none stops it.
    pub(super) fn set_timer(&self, deadline: Option<Instant>) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = deadline.map_or(zero, |d| {
            // All zeroes would stop the timer instead of letting it fire at once.
            let left = d.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() }
        });
        let times = Itimerspec { it_interval: zero, it_value: value };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times);
    }

    /// The next thing that is ready; waits for it if asked to.
    pub(super) fn next(&self, block: Block) -> Option<Watched> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if block == Block::Yes { None } else { Some(&now) };
        loop {
            let mut room = [MaybeUninit::<epoll::Event>::uninit(); 1];
            let (ready, _) = match epoll::wait(&self.epoll, &mut room, timeout) {
                Ok(got) => got,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
            };
            let event = ready.first()?;
            let token = Token(event.data.u64());
            if token == TIMER {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(&self.timer, &mut count);
                return Some(Watched::Timer);
            }
            if let Some(what) = self.all.get(&token) {
                return Some(*what);
            }
        }
    }
}

/// Whether to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Block {
    Yes,
    No,
}
