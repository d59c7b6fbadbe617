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
    let (manager, object) = (world.manager, call.object());
    let end = manager.watch(object).ok_or(RefusalCode::NotFound)?.stream.end();
    let cursor = events.cursor.unwrap_or(end);
    if cursor == end && events.waiting == Waiting::Yes {
        manager.may_wait(object)?;
        let badge = call.parked.badge;
        let watch = manager.watch(object).ok_or(RefusalCode::NotFound)?;
        watch.waits.park(badge, EventWait { parked: call.parked, cursor })?;
        manager.now_waiting(object);
        return Ok(Answer::Taken);
    }
    let watch = manager.watch(object).ok_or(RefusalCode::NotFound)?;
    let read = watch.stream.read(cursor).ok_or_else(|| bad_value("cursor: past the end"))?;
    let page = &mut manager.scratch.pages().events;
    *page = read;
    Ok(Answer::Reply(Reply::Events(page)))
}
