//! `Delete`: removes the container and everything in it.

use super::idle;
use crate::manager::{Answer, Call, Outcome, Work, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Delete, DeleteMode, EventKind, Status};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    delete: Delete,
) -> Outcome<'m> {
    let (handle, record) = world.manager.container(&call)?;
    match delete.mode {
        DeleteMode::Stopped | DeleteMode::Again(_) => {
            idle(record)?;
            match record.oci.state().status() {
                Status::Stopped => {}
                Status::Running | Status::Paused => return Err(RefusalCode::Running.into()),
                status @ (Status::Creating | Status::Created) => {
                    let text = format_args!("the container is {status}: stop it first, or delete with force");
                    return Err(Refusal::new(RefusalCode::State, text).into());
                }
            }
        }
        // The kernel can remove a container whatever goes on with it, but only once.
        DeleteMode::Force if matches!(record.work, Work::Deleting { .. }) => idle(record)?,
        DeleteMode::Force => {}
    }
    let told = match delete.mode {
        DeleteMode::Again(time) => EventKind::Restarted(time),
        DeleteMode::Stopped | DeleteMode::Force => EventKind::Deleted,
    };
    world.manager.begin_delete(world.glue, world.port, handle, Some(call.parked), told);
    Ok(Answer::Taken)
}
