//! The first process: starts the manager and the manifest's processes, brings the containers up and keeps them up.
//!
//! It holds every capability there is at boot and hands out what the manifest says. It ends the machine: when the
//! shell ends, when everything expected has happened and nobody sits at the console, or when it cannot go on.

mod processes;

use crate::console::Serial;
use crate::service::{self, because};
use crate::shell::BundleDirectory;
use crate::sys;
use crate::waiter::Waiters;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_abi::{Handle, Rights, slot};
use bailiwick_client::Factory;
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_manifest::{BOOT_PATH, BUNDLES_PATH, Boot, Console as Wish};
use bailiwick_protocol::message::Request;
use bailiwick_userland_core::boot::{Init, Millis};
use bailiwick_userland_core::{Console, Waiter};
use processes::Processes;

const CONSOLE: Handle = Handle::first(slot::CONSOLE);
const POWER: Handle = Handle::first(slot::POWER);
const ROOT: Handle = Handle::first(slot::ROOT);
const GROUP: Handle = Handle::first(slot::GROUP);
const CLOCK: Handle = Handle::first(slot::CLOCK);
const SYSTEM: Handle = Handle::first(slot::SYSTEM);

/// The bit that an answer to a wait for a container's end sets.
const CONTAINER_ENDED: u64 = 2;

type SystemInit<'m> = Init<'m, EndpointChannel, BundleDirectory, Bell>;

/// Wakes init by its notification.
#[derive(Debug)]
struct Bell {
    waiters: Waiters,
    events: Handle,
}

impl Waiter<EndpointChannel> for Bell {
    fn wake_when_answered(&mut self, channel: &EndpointChannel, request: &Request<'_>) -> bool {
        self.waiters.when_answered(channel, request, self.events, CONTAINER_ENDED).is_ok()
    }
}

type Result<T> = core::result::Result<T, String>;

/// Brings the system up. Never returns while the machine is on.
pub fn main(_: &str) -> u8 {
    let status = match boot() {
        Ok(status) => status,
        Err(reason) => {
            say(&format!("init: {reason}\n"));
            1
        }
    };
    sys::power_off(POWER, status);
    1
}

fn say(text: &str) {
    Serial(CONSOLE).write(text.as_bytes());
}

fn boot() -> Result<u8> {
    let bytes = read_manifest()?;
    let boot = Boot::decode(&bytes).map_err(|error| format!("{BOOT_PATH}: {error}"))?;
    let messages = Messages::new().map_err(because("the message buffer"))?;
    let (manager, door, root) = service::start_manager(&messages)?;
    // Nobody is to ask there again.
    sys::delete(door.into_handle());
    let bundles = sys::directory_open(ROOT, BUNDLES_PATH, Rights::ALL).map_err(because(BUNDLES_PATH))?;
    let events = sys::notification().map_err(because("a notification"))?;
    let bell = Bell { waiters: Waiters::default(), events };
    let mut init = Init::new(&boot.manifest, Factory::new(root), BundleDirectory(bundles), bell);
    work(&mut init, events, NEVER, |init, _| init.supervisor().brought_up());
    match &boot.console {
        Wish::Summary => summary(&mut init, &boot, events),
        Wish::Interactive | Wish::Commands(_) => attended(&mut init, &boot, events, manager),
    }
}

fn read_manifest() -> Result<Vec<u8>> {
    let mut bytes = alloc::vec![0; 4096];
    let mut len = 0;
    loop {
        let room = bytes.get_mut(len..).unwrap_or_default();
        let read = sys::file_read(ROOT, BOOT_PATH, len as u64, room);
        let (count, size) = read.map_err(because(BOOT_PATH))?;
        len += count;
        if count == 0 || len as u64 >= size {
            bytes.truncate(len);
            return Ok(bytes);
        }
        bytes.resize(len + 4096, 0);
    }
}

fn now() -> Millis {
    Millis(sys::now(CLOCK) / 1_000_000)
}

/// A time that never comes.
const NEVER: Millis = Millis(u64::MAX);

/// Time after which the processes of the manifest have what they need to run, in milliseconds.
const SETTLED_MS: u64 = 500;

/// Does what is due until `done`, or until this time; waits in between until the next thing is due or something has
/// ended.
fn work(
    init: &mut SystemInit<'_>,
    events: Handle,
    limit: Millis,
    mut done: impl FnMut(&SystemInit<'_>, u64) -> bool,
) {
    let mut bits = 0;
    loop {
        let again = init.step(now(), &mut Serial(CONSOLE)).min(limit);
        if done(init, bits) || now() >= limit {
            return;
        }
        bits = sys::wait(events, again.0.saturating_mul(1_000_000)).unwrap_or(0);
    }
}

/// Waits until everything expected has happened, or too long, and says how it stands.
fn summary(init: &mut SystemInit<'_>, boot: &Boot, events: Handle) -> Result<u8> {
    let mut processes = Processes::start(init, boot, events)?;
    let limit = now().after(boot.manifest.settle_ms.into());
    work(init, events, limit, |init, bits| processes.are_over(bits) & init.supervisor().settled());
    init.supervisor().summary(&mut Serial(CONSOLE));
    if init.supervisor().all_met() && processes.are_over(0) { processes.status() } else { Ok(1) }
}

/// Starts the manifest's processes and supervises until the one with the console ends, and those that end by
/// themselves if nobody sits there.
fn attended(init: &mut SystemInit<'_>, boot: &Boot, events: Handle, manager: Handle) -> Result<u8> {
    let mut processes = Processes::start(init, boot, events)?;
    work(init, events, now().after(SETTLED_MS), |_, bits| processes.are_over(bits));
    // One look while it runs: it had time to begin, and a process that has ended has no memory to show.
    let used = processes.at_console().and_then(|at_console| Used::look(manager, at_console));
    work(init, events, NEVER, |_, bits| processes.are_over(bits));
    used.into_iter().for_each(Used::say);
    processes.status()
}

/// Who uses how much memory, in KiB.
struct Used {
    manager: u64,
    at_console: u64,
    charged: u64,
    heap_free: u64,
    free: u64,
}

impl Used {
    /// None if one of them has ended.
    fn look(manager: Handle, at_console: Handle) -> Option<Used> {
        const FRAME: u64 = 4;
        let frames = |process| sys::process_frames(process).ok().filter(|frames| *frames > 0);
        let [free, _, heap_free] = sys::memory(SYSTEM).ok()?;
        Some(Used {
            manager: frames(manager)? * FRAME,
            at_console: frames(at_console)? * FRAME,
            charged: sys::group_frames(GROUP).ok()? * FRAME,
            heap_free: heap_free / 1024,
            free: free * FRAME,
        })
    }

    fn say(self) {
        let Used { manager, at_console, charged, heap_free, free } = self;
        say(&format!(
            "init: memory in KiB: manager {manager}, shell {at_console}, all processes {charged}, \
             free in the kernel's heap {heap_free}, free {free}\n"
        ));
    }
}
