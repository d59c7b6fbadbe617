//! Who starts everybody, counts before and after, and says what it found.

use super::attacks::{ATTACKS, Way};
use super::machine::{DEEDS, ticks_of};
use super::{BEAT, ORDERS, PAUSE, PAUSED, READY, RESUME, SIGNS, STOP, say};
use crate::service::{self, because};
use crate::slots::process as slot;
use crate::sys;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Call, Census, Exit, Handle, Rights, slot as boot};
use bailiwick_client::{CallError, Factory};
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::error::ErrorReply;
use bailiwick_protocol::frame::{FrameBuffer, Tag, decode_reply};
use bailiwick_protocol::message::{DeleteMode, Page};
use bailiwick_protocol::{Quota, Rights as Allowed};
use core::cell::Cell;

const CONSOLE: Handle = Handle::first(boot::CONSOLE);
const ROOT: Handle = Handle::first(boot::ROOT);
const GROUP: Handle = Handle::first(boot::GROUP);
const CLOCK: Handle = Handle::first(boot::CLOCK);
const SYSTEM: Handle = Handle::first(boot::SYSTEM);

/// What an attacker may use: frames, and processes and threads.
const FRAMES: u64 = 2048;
const THREADS: u64 = 80;
/// Containers it may have.
const QUOTA: Quota = Quota { containers: Some(4), ..Quota::UNBOUNDED };
/// Most times that an attack is made after the first. The manager's heap may grow by a page in one of them, depending on
/// when the timer struck; what leaks does so each time.
const ROUNDS: usize = 5;
/// How often a count that is not what it was is made again: what attacks leave to others takes its time.
const TRIES: usize = 200;
/// Nanoseconds between two counts.
const BETWEEN: u64 = 5_000_000;

type Result<T> = core::result::Result<T, String>;

struct Conductor {
    root: Factory<EndpointChannel>,
    /// The manager's endpoint itself, whose holder is told how many records there are.
    door: EndpointChannel,
    signs: Handle,
    marks: Handle,
    orders: Handle,
    bundles: Handle,
    /// Groups so far, to name the next one.
    groups: Cell<u32>,
}

/// A process under way, and the group that pays for it.
struct Started {
    process: Handle,
    group: Handle,
}

/// Everything that is counted.
#[derive(PartialEq, Eq, Clone)]
struct Count {
    kernel: [u64; Census::WORDS],
    manager: String,
}

impl Count {
    /// Whether pages are all that is amiss.
    fn has_only_fewer_frames(&self, before: &Count) -> bool {
        let others = |count: &Count| Census { free_frames: 0, ..Census::from_words(count.kernel) };
        self != before && self.manager == before.manager && others(self) == others(before)
    }
    /// What is not as it was before, in words.
    fn difference(&self, before: &Count) -> String {
        let words = Census::NAMES.iter().zip(before.kernel.iter().zip(self.kernel));
        let mut text: Vec<String> = words
            .filter(|(_, (before, after))| *before != after)
            .map(|(name, (before, after))| format!("{name} {before} -> {after}"))
            .collect();
        if self.manager != before.manager {
            text.push(format!("{} -> {}", before.manager, self.manager));
        }
        if text.is_empty() { "nothing".to_string() } else { text.join(", ") }
    }
}

pub(super) fn main() -> u8 {
    match conduct() {
        Ok(()) => 0,
        Err(reason) => {
            say(&format!("conductor: {reason}\n"));
            1
        }
    }
}

fn conduct() -> Result<()> {
    let messages = Messages::new().map_err(because("the message buffer"))?;
    let (_, door, root) = service::start_manager(&messages)?;
    let note = || sys::notification().map_err(because("a notification"));
    let own = Conductor {
        root: Factory::new(root),
        door,
        signs: note()?,
        marks: note()?,
        orders: note()?,
        bundles: sys::directory_open(ROOT, "/bundles", Rights::ALL).map_err(because("/bundles"))?,
        groups: Cell::new(0),
    };
    let neighbour = own.start("neighbour", own.signs, Some(own.orders))?;
    own.await_sign(own.signs, BEAT);
    for (name, way) in ATTACKS {
        own.attack(name, *way)?;
        let mut before = own.count_quiet();
        let mut difference = String::new();
        for _ in 0..ROUNDS {
            own.attack(name, *way)?;
            let after = own.count_again(&before);
            difference = after.difference(&before);
            if !after.has_only_fewer_frames(&before) {
                break;
            }
            before = after;
        }
        say(&format!("{name} left: {difference}\n"));
        // The neighbour has been answered since.
        own.await_sign(own.signs, BEAT);
    }
    own.order(STOP);
    let end = sys::process_wait(neighbour.process).map_err(because("the neighbour"))?;
    own.finish(neighbour);
    match end {
        Exit::Code(0) => Ok(()),
        other => Err(format!("the neighbour ended with {other:?}")),
    }
}

impl Conductor {
    fn order(&self, bits: u64) {
        let _ = super::raw::any(Call::Signal, &[self.orders.0, bits]);
    }
    fn await_sign(&self, of: Handle, bits: u64) {
        while !matches!(sys::wait(of, u64::MAX), Ok(came) if came & bits != 0) {}
    }

