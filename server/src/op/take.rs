//! `Take`: a capability that was stored with the container.

use super::stays;
use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{Reply, Take};
use bailiwick_protocol::rights::Rights;

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    take: Take<'_>,
) -> Outcome<'m> {
    let manager = world.manager;
    let (_, record) = manager.container(&call)?;
    stays(record)?;
    let not_there = || Refusal::new(RefusalCode::NotFound, take.name);
    let badge = ContainerId::new(take.name).ok().and_then(|name| record.stored.get(&name).copied());
    let badge = badge.ok_or_else(not_there)?;
    // One that was taken back is not there.
    let found = manager.grants.resolve(badge, || world.glue.now()).map_err(|_| not_there())?;
    if !manager.exists(found.object) {
        return Err(not_there().into());
    }
    let derived = manager.grant(badge, found.object, Rights::all())?;
    Ok(Answer::Capability(Reply::Done, derived.badge))
}
