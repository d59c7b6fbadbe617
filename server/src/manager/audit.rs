//! A look over everything the manager keeps: does it still agree with itself?
//!
//! Tests ask after each step of a long history. It counts again from nothing what the manager counts as it goes.

use super::{ContainerHandle, Execution, FactoryHandle, Manager, Object, Work, quota};
use crate::grant::{Hold, Peers};
use crate::lifecycle::OciLifecycleState;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::ContainerKey;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::STORED_MAX;
use bailiwick_protocol::quota::Amounts;

type Finding = Result<(), String>;

fn ensure(holds: impl Into<Option<()>>, what: impl FnOnce() -> String) -> Finding {
    holds.into().ok_or_else(what)
}

fn when(holds: bool) -> Option<()> {
    holds.then_some(())
}

impl Manager {
    /// Looks whether rights only narrow, whether every record, grant and waiting call has its owner, and whether all
    /// counts are right. Takes time linear in all there is.
    ///
    /// # Errors
    /// What is wrong first, in words. That would be a defect of the manager.
    pub fn audit(&self) -> Result<(), String> {
        self.grants.audit(self.jobs.sweeps(), |object| !self.exists(object))?;
        let mut held: BTreeMap<Badge, Object> = BTreeMap::new();
        // Those on objects that have ended are being freed, and count no more.
        held.extend(self.grants.iter().filter(|row| self.exists(row.1)).map(|row| (row.0, row.1)));
        self.audit_containers(&held)?;
        self.audit_processes(&held)?;
        self.audit_factories(&held)?;
        let first = self.containers.iter().map(|(handle, r)| (Object::Container(handle), &r.first.peers));
        let further = self.processes.iter().map(|(handle, p)| (Object::Process(handle), &p.execution.peers));
        let factories = self.factories.iter().map(|(handle, f)| (Object::Factory(handle), &f.peers));
        let mut listed = 0;
        for (object, peers) in first.chain(further).chain(factories) {
            listed += self.audit_peers(object, peers, &held)?;
        }
        ensure(when(listed == held.len()), || format!("{listed} grants on objects, of {}", held.len()))
    }

    /// Every container with its state, under the name the kernel has for it.
    pub fn states(&self) -> Vec<(ContainerKey, OciLifecycleState)> {
        let state = |(handle, record): (ContainerHandle, &super::Record)| {
            (super::kernel_key(handle), record.oci.state())
        };
        self.containers.iter().map(state).collect()
    }

    /// The list of grants on an object is right; how many there are.
    fn audit_peers(
        &self,
        object: Object,
        peers: &Peers,
        held: &BTreeMap<Badge, Object>,
    ) -> Result<usize, String> {
        let all: Vec<Badge> = self.grants.all_of(peers).collect();
        let own = all.iter().all(|badge| held.get(badge) == Some(&object));
        ensure(when(own && all.len() == peers.records() as usize), || format!("{object:?}: wrong grants"))?;
        let kept = all.iter().filter(|badge| self.grants.hold(**badge) == Some(Hold::Held));
        ensure(when(kept.count() == peers.held() as usize), || {
            format!("{object:?}: wrong count of holders")
        })?;
        Ok(all.len())
    }

    fn audit_containers(&self, held: &BTreeMap<Badge, Object>) -> Finding {
        for (handle, record) in self.containers.iter() {
            let object = Object::Container(handle);
            let name = record.oci.id();
            audit_holders(&record.first, object, held)?;
            audit_waits(record.watch.waits.badges(), object, held)?;
            let known = self.factories.get(record.factory).and_then(|f| f.ids.get(&record.name));
            ensure(when(known == Some(&handle)), || format!("{name}: its factory does not know it"))?;
            let state = record.oci.state();
            let creating = state == OciLifecycleState::Creating;
            let (fits, work) = match &record.work {
                Work::Idle => (!creating, "nothing"),
                Work::Creating { grant, .. } => (creating && held.get(grant) == Some(&object), "a creation"),
                Work::Starting { .. } => {
                    (matches!(state, OciLifecycleState::Created | OciLifecycleState::Stopped), "a start")
                }
                Work::Deleting { .. } => (true, "a removal"),
            };
            ensure(when(fits), || format!("{name}: is {state:?} while {work} goes on"))?;
            let stored = record
                .stored
                .values()
                .all(|badge| held.get(badge).is_none_or(|on| matches!(on, Object::Container(_))));
            ensure(when(stored && record.stored.len() <= STORED_MAX), || {
                format!("{name}: what is stored with it")
            })?;
            for (key, process) in &record.execs {
                let there = self.processes.get(*process);
                let fits = there.is_some_and(|p| p.container == handle && p.key == *key);
                ensure(when(fits), || format!("{name}: its process {key:?} is not there"))?;
            }
        }
        Ok(())
    }