    /// Starts this program in a group of its own, with a factory of its own that nobody else holds.
    fn start(&self, text: &str, signs: Handle, orders: Option<Handle>) -> Result<Started> {
        self.groups.set(self.groups.get() + 1);
        let name = format!("hostile-{}", self.groups.get());
        let group = sys::group_create(GROUP, &name, FRAMES, THREADS).map_err(because("a group"))?;
        let process = sys::process_create(group, ROOT, "/sbin/hostile").map_err(because("/sbin/hostile"))?;
        let factory = self.root.delegate(Allowed::all(), QUOTA, None).map_err(|error| error.to_string())?;
        let factory = factory.into_channel().into_handle();
        let both = Rights::READ.with(Rights::WRITE);
        let directory = Rights::READ.with(Rights::EXECUTE).with(Rights::WRITE).with(Rights::GRANT);
        let mut grants = Vec::from([
            (slot::CONSOLE, CONSOLE, Rights::WRITE),
            (slot::FACTORY, factory, Rights::WRITE),
            (Handle::first(slot::DIRECTORIES), self.bundles, directory),
            (SIGNS, signs, Rights::WRITE),
        ]);
        grants.extend(orders.map(|orders| (ORDERS, orders, both)));
        for (place, handle, rights) in grants {
            sys::process_grant(process, place.slot(), handle, rights).map_err(because("a grant"))?;
        }
        sys::delete(factory);
        sys::process_start(process, text).map_err(because(text))?;
        Ok(Started { process, group })
    }

    /// Lets go of what has ended.
    fn finish(&self, started: Started) {
        sys::delete(started.process);
        sys::group_destroy(started.group);
    }
    /// Waits for the end.
    fn end_of(&self, started: Started) -> Result<Exit> {
        let end = sys::process_wait(started.process).map_err(because("an attacker"))?;
        self.finish(started);
        Ok(end)
    }

    /// Makes one attack, and removes the containers that it has left, which nobody holds any more.
    fn attack(&self, name: &str, way: Way) -> Result<()> {
        let text = format!("attack {name}");
        match way {
            Way::Alone(wanted) => {
                let end = self.end_of(self.start(&text, self.marks, None)?)?;
                // One that goes as it should says itself what came of it.
                if end != wanted || wanted != Exit::Code(0) {
                    say(&format!("{name}: ended with {end:?}\n"));
                }
            }
            Way::Killed => {
                let started = self.start(&text, self.marks, None)?;
                self.await_sign(self.marks, READY);
                let ticks = ticks_of(|| sys::process_kill(started.process));
                say(&format!("ticks of a kill: {ticks}\n"));
                say(&format!("{name}: {:?}\n", self.end_of(started)?));
            }
            Way::Crowd(count) => {
                let mut all = Vec::new();
                for _ in 0..count {
                    all.push(self.start(&text, self.marks, None)?);
                }
                let mut good = 0;
                for started in all {
                    good += usize::from(self.end_of(started)? == Exit::Code(0));
                }
                say(&format!("{name}: {good} of {count} got all their answers\n"));
            }
            Way::Deeds => {
                for (deed, _) in DEEDS {
                    let end = self.end_of(self.start(&format!("deed {deed}"), self.marks, None)?)?;
                    if end != Exit::Signal(11) {
                        say(&format!("{name}: {deed} ended with {end:?}\n"));
                    }
                }
                say(&format!("{name}: {} deeds done\n", DEEDS.len()));
            }
        }
        self.clean_up()
    }

    fn clean_up(&self) -> Result<()> {
        let failed = |error: CallError<bailiwick_abi::Error>| format!("cleaning up: {error}");
        loop {
            let page = self.root.list(Page { from: 0 }).map_err(failed)?;
            let left: Vec<_> = page.rows.iter().filter(|row| row.id.as_str().ends_with("victim")).collect();
            if left.is_empty() {
                return Ok(());
            }
            for row in left {
                let found = self.root.lookup(row.id.as_str(), Allowed::all()).map_err(failed)?;
                found.delete(DeleteMode::Force).map_err(failed)?;
            }
        }
    }

    /// Counts everything while the neighbour does nothing and the manager has nothing to do.
    fn count_quiet(&self) -> Count {
        self.count_until(|_| false, 3)
    }
    /// Counts again until it is as before, or it is clear that it will not be.
    fn count_again(&self, before: &Count) -> Count {
        self.count_until(|now| now == before, TRIES)
    }
    fn count_until(&self, good: impl Fn(&Count) -> bool, tries: usize) -> Count {
        self.order(PAUSE);
        self.await_sign(self.signs, PAUSED);
        let mut count = self.count();
        for _ in 1..tries {
            if good(&count) {
                break;
            }
            sys::sleep_until(CLOCK, sys::now(CLOCK) + BETWEEN);
            count = self.count();
        }
        self.order(RESUME);
        count
    }
    fn count(&self) -> Count {
        // Twice, so that what the first left the manager to do is done.
        let _ = self.root.sync();
        let manager = self.records();
        sys::sleep_until(CLOCK, sys::now(CLOCK) + BETWEEN);
        Count { kernel: sys::census(SYSTEM).unwrap_or_default().to_words(), manager }
    }
    /// What the manager tells who holds its endpoint: how many records it has.
    fn records(&self) -> String {
        let mut reply = ReplyBuffer::default();
        if let Err(error) = self.door.call(&FrameBuffer::new(), None, &mut reply) {
            return error.to_string();
        }
        match decode_reply::<()>(Tag(0), reply.frame()) {
            Err(ErrorReply::Refusal(refusal)) => refusal.to_string(),
            other => format!("{other:?}"),
        }
    }
}
