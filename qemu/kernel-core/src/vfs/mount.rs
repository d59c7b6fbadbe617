//! Mounts: which file system is seen where, in which mount namespace, and with which attributes.
//!
//! A mount lives while it is attached (it has a parent, or is the root of its namespace), while a location in it
//! is counted, or while something is mounted on it.

use super::tree::FsKind;
use super::{Frames, Location, Made, MountId, Node, SuperId, Vfs};
use crate::account::{Charged, PIECE, price_of};
use crate::ns::{Body, NamespaceId};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{MountFlags, Namespace as Kind};
use bailiwick_protocol::error::Errno;

/// Most mounts of all namespaces together.
pub const MOUNTS_MAX: usize = 4096;
/// Most mounts of one namespace.
pub const MOUNTS_PER_NAMESPACE: usize = 1024;

/// Attributes that belong to the mount; the rest of mount(2)'s flags belong to the file system or mean nothing here.
pub const ATTRIBUTES: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NOSYMFOLLOW)
    .union(MountFlags::NOATIME)
    .union(MountFlags::NODIRATIME)
    .union(MountFlags::RELATIME);
/// Attributes that a less privileged namespace cannot take off a mount it was given.
const LOCKABLE: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NOSUID).union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// How events travel between a mount and others (mount_namespaces(7) "Shared subtrees").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sharing {
    /// The peer group it is in: it sends to and receives from it.
    pub(crate) group: Option<u32>,
    /// The peer group it receives from.
    pub(crate) master: Option<u32>,
    pub(crate) unbindable: bool,
}

#[derive(Debug)]
pub(crate) struct Mount {
    /// Its number in `mountinfo`.
    pub(crate) number: u32,
    pub(crate) file_system: SuperId,
    pub(crate) root: Node,
    pub(crate) parent: Option<(MountId, Node)>,
    pub(crate) namespace: Option<NamespaceId>,
    pub(crate) flags: MountFlags,
    /// Attributes that cannot be taken off.
    pub(crate) locked_flags: MountFlags,
    /// It came from a more privileged namespace, together with what it covers: it cannot be unmounted alone.
    pub(crate) locked: bool,
    pub(crate) sharing: Sharing,
    /// Counted locations in it.
    pub(crate) users: u32,
    /// What is mounted on it, by place. Most mounts have nothing on them, and the others little.
    pub(crate) children: Vec<(Node, MountId)>,
    pub(crate) source: String,
    _charged: Charged,
}

impl Mount {
    /// Where in the list of children what is mounted there stands, or belongs.
    fn child(&self, at: Node) -> Result<usize, usize> {
        self.children.binary_search_by(|(node, _)| node.cmp(&at))
    }
}

/// How a tree of mounts is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Copy {
    /// For a new namespace: everything but mount-namespace files, sharing as it is.
    Namespace,
    /// For a namespace with fewer privileges: sharing becomes receiving, and all is locked.
    LockedNamespace,
    /// For a bind mount: unbindable mounts are left out.
    Bind,
}

