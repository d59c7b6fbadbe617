//! `Describe`: the caller's own authority.

use crate::manager::{Answer, Call, Object, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Description, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let containers_left = match call.object {
        Object::Factory(_) => Some(world.manager.factory(&call)?.1.left()),
        Object::Container(_) | Object::Process(_) => None,
    };
    let (kind, rights, depth) = (call.object.kind(), call.rights, call.depth);
    Ok(Answer::Reply(Reply::Description(Description { kind, rights, depth, containers_left })))
}
