//! Signals: sets, actions, what is pending (signal(7)). Pure data; delivery is in `deliver`.

use crate::account::PIECE;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use bailiwick_kernel_glue::filter::ARCHITECTURE_X86_64;

macro_rules! signals {
    ($($name:ident = $number:literal),*) => { $(pub(crate) const $name: u8 = $number;)* };
}
signals!(
    SIGHUP = 1,
    SIGINT = 2,
    SIGQUIT = 3,
    SIGILL = 4,
    SIGTRAP = 5,
    SIGBUS = 7,
    SIGFPE = 8,
    SIGKILL = 9,
    SIGSEGV = 11,
    SIGPIPE = 13,
    SIGALRM = 14,
    SIGCHLD = 17,
    SIGCONT = 18,
    SIGSTOP = 19,
    SIGTSTP = 20,
    SIGTTIN = 21,
    SIGTTOU = 22,
    SIGURG = 23,
    SIGXFSZ = 25,
    SIGWINCH = 28,
    SIGSYS = 31
);

/// Highest signal number.
pub(super) const LAST: u8 = 64;

/// A set of signals, one bit each, signal 1 the lowest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signals(pub u64);

impl Signals {
    /// Those that nobody can block, catch or ignore.
    pub const UNSTOPPABLE: Signals = Signals(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1));
    pub(crate) const STOPS: Signals =
        Signals(1 << (SIGSTOP - 1) | 1 << (SIGTSTP - 1) | 1 << (SIGTTIN - 1) | 1 << (SIGTTOU - 1));
    /// Faults, which are dealt with first.
    const FAULTS: Signals = Signals(
        1 << (SIGSEGV - 1)
            | 1 << (SIGBUS - 1)
            | 1 << (SIGILL - 1)
            | 1 << (SIGTRAP - 1)
            | 1 << (SIGFPE - 1)
            | 1 << (SIGSYS - 1),
    );
    /// Just one.
    pub const fn one(signal: u8) -> Signals {
        Signals(if signal >= 1 && signal <= LAST { 1 << (signal - 1) } else { 0 })
    }
    /// Whether `signal` is in it.
    pub const fn has(self, signal: u8) -> bool {
        self.0 & Signals::one(signal).0 != 0
    }
    pub(crate) const fn with(self, other: Signals) -> Signals {
        Signals(self.0 | other.0)
    }
    pub(crate) const fn without(self, other: Signals) -> Signals {
        Signals(self.0 & !other.0)
    }
    pub(crate) const fn and(self, other: Signals) -> Signals {
        Signals(self.0 & other.0)
    }
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The one to be dealt with first.
    pub(crate) fn first(self) -> Option<u8> {
        let set = if self.and(Signals::FAULTS).is_empty() { self } else { self.and(Signals::FAULTS) };
        (set.0 != 0).then(|| set.0.trailing_zeros() as u8 + 1)
    }
}

/// What a signal does when nothing else was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Default_ {
    Terminate,
    Ignore,
    Stop,
    Continue,
}

pub(crate) fn default_of(signal: u8) -> Default_ {
    match signal {
        SIGCHLD | SIGURG | SIGWINCH => Default_::Ignore,
        SIGCONT => Default_::Continue,
        SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Default_::Stop,
        _ => Default_::Terminate,
    }
}

pub(crate) const SIG_DFL: u64 = 0;
pub(crate) const SIG_IGN: u64 = 1;
pub(crate) const SA_NOCLDSTOP: u64 = 1;
pub(crate) const SA_NOCLDWAIT: u64 = 2;
pub(crate) const SA_RESTORER: u64 = 0x0400_0000;
pub(crate) const SA_ONSTACK: u64 = 0x0800_0000;
pub(crate) const SA_RESTART: u64 = 0x1000_0000;
pub(crate) const SA_NODEFER: u64 = 0x4000_0000;
pub(crate) const SA_RESETHAND: u64 = 0x8000_0000;

/// What to do about a signal (sigaction(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// Address of the handler, or 0 for the default, 1 to ignore.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Blocked during the handler.
    pub mask: Signals,
}

/// All actions of a process.
#[derive(Clone, Debug)]
pub(crate) struct Actions(Box<[Action; LAST as usize]>);

impl Actions {
    /// What they take of the kernel's heap.
    pub(crate) const PRICE: usize = PIECE + LAST as usize * size_of::<Action>();
}

impl Default for Actions {
    fn default() -> Self {
        Actions(Box::new([Action::default(); LAST as usize]))
    }
}

