//! `Derive`: a narrower grant on the same object.

use super::bad_value;
use crate::grant::Terms;
use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Derive, DeriveReply, Nanos, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    derive: Derive,
) -> Outcome<'m> {
    if derive.uses == Some(0) || derive.lifetime == Some(Nanos(0)) {
        return Err(bad_value("a capability that is good for nothing"));
    }
    let after = |lifetime: Nanos| Nanos(world.glue.now().0.saturating_add(lifetime.0));
    let expires = derive.lifetime.map(after);
    let terms = Terms { rights: derive.rights, expires, uses: derive.uses };
    let derived = world.manager.grant(call.parked.badge, call.object(), terms)?;
    Ok(Answer::Capability(Reply::Derive(DeriveReply { handle: derived.handle }), derived.badge))
}
