//! Counts what requests to the manager cost as their client sees them: from the call of the client library to the
//! decoded answer.
//!
//! It stands in the manifest in the shell's place and holds what the shell would hold; `/bundles` must have a bundle
//! `true` whose program ends at once. Under QEMU's `-icount shift=0` the time-stamp counter counts instructions,
//! those of the kernel, of the manager and of this program together. Started in place of init it tells when it
//! began, and ends.
#![allow(unsafe_code, reason = "reading the counter is an instruction")]

use crate::console::Serial;
use crate::shell::BundleDirectory;
use crate::slots::process as slot;
use alloc::format;
use alloc::vec::Vec;
use bailiwick_abi::{Error, Handle};
use bailiwick_client::{CallError, Container, Factory};
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_protocol::message::{DeleteMode, Derive, Exit, Stdio};
use bailiwick_protocol::rights::Rights;
use bailiwick_userland_core::{Bundles, Console};
use core::arch::x86_64::_rdtsc;

/// Rounds that are not counted: they may have to bring pages in.
const WARM_UP: usize = 20;
/// Rounds of a request.
const ROUNDS: usize = 1000;
/// Capabilities that are about: nearly as many as a process can have.
const OTHERS: usize = 900;
/// Rounds of a container's life, and those before that are not counted.
const LIVES: usize = 20;
const FIRST_LIVES: usize = 5;

/// The bundle whose program ends at once.
const BUNDLE: &str = "true";

type Failure = CallError<Error>;

/// Not inlined, so that a profile finds where a round begins and ends.
#[inline(never)]
fn now() -> u64 {
    // SAFETY: it reads a counter.
    unsafe { _rdtsc() }
}

/// What single rounds cost.
struct Counts(Vec<u64>);

impl Counts {
    /// The median, and how many rounds cost just that.
    fn median(&mut self) -> (u64, usize) {
        self.0.sort_unstable();
        let median = self.0.get(self.0.len() / 2).copied().unwrap_or(0);
        (median, self.0.iter().filter(|count| **count == median).count())
    }
}

/// Counts each of `rounds` rounds after `first` others.
fn count<E>(first: usize, rounds: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<Counts, E> {
    (0..first).try_for_each(|_| work())?;
    let mut counts = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = now();
        work()?;
        counts.push(now() - start);
    }
    Ok(Counts(counts))
}

/// Says what was counted, without what an empty round costs.
fn say(name: &str, mut counts: Counts, empty: u64) {
    let ((median, same), rounds) = (counts.median(), counts.0.len());
    let median = median.saturating_sub(empty);
    write(&format!("{name}: {median}, {same} of {rounds} rounds cost just that\n"));
}

fn write(text: &str) {
    Serial(slot::CONSOLE).write(text.as_bytes());
}

/// Ticks at the ends of the parts of a container's life.
#[derive(Clone, Copy)]
struct Life([u64; 5]);

const PARTS: [&str; 4] = ["create", "start", "exit", "delete"];

/// From a bundle to nothing.
fn live(factory: &Factory<EndpointChannel>, bundles: BundleDirectory) -> Result<Life, Failure> {
    let directory = bundles.open(BUNDLE).map_err(CallError::Channel)?;
    let begin = now();
    let container = factory.create("life", "/bundles/true", Stdio::Log, &directory)?;
    let created = now();
    container.start()?;
    let started = now();
    let exit = container.wait()?;
    let ended = now();
    container.delete(DeleteMode::Stopped)?;
    let deleted = now();
    match exit {
        Exit::Code(0) => Ok(Life([begin, created, started, ended, deleted])),
        _ => Err(CallError::Channel(Error::GONE)),
    }
}

fn lives(factory: &Factory<EndpointChannel>, bundles: BundleDirectory, empty: u64) -> Result<(), Failure> {
    let mut lives = Vec::with_capacity(LIVES);
    for round in 0..FIRST_LIVES + LIVES {
        let life = live(factory, bundles)?;
        if round >= FIRST_LIVES {
            lives.push(life);
        }
    }
    let between = |from: usize, to: usize| {
        Counts(lives.iter().filter_map(|Life(at)| Some(at.get(to)? - at.get(from)?)).collect())
    };
    say("life", between(0, PARTS.len()), empty);
    for (index, part) in PARTS.iter().enumerate() {
        say(part, between(index, index + 1), empty);
    }
    Ok(())
}

/// Deriving a capability, and taking it back by its handle.
fn derive_and_revoke(idle: &Container<EndpointChannel>) -> Result<(Counts, Counts), Failure> {
    let (mut derived, mut revoked) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for round in 0..WARM_UP + ROUNDS {
        let begin = now();
        let (handle, copy) = idle.derive_with(Derive::new(Rights::INSPECT))?;
        let made = now();
        idle.revoke_one(&[handle])?;
        let ended = now();
        drop(copy);
        if round >= WARM_UP {
            derived.push(made - begin);
            revoked.push(ended - made);
        }
    }
    Ok((Counts(derived), Counts(revoked)))
}

/// Both, also with many others about, and a call for which one lacks the right.
fn authority(idle: &Container<EndpointChannel>, empty: u64) -> Result<(), Failure> {
    let (derived, revoked) = derive_and_revoke(idle)?;
    say("derive a capability", derived, empty);
    say("revoke of one capability", revoked, empty);
    let viewer = idle.derive(Rights::INSPECT)?;
    let refused = count(WARM_UP, ROUNDS, || match viewer.start() {
        Err(CallError::Reply(_)) => Ok(()),
        Err(other) => Err(other),
        Ok(()) => Err(CallError::Channel(Error::GONE)),
    })?;
    say("refusal for lack of rights", refused, empty);
    let others = (0..OTHERS).map(|_| idle.derive(Rights::INSPECT)).collect::<Result<Vec<_>, _>>()?;
    let (derived, revoked) = derive_and_revoke(idle)?;
    say(&format!("derive a capability beside {OTHERS} others"), derived, empty);
    say(&format!("revoke of one capability beside {OTHERS} others"), revoked, empty);
    drop(others);
    Ok(())
}

fn requests(factory: &Factory<EndpointChannel>, bundles: BundleDirectory) -> Result<(), Failure> {
    let empty = count(WARM_UP, ROUNDS, || Ok::<(), Failure>(()))?.median().0;
    let directory = bundles.open(BUNDLE).map_err(CallError::Channel)?;
    let idle: Container<_> = factory.create("idle", "/bundles/true", Stdio::Log, &directory)?;
    say("describe", count(WARM_UP, ROUNDS, || idle.describe().map(drop))?, empty);
    say("state", count(WARM_UP, ROUNDS, || idle.state(|state| state.pid).map(drop))?, empty);
    authority(&idle, empty)?;
    idle.delete(DeleteMode::Force)?;
    lives(factory, bundles, empty)
}

/// The program.
pub fn main(text: &str) -> u8 {
    let begun = now();
    if !text.starts_with("-c ") {
        write(&format!("begun: {begun}\n"));
        return 0;
    }
    let Ok(messages) = Messages::new() else { return 1 };
    let factory = Factory::new(EndpointChannel::new(messages, slot::FACTORY));
    match requests(&factory, BundleDirectory(Handle::first(slot::DIRECTORIES))) {
        Ok(()) => 0,
        Err(error) => {
            write(&format!("requests: {error}\n"));
            1
        }
    }
}
