//! `Sync`: answered once everything that was revoked before is swept, everywhere.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    world.manager.sync(world.port, call.parked);
    Ok(Answer::Taken)
}
