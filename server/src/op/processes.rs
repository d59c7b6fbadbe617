//! `Processes`: the processes inside.

use super::{fault, idle};
use crate::manager::{Answer, Call, Outcome, World, kernel_key};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::message::{Page, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    page: Page,
) -> Outcome<'m> {
    let (handle, record) = world.manager.container(&call)?;
    idle(record)?;
    let tells_pids = record.policy.tells_pids();
    let processes = world.glue.processes(kernel_key(handle), page.from);
    let page = &mut world.manager.scratch.pages().processes;
    *page = processes.map_err(|errno| fault(errno, "processes"))?;
    if !tells_pids {
        page.rows.iter_mut().for_each(|row| row.pid = None);
    }
    Ok(Answer::Reply(Reply::Processes(page)))
}
