//! Factories: a name space and quotas, charged to every ancestor.

use super::{ContainerHandle, FactoryHandle, Limits, Manager, Record, Watch};
use crate::grant::{GRANTS_MAX, Peers};
use crate::plan::Policy;
use alloc::collections::BTreeMap;
use alloc::format;
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::{ContainerId, ID_MAX};

/// How many of everything that clients can make grow: what a factory uses, or may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Amounts {
    pub(crate) containers: u32,
    pub(crate) factories: u32,
    /// Processes started by `Exec` and not forgotten.
    pub(crate) processes: u32,
    /// Live grants on any of these.
    pub(crate) grants: u32,
}

impl Amounts {
    pub(crate) const NONE: Amounts = Amounts { containers: 0, factories: 0, processes: 0, grants: 0 };
    pub(crate) const CONTAINER: Amounts = Amounts { containers: 1, ..Amounts::NONE };
    pub(crate) const FACTORY: Amounts = Amounts { factories: 1, ..Amounts::NONE };
    pub(crate) const PROCESS: Amounts = Amounts { processes: 1, ..Amounts::NONE };
    pub(crate) const GRANT: Amounts = Amounts { grants: 1, ..Amounts::NONE };

    /// And a grant on it.
    pub(crate) const fn held(self) -> Self {
        Amounts { grants: self.grants + 1, ..self }
    }

    /// What the whole server has room for.
    fn of_server(limits: &Limits) -> Self {
        let Limits { containers, factories, processes } = *limits;
        // The root factory itself is not below it.
        let factories = factories.saturating_sub(1);
        Amounts { containers, factories, processes, grants: GRANTS_MAX as u32 }
    }

    /// What goes with a quota of this many containers below `above`: whoever may have few of them may not fill the
    /// server with the rest either.
    pub(crate) fn below(above: &Amounts, containers: u32) -> Self {
        let containers = containers.min(above.containers);
        let each = |count: u32, most: u32| containers.saturating_add(1).saturating_mul(count).min(most);
        Amounts {
            containers,
            factories: each(1, above.factories),
            processes: each(8, above.processes),
            grants: each(64, above.grants),
        }
    }

    fn map(&mut self, other: &Amounts, change: fn(u32, u32) -> u32) {
        self.containers = change(self.containers, other.containers);
        self.factories = change(self.factories, other.factories);
        self.processes = change(self.processes, other.processes);
        self.grants = change(self.grants, other.grants);
    }

    /// Counts these as well.
    pub(super) fn add(&mut self, other: &Amounts) {
        self.map(other, u32::saturating_add);
    }

    /// Whether there is no kind of which this is more than `max`.
    pub(super) fn within(&self, max: &Amounts) -> bool {
        Amounts::NONE.exceeds(self, max).is_none()
    }

    /// The first kind of which `self` with `more` exceeds `max`: its name, how many there are, how many there may be.
    fn exceeds(&self, more: &Amounts, max: &Amounts) -> Option<(&'static str, u32, u32)> {
        [
            ("containers", self.containers, more.containers, max.containers),
            ("factories", self.factories, more.factories, max.factories),
            ("processes", self.processes, more.processes, max.processes),
            ("capabilities", self.grants, more.grants, max.grants),
        ]
        .into_iter()
        .find(|(_, used, more, max)| *more > 0 && used.saturating_add(*more) > *max)
        .map(|(name, used, _, max)| (name, used, max))
    }
}

/// What creates containers.
#[derive(Clone, Debug)]
pub(crate) struct Factory {
    pub(crate) parent: Option<FactoryHandle>,
    pub(crate) depth: u16,
    pub(crate) policy: Policy,
    /// Containers made through this very factory, by id.
    pub(crate) ids: BTreeMap<ContainerId, ContainerHandle>,
    /// What it and all below it use. The factory itself counts among those below its parent.
    pub(crate) used: Amounts,
    /// Most of that.
    pub(crate) max: Amounts,
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
        let (ids, max) = (BTreeMap::new(), Amounts::of_server(limits));
        Factory {
            parent: None,
            depth: 1,
            policy,
            ids,
            used: Amounts::NONE,
            max,
            peers: Peers::new(),
            children: 0,
            watch: Watch::new(),
        }
    }

    /// Containers left of its own quota. An ancestor may have less: that is not this holder's to know.
    pub(crate) const fn left(&self) -> u32 {
        self.max.containers.saturating_sub(self.used.containers)
    }
}

