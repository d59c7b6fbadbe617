//! TOML to [`Manifest`], with the line in every error.

mod hand_over;

use crate::{
    After, CONTAINERS_MAX, Container, DIRECTORIES_MAX, Drill, Expect, Manifest, PROCESSES_MAX, Policy,
    Process, Restart, Start, Until,
};
use bailiwick_protocol::message::POLICY_MAX;
use bailiwick_protocol::{ContainerId, Quota};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use toml::Spanned;

/// What is wrong with a manifest, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestError {
    /// Line, from 1.
    pub line: usize,
    /// The thing, the reason and the way out.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}
impl std::error::Error for ManifestError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    settle_ms: Option<Spanned<u32>>,
    #[serde(default)]
    container: Vec<Spanned<RawContainer>>,
    #[serde(default)]
    process: Vec<Spanned<RawProcess>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContainer {
    id: Spanned<String>,
    bundle: Spanned<String>,
    #[serde(default)]
    start: Start,
    #[serde(default)]
    after: Vec<Spanned<RawAfter>>,
    restart: Option<Spanned<RawRestart>>,
    drill: Option<RawDrill>,
    #[serde(default)]
    grants: Vec<hand_over::RawStored>,
    expect: Option<Spanned<RawExpect>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAfter {
    id: String,
    #[serde(default)]
    until: Until,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRestart {
    policy: Policy,
    max: Option<u32>,
    backoff_ms: Option<u32>,
    window_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDrill {
    signal: Spanned<String>,
    after_ms: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    exit: Option<u8>,
    signal: Option<Spanned<String>>,
    running: Option<bool>,
    restarts: Option<u32>,
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProcess {
    name: Spanned<String>,
    program: Option<Spanned<String>>,
    args: Option<Spanned<String>>,
    memory: Option<u64>,
    threads: Option<u32>,
    #[serde(default)]
    factory: Vec<Spanned<String>>,
    quota: Option<Spanned<RawQuota>>,
    policy: Option<Spanned<String>>,
    #[serde(default)]
    directories: Vec<Spanned<String>>,
    #[serde(default)]
    bundles: Vec<Spanned<String>>,
    #[serde(default)]
    write: Vec<Spanned<String>>,
    #[serde(default)]
    containers: Vec<hand_over::RawHeld>,
    #[serde(default)]
    console: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuota {
    containers: Option<u64>,
    factories: Option<u64>,
    execs: Option<u64>,
    capabilities: Option<u64>,
    waiting: Option<u64>,
    event_bytes: Option<u64>,
    log_bytes: Option<u64>,
    processes: Option<u64>,
    memory: Option<u64>,
    cpu: Option<u64>,
}

impl From<RawQuota> for Quota {
    fn from(raw: RawQuota) -> Quota {
        let RawQuota { containers, factories, execs, capabilities, waiting, .. } = raw;
        let RawQuota { event_bytes, log_bytes, processes, memory, cpu, .. } = raw;
        Quota {
            containers,
            factories,
            execs,
            capabilities,
            waiting,
            event_bytes,
            log_bytes,
            processes,
            memory,
            cpu,
        }
    }
}

/// Milliseconds an open expectation has if the file does not say: enough for a slow machine.
const SETTLE_MS: u32 = 20_000;

/// A reason with the bytes of the file it is about.
struct Fault(Range<usize>, String);

fn fault<T>(span: Range<usize>, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault(span, message.into()))
}

/// Reads and checks a manifest.
///
/// After success ids are valid and unique, every `after` names a container of this manifest that is started at
/// boot, as does every capability on a container; there is no circle, rights and signals exist, and so does every bundle by the word of `bundle_exists`.
///
/// # Errors
/// [`ManifestError`] for the first thing that is wrong. Keys that are not known are an error.
pub fn parse(text: &str, bundle_exists: impl Fn(&str) -> bool) -> Result<Manifest, ManifestError> {
    let file: File = toml::from_str(text).map_err(|error| ManifestError {
        line: line_of(text, error.span().unwrap_or(0..0)),
        message: error.message().trim().replace('\n', ", "),
    })?;
    check(file, &bundle_exists)
        .map_err(|Fault(span, message)| ManifestError { line: line_of(text, span), message })
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}

fn check(file: File, bundle_exists: &dyn Fn(&str) -> bool) -> Result<Manifest, Fault> {
    if let Some(extra) = file.container.get(CONTAINERS_MAX) {
        return fault(extra.span(), format!("more than {CONTAINERS_MAX} containers"));
    }
    if let Some(extra) = file.process.get(PROCESSES_MAX) {
        return fault(extra.span(), format!("more than {PROCESSES_MAX} processes"));
    }
    unique("container", file.container.iter().map(|c| &c.as_ref().id))?;
    unique("process", file.process.iter().map(|p| &p.as_ref().name))?;
    let starts: BTreeMap<String, Start> =
        file.container.iter().map(|c| (c.as_ref().id.as_ref().clone(), c.as_ref().start)).collect();
    let spans: Vec<Range<usize>> = file.container.iter().map(|c| c.as_ref().id.span()).collect();
    let containers = file
        .container
        .into_iter()
        .map(|raw| container(raw.into_inner(), &starts, bundle_exists))
        .collect::<Result<Vec<_>, _>>()?;
    no_circle(&containers, &spans)?;
    let processes = file
        .process
        .into_iter()
        .map(|raw| process(raw.into_inner(), &starts, bundle_exists))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Manifest { settle_ms: file.settle_ms.map_or(SETTLE_MS, Spanned::into_inner), containers, processes })
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a Spanned<String>>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.as_ref()) {
            return fault(name.span(), format!("{what} {:?} is declared twice", name.as_ref()));
        }
    }
    Ok(())
}

fn container(
    raw: RawContainer,
    starts: &BTreeMap<String, Start>,
    bundle_exists: &dyn Fn(&str) -> bool,
) -> Result<Container, Fault> {
    if let Err(error) = ContainerId::new(raw.id.as_ref()) {
        return fault(raw.id.span(), format!("id {:?}: {error}", raw.id.as_ref()));
    }
    let after = raw
        .after
        .into_iter()
        .map(|after| dependency(raw.id.as_ref(), raw.start, after, starts))
        .collect::<Result<Vec<_>, _>>()?;
    let restart = raw.restart.map_or(Ok(Restart::NEVER), restart)?;
    let drill = raw.drill.map(drill).transpose()?;
    let expect = raw.expect.map_or(Ok(Expect::Exit(0)), expect)?;
    Ok(Container {
        bundle: bundle_name(raw.bundle, bundle_exists)?,
        stores: hand_over::stored(&raw.id, raw.grants, starts)?,
        id: raw.id.into_inner(),
        start: raw.start,
        after,
        restart,
        drill,
        expect,
    })
}

/// Whether `name` can be the name of a bundle: one component of a path, none that means something else.
pub fn is_bundle_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains(['/', '\0'])
}

