//! What there is of a manager, without the numbers that only history explains.
//!
//! Tests that explore every state of a small world need to know whether they have seen one before. Slots, generations,
//! serial numbers, tokens and tags differ from history to history and change nothing; here grants, factories and
//! containers are numbered by what they hang on instead.

use super::parked::Waits;
use super::{ContainerHandle, Execution, FactoryHandle, Manager, Object, Parked, Record, Work};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_kernel_glue::ContainerKey;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Nanos;
use core::hash::{Hash, Hasher};

struct Labels {
    grants: BTreeMap<Badge, usize>,
    factories: BTreeMap<FactoryHandle, usize>,
    containers: BTreeMap<ContainerHandle, usize>,
}

impl Labels {
    fn call(&self, call: &Option<Parked>) -> Option<usize> {
        call.as_ref().and_then(|call| self.grants.get(&call.badge).copied())
    }
    fn waits<T>(&self, waits: &Waits<T>, out: &mut impl Hasher) {
        for (badge, count) in waits.counts() {
            (self.grants.get(&badge), count).hash(out);
        }
    }
    fn object(&self, manager: &Manager, object: Object) -> (u8, Option<usize>, u32) {
        match object {
            Object::Factory(handle) => (0, self.factories.get(&handle).copied(), 0),
            Object::Container(handle) => (1, self.containers.get(&handle).copied(), 0),
            Object::Process(handle) => {
                let process = manager.processes.get(handle);
                let container = process.and_then(|process| self.containers.get(&process.container));
                (2, container.copied(), process.map_or(0, |process| process.key.0))
            }
        }
    }
}

impl Manager {
    /// Feeds `out` with everything that decides how this manager goes on, for whoever holds the capabilities in `held`, in
    /// this order: two managers that feed the same go on alike, but for the numbers of badges and handles and for what
    /// streams of events and logs hold. Gives the kernel's names of all containers, in an order of the same kind.
    pub fn fingerprint(&self, held: &[Badge], now: Nanos, out: &mut impl Hasher) -> Vec<ContainerKey> {
        let labels = self.labels(held);
        let mut grants: Vec<(usize, Badge)> = labels.grants.iter().map(|(b, n)| (*n, *b)).collect();
        grants.sort();
        for (label, badge) in grants {
            label.hash(out);
            if let Some(object) = self.grants.object(badge) {
                labels.object(self, object).hash(out);
            }
            self.grants.fingerprint(badge, now, &labels.grants, out);
        }
        let mut factories: Vec<_> = labels.factories.iter().map(|(f, n)| (*n, *f)).collect();
        factories.sort();
        for (label, handle) in factories {
            let Some(factory) = self.factories.get(handle) else { continue };
            (label, factory.parent.and_then(|parent| labels.factories.get(&parent))).hash(out);
            (factory.children, factory.quota, factory.used, &factory.policy).hash(out);
            labels.waits(&factory.watch.waits, out);
            for (id, container) in &factory.ids {
                (id.as_str(), labels.containers.get(container)).hash(out);
            }
        }
        let mut containers: Vec<_> = labels.containers.iter().map(|(c, n)| (*n, *c)).collect();
        containers.sort();
        for (_, handle) in &containers {
            if let Some(record) = self.containers.get(*handle) {
                self.fingerprint_record(record, &labels, out);
            }
        }
        for job in self.jobs.all() {
            core::mem::discriminant(job).hash(out);
        }
        containers.into_iter().map(|(_, handle)| super::kernel_key(handle)).collect()
    }

    fn labels(&self, held: &[Badge]) -> Labels {
        let mut grants = BTreeMap::new();
        for badge in held.iter().copied().chain(self.grants.iter().map(|row| row.0)) {
            let next = grants.len();
            grants.entry(badge).or_insert(next);
        }
        // In the order of the first capability on each; those without one, as they stand.
        let mut factories: Vec<(Option<usize>, FactoryHandle)> = self
            .factories
            .iter()
            .map(|(handle, factory)| {
                let first = self.grants.all_of(&factory.peers).filter_map(|badge| grants.get(&badge)).min();
                (first.copied(), handle)
            })
            .collect();
        factories.sort();
        let factories: BTreeMap<_, _> = (0..).zip(factories).map(|(n, (_, handle))| (handle, n)).collect();
        let mut containers: Vec<(Option<usize>, &str, ContainerHandle)> = self
            .containers
            .iter()
            .map(|(handle, record)| (factories.get(&record.factory).copied(), record.name.as_str(), handle))
            .collect();
        containers.sort();
        let containers = (0..).zip(containers).map(|(n, (_, _, handle))| (handle, n)).collect();
        Labels { grants, factories, containers }
    }

    fn fingerprint_record(&self, record: &Record, labels: &Labels, out: &mut impl Hasher) {
        (record.oci.state(), record.oci.exit(), record.oci.id().as_str(), record.oci.bundle()).hash(out);
        let limits = &record.resources;
        (limits.memory, limits.pids, limits.cpu_thousandths()).hash(out);
        match &record.work {
            Work::Idle => 0.hash(out),
            Work::Creating { call, grant } => (1, labels.call(call), labels.grants.get(grant)).hash(out),
            Work::Starting { call } => (2, labels.call(call)).hash(out),
            Work::Deleting { call, told } => (3, labels.call(call), told).hash(out),
        }
        for (name, badge) in &record.stored {
            labels.grants.get(badge).map(|label| (name.as_str(), label)).hash(out);
        }
        labels.waits(&record.watch.waits, out);
        fingerprint_execution(&record.first, labels, out);
        for (key, process) in &record.execs {
            key.0.hash(out);
            if let Some(process) = self.processes.get(*process) {
                fingerprint_execution(&process.execution, labels, out);
            }
        }
    }
}

fn fingerprint_execution(execution: &Execution, labels: &Labels, out: &mut impl Hasher) {
    (execution.exit, execution.peers.records(), execution.peers.held()).hash(out);
    labels.waits(&execution.waits, out);
    labels.waits(&execution.log_waits, out);
}
