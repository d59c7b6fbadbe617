//! `Annotation`: one annotation, by its position in the order of keys.

use crate::manager::{Answer, Call, Outcome, World};
use bailiwick_kernel_glue::{KernelGlue, Port};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::{Annotation, AnnotationReply, Reply};

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    annotation: Annotation,
) -> Outcome<'m> {
    let (_, record) = world.manager.container(&call)?;
    let found = record.oci.config().annotations.iter().nth(annotation.index as usize);
    let (key, value) = found.ok_or(Refusal::new(RefusalCode::NotFound, "annotation"))?;
    Ok(Answer::Reply(Reply::Annotation(AnnotationReply { key, value })))
}
