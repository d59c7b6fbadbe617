//! Order, restarts, drills: decided, not done.

use super::Millis;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_manifest::{After, Container, Manifest, Policy, Restart, Start, Stored, Until};
use bailiwick_protocol::message::Exit;

/// Something to be done now. The supervisor must be told what came of it before it is asked again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Create and start this container for the first time: tell [`Supervisor::started`] or [`Supervisor::refused`].
    Start(usize),
    /// Remove what is left of it, then the same.
    Restart(usize),
    /// Send it this signal, as the manifest's drill asks.
    Drill(usize, u8),
}

/// Where one container of the manifest is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Somebody else starts it.
    Manual,
    /// Its dependencies are not there yet.
    Waiting,
    /// Its program was started; a drill may be due.
    Running { drill: Option<(Millis, u8)> },
    /// It will be started again.
    BackingOff { until: Millis },
    /// It has ended and stays so.
    Ended(Exit),
    /// It was not created or not started, for this reason.
    Refused(String),
    /// What it comes after will never be there.
    Blocked(String),
    /// Somebody else has deleted it.
    Removed,
}

/// One container of the manifest.
#[derive(Debug)]
pub(super) struct Entry<'m> {
    pub(super) container: &'m Container,
    pub(super) phase: Phase,
    /// Restarts there were.
    pub(super) restarts: u32,
    /// When the latest of them were decided.
    recent: VecDeque<Millis>,
}

/// The state of everything in the manifest.
#[derive(Debug)]
pub struct Supervisor<'m> {
    pub(super) entries: Vec<Entry<'m>>,
}

/// Whether a dependency is there.
enum Dependency {
    Met,
    NotYet,
    Never,
}

impl<'m> Supervisor<'m> {
    /// Nothing is started yet.
    pub fn new(manifest: &'m Manifest) -> Self {
        let entries = manifest.containers.iter().map(|container| Entry {
            container,
            phase: if container.start == Start::Boot { Phase::Waiting } else { Phase::Manual },
            restarts: 0,
            recent: VecDeque::new(),
        });
        Supervisor { entries: entries.collect() }
    }

