//! Figures of the server alone, over the loopback channel and the model kernel, on the host.

use crate::figure::{Figure, Kind};
use crate::heap;
use crate::stepping::{self, mark};
use anyhow::{Context, Result, anyhow};
use bailiwick_client::{Container, Factory};
use bailiwick_kernel_glue::model::Model;
use bailiwick_kernel_glue::{ContainerKey, KernelGlue, Progress};
use bailiwick_protocol::frame::{FRAME_MAX, FrameBuffer, Tag, decode_reply};
use bailiwick_protocol::message::{LogsReply, Reply, Stdio};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::loopback::{Loopback, LoopbackChannel};
use bailiwick_server::{Limits, Policy, ValidConfig, plan};
use bailiwick_tests::desk;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

const COMMAND: &str = "tests/bench/run";
const INSTRUCTIONS: &str = "instructions";
/// Times that a piece does what is counted.
const TIMES: u64 = 16;
/// The argument that makes this program the one whose instructions are counted.
pub(crate) const CHILD: &str = "--counted";

/// So that every process number takes three bytes, and answers are as long with one container as with 100,000.
const PIDS_GIVEN: u32 = 20_000;

type Client = Container<LoopbackChannel<Model>>;

/// A server with this many containers, and one of those in the middle.
pub(crate) fn server(containers: u32) -> Result<(Loopback<Model>, Vec<Client>)> {
    let limits = Limits { containers, ..Limits::default() };
    let model = Model::new(1).with_pids_given(PIDS_GIVEN);
    let (loopback, channel) = Loopback::new(model, limits, Policy::default());
    let factory = Factory::new(channel);
    let bundle = desk::bundle(&["/bin/true"]);
    let made = (0..containers).map(|number| {
        let made = factory.create(&format!("c{number:06}"), "/bundles/true", Stdio::Log, &bundle);
        made.map_err(|error| anyhow!("container {number}: {error}"))
    });
    let made: Vec<Client> = made.collect::<Result<_>>()?;
    // It goes with its last holder.
    std::mem::forget(factory);
    Ok((loopback, made))
}

/// What is counted, step by step, in a program of its own.
pub(crate) fn counted(containers: u32) -> Result<()> {
    stepping::be_counted();
    let (_loopback, clients) = server(containers)?;
    let client = clients.get(clients.len() / 2).context("at least one container")?;
    let describe = || (0..TIMES).for_each(|_| drop(black_box(client.describe())));
    let state = || (0..TIMES).for_each(|_| drop(black_box(client.state(|state| state.pid))));
    let (frame, bytes) = (largest()?, [b'x'; FRAME_MAX - 64]);
    let mut room = FrameBuffer::new();
    let mut encode = || {
        let _ = black_box(logs(&bytes).encode_in(Tag(1), &mut room));
    };
    let decode = || drop(black_box(decode_reply::<LogsReply<'_>>(Tag(1), &frame)));
    let pieces: [&mut dyn FnMut(); 5] =
        [&mut || (), &mut { describe }, &mut { state }, &mut encode, &mut { decode }];
    for piece in pieces {
        // Once before, for what is done only the first time.
        piece();
        mark();
        piece();
        mark();
    }
    Ok(())
}

fn logs(bytes: &[u8]) -> Reply<'_> {
    Reply::Logs(LogsReply { next: u64::MAX, lost: u64::MAX, end: true, bytes })
}

/// The largest frame there is: a piece of a log.
fn largest() -> Result<Vec<u8>> {
    let mut room = FrameBuffer::new();
    let bytes = [b'x'; FRAME_MAX - 64];
    logs(&bytes).encode_in(Tag(1), &mut room).map(<[u8]>::to_vec).map_err(|error| anyhow!("{error}"))
}

/// Counts of one size of table: `describe`, `state`, encoding and decoding of the largest frame.
struct Counts {
    describe: f64,
    state: f64,
    encode: f64,
    decode: f64,
}

fn counts(containers: u32) -> Result<Counts> {
    let counts = stepping::count(&[CHILD, &containers.to_string()], 5)?;
    let [describe, state, encode, decode] = *counts.as_slice() else { return Err(anyhow!("four pieces")) };
    let each = |count: u64| (count / TIMES) as f64;
    Ok(Counts { describe: each(describe), state: each(state), encode: encode as f64, decode: decode as f64 })
}

/// Sizes of the table, the largest only where there is time.
const SIZES: [u32; 4] = [1, 100, 10_000, 100_000];

/// Requests at every size, and the codec.
pub(crate) fn figures(quick: bool) -> Result<Vec<Figure>> {
    let sizes = if quick { SIZES.get(..3).unwrap_or_default() } else { &SIZES };
    let first = counts(1)?;
    let mut figures = Vec::new();
    let inside = "client, loopback, server; stepped on the host";
    for size in sizes {
        let now = counts(*size)?;
        for (name, count, least) in
            [("describe", now.describe, first.describe), ("state", now.state, first.state)]
        {
            let name = format!("{name} over loopback, {size} containers");
            let figure = Figure::new(name, (count, INSTRUCTIONS), Kind::Growth, inside, COMMAND);
            figures.push(figure.peer("with one container:", least));
        }
    }
    for (name, count) in
        [("encode the largest frame", first.encode), ("decode the largest frame", first.decode)]
    {
        let inside = "a piece of a log, 4 KiB, postcard and header; stepped on the host";
        figures.push(Figure::new(name, (count, INSTRUCTIONS), Kind::Shown, inside, COMMAND));
    }
    figures.push(rate()?);
    figures.extend(memory()?);
    Ok(figures)
}

/// Requests of one round, and rounds of which the best counts.
const REQUESTS: u32 = 20_000;
const ROUNDS: u32 = 10;

/// How many requests one core answers in a second of its time.
fn rate() -> Result<Figure> {
    let (_loopback, clients) = server(100)?;
    let client = clients.first().context("a container")?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let before = clock_gettime(ClockId::ThreadCPUTime);
        for _ in 0..REQUESTS {
            black_box(client.describe()).map_err(|error| anyhow!("describe: {error}"))?;
        }
        let spent = clock_gettime(ClockId::ThreadCPUTime) - before;
        best = best.min(Duration::try_from(spent)?);
    }
    let rate = (f64::from(REQUESTS) / best.as_secs_f64()).round();
    let inside = "client, loopback, server, 100 containers; by the thread's own time, best of ten rounds";
    Ok(Figure::new("describe over loopback, rate", (rate, "a second and core"), Kind::Shown, inside, COMMAND))
}

