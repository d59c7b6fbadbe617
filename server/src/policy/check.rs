//! A configuration against a policy: the first thing that is not allowed, by its JSON path.

use super::pattern::{Access, Devices, Ids, Mountable, Pattern, Tree};
use super::{Allow, Filter, Policy};
use crate::oci::{
    MountOption, OciCapabilitySet, OciDeviceKind, OciDeviceRule, OciDeviceRuleKind, OciLinuxConfig, OciMount,
    OciNamespaceKind, OciProcess, OciSeccompAction, ValidConfig,
};
use crate::plan::joined;
use alloc::string::String;
use bailiwick_kernel_glue::plan::{
    DeviceAccess, DeviceKind, Feature, Features, MountFlags, Namespace, Propagation, Reach, Within,
};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use core::fmt;

type Verdict = Result<(), Refusal>;

fn denied(place: impl fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Policy, format_args!("config.json: {place}"))
}

fn require(holds: bool, place: impl fmt::Display) -> Verdict {
    if holds { Ok(()) } else { Err(denied(place)) }
}

/// What must not be readable inside, for it tells of the host or reaches it.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// What must not be writable inside.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

impl Policy {
    /// Whether a container may be made from this configuration.
    ///
    /// # Errors
    /// [`RefusalCode::Policy`] with the JSON path of the first thing that is not allowed.
    pub fn check(&self, config: &ValidConfig, features: &Features) -> Verdict {
        let linux = &config.linux;
        self.check_root(config)?;
        self.check_process(&config.process, linux)?;
        for (index, mount) in config.mounts.iter().enumerate() {
            self.check_mount(index, mount)?;
        }
        self.check_hooks(config)?;
        for name in config.annotations.keys() {
            require(
                self.annotations.iter().any(|glob| glob.holds(name)),
                format_args!("annotations.{name}"),
            )?;
        }
        self.check_namespaces(linux)?;
        self.check_maps(linux)?;
        self.check_devices(linux)?;
        let group = linux.cgroups_path.is_none() || self.allow.contains(Allow::GROUP_PATH);
        require(group, "linux.cgroupsPath")?;
        for name in linux.sysctl.keys() {
            require(self.sysctls.iter().any(|glob| glob.holds(name)), format_args!("linux.sysctl.{name}"))?;
        }
        self.check_seccomp(linux, features)?;
        self.check_masks(config)
    }

    /// Whether a process may be started as this user, in a container that was made under this policy.
    ///
    /// # Errors
    /// [`RefusalCode::Policy`] naming `user`.
    pub fn check_user(&self, linux: &OciLinuxConfig, uid: u32, gid: u32) -> Verdict {
        let refuse = |what, id| Err(Refusal::new(RefusalCode::Policy, format_args!("user: {what} {id}")));
        if !self.may_be(linux, Which::User, uid) {
            return refuse("uid", uid);
        }
        if self.may_be(linux, Which::Group, gid) { Ok(()) } else { refuse("gid", gid) }
    }

    /// Where the source of this bind mount must lie, whatever links are on the way, and its path from there.
    /// [`Policy::check`] has said that it may be mounted.
    pub(crate) fn bind_source(&self, mount: &OciMount) -> (Within, String) {
        let source = mount.source.as_deref().unwrap_or_default();
        let everything = self.binds.iter().any(|rule| rule.what.path() == "/");
        let Some(what) = Tree::new(source) else {
            return (if everything { Within::Host } else { Within::Bundle }, String::from(source));
        };
        let wanted = Mountable { what, access: access_of(mount) };
        let trees = self.binds.iter().filter(|rule| rule.covers(&wanted)).map(|rule| rule.what.path());
        match trees.min_by_key(|path| path.len()) {
            Some("/") | None => (Within::Host, String::from(source)),
            Some(directory) => {
                let rest = wanted.what.path().strip_prefix(directory).unwrap_or_default();
                (Within::Directory(String::from(directory)), String::from(rest.trim_start_matches('/')))
            }
        }
    }

