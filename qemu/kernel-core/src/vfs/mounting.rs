//! mount(2), umount2(2), and mount namespaces.

use super::mount::{ATTRIBUTES, Copy, normal};
use super::tree::FsKind;
use super::{Caller, Env, Frames, FsContext, Location, MountId, Node, Vfs};
use crate::cred::{Capability, Credentials};
use crate::memory::GroupId;
use crate::ns::Namespaces;
use crate::ns::{Body, NamespaceId, NamespaceSet};
use alloc::collections::BTreeMap;
use bailiwick_kernel_glue::plan::{MountFlags, Namespace as Kind, Propagation, Reach};
use bailiwick_protocol::error::Errno;

/// How umount2(2) goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmount {
    /// Only if nobody uses it.
    Idle,
    /// Takes it out of sight now (`MNT_DETACH`).
    Detach,
}

/// A file system to be mounted.
#[derive(Clone, Copy, Debug)]
pub struct NewFileSystem<'a> {
    /// Its type.
    pub kind: FsKind,
    /// The name to show as its source.
    pub source: &'a str,
    /// Attributes.
    pub flags: MountFlags,
    /// Options.
    pub data: &'a str,
    /// The group that a cgroup file system shows as its root; none: that of the caller's cgroup namespace.
    pub group: Option<GroupId>,
}

