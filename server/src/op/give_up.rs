//! `Drop`: gives the caller's capability up, every copy of it.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::Reply;

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let badge = call.parked.badge;
    // Answered first: what follows kills the capability the answer belongs to.
    call.parked.reply(world.port, &Reply::Done);
    world.manager.closed(world.glue, world.port, badge);
    Ok(Answer::Taken)
}