impl Vfs {
    pub(crate) fn mount_of(&self, id: MountId) -> Result<&Mount, Errno> {
        self.mounts.get(id.0).ok_or(Errno::ESTALE)
    }
    pub(crate) fn mount_mut(&mut self, id: MountId) -> Result<&mut Mount, Errno> {
        self.mounts.get_mut(id.0).ok_or(Errno::ESTALE)
    }
    /// What is mounted exactly there.
    pub(crate) fn mounted_at(&self, at: Location) -> Option<MountId> {
        let mount = self.mounts.get(at.mount.0).filter(|mount| !mount.children.is_empty())?;
        mount.children.get(mount.child(at.node).ok()?).map(|(_, child)| *child)
    }
    /// The root of a mount.
    pub(crate) fn mount_root(&self, id: MountId) -> Result<Location, Errno> {
        Ok(Location { mount: id, node: self.mount_of(id)?.root })
    }
    /// Where one gets by entering what is mounted there, and what is mounted on that, and so on.
    pub(crate) fn top(&self, mut at: Location) -> Location {
        while let Some(mount) = self.mounted_at(at) {
            match self.mount_root(mount) {
                Ok(root) => at = root,
                Err(_) => break,
            }
        }
        at
    }
    /// The mounts directly on `id`, by place.
    pub(crate) fn children(&self, id: MountId) -> impl Iterator<Item = MountId> {
        self.mounts.get(id.0).into_iter().flat_map(|mount| mount.children.iter().map(|(_, child)| *child))
    }
    /// All mounts on `node`, whatever it is seen through, and what they are mounted on.
    pub(crate) fn mounts_on(&self, node: Node) -> impl Iterator<Item = (MountId, &Mount)> {
        self.mounts.iter().filter_map(move |(_, on)| Some((on.children.get(on.child(node).ok()?)?.1, on)))
    }
    /// `root` and everything mounted below, parents first.
    pub(crate) fn mount_tree(&self, root: MountId) -> Vec<MountId> {
        let mut all = alloc::vec![root];
        let mut at = 0;
        while let Some(id) = all.get(at).copied() {
            all.extend(self.children(id));
            at += 1;
        }
        all
    }
    /// All mounts of a namespace.
    pub(crate) fn mounts_in(&self, namespace: NamespaceId) -> impl Iterator<Item = (MountId, &Mount)> {
        self.mounts
            .iter()
            .filter(move |(_, m)| m.namespace == Some(namespace))
            .map(|(id, m)| (MountId(id), m))
    }

    /// Whether `node` is `top` or lies below it, in one file system.
    pub(crate) fn is_below(&self, node: Node, top: Node) -> bool {
        let mut at = Some(node);
        while let Some(node) = at {
            if node == top {
                return true;
            }
            at = self.parent_node(node);
        }
        false
    }

    /// Whether `at` can be reached from `root` by going down.
    pub(crate) fn is_reachable(&self, mut at: Location, root: Location) -> bool {
        while at.mount != root.mount {
            match self.mounts.get(at.mount.0).and_then(|mount| mount.parent) {
                Some((mount, node)) => at = Location { mount, node },
                None => return false,
            }
        }
        self.is_below(at.node, root.node)
    }

    /// Whether `above` is `mount` or one of the mounts it stands on.
    pub(crate) fn stands_on(&self, mount: MountId, above: MountId) -> bool {
        let mut at = Some(mount);
        while let Some(id) = at {
            if id == above {
                return true;
            }
            at = self.mounts.get(id.0).and_then(|m| m.parent).map(|(parent, _)| parent);
        }
        false
    }

    /// A new mount, attached nowhere.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many, `ENOMEM` as [`Frames::charge`].
    pub(crate) fn new_mount(
        &mut self,
        frames: &dyn Frames,
        file_system: SuperId,
        root: Node,
        flags: MountFlags,
        source: &str,
    ) -> Result<MountId, Errno> {
        if self.mounts.len() >= MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        // With a place among what is mounted on another.
        let price = price_of::<Mount>() + 2 * PIECE + source.len() + 2 * size_of::<(Node, MountId)>();
        let charged = frames.charge(price)?;
        self.super_mut(file_system)?.mounts += 1;
        self.hold_node(root);
        let number = self.next_mount;
        self.next_mount = self.next_mount.wrapping_add(1);
        Ok(MountId(self.mounts.insert(Mount {
            number,
            file_system,
            root,
            parent: None,
            namespace: None,
            flags: normal(flags),
            locked_flags: MountFlags::empty(),
            locked: false,
            sharing: Sharing::default(),
            users: 0,
            children: Vec::new(),
            source: source.into(),
            _charged: charged,
        })))
    }

    /// Ends a mount that nothing keeps, and its file system with the last mount of it.
    pub(crate) fn end_mount_if_idle(&mut self, frames: &mut dyn Frames, id: MountId) {
        let idle = self.mounts.get(id.0).is_some_and(|m| {
            m.users == 0 && m.children.is_empty() && m.parent.is_none() && m.namespace.is_none()
        });
        if !idle || id == self.nsfs || id == self.anonymous {
            return;
        }
        let Some(mount) = self.mounts.remove(id.0) else { return };
        self.release_node(frames, mount.root);
        if let Ok(fs) = self.super_mut(mount.file_system) {
            fs.mounts -= 1;
            if fs.mounts == 0 {
                self.end_super(frames, mount.file_system);
            }
        }
    }

