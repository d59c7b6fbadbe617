//! The namespaces of one process, and how it changes them: clone(2), unshare(2), setns(2).

use super::user::{IdTable, Range, UserNamespace};
use super::{Body, Kind, LEVEL_MAX, Loopback, NamespaceId, Namespaces, PidNamespace};
use crate::account::Charged;
use crate::cred::{Capabilities, Capability, CapabilityState, Credentials};
use crate::memory::GroupId;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// The namespaces of a process. Each is held once by the set: make copies with [`Namespaces::copy_set`], end them
/// with `Vfs::release_set`.
#[derive(PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the kinds")]
pub struct NamespaceSet {
    pub user: NamespaceId,
    pub mount: NamespaceId,
    pub pid: NamespaceId,
    /// Where its children will be.
    pub pid_for_children: NamespaceId,
    pub uts: NamespaceId,
    pub ipc: NamespaceId,
    pub network: NamespaceId,
    pub cgroup: NamespaceId,
    pub time: NamespaceId,
    /// Where its children will be.
    pub time_for_children: NamespaceId,
}

impl NamespaceSet {
    /// The namespace of this kind that the process is in.
    pub fn get(&self, kind: Kind) -> NamespaceId {
        match kind {
            Kind::User => self.user,
            Kind::Mount => self.mount,
            Kind::Pid => self.pid,
            Kind::Uts => self.uts,
            Kind::Ipc => self.ipc,
            Kind::Network => self.network,
            Kind::Cgroup => self.cgroup,
            Kind::Time => self.time,
        }
    }
    /// The place a change of this kind goes to: for pid and time that of the children.
    fn slot(&mut self, kind: Kind) -> &mut NamespaceId {
        match kind {
            Kind::User => &mut self.user,
            Kind::Mount => &mut self.mount,
            Kind::Pid => &mut self.pid_for_children,
            Kind::Uts => &mut self.uts,
            Kind::Ipc => &mut self.ipc,
            Kind::Network => &mut self.network,
            Kind::Cgroup => &mut self.cgroup,
            Kind::Time => &mut self.time_for_children,
        }
    }
    /// All ten references.
    pub fn ids(&self) -> [NamespaceId; 10] {
        [
            self.user,
            self.mount,
            self.pid,
            self.pid_for_children,
            self.uts,
            self.ipc,
            self.network,
            self.cgroup,
            self.time,
            self.time_for_children,
        ]
    }
}

/// What a new namespace is made with besides the old one.
#[derive(Clone, Copy, Debug)]
pub struct Unshare<'a> {
    /// Who asks.
    pub credentials: &'a Credentials,
    /// Its resource group: the root of a new cgroup namespace.
    pub group: GroupId,
}

impl Namespaces {
    /// A copy of a set, for a child: every namespace in it is held once more.
    pub fn copy_set(&mut self, set: &NamespaceSet) -> NamespaceSet {
        set.ids().iter().for_each(|id| self.hold(*id));
        NamespaceSet { ..*set }
    }

    /// A set for a child of clone(2): its own pid and time namespaces are the parent's "for children".
    pub fn child_set(&mut self, set: &NamespaceSet) -> NamespaceSet {
        let child = NamespaceSet { pid: set.pid_for_children, time: set.time_for_children, ..*set };
        child.ids().iter().for_each(|id| self.hold(*id));
        if let Some(Body::Time { entered, .. }) = self.body_mut(child.time) {
            *entered = true;
        }
        child
    }

    /// Credentials inside a new user namespace: every capability there, none outside.
    pub fn credentials_inside(&self, old: &Credentials, user: NamespaceId) -> Credentials {
        let all = Capabilities::ALL;
        Credentials {
            user_namespace: user,
            capabilities: CapabilityState {
                permitted: all,
                effective: all,
                bounding: all,
                ..CapabilityState::default()
            },
            keep_capabilities: false,
            ..old.clone()
        }
    }