impl Vfs {
    /// Whether the caller may change its mount namespace.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn may_mount(&self, caller: &Caller<'_>) -> Result<(), Errno> {
        let owner = self.namespaces.owner(caller.namespaces.mount);
        if self.namespaces.capable(caller.credentials, owner, Capability::SYS_ADMIN) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Refuses a mount that is not in the caller's mount namespace.
    pub(crate) fn is_ours(&self, caller: &Caller<'_>, id: MountId) -> Result<(), Errno> {
        if self.mount_of(id)?.namespace == Some(caller.namespaces.mount) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// The mount whose root `at` is.
    pub(crate) fn is_mount_root(&self, at: Location) -> Result<(), Errno> {
        if self.mount_of(at.mount)?.root == at.node { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The type with this name.
    ///
    /// # Errors
    /// `ENODEV` if there is none.
    pub fn file_system_type(name: &str) -> Result<FsKind, Errno> {
        match name {
            "devtmpfs" | "ramfs" => Ok(FsKind::Tmpfs),
            _ => FsKind::MOUNTABLE.into_iter().find(|kind| kind.name() == name).ok_or(Errno::ENODEV),
        }
    }

    /// Mounts a new file system on `at`.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL` (options, or a place outside the namespace), `ENOTDIR`, `ENOENT` if the place was removed,
    /// `ENOSPC`.
    pub fn mount_new(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        new: NewFileSystem<'_>,
        at: Location,
    ) -> Result<Location, Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, at.mount)?;
        if !self.is_directory(at.node) {
            return Err(Errno::ENOTDIR);
        }
        let id = self.make_file_system(env, caller.namespaces, new)?;
        self.attach_or_end(env.frames, id, at)
    }

    /// Attaches a tree; if that fails it ends.
    pub(super) fn attach_or_end(
        &mut self,
        frames: &mut dyn Frames,
        id: MountId,
        at: Location,
    ) -> Result<Location, Errno> {
        let removed = matches!(at.node, Node::Stored(entry) if self.is_removed(entry));
        let attached =
            if removed { Err(Errno::ENOENT) } else { self.attach_with_events(frames, id, self.top(at)) };
        match attached {
            Ok(()) => self.mount_root(id),
            Err(errno) => {
                self.dissolve(frames, id);
                self.reap(frames);
                Err(errno)
            }
        }
    }

    /// Bind mount: shows `source` at `at` too, with what is mounted below it if `reach` is the tree.
    ///
    /// # Errors
    /// `EPERM`; `EINVAL`: another namespace's mount, an unbindable one, or a bind that would uncover what a less
    /// privileged namespace must not see, or a mount namespace's file that would make it keep itself alive;
    /// `ENOTDIR`: a directory on a file or the reverse; `ENOSPC`.
    pub fn bind(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        source: Location,
        at: Location,
        reach: Reach,
    ) -> Result<Location, Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, at.mount)?;
        let is_namespace = self.namespace_at(source).is_some() && source.mount == self.nsfs;
        if !is_namespace {
            self.is_ours(caller, source.mount)?;
        }
        if self.mount_of(source.mount)?.sharing.unbindable {
            return Err(Errno::EINVAL);
        }
        if self.is_mount_namespace(source.node) {
            let younger = self.namespace_at(source).map_or(0, |id| self.namespaces.number(id));
            if younger <= self.namespaces.number(caller.namespaces.mount) {
                return Err(Errno::EINVAL);
            }
        }
        if self.is_directory(source.node) != self.is_directory(at.node) {
            return Err(Errno::ENOTDIR);
        }
        let id = match reach {
            Reach::Tree => {
                self.copy_tree(env.frames, source.mount, source.node, Copy::Bind, &mut BTreeMap::new())?
            }
            Reach::One => {
                let uncovers = self.children(source.mount).any(|child| {
                    self.mounts.get(child.0).is_some_and(|m| {
                        m.locked && m.parent.is_some_and(|(_, place)| self.is_below(place, source.node))
                    })
                });
                if uncovers {
                    return Err(Errno::EINVAL);
                }
                self.copy_mount(env.frames, source.mount, source.node, Copy::Bind)?
            }
        };
        self.attach_or_end(env.frames, id, at)
    }

    /// Changes the attributes of the mount at `at` (`MS_REMOUNT | MS_BIND`): exactly `flags` are set afterwards.
    ///
    /// # Errors
    /// `EPERM` (also for an attribute that is locked), `EINVAL` if it is no mount of this namespace.
    pub fn remount_bind(
        &mut self,
        caller: &Caller<'_>,
        at: Location,
        flags: MountFlags,
    ) -> Result<(), Errno> {
        let flags = self.may_remount(caller, at, flags)?;
        self.mount_mut(at.mount)?.flags = flags;
        Ok(())
    }

    /// The attributes that a mount would have after a remount that asks for `flags`.
    fn may_remount(&self, caller: &Caller<'_>, at: Location, flags: MountFlags) -> Result<MountFlags, Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, at.mount)?;
        self.is_mount_root(at)?;
        let flags = normal(flags);
        let locked = self.mount_of(at.mount)?.locked_flags;
        if (locked - flags).is_empty() { Ok(flags) } else { Err(Errno::EPERM) }
    }

    /// Changes attributes of a mount or of the whole tree below (mount_setattr(2)): sets some, clears others.
    ///
    /// # Errors
    /// As [`Vfs::remount_bind`]; nothing was changed then.
    pub fn set_attributes(
        &mut self,
        caller: &Caller<'_>,
        at: Location,
        reach: Reach,
        set: MountFlags,
        clear: MountFlags,
    ) -> Result<(), Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, at.mount)?;
        self.is_mount_root(at)?;
        let all = match reach {
            Reach::One => alloc::vec![at.mount],
            Reach::Tree => self.mount_tree(at.mount),
        };
        let (set, clear) = (set & ATTRIBUTES, clear & ATTRIBUTES);
        for id in &all {
            let mount = self.mount_of(*id)?;
            if !(mount.locked_flags & (clear - set)).is_empty() {
                return Err(Errno::EPERM);
            }
        }
        for id in all {
            let mount = self.mount_mut(id)?;
            mount.flags = (mount.flags - clear) | set;
            if set.contains(MountFlags::NOATIME) {
                mount.flags -= MountFlags::RELATIME;
            }
        }
        Ok(())
    }

    /// Makes a mount and all below it read-only. Nobody can take that off again, from copies of them neither.
    ///
    /// # Errors
    /// `ESTALE` if there is no such mount.
    pub(crate) fn seal_read_only(&mut self, at: Location) -> Result<(), Errno> {
        for id in self.mount_tree(at.mount) {
            let mount = self.mount_mut(id)?;
            mount.flags |= MountFlags::RDONLY;
            mount.locked_flags |= MountFlags::RDONLY;
        }
        Ok(())
    }

    /// Changes the file system at `at` itself and its mount (`MS_REMOUNT`).
    ///
    /// # Errors
    /// As [`Vfs::remount_bind`], and `EPERM` if the file system is another user namespace's; `EINVAL` for bad
    /// options. Nothing was changed then.
    pub fn remount(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        flags: MountFlags,
        data: &str,
    ) -> Result<(), Errno> {
        let flags = self.may_remount(caller, at, flags)?;
        let fs = self.mount_of(at.mount)?.file_system;
        let user = self.super_of(fs)?.user_namespace;
        if !self.namespaces.capable(caller.credentials, user, Capability::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let kind = self.super_of(fs)?.kind;
        if kind == FsKind::Tmpfs {
            let total = env.processes.machine().total_frames.max(1);
            let options = super::TmpfsOptions::parse(data, total)?;
            let fs = self.super_mut(fs)?;
            if data.contains("size=") || data.contains("nr_blocks=") {
                if options.pages.is_some_and(|pages| pages < fs.pages.used) {
                    return Err(Errno::EINVAL);
                }
                fs.pages.max = options.pages;
            }
        } else {
            super::super_block::check_options(kind, data)?;
        }
        let made = matches!(kind, FsKind::Sysfs | FsKind::Cgroup | FsKind::Cgroup2);
        self.super_mut(fs)?.read_only = made || flags.contains(MountFlags::RDONLY);
        self.mount_mut(at.mount)?.flags = flags;
        Ok(())
    }

    /// Whether events travel between a mount and peers of it.
    pub(crate) fn is_shared(&self, id: MountId) -> bool {
        self.mounts.get(id.0).is_some_and(|mount| mount.sharing.group.is_some())
    }

    /// Changes how mount events travel to and from the mount at `at`, or all below it too.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL` if it is no mount of this namespace.
    pub fn change_propagation(
        &mut self,
        caller: &Caller<'_>,
        at: Location,
        to: Propagation,
        reach: Reach,
    ) -> Result<(), Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, at.mount)?;
        self.is_mount_root(at)?;
        let all = match reach {
            Reach::One => alloc::vec![at.mount],
            Reach::Tree => self.mount_tree(at.mount),
        };
        all.into_iter().try_for_each(|id| self.set_propagation(id, to))
    }

    /// Moves the mount at `source` to `at` (`MS_MOVE`).
    ///
    /// # Errors
    /// `EPERM`; `EINVAL`: no mount, the root, locked, below a shared mount, or an unbindable one that would go below
    /// a shared mount; `ELOOP`: below itself; `ENOTDIR`.
    pub fn move_mount(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        source: Location,
        at: Location,
    ) -> Result<(), Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, source.mount)?;
        self.is_ours(caller, at.mount)?;
        self.is_mount_root(source)?;
        let mount = self.mount_of(source.mount)?;
        let (parent, place) = mount.parent.ok_or(Errno::EINVAL)?;
        if mount.locked || self.mount_of(parent)?.sharing.group.is_some() {
            return Err(Errno::EINVAL);
        }
        if self.is_directory(source.node) != self.is_directory(at.node) {
            return Err(Errno::ENOTDIR);
        }
        let tree = self.mount_tree(source.mount);
        let shared = self.mount_of(at.mount)?.sharing.group.is_some();
        if shared && tree.iter().any(|id| self.mounts.get(id.0).is_some_and(|m| m.sharing.unbindable)) {
            return Err(Errno::EINVAL);
        }
        if self.stands_on(at.mount, source.mount) {
            return Err(Errno::ELOOP);
        }
        // It is nobody's child for a moment; the old place is free again if the new one refuses.
        self.mount_mut(source.mount)?.users += 1;
        self.detach_mount(env.frames, source.mount);
        tree.iter().for_each(|id| {
            if let Some(m) = self.mounts.get_mut(id.0) {
                m.namespace = None;
            }
        });
        let moved = self.attach_with_events(env.frames, source.mount, self.top(at));
        if moved.is_err() {
            self.attach_mount(source.mount, Location { mount: parent, node: place })?;
            self.adopt(source.mount, caller.namespaces.mount)?;
        }
        self.mount_mut(source.mount)?.users -= 1;
        moved
    }

    /// umount2(2) of what `at` is the root of. If something is mounted on it, that goes first.
    ///
    /// # Errors
    /// `EPERM`; `EINVAL`: no mount of this namespace, or a locked one; `EBUSY`: in use, or the root.
    pub fn unmount(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        at: Location,
        how: Unmount,
    ) -> Result<(), Errno> {
        self.may_mount(caller)?;
        let at = self.top(at);
        self.is_ours(caller, at.mount)?;
        self.is_mount_root(at)?;
        let mount = self.mount_of(at.mount)?;
        if mount.locked || mount.parent.is_none() {
            return Err(Errno::EINVAL);
        }
        let copies = self.copies_elsewhere(at.mount);
        if how == Unmount::Idle {
            let busy =
                |id: MountId| self.mounts.get(id.0).is_some_and(|m| m.users > 0 || !m.children.is_empty());
            if busy(at.mount) || copies.iter().any(|id| busy(*id)) {
                return Err(Errno::EBUSY);
            }
        }
        self.dissolve(env.frames, at.mount);
        for copy in copies {
            self.dissolve(env.frames, copy);
        }
        self.reap(env.frames);
        Ok(())
    }

    /// A copy of the mount tree in a new namespace, for `unshare(CLONE_NEWNS)` and clone(2). Root and working
    /// directory of `fs` move to the copies. With another user namespace than the old tree's owner, the copy is
    /// locked and only receives events.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC`.
    pub fn unshare_mounts(
        &mut self,
        frames: &mut dyn Frames,
        set: &mut NamespaceSet,
        fs: &mut FsContext,
        who: &Credentials,
    ) -> Result<(), Errno> {
        self.unshare_mounts_and(frames, set, fs, who, None)
    }

    /// As [`Vfs::unshare_mounts`], for one counted location more, which moves to the copy too if it is in the tree.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn unshare_mounts_and(
        &mut self,
        frames: &mut dyn Frames,
        set: &mut NamespaceSet,
        fs: &mut FsContext,
        who: &Credentials,
        more: Option<&mut Location>,
    ) -> Result<(), Errno> {
        if !self.namespaces.capable(who, who.user_namespace, Capability::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let charged = frames.charge(Namespaces::PRICE)?;
        let old_owner = self.namespaces.owner(set.mount);
        let Some(Body::Mount { root: Some(old_root) }) = self.namespaces.body(set.mount) else {
            return Err(Errno::EINVAL);
        };
        let old_root = *old_root;
        let how = if old_owner == who.user_namespace { Copy::Namespace } else { Copy::LockedNamespace };
        let new = self.namespaces.insert(who.user_namespace, Body::Mount { root: None }, charged)?;
        let mut pairs = BTreeMap::new();
        let node = self.mount_of(old_root)?.root;
        let root = match self.copy_tree(frames, old_root, node, how, &mut pairs) {
            Ok(root) => root,
            Err(errno) => {
                self.namespaces.release(new);
                return Err(errno);
            }
        };
        if let Some(Body::Mount { root: slot }) = self.namespaces.body_mut(new) {
            *slot = Some(root);
        }
        if let Err(errno) = self.adopt(root, new) {
            self.release_namespace(frames, new);
            return Err(errno);
        }
        for place in [fs.root, fs.cwd] {
            let Some(mount) = pairs.get(&place.mount).copied() else { continue };
            let moved = Location { mount, node: place.node };
            if place == fs.root {
                self.set_root(frames, fs, moved);
            }
            if place == fs.cwd {
                self.set_cwd(frames, fs, moved);
            }
        }
        if let Some(place) = more
            && let Some(mount) = pairs.get(&place.mount).copied()
        {
            let moved = Location { mount, node: place.node };
            self.hold(moved);
            let old = core::mem::replace(place, moved);
            self.release(frames, old);
        }
        self.namespaces.replace(set, Kind::Mount, new);
        self.reap(frames);
        Ok(())
    }

    /// setns(2) into a mount namespace: root and working directory become its root.
    ///
    /// # Errors
    /// As [`crate::ns::Namespaces::may_join`].
    pub fn join_mounts(
        &mut self,
        frames: &mut dyn Frames,
        set: &mut NamespaceSet,
        fs: &mut FsContext,
        who: &Credentials,
        target: NamespaceId,
    ) -> Result<(), Errno> {
        let root = self.namespace_root(target)?;
        self.namespaces.join(set, who, target)?;
        self.set_root(frames, fs, root);
        self.set_cwd(frames, fs, root);
        self.reap(frames);
        Ok(())
    }
}