    /// Puts a mount on a place where nothing is mounted.
    pub(crate) fn attach_mount(&mut self, id: MountId, at: Location) -> Result<(), Errno> {
        let place = self.mount_of(at.mount)?.child(at.node).err().ok_or(Errno::EBUSY)?;
        self.mount_mut(id)?.parent = Some((at.mount, at.node));
        self.mount_mut(at.mount)?.children.insert(place, (at.node, id));
        self.hold_node(at.node);
        Ok(())
    }

    /// Takes a mount from its place. It and its old parent may be idle afterwards.
    pub(crate) fn detach_mount(&mut self, frames: &mut dyn Frames, id: MountId) -> Option<Location> {
        let (parent, node) = self.mounts.get_mut(id.0)?.parent.take()?;
        if let Some(below) = self.mounts.get_mut(parent.0)
            && let Ok(place) = below.child(node)
        {
            below.children.remove(place);
        }
        self.release_node(frames, node);
        Some(Location { mount: parent, node })
    }

    /// Puts every mount of a tree into a namespace.
    ///
    /// # Errors
    /// `ENOSPC` if the namespace would hold too many.
    pub(crate) fn adopt(&mut self, root: MountId, namespace: NamespaceId) -> Result<(), Errno> {
        let tree = self.mount_tree(root);
        // Only if there are so many in all need those of one be counted.
        let all = self.mounts.len() + tree.len();
        if all > MOUNTS_PER_NAMESPACE && self.mounts_in(namespace).count() + tree.len() > MOUNTS_PER_NAMESPACE
        {
            return Err(Errno::ENOSPC);
        }
        for id in tree {
            self.mount_mut(id)?.namespace = Some(namespace);
        }
        Ok(())
    }

    /// Takes a whole tree apart: each mount ends now or with its last user.
    pub(crate) fn dissolve(&mut self, frames: &mut dyn Frames, root: MountId) {
        let tree = self.mount_tree(root);
        let mut parents = Vec::new();
        for id in tree.iter().rev() {
            parents.extend(self.detach_mount(frames, *id).map(|at| at.mount));
            self.leave_propagation(*id);
            if let Some(mount) = self.mounts.get_mut(id.0) {
                mount.namespace = None;
                mount.locked = false;
            }
        }
        for id in tree.into_iter().rev().chain(parents) {
            self.end_mount_if_idle(frames, id);
        }
    }

    /// A copy of the tree at `root`, seen from `node` on; attached nowhere. Which copy belongs to which mount is
    /// told in `pairs`.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many mounts; nothing is left then.
    pub(crate) fn copy_tree(
        &mut self,
        frames: &mut dyn Frames,
        root: MountId,
        node: Node,
        how: Copy,
        pairs: &mut BTreeMap<MountId, MountId>,
    ) -> Result<MountId, Errno> {
        let top = self.copy_mount(frames, root, node, how)?;
        pairs.insert(root, top);
        for id in self.mount_tree(root).into_iter().skip(1) {
            let mount = self.mount_of(id)?;
            let Some((parent, place)) = mount.parent else { continue };
            // What was left out takes along what stands on it; of a bind, only what lies below its root is seen.
            let Some(new_parent) = pairs.get(&parent).copied() else { continue };
            let hidden = parent == root && !self.is_below(place, node);
            let unwanted =
                how == Copy::Bind && mount.sharing.unbindable || self.is_mount_namespace(mount.root);
            if hidden || unwanted {
                continue;
            }
            let root_node = mount.root;
            let copied = self.copy_mount(frames, id, root_node, how).and_then(|new| {
                self.attach_mount(new, Location { mount: new_parent, node: place }).map(|()| new)
            });
            match copied {
                Ok(new) => {
                    if how == Copy::LockedNamespace {
                        self.mount_mut(new)?.locked = true;
                    }
                    pairs.insert(id, new);
                }
                Err(errno) => {
                    self.dissolve(frames, top);
                    return Err(errno);
                }
            }
        }
        Ok(top)
    }

