//! `Describe`: the caller's own authority.

use crate::grant::Resolved;
use crate::manager::{Answer, Call, Object, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Description, Nanos, Reply};

#[inline(always)]
pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let Resolved { object, rights, depth, expires, uses } = call.grant;
    let lifetime = expires.map(|end| Nanos(end.0.saturating_sub(world.glue.now().0)));
    let kind = object.kind();
    // Put together where it goes: it is large, because of what is left.
    let answer = |left| {
        let description = Description { kind, rights, depth, left, lifetime, uses };
        Ok(Answer::Reply(Reply::Description(description)))
    };
    match object {
        Object::Factory(_) => {
            let left = world.manager.factory(&call)?.1.left();
            answer(Some(left))
        }
        Object::Container(_) | Object::Process(_) => answer(None),
    }
}
