//! The new root: made a mount of its own, filled, and exchanged for the old one.

use super::fault::Fault;
use super::place::{self, Links, Missing};
use super::{BundleWrites, ContainerId};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux::follow_pivot;
use crate::vfs::{Caller, Env, Location, Resolve, Store, Unmount, Vfs};
use alloc::string::String;
use bailiwick_kernel_glue::plan::{MountFlags, Namespace, Propagation, Reach};
use bailiwick_protocol::error::Errno;

/// The directory of the root file system: a path of the host, or one of the bundle that does not lead out of it.
fn root_directory(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    by: &Caller<'_>,
    host: Option<Location>,
    path: &str,
) -> Result<Location, Fault> {
    place::outside(vfs, env, by, host, path, Resolve::BENEATH).map_err(|errno| match errno {
        Errno::EXDEV => Fault::new(errno, "it leads out of the bundle"),
        Errno::EPERM => {
            Fault::new(errno, "the path is absolute, and no directory of the host was handed over")
        }
        errno => errno.into(),
    })
}

impl<H: Hw> Kernel<H> {
    /// Sets the propagation of the old tree and makes the root file system a mount of its own, read-only for good if it is
    /// of a bundle that may not be written to.
    ///
    /// # Errors
    /// `EINVAL` without a mount namespace of its own, without a group, or for a second root; `ENOENT`, `ENOTDIR`;
    /// `EXDEV` if a relative path leads out of the bundle.
    pub(super) fn make_root(
        &mut self,
        id: ContainerId,
        path: &str,
        propagation: Propagation,
    ) -> Result<(), Fault> {
        let c = self.containers.made(id)?;
        let host = c.host;
        let sealed = !path.starts_with('/') && self.containers.bundle_writes(id)? == BundleWrites::Refused;
        let no = |why| Err(Fault::new(Errno::EINVAL, why));
        if c.group.is_none() {
            return no("the container has no resource group yet");
        }
        if !c.own.contains(&Namespace::Mount) {
            return no("a container needs a mount namespace of its own");
        }
        if c.root.is_some() {
            return no("there is a root already");
        }
        let root = self.inside(id, |vfs, env, by| {
            vfs.change_propagation(by, by.fs.root, propagation, Reach::Tree)?;
            let at = root_directory(vfs, env, by, host, path)?;
            if !vfs.is_directory(at.node) {
                return Err(Fault::from(Errno::ENOTDIR));
            }
            // Nothing that happens to the new root may be seen on the mount it stands on, where others look.
            let below = vfs.mount_root(at.mount)?;
            if vfs.is_shared(at.mount) {
                vfs.change_propagation(by, below, Propagation::Private, Reach::One)?;
            }
            let root = vfs.bind(env, by, at, at, Reach::Tree)?;
            if sealed {
                vfs.seal_read_only(root)?;
            }
            Ok(root)
        })?;
        self.vfs.hold(root);
        self.containers.made_mut(id)?.root = Some(root);
        Ok(())
    }

    /// pivot_root(2) to the new root; the old one is put where the plan says and unmounted at once.
    ///
    /// # Errors
    /// `EINVAL` without a root, for a second time, or if `new` is not the directory that [`Kernel::make_root`] made
    /// the root of; those of pivot_root(2).
    pub(super) fn pivot(&mut self, id: ContainerId, new: &str, old: &str) -> Result<(), Fault> {
        let c = self.containers.made_mut(id)?;
        let (root, host) = (c.root()?, c.host);
        if c.pivoted.is_some() {
            return Err(Fault::new(Errno::EINVAL, "the new root is the root already"));
        }
        let sealed = core::mem::take(&mut c.late_read_only);
        let (namespace, read_only) = (c.set.mount, MountFlags::RDONLY);
        let done = self.inside(id, |vfs, env, by| {
            for at in &sealed {
                vfs.set_attributes(by, *at, Reach::One, read_only, MountFlags::empty())?;
            }
            if root_directory(vfs, env, by, host, new)? != root {
                return Err(Fault::new(Errno::EINVAL, "it is not where the new root is mounted"));
            }
            let put_old = place::make(vfs, env, by, root, old, Missing::Nothing, Links::Follow)?.at;
            vfs.pivot_root(env, by, root, put_old)
                .map_err(|refusal| Fault::new(refusal.errno(), refusal.text()))
        });
        let mut frames = Store { memory: &mut self.mem, groups: &mut self.groups };
        sealed.into_iter().for_each(|at| self.vfs.release(&mut frames, at));
        let done = done?;
        let c = self.containers.made_mut(id)?;
        self.vfs.set_root(&mut frames, &mut c.fs, root);
        self.vfs.set_cwd(&mut frames, &mut c.fs, root);
        c.pivoted = Some((String::from(old), String::from(new)));
        follow_pivot(self, namespace, done);
        Ok(self.inside(id, |vfs, env, by| vfs.unmount(env, by, done.from, Unmount::Detach))?)
    }

    /// Makes the root mount read-only, and nothing that is mounted on it.
    pub(super) fn make_root_read_only(&mut self, id: ContainerId) -> Result<(), Errno> {
        let root = self.containers.made(id)?.root()?;
        self.inside(id, |vfs, _, by| {
            vfs.set_attributes(by, root, Reach::One, MountFlags::RDONLY, MountFlags::empty())
        })
    }

    /// Sets the propagation of the root and all below.
    pub(super) fn propagate_root(&mut self, id: ContainerId, to: Propagation) -> Result<(), Errno> {
        let root = self.containers.made(id)?.root()?;
        self.inside(id, |vfs, _, by| vfs.change_propagation(by, root, to, Reach::Tree))
    }
}
