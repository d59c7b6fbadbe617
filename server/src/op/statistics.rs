//! `Statistics`: what the container uses and has used.

use super::{fault, idle};
use crate::manager::{Answer, Call, Outcome, World, kernel_key};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::Reply;

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (handle, record) = world.manager.container(&call)?;
    idle(record)?;
    let statistics = world.glue.statistics(kernel_key(handle)).map_err(|errno| fault(errno, "statistics"))?;
    Ok(Answer::Reply(Reply::Statistics(statistics)))
}