    fn check_root(&self, config: &ValidConfig) -> Verdict {
        let everything = self.binds.iter().any(|rule| rule.what.path() == "/");
        require(
            everything || !config.root.path.starts_with('/'),
            format_args!("root.path: {}", config.root.path),
        )?;
        let writable = self.allow.contains(Allow::WRITABLE_ROOT);
        require(config.root.readonly || writable, "root.readonly: is not true")?;
        let shared = config.linux.rootfs_propagation.is_some_and(|p| p.propagation == Propagation::Shared);
        require(!shared || self.allow.contains(Allow::SHARED_MOUNTS), "linux.rootfsPropagation: shared")
    }

    fn check_process(&self, process: &OciProcess, linux: &OciLinuxConfig) -> Verdict {
        let user = &process.user;
        let uid = self.may_be(linux, Which::User, user.uid);
        require(uid, format_args!("process.user.uid: {}", user.uid))?;
        let gid = self.may_be(linux, Which::Group, user.gid);
        require(gid, format_args!("process.user.gid: {}", user.gid))?;
        for (index, gid) in user.additional_gids.iter().enumerate() {
            let may = self.may_be(linux, Which::Group, *gid);
            require(may, format_args!("process.user.additionalGids[{index}]: {gid}"))?;
        }
        if let Some(sets) = process.capabilities.as_deref() {
            for (name, set) in [
                ("bounding", sets.bounding),
                ("effective", sets.effective),
                ("inheritable", sets.inheritable),
                ("permitted", sets.permitted),
                ("ambient", sets.ambient),
            ] {
                let more = set.without(OciCapabilitySet::from_bits_truncate(self.capabilities));
                if let Some(capability) = more.names().next() {
                    return Err(denied(format_args!("process.capabilities.{name}: {capability}")));
                }
            }
        }
        let gain = self.allow.contains(Allow::NEW_PRIVILEGES);
        require(process.no_new_privileges || gain, "process.noNewPrivileges: is not true")?;
        let score = process.oom_score_adj.is_none_or(|score| score >= 0);
        require(score || self.allow.contains(Allow::OOM_PROTECTION), "process.oomScoreAdj: is below 0")?;
        self.check_rlimits(process)
    }

    /// Every kind with a ceiling must be set, for what is not set is the server's own.
    fn check_rlimits(&self, process: &OciProcess) -> Verdict {
        for (kind, ceiling) in bailiwick_kernel_glue::plan::RLIMITS.iter().zip(self.rlimits) {
            let Some(ceiling) = ceiling else { continue };
            let found = process.rlimits.iter().enumerate().find(|(_, limit)| limit.kind.as_str() == *kind);
            match found {
                None => {
                    return Err(denied(format_args!(
                        "process.rlimits: {kind} is missing, at most {ceiling}"
                    )));
                }
                Some((index, limit)) => require(
                    limit.hard <= ceiling,
                    format_args!("process.rlimits[{index}].hard: {kind} {} of at most {ceiling}", limit.hard),
                )?,
            }
        }
        Ok(())
    }

    /// Whether a process may have this id: as it is inside and, where that is known, outside.
    fn may_be(&self, linux: &OciLinuxConfig, which: Which, id: u32) -> bool {
        let (inside, outside) = match which {
            Which::User => (&self.uids, &self.host_uids),
            Which::Group => (&self.gids, &self.host_gids),
        };
        // In a new user namespace it is the maps that say who one is outside; in one that is joined, the maps of
        // the container it came from, which were checked when that was made. Any other may be the host's.
        let host = linux.namespace(OciNamespaceKind::User).is_none_or(|namespace| {
            namespace.path.as_deref().is_some_and(|path| joined(path, Namespace::User).is_none())
        });
        inside.covers(&Ids::one(id)) && (!host || outside.covers(&Ids::one(id)))
    }

    fn check_maps(&self, linux: &OciLinuxConfig) -> Verdict {
        for (name, maps, allowed) in [
            ("uidMappings", &linux.uid_mappings, &self.host_uids),
            ("gidMappings", &linux.gid_mappings, &self.host_gids),
        ] {
            for (index, map) in maps.iter().enumerate() {
                let ids =
                    Ids { first: map.host_id, last: map.host_id.saturating_add(map.size.saturating_sub(1)) };
                require(allowed.covers(&ids), format_args!("linux.{name}[{index}].hostID: {ids}"))?;
            }
        }
        Ok(())
    }

