//! What there is of a model, without the numbers that only history explains.

use super::Model;
use super::process::Run;
use super::time::container_of;
use crate::glue::ContainerKey;
use core::hash::{Hash, Hasher};

impl Model {
    /// Feeds `out` with everything that decides how the containers in `keys`, which are all there are, go on: two models
    /// that feed the same go on alike, but for process numbers, keys and the time of day. For exploring all states of a
    /// small world.
    pub fn fingerprint(&self, keys: &[ContainerKey], out: &mut impl Hasher) {
        let label = |key: ContainerKey| keys.iter().position(|known| *known == key);
        let census = self.census();
        (census.processes, census.namespaces, census.mounts, census.groups, census.keys).hash(out);
        self.failure.map(|failure| (failure.after, failure.errno.0)).hash(out);
        for event in &self.events {
            (label(container_of(event)), core::mem::discriminant(event)).hash(out);
        }
        for key in keys {
            let Some(container) = self.containers.get(key) else {
                0.hash(out);
                continue;
            };
            (container.gate as u8, container.motion as u8, container.pivot_known()).hash(out);
            let limits = &container.resources;
            (limits.memory, limits.pids, limits.cpu_thousandths()).hash(out);
            if let Some(job) = &container.job {
                (job.due.0.saturating_sub(self.clock.0)).hash(out);
                job.place().hash(out);
            }
        }
        for process in self.objects.processes.values() {
            label(process.key.container()).hash(out);
            process.key_number().hash(out);
            match &process.run {
                Run::Gate => 0.hash(out),
                Run::Ready { due } => due.0.saturating_sub(self.clock.0).hash(out),
                Run::Idle => 1.hash(out),
                Run::Ended(exit) => exit.hash(out),
            }
            (process.output.len(), process.signals_pending(), process.input_left()).hash(out);
        }
    }
}