    /// Replaces the namespace of one kind in `set` by a new one. Mount namespaces are made by
    /// `Vfs::unshare_mounts`, which copies the tree. A new user namespace goes into the set; the caller also puts
    /// [`Self::credentials_inside`] into effect, *before* it makes the other kinds. `charged` is [`Namespaces::PRICE`].
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` (user namespaces need none, but ids that have a name in the parent),
    /// `ENOSPC` at a bound, `EINVAL` for a second pid namespace on top of an unentered one or for mounts.
    pub fn unshare(
        &mut self,
        set: &mut NamespaceSet,
        kind: Kind,
        by: Unshare<'_>,
        charged: Charged,
    ) -> Result<(), Errno> {
        let who = by.credentials;
        if kind != Kind::User && !self.capable(who, who.user_namespace, Capability::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let body = self.new_body(set, kind, by)?;
        let new = self.insert(who.user_namespace, body, charged)?;
        self.replace(set, kind, new);
        Ok(())
    }

    fn new_body(&self, set: &NamespaceSet, kind: Kind, by: Unshare<'_>) -> Result<Body, Errno> {
        let who = by.credentials;
        Ok(match kind {
            Kind::User => {
                let parent = self.user(who.user_namespace).ok_or(Errno::EINVAL)?;
                if parent.level + 1 >= LEVEL_MAX {
                    return Err(Errno::ENOSPC);
                }
                if !parent.knows(who.euid, who.egid) {
                    return Err(Errno::EPERM);
                }
                Body::User(UserNamespace {
                    parent: Some(who.user_namespace),
                    level: parent.level + 1,
                    creator: who.euid,
                    creator_group: who.egid,
                    uids: IdTable::default(),
                    gids: IdTable::default(),
                    setgroups_denied: parent.setgroups_denied,
                })
            }
            Kind::Pid => {
                if set.pid != set.pid_for_children {
                    return Err(Errno::EINVAL);
                }
                let level = self.pid(set.pid).ok_or(Errno::EINVAL)?.level + 1;
                if level >= LEVEL_MAX {
                    return Err(Errno::ENOSPC);
                }
                Body::Pid(PidNamespace::below(set.pid, level))
            }
            Kind::Uts => self.body(set.uts).cloned().ok_or(Errno::EINVAL)?,
            Kind::Ipc => Body::Ipc,
            Kind::Network => Body::Network(Loopback::default()),
            Kind::Cgroup => Body::Cgroup { root: by.group },
            Kind::Time => match self.body(set.time) {
                Some(Body::Time { monotonic, boottime, .. }) => {
                    Body::Time { monotonic: *monotonic, boottime: *boottime, entered: false }
                }
                _ => return Err(Errno::EINVAL),
            },
            Kind::Mount => return Err(Errno::EINVAL),
        })
    }

    /// Puts `new`, whose reference is taken over, into the set.
    pub(crate) fn replace(&mut self, set: &mut NamespaceSet, kind: Kind, new: NamespaceId) {
        let old = core::mem::replace(set.slot(kind), new);
        self.release(old);
    }

    /// Whether `who`, with namespaces `set`, may join `target` (setns(2) "Details for specific namespace types").
    ///
    /// # Errors
    /// `EINVAL`: already in that user namespace, or the pid namespace is not its own or below. `EPERM`: a
    /// capability is missing.
    pub fn may_join(
        &self,
        set: &NamespaceSet,
        who: &Credentials,
        target: NamespaceId,
    ) -> Result<Kind, Errno> {
        let kind = self.kind(target).ok_or(Errno::EINVAL)?;
        let in_owner = self.capable(who, self.owner(target), Capability::SYS_ADMIN);
        let in_own = self.capable(who, who.user_namespace, Capability::SYS_ADMIN);
        let allowed = match kind {
            Kind::User => {
                if target == who.user_namespace {
                    return Err(Errno::EINVAL);
                }
                self.capable(who, target, Capability::SYS_ADMIN)
            }
            Kind::Mount => {
                in_owner && in_own && self.capable(who, who.user_namespace, Capability::SYS_CHROOT)
            }
            Kind::Pid if !self.pid_is_within(target, set.pid) => return Err(Errno::EINVAL),
            _ => in_owner && in_own,
        };
        if allowed { Ok(kind) } else { Err(Errno::EPERM) }
    }

    /// Joins `target` after [`Self::may_join`]; the set holds it. For mounts use `Vfs::join_mounts`, which also
    /// moves root and working directory; for users the caller also takes [`Self::credentials_inside`].
    ///
    /// # Errors
    /// As [`Self::may_join`].
    pub fn join(
        &mut self,
        set: &mut NamespaceSet,
        who: &Credentials,
        target: NamespaceId,
    ) -> Result<Kind, Errno> {
        let kind = self.may_join(set, who, target)?;
        self.hold(target);
        self.replace(set, kind, target);
        Ok(kind)
    }

    /// Writes the map of a user namespace, once; `ranges` hold ids of the *parent* namespace on the outside.
    ///
    /// # Errors
    /// `EPERM`: it was written before, or the writer may not: it needs `CAP_SETUID` (`CAP_SETGID`) in the parent,
    /// or may map its own id alone. `EINVAL`: no valid map, or an outside id the parent does not know.
    pub fn write_map(
        &mut self,
        id: NamespaceId,
        which: IdKind,
        ranges: Vec<Range>,
        who: &Credentials,
    ) -> Result<(), Errno> {
        let user = self.user(id).ok_or(Errno::EINVAL)?;
        let parent_id = user.parent.ok_or(Errno::EPERM)?;
        let parent = self.user(parent_id).ok_or(Errno::EINVAL)?;
        let (written, outer, capability, own) = match which {
            IdKind::User => (&user.uids, &parent.uids, Capability::SETUID, who.euid.0),
            IdKind::Group => (&user.gids, &parent.gids, Capability::SETGID, who.egid.0),
        };
        if !written.is_empty() {
            return Err(Errno::EPERM);
        }
        let ranges = ranges.into_iter().map(|r| kernel_range(outer, r)).collect::<Result<Vec<_>, _>>()?;
        let own_only = matches!(ranges.as_slice(), [one] if one.count == 1 && one.outside == own)
            && (which == IdKind::User || user.setgroups_denied);
        if !self.capable(who, id, Capability::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        if !own_only && !self.capable(who, parent_id, capability) {
            return Err(Errno::EPERM);
        }
        let table = IdTable::new(ranges)?;
        if let Some(Body::User(user)) = self.body_mut(id) {
            match which {
                IdKind::User => user.uids = table,
                IdKind::Group => user.gids = table,
            }
        }
        Ok(())
    }
}

/// Which of the two maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdKind {
    /// `uid_map`
    User,
    /// `gid_map`
    Group,
}

/// A range whose outside ids are the parent's, with the kernel's instead. It must lie within one of the parent's.
fn kernel_range(outer: &IdTable, r: Range) -> Result<Range, Errno> {
    let last = r.count.checked_sub(1).and_then(|more| r.outside.checked_add(more)).ok_or(Errno::EINVAL)?;
    match (outer.to_kernel(r.outside), outer.to_kernel(last)) {
        (Some(first), Some(end)) if end.wrapping_sub(first) == r.count - 1 => {
            Ok(Range { outside: first, ..r })
        }
        _ => Err(Errno::EPERM),
    }
}
