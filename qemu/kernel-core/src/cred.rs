//! Who a Linux process is: ids, groups, capability sets (credentials(7), capabilities(7)).
//!
//! Ids here are always the kernel's own ("host") ids. What a process sees is a matter of its user namespace, which
//! translates at the border ([`crate::ns::user`]).

use crate::ns::NamespaceId;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_kernel_glue::filter::Filter;
use core::ops::{BitAnd, BitOr, Not};

/// A user, by the kernel's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Uid(pub u32);
/// A group of users, by the kernel's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Gid(pub u32);

impl Uid {
    /// The kernel's root.
    pub const ROOT: Uid = Uid(0);
}
impl Gid {
    /// The kernel's root group.
    pub const ROOT: Gid = Gid(0);
}

/// Most supplementary groups of a process.
pub const GROUPS_MAX: usize = 1024;

/// One capability of capabilities(7), by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Capability(pub u8);

macro_rules! capabilities {
    ($($name:ident = $number:literal;)*) => {
        #[allow(missing_docs, reason = "capabilities(7) documents each under this name")]
        impl Capability {
            $(pub const $name: Capability = Capability($number);)*
        }
    };
}
capabilities! {
    CHOWN = 0; DAC_OVERRIDE = 1; DAC_READ_SEARCH = 2; FOWNER = 3; FSETID = 4; KILL = 5; SETGID = 6; SETUID = 7;
    SETPCAP = 8; LINUX_IMMUTABLE = 9; NET_BIND_SERVICE = 10; NET_BROADCAST = 11; NET_ADMIN = 12; NET_RAW = 13;
    IPC_LOCK = 14; IPC_OWNER = 15; SYS_MODULE = 16; SYS_RAWIO = 17; SYS_CHROOT = 18; SYS_PTRACE = 19;
    SYS_PACCT = 20; SYS_ADMIN = 21; SYS_BOOT = 22; SYS_NICE = 23; SYS_RESOURCE = 24; SYS_TIME = 25;
    SYS_TTY_CONFIG = 26; MKNOD = 27; LEASE = 28; AUDIT_WRITE = 29; AUDIT_CONTROL = 30; SETFCAP = 31;
    MAC_OVERRIDE = 32; MAC_ADMIN = 33; SYSLOG = 34; WAKE_ALARM = 35; BLOCK_SUSPEND = 36; AUDIT_READ = 37;
    PERFMON = 38; BPF = 39; CHECKPOINT_RESTORE = 40;
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// None.
    pub const NONE: Capabilities = Capabilities(0);
    /// Every capability there is (0 to 40).
    pub const ALL: Capabilities = Capabilities((1 << 41) - 1);
    /// Whether `capability` is in the set.
    pub const fn has(self, capability: Capability) -> bool {
        capability.0 < 64 && self.0 >> capability.0 & 1 == 1
    }
    /// Whether everything in `other` is in the set.
    pub const fn contains(self, other: Capabilities) -> bool {
        other.0 & !self.0 == 0
    }
    /// The set without `capability`.
    pub const fn without(self, capability: Capability) -> Capabilities {
        if capability.0 < 64 { Capabilities(self.0 & !(1 << capability.0)) } else { self }
    }
    /// The set with `capability`, if there is such a capability.
    pub const fn with(self, capability: Capability) -> Capabilities {
        if capability.0 <= 40 { Capabilities(self.0 | 1 << capability.0) } else { self }
    }
}
impl BitOr for Capabilities {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Capabilities(self.0 | other.0)
    }
}
impl BitAnd for Capabilities {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Capabilities(self.0 & other.0)
    }
}
impl Not for Capabilities {
    type Output = Self;
    fn not(self) -> Self {
        Capabilities(!self.0 & Capabilities::ALL.0)
    }
}

/// The five sets of a process (capabilities(7) "Thread capability sets").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapabilityState {
    /// What survives an execve of a file with inheritable capabilities.
    pub inheritable: Capabilities,
    /// What may be raised.
    pub permitted: Capabilities,
    /// What is in use.
    pub effective: Capabilities,
    /// The ceiling of what execve can give.
    pub bounding: Capabilities,
    /// What survives an execve of an ordinary file.
    pub ambient: Capabilities,
}

