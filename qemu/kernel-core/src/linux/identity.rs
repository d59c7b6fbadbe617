//! Who a process is: numbers, groups and sessions, users, capabilities, prctl(2).

use super::call::{Call, Outcome, linux_of, linux_of_mut};
use super::death;
use super::signal::LAST;
use crate::cred::{Capabilities, Capability, Credentials, GROUPS_MAX, Gid, Uid};
use crate::hw::{Hw, USER_END};
use crate::ns::ProcessId;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

impl<H: Hw> Call<'_, H> {
    fn number_of(&self, process: ProcessId) -> Result<u64, Errno> {
        let namespace = self.pid_namespace()?;
        Ok(linux_of(self.k, process).map_or(0, |linux| linux.number_in(namespace)).into())
    }
    /// The process an argument means; 0 is the caller.
    pub(crate) fn process_arg(&self, at: usize) -> Result<ProcessId, Errno> {
        match self.int(at) {
            0 => Ok(self.process),
            number => u32::try_from(number).ok().and_then(|number| self.find(number)).ok_or(Errno::ESRCH),
        }
    }

    /// getpid(2)
    pub(crate) fn getpid(&mut self) -> Outcome {
        Ok(self.me()?.own_number().into())
    }
    /// gettid(2)
    pub(crate) fn gettid(&mut self) -> Outcome {
        Ok(self.task()?.numbers.first().map_or(0, |(_, number)| *number).into())
    }
    /// getppid(2)
    pub(crate) fn getppid(&mut self) -> Outcome {
        match self.me()?.parent {
            Some(parent) => Ok(self.number_of(parent)?),
            None => Ok(0),
        }
    }
    /// getpgrp(2)
    pub(crate) fn getpgrp(&mut self) -> Outcome {
        Ok(self.number_of(self.me()?.process_group)?)
    }
    /// getpgid(2)
    pub(crate) fn getpgid(&mut self) -> Outcome {
        let process = self.process_arg(0)?;
        Ok(self.number_of(linux_of(self.k, process)?.process_group)?)
    }
    /// getsid(2)
    pub(crate) fn getsid(&mut self) -> Outcome {
        let process = self.process_arg(0)?;
        Ok(self.number_of(linux_of(self.k, process)?.session)?)
    }
    /// setpgid(2)
    pub(crate) fn setpgid(&mut self) -> Outcome {
        if self.int(1) < 0 {
            return Err(Errno::EINVAL.into());
        }
        let process = self.process_arg(0)?;
        let mine = self.me()?.session;
        let target = linux_of(self.k, process)?;
        if process != self.process && target.parent != Some(self.process) {
            return Err(Errno::ESRCH.into());
        }
        if process != self.process && target.executed {
            return Err(Errno::EACCES.into());
        }
        if target.session != mine || target.session == process {
            return Err(Errno::EPERM.into());
        }
        let group = match self.word(1) {
            0 => process,
            number => self.find_any(number).ok_or(Errno::EPERM)?,
        };
        let exists = |member: &ProcessId| linux_of(self.k, *member).is_ok_and(|l| l.session == mine);
        if group != process && !super::deliver::members(self.k, group).iter().any(exists) {
            return Err(Errno::EPERM.into());
        }
        let old = core::mem::replace(&mut linux_of_mut(self.k, process)?.process_group, group);
        death::lead(self.k, process, group, process);
        death::unlead(self.k, process, old);
        Ok(0)
    }
    /// setsid(2)
    pub(crate) fn setsid(&mut self) -> Outcome {
        let process = self.process;
        if !super::deliver::members(self.k, process).is_empty() {
            return Err(Errno::EPERM.into());
        }
        let me = self.me_mut()?;
        let (group, session) = (me.process_group, me.session);
        (me.process_group, me.session) = (process, process);
        death::unlead(self.k, process, group);
        death::unlead(self.k, process, session);
        Ok(self.number_of(process)?)
    }

    // ---- users -------------------------------------------------------------------------------------------------

    fn show_uid(&self, pick: impl Fn(&Credentials) -> Uid) -> Outcome {
        Ok(self.user_namespace()?.map_from(pick(&self.me()?.credentials)).into())
    }
    fn show_gid(&self, pick: impl Fn(&Credentials) -> Gid) -> Outcome {
        Ok(self.user_namespace()?.map_group_from(pick(&self.me()?.credentials)).into())
    }
    /// getuid(2)
    pub(crate) fn getuid(&mut self) -> Outcome {
        self.show_uid(|c| c.uid)
    }
    /// geteuid(2)
    pub(crate) fn geteuid(&mut self) -> Outcome {
        self.show_uid(|c| c.euid)
    }
    /// getgid(2)
    pub(crate) fn getgid(&mut self) -> Outcome {
        self.show_gid(|c| c.gid)
    }
    /// getegid(2)
    pub(crate) fn getegid(&mut self) -> Outcome {
        self.show_gid(|c| c.egid)
    }
    fn show_three(&mut self, ids: [u64; 3]) -> Outcome {
        for (at, id) in ids.into_iter().enumerate() {
            self.write_u32(self.arg(at), id as u32)?;
        }
        Ok(0)
    }
    /// getresuid(2)
    pub(crate) fn getresuid(&mut self) -> Outcome {
        let ids = [self.show_uid(|c| c.uid)?, self.show_uid(|c| c.euid)?, self.show_uid(|c| c.suid)?];
        self.show_three(ids)
    }
    /// getresgid(2)
    pub(crate) fn getresgid(&mut self) -> Outcome {
        let ids = [self.show_gid(|c| c.gid)?, self.show_gid(|c| c.egid)?, self.show_gid(|c| c.sgid)?];
        self.show_three(ids)
    }

    pub(crate) fn capable(&self, capability: Capability) -> Result<bool, Errno> {
        let who = &self.me()?.credentials;
        Ok(self.k.vfs.namespaces.capable(who, who.user_namespace, capability))
    }

    /// Puts changed user ids into effect, and what that does to capabilities.
    fn change_uids(&mut self, change: impl FnOnce(&mut Credentials)) -> Outcome {
        let before = self.me()?.credentials.clone();
        let root = self.k.vfs.namespaces.root_uid(before.user_namespace);
        let mut after = before.clone();
        change(&mut after);
        after.fsuid = after.euid;
        after.uids_changed(&before, root);
        let me = self.me_mut()?;
        if after.euid != before.euid {
            me.dumpable = false;
        }
        me.credentials = after;
        Ok(0)
    }
    /// setuid(2)
    pub(crate) fn setuid(&mut self) -> Outcome {
        let uid = self.uid_arg(0)?.ok_or(Errno::EINVAL)?;
        let c = &self.me()?.credentials;
        if self.capable(Capability::SETUID)? {
            return self.change_uids(|c| c.set_all_uids(uid));
        }
        if uid != c.uid && uid != c.suid {
            return Err(Errno::EPERM.into());
        }
        self.change_uids(|c| c.euid = uid)
    }
    /// setreuid(2)
    pub(crate) fn setreuid(&mut self) -> Outcome {
        let (real, effective) = (self.uid_arg(0)?, self.uid_arg(1)?);
        let c = &self.me()?.credentials;
        let real_fits = real.is_none_or(|uid| uid == c.uid || uid == c.euid);
        let effective_fits = effective.is_none_or(|uid| uid == c.uid || uid == c.euid || uid == c.suid);
        let allowed = real_fits && effective_fits || self.capable(Capability::SETUID)?;
        if !allowed {
            return Err(Errno::EPERM.into());
        }
        self.change_uids(|c| {
            let old = c.uid;
            c.uid = real.unwrap_or(c.uid);
            c.euid = effective.unwrap_or(c.euid);
            if real.is_some() || effective.is_some_and(|uid| uid != old) {
                c.suid = c.euid;
            }
        })
    }
    /// setresuid(2)
    pub(crate) fn setresuid(&mut self) -> Outcome {
        let ids = [self.uid_arg(0)?, self.uid_arg(1)?, self.uid_arg(2)?];
        let c = &self.me()?.credentials;
        let own = [c.uid, c.euid, c.suid];
        if !ids.iter().flatten().all(|uid| own.contains(uid)) && !self.capable(Capability::SETUID)? {
            return Err(Errno::EPERM.into());
        }
        self.change_uids(|c| {
            c.uid = ids[0].unwrap_or(c.uid);
            c.euid = ids[1].unwrap_or(c.euid);
            c.suid = ids[2].unwrap_or(c.suid);
        })
    }
    /// setgid(2)
    pub(crate) fn setgid(&mut self) -> Outcome {
        let gid = self.gid_arg(0)?.ok_or(Errno::EINVAL)?;
        let privileged = self.capable(Capability::SETGID)?;
        let c = &mut self.me_mut()?.credentials;
        if privileged {
            c.set_all_gids(gid);
        } else if gid == c.gid || gid == c.sgid {
            (c.egid, c.fsgid) = (gid, gid);
        } else {
            return Err(Errno::EPERM.into());
        }
        Ok(0)
    }
    /// setregid(2)
    pub(crate) fn setregid(&mut self) -> Outcome {
        let (real, effective) = (self.gid_arg(0)?, self.gid_arg(1)?);
        let privileged = self.capable(Capability::SETGID)?;
        let c = &mut self.me_mut()?.credentials;
        let real_fits = real.is_none_or(|gid| gid == c.gid || gid == c.egid);
        let effective_fits = effective.is_none_or(|gid| gid == c.gid || gid == c.egid || gid == c.sgid);
        let allowed = real_fits && effective_fits || privileged;
        if !allowed {
            return Err(Errno::EPERM.into());
        }
        let old = c.gid;
        c.gid = real.unwrap_or(c.gid);
        c.egid = effective.unwrap_or(c.egid);
        if real.is_some() || effective.is_some_and(|gid| gid != old) {
            c.sgid = c.egid;
        }
        c.fsgid = c.egid;
        Ok(0)
    }
    /// setresgid(2)
    pub(crate) fn setresgid(&mut self) -> Outcome {
        let ids = [self.gid_arg(0)?, self.gid_arg(1)?, self.gid_arg(2)?];
        let privileged = self.capable(Capability::SETGID)?;
        let c = &mut self.me_mut()?.credentials;
        let own = [c.gid, c.egid, c.sgid];
        if !ids.iter().flatten().all(|gid| own.contains(gid)) && !privileged {
            return Err(Errno::EPERM.into());
        }
        c.gid = ids[0].unwrap_or(c.gid);
        c.egid = ids[1].unwrap_or(c.egid);
        c.sgid = ids[2].unwrap_or(c.sgid);
        c.fsgid = c.egid;
        Ok(0)
    }
    /// setfsuid(2): returns the old one, whatever happens.
    pub(crate) fn setfsuid(&mut self) -> Outcome {
        let old = self.show_uid(|c| c.fsuid)?;
        if let Ok(Some(uid)) = self.uid_arg(0) {
            let privileged = self.capable(Capability::SETUID)?;
            let c = &mut self.me_mut()?.credentials;
            if privileged || [c.uid, c.euid, c.suid, c.fsuid].contains(&uid) {
                c.fsuid = uid;
            }
        }
        Ok(old)
    }
    /// setfsgid(2): returns the old one, whatever happens.
    pub(crate) fn setfsgid(&mut self) -> Outcome {
        let old = self.show_gid(|c| c.fsgid)?;
        if let Ok(Some(gid)) = self.gid_arg(0) {
            let privileged = self.capable(Capability::SETGID)?;
            let c = &mut self.me_mut()?.credentials;
            if privileged || [c.gid, c.egid, c.sgid, c.fsgid].contains(&gid) {
                c.fsgid = gid;
            }
        }
        Ok(old)
    }
    /// getgroups(2)
    pub(crate) fn getgroups(&mut self) -> Outcome {
        let user = self.user_namespace()?;
        let groups: Vec<u32> =
            self.me()?.credentials.groups.iter().map(|gid| user.map_group_from(*gid)).collect();
        let size = usize::try_from(self.int(0)).map_err(|_| Errno::EINVAL)?;
        if size > 0 {
            if size < groups.len() {
                return Err(Errno::EINVAL.into());
            }
            for (at, gid) in groups.iter().enumerate() {
                self.write_u32(self.arg(1).wrapping_add(at as u64 * 4), *gid)?;
            }
        }
        Ok(groups.len() as u64)
    }
    /// setgroups(2)
    pub(crate) fn setgroups(&mut self) -> Outcome {
        let denied = self.user_namespace()?.setgroups_denied || self.user_namespace()?.gids.is_empty();
        if denied || !self.capable(Capability::SETGID)? {
            return Err(Errno::EPERM.into());
        }
        let count = self.word(0);
        if count as usize > GROUPS_MAX {
            return Err(Errno::EINVAL.into());
        }
        let mut groups = Vec::new();
        for at in 0..u64::from(count) {
            let id = self.read_u32(self.arg(1).wrapping_add(at * 4))?;
            groups.push(self.user_namespace()?.map_group_into(id).ok_or(Errno::EINVAL)?);
        }
        let process = self.k.processes.get_mut(self.process).ok_or(Errno::ESRCH)?;
        let linux = process.linux().ok_or(Errno::ESRCH)?;
        let others = linux.text() - linux.credentials.groups.len() * size_of::<Gid>();
        process.pay_for_text(others + groups.len() * size_of::<Gid>())?;
        self.me_mut()?.credentials.groups = groups;
        Ok(0)
    }

    // ---- capabilities ------------------------------------------------------------------------------------------

    /// How many 32-bit words of each set the header of capget(2) asks for; 0 only asks for the version.
    fn capability_words(&mut self) -> Result<usize, Errno> {
        match self.read_u32(self.arg(0))? {
            0x1998_0330 => Ok(1),
            0x2007_1026 | 0x2008_0522 => Ok(2),
            _ => {
                self.write_u32(self.arg(0), 0x2008_0522)?;
                Err(Errno::EINVAL)
            }
        }
    }
    /// capget(2)
    pub(crate) fn capget(&mut self) -> Outcome {
        let words = match self.capability_words() {
            Err(Errno::EINVAL) if self.arg(1) == 0 => return Ok(0),
            words => words?,
        };
        let process = match self.read_u32(self.arg(0).wrapping_add(4))? {
            0 => self.process,
            number => self.find(number).ok_or(Errno::ESRCH)?,
        };
        if self.arg(1) == 0 {
            return Ok(0);
        }
        let sets = linux_of(self.k, process)?.credentials.capabilities;
        for word in 0..words {
            for (at, set) in [sets.effective, sets.permitted, sets.inheritable].iter().enumerate() {
                let to = self.arg(1).wrapping_add((word * 12 + at * 4) as u64);
                self.write_u32(to, (set.0 >> (word * 32)) as u32)?;
            }
        }
        Ok(0)
    }
    /// capset(2)
    pub(crate) fn capset(&mut self) -> Outcome {
        let words = self.capability_words()?;
        let number = self.read_u32(self.arg(0).wrapping_add(4))?;
        if number != 0 && number != self.me()?.own_number() {
            return Err(Errno::EPERM.into());
        }
        let mut new = [0u64; 3];
        for word in 0..words {
            for (at, set) in new.iter_mut().enumerate() {
                let from = self.arg(1).wrapping_add((word * 12 + at * 4) as u64);
                *set |= u64::from(self.read_u32(from)?) << (word * 32);
            }
        }
        let [effective, permitted, inheritable] = new.map(|set| Capabilities(set) & Capabilities::ALL);
        let may_add = self.capable(Capability::SETPCAP)?;
        let c = &mut self.me_mut()?.credentials.capabilities;
        let ceiling = if may_add { c.inheritable | c.bounding } else { c.inheritable | c.permitted };
        let fits = c.permitted.contains(permitted)
            && permitted.contains(effective)
            && ceiling.contains(inheritable)
            && (c.inheritable | c.bounding).contains(inheritable);
        if !fits {
            return Err(Errno::EPERM.into());
        }
        (c.effective, c.permitted, c.inheritable) = (effective, permitted, inheritable);
        c.ambient = c.ambient & permitted & inheritable;
        Ok(0)
    }

    // ---- prctl -------------------------------------------------------------------------------------------------

    /// prctl(2)
    pub(crate) fn prctl(&mut self) -> Outcome {
        let value = self.arg(1);
        match self.int(0) {
            1 => {
                if value > u64::from(LAST) {
                    return Err(Errno::EINVAL.into());
                }
                self.me_mut()?.parent_death_signal = value as u8;
            }
            2 => self.write_u32(value, self.me()?.parent_death_signal.into())?,
            3 => return Ok(self.me()?.dumpable.into()),
            4 => match value {
                0 | 1 => self.me_mut()?.dumpable = value == 1,
                _ => return Err(Errno::EINVAL.into()),
            },
            7 => return Ok(self.me()?.credentials.keep_capabilities.into()),
            8 => match value {
                0 | 1 => self.me_mut()?.credentials.keep_capabilities = value == 1,
                _ => return Err(Errno::EINVAL.into()),
            },
            15 => {
                let mut name = [0; 16];
                for (at, byte) in name.iter_mut().take(15).enumerate() {
                    *byte = self.read_array::<1>(value.wrapping_add(at as u64))?[0];
                    if *byte == 0 {
                        break;
                    }
                }
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(15);
                let me = self.me_mut()?;
                me.name.clear();
                let _ = me.name.extend_from_slice(name.get(..end).unwrap_or(&[]));
            }
            16 => {
                let mut name = [0; 16];
                name.iter_mut().zip(self.me()?.name.iter()).for_each(|(to, from)| *to = *from);
                self.write_bytes(value, &name)?;
            }
            23 => {
                let capability = capability(value)?;
                return Ok(self.me()?.credentials.capabilities.bounding.has(capability).into());
            }
            24 => {
                let capability = capability(value)?;
                if !self.capable(Capability::SETPCAP)? {
                    return Err(Errno::EPERM.into());
                }
                let sets = &mut self.me_mut()?.credentials.capabilities;
                sets.bounding = sets.bounding.without(capability);
            }
            36 => self.me_mut()?.subreaper = value != 0,
            37 => self.write_u32(value, self.me()?.subreaper.into())?,
            38 => match (value, self.arg(2), self.arg(3), self.arg(4)) {
                (1, 0, 0, 0) => self.me_mut()?.credentials.no_new_privs = true,
                _ => return Err(Errno::EINVAL.into()),
            },
            39 => return Ok(self.me()?.credentials.no_new_privs.into()),
            47 => return self.ambient(value, self.arg(2)),
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(0)
    }

    /// `PR_CAP_AMBIENT`
    fn ambient(&mut self, what: u64, value: u64) -> Outcome {
        if what == 4 {
            self.me_mut()?.credentials.capabilities.ambient = Capabilities::NONE;
            return Ok(0);
        }
        let capability = capability(value)?;
        let sets = &mut self.me_mut()?.credentials.capabilities;
        match what {
            1 => return Ok(sets.ambient.has(capability).into()),
            2 if sets.permitted.has(capability) && sets.inheritable.has(capability) => {
                sets.ambient = sets.ambient.with(capability);
            }
            2 => return Err(Errno::EPERM.into()),
            3 => sets.ambient = sets.ambient.without(capability),
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(0)
    }

    /// arch_prctl(2)
    pub(crate) fn arch_prctl(&mut self) -> Outcome {
        let value = self.arg(1);
        if matches!(self.word(0), 0x1001 | 0x1002) && value >= USER_END {
            return Err(Errno::EPERM.into());
        }
        let thread = self.k.threads.get_mut(self.thread).ok_or(Errno::ESRCH)?;
        match self.args[0] as u32 {
            0x1001 => thread.context.gs_base = value,
            0x1002 => thread.context.fs_base = value,
            0x1003 => {
                let base = thread.context.fs_base;
                self.write_u64(value, base)?;
            }
            0x1004 => {
                let base = thread.context.gs_base;
                self.write_u64(value, base)?;
            }
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(0)
    }
    /// set_tid_address(2)
    pub(crate) fn set_tid_address(&mut self) -> Outcome {
        let at = self.arg(0);
        self.task_mut()?.clear_tid = at;
        self.gettid()
    }
}

fn capability(value: u64) -> Result<Capability, Errno> {
    u8::try_from(value).ok().filter(|number| *number <= 40).map(Capability).ok_or(Errno::EINVAL)
}
