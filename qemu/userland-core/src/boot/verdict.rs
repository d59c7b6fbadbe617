//! Whether containers did what the manifest expects, and the table that says so.

use super::supervisor::{Entry, Phase, Supervisor};
use crate::console::{Console, say};
use crate::shell::exit_text;
use alloc::format;
use alloc::string::{String, ToString};
use bailiwick_manifest::Expect;
use bailiwick_protocol::message::Exit;

/// Whether an expectation is met, as things are now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may still come to be.
    Open,
    /// It is.
    Met,
    /// It is not, and will not be.
    Missed,
}

impl Supervisor<'_> {
    /// How the container at this place stands to its expectation. One that is started by hand is never missed.
    pub fn verdict(&self, index: usize) -> Verdict {
        self.entries.get(index).map_or(Verdict::Missed, verdict)
    }

    /// Whether no expectation is open.
    pub fn settled(&self) -> bool {
        self.entries.iter().all(|entry| verdict(entry) != Verdict::Open)
    }

    /// Whether every expectation is met.
    pub fn all_met(&self) -> bool {
        self.entries.iter().all(|entry| verdict(entry) == Verdict::Met)
    }

    /// Prints what was expected of each container and what was found.
    pub fn summary(&self, console: &mut dyn Console) {
        let widest = |text: &dyn Fn(&Entry<'_>) -> usize| self.entries.iter().map(text).max().unwrap_or(0);
        let ids = widest(&|entry| entry.container.id.len()).max(9);
        let expected = widest(&|entry| entry.container.expect.to_string().len()).max(8);
        let mut table = format!("\n{:<6} {:<ids$} {:<expected$} FOUND\n", "RESULT", "CONTAINER", "EXPECTED");
        for entry in &self.entries {
            let word = match verdict(entry) {
                Verdict::Met => "ok",
                Verdict::Open => "late",
                Verdict::Missed => "failed",
            };
            let (id, expect) = (&entry.container.id, entry.container.expect.to_string());
            table += &format!("{word:<6} {id:<ids$} {expect:<expected$} {}\n", found(entry));
        }
        let met = self.entries.iter().filter(|entry| verdict(entry) == Verdict::Met).count();
        let all = self.entries.len();
        say(console, format_args!("{table}{met} of {all} containers did what the manifest expects\n"));
    }
}

fn verdict(entry: &Entry<'_>) -> Verdict {
    let met = match (&entry.phase, &entry.container.expect) {
        (Phase::Manual, _) => true,
        (Phase::Running { .. }, Expect::Running { restarts }) => {
            if entry.restarts < *restarts {
                return Verdict::Open;
            }
            true
        }
        (Phase::Running { .. }, Expect::Refused(_)) => false,
        (Phase::Waiting | Phase::Running { .. } | Phase::BackingOff { .. }, _) => return Verdict::Open,
        (Phase::Ended(Exit::Code(status)), Expect::Exit(expected)) => status == expected,
        (Phase::Ended(Exit::Signal(signal)), Expect::Signal(expected)) => signal == expected,
        (Phase::Ended(Exit::OutOfMemory), Expect::Signal(expected)) => *expected == KILL,
        (Phase::Refused(reason), Expect::Refused(text)) => reason.contains(text.as_str()),
        _ => false,
    };
    if met { Verdict::Met } else { Verdict::Missed }
}

/// `SIGKILL` (signal(7)), which is what ends a process that is out of memory.
const KILL: u8 = 9;

fn found(entry: &Entry<'_>) -> String {
    let text = match &entry.phase {
        Phase::Manual => "started by hand".into(),
        Phase::Waiting => "still waiting for what it comes after".into(),
        Phase::Running { .. } => "running".into(),
        Phase::BackingOff { .. } => "about to be restarted".into(),
        Phase::Ended(exit) => exit_text(*exit),
        Phase::Refused(reason) => format!("refused: {reason}"),
        Phase::Blocked(id) => format!("never started, for {id:?} will not be there"),
        Phase::Removed => "deleted by somebody".into(),
    };
    match entry.restarts {
        0 => text,
        restarts => format!("{text}, {restarts} restarts"),
    }
}
