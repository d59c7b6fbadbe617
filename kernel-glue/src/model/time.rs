//! Virtual time: it stands still until somebody waits, then jumps to the next thing that is due.

use super::Model;
use super::container::{Ended, Motion};
use super::process::Run;
use crate::glue::{ContainerKey, Event, Pid};
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;

/// Something that happens by itself.
#[derive(Clone, Copy)]
enum Due {
    Command(Pid),
    Job(ContainerKey),
}

impl Model {
    /// Lets this much time pass, and everything happen that is due by then. Its events wait in order.
    pub fn advance(&mut self, time: Nanos) {
        let end = Nanos(self.clock.0.saturating_add(time.0));
        while let Some((due, what)) = self.earliest()
            && due <= end
        {
            self.clock = self.clock.max(due);
            self.happen(what);
        }
        self.clock = end;
    }

    /// Everything happens that is due now.
    pub(super) fn settle(&mut self) {
        self.advance(Nanos(0));
    }

    /// Jumps to the next thing that is due; says whether there was one.
    pub(super) fn jump(&mut self) -> Jump {
        match self.earliest() {
            Some((due, what)) => {
                self.clock = self.clock.max(due);
                self.happen(what);
                Jump::Done
            }
            None => Jump::Nothing,
        }
    }

    fn happen(&mut self, what: Due) {
        match what {
            Due::Command(pid) => self.run_command(pid),
            Due::Job(key) => {
                let before = self.events.len();
                if let Some(ended) = self.go_on(key) {
                    let event = match ended {
                        Ended::Prepared(result) => Event::Prepared { key, result },
                        Ended::Released(result) => Event::Released { key, result },
                        Ended::Destroyed => Event::Destroyed { key },
                    };
                    // That a release failed is told before the end of the process at the gate, which follows from it.
                    self.events.insert(before.min(self.events.len()), event);
                }
            }
        }
    }

    /// What is due first; among equals, chance decides.
    fn earliest(&mut self) -> Option<(Nanos, Due)> {
        let mut first: Option<Nanos> = None;
        let mut what: Vec<Due> = Vec::new();
        let mut offer = |due: Nanos, thing: Due| match first {
            Some(earlier) if earlier < due => {}
            Some(equal) if equal == due => what.push(thing),
            _ => {
                first = Some(due);
                what = Vec::from([thing]);
            }
        };
        for process in self.objects.processes.values() {
            let container = self.containers.get(&process.key.container());
            if let Run::Ready { due } = process.run
                && container.is_some_and(|c| c.motion == Motion::Free)
            {
                offer(due.max(self.clock), Due::Command(process.pid));
            }
        }
        for (key, container) in &self.containers {
            if let Some(job) = &container.job {
                offer(job.due.max(self.clock), Due::Job(*key));
            }
        }
        let index = if what.len() > 1 { self.chance(what.len() as u64) as usize } else { 0 };
        Some((first?, *what.get(index)?))
    }
}

/// Whether time could go on.
pub(super) enum Jump {
    Done,
    Nothing,
}

/// The container an event is about.
pub(super) fn container_of(event: &Event) -> ContainerKey {
    match event {
        Event::Prepared { key, .. }
        | Event::Released { key, .. }
        | Event::Destroyed { key }
        | Event::OutOfMemory { key } => *key,
        Event::Exited { process, .. } | Event::Output { process } => process.container(),
    }
}
