//! pivot_root(2): every precondition of the manual page is a check of its own.

use super::{Caller, Env, Frames, FsContext, Location, Node, Vfs};
use bailiwick_protocol::error::Errno;

/// Which precondition of pivot_root(2) does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PivotRefusal {
    /// The caller lacks `CAP_SYS_ADMIN` where its mount namespace belongs.
    Privilege,
    /// `new_root` is no directory.
    NewNotDirectory,
    /// `put_old` is no directory.
    OldNotDirectory,
    /// `new_root` was removed.
    NewRemoved,
    /// The mount of `new_root`, of `put_old` or of the root is another namespace's.
    OtherNamespace,
    /// `new_root` came locked from a more privileged namespace.
    NewLocked,
    /// `new_root` is on the mount of the current root.
    NewOnRoot,
    /// `put_old` is on the mount of the current root.
    OldOnRoot,
    /// The current root is no mount point (after chroot(2)).
    RootNotMount,
    /// The current root is the file system everything is mounted on.
    RootIsRootfs,
    /// `new_root` is no mount point.
    NewNotMount,
    /// `new_root` is mounted on nothing.
    NewIsRootfs,
    /// `put_old` is neither `new_root` nor below it.
    OldNotBelowNew,
    /// `new_root` cannot be reached from the current root.
    NewNotBelowRoot,
    /// Events would travel from the mount that `new_root` is mounted on.
    NewParentShared,
    /// Events would travel from the mount that the current root is mounted on.
    RootParentShared,
    /// Events would travel from the mount of `put_old`.
    OldShared,
}

impl PivotRefusal {
    /// All of them.
    pub const ALL: [PivotRefusal; 17] = [
        PivotRefusal::Privilege,
        PivotRefusal::NewNotDirectory,
        PivotRefusal::OldNotDirectory,
        PivotRefusal::NewRemoved,
        PivotRefusal::OtherNamespace,
        PivotRefusal::NewLocked,
        PivotRefusal::NewOnRoot,
        PivotRefusal::OldOnRoot,
        PivotRefusal::RootNotMount,
        PivotRefusal::RootIsRootfs,
        PivotRefusal::NewNotMount,
        PivotRefusal::NewIsRootfs,
        PivotRefusal::OldNotBelowNew,
        PivotRefusal::NewNotBelowRoot,
        PivotRefusal::NewParentShared,
        PivotRefusal::RootParentShared,
        PivotRefusal::OldShared,
    ];
    /// Its number.
    pub const fn errno(self) -> Errno {
        match self {
            PivotRefusal::Privilege => Errno::EPERM,
            PivotRefusal::NewNotDirectory | PivotRefusal::OldNotDirectory => Errno::ENOTDIR,
            PivotRefusal::NewRemoved => Errno::ENOENT,
            PivotRefusal::NewOnRoot | PivotRefusal::OldOnRoot => Errno::EBUSY,
            _ => Errno::EINVAL,
        }
    }
    /// Its sentence.
    pub const fn text(self) -> &'static str {
        match self {
            PivotRefusal::Privilege => "the caller has no CAP_SYS_ADMIN over its mount namespace",
            PivotRefusal::NewNotDirectory => "`new_root` is not a directory",
            PivotRefusal::OldNotDirectory => "`put_old` is not a directory",
            PivotRefusal::NewRemoved => "`new_root` was removed",
            PivotRefusal::OtherNamespace => "a mount of another namespace is involved",
            PivotRefusal::NewLocked => "`new_root` is locked to what it was mounted on",
            PivotRefusal::NewOnRoot => "`new_root` is on the mount of the current root",
            PivotRefusal::OldOnRoot => "`put_old` is on the mount of the current root",
            PivotRefusal::RootNotMount => "the current root is not a mount point",
            PivotRefusal::RootIsRootfs => "the current root is the initial root file system",
            PivotRefusal::NewNotMount => "`new_root` is not a mount point",
            PivotRefusal::NewIsRootfs => "`new_root` is the initial root file system",
            PivotRefusal::OldNotBelowNew => "`put_old` is not at or below `new_root`",
            PivotRefusal::NewNotBelowRoot => "`new_root` is not below the current root",
            PivotRefusal::NewParentShared => "the mount below `new_root` is shared",
            PivotRefusal::RootParentShared => "the mount below the current root is shared",
            PivotRefusal::OldShared => "the mount of `put_old` is shared",
        }
    }
}