/// The credentials of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Real user.
    pub uid: Uid,
    /// Effective user.
    pub euid: Uid,
    /// Saved user.
    pub suid: Uid,
    /// User for file access.
    pub fsuid: Uid,
    /// Real group.
    pub gid: Gid,
    /// Effective group.
    pub egid: Gid,
    /// Saved group.
    pub sgid: Gid,
    /// Group for file access.
    pub fsgid: Gid,
    /// Supplementary groups, at most [`GROUPS_MAX`].
    pub groups: Vec<Gid>,
    /// Capability sets, which count in `user_namespace`.
    pub capabilities: CapabilityState,
    /// execve gives no privileges any more.
    pub no_new_privs: bool,
    /// Permitted capabilities survive a change from root to other users (`PR_SET_KEEPCAPS`); execve clears it.
    pub keep_capabilities: bool,
    /// The user namespace it is in.
    pub user_namespace: NamespaceId,
    /// Which system calls it may make; children inherit it, and execve keeps it. Verified.
    pub filter: Option<Arc<Filter>>,
}

/// What execve needs to know of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Program {
    /// The new effective user, if the file is set-user-ID on a mount that honours it.
    pub set_uid: Option<Uid>,
    /// The new effective group, if the file is set-group-ID on a mount that honours it.
    pub set_gid: Option<Gid>,
}

impl Credentials {
    /// The kernel's root user with every capability, in user namespace `user_namespace`.
    pub fn root(user_namespace: NamespaceId) -> Self {
        let all = Capabilities::ALL;
        Credentials {
            uid: Uid::ROOT,
            euid: Uid::ROOT,
            suid: Uid::ROOT,
            fsuid: Uid::ROOT,
            gid: Gid::ROOT,
            egid: Gid::ROOT,
            sgid: Gid::ROOT,
            fsgid: Gid::ROOT,
            groups: Vec::new(),
            capabilities: CapabilityState {
                inheritable: Capabilities::NONE,
                permitted: all,
                effective: all,
                bounding: all,
                ambient: Capabilities::NONE,
            },
            no_new_privs: false,
            keep_capabilities: false,
            user_namespace,
            filter: None,
        }
    }

    /// Whether `group` is the file group or a supplementary one.
    pub fn in_group(&self, group: Gid) -> bool {
        self.fsgid == group || self.groups.contains(&group)
    }

    /// Sets all four user ids.
    pub fn set_all_uids(&mut self, uid: Uid) {
        (self.uid, self.euid, self.suid, self.fsuid) = (uid, uid, uid, uid);
    }

    /// Sets all four group ids.
    pub fn set_all_gids(&mut self, gid: Gid) {
        (self.gid, self.egid, self.sgid, self.fsgid) = (gid, gid, gid, gid);
    }

    /// Credentials after execve of `program` (capabilities(7) "Transformation of capabilities during execve").
    /// `root` is the kernel's id of the user 0 of the user namespace, if it has one.
    pub fn after_execve(&self, program: Program, root: Option<Uid>) -> Credentials {
        let mut new = self.clone();
        let honoured = !self.no_new_privs;
        let privileged = honoured && (program.set_uid.is_some() || program.set_gid.is_some());
        if honoured {
            new.euid = program.set_uid.unwrap_or(self.euid);
            new.egid = program.set_gid.unwrap_or(self.egid);
        }
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        new.keep_capabilities = false;

        let old = self.capabilities;
        let root_effective = root == Some(new.euid);
        let root_at_all = root_effective || root == Some(new.uid);
        let ambient = if privileged { Capabilities::NONE } else { old.ambient };
        let file = if root_at_all { Capabilities::ALL } else { Capabilities::NONE };
        let permitted = (old.inheritable & file) | (file & old.bounding) | ambient;
        new.capabilities = CapabilityState {
            permitted,
            effective: if root_effective { permitted } else { ambient },
            ambient,
            ..old
        };
        new
    }