fn bundle_name(bundle: Spanned<String>, exists: &dyn Fn(&str) -> bool) -> Result<String, Fault> {
    let name = bundle.as_ref();
    if !is_bundle_name(name) {
        return fault(bundle.span(), format!("bundle {name:?}: not a name under /bundles"));
    }
    if !exists(name) {
        return fault(
            bundle.span(),
            format!("no bundle is called {name:?}: pack it with --bundle {name}=DIRECTORY"),
        );
    }
    Ok(bundle.into_inner())
}

fn dependency(
    id: &str,
    start: Start,
    after: Spanned<RawAfter>,
    starts: &BTreeMap<String, Start>,
) -> Result<After, Fault> {
    let span = after.span();
    let RawAfter { id: on, until } = after.into_inner();
    match starts.get(&on) {
        None => fault(span, format!("{id} comes after {on:?}, which this manifest does not declare")),
        Some(Start::Manual) if start == Start::Boot => fault(
            span,
            format!(
                "{id} is started at boot but comes after {on:?}, which is not: give {on:?} start = \"boot\""
            ),
        ),
        Some(_) => Ok(After { id: on, until }),
    }
}

fn restart(raw: Spanned<RawRestart>) -> Result<Restart, Fault> {
    let span = raw.span();
    let raw = raw.into_inner();
    let restart = Restart {
        policy: raw.policy,
        max: raw.max.unwrap_or(5),
        backoff_ms: raw.backoff_ms.unwrap_or(100),
        window_ms: raw.window_ms.unwrap_or(10_000),
    };
    if restart.backoff_ms > Restart::BACKOFF_MAX_MS {
        return fault(span, format!("backoff_ms is at most {}", Restart::BACKOFF_MAX_MS));
    }
    Ok(restart)
}

fn drill(raw: RawDrill) -> Result<Drill, Fault> {
    Ok(Drill { signal: signal(&raw.signal)?, after_ms: raw.after_ms })
}

