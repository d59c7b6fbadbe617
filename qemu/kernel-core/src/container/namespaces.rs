//! The namespaces of a container: new ones, joined ones, id maps, clocks, names.

use super::fault::Fault;
use super::{ContainerId, Made, place};
use crate::cred::Credentials;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::ns::Namespaces;
use crate::ns::user::Range;
use crate::ns::{Body, IdKind, NamespaceId, Unshare};
use crate::vfs::{Caller, From, Last, Store};
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{IdMap, Namespace, NamespaceSource};
use bailiwick_protocol::error::Errno;

const NANOS: i64 = 1_000_000_000;

impl<H: Hw> Kernel<H> {
    /// Makes or joins namespaces, in the order of [`Namespace::ALL`]. Paths are the host's.
    ///
    /// # Errors
    /// `EINVAL`: out of order or named twice, a path that is no namespace or one of another kind, the kernel's own
    /// user namespace. `EOPNOTSUPP`: a mount namespace by path. `ENOSPC`, and what resolving a path says.
    pub(super) fn enter_namespaces(
        &mut self,
        id: ContainerId,
        list: &[(Namespace, NamespaceSource)],
    ) -> Result<(), Fault> {
        if !list.is_sorted_by(|a, b| a.0 < b.0) || !self.containers.made(id)?.own.is_empty() {
            return Err(Fault::new(Errno::EINVAL, "the kinds are not in order, each once"));
        }
        let mut wanted = Vec::new();
        for (kind, source) in list {
            let target = match source {
                NamespaceSource::New => None,
                NamespaceSource::Path(path) => Some(self.namespace_by_path(id, *kind, path)?),
            };
            wanted.push((*kind, target));
        }
        for (kind, target) in wanted {
            self.enter_namespace(id, kind, target)?;
        }
        let Kernel { vfs, containers, .. } = self;
        let c = containers.made_mut(id)?;
        let own = c.set.pid_for_children;
        vfs.namespaces.hold(own);
        vfs.namespaces.release(core::mem::replace(&mut c.set.pid, own));
        take_ids_of_root(&vfs.namespaces, c);
        Ok(())
    }

    fn namespace_by_path(
        &mut self,
        id: ContainerId,
        kind: Namespace,
        path: &str,
    ) -> Result<NamespaceId, Fault> {
        if kind == Namespace::Mount {
            return Err(Fault::new(Errno::EOPNOTSUPP, "a container's mount namespace is always a new one"));
        }
        let of = self.containers.record(id)?.of;
        let found = self.as_host(|vfs, env, by| {
            let from = From::dir(if path.starts_with('/') { by.fs.root } else { of.bundle });
            let look = |by: &Caller<'_>| vfs.lookup(env, by, from, path.as_bytes(), Last::Follow);
            let at = place::below_host(by, of.host, path, look)?;
            Ok(vfs.namespace_at(at))
        })?;
        let found = found.ok_or(Fault::new(Errno::EINVAL, "the path is no namespace's"))?;
        if self.vfs.namespaces.kind(found) == Some(kind) {
            Ok(found)
        } else {
            Err(Fault::new(Errno::EINVAL, "the namespace is of another kind"))
        }
    }

    fn enter_namespace(
        &mut self,
        id: ContainerId,
        kind: Namespace,
        target: Option<NamespaceId>,
    ) -> Result<(), Errno> {
        let Kernel { vfs, mem, groups, containers, .. } = self;
        let c = containers.made_mut(id)?;
        let root = Credentials::root(vfs.namespaces.first_user());
        // What is made belongs to the user namespace the container is in by now.
        let owner = match c.set.user == root.user_namespace {
            true => root.clone(),
            false => vfs.namespaces.credentials_inside(&root, c.set.user),
        };
        let by = Unshare { credentials: &owner, group: c.group.unwrap_or(c.home) };
        match (kind, target) {
            (_, Some(target)) => {
                return vfs.namespaces.join(&mut c.set, &root, target).map(|_| ());
            }
            (Namespace::Mount, None) => {
                let mut frames = Store { memory: mem, groups };
                vfs.unshare_mounts_and(&mut frames, &mut c.set, &mut c.fs, &owner, c.host.as_mut())?;
            }
            (kind, None) => {
                let charged = mem.charge(Namespaces::PRICE)?;
                vfs.namespaces.unshare(&mut c.set, kind, by, charged)?;
            }
        }
        c.own.push(kind);
        Ok(())
    }

