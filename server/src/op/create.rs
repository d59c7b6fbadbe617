//! `Create`: from a bundle to a container whose first process waits at the gate.

use crate::container::OciContainer;
use crate::manager::{
    Answer, Call, ContainerHandle, Execution, FactoryHandle, Manager, Object, Outcome, Parked, Record, Watch,
    Work, World, kernel_key, quota,
};
use crate::oci::{CONFIG_MAX, ValidConfig};
use crate::plan;
use crate::policy::Policy;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use bailiwick_kernel_glue::plan::Resources;
use bailiwick_kernel_glue::{BundleError, KernelGlue, Plan, Port, Progress};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::id::{Badge, ContainerId};
use bailiwick_protocol::message::{Create, EventKind, Nanos};
use bailiwick_protocol::quota::Amounts;
use bailiwick_protocol::rights::Rights;

/// Longest path of a bundle that is kept, in bytes, and longest `ociVersion`: with both, a state fits its frame.
const BUNDLE_MAX: usize = 2048;
const VERSION_MAX: usize = 64;

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    create: Create<'_>,
    directory: Option<G::Directory>,
) -> Outcome<'m> {
    let World { manager, glue, port } = world;
    match prepare(manager, glue, &call, &create, directory) {
        Ok(ready) => {
            carry_out(manager, glue, port, ready, call.parked);
            Ok(Answer::Taken)
        }
        Err(error) => {
            tell_refused(manager, glue, port, &call, &create, &error);
            Err(error)
        }
    }
}

/// A record, its grant, and what the kernel is to do for them.
struct Ready<D> {
    handle: ContainerHandle,
    grant: Badge,
    directory: D,
    plan: Arc<Plan>,
}

/// Everything that can be refused.
fn prepare<G: KernelGlue>(
    manager: &mut Manager,
    glue: &mut G,
    call: &Call,
    create: &Create<'_>,
    directory: Option<G::Directory>,
) -> Result<Ready<G::Directory>, ErrorReply> {
    let (factory, id) = admit(manager, call, create)?;
    let directory = directory.ok_or_else(no_directory)?;
    let config = read_config(manager, glue, &directory)?;
    let group = group_of(manager, factory, &id);
    let request =
        plan::Request { id: id.as_str(), bundle: create.bundle, group: &group, stdio: create.stdio };
    let policy = manager.factory(call)?.1.policy.clone();
    let mut plan = manager.plans.plan(&config, &glue.features(), &policy, &request)?;
    if plan::joins(&plan) {
        join(manager, factory, Arc::make_mut(&mut plan))?;
    }
    let cost = cost(manager, factory, &plan)?;
    let resources = plan.resources().clone();
    let made = Made { id, factory, config, policy, resources, cost };
    let (handle, grant) = enter(manager, call, made, create, glue.now())?;
    Ok(Ready { handle, grant, directory, plan })
}

/// Tells of a refused creation under an id that could have been one.
fn tell_refused<G: KernelGlue, P: Port>(
    manager: &mut Manager,
    glue: &mut G,
    port: &mut P,
    call: &Call,
    create: &Create<'_>,
    error: &ErrorReply,
) {
    if let (Ok(id), Object::Factory(factory), ErrorReply::Refusal(refusal)) =
        (ContainerId::new(create.id), call.object(), error)
    {
        manager.tell_factories(glue, port, factory, &Arc::new(id), EventKind::Refused(refusal.code));
    }
}

/// Everything that can be checked without the bundle.
fn admit(
    manager: &Manager,
    call: &Call,
    create: &Create<'_>,
) -> Result<(FactoryHandle, ContainerId), ErrorReply> {
    let id = ContainerId::new(create.id).map_err(|fault| Refusal::new(RefusalCode::BadId, fault))?;
    if create.bundle.len() > BUNDLE_MAX || create.bundle.contains('\0') {
        return Err(super::bad_value(format_args!("bundle: longer than {BUNDLE_MAX} bytes, or a NUL in it")));
    }
    let (handle, factory) = manager.factory(call)?;
    if factory.ids.contains_key(&id) {
        return Err(Refusal::new(RefusalCode::Exists, id).into());
    }
    let least = quota::container(create.stdio, &Resources::default()).plus(quota::CAPABILITY);
    manager.check_quota(handle, &least)?;
    Ok((handle, id))
}

/// Puts the processes of other containers of the factory where the configuration names containers.
pub(super) fn join(manager: &Manager, factory: FactoryHandle, plan: &mut Plan) -> Result<(), ErrorReply> {
    let ids = manager.factories.get(factory).map(|factory| &factory.ids);
    let pid_of = |id: &str| {
        let handle = ids?.get(&ContainerId::new(id).ok()?)?;
        manager.containers.get(*handle)?.joined_pid()
    };
    Ok(plan::join(plan, pid_of)?)
}

