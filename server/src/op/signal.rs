//! `Signal`: sends a signal to a container or to a process started by `Exec`.

use super::{bad_value, fault, idle};
use crate::manager::{Answer, Call, Object, Outcome, Work, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Reply, Scope, Signal, Status};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    signal: Signal,
) -> Outcome<'m> {
    if !(1..=64).contains(&signal.signal) {
        return Err(bad_value(format_args!("signal: {} is not within 1 to 64", signal.signal)));
    }
    match call.object() {
        Object::Process(_) => {
            if signal.scope == Scope::All {
                return Err(bad_value("scope: a process is one"));
            }
            let execution = world.manager.execution(call.object()).ok_or(RefusalCode::NotFound)?;
            if execution.exit.is_some() {
                return Err(Refusal::new(RefusalCode::State, "the process has ended").into());
            }
        }
        _ => {
            let (_, record) = world.manager.container(&call)?;
            // A container on its way to run may be killed.
            if !matches!(record.work, Work::Starting { .. }) {
                idle(record)?;
            }
            if let status @ (Status::Creating | Status::Stopped) = record.oci.state().status() {
                return Err(
                    Refusal::new(RefusalCode::State, format_args!("the container is {status}")).into()
                );
            }
        }
    }
    let process = world.manager.process_key(call.object()).ok_or(RefusalCode::NotFound)?;
    world
        .glue
        .signal(process, signal.signal, signal.scope)
        .map_err(|errno| fault(errno, format_args!("signal {}", signal.signal)))?;
    Ok(Answer::Reply(Reply::Done))
}
