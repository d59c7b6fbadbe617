//! Figures of authority, over the loopback channel and the model kernel, on the host: what a call costs with few grants
//! in the table and with many, and how long it is held up while a large tree is swept.

use crate::figure::{Figure, Kind};
use crate::host::server;
use crate::stepping::{self, mark};
use anyhow::{Context, Result, anyhow, ensure};
use bailiwick_kernel_glue::model::Model;
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::{Create, Delegate, Derive, DeriveReply, Request, Stdio};
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Leftover, Limits};
use bailiwick_tests::desk::{self, Desk};
use std::cell::RefCell;
use std::hint::black_box;

const COMMAND: &str = "tests/bench/run";
const INSTRUCTIONS: &str = "instructions";
/// The arguments that make this program the one whose instructions are counted.
pub(crate) const GRANTS: &str = "--counted-grants";
pub(crate) const SWEEP: &str = "--counted-sweep";

/// Grants in the table.
const SIZES: [u32; 3] = [10, 1000, 100_000];
/// Times that a piece does what is counted.
const TIMES: usize = 16;
/// Grants that were made and taken back before, so that no table grows while anything is counted.
const SPARE: usize = 4 * TIMES;
/// What is counted, after an empty piece.
const PIECES: [&str; 4] = ["describe", "derive", "revoke of one", "refusal for lack of rights"];

/// What is counted, step by step, in a program of its own.
pub(crate) fn count_grants(grants: u32) -> Result<()> {
    stepping::be_counted();
    let (_loopback, clients) = server(1)?;
    let client = clients.first().context("a container")?;
    let known = RefCell::new(Vec::new());
    let derive = || match client.derive_with(Derive::new(Rights::INSPECT)) {
        Ok((handle, copy)) => {
            known.borrow_mut().push(handle);
            // A capability that is dropped gives its grant up.
            std::mem::forget(copy);
        }
        // It would show in the counts, and in the growth.
        Err(error) => eprintln!("derive: {error}"),
    };
    let revoke = || {
        let handle: Option<GrantHandle> = known.borrow_mut().pop();
        let _ = black_box(client.revoke_one(handle.as_slice()));
    };
    (0..grants as usize + SPARE).for_each(|_| derive());
    (0..SPARE).for_each(|_| revoke());
    let viewer = client.derive(Rights::INSPECT).map_err(|error| anyhow!("derive: {error}"))?;
    ensure!(viewer.start().is_err(), "a viewer may start it");
    let pieces: [&dyn Fn(); PIECES.len() + 1] = [
        &|| (),
        &|| (0..TIMES).for_each(|_| drop(black_box(client.describe()))),
        &|| (0..TIMES).for_each(|_| derive()),
        &|| (0..TIMES).for_each(|_| revoke()),
        &|| (0..TIMES).for_each(|_| drop(black_box(viewer.start()))),
    ];
    for piece in pieces {
        // Once before, for what is done only the first time.
        piece();
        mark();
        piece();
        mark();
    }
    Ok(())
}

/// The shapes of the tree that is swept, and what a call may be held up by each at most, in instructions.
const TREES: [(&str, f64); 2] =
    [("capabilities side by side", WIDE_MAX), ("chains below 32 factories", DEEP_MAX)];
const WIDE_MAX: f64 = 60_000.0;
const DEEP_MAX: f64 = 250_000.0;
/// Grants in it.
const TREE: u32 = 100_000;
/// Most factories one below the other, the first one included.
const FACTORIES: u32 = 32;
/// Calls that are counted while it is swept, and those between two of them that are not.
const SAMPLES: usize = 12;
const BETWEEN: usize = 100;

