//! Where a container is in its life, and the one table of moves.
//!
//! ```text
//!  client          manager                    kernel-glue
//!    │ Create         │                            │
//!    ├───────────────►│ Creating                   │
//!    │                ├── prepare(plan) ──────────►│ namespaces, mounts, pivot_root, …
//!    │                │◄── Prepared{pid, pivot} ───┤ the first process waits at the gate
//!    │◄───────────────┤ Created                    │
//!    │ Start          │                            │
//!    ├───────────────►├── release ────────────────►│ the gate opens
//!    │◄───────────────┤ Running                    │
//!    │                │◄── Exited{status} ─────────┤
//!    │◄ Wait's reply ─┤ Stopped                    │
//! ```

use crate::error::KernelError;
use core::fmt;

pub use bailiwick_protocol::message::Status;

/// Where a container is in its life (runtime-spec, runtime.md "State"; runc's `paused` added).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OciLifecycleState {
    /// Its environment is being made.
    Creating,
    /// Its first process waits at the gate.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended. Nothing follows but removal.
    Stopped,
}

/// What happens to a container.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LifecycleEvent {
    /// The environment is made.
    Created,
    /// The gate was opened.
    Started,
    /// Every process was frozen.
    Paused,
    /// Every process was thawed.
    Resumed,
    /// The first process has ended, or creating it failed.
    Exited,
}

impl OciLifecycleState {
    /// Every state, in the order of a life.
    pub const ALL: [OciLifecycleState; 5] = [
        OciLifecycleState::Creating,
        OciLifecycleState::Created,
        OciLifecycleState::Running,
        OciLifecycleState::Paused,
        OciLifecycleState::Stopped,
    ];

    /// The state after `event`. This is the table of `doc/lifecycle.md`, and the only one.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] with the state the event needs and the one there is.
    pub const fn next(self, event: LifecycleEvent) -> Result<OciLifecycleState, KernelError> {
        use LifecycleEvent as E;
        use OciLifecycleState as S;
        match (self, event) {
            (S::Creating, E::Created) => Ok(S::Created),
            (S::Created, E::Started) => Ok(S::Running),
            (S::Running, E::Paused) => Ok(S::Paused),
            (S::Paused, E::Resumed) => Ok(S::Running),
            (S::Creating | S::Created | S::Running | S::Paused, E::Exited) => Ok(S::Stopped),
            (state, event) => {
                Err(KernelError::InvalidState { expected: event.needs(), actual: state.as_str() })
            }
        }
    }

    /// The runtime-spec's word.
    pub const fn as_str(self) -> &'static str {
        self.status().as_str()
    }

    /// The same, as it travels.
    pub const fn status(self) -> Status {
        match self {
            OciLifecycleState::Creating => Status::Creating,
            OciLifecycleState::Created => Status::Created,
            OciLifecycleState::Running => Status::Running,
            OciLifecycleState::Paused => Status::Paused,
            OciLifecycleState::Stopped => Status::Stopped,
        }
    }
}

impl LifecycleEvent {
    /// Every event.
    pub const ALL: [LifecycleEvent; 5] = [
        LifecycleEvent::Created,
        LifecycleEvent::Started,
        LifecycleEvent::Paused,
        LifecycleEvent::Resumed,
        LifecycleEvent::Exited,
    ];

    /// The state, in words, in which it can happen.
    const fn needs(self) -> &'static str {
        match self {
            LifecycleEvent::Created => "creating",
            LifecycleEvent::Started => "created",
            LifecycleEvent::Paused => "running",
            LifecycleEvent::Resumed => "paused",
            LifecycleEvent::Exited => "any but stopped",
        }
    }
}

impl fmt::Display for OciLifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const TABLE: &str = include_str!("../../doc/lifecycle.md");

    /// The cells of the document's table, the state's own column first.
    fn row(state: OciLifecycleState) -> Vec<&'static str> {
        let line = TABLE
            .lines()
            .find(|line| line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(state.as_str())))
            .unwrap();
        line.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn every_pair_of_state_and_event_moves_as_the_document_says() {
        for state in OciLifecycleState::ALL {
            let cells = row(state);
            assert_eq!(cells.len(), 1 + LifecycleEvent::ALL.len());
            for (event, cell) in LifecycleEvent::ALL.into_iter().zip(&cells[1..]) {
                match state.next(event) {
                    Ok(next) => assert_eq!(next.as_str(), *cell, "{state} {event:?}"),
                    Err(KernelError::InvalidState { actual, .. }) => {
                        assert_eq!((actual, *cell), (state.as_str(), "-"), "{event:?}");
                    }
                    Err(other) => panic!("{state} {event:?}: {other}"),
                }
            }
        }
    }

    #[test]
    fn nothing_follows_stopped() {
        for event in LifecycleEvent::ALL {
            assert!(OciLifecycleState::Stopped.next(event).is_err());
        }
    }
}
