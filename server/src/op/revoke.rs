//! `Revoke`: ends everything derived from the caller's capability.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::Reply;

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    world.manager.revoke(world.glue, world.port, call.parked.badge)?;
    Ok(Answer::Reply(Reply::Done))
}