    fn check_namespaces(&self, linux: &OciLinuxConfig) -> Verdict {
        for kind in Namespace::ALL {
            let entry = linux.namespaces.iter().enumerate().find(|(_, n)| Namespace::from(n.kind) == kind);
            match entry.map(|(index, namespace)| (index, namespace.path.as_deref())) {
                Some((_, None)) => {}
                Some((index, Some(path))) => {
                    let allowed = match joined(path, kind) {
                        Some(_) => self.join.holds(kind),
                        None => self.allow.contains(Allow::NAMESPACE_PATHS),
                    };
                    require(allowed, format_args!("linux.namespaces[{index}].path: {path}"))?;
                }
                None => {
                    let place = format_args!("linux.namespaces: no new {} namespace", kind.as_str());
                    require(self.host.holds(kind), place)?;
                }
            }
        }
        Ok(())
    }

    fn check_devices(&self, linux: &OciLinuxConfig) -> Verdict {
        if self.devices.covers(&Devices { kind: None, major: None, minor: None }) {
            return Ok(());
        }
        for (index, device) in linux.devices.iter().enumerate() {
            let kind = match device.kind {
                OciDeviceKind::Character | OciDeviceKind::Unbuffered => DeviceKind::Character,
                OciDeviceKind::Block => DeviceKind::Block,
                OciDeviceKind::Fifo => continue,
            };
            let (major, minor) = (device.major.unwrap_or(0), device.minor.unwrap_or(0));
            let wanted = Devices { kind: Some(kind), major: Some(major), minor: Some(minor) };
            require(self.devices.covers(&wanted), format_args!("linux.devices[{index}]: {wanted}"))?;
        }
        let rules = linux.resources.as_deref().map_or(&[][..], |resources| &resources.devices);
        let closed = rules.first().is_some_and(denies_all);
        require(closed, "linux.resources.devices: does not begin with a rule that denies all devices")?;
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.allow.0 == DeviceAccess::Allow)
        {
            let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
            let (kind, major, minor) = (rule_kind(rule), number(rule.major), number(rule.minor));
            let wanted = Devices { kind, major, minor };
            require(
                self.devices.covers(&wanted),
                format_args!("linux.resources.devices[{index}]: {wanted}"),
            )?;
        }
        Ok(())
    }

    fn check_mount(&self, index: usize, mount: &OciMount) -> Verdict {
        let shared = mount
            .parsed_options()
            .any(|option| matches!(option, MountOption::Propagation(Propagation::Shared, _)));
        let place = format_args!("mounts[{index}].options: shared");
        require(!shared || self.allow.contains(Allow::SHARED_MOUNTS), place)?;
        let access = access_of(mount);
        if mount.is_bind() {
            return self.check_bind(index, mount.source.as_deref().unwrap_or_default(), access);
        }
        let kind = mount.mount_type.as_deref().unwrap_or_default();
        let fits = |asked| self.file_systems.iter().any(|rule| rule.what.holds(kind) && rule.access >= asked);
        require(fits(Access::ReadOnly), format_args!("mounts[{index}].type: {kind}"))?;
        require(fits(access), format_args!("mounts[{index}].options: {kind} is not mounted ro"))?;
        // Elsewhere the masks would not reach it.
        let destination = mount.destination.trim_end_matches('/');
        let at_home = match kind {
            "proc" => destination == "/proc",
            "sysfs" => destination == "/sys",
            _ => true,
        };
        let place = format_args!("mounts[{index}].destination: {kind} on {}", mount.destination);
        require(at_home || self.allow.contains(Allow::UNMASKED_PROC), place)
    }

    /// A source that is relative lies in the bundle, which its giver had the right to give.
    fn check_bind(&self, index: usize, source: &str, access: Access) -> Verdict {
        if !source.starts_with('/') {
            return Ok(());
        }
        let covered = |access| {
            let wanted = Tree::new(source).map(|what| Mountable { what, access });
            // A path with `..` in it is anywhere.
            let anywhere = |rule: &Mountable<Tree>| rule.what.path() == "/" && rule.access >= access;
            wanted.map_or_else(|| self.binds.iter().any(anywhere), |wanted| self.binds.covers(&wanted))
        };
        require(covered(Access::ReadOnly), format_args!("mounts[{index}].source: {source}"))?;
        require(covered(access), format_args!("mounts[{index}].options: {source} is not mounted ro"))
    }

    fn check_hooks(&self, config: &ValidConfig) -> Verdict {
        for (kind, list) in config.hooks.lists() {
            for (index, hook) in list.iter().enumerate() {
                let allowed = Tree::new(&hook.path).is_some_and(|tree| self.hooks.covers(&tree));
                require(allowed, format_args!("hooks.{}[{index}].path: {}", kind.as_str(), hook.path))?;
            }
        }
        Ok(())
    }

    fn check_seccomp(&self, linux: &OciLinuxConfig, features: &Features) -> Verdict {
        let needed = match self.filter {
            Filter::Required => true,
            Filter::WherePossible => features.features.contains(Feature::SECCOMP),
            Filter::Optional => false,
        };
        let filters = linux.seccomp.as_deref().map(|seccomp| {
            let passes = |action| matches!(action, OciSeccompAction::Allow | OciSeccompAction::Log);
            !passes(seccomp.default_action) || seccomp.syscalls.iter().any(|rule| !passes(rule.action))
        });
        match filters {
            _ if !needed => Ok(()),
            None => Err(denied("linux.seccomp: is missing")),
            Some(filters) => require(filters, "linux.seccomp: lets every call through"),
        }
    }

    fn check_masks(&self, config: &ValidConfig) -> Verdict {
        if self.allow.contains(Allow::UNMASKED_PROC) {
            return Ok(());
        }
        let mounted = |path: &str| {
            let kind = if path.starts_with("/proc/") { "proc" } else { "sysfs" };
            config.mounts.iter().any(|mount| mount.mount_type.as_deref() == Some(kind))
        };
        let missing = |wanted: &[&'static str], listed: &[String]| {
            wanted.iter().copied().find(|path| mounted(path) && !listed.iter().any(|have| have == path))
        };
        if let Some(path) = missing(&MASKED, &config.linux.masked_paths) {
            return Err(denied(format_args!("linux.maskedPaths: {path} is missing")));
        }
        match missing(&READ_ONLY, &config.linux.readonly_paths) {
            Some(path) => Err(denied(format_args!("linux.readonlyPaths: {path} is missing"))),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    User,
    Group,
}

fn rule_kind(rule: &OciDeviceRule) -> Option<DeviceKind> {
    match rule.kind {
        None | Some(OciDeviceRuleKind::All) => None,
        Some(OciDeviceRuleKind::Character) => Some(DeviceKind::Character),
        Some(OciDeviceRuleKind::Block) => Some(DeviceKind::Block),
    }
}

fn denies_all(rule: &OciDeviceRule) -> bool {
    let any = |n: Option<i64>| n.is_none_or(|n| n < 0);
    let letters = rule.access.as_deref().is_none_or(|access| "rwm".chars().all(|c| access.contains(c)));
    rule.allow.0 == DeviceAccess::Deny
        && rule_kind(rule).is_none()
        && any(rule.major)
        && any(rule.minor)
        && letters
}

/// Whether nothing of what is mounted can be written: of each kind the last word counts, and the words for the whole
/// tree after the others. What a tree brings along is not covered by `ro`.
fn access_of(mount: &OciMount) -> Access {
    let (mut own, mut tree, mut reach) = (false, None, Reach::One);
    for option in mount.parsed_options() {
        match option {
            MountOption::Set(MountFlags::RDONLY) => own = true,
            MountOption::Clear(MountFlags::RDONLY) => own = false,
            MountOption::TreeSet(MountFlags::RDONLY) => tree = Some(true),
            MountOption::TreeClear(MountFlags::RDONLY) => tree = Some(false),
            MountOption::Bind(Reach::Tree) => reach = Reach::Tree,
            _ => {}
        }
    }
    if tree.unwrap_or(own && reach == Reach::One) { Access::ReadOnly } else { Access::ReadWrite }
}
