//! The planner: from a checked configuration to the list of kernel steps. A pure function.
//!
//! ```text
//!   ValidConfig ─┐
//!   Features ────┼─► refuse what the kernel lacks, by name ─► Plan { create, start, poststart, poststop }
//!   Policy ──────┘   and what the factory does not allow
//! ```
//!
//! What the plan has no step for is refused with its JSON path (`refuse`), never left out in silence. Then the
//! steps follow one order for every kernel: group, namespaces, id maps, clocks; the new root and what is mounted
//! and made in it (`mounts`, `devices`); hooks; `pivot_root`; what needs the final root; the process itself
//! (`process`).

mod devices;
mod filter;
mod join;
mod known;
mod mounts;
mod process;
mod refuse;
mod resources;
mod text;

pub(crate) use join::{join, joined, joins};
pub(crate) use known::KnownPlans;
pub use process::exec_plan;
pub use resources::update;
pub use text::{Text, page};

use crate::oci::{OciHook, OciLinuxConfig, OciNamespaceKind, ValidConfig};
use crate::policy::Policy;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{
    Features, Hook, HookKind, HookState, IdMap, Namespace, NamespaceSource, Plan, Propagation, Step,
};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::Stdio;
use core::fmt;

/// Where the old root is put until it is unmounted, seen from the new one. `pivot_root(".", ".")` stacks it on the
/// new root itself (pivot_root(2), NOTES), so nothing has to exist inside for it.
pub const OLD_ROOT: &str = "/";

/// What a plan is made for, beside the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle's path, as hooks are told.
    pub bundle: &'a str,
    /// Its resource group, unless the configuration names one.
    pub group: &'a str,
    /// Where its standard streams go.
    pub stdio: Stdio,
}

/// Names a place in the configuration.
fn place(path: impl fmt::Display) -> String {
    format!("config.json: {path}")
}

fn unsupported(path: impl fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::Unsupported, place(path))
}

fn bad_config(fault: impl fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::BadConfig, place(fault))
}

/// The plan of a container.
///
/// # Errors
/// [`RefusalCode::Unsupported`], [`RefusalCode::Policy`] or [`RefusalCode::BadConfig`] with the JSON path of the
/// first thing that cannot be; [`RefusalCode::BadValue`] if terminal and `request.stdio` do not go together.
pub fn plan(
    config: &ValidConfig,
    features: &Features,
    policy: &Policy,
    request: &Request<'_>,
) -> Result<Plan, Refusal> {
    let mut plan = common(config, features, policy, request.stdio)?;
    complete(&mut plan, config, request);
    Ok(plan)
}

/// What is the same in the plan of every container of this configuration.
fn common(config: &ValidConfig, features: &Features, policy: &Policy, stdio: Stdio) -> Result<Plan, Refusal> {
    policy.check(config, features)?;
    refuse::what_no_step_can_do(config, features)?;
    refuse::streams(config, features, stdio)?;
    let hooks = |kind| hooks(config, kind);
    Ok(Plan {
        create: create_steps(config, features, policy)?,
        start: hooks(HookKind::StartContainer),
        poststart: hooks(HookKind::Poststart),
        poststop: hooks(HookKind::Poststop),
        state: HookState {
            oci_version: config.oci_version.clone(),
            id: String::new(),
            bundle: String::new(),
            annotations: config.annotations.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        },
        stdio,
    })
}

/// Puts in what is a container's own.
fn complete(plan: &mut Plan, config: &ValidConfig, request: &Request<'_>) {
    request.id.clone_into(&mut plan.state.id);
    request.bundle.clone_into(&mut plan.state.bundle);
    if let (Some(Step::ResourceGroup { path, .. }), None) =
        (plan.create.first_mut(), &config.linux.cgroups_path)
    {
        request.group.clone_into(path);
    }
}

fn create_steps(config: &ValidConfig, features: &Features, policy: &Policy) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    steps.push(resources::group(&config.linux, features)?);
    namespaces(&config.linux, features, &mut steps)?;
    clocks(&config.linux, features, &mut steps)?;
    let old_tree = config.linux.rootfs_propagation.map_or(Propagation::Slave, |p| match p.propagation {
        // What cannot be bind-mounted could not become the new root.
        Propagation::Unbindable => Propagation::Private,
        other => other,
    });
    steps.push(Step::Root { path: config.root.path.clone(), propagation: old_tree });
    mounts::steps(&config.mounts, features, policy, &mut steps)?;
    devices::steps(config, features, &mut steps)?;
    for kind in [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer] {
        steps.extend(hooks(config, kind).into_iter().map(Step::Hook));
    }
    steps.push(Step::PivotRoot { new: config.root.path.clone(), old: String::from(OLD_ROOT) });
    names(config, &mut steps)?;
    sysctls(&config.linux, features, &mut steps)?;
    steps.extend(config.linux.readonly_paths.iter().cloned().map(Step::ReadonlyPath));
    steps.extend(config.linux.masked_paths.iter().cloned().map(Step::Mask));
    steps.extend(config.linux.rootfs_propagation.map(|p| Step::RootPropagation(p.propagation)));
    steps.extend(config.root.readonly.then_some(Step::ReadonlyRoot));
    process::steps(&config.process, config.linux.seccomp.as_deref(), features, &mut steps)?;
    Ok(steps)
}

