//! `State`: the OCI state.

use crate::manager::{Answer, Call, Outcome, Record, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Reply, State};

#[inline(always)]
pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let (_, record) = world.manager.container(&call)?;
    Ok(Answer::Reply(Reply::State(state_of(record))))
}

/// The state of a container.
#[inline(always)]
pub(crate) fn state_of(record: &Record) -> State<'_> {
    let oci = &record.oci;
    State {
        oci_version: &oci.config().oci_version,
        id: oci.id().as_str(),
        status: oci.state().status(),
        pid: record.visible_pid(),
        bundle: oci.bundle(),
        exit: oci.exit(),
        created_at: oci.created_at(),
        annotations: oci.config().annotations.len() as u32,
    }
}
