//! `Usage`: what has been used of the factory's quota.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Reply, Usage};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (_, factory) = world.manager.factory(&call)?;
    Ok(Answer::Reply(Reply::Usage(Usage { used: factory.used, quota: factory.quota })))
}