/// Sends one call after the other while a tree is swept.
pub(crate) fn count_sweep(tree: usize) -> Result<()> {
    stepping::be_counted();
    let mut desk = Desk::new(Model::new(1), Limits::default());
    let bundle = desk::bundle(&["/bin/true"]);
    let root = desk.root;
    let factory = match tree {
        0 => root,
        _ => (1..FACTORIES).try_fold(root, |above, _| delegate(&mut desk, above))?,
    };
    let bystander = create(&mut desk, root, "bystander", &bundle)?;
    let container = create(&mut desk, factory, "tree", &bundle)?;
    match tree {
        0 => (0..TREE).try_for_each(|_| derive(&mut desk, container).map(drop))?,
        _ => {
            let (mut made, mut at) = (0, container);
            while made < TREE {
                match derive(&mut desk, at) {
                    Ok(below) => (at, made) = (below, made + 1),
                    // As deep as it gets.
                    Err(_) if at != container => at = container,
                    Err(error) => return Err(error),
                }
            }
        }
    }
    let describe = |desk: &mut Desk| {
        let sent = desk.send(bystander, &Request::Describe, None);
        desk.forget(black_box(sent));
    };
    for _ in 0..2 {
        describe(&mut desk);
    }
    mark();
    mark();
    mark();
    describe(&mut desk);
    mark();
    desk.call(container, &Request::Revoke, None).map_err(|error| anyhow!("revoke: {error}"))?;
    for _ in 0..SAMPLES {
        ensure!(desk.manager.leftover() == Leftover::Some, "it was swept before it was counted");
        mark();
        describe(&mut desk);
        mark();
        (0..BETWEEN).for_each(|_| describe(&mut desk));
    }
    Ok(())
}

fn minted(desk: &mut Desk, on: Badge, request: &Request<'_>) -> Result<Badge> {
    let answer = desk.call(on, request, None).map_err(|error| anyhow!("{:?}: {error}", request.op()))?;
    answer.mint.context("a capability")
}

fn delegate(desk: &mut Desk, above: Badge) -> Result<Badge> {
    let delegate = Delegate { rights: Rights::all(), quota: Quota::UNBOUNDED, policy: None };
    minted(desk, above, &Request::Delegate(delegate))
}

fn create(
    desk: &mut Desk,
    factory: Badge,
    id: &str,
    bundle: &bailiwick_kernel_glue::model::Directory,
) -> Result<Badge> {
    let create = Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log });
    let answer = desk.call(factory, &create, Some(bundle)).map_err(|error| anyhow!("create: {error}"))?;
    answer.mint.context("a capability")
}

fn derive(desk: &mut Desk, above: Badge) -> Result<Badge> {
    let sent = desk.send(above, &Request::Derive(Derive::new(Rights::all())), None);
    let answer = desk.answer(sent).cloned().context("an answer")?;
    desk.forget(sent);
    answer.read::<DeriveReply>().map_err(|error| anyhow!("derive: {error}"))?;
    answer.mint.context("a capability")
}

/// Every figure of this file.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    let mut figures = growth()?;
    for (tree, (shape, most)) in TREES.iter().enumerate() {
        figures.push(delay(tree, shape, *most)?);
    }
    Ok(figures)
}

fn growth() -> Result<Vec<Figure>> {
    let count = |grants: u32| stepping::count(&[GRANTS, &grants.to_string()], PIECES.len() + 1);
    let first = count(SIZES[0])?;
    let mut figures = Vec::new();
    for size in SIZES {
        let now = if size == SIZES[0] { first.clone() } else { count(size)? };
        for ((piece, count), least) in PIECES.iter().zip(now).zip(&first) {
            let name = format!("{piece} over loopback, {size} grants");
            let each = |count: u64| (count / TIMES as u64) as f64;
            let inside = "client, loopback, server; stepped on the host";
            let figure = Figure::new(name, (each(count), INSTRUCTIONS), Kind::Growth, inside, COMMAND);
            figures.push(figure.peer("with ten grants:", each(*least)));
        }
    }
    Ok(figures)
}

/// By how much a call is held up that comes while a tree is swept.
fn delay(tree: usize, shape: &str, most: f64) -> Result<Figure> {
    let counts = stepping::count(&[SWEEP, &tree.to_string()], SAMPLES + 2)?;
    let (alone, held_up) = counts.split_first().context("a call alone")?;
    let longest = held_up.iter().max().context("a call while it is swept")?;
    let inside = "server, what `describe` takes longer while 100,000 grants are swept, longest of 12; stepped on the host";
    let name = format!("delay of a call by a sweep of {shape}");
    let delay = longest.saturating_sub(*alone) as f64;
    Ok(Figure::new(name, (delay, INSTRUCTIONS), Kind::Bound, inside, COMMAND).peer("stated:", most))
}
