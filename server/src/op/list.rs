//! `List`: the containers of a factory, in the order of their ids.

use crate::manager::{Answer, Call, Manager, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::message::{ListRow, PAGE_ROWS, Page, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    page: Page,
) -> Outcome<'m> {
    let (handle, _) = world.manager.factory(&call)?;
    let Manager { factories, containers, scratch, .. } = world.manager;
    let factory = factories.get(handle).ok_or(RefusalCode::NotFound)?;
    let list = &mut scratch.pages().list;
    list.rows.clear();
    let rows = factory.ids.iter().skip(page.from as usize).take(PAGE_ROWS);
    for (id, handle) in rows {
        let Some(record) = containers.get(*handle) else { continue };
        let row = ListRow {
            id: (**id).clone(),
            status: record.oci.state().status(),
            pid: record.visible_pid(),
            exit: record.oci.exit(),
        };
        if list.rows.push(row).is_err() {
            break;
        }
    }
    let next = page.from.saturating_add(PAGE_ROWS as u32);
    list.next = ((next as usize) < factory.ids.len()).then_some(next);
    Ok(Answer::Reply(Reply::List(list)))
}
