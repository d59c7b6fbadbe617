//! `Wait`: answered once the process has ended.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::Reply;

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let execution = world.manager.execution(call.object()).ok_or(RefusalCode::NotFound)?;
    match execution.exit {
        Some(exit) => Ok(Answer::Reply(Reply::Exit(exit))),
        None => {
            execution.waits.park(call.parked.badge, call.parked)?;
            Ok(Answer::Taken)
        }
    }
}
