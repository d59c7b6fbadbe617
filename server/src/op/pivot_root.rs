//! `PivotRoot`: the pair that the kernel's `pivot_root` exchanged.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{PivotRootReply, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(world: World<'m, '_, G, P>, call: Call) -> Outcome<'m> {
    let manager = world.manager;
    let (old, new) = manager.container(&call)?.1.oci.pivot_root()?;
    manager.scratch.text.clear();
    manager.scratch.text.push_str(&old);
    manager.scratch.text.push_str(&new);
    let (old, new) = manager.scratch.text.split_at(old.len());
    Ok(Answer::Reply(Reply::PivotRoot(PivotRootReply { old, new })))
}
