//! Holds the `metal` backend to the contract of kernel-glue, in ring 3 of our own kernel.
//!
//! It is started in place of init, with init's capabilities. The boot image has the bundle of
//! [`contract::bundle::ENTRIES`] as `/contract`. What it is started with says more:
//!
//! ```text
//!   native=/sbin/contract                  every case
//!   native=/sbin/contract cases=hook       those whose name has this word
//!   native=/sbin/contract rounds=1000      no case: so many containers come and go, and leave nothing
//!   native=/sbin/contract play=answers     no case: what becomes of an answer whose capability is taken back
//! ```

mod answers;

use crate::console::Serial;
use crate::heap;
use crate::sys;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Handle, Rights, slot};
use bailiwick_kernel_glue::KernelGlue;
use bailiwick_kernel_glue::contract::{self, Census, Counts, Fixture, Outcome, Report};
use bailiwick_kernel_glue::metal::{Authority, Directory, Metal};
use bailiwick_kernel_glue::plan::{Hook, HookKind};
use bailiwick_userland_core::Console;

const ROOT: Handle = Handle::first(slot::ROOT);
const SYSTEM: Handle = Handle::first(slot::SYSTEM);

/// The case in which containers come and go, and how many.
const MANY: (&str, u32) = ("fifty containers come and go, and leave nothing", 50);

/// Where the bundle is.
const BUNDLE: &str = "/contract";
/// Where traced hooks leave their trace: seen from the bundle's root file system.
const TRAIL: &str = "/tmp/trail";
/// How often others get to run before a count that they never come to rest for.
const LOOKS: usize = 10_000;
/// Most bytes of the trail.
const TRAIL_MAX: usize = 4096;

fn say(line: &str) {
    Serial(Handle::first(slot::CONSOLE)).write(format!("{line}\n").as_bytes());
}

/// What follows `name=` in the text the program was started with.
fn option<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The backend, and what it is tried with.
struct OnMetal {
    glue: Metal,
    /// Bytes of the trail that were looked at.
    seen: usize,
}

impl OnMetal {
    fn new() -> Result<Self, bailiwick_abi::Error> {
        let glue = Metal::new(Authority {
            group: Handle::first(slot::GROUP),
            host: ROOT,
            events: sys::notification()?,
            bits: 1,
            console: Handle::first(slot::CONSOLE),
            clock: Handle::first(slot::CLOCK),
        });
        Ok(OnMetal { glue, seen: 0 })
    }
}

/// Counts once nobody runs but this program, or never comes to rest.
fn at_rest() -> bailiwick_abi::Census {
    let count = || sys::census(SYSTEM).unwrap_or_default();
    for _ in 0..LOOKS {
        let census = count();
        if census.runnable <= 1 {
            return census;
        }
        sys::yield_now();
    }
    count()
}

impl Fixture for OnMetal {
    type Glue = Metal;

    fn glue(&mut self) -> &mut Metal {
        &mut self.glue
    }

    fn directory(&mut self) -> Result<Directory, String> {
        let opened = sys::directory_open(ROOT, BUNDLE, Rights::ALL);
        opened.map(Directory::new).map_err(|error| format!("{BUNDLE}: {error}"))
    }

    fn census(&mut self) -> Census {
        let names = bailiwick_abi::Census::NAMES.iter().copied();
        names.zip(at_rest().to_words()).collect()
    }

    fn traced(&mut self, kind: HookKind) -> Option<Hook> {
        // Only a startContainer hook runs below the container's root.
        let root = if kind == HookKind::StartContainer { String::new() } else { format!("{BUNDLE}/rootfs") };
        let script = format!("echo {} >> {root}{TRAIL}", kind.as_str());
        let args = ["busybox", "sh", "-c", &script].map(ToString::to_string).into();
        Some(Hook { kind, path: "/bin/busybox".to_string(), args, env: Vec::new(), timeout: None })
    }

    fn trail(&mut self) -> Vec<HookKind> {
        let mut room = alloc::vec![0; TRAIL_MAX];
        let path = format!("{BUNDLE}/rootfs{TRAIL}");
        let (len, _) = sys::file_read(ROOT, &path, 0, &mut room).unwrap_or_default();
        let new = room.get(self.seen..len).unwrap_or_default();
        let text = String::from_utf8_lossy(new).into_owned();
        self.seen = len;
        text.lines().filter_map(|line| HookKind::ALL.into_iter().find(|kind| kind.as_str() == line)).collect()
    }
}

/// A line when a case begins, and one when it has ended.
struct Lines;

impl Report for Lines {
    fn begin(&mut self, name: &'static str) {
        say(&format!("case {name}"));
    }
    fn end(&mut self, _: &'static str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => say("passed"),
            Outcome::Failed(what) => say(&format!("failed: {}", what.replace('\n', " "))),
            Outcome::Skipped(why) => say(&format!("skipped: {why}")),
        }
    }
}

/// Says nothing.
struct Silence;

impl Report for Silence {
    fn begin(&mut self, _: &'static str) {}
    fn end(&mut self, _: &'static str, _: Outcome) {}
}

fn cases(fixture: &mut OnMetal, wanted: &str) -> u8 {
    let Counts { passed, failed, skipped } =
        contract::run_some(fixture, &mut Lines, |name| name.contains(wanted));
    say(&format!("contract: {passed} passed, {failed} failed, {skipped} skipped"));
    u8::from(failed > 0)
}

/// Lets containers come and go by the fifties, and says whether something was left and what they took.
fn rounds(fixture: &mut OnMetal, wanted: u32) -> u8 {
    let heap = || sys::memory(SYSTEM).map_or(0, |[_, _, heap]| heap);
    let (before, start) = (heap(), fixture.glue.now());
    let mut failed = 0;
    let mut lives = 0;
    while lives < wanted && failed == 0 {
        failed += contract::run_some(fixture, &mut Lines, |name| name == MANY.0).failed;
        lives += MANY.1;
    }
    let micros = (fixture.glue.now().0 - start.0) / 1000 / u64::from(lives.max(1));
    say(&format!("rounds: {lives} lives, {micros} microseconds each"));
    say(&format!("kernel heap: {} bytes less free", before.cast_signed() - heap().cast_signed()));
    u8::from(failed > 0)
}

/// The program. Its status is 0 if nothing failed.
pub fn main(text: &str) -> u8 {
    match option(text, "play") {
        Some("answers") => answers::main(),
        _ if text == answers::CALLER => answers::call(),
        _ => on_metal(text),
    }
}

fn on_metal(text: &str) -> u8 {
    // From here on the number of free frames depends on nothing that this program does by itself.
    heap::touch();
    let mut fixture = match OnMetal::new() {
        Ok(fixture) => fixture,
        Err(error) => {
            say(&format!("contract: no notification: {error}"));
            return 1;
        }
    };
    // What only the first container or hook makes is there from now on: own pages of files of the boot image, the
    // trail.
    contract::run_some(&mut fixture, &mut Silence, |name| name.contains("hooks of all kinds"));
    match option(text, "rounds").map(str::parse) {
        Some(Ok(wanted)) => rounds(&mut fixture, wanted),
        Some(Err(_)) => {
            say("contract: rounds=NUMBER");
            1
        }
        None => cases(&mut fixture, option(text, "cases").unwrap_or_default()),
    }
}
