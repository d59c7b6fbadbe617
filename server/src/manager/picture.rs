//! What there is of a manager, for tests that compare whole states.

use super::jobs::Job;
use super::object::key_of;
use super::parked::Waits;
use super::{ContainerHandle, Execution, Factory, FactoryHandle, Manager, Object, Parked, Record, Work};
use alloc::sync::Arc;
use bailiwick_kernel_glue::picture::{Picture, Thing, digest};
use bailiwick_kernel_glue::{ContainerKey, ProcessKey};
use bailiwick_protocol::id::{Badge, ContainerId};
use bailiwick_protocol::message::Nanos;

impl Manager {
    /// Draws everything that decides how this manager goes on: two that give the same picture go on alike, but for
    /// numbers of badges and handles, what streams of events hold and logs that hold anything, and the order in which
    /// a sweep frees the children of one grant.
    pub fn draw(&self, now: Nanos, picture: &mut Picture) {
        self.grants.draw(now, picture);
        for (badge, object, _) in self.grants.iter() {
            picture.link(Thing::Grant(badge), self.thing(object), "on");
        }
        for (handle, factory) in self.factories.iter() {
            self.draw_factory(handle, factory, picture);
        }
        for (handle, record) in self.containers.iter() {
            self.draw_record(handle, record, picture);
        }
        self.draw_jobs(picture);
    }

    /// The container that a capability is on or in, under the name the kernel has for it.
    pub fn container_of(&self, badge: Badge) -> Option<ContainerKey> {
        match self.grants.object(badge)? {
            Object::Factory(_) => None,
            Object::Container(handle) => Some(key_of(handle)),
            Object::Process(handle) => self.processes.get(handle).map(|process| key_of(process.container)),
        }
    }

    /// Whether there is a record behind this badge, live or not.
    pub fn knows(&self, badge: Badge) -> bool {
        self.grants.object(badge).is_some()
    }

    /// The container that a factory knows by this id, under the name the kernel has for it.
    pub fn container_named(&self, factory: Badge, id: &str) -> Option<ContainerKey> {
        let Object::Factory(handle) = self.grants.object(factory)? else { return None };
        let id = ContainerId::new(id).ok()?;
        self.factories.get(handle)?.ids.get(&id).copied().map(key_of)
    }

    fn thing(&self, object: Object) -> Thing {
        match object {
            Object::Factory(handle) => Thing::Factory(handle.to_bits()),
            Object::Container(handle) => Thing::container(key_of(handle)),
            Object::Process(handle) => {
                let process = self.processes.get(handle);
                // One that has ended has another name than any that is there.
                let key = process.map(|process| ProcessKey::Exec(key_of(process.container), process.key));
                key.map_or(Thing::Job(handle.to_bits() << 32 | 1 << 31), Thing::Process)
            }
        }
    }

    fn draw_factory(&self, handle: FactoryHandle, factory: &Factory, picture: &mut Picture) {
        let thing = Thing::Factory(handle.to_bits());
        picture.mark(thing, ("factory", factory.children, factory.quota, factory.used));
        let parent = factory.parent.and_then(|parent| Some((parent, self.factories.get(parent)?)));
        if let Some((parent, _)) = parent {
            picture.link(thing, Thing::Factory(parent.to_bits()), "within");
        }
        // As a rule it is the parent's, and nothing need be read.
        if !parent.is_some_and(|(_, parent)| Arc::ptr_eq(&parent.policy, &factory.policy)) {
            picture.mark(thing, ("policy", &factory.policy));
        }
        draw_waits(thing, "events", &factory.watch.waits, picture);
        for (id, container) in &factory.ids {
            picture.link(thing, Thing::container(key_of(*container)), ("id", id.as_str()));
        }
    }

    fn draw_record(&self, handle: ContainerHandle, record: &Record, picture: &mut Picture) {
        let thing = Thing::container(key_of(handle));
        let limits = &record.resources;
        let limits = (limits.memory, limits.pids, limits.cpu_thousandths());
        let oci = &record.oci;
        picture.mark(thing, (oci.state(), oci.exit(), oci.id().as_str(), oci.bundle(), limits));
        let factory = self.factories.get(record.factory);
        if !factory.is_some_and(|factory| Arc::ptr_eq(&factory.policy, &record.policy)) {
            picture.mark(thing, ("policy", &record.policy));
        }
        let mut work = |what: &str, call: &Option<Parked>| {
            picture.mark(thing, what);
            if let Some(call) = call {
                picture.link(thing, Thing::Grant(call.badge), "answers");
            }
        };
        match &record.work {
            Work::Idle => {}
            Work::Creating { call, grant } => {
                work("creating", call);
                picture.link(thing, Thing::Grant(*grant), "for");
            }
            Work::Starting { call } => work("starting", call),
            Work::Deleting { call, .. } => work("deleting", call),
        }
        for (name, badge) in &record.stored {
            if self.grants.object(*badge).is_some() {
                picture.link(thing, Thing::Grant(*badge), ("stored", name.as_str()));
            }
        }
        draw_waits(thing, "events", &record.watch.waits, picture);
        draw_execution(thing, &record.first, picture);
        for (key, process) in &record.execs {
            let thing = Thing::Process(ProcessKey::Exec(key_of(handle), *key));
            if let Some(process) = self.processes.get(*process) {
                draw_execution(thing, &process.execution, picture);
            }
        }
    }

    fn draw_jobs(&self, picture: &mut Picture) {
        for (at, job) in (0..).zip(self.jobs.all()) {
            let thing = Thing::Job(at);
            match job {
                Job::Sweep(sweep) => {
                    picture.mark(thing, ("sweep", at));
                    for (place, badge) in sweep.tops().enumerate() {
                        picture.link(thing, Thing::Grant(badge), place);
                    }
                }
                Job::Ended(remains) => {
                    picture.mark(thing, ("ended", at, remains.len()));
                    for badge in remains.iter().flat_map(|remains| self.grants.all_of(remains.peers())) {
                        picture.link(thing, Thing::Grant(badge), "held by nobody");
                    }
                }
                Job::Tell(object, news) => {
                    picture.link(thing, self.thing(*object), ("tell", at, core::mem::discriminant(news)));
                }
                Job::Orphans(handle) => {
                    picture.link(thing, Thing::Factory(handle.to_bits()), ("orphans", at));
                }
            }
        }
        for (at, (badge, jobs)) in self.jobs.syncing().enumerate() {
            picture.link(Thing::World, Thing::Grant(badge), ("sync", at, jobs));
        }
    }
}

fn draw_execution(thing: Thing, execution: &Execution, picture: &mut Picture) {
    let written = execution.log.end() > 0;
    let stdio = core::mem::discriminant(&execution.stdio);
    picture.mark(thing, ("execution", execution.exit, stdio, written));
    draw_waits(thing, "exit", &execution.waits, picture);
    draw_waits(thing, "logs", &execution.log_waits, picture);
}

fn draw_waits<T>(thing: Thing, what: &str, waits: &Waits<T>, picture: &mut Picture) {
    for (badge, count) in waits.counts() {
        picture.link(thing, Thing::Grant(badge), digest((what, count)));
    }
}