    pub(crate) fn copy_mount(
        &mut self,
        frames: &dyn Frames,
        id: MountId,
        root: Node,
        how: Copy,
    ) -> Result<MountId, Errno> {
        let old = self.mount_of(id)?;
        let (file_system, flags, source, mut sharing) =
            (old.file_system, old.flags, old.source.clone(), old.sharing);
        let mut locked_flags = old.locked_flags;
        if how == Copy::LockedNamespace {
            locked_flags |= flags & LOCKABLE;
            if let Some(group) = sharing.group.take() {
                sharing.master = Some(group);
            }
        }
        if how == Copy::Bind {
            sharing.unbindable = false;
        }
        let new = self.new_mount(frames, file_system, root, flags, &source)?;
        let mount = self.mount_mut(new)?;
        (mount.sharing, mount.locked_flags) = (sharing, locked_flags);
        Ok(new)
    }

    pub(crate) fn is_mount_namespace(&self, node: Node) -> bool {
        matches!(node, Node::Made(_, Made::Namespace(id)) if self.namespaces.kind(id) == Some(Kind::Mount))
    }

    /// Whether a mount, or the file system behind it, is read-only.
    pub(crate) fn is_read_only(&self, id: MountId) -> bool {
        self.mounts.get(id.0).is_none_or(|mount| {
            mount.flags.contains(MountFlags::RDONLY)
                || self.supers.get(mount.file_system.0).is_none_or(|fs| fs.read_only)
        })
    }

    /// The root of a mount namespace's tree, with what is mounted on it.
    pub fn namespace_root(&self, namespace: NamespaceId) -> Result<Location, Errno> {
        match self.namespaces.body(namespace) {
            Some(Body::Mount { root: Some(root) }) => Ok(self.top(self.mount_root(*root)?)),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn hold_node(&mut self, node: Node) {
        match node {
            Node::Stored(entry) => self.hold_entry(entry),
            Node::Made(_, Made::Namespace(id)) => self.namespaces.hold(id),
            Node::Made(..) => {}
        }
    }
    pub(crate) fn release_node(&mut self, frames: &mut dyn Frames, node: Node) {
        match node {
            Node::Stored(entry) => self.release_entry(frames, entry),
            Node::Made(_, Made::Namespace(id)) => self.namespaces.release(id),
            Node::Made(..) => {}
        }
    }
    /// Counts a location: it stays valid until it is released.
    pub fn hold(&mut self, at: Location) {
        if let Some(mount) = self.mounts.get_mut(at.mount.0) {
            mount.users = mount.users.saturating_add(1);
        }
        self.hold_node(at.node);
    }
    /// Gives a counted location back.
    pub fn release(&mut self, frames: &mut dyn Frames, at: Location) {
        self.release_node(frames, at.node);
        if let Some(mount) = self.mounts.get_mut(at.mount.0) {
            mount.users = mount.users.saturating_sub(1);
        }
        self.end_mount_if_idle(frames, at.mount);
        self.reap(frames);
    }
    /// Takes the trees of ended mount namespaces apart.
    pub(crate) fn reap(&mut self, frames: &mut dyn Frames) {
        while let Some(root) = self.namespaces.take_ended_tree() {
            self.dissolve(frames, root);
        }
    }
    /// Gives one reference to a namespace back.
    pub fn release_namespace(&mut self, frames: &mut dyn Frames, id: NamespaceId) {
        self.namespaces.release(id);
        self.reap(frames);
    }
    /// Ends a set of namespaces.
    pub fn release_set(&mut self, frames: &mut dyn Frames, set: crate::ns::NamespaceSet) {
        for id in set.ids() {
            self.namespaces.release(id);
        }
        self.reap(frames);
    }

    /// The type of the file system a location is in.
    pub fn fs_kind(&self, at: Location) -> Result<FsKind, Errno> {
        Ok(self.super_of(self.mount_of(at.mount)?.file_system)?.kind)
    }
    /// The attributes of the mount a location is in.
    pub fn mount_flags(&self, at: Location) -> Result<MountFlags, Errno> {
        Ok(self.mount_of(at.mount)?.flags)
    }
}

/// Attributes of the mount alone; without any word on access times it is `relatime`, as mount(2) has it.
pub(crate) fn normal(flags: MountFlags) -> MountFlags {
    let kept = flags & ATTRIBUTES;
    if flags.intersects(MountFlags::NOATIME | MountFlags::STRICTATIME) {
        kept - MountFlags::RELATIME
    } else {
        kept | MountFlags::RELATIME
    }
}
