//! `Events`: what has happened, from a cursor on.

use super::bad_value;
use crate::manager::{Answer, Call, EventWait, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::{Events, Reply, Waiting};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    events: Events,
) -> Outcome<'m> {
    let watch = world.manager.watch(call.object()).ok_or(RefusalCode::NotFound)?;
    let end = watch.stream.end();
    let cursor = events.cursor.unwrap_or(end);
    if cursor == end && events.waiting == Waiting::Yes {
        let badge = call.parked.badge;
        watch.waits.park(badge, EventWait { parked: call.parked, cursor })?;
        return Ok(Answer::Taken);
    }
    let page = watch.stream.read(cursor).ok_or_else(|| bad_value("cursor: past the end"))?;
    Ok(Answer::Reply(Reply::Events(page)))
}
