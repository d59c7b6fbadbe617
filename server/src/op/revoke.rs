//! `Revoke` and `RevokeOne`: end what was derived from the caller's capability.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::{Reply, RevokeOne};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    world.manager.revoke(world.glue, world.port, call.parked.badge);
    Ok(Answer::Reply(Reply::Done))
}

pub(super) fn run_one<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    one: &RevokeOne,
) -> Outcome<'m> {
    // The caller's own capability is not one that was derived from it.
    let path = one.path.as_slice();
    if path.is_empty() {
        return Err(RefusalCode::NotFound.into());
    }
    world.manager.revoke_one(world.glue, world.port, call.parked.badge, path)?;
    Ok(Answer::Reply(Reply::Done))
}
