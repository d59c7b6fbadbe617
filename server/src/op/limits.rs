//! `Limits`: the factory's quota and policy.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{LimitsReply, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (_, factory) = world.manager.factory(&call)?;
    let (quota, text) = (factory.quota, factory.policy.to_text());
    world.manager.scratch.text = text;
    Ok(Answer::Reply(Reply::Limits(LimitsReply { quota, policy: &world.manager.scratch.text })))
}