/// What the container costs, all of which must fit.
fn cost(manager: &Manager, handle: FactoryHandle, plan: &Plan) -> Result<Amounts, ErrorReply> {
    let factory = manager.factories.get(handle).ok_or(RefusalCode::NotFound)?;
    quota::bounded(plan.resources(), &factory.quota, "config.json: linux.resources.")?;
    let cost = quota::container(plan.stdio, plan.resources());
    // There was room for its capability when it was admitted, and nothing was charged since.
    manager.check_quota(handle, &cost)?;
    Ok(cost)
}

pub(super) fn no_directory() -> ErrorReply {
    Refusal::new(RefusalCode::BadBundle, "the capability beside the call: not a directory").into()
}

/// Reads and checks the bundle's configuration, which containers of the bundle share.
pub(super) fn read_config<G: KernelGlue>(
    manager: &mut Manager,
    glue: &mut G,
    directory: &G::Directory,
) -> Result<Arc<ValidConfig>, ErrorReply> {
    let bad_bundle = |fault: &str| Refusal::new(RefusalCode::BadBundle, format_args!("config.json: {fault}"));
    let bytes = glue.read_bundle(directory, "config.json", CONFIG_MAX).map_err(|error| match error {
        BundleError::TooLarge => bad_bundle("larger than 1 MiB"),
        BundleError::NotAFile => bad_bundle("not a file inside the bundle"),
        BundleError::Errno(errno) => bad_bundle(&errno.to_string()),
    })?;
    manager.configs.get(bytes, check_config)
}

fn check_config(bytes: &[u8]) -> Result<ValidConfig, ErrorReply> {
    let bad_config = |fault: &dyn core::fmt::Display| Refusal::new(RefusalCode::BadConfig, fault);
    let text = core::str::from_utf8(bytes).map_err(|error| {
        bad_config(&format_args!("config.json: not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    let config = ValidConfig::parse(text).map_err(|error| bad_config(&error))?;
    if config.oci_version.len() > VERSION_MAX {
        let fault = format_args!("config.json: ociVersion: longer than {VERSION_MAX} bytes");
        return Err(Refusal::new(RefusalCode::BadConfig, fault).into());
    }
    Ok(config)
}

/// The resource group of a container whose configuration names none. Below the root factory it is called like the
/// container; elsewhere the factory's own number stands behind, in characters that no id has.
fn group_of(manager: &Manager, factory: FactoryHandle, id: &ContainerId) -> String {
    match manager.factories.get(factory).and_then(|factory| factory.parent) {
        Some(_) => format!("{id}@{factory:?}"),
        None => id.to_string(),
    }
}

/// What a record is made of.
struct Made {
    id: ContainerId,
    factory: FactoryHandle,
    config: Arc<ValidConfig>,
    policy: Arc<Policy>,
    resources: Resources,
    cost: Amounts,
}

/// Makes the record, with its charge and the grant that will be handed out.
fn enter(
    manager: &mut Manager,
    call: &Call,
    made: Made,
    create: &Create<'_>,
    now: Nanos,
) -> Result<(ContainerHandle, Badge), ErrorReply> {
    let Made { id, factory, config, policy, resources, cost } = made;
    let id = Arc::new(id);
    let record = Record {
        oci: OciContainer::new(id.clone(), create.bundle.to_string(), config).at(now),
        name: id.clone(),
        factory,
        policy,
        resources,
        work: Work::Idle,
        pid: None,
        told: None,
        first: Execution::new(create.stdio),
        execs: BTreeMap::new(),
        watch: Watch::new(),
        next_exec: 0,
        stored: BTreeMap::new(),
    };
    let full = |_| Refusal::new(RefusalCode::Full, "containers");
    let handle = manager.containers.insert(record).map_err(full)?;
    match manager.grant(call.parked.badge, Object::Container(handle), Rights::CONTAINER) {
        Ok(derived) => {
            manager.admit(factory, id, handle, &cost);
            Ok((handle, derived.badge))
        }
        Err(refusal) => {
            manager.containers.remove(handle);
            Err(refusal.into())
        }
    }
}

fn carry_out<G: KernelGlue, P: Port>(
    manager: &mut Manager,
    glue: &mut G,
    port: &mut P,
    ready: Ready<G::Directory>,
    call: Parked,
) {
    let Ready { handle, grant, directory, plan } = ready;
    if let Some(record) = manager.containers.get_mut(handle) {
        record.work = Work::Creating { call: Some(call), grant };
    }
    match glue.prepare(kernel_key(handle), directory, &plan) {
        Progress::Done(result) => manager.prepared(glue, port, handle, result),
        Progress::Later => {}
    }
}
