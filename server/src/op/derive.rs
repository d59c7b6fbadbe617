//! `Derive`: a narrower grant on the same object.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Derive, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    derive: Derive,
) -> Outcome<'m> {
    let badge = world.manager.grant(call.parked.badge, call.object, derive.rights)?;
    Ok(Answer::Capability(Reply::Done, badge))
}