    fn audit_processes(&self, held: &BTreeMap<Badge, Object>) -> Finding {
        for (handle, process) in self.processes.iter() {
            audit_holders(&process.execution, Object::Process(handle), held)?;
            let owner = self.containers.get(process.container).and_then(|r| r.execs.get(&process.key));
            ensure(when(owner == Some(&handle)), || format!("process {handle:?}: no container has it"))?;
            let needed = process.execution.exit.is_none() || process.execution.peers.records() > 0;
            ensure(when(needed), || format!("process {handle:?}: has ended and nobody holds it"))?;
        }
        Ok(())
    }

    fn audit_factories(&self, held: &BTreeMap<Badge, Object>) -> Finding {
        let mut used: BTreeMap<FactoryHandle, Amounts> = BTreeMap::new();
        let mut children: BTreeMap<FactoryHandle, u32> = BTreeMap::new();
        let mut add = |first: FactoryHandle, amounts: Amounts| {
            let mut at = Some(first);
            while let Some((handle, factory)) = at.and_then(|h| Some((h, self.factories.get(h)?))) {
                let sum = used.entry(handle).or_default();
                *sum = sum.plus(amounts);
                at = factory.parent;
            }
        };
        let waits = |execution: &Execution| quota::waiting(execution.waits.len() + execution.log_waits.len());
        for (_, record) in self.containers.iter() {
            add(record.factory, quota::container(record.first.stdio, &record.resources));
            add(record.factory, waits(&record.first).plus(quota::waiting(record.watch.waits.len())));
        }
        for (_, process) in self.processes.iter() {
            let owner = self.containers.get(process.container);
            let owner = owner.ok_or_else(|| format!("process {:?}: its container is gone", process.key))?;
            add(owner.factory, quota::exec(process.execution.stdio).plus(waits(&process.execution)));
        }
        for (badge, object) in held {
            let payer = self.payer(*object).ok_or_else(|| format!("{badge:?}: nobody pays for it"))?;
            add(payer, quota::CAPABILITY);
        }
        for (handle, factory) in self.factories.iter() {
            add(handle, quota::waiting(factory.watch.waits.len()));
            if let Some(parent) = factory.parent {
                ensure(self.factories.get(parent).map(drop), || {
                    format!("{parent:?}: a factory is below it")
                })?;
                add(parent, quota::FACTORY);
                *children.entry(parent).or_default() += 1;
            }
        }
        for (handle, factory) in self.factories.iter() {
            audit_waits(factory.watch.waits.badges(), Object::Factory(handle), held)?;
            let counted = used.get(&handle).copied().unwrap_or_default();
            ensure(when(counted == factory.used), || {
                format!("factory {handle:?}: counted {counted:?}, kept {:?}", factory.used)
            })?;
            ensure(when(factory.used.within(&factory.quota)), || {
                format!("factory {handle:?}: uses {:?} of {:?}", factory.used, factory.quota)
            })?;
            let above = factory.parent.and_then(|parent| self.factories.get(parent));
            let narrower = |above: &super::Factory| {
                factory.quota.is_within(above.quota) && factory.policy.is_within(&above.policy)
            };
            ensure(when(above.is_none_or(narrower)), || {
                format!("factory {handle:?}: may have or do more than the one above it")
            })?;
            let counted = children.get(&handle).copied().unwrap_or_default();
            ensure(when(counted == factory.children), || {
                format!("factory {handle:?}: wrong number of factories below it")
            })?;
            let (nobodys, root) = (factory.peers.records() == 0, factory.parent.is_none());
            let kept = factory.children > 0 || root || self.jobs.orphaned(handle);
            ensure(when(!nobodys || kept), || format!("factory {handle:?}: nobody holds it"))?;
            let left = factory.peers.held() == 0 && !factory.ids.is_empty();
            ensure(when(!left || root || self.jobs.orphaned(handle)), || {
                format!("factory {handle:?}: has containers, and nobody holds it")
            })?;
            for (name, container) in &factory.ids {
                let there = self.containers.get(*container);
                let fits = there.is_some_and(|r| r.factory == handle && r.name == *name);
                ensure(when(fits), || format!("factory {handle:?}: {name} is not there"))?;
            }
        }
        Ok(())
    }
}

fn audit_holders(execution: &super::Execution, object: Object, held: &BTreeMap<Badge, Object>) -> Finding {
    audit_waits(execution.waits.badges().chain(execution.log_waits.badges()), object, held)
}

fn audit_waits(
    badges: impl Iterator<Item = Badge>,
    object: Object,
    held: &BTreeMap<Badge, Object>,
) -> Finding {
    for badge in badges {
        ensure(when(held.get(&badge) == Some(&object)), || format!("{object:?}: {badge:?} waits"))?;
    }
    Ok(())
}
