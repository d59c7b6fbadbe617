//! Propagation of mount events between peers and from master to slave (mount_namespaces(7) "Shared subtrees").
//!
//! Mounts in one peer group show the same events. A mount that receives from a group without sending to it is the
//! group's slave; it may be in a group of its own and pass the events on to that.

use super::mount::Copy;
use super::{Frames, Location, MountId, Node, Vfs};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::Propagation;
use bailiwick_protocol::error::Errno;

/// A mount that receives an event, and how what arrives there is tied to what was mounted at the origin.
#[derive(Clone, Copy)]
struct Receiver {
    mount: MountId,
    /// The copy that the receiver's own copy is tied to.
    from: Tie,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// A peer of the origin's tree.
    Peer,
    /// A slave of the tree that arrived in this group (none: of the origin's), in no group of its own.
    Slave(Option<u32>),
    /// The same, and the first of a group of its own: later members are its peers.
    FirstOf(u32, Option<u32>),
    /// A peer of the first copy that arrived in this group.
    MemberOf(u32),
}

impl Vfs {
    fn new_group(&mut self) -> u32 {
        self.next_group = self.next_group.wrapping_add(1);
        self.next_group
    }

    /// Mounts that receive what happens on `origin`, in an order in which ties are known before they are needed.
    fn receivers(&self, origin: MountId) -> Vec<Receiver> {
        let Some(group) = self.mounts.get(origin.0).and_then(|m| m.sharing.group) else { return Vec::new() };
        let mut found = Vec::new();
        for (id, m) in self.mounts.iter() {
            if m.sharing.group == Some(group) && MountId(id) != origin {
                found.push(Receiver { mount: MountId(id), from: Tie::Peer });
            }
        }
        let mut groups = alloc::vec![(group, None)];
        let mut seen = alloc::vec![group];
        while let Some((master, arrived)) = groups.pop() {
            let slaves = self.mounts.iter().filter(|(_, m)| m.sharing.master == Some(master));
            for (id, m) in slaves {
                let from = match m.sharing.group {
                    None => Tie::Slave(arrived),
                    Some(own) if seen.contains(&own) => continue,
                    Some(own) => {
                        seen.push(own);
                        groups.push((own, Some(own)));
                        found.push(Receiver { mount: MountId(id), from: Tie::FirstOf(own, arrived) });
                        for (peer, p) in self.mounts.iter() {
                            if p.sharing.group == Some(own) && peer != id {
                                found.push(Receiver { mount: MountId(peer), from: Tie::MemberOf(own) });
                            }
                        }
                        continue;
                    }
                };
                found.push(Receiver { mount: MountId(id), from });
            }
        }
        found
    }

    /// Mounts the tree at `source`, which is attached nowhere, at `at`, and copies of it wherever the event goes.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many mounts. Nothing was attached then, and `source` is still the caller's.
    pub(crate) fn attach_with_events(
        &mut self,
        frames: &mut dyn Frames,
        source: MountId,
        at: Location,
    ) -> Result<(), Errno> {
        let namespace = self.mount_of(at.mount)?.namespace;
        let shared = self.mount_of(at.mount)?.sharing.group.is_some();
        if shared {
            for id in self.mount_tree(source) {
                if self.mount_of(id)?.sharing.group.is_none() {
                    let group = self.new_group();
                    self.mount_mut(id)?.sharing.group = Some(group);
                }
            }
        }
        if let Some(namespace) = namespace {
            self.adopt(source, namespace)?;
        }
        let mut copies = Vec::new();
        let mut firsts: BTreeMap<u32, MountId> = BTreeMap::new();
        for receiver in self.receivers(at.mount) {
            match self.copy_for(frames, source, at.node, receiver, &mut firsts) {
                Ok(Some(copy)) => copies.push((copy, receiver.mount)),
                Ok(None) => {}
                Err(errno) => {
                    for (copy, _) in copies {
                        self.dissolve(frames, copy);
                    }
                    return Err(errno);
                }
            }
        }
        for (copy, mount) in copies {
            self.attach_below_others(frames, copy, Location { mount, node: at.node })?;
        }
        self.attach_mount(source, at)
    }

