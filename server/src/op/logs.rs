//! `Logs`: what was written, from a cursor on.

use super::bad_value;
use crate::log::Ended;
use crate::manager::{Answer, Call, LOG_FRAME, LogWait, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::{Logs, Reply, Waiting};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    logs: Logs,
) -> Outcome<'m> {
    let (manager, object) = (world.manager, call.object());
    let execution = manager.execution(object).ok_or(RefusalCode::NotFound)?;
    let nothing_yet = logs.cursor == execution.log.end() && execution.ended() == Ended::No;
    if nothing_yet && logs.waiting == Waiting::Yes {
        manager.may_wait(object)?;
        let badge = call.parked.badge;
        let execution = manager.execution(object).ok_or(RefusalCode::NotFound)?;
        execution.log_waits.park(badge, LogWait { parked: call.parked, cursor: logs.cursor })?;
        manager.now_waiting(object);
        return Ok(Answer::Taken);
    }
    let execution = manager.execution(object).ok_or(RefusalCode::NotFound)?;
    let ended = execution.ended();
    let reply = execution.log.read(logs.cursor, LOG_FRAME, ended);
    Ok(Answer::Reply(Reply::Logs(reply.ok_or_else(|| bad_value("cursor: past the end"))?)))
}