    /// Writes the maps of the container's new user namespace.
    ///
    /// # Errors
    /// `EINVAL` if it has none, or for no valid map; `EPERM` for a second one.
    pub(super) fn map_ids(
        &mut self,
        id: ContainerId,
        users: &[IdMap],
        groups: &[IdMap],
    ) -> Result<(), Errno> {
        let Kernel { vfs, containers, .. } = self;
        let c = containers.made_mut(id)?;
        if !c.own.contains(&Namespace::User) {
            return Err(Errno::EINVAL);
        }
        let root = Credentials::root(vfs.namespaces.first_user());
        for (kind, maps) in [(IdKind::User, users), (IdKind::Group, groups)] {
            let range = |m: &IdMap| Range { inside: m.inside, outside: m.outside, count: m.count };
            vfs.namespaces.write_map(c.set.user, kind, maps.iter().map(range).collect(), &root)?;
        }
        take_ids_of_root(&vfs.namespaces, c);
        Ok(())
    }

    /// Sets an offset of the container's new time namespace.
    ///
    /// # Errors
    /// `EINVAL`: no such namespace, clock or number of nanoseconds, or a process is inside already. `ERANGE`: the
    /// clock would show a time before its beginning or beyond its end.
    pub(super) fn offset_time(
        &mut self,
        id: ContainerId,
        clock: &str,
        seconds: i64,
        nanoseconds: u32,
    ) -> Result<(), Errno> {
        let now = i64::try_from(self.mem.hw.now().0).map_err(|_| Errno::ERANGE)?;
        let c = self.containers.made(id)?;
        if !c.own.contains(&Namespace::Time) || i64::from(nanoseconds) >= NANOS {
            return Err(Errno::EINVAL);
        }
        let offset = seconds.checked_mul(NANOS).and_then(|n| n.checked_add(nanoseconds.into()));
        let offset = offset.ok_or(Errno::ERANGE)?;
        if now.checked_add(offset).is_none_or(|shown| shown < 0) {
            return Err(Errno::ERANGE);
        }
        let Some(Body::Time { monotonic, boottime, entered: false }) =
            self.vfs.namespaces.body_mut(c.set.time_for_children)
        else {
            return Err(Errno::EINVAL);
        };
        match clock {
            "monotonic" => *monotonic = offset,
            "boottime" => *boottime = offset,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Sets a name of the machine, by the kernel parameter that stands for it.
    ///
    /// # Errors
    /// `ENOENT` for any other parameter; `EPERM` in the kernel's own uts namespace; `EINVAL` for a name that is too
    /// long.
    pub(super) fn set_name(&mut self, id: ContainerId, parameter: &str, name: &str) -> Result<(), Errno> {
        let uts = self.containers.made(id)?.set.uts;
        if uts == self.containers.initial()?.set.uts {
            return Err(Errno::EPERM);
        }
        match parameter {
            "kernel.hostname" => self.vfs.namespaces.set_host(uts, name.as_bytes()),
            "kernel.domainname" => self.vfs.namespaces.set_domain(uts, name.as_bytes()),
            _ => Err(Errno::ENOENT),
        }
    }
}

/// What is made inside from now on belongs to the container's root, if it has one.
fn take_ids_of_root(namespaces: &crate::ns::Namespaces, c: &mut Made) {
    let Some(user) = namespaces.user(c.set.user) else { return };
    if let (Some(uid), Some(gid)) = (user.map_into(0), user.map_group_into(0)) {
        c.maker.set_all_uids(uid);
        c.maker.set_all_gids(gid);
    }
}
