//! `Plan`: the kernel steps that `Create` would take for a bundle, as text.

use super::create::{join, no_directory, read_config};
use crate::manager::{Answer, Call, Outcome, World};
use crate::plan;
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::frame::FRAME_MAX;
use bailiwick_protocol::message::{Page, PlanText, Reply, Stdio};

/// Room left in a frame for everything that is not text.
const TEXT_MAX: usize = FRAME_MAX - 64;
/// Stands for the id that a real creation would name.
const ID: &str = "ID";

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    page: Page,
    directory: Option<G::Directory>,
) -> Outcome<'m> {
    let (factory, policy) = world.manager.factory(&call).map(|(handle, f)| (handle, f.policy.clone()))?;
    let directory = directory.ok_or_else(no_directory)?;
    let config = read_config(world.manager, world.glue, &directory)?;
    let stdio = if config.process.terminal { Stdio::Terminal } else { Stdio::Log };
    let request = plan::Request { id: ID, bundle: "", group: ID, stdio };
    let mut plan = plan::plan(&config, &world.glue.features(), &policy, &request)?;
    join(world.manager, factory, &mut plan)?;
    let text = &mut world.manager.scratch.text;
    text.clear();
    let next = plan::page(&plan, page.from, TEXT_MAX, text);
    Ok(Answer::Reply(Reply::PlanText(PlanText { text, next })))
}
