//! `Wait`: answered once the process has ended.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::Reply;

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (manager, object) = (world.manager, call.object());
    if let Some(exit) = manager.execution(object).ok_or(RefusalCode::NotFound)?.exit {
        return Ok(Answer::Reply(Reply::Exit(exit)));
    }
    manager.may_wait(object)?;
    let execution = manager.execution(object).ok_or(RefusalCode::NotFound)?;
    execution.waits.park(call.parked.badge, call.parked)?;
    manager.now_waiting(object);
    Ok(Answer::Taken)
}
