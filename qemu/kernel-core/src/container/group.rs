//! The resource group of a container: its path, its limits, its rules about devices.

use super::ContainerId;
use crate::group::{DeviceRules, Limits};
use crate::hw::{Hw, PAGE};
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::sched::Quota;
use bailiwick_kernel_glue::plan::{DeviceRule, Resources};
use bailiwick_protocol::error::Errno;

/// Shares of cgroup v1: what is outside is cut to it, as Linux does.
const SHARES: core::ops::RangeInclusive<u64> = 2..=262_144;
/// Periods there can be, in microseconds (cgroups(7), `cpu.cfs_period_us`).
const PERIODS: core::ops::RangeInclusive<u64> = 1_000..=1_000_000;
/// The least quota, in microseconds.
const QUOTA_MIN: u64 = 1_000;
const MICROSECOND: u64 = 1_000;

/// The limits a plan asks for.
///
/// A reservation says what is reclaimed last; nothing is ever reclaimed here, so it holds by itself.
///
/// # Errors
/// `EOPNOTSUPP` for swap and for pinning; `EINVAL` for a quota or period that no timer could keep.
fn limits(r: &Resources) -> Result<Limits, Errno> {
    if r.memory_swap.is_some() || r.cpus.is_some() || r.mems.is_some() {
        return Err(Errno::EOPNOTSUPP);
    }
    let period = r.cpu_period.unwrap_or(Resources::CPU_PERIOD);
    let quota = match r.cpu_quota {
        Some(quota) if quota < QUOTA_MIN || !PERIODS.contains(&period) => return Err(Errno::EINVAL),
        Some(quota) => {
            let time = quota.checked_mul(MICROSECOND).ok_or(Errno::EINVAL)?;
            Some(Quota { time, period: period * MICROSECOND })
        }
        None => None,
    };
    let shares = r.cpu_shares.map(|shares| shares.clamp(*SHARES.start(), *SHARES.end()));
    Ok(Limits {
        frames: r.memory.map(|bytes| bytes / PAGE as u64),
        pids: r.pids,
        weight: shares.map_or(crate::group::WEIGHT_DEFAULT, |shares| shares as u32),
        quota,
    })
}

impl<H: Hw> Kernel<H> {
    /// Makes the container's own group. `path` is taken below the group the container was made in, also if it is
    /// absolute: whoever makes containers in a group cannot leave it.
    ///
    /// # Errors
    /// `EINVAL` for a path without a name or with dots, and for a second group; `EEXIST` if the last name is taken;
    /// `ENOSPC`; as [`limits`].
    pub(super) fn make_group(
        &mut self,
        id: ContainerId,
        path: &str,
        resources: &Resources,
        devices: &[DeviceRule],
    ) -> Result<(), Errno> {
        let c = self.containers.made(id)?;
        if c.group.is_some() || c.first.is_some() {
            return Err(Errno::EINVAL);
        }
        let (mut at, mut made) = (c.home, alloc::vec::Vec::new());
        let limits = limits(resources)?;
        let devices = DeviceRules::new(devices)?;
        let names: alloc::vec::Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let Some((last, before)) = names.split_last() else { return Err(Errno::EINVAL) };
        if names.iter().any(|name| matches!(*name, "." | "..")) {
            return Err(Errno::EINVAL);
        }
        for name in before {
            at = match self.groups.child(at, name) {
                Some(group) => group,
                None => match self.groups.create(at, name, Limits::default()) {
                    Ok(group) => {
                        made.push(group);
                        group
                    }
                    Err(errno) => {
                        self.containers.on_the_way.extend(made.iter().copied());
                        self.clear_way(at);
                        return Err(errno);
                    }
                },
            };
        }
        self.containers.on_the_way.extend(made);
        match self.groups.create(at, last, limits) {
            Ok(group) => {
                if let Some(found) = self.groups.get_mut(group) {
                    found.devices = devices;
                }
                self.containers.made_mut(id)?.group = Some(group);
                Ok(())
            }
            Err(errno) => {
                self.clear_way(at);
                Err(errno)
            }
        }
    }

    /// Makes these the limits of the container's group, all of them or none. Of a limit of processes below those there
    /// are only further ones take notice.
    ///
    /// # Errors
    /// `ESRCH` if it was destroyed, `EINVAL` if it has no group yet, `EBUSY` for a limit of memory below what is in use,
    /// for nothing is ever reclaimed; `EOPNOTSUPP` for swap and for pinning, `EINVAL` for a quota or period that no timer could keep.
    pub fn container_update(&mut self, id: ContainerId, resources: &Resources) -> Result<(), Errno> {
        let id = self.containers.made(id)?.group()?;
        let limits = limits(resources)?;
        let now = self.mem.hw.now();
        // What ran until now ran under the old weight.
        self.sched.account(&mut self.groups, &mut self.threads, now);
        let group = self.groups.get_mut(id).ok_or(Errno::EINVAL)?;
        if limits.frames.is_some_and(|limit| limit < group.memory()) {
            return Err(Errno::EBUSY);
        }
        group.set_limits(limits);
        self.sched.renew(&mut self.groups, now);
        Ok(())
    }

    /// Removes `group` and then every group above it that was made on the way to a container's and is empty.
    pub(super) fn remove_group(&mut self, group: GroupId) {
        let parent = self.groups.get(group).and_then(|group| group.parent);
        // It can still hold a process only if somebody was put into it from outside.
        let _ = self.destroy_group(group);
        if let Some(parent) = parent {
            self.clear_way(parent);
        }
    }

    fn clear_way(&mut self, from: GroupId) {
        let mut at = Some(from);
        while let Some(group) = at.filter(|group| self.containers.on_the_way.contains(group)) {
            at = self.groups.get(group).and_then(|group| group.parent);
            if self.destroy_group(group).is_err() {
                return;
            }
            self.containers.on_the_way.remove(&group);
        }
    }
}
