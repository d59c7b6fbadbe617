//! `Pause`: freezes every process of the container.

use super::{fault, idle};
use crate::lifecycle::LifecycleEvent;
use crate::manager::{Answer, Call, Outcome, World, kernel_key};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{EventKind, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (handle, record) = world.manager.container(&call)?;
    idle(record)?;
    record.oci.state().next(LifecycleEvent::Paused)?;
    world.glue.freeze(kernel_key(handle)).map_err(|errno| fault(errno, "freeze"))?;
    record.oci.pause()?;
    world.manager.tell(world.glue, world.port, handle, EventKind::Paused);
    Ok(Answer::Reply(Reply::Done))
}
