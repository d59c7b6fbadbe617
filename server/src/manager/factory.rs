//! Factories: a name space and a quota, charged to every ancestor.

use super::{ContainerHandle, FactoryHandle, Manager};
use crate::plan::Policy;
use alloc::collections::BTreeMap;
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::ContainerId;

/// What creates containers.
#[derive(Clone, Debug)]
pub(crate) struct Factory {
    pub(crate) parent: Option<FactoryHandle>,
    pub(crate) depth: u16,
    pub(crate) policy: Policy,
    /// Containers made through this very factory, by id.
    pub(crate) ids: BTreeMap<ContainerId, ContainerHandle>,
    /// Containers of this factory and of all below it.
    pub(crate) used: u32,
    /// Most of those.
    pub(crate) max: u32,
    /// Live grants on it.
    pub(crate) holders: u32,
    /// Factories made directly below it that are still there.
    pub(crate) children: u32,
}

impl Factory {
    /// Most factories one below the other, the root one included. Charging walks that far.
    pub(crate) const DEPTH_MAX: u16 = 32;

    pub(super) fn root(max: u32, policy: Policy) -> Self {
        let ids = BTreeMap::new();
        Factory { parent: None, depth: 1, policy, ids, used: 0, max, holders: 0, children: 0 }
    }

    /// What is left of its own quota. An ancestor may have less: that is not this holder's to know.
    pub(crate) const fn left(&self) -> u32 {
        self.max.saturating_sub(self.used)
    }
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

    /// Whether one more container fits this factory and every ancestor.
    ///
    /// # Errors
    /// `Quota`; with the numbers only if it is the caller's own quota.
    pub(crate) fn check_quota(&self, handle: FactoryHandle) -> Result<(), Refusal> {
        let mut at = Some(handle);
        while let Some(factory) = at.and_then(|handle| self.factories.get(handle)) {
            if factory.left() == 0 && at == Some(handle) {
                let text = format_args!("containers: {} of {} used", factory.used, factory.max);
                return Err(Refusal::new(RefusalCode::Quota, text));
            }
            if factory.left() == 0 {
                return Err(Refusal::new(RefusalCode::Quota, "containers"));
            }
            at = factory.parent;
        }
        Ok(())
    }

    /// Counts one more container and notes its id.
    pub(crate) fn charge(&mut self, handle: FactoryHandle, id: ContainerId, container: ContainerHandle) {
        self.for_ancestors(handle, |factory| factory.used = factory.used.saturating_add(1));
        if let Some(factory) = self.factories.get_mut(handle) {
            factory.ids.insert(id, container);
        }
    }

    /// Takes [`Manager::charge`] back.
    pub(crate) fn discharge(&mut self, handle: FactoryHandle, id: &ContainerId) {
        self.for_ancestors(handle, |factory| factory.used = factory.used.saturating_sub(1));
        if let Some(factory) = self.factories.get_mut(handle) {
            factory.ids.remove(id);
        }
        self.forget_factory(handle);
    }

    /// A factory nobody holds any more: its containers live on under the nearest ancestor that somebody holds (the
    /// root, in the end), whose name space takes their ids. One whose id is taken there stays where it is, reachable
    /// by capabilities on it alone, until it is deleted.
    pub(super) fn orphan(&mut self, handle: FactoryHandle) {
        let Some(heir) = self.heir(handle) else { return };
        let ids = self.factories.get_mut(handle).map(|factory| core::mem::take(&mut factory.ids));
        for (id, container) in ids.unwrap_or_default() {
            let taken = self.factories.get(heir).is_none_or(|factory| factory.ids.contains_key(&id));
            let home = if taken { handle } else { heir };
            if home == heir {
                self.for_ancestors(handle, |factory| factory.used = factory.used.saturating_sub(1));
                self.for_ancestors(heir, |factory| factory.used = factory.used.saturating_add(1));
            }
            if let Some(factory) = self.factories.get_mut(home) {
                factory.ids.insert(id, container);
            }
            if let Some(record) = self.containers.get_mut(container) {
                record.factory = home;
            }
        }
        self.forget_factory(handle);
    }

    fn heir(&self, handle: FactoryHandle) -> Option<FactoryHandle> {
        let mut at = self.factories.get(handle)?.parent?;
        loop {
            let factory = self.factories.get(at)?;
            match factory.parent {
                Some(parent) if factory.holders == 0 => at = parent,
                _ => return Some(at),
            }
        }
    }

    /// Removes a factory that nobody holds and that has nothing below it, and then perhaps its parent.
    fn forget_factory(&mut self, handle: FactoryHandle) {
        let mut at = handle;
        while let Some(factory) = self.factories.get(at) {
            let needed = factory.holders > 0 || factory.children > 0 || !factory.ids.is_empty();
            let Some(parent) = factory.parent.filter(|_| !needed) else { return };
            self.factories.remove(at);
            if let Some(parent) = self.factories.get_mut(parent) {
                parent.children = parent.children.saturating_sub(1);
            }
            at = parent;
        }
    }
}