    /// What a change of user ids, already made to `self`, does to the capability sets (capabilities(7) "Effect of
    /// user ID changes on capabilities"). `before` is what the ids were; `root` as in [`Self::after_execve`].
    pub fn uids_changed(&mut self, before: &Credentials, root: Option<Uid>) {
        let is_root = |uid: Uid| root == Some(uid);
        let any = |c: &Credentials| is_root(c.uid) || is_root(c.euid) || is_root(c.suid);
        if any(before) && !any(self) {
            if !self.keep_capabilities {
                self.capabilities.permitted = Capabilities::NONE;
            }
            self.capabilities.effective = Capabilities::NONE;
            self.capabilities.ambient = Capabilities::NONE;
        }
        if is_root(before.euid) && !is_root(self.euid) {
            self.capabilities.effective = Capabilities::NONE;
        } else if !is_root(before.euid) && is_root(self.euid) {
            self.capabilities.effective = self.capabilities.permitted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: NamespaceId = NamespaceId(0);
    const PLAIN: Program = Program { set_uid: None, set_gid: None };

    fn user(uid: u32) -> Credentials {
        let mut c = Credentials::root(NS);
        c.set_all_uids(Uid(uid));
        c.set_all_gids(Gid(uid));
        c.capabilities.permitted = Capabilities::NONE;
        c.capabilities.effective = Capabilities::NONE;
        c
    }

    #[test]
    fn root_gains_exactly_the_bounding_set_by_execve() {
        let mut c = Credentials::root(NS);
        c.capabilities.bounding = Capabilities::NONE.with(Capability::KILL);
        let after = c.after_execve(PLAIN, Some(Uid(0))).capabilities;
        assert_eq!(after.permitted, Capabilities::NONE.with(Capability::KILL));
        assert_eq!(after.effective, after.permitted);
    }

    #[test]
    fn an_ordinary_user_keeps_only_ambient_capabilities_by_execve() {
        let mut c = user(1000);
        c.capabilities.permitted = Capabilities::ALL;
        c.capabilities.ambient = Capabilities::NONE.with(Capability::NET_BIND_SERVICE);
        let after = c.after_execve(PLAIN, Some(Uid(0))).capabilities;
        assert_eq!(after.permitted, c.capabilities.ambient);
        assert_eq!(after.effective, c.capabilities.ambient);
    }

    #[test]
    fn set_user_id_root_gives_root_unless_no_new_privs() {
        let mut c = user(1000);
        let program = Program { set_uid: Some(Uid(0)), set_gid: None };
        let after = c.after_execve(program, Some(Uid(0)));
        assert_eq!((after.euid, after.uid), (Uid(0), Uid(1000)));
        assert_eq!(after.capabilities.effective, Capabilities::ALL);
        c.no_new_privs = true;
        let after = c.after_execve(program, Some(Uid(0)));
        assert_eq!(after.euid, Uid(1000));
        assert_eq!(after.capabilities.effective, Capabilities::NONE);
    }

    #[test]
    fn host_root_is_no_root_in_a_user_namespace_that_maps_another() {
        let c = user(100_000);
        assert_eq!(c.after_execve(PLAIN, Some(Uid(100_000))).capabilities.effective, Capabilities::ALL);
        assert_eq!(c.after_execve(PLAIN, Some(Uid(200_000))).capabilities.effective, Capabilities::NONE);
        assert_eq!(c.after_execve(PLAIN, None).capabilities.effective, Capabilities::NONE);
    }

    #[test]
    fn leaving_root_drops_capabilities_unless_they_are_kept() {
        let before = Credentials::root(NS);
        let mut after = before.clone();
        after.set_all_uids(Uid(1));
        let mut kept = after.clone();
        after.uids_changed(&before, Some(Uid(0)));
        assert_eq!(after.capabilities.permitted, Capabilities::NONE);
        kept.keep_capabilities = true;
        kept.uids_changed(&before, Some(Uid(0)));
        assert_eq!(kept.capabilities.permitted, Capabilities::ALL);
        assert_eq!(kept.capabilities.effective, Capabilities::NONE);
    }
}