/// Containers, and grants of one of them, that a record's size is the mean of.
const RECORDS: u32 = 1000;

/// Bytes of the heap that an idle container takes, and a grant.
fn memory() -> Result<Vec<Figure>> {
    let each = |before: usize| (heap::live().saturating_sub(before) as f64 / f64::from(RECORDS)).ceil();
    let before = heap::live();
    let model = model_alone()?;
    let kernel = each(before);
    drop(model);
    let before = heap::live();
    let (_loopback, clients) = server(RECORDS)?;
    let container = each(before);
    let client = clients.first().context("a container")?;
    let before = heap::live();
    for _ in 0..RECORDS {
        // A capability that is dropped gives its grant up.
        std::mem::forget(client.derive(Rights::INSPECT).map_err(|error| anyhow!("derive: {error}"))?);
    }
    let figure = |name: &str, bytes: f64, inside: &str| {
        Figure::new(name, (bytes, "bytes"), Kind::Exact, inside, COMMAND)
    };
    Ok(vec![
        figure(
            "memory of an idle container",
            container,
            "heap of manager, client handle and model kernel, mean of 1,000 with one configuration; host",
        ),
        figure(
            "memory of an idle container without its kernel",
            container - kernel,
            "the same less what the model kernel alone takes for 1,000 such containers",
        )
        .aim(1024.0),
        figure("memory of a grant", each(before), "the same, mean of 1,000 capabilities of one container"),
    ])
}

/// A model kernel that has prepared as many containers of the same bundle, without a server.
fn model_alone() -> Result<Model> {
    let mut model = Model::new(1);
    let bundle = desk::bundle(&["/bin/true"]);
    let config =
        ValidConfig::parse(&desk::config(&["/bin/true"]).to_string()).map_err(|error| anyhow!("{error}"))?;
    for number in 0..RECORDS {
        let id = format!("c{number:06}");
        let request = plan::Request { id: &id, bundle: "/bundles/true", group: &id, stdio: Stdio::Log };
        let plan = plan::plan(&config, &model.features(), &Policy::default(), &request)
            .map_err(|refusal| anyhow!("{refusal}"))?;
        match model.prepare(ContainerKey(number.into()), bundle.clone(), &plan) {
            Progress::Done(Ok(_)) => {}
            other => return Err(anyhow!("prepare: {other:?}")),
        }
    }
    Ok(model)
}