/// What a successful call did: processes whose root or working directory was `from` are to be moved to `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pivoted {
    /// The old root.
    pub from: Location,
    /// The new one.
    pub to: Location,
}

impl Vfs {
    /// Checks every precondition.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn may_pivot(
        &self,
        caller: &Caller<'_>,
        new_root: Location,
        put_old: Location,
    ) -> Result<(), PivotRefusal> {
        use PivotRefusal as No;
        let root = caller.fs.root;
        let check = |holds: bool, no: No| if holds { Ok(()) } else { Err(no) };
        let get = |at: Location| self.mounts.get(at.mount.0).ok_or(No::OtherNamespace);

        check(self.may_mount(caller).is_ok(), No::Privilege)?;
        check(self.is_directory(new_root.node), No::NewNotDirectory)?;
        check(self.is_directory(put_old.node), No::OldNotDirectory)?;
        let (new_mount, old_mount, root_mount) = (get(new_root)?, get(put_old)?, get(root)?);
        let ours = Some(caller.namespaces.mount);
        check([new_mount, old_mount, root_mount].iter().all(|m| m.namespace == ours), No::OtherNamespace)?;
        let shared_below = |parent: Option<(super::MountId, Node)>| {
            parent.and_then(|(id, _)| self.mounts.get(id.0)).is_some_and(|m| m.sharing.group.is_some())
        };
        check(old_mount.sharing.group.is_none(), No::OldShared)?;
        check(!shared_below(new_mount.parent), No::NewParentShared)?;
        check(!shared_below(root_mount.parent), No::RootParentShared)?;
        check(!new_mount.locked, No::NewLocked)?;
        check(!matches!(new_root.node, Node::Stored(entry) if self.is_removed(entry)), No::NewRemoved)?;
        check(new_root.mount != root.mount, No::NewOnRoot)?;
        check(put_old.mount != root.mount, No::OldOnRoot)?;
        check(root_mount.root == root.node, No::RootNotMount)?;
        check(root_mount.parent.is_some(), No::RootIsRootfs)?;
        check(new_mount.root == new_root.node, No::NewNotMount)?;
        check(new_mount.parent.is_some(), No::NewIsRootfs)?;
        check(self.is_reachable(put_old, new_root), No::OldNotBelowNew)?;
        check(self.is_reachable(new_root, root), No::NewNotBelowRoot)
    }

    /// Makes `new_root` the root mount and puts the old one on `put_old` (which may be `new_root` itself: then the
    /// old root covers the new one until it is unmounted). The caller's own context is `fs`; other processes are
    /// moved with [`Vfs::follow_pivot`].
    ///
    /// # Errors
    /// A [`PivotRefusal`]; nothing was changed then.
    pub fn pivot_root(
        &mut self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        new_root: Location,
        put_old: Location,
    ) -> Result<Pivoted, PivotRefusal> {
        self.may_pivot(caller, new_root, put_old)?;
        let root = caller.fs.root;
        let lost = |_| PivotRefusal::OtherNamespace;
        // Both mounts are kept alive while they stand nowhere.
        self.hold(root);
        self.hold(new_root);
        let locked = self.mount_of(root.mount).map_err(lost)?.locked;
        self.detach_mount(env.frames, new_root.mount);
        let stood_at = self.detach_mount(env.frames, root.mount);
        if let Some(stood_at) = stood_at {
            self.attach_mount(new_root.mount, stood_at).map_err(lost)?;
        }
        // Seen from the old root the place may be the root of the new mount, with mounts of its own on it.
        self.attach_mount(root.mount, self.top(put_old)).map_err(lost)?;
        self.mount_mut(root.mount).map_err(lost)?.locked = false;
        self.mount_mut(new_root.mount).map_err(lost)?.locked = locked;
        self.release(env.frames, root);
        self.release(env.frames, new_root);
        Ok(Pivoted { from: root, to: new_root })
    }

    /// Moves a process's root and working directory from the old root to the new one.
    pub fn follow_pivot(&mut self, frames: &mut dyn Frames, fs: &mut FsContext, done: Pivoted) {
        if fs.root == done.from {
            self.set_root(frames, fs, done.to);
        }
        if fs.cwd == done.from {
            self.set_cwd(frames, fs, done.to);
        }
    }
}
