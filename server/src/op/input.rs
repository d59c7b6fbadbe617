//! `Input`: something for a process to read.

use super::{fault, idle};
use crate::manager::{Answer, Call, Object, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Input, InputReply, Reply, Stdio};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    input: Input<'_>,
) -> Outcome<'m> {
    let World { manager, glue, .. } = world;
    if let Object::Container(_) = call.object() {
        idle(manager.container(&call)?.1)?;
    }
    let execution = manager.execution(call.object()).ok_or(RefusalCode::NotFound)?;
    let state = |text: &str| Refusal::new(RefusalCode::State, text);
    if execution.stdio != Stdio::Piped {
        return Err(state("its input is no pipe, and this needs one from its creation on").into());
    }
    if execution.exit.is_some() {
        return Err(state("the process has ended").into());
    }
    let process = manager.process_key(call.object()).ok_or(RefusalCode::NotFound)?;
    let taken = glue
        .write_input(process, input.bytes, input.then)
        .map_err(|errno| fault(errno, "write to its input"))?;
    Ok(Answer::Reply(Reply::Input(InputReply { taken: taken as u32 })))
}
