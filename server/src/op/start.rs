//! `Start`: opens the gate.

use super::idle;
use crate::lifecycle::LifecycleEvent;
use crate::manager::{Answer, Call, Outcome, Work, World, kernel_key};
use bailiwick_kernel_glue::{KernelGlue, Port, Progress};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (handle, record) = world.manager.container(&call)?;
    idle(record)?;
    record.oci.state().next(LifecycleEvent::Started)?;
    record.work = Work::Starting { call: Some(call.parked) };
    match world.glue.release(kernel_key(handle)) {
        Progress::Done(result) => world.manager.released(world.glue, world.port, handle, result),
        Progress::Later => {}
    }
    Ok(Answer::Taken)
}
