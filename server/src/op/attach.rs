//! `Attach`: what a process writes from now on.

use super::logs;
use crate::manager::{Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Attach, Logs, Stdio};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    attach: Attach,
) -> Outcome<'m> {
    let execution = world.manager.execution(call.object()).ok_or(RefusalCode::NotFound)?;
    if let Stdio::Terminal | Stdio::Inherit = execution.stdio {
        let text = "its output goes to a terminal or to its caller's own streams";
        return Err(Refusal::new(RefusalCode::State, text).into());
    }
    let cursor = attach.cursor.unwrap_or(execution.log.end());
    logs::run(world, call, Logs { cursor, waiting: attach.waiting })
}
