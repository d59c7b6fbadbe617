//! Promises of `destroy`.

use super::context::{Context, about};
use super::{Case, Fixture, Row};
use crate::glue::{ContainerKey, KernelGlue, ProcessKey, Progress};
use alloc::string::ToString;
use alloc::vec::Vec;
use bailiwick_protocol::message::Exit;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("destroy of an unknown key is done at once", unknown as fn(&mut Context<'_, F>) -> Case),
        ("destroy at the gate leaves nothing", at_gate),
        ("destroy of a running container leaves nothing", running),
        ("destroy after the end leaves nothing", ended),
        ("destroy called twice is done", twice),
        ("a destroyed key can be used again", again),
        ("fifty containers come and go, and leave nothing", many),
    ])
}

fn unknown<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    ensure_eq!(c.glue().destroy(key), Progress::Done(Ok(())), "destroy");
    Ok(())
}

/// Destroys, and holds the count against the one before.
fn leaves_nothing<F: Fixture>(c: &mut Context<'_, F>, key: ContainerKey, before: &super::Census) -> Case {
    c.destroy(key)?;
    ensure_eq!(c.fixture().census(), *before, "kernel objects after destroy");
    c.never("told of what was destroyed", |event| about(event, key))
}

fn at_gate<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let before = c.fixture().census();
    let key = c.key();
    let plan = c.plan(&["/bin/true"]);
    c.prepare(key, &plan)?;
    leaves_nothing(c, key, &before)
}

fn running<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let before = c.fixture().census();
    let (key, _) = c.start(&["/bin/sh", "-c", "sleep 1000 & sleep 1000"])?;
    c.execute(key, 1, &["/bin/sleep", "1000"])?;
    leaves_nothing(c, key, &before)
}

fn ended<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let before = c.fixture().census();
    let (key, _) = c.start(&["/bin/true"])?;
    c.exit(ProcessKey::First(key))?;
    leaves_nothing(c, key, &before)
}

fn twice<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (key, _) = c.start(&["/bin/sleep", "1000"])?;
    c.destroy(key)?;
    ensure_eq!(c.glue().destroy(key), Progress::Done(Ok(())), "the second destroy");
    Ok(())
}

fn again<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let key = c.key();
    for word in ["one", "two"] {
        let plan = c.plan(&["/bin/echo", word]);
        c.prepare(key, &plan)?;
        c.release(key)?;
        c.exit(ProcessKey::First(key))?;
        ensure_eq!(c.output(ProcessKey::First(key)).trim_end(), word, "output");
        c.destroy(key)?;
    }
    Ok(())
}

fn many<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let before = c.fixture().census();
    for _ in 0..50 {
        let plan = c.plan(&["/bin/echo", "x"]);
        ensure_eq!(c.run(&plan)?, (Exit::Code(0), "x\n".to_string()), "the run");
    }
    ensure_eq!(c.fixture().census(), before, "kernel objects after fifty");
    Ok(())
}
