//! `Delegate`: a sub-factory within the caller's bounds.

use super::bad_value;
use crate::manager::{Answer, Call, Factory, Object, Outcome, World, quota};
use crate::policy::Policy;
use alloc::sync::Arc;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::message::{Delegate, POLICY_MAX, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    delegate: Delegate<'_>,
) -> Outcome<'m> {
    let manager = world.manager;
    let (parent, above) = manager.factory(&call)?;
    if above.depth >= Factory::DEPTH_MAX {
        return Err(Refusal::new(RefusalCode::Full, "factories one below the other").into());
    }
    manager.check_quota(parent, &quota::FACTORY.plus(quota::CAPABILITY))?;
    let policy = narrowed(&above.policy, delegate.policy)?;
    let quota = quota::below(above.quota, delegate.quota);
    let factory = Factory::new(Some(parent), above.depth + 1, policy, quota);
    let full = |_| Refusal::new(RefusalCode::Full, "factories");
    let handle = manager.factories.insert(factory).map_err(full)?;
    let badge = match manager.grant(call.parked.badge, Object::Factory(handle), delegate.rights) {
        Ok(derived) => derived.badge,
        Err(refusal) => {
            manager.factories.remove(handle);
            return Err(refusal.into());
        }
    };
    manager.charge(parent, &quota::FACTORY);
    if let Some(above) = manager.factories.get_mut(parent) {
        above.children = above.children.saturating_add(1);
    }
    Ok(Answer::Capability(Reply::Done, badge))
}

/// What both the parent and the text allow.
fn narrowed(above: &Arc<Policy>, text: Option<&str>) -> Result<Arc<Policy>, ErrorReply> {
    let Some(text) = text else { return Ok(above.clone()) };
    if text.len() > POLICY_MAX {
        return Err(bad_value(format_args!("policy: longer than {POLICY_MAX} bytes")));
    }
    let policy = above.narrow(&Policy::parse(text).map_err(bad_value)?);
    // It must fit a reply to `Limits` as well.
    if policy.to_text().len() > POLICY_MAX {
        return Err(bad_value(format_args!("policy: with the parent's, longer than {POLICY_MAX} bytes")));
    }
    Ok(Arc::new(policy))
}
