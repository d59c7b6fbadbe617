//! What there is of a model, for tests that compare whole states.

use super::Model;
use super::container::Motion;
use super::process::{Process, Run};
use crate::glue::{Event, ProcessKey};
use crate::picture::{Picture, Thing};

impl Model {
    /// Draws everything that decides how containers go on, but for the time of day, counts of what was used, and how
    /// much was written, as long as it is less than 4 KiB: two models that give the same picture go on alike.
    pub fn draw(&self, picture: &mut Picture) {
        let census = self.census();
        let counted = (census.processes, census.namespaces, census.mounts, census.groups, census.keys);
        picture.mark(Thing::World, counted);
        if let Some(failure) = self.failure {
            picture.mark(Thing::World, (failure.after, failure.errno.0));
        }
        for (at, event) in self.events.iter().enumerate() {
            let (thing, what) = match event {
                Event::Prepared { key, result } => (Thing::container(*key), u8::from(result.is_ok())),
                Event::Released { key, result } => (Thing::container(*key), 2 + u8::from(result.is_ok())),
                Event::Destroyed { key } => (Thing::container(*key), 4),
                Event::OutOfMemory { key } => (Thing::container(*key), 5),
                Event::Exited { process, .. } => (Thing::Process(*process), 6),
                Event::Output { process } => (Thing::Process(*process), 7),
            };
            picture.mark(thing, ("event", at, what));
        }
        for (key, container) in self.containers.iter() {
            let limits = &container.resources;
            let job = container.job.as_ref().map(|job| (job.due.0.saturating_sub(self.clock.0), job.place()));
            let state = (container.gate as u8, container.motion as u8, container.pivot_known());
            let said = (state, job, limits.memory, limits.pids, limits.cpu_thousandths());
            picture.mark(Thing::container(*key), ("kernel", said));
        }
        for process in self.objects.processes.values() {
            self.draw_process(process, picture);
        }
    }

    fn draw_process(&self, process: &Process, picture: &mut Picture) {
        let thing = Thing::Process(process.key);
        if let ProcessKey::Exec(key, _) = process.key {
            picture.link(Thing::container(key), thing, "executed");
        }
        let frozen = |key| self.containers.get(&key).is_some_and(|c| c.motion == Motion::Frozen);
        let run = match &process.run {
            Run::Gate => (0, 0, None),
            // While frozen, `due` is the time that is left.
            Run::Ready { due } if frozen(process.key.container()) => (1, due.0, None),
            Run::Ready { due } => (1, due.0.saturating_sub(self.clock.0), None),
            Run::Idle => (2, 0, None),
            Run::Ended(exit) => (3, 0, Some(*exit)),
        };
        picture.mark(thing, (run, process.signals_pending(), process.streams(), process.commands_left()));
    }
}