fn signal(name: &Spanned<String>) -> Result<u8, Fault> {
    match bailiwick_protocol::signal::number(name.as_ref()) {
        Some(number) => Ok(number),
        None => fault(name.span(), format!("no signal is called {:?}", name.as_ref())),
    }
}

fn expect(raw: Spanned<RawExpect>) -> Result<Expect, Fault> {
    let span = raw.span();
    match raw.into_inner() {
        RawExpect { exit: Some(status), signal: None, running: None, restarts: None, refused: None } => {
            Ok(Expect::Exit(status))
        }
        RawExpect { exit: None, signal: Some(name), running: None, restarts: None, refused: None } => {
            Ok(Expect::Signal(signal(&name)?))
        }
        RawExpect { exit: None, signal: None, running: Some(true), restarts, refused: None } => {
            Ok(Expect::Running { restarts: restarts.unwrap_or(0) })
        }
        RawExpect { exit: None, signal: None, running: None, restarts: None, refused: Some(text) } => {
            Ok(Expect::Refused(text))
        }
        _ => fault(
            span,
            "expect is one of { exit = STATUS }, { signal = NAME }, { running = true, restarts = N }, \
             { refused = TEXT }",
        ),
    }
}

/// Longest text that a process is started with, in bytes.
const ARGS_MAX: usize = 2048;

fn process(
    raw: RawProcess,
    starts: &BTreeMap<String, Start>,
    bundle_exists: &dyn Fn(&str) -> bool,
) -> Result<Process, Fault> {
    let program = raw.program.as_ref().unwrap_or(&raw.name);
    if !is_bundle_name(program.as_ref()) {
        return fault(program.span(), format!("process {:?}: not a program under /sbin", program.as_ref()));
    }
    if let Some(args) = raw.args.as_ref().filter(|args| args.as_ref().len() > ARGS_MAX) {
        return fault(args.span(), format!("args: longer than {ARGS_MAX} bytes"));
    }
    let program = program.as_ref().clone();
    let factory = hand_over::rights(&raw.factory)?;
    for path in &raw.directories {
        if !path.as_ref().starts_with('/') || path.as_ref().split('/').any(|part| part == "..") {
            return fault(path.span(), format!("directory {:?}: not an absolute path", path.as_ref()));
        }
    }
    if let Some(extra) = raw.directories.iter().chain(&raw.bundles).nth(DIRECTORIES_MAX) {
        let text = format!("more than {DIRECTORIES_MAX} directories and bundles handed to one process");
        return fault(extra.span(), text);
    }
    let written = hand_over::Written::new(&raw.write, raw.directories.iter().chain(&raw.bundles))?;
    let policy = raw.policy.map(policy).transpose()?;
    if let Some(quota) = raw.quota.as_ref().filter(|_| factory.is_empty()) {
        return fault(quota.span(), "a quota without a factory: give it rights in `factory`");
    }
    Ok(Process {
        name: raw.name.into_inner(),
        program,
        args: raw.args.map(Spanned::into_inner),
        memory: raw.memory,
        threads: raw.threads,
        factory,
        quota: raw.quota.map(|quota| quota.into_inner().into()),
        policy,
        directories: written.handed(raw.directories.into_iter().map(Spanned::into_inner)),
        bundles: written.handed(hand_over::bundles(raw.bundles, bundle_exists)?.into_iter()),
        containers: hand_over::held(raw.containers, starts)?,
        console: raw.console,
    })
}

/// The text of a policy; a word alone is the name of one that is ready-made.
fn policy(raw: Spanned<String>) -> Result<String, Fault> {
    let text = raw.as_ref().trim();
    let text = if text.contains(char::is_whitespace) { text.to_owned() } else { format!("include {text}") };
    if text.len() > POLICY_MAX {
        return fault(raw.span(), format!("policy: longer than {POLICY_MAX} bytes"));
    }
    match bailiwick_server::Policy::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => fault(raw.span(), error.to_string()),
    }
}

/// Removes containers whose dependencies are all removed, over and over; what is left waits for itself.
fn no_circle(containers: &[Container], spans: &[Range<usize>]) -> Result<(), Fault> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = done.len();
        let ready = containers.iter().filter(|c| c.after.iter().all(|a| done.contains(a.id.as_str())));
        done = ready.map(|c| c.id.as_str()).collect();
        if done.len() == before {
            break;
        }
    }
    match containers.iter().zip(spans).find(|(c, _)| !done.contains(c.id.as_str())) {
        None => Ok(()),
        Some((container, span)) => {
            fault(span.clone(), format!("{:?} comes after itself, by way of its `after`", container.id))
        }
    }
}
