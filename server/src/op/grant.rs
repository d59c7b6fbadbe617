//! `Grant`: a capability on one container, stored with another one under a name.
//!
//! ```text
//!   factory ─ Grant { to: a, name: db, on: b } ─► a grant on b below the factory's own, which nobody holds
//!   a ─────── Take { name: db } ───────────────► a grant below that one
//! ```
//!
//! Whoever gives it needs no more than to look both containers up. What is stored ends with everything above it, with
//! either container, and when it is taken back by its handle; and with it ends what was taken out.

use super::{bad_value, stays};
use crate::manager::{Answer, Call, ContainerHandle, Factory, Manager, Object, Outcome, Record, World};
use alloc::vec::Vec;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{DeriveReply, Grant, Nanos, Reply, STORED_MAX};
use bailiwick_protocol::rights::Rights;

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    grant: Grant<'_>,
) -> Outcome<'m> {
    let World { manager, glue, port } = world;
    let now = glue.now();
    let (_, factory) = manager.factory(&call)?;
    let (to, on) = (find(factory, grant.to)?, find(factory, grant.on)?);
    let name = ContainerId::new(grant.name).map_err(|fault| bad_value(format_args!("name: {fault}")))?;
    let record = manager.containers.get(to).ok_or(RefusalCode::NotFound)?;
    stays(record)?;
    stays(manager.containers.get(on).ok_or(RefusalCode::NotFound)?)?;
    if stored(manager, record, &name, now) {
        return Err(Refusal::new(RefusalCode::Exists, name).into());
    }
    let (alive, dead): (Vec<_>, Vec<_>) =
        record.stored.keys().cloned().partition(|name| stored(manager, record, name, now));
    if alive.len() >= STORED_MAX {
        let text = format_args!("{STORED_MAX} capabilities stored with one container");
        return Err(Refusal::new(RefusalCode::Full, text).into());
    }
    let mask = grant.rights.restrict(Rights::CONTAINER);
    let derived = manager.grant(call.parked.badge, Object::Container(on), mask)?;
    let record = manager.containers.get_mut(to).ok_or(RefusalCode::NotFound)?;
    // Used up, they would be there as long as the container they are on.
    let ended: Vec<_> = dead.iter().filter_map(|name| record.stored.remove(name)).collect();
    record.stored.insert(name, derived.badge);
    ended.into_iter().for_each(|badge| manager.end_grant(glue, port, badge));
    Ok(Answer::Reply(Reply::Derive(DeriveReply { handle: derived.handle })))
}

fn find(factory: &Factory, id: &str) -> Result<ContainerHandle, ErrorReply> {
    let found = ContainerId::new(id).ok().and_then(|id| factory.ids.get(&id).copied());
    Ok(found.ok_or(Refusal::new(RefusalCode::NotFound, id))?)
}

/// Whether something can be taken out by this name.
fn stored(manager: &Manager, record: &Record, name: &ContainerId, now: Nanos) -> bool {
    let badge = record.stored.get(name);
    badge.is_some_and(|badge| {
        manager.grants.resolve(*badge, || now).is_ok_and(|found| manager.exists(found.object))
    })
}