fn namespaces(linux: &OciLinuxConfig, features: &Features, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    if !linux.is_new(OciNamespaceKind::Mount) {
        return Err(unsupported("linux.namespaces: a container without a new mount namespace"));
    }
    let mut list = Vec::new();
    for kind in Namespace::ALL {
        let found = linux.namespaces.iter().enumerate().find(|(_, n)| Namespace::from(n.kind) == kind);
        let Some((index, namespace)) = found else { continue };
        if !features.namespaces.contains(&kind) {
            return Err(unsupported(format_args!("linux.namespaces[{index}]: {}", kind.as_str())));
        }
        list.push((kind, namespace.path.clone().map_or(NamespaceSource::New, NamespaceSource::Path)));
    }
    steps.push(Step::Namespaces(list));
    id_maps(linux, steps)
}

fn id_maps(linux: &OciLinuxConfig, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    let maps = [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)];
    if !linux.is_new(OciNamespaceKind::User) {
        return match maps.iter().find(|(_, list)| !list.is_empty()) {
            Some((name, _)) => {
                Err(bad_config(format_args!("linux.{name}: there is no new user namespace to map ids of")))
            }
            None => Ok(()),
        };
    }
    let mut lists = [Vec::new(), Vec::new()];
    for ((name, mappings), list) in maps.iter().zip(&mut lists) {
        if mappings.is_empty() {
            return Err(bad_config(format_args!("linux.{name}: is missing, and the user namespace is new")));
        }
        for (index, m) in mappings.iter().enumerate() {
            let fits = |first: u32| first.checked_add(m.size).is_some();
            if m.size == 0 || !fits(m.container_id) || !fits(m.host_id) {
                return Err(bad_config(format_args!(
                    "linux.{name}[{index}].size: {} ids do not fit",
                    m.size
                )));
            }
            list.push(IdMap { inside: m.container_id, outside: m.host_id, count: m.size });
        }
    }
    let [users, groups] = lists;
    steps.push(Step::IdMaps { users, groups });
    Ok(())
}

fn clocks(linux: &OciLinuxConfig, features: &Features, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    for (clock, offset) in &linux.time_offsets {
        let path = format_args!("linux.timeOffsets.{clock}").to_string();
        refuse::need(features, refuse::Feature::TIME_OFFSETS, &path)?;
        if !linux.is_new(OciNamespaceKind::Time) {
            return Err(bad_config(format_args!("{path}: there is no new time namespace to set it in")));
        }
        steps.push(Step::TimeOffset {
            clock: clock.clone(),
            seconds: offset.secs.unwrap_or(0),
            nanoseconds: offset.nanosecs.unwrap_or(0),
        });
    }
    Ok(())
}

/// Host and domain name. The server's own are not a container's to change.
fn names(config: &ValidConfig, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    let own = config.linux.namespace(OciNamespaceKind::Uts).is_some();
    let foreign = |name| bad_config(format_args!("{name}: there is no uts namespace to set it in"));
    if let Some(hostname) = &config.hostname {
        own.then_some(()).ok_or_else(|| foreign("hostname"))?;
        steps.push(Step::Hostname(hostname.clone()));
    }
    if let Some(domainname) = &config.domainname {
        own.then_some(()).ok_or_else(|| foreign("domainname"))?;
        steps.push(Step::Domainname(domainname.clone()));
    }
    Ok(())
}

/// Kernel parameters: only those that belong to a namespace which the container does not share with the server.
fn sysctls(linux: &OciLinuxConfig, features: &Features, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    for (key, value) in &linux.sysctl {
        let name = key.replace('/', ".");
        let known = |rule: &&str| **rule == name || (rule.ends_with('.') && name.starts_with(*rule));
        if !features.sysctls.iter().any(known) {
            return Err(unsupported(format_args!("linux.sysctl.{key}")));
        }
        let kind = match name.split('.').next() {
            Some("net") => OciNamespaceKind::Network,
            _ if matches!(name.as_str(), "kernel.hostname" | "kernel.domainname") => OciNamespaceKind::Uts,
            _ => OciNamespaceKind::Ipc,
        };
        if linux.namespace(kind).is_none() {
            return Err(bad_config(format_args!(
                "linux.sysctl.{key}: there is no {kind} namespace to set it in"
            )));
        }
        steps.push(Step::Sysctl { name, value: value.clone() });
    }
    Ok(())
}

fn hooks(config: &ValidConfig, kind: HookKind) -> Vec<Hook> {
    let lists = config.hooks.lists();
    let list = lists.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, list)| *list);
    list.iter().map(|hook| plan_hook(kind, hook)).collect()
}

fn plan_hook(kind: HookKind, hook: &OciHook) -> Hook {
    let path = hook.path.clone();
    let args = if hook.args.is_empty() { Vec::from([path.clone()]) } else { hook.args.clone() };
    Hook { kind, path, args, env: hook.env.clone(), timeout: hook.timeout_secs }
}