    /// The copy that one receiver gets; none if the place is not visible there.
    fn copy_for(
        &mut self,
        frames: &mut dyn Frames,
        source: MountId,
        node: Node,
        receiver: Receiver,
        firsts: &mut BTreeMap<u32, MountId>,
    ) -> Result<Option<MountId>, Errno> {
        let target = self.mount_of(receiver.mount)?;
        let Some(namespace) = target.namespace else { return Ok(None) };
        if !self.is_below(node, target.root) || self.is_mount_namespace(self.mount_of(source)?.root) {
            return Ok(None);
        }
        let model = match receiver.from {
            Tie::Peer | Tie::Slave(None) | Tie::FirstOf(_, None) => source,
            Tie::Slave(Some(group)) | Tie::FirstOf(_, Some(group)) => {
                firsts.get(&group).copied().unwrap_or(source)
            }
            Tie::MemberOf(group) => match firsts.get(&group) {
                Some(first) => *first,
                None => return Ok(None),
            },
        };
        let root = self.mount_of(model)?.root;
        let mut pairs = BTreeMap::new();
        let copy = self.copy_tree(frames, model, root, Copy::Namespace, &mut pairs)?;
        for (old, new) in pairs {
            let mut sharing = self.mount_of(old)?.sharing;
            if matches!(receiver.from, Tie::Slave(_) | Tie::FirstOf(..)) {
                sharing.master = sharing.group.take();
            }
            if matches!(receiver.from, Tie::FirstOf(..)) {
                sharing.group = Some(self.new_group());
            }
            self.mount_mut(new)?.sharing = sharing;
        }
        if let Err(errno) = self.adopt(copy, namespace) {
            self.dissolve(frames, copy);
            return Err(errno);
        }
        if let Tie::FirstOf(group, _) = receiver.from {
            firsts.insert(group, copy);
        }
        Ok(Some(copy))
    }

    /// Attaches at `at`; what is already mounted there moves on top of the newcomer.
    fn attach_below_others(
        &mut self,
        frames: &mut dyn Frames,
        id: MountId,
        at: Location,
    ) -> Result<(), Errno> {
        let above = self.mounted_at(at);
        if let Some(above) = above {
            self.detach_mount(frames, above);
        }
        self.attach_mount(id, at)?;
        if let Some(above) = above {
            let root = self.mount_root(id)?;
            self.attach_mount(above, self.top(root))?;
        }
        Ok(())
    }

    /// What an unmount of `id` also unmounts: the copies at the same place of every receiver, if nothing is
    /// mounted on them.
    pub(crate) fn copies_elsewhere(&self, id: MountId) -> Vec<MountId> {
        let Some((parent, node)) = self.mounts.get(id.0).and_then(|m| m.parent) else { return Vec::new() };
        self.receivers(parent)
            .into_iter()
            .filter_map(|receiver| self.mounted_at(Location { mount: receiver.mount, node }))
            .filter(|copy| self.mounts.get(copy.0).is_some_and(|m| m.children.is_empty()))
            .collect()
    }

    /// Changes how events travel to and from one mount.
    pub(crate) fn set_propagation(&mut self, id: MountId, to: Propagation) -> Result<(), Errno> {
        let mut sharing = self.mount_of(id)?.sharing;
        match to {
            Propagation::Shared => {
                if sharing.group.is_none() {
                    sharing.group = Some(self.new_group());
                }
                sharing.unbindable = false;
            }
            Propagation::Slave | Propagation::Private | Propagation::Unbindable => {
                self.leave_group(id, &mut sharing);
                if to != Propagation::Slave {
                    sharing.master = None;
                }
                sharing.unbindable = to == Propagation::Unbindable;
            }
        }
        self.mount_mut(id)?.sharing = sharing;
        Ok(())
    }

    /// Leaves the peer group: it goes on to receive from the group if others are in it, else from the group's own
    /// master; and if it was the last, the group's slaves follow that master too.
    fn leave_group(&mut self, id: MountId, sharing: &mut super::mount::Sharing) {
        let Some(group) = sharing.group.take() else { return };
        let others = self.mounts.iter().any(|(other, m)| m.sharing.group == Some(group) && other != id.0);
        if others {
            sharing.master = Some(group);
            return;
        }
        let master = sharing.master;
        let slaves: Vec<u32> = self
            .mounts
            .iter()
            .filter(|(_, m)| m.sharing.master == Some(group))
            .map(|(slave, _)| slave)
            .collect();
        for slave in slaves {
            if let Some(m) = self.mounts.get_mut(slave) {
                m.sharing.master = master;
            }
        }
    }

    /// Takes a mount out of all propagation before it ends.
    pub(crate) fn leave_propagation(&mut self, id: MountId) {
        let Some(mut sharing) = self.mounts.get(id.0).map(|m| m.sharing) else { return };
        self.leave_group(id, &mut sharing);
        if let Some(mount) = self.mounts.get_mut(id.0) {
            mount.sharing = super::mount::Sharing::default();
        }
    }
}
