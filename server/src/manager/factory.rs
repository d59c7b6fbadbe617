//! Factories: a name space, a policy and a quota each.

use super::{ContainerHandle, FactoryHandle, Limits, Manager, Record, Watch, quota};
use crate::grant::Peers;
use crate::policy::Policy;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use bailiwick_protocol::id::{ContainerId, ID_MAX};
use bailiwick_protocol::quota::{Amounts, Quota};

/// What creates containers.
#[derive(Clone, Debug)]
pub(crate) struct Factory {
    pub(crate) parent: Option<FactoryHandle>,
    pub(crate) depth: u16,
    pub(crate) policy: Arc<Policy>,
    /// Containers made through this very factory, by id.
    pub(crate) ids: BTreeMap<Arc<ContainerId>, ContainerHandle>,
    /// What it and all below it use. The factory itself counts among those below its parent.
    pub(crate) used: Amounts,
    /// Most of that.
    pub(crate) quota: Quota,
    /// The grants on it.
    pub(crate) peers: Peers,
    /// Factories made directly below it that are still there.
    pub(crate) children: u32,
    /// What is told of all containers below it.
    pub(crate) watch: Watch,
}

impl Factory {
    /// Most factories one below the other, the root one included. Charging walks that far.
    pub(crate) const DEPTH_MAX: u16 = 32;

    pub(super) fn root(limits: &Limits, policy: Policy) -> Self {
        Factory::new(None, 1, Arc::new(policy), quota::of_server(limits))
    }

    /// A factory that has and uses nothing yet.
    pub(crate) fn new(parent: Option<FactoryHandle>, depth: u16, policy: Arc<Policy>, quota: Quota) -> Self {
        let (ids, used, peers) = (BTreeMap::new(), Amounts::NONE, Peers::new());
        Factory { parent, depth, policy, ids, used, quota, peers, children: 0, watch: Watch::new() }
    }

    /// What is left of its own quota. An ancestor may have less: that is not this holder's to know.
    pub(crate) fn left(&self) -> Quota {
        self.quota.left(&self.used)
    }
}

/// This name or, if it is taken, the first free one of `name+2`, `name+3`, …, cut where it would be too long.
fn free_name(
    taken: &BTreeMap<Arc<ContainerId>, ContainerHandle>,
    name: Arc<ContainerId>,
) -> Arc<ContainerId> {
    let with_number = |number: u32| {
        let number = format!("+{number}");
        let stem = name.as_str().get(..ID_MAX.saturating_sub(number.len())).unwrap_or(name.as_str());
        ContainerId::new(&format!("{stem}{number}")).ok()
    };
    if !taken.contains_key(&name) {
        return name;
    }
    let free = (2..).find_map(|n| with_number(n).filter(|id| !taken.contains_key(id)));
    free.map_or_else(|| name.clone(), Arc::new)
}

impl Manager {
    /// Calls `change` on a factory and each of its ancestors.
    pub(super) fn for_ancestors(&mut self, first: FactoryHandle, mut change: impl FnMut(&mut Factory)) {
        let mut at = Some(first);
        while let Some(factory) = at.and_then(|handle| self.factories.get_mut(handle)) {
            change(factory);
            at = factory.parent;
        }
    }

    /// Counts one more container, which costs this much, and notes its id.
    pub(crate) fn admit(
        &mut self,
        handle: FactoryHandle,
        id: Arc<ContainerId>,
        container: ContainerHandle,
        cost: &Amounts,
    ) {
        self.charge(handle, cost);
        if let Some(factory) = self.factories.get_mut(handle) {
            factory.ids.insert(id, container);
        }
    }

    /// Gives back everything a container is charged for and its id. Its record is out of the table, its processes
    /// are not yet.
    pub(super) fn dismiss(&mut self, record: &Record) {
        let cost = self.cost(record);
        self.discharge(record.factory, &cost);
        if let Some(factory) = self.factories.get_mut(record.factory) {
            factory.ids.remove(&record.name);
        }
    }

    /// Hands one container of a factory that nobody holds to the nearest ancestor that somebody holds (the root, in
    /// the end), whose name space takes its name. One whose name is taken there gets another, so that no container is
    /// ever out of reach of whoever answers for it. None if there is none left.
    pub(super) fn hand_over_one(&mut self, handle: FactoryHandle) -> Option<()> {
        let heir = self.heir(handle)?;
        let (id, container) = self.factories.get_mut(handle)?.ids.pop_first()?;
        let cost = self.containers.get(container).map_or(Amounts::NONE, |record| self.cost(record));
        self.discharge(handle, &cost);
        self.charge(heir, &cost);
        let factory = self.factories.get_mut(heir)?;
        let name = free_name(&factory.ids, id);
        factory.ids.insert(name.clone(), container);
        if let Some(record) = self.containers.get_mut(container) {
            record.factory = heir;
            record.name = name;
        }
        Some(())
    }

    fn heir(&self, handle: FactoryHandle) -> Option<FactoryHandle> {
        let mut at = self.factories.get(handle)?.parent?;
        loop {
            let factory = self.factories.get(at)?;
            match factory.parent {
                Some(parent) if factory.peers.held() == 0 => at = parent,
                _ => return Some(at),
            }
        }
    }

    /// Removes a factory that has no grant, container or factory any more, and then perhaps its parent.
    pub(super) fn forget_factory(&mut self, handle: FactoryHandle) {
        let mut at = handle;
        while let Some(factory) = self.factories.get(at) {
            let needed = factory.peers.records() > 0 || factory.children > 0 || !factory.ids.is_empty();
            let Some(parent) = factory.parent.filter(|_| !needed) else { return };
            self.factories.remove(at);
            self.discharge(parent, &quota::FACTORY);
            if let Some(parent) = self.factories.get_mut(parent) {
                parent.children = parent.children.saturating_sub(1);
            }
            at = parent;
        }
    }
}
