//! `Update`: other limits of a container that is there.

use super::{bad_value, fault, idle};
use crate::manager::{Answer, Call, Outcome, World, kernel_key, quota};
use crate::oci::{ConfigError, OciResources};
use crate::plan;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{ErrorReply, KernelFault, Refusal, RefusalCode};
use bailiwick_protocol::message::{EventKind, Reply, Status, Update};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    update: Update<'_>,
) -> Outcome<'m> {
    let World { manager, glue, port } = world;
    let (handle, record) = manager.container(&call)?;
    idle(record)?;
    if let status @ (Status::Creating | Status::Stopped) = record.oci.state().status() {
        return Err(Refusal::new(RefusalCode::State, format_args!("the container is {status}")).into());
    }
    let (old, payer) = (record.resources.clone(), record.factory);
    let asked = read(update.resources)?;
    let new = plan::update(&asked, &old, &glue.features())?;
    let factory = manager.factories.get(payer).ok_or(RefusalCode::NotFound)?;
    quota::bounded(&new, &factory.quota, "resources.json: ")?;
    let (before, after) = (quota::reserved(&old), quota::reserved(&new));
    let more = after.minus(before);
    manager.check_quota(payer, &more)?;
    if asked.memory.is_some_and(|memory| memory.check_before_update) {
        let used = glue.statistics(kernel_key(handle)).map_err(|errno| fault(errno, "statistics"))?.memory;
        if new.memory.is_some_and(|limit| limit < used) {
            return Err(bad_value(format_args!("resources.json: memory.limit: {used} bytes are in use")));
        }
    }
    manager.charge(payer, &more);
    if let Err(fault) = glue.update(kernel_key(handle), &new) {
        manager.discharge(payer, &more);
        return Err(KernelFault::from(fault).into());
    }
    manager.discharge(payer, &before.minus(after));
    if let Some(record) = manager.containers.get_mut(handle) {
        record.resources = new;
    }
    manager.tell(glue, port, handle, EventKind::Updated);
    Ok(Answer::Reply(Reply::Done))
}

fn read(text: &str) -> Result<OciResources, ErrorReply> {
    let checked = |text| -> Result<OciResources, ConfigError> {
        let resources = OciResources::parse(text)?;
        resources.validate()?;
        Ok(resources)
    };
    Ok(checked(text).map_err(Refusal::from)?)
}