impl Actions {
    pub(crate) fn get(&self, signal: u8) -> Action {
        usize::from(signal).checked_sub(1).and_then(|at| self.0.get(at)).copied().unwrap_or_default()
    }
    pub(crate) fn set(&mut self, signal: u8, action: Action) {
        if let Some(slot) = usize::from(signal).checked_sub(1).and_then(|at| self.0.get_mut(at)) {
            *slot = action;
        }
    }
    /// Handlers go, what is ignored stays (execve(2)).
    pub(crate) fn reset_handlers(&mut self) {
        for action in self.0.iter_mut() {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::default() };
        }
    }
    /// Whether the signal has no effect at all.
    pub(crate) fn ignores(&self, signal: u8) -> bool {
        match self.get(signal).handler {
            SIG_IGN => true,
            SIG_DFL => default_of(signal) == Default_::Ignore,
            _ => false,
        }
    }
    fn collect(&self, pick: impl Fn(u64) -> bool) -> Signals {
        (1..=LAST)
            .filter(|signal| pick(self.get(*signal).handler))
            .fold(Signals::default(), |set, signal| set.with(Signals::one(signal)))
    }
    pub(crate) fn ignored(&self) -> Signals {
        self.collect(|handler| handler == SIG_IGN)
    }
    pub(crate) fn caught(&self) -> Signals {
        self.collect(|handler| handler > SIG_IGN)
    }
}

/// Where a signal comes from, as its handler is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SignalInfo {
    /// `SI_USER` and the like.
    pub code: i32,
    /// The sender, or the child, as the receiver numbers it.
    pub pid: u32,
    /// Its real user, as the receiver numbers it.
    pub uid: u32,
    /// Exit status of a child, the low half of a value, or the number of a call that a filter trapped.
    pub status: i32,
    /// Address of a fault or of a trapped call.
    pub address: u64,
}

pub(crate) const SI_USER: i32 = 0;
pub(crate) const SI_KERNEL: i32 = 0x80;
pub(crate) const SI_TKILL: i32 = -6;
/// SIGSYS from a system-call filter.
pub(crate) const SYS_SECCOMP: i32 = 1;

impl SignalInfo {
    /// From the kernel itself.
    pub const KERNEL: SignalInfo = SignalInfo { code: SI_KERNEL, pid: 0, uid: 0, status: 0, address: 0 };

    /// As `siginfo_t` lies in memory.
    pub(crate) fn to_bytes(self, signal: u8) -> [u8; 128] {
        let mut bytes = [0; 128];
        bytes[0..4].copy_from_slice(&i32::from(signal).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_le_bytes());
        let is_fault = matches!(signal, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP) && self.code > 0;
        if is_fault && self.code != SI_KERNEL {
            bytes[16..24].copy_from_slice(&self.address.to_le_bytes());
        } else if signal == SIGSYS && self.code == SYS_SECCOMP {
            bytes[16..24].copy_from_slice(&self.address.to_le_bytes());
            bytes[24..28].copy_from_slice(&self.status.to_le_bytes());
            bytes[28..32].copy_from_slice(&ARCHITECTURE_X86_64.to_le_bytes());
        } else {
            bytes[16..20].copy_from_slice(&self.pid.to_le_bytes());
            bytes[20..24].copy_from_slice(&self.uid.to_le_bytes());
            bytes[24..28].copy_from_slice(&self.status.to_le_bytes());
        }
        bytes
    }
}

/// Signals that were sent and not yet dealt with. Each is there once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) set: Signals,
    info: BTreeMap<u8, SignalInfo>,
}

impl Pending {
    /// What it takes of the kernel's heap when every signal has come. Nodes of a B-tree may be half empty.
    pub(crate) const PRICE: usize = 2 * LAST as usize * size_of::<(u8, SignalInfo)>();
}

impl Pending {
    pub(crate) fn add(&mut self, signal: u8, info: SignalInfo) {
        if !self.set.has(signal) {
            self.set = self.set.with(Signals::one(signal));
            self.info.insert(signal, info);
        }
    }
    pub(crate) fn remove(&mut self, signals: Signals) {
        self.set = self.set.without(signals);
        self.info.retain(|signal, _| !signals.has(*signal));
    }
    pub(crate) fn take(&mut self, signal: u8) -> SignalInfo {
        self.set = self.set.without(Signals::one(signal));
        self.info.remove(&signal).unwrap_or_default()
    }
}