    /// The container at this place of the manifest.
    pub fn container(&self, index: usize) -> Option<&'m Container> {
        self.entries.get(index).map(|entry| entry.container)
    }

    /// How often the container at this place was restarted.
    pub fn restarts(&self, index: usize) -> u32 {
        self.entries.get(index).map_or(0, |entry| entry.restarts)
    }

    /// Whether the container with this id is there: its program was started, and nobody else has deleted it.
    pub fn is_there(&self, id: &str) -> bool {
        let there = |entry: &Entry<'m>| {
            matches!(entry.phase, Phase::Running { .. } | Phase::Ended(_) | Phase::BackingOff { .. })
        };
        self.entries.iter().any(|entry| entry.container.id == id && there(entry))
    }

    /// What is to be stored with containers, those first that it is stored with.
    pub fn stored(&self) -> impl Iterator<Item = (&'m Container, &'m Stored)> {
        self.entries
            .iter()
            .flat_map(|entry| entry.container.stores.iter().map(|stored| (entry.container, stored)))
    }

    /// Which containers run, so that their end is to be looked for.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let running = |(index, entry): (usize, &Entry<'m>)| {
            matches!(entry.phase, Phase::Running { .. }).then_some(index)
        };
        self.entries.iter().enumerate().filter_map(running)
    }

    /// Whether everything was started that will be for the first time.
    pub fn brought_up(&self) -> bool {
        self.entries.iter().all(|entry| entry.phase != Phase::Waiting)
    }

    /// What is to be done now, if anything. Containers that come after what will never be are given up here.
    pub fn next_action(&mut self, now: Millis) -> Option<Action> {
        (0..self.entries.len()).find_map(|index| self.action_for(index, now))
    }

    fn action_for(&mut self, index: usize, now: Millis) -> Option<Action> {
        if self.entries.get(index)?.phase == Phase::Waiting {
            return self.ready(index);
        }
        match &mut self.entries.get_mut(index)?.phase {
            Phase::Running { drill } => {
                let (_, signal) = drill.take_if(|(due, _)| *due <= now)?;
                Some(Action::Drill(index, signal))
            }
            Phase::BackingOff { until } if *until <= now => Some(Action::Restart(index)),
            _ => None,
        }
    }

    fn ready(&mut self, index: usize) -> Option<Action> {
        let container = self.entries.get(index)?.container;
        for after in &container.after {
            match self.dependency(after) {
                Dependency::Met => {}
                Dependency::NotYet => return None,
                Dependency::Never => {
                    self.entries.get_mut(index)?.phase = Phase::Blocked(after.id.clone());
                    return None;
                }
            }
        }
        Some(Action::Start(index))
    }

    fn dependency(&self, after: &After) -> Dependency {
        let Some(entry) = self.entries.iter().find(|entry| entry.container.id == after.id) else {
            return Dependency::Never;
        };
        match (&entry.phase, after.until) {
            (Phase::Running { .. } | Phase::Ended(_), Until::Started) => Dependency::Met,
            (Phase::Ended(Exit::Code(0)), Until::Succeeded) => Dependency::Met,
            (Phase::Waiting | Phase::Running { .. } | Phase::BackingOff { .. }, _) => Dependency::NotYet,
            _ => Dependency::Never,
        }
    }

    /// When [`Supervisor::next_action`] may have something to do although nothing has happened.
    pub fn deadline(&self) -> Option<Millis> {
        let due = |entry: &Entry<'m>| match entry.phase {
            Phase::Running { drill } => drill.map(|(due, _)| due),
            Phase::BackingOff { until } => Some(until),
            _ => None,
        };
        self.entries.iter().filter_map(due).min()
    }

    /// The container's program was started. Its drill, if it has one, is due in its first life only.
    pub fn started(&mut self, index: usize, now: Millis) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let again = matches!(entry.phase, Phase::BackingOff { .. });
        entry.restarts += u32::from(again);
        let drill = entry.container.drill.filter(|_| !again);
        let drill = drill.map(|drill| (now.after(drill.after_ms.into()), drill.signal));
        entry.phase = Phase::Running { drill };
    }

    /// It was refused, with this reason.
    pub fn refused(&mut self, index: usize, reason: String) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.phase = Phase::Refused(reason);
        }
    }

    /// Somebody else has deleted it: it is theirs now.
    pub fn removed(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.phase = Phase::Removed;
        }
    }

    /// Its first process has ended. Gives the milliseconds until it is started again, if it is.
    pub fn ended(&mut self, index: usize, exit: Exit, now: Millis) -> Option<u64> {
        let entry = self.entries.get_mut(index)?;
        let restart = entry.container.restart;
        let delay = wanted(restart.policy, exit).then(|| entry.back_off(restart, now)).flatten();
        entry.phase = match delay {
            Some(delay) => Phase::BackingOff { until: now.after(delay) },
            None => Phase::Ended(exit),
        };
        delay
    }
}

const fn wanted(policy: Policy, exit: Exit) -> bool {
    match policy {
        Policy::Never => false,
        Policy::OnFailure => !matches!(exit, Exit::Code(0)),
        Policy::Always => true,
    }
}

impl Entry<'_> {
    /// Counts one more restart if the window has room for it, and gives the milliseconds before it.
    fn back_off(&mut self, restart: Restart, now: Millis) -> Option<u64> {
        let window = u64::from(restart.window_ms);
        while self.recent.front().is_some_and(|then| then.after(window) < now) {
            self.recent.pop_front();
        }
        let count = u32::try_from(self.recent.len()).ok()?;
        if count >= restart.max {
            return None;
        }
        self.recent.push_back(now);
        let doubled = u64::from(restart.backoff_ms).checked_shl(count).unwrap_or(u64::MAX);
        Some(doubled.min(Restart::BACKOFF_MAX_MS.into()))
    }
}
