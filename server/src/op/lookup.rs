//! `Lookup`: a capability on a container of the factory, by its id.

use crate::manager::{Answer, Call, Object, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{Lookup, Reply};
use bailiwick_protocol::rights::Rights;

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    lookup: Lookup<'_>,
) -> Outcome<'m> {
    let manager = world.manager;
    let (_, factory) = manager.factory(&call)?;
    // An id that cannot exist is not there, like any other.
    let found = ContainerId::new(lookup.id).ok().and_then(|id| factory.ids.get(&id).copied());
    let handle = found.ok_or(Refusal::new(RefusalCode::NotFound, lookup.id))?;
    let mask = lookup.rights.restrict(Rights::CONTAINER);
    let derived = manager.grant(call.parked.badge, Object::Container(handle), mask)?;
    Ok(Answer::Capability(Reply::Done, derived.badge))
}