/// Everything a container is charged for.
fn cost(manager: &Manager, record: &Record) -> Amounts {
    let executions = record.execs.values().filter_map(|handle| manager.processes.get(*handle));
    let grants = executions.map(|process| process.execution.peers.records()).sum::<u32>();
    Amounts {
        containers: 1,
        factories: 0,
        processes: record.execs.len() as u32,
        grants: record.first.peers.records() + grants,
    }
}

/// This name or, if it is taken, the first free one of `name+2`, `name+3`, …, cut where it would be too long.
fn free_name(taken: &BTreeMap<ContainerId, ContainerHandle>, name: ContainerId) -> ContainerId {
    let with_number = |number: u32| {
        let number = format!("+{number}");
        let stem = name.as_str().get(..ID_MAX.saturating_sub(number.len())).unwrap_or(name.as_str());
        ContainerId::new(&format!("{stem}{number}")).ok()
    };
    if !taken.contains_key(&name) {
        return name;
    }
    (2..).find_map(|n| with_number(n).filter(|id| !taken.contains_key(id))).unwrap_or(name)
}

impl Manager {
    /// Calls `change` on a factory and each of its ancestors.
    fn for_ancestors(&mut self, first: FactoryHandle, mut change: impl FnMut(&mut Factory)) {
        let mut at = Some(first);
        while let Some(factory) = at.and_then(|handle| self.factories.get_mut(handle)) {
            change(factory);
            at = factory.parent;
        }
    }

    /// Whether so much more fits this factory and every ancestor.
    ///
    /// # Errors
    /// `Quota`; with the numbers only if it is the caller's own quota.
    pub(crate) fn check_quota(&self, handle: FactoryHandle, more: &Amounts) -> Result<(), Refusal> {
        let mut at = Some(handle);
        while let Some(factory) = at.and_then(|handle| self.factories.get(handle)) {
            if let Some((name, used, max)) = factory.used.exceeds(more, &factory.max) {
                return Err(if at == Some(handle) {
                    Refusal::new(RefusalCode::Quota, format_args!("{name}: {used} of {max} used"))
                } else {
                    Refusal::new(RefusalCode::Quota, name)
                });
            }
            at = factory.parent;
        }
        Ok(())
    }

    /// Counts something that is there now.
    pub(crate) fn charge(&mut self, handle: FactoryHandle, amounts: &Amounts) {
        self.for_ancestors(handle, |factory| factory.used.add(amounts));
    }

    /// Counts something that is there no more.
    pub(crate) fn discharge(&mut self, handle: FactoryHandle, amounts: &Amounts) {
        self.for_ancestors(handle, |factory| factory.used.map(amounts, u32::saturating_sub));
    }

    /// Counts one more container and notes its id.
    pub(crate) fn admit(&mut self, handle: FactoryHandle, id: ContainerId, container: ContainerHandle) {
        self.charge(handle, &Amounts::CONTAINER);
        if let Some(factory) = self.factories.get_mut(handle) {
            factory.ids.insert(id, container);
        }
    }

    /// Gives back everything a container is charged for and its id. Its record is out of the table, its processes
    /// are not yet.
    pub(super) fn dismiss(&mut self, record: &Record) {
        let cost = cost(self, record);
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
        let cost = self.containers.get(container).map_or(Amounts::NONE, |record| cost(self, record));
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
            self.discharge(parent, &Amounts::FACTORY);
            if let Some(parent) = self.factories.get_mut(parent) {
                parent.children = parent.children.saturating_sub(1);
            }
            at = parent;
        }
    }
}
