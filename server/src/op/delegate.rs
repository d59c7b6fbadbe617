//! `Delegate`: a sub-factory within the caller's bounds.

use crate::grant::Peers;
use crate::manager::{Amounts, Answer, Call, Factory, Object, Outcome, Watch, World};
use alloc::collections::BTreeMap;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Delegate, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    delegate: Delegate,
) -> Outcome<'m> {
    let manager = world.manager;
    let (parent, above) = manager.factory(&call)?;
    if above.depth >= Factory::DEPTH_MAX {
        return Err(Refusal::new(RefusalCode::Full, "factories one below the other").into());
    }
    manager.check_quota(parent, &Amounts::FACTORY.held())?;
    let factory = Factory {
        parent: Some(parent),
        depth: above.depth + 1,
        policy: above.policy,
        ids: BTreeMap::new(),
        used: Amounts::NONE,
        max: Amounts::below(&above.max, delegate.containers),
        peers: Peers::new(),
        children: 0,
        watch: Watch::new(),
    };
    let full = |_| Refusal::new(RefusalCode::Full, "factories");
    let handle = manager.factories.insert(factory).map_err(full)?;
    let badge = match manager.grant(call.parked.badge, Object::Factory(handle), delegate.rights) {
        Ok(derived) => derived.badge,
        Err(refusal) => {
            manager.factories.remove(handle);
            return Err(refusal.into());
        }
    };
    manager.charge(parent, &Amounts::FACTORY);
    if let Some(above) = manager.factories.get_mut(parent) {
        above.children = above.children.saturating_add(1);
    }
    Ok(Answer::Capability(Reply::Done, badge))
}
