//! The first process: starts the manager and the manifest's processes, brings the containers up and keeps them up.
//!
//! It holds every capability there is at boot and hands out what the manifest says. It ends the machine: when the
//! shell ends, when everything expected has happened and nobody sits at the console, or when it cannot go on.

use crate::console::Serial;
use crate::service::{self, because};
use crate::shell::BundleDirectory;
use crate::slots::process;
use crate::sys;
use crate::waiter::Waiters;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Exit, Handle, Rights, slot};
use bailiwick_client::Factory;
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_manifest::{BOOT_PATH, BUNDLES_PATH, Boot, Console as Wish, Process};
use bailiwick_protocol::Quota;
use bailiwick_protocol::message::Request;
use bailiwick_userland_core::boot::{Init, Millis};
use bailiwick_userland_core::{Console, Waiter};

const CONSOLE: Handle = Handle::first(slot::CONSOLE);
const POWER: Handle = Handle::first(slot::POWER);
const ROOT: Handle = Handle::first(slot::ROOT);
const GROUP: Handle = Handle::first(slot::GROUP);
const CLOCK: Handle = Handle::first(slot::CLOCK);
const SYSTEM: Handle = Handle::first(slot::SYSTEM);

/// The bit that the end of a process of the manifest sets.
const PROCESS_ENDED: u64 = 1;

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
        Wish::Summary => Ok(summary(&mut init, &boot, events)),
        Wish::Interactive => attended(&mut init, &boot, (events, manager), ""),
        Wish::Commands(commands) => attended(&mut init, &boot, (events, manager), &format!("-c {commands}")),
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
fn summary(init: &mut SystemInit<'_>, boot: &Boot, events: Handle) -> u8 {
    let limit = now().after(boot.manifest.settle_ms.into());
    work(init, events, limit, |init, _| init.supervisor().settled());
    init.supervisor().summary(&mut Serial(CONSOLE));
    u8::from(!init.supervisor().all_met())
}

/// Starts the manifest's processes and supervises until the one with the console ends; its status is the machine's.
fn attended(
    init: &mut SystemInit<'_>,
    boot: &Boot,
    (events, manager): (Handle, Handle),
    text: &str,
) -> Result<u8> {
    let mut at_console = None;
    for program in &boot.manifest.processes {
        let started = start_process(init, program, text)?;
        if program.console {
            sys::process_watch(started, events, PROCESS_ENDED).map_err(because(&program.name))?;
            at_console = Some(started);
        }
    }
    let at_console = at_console.ok_or("the manifest gives the console to no process")?;
    let mut ended = false;
    let mut until_ended = |_: &SystemInit<'_>, bits| {
        ended |= bits & PROCESS_ENDED != 0;
        ended
    };
    work(init, events, now().after(SETTLED_MS), &mut until_ended);
    // One look while it runs: it had time to begin, and a process that has ended has no memory to show.
    let used = Used::look(manager, at_console);
    if !ended {
        work(init, events, NEVER, |_, bits| bits & PROCESS_ENDED != 0);
    }
    used.into_iter().for_each(Used::say);
    match sys::process_wait(at_console).map_err(because("the process at the console"))? {
        Exit::Code(status) => Ok(status),
        Exit::Signal(number) => Err(format!("the process at the console: signal {number} ended it")),
        Exit::OutOfMemory => Err("the process at the console: out of memory".to_string()),
    }
}

/// Starts one process with what the manifest gives it.
fn start_process(init: &SystemInit<'_>, wanted: &Process, text: &str) -> Result<Handle> {
    let name = wanted.name.as_str();
    let program = sys::process_create(GROUP, ROOT, &format!("/sbin/{name}")).map_err(because(name))?;
    let grant =
        |slot, handle, rights| sys::process_grant(program, slot, handle, rights).map_err(because(name));
    if wanted.console {
        grant(process::CONSOLE.slot(), CONSOLE, Rights::READ.with(Rights::WRITE))?;
    }
    if !wanted.factory.is_empty() {
        let factory = if wanted.is_tenant() {
            let quota = wanted.quota.unwrap_or(Quota::UNBOUNDED);
            init.factory().delegate(wanted.factory, quota, wanted.policy.as_deref())
        } else {
            init.factory().derive(wanted.factory)
        };
        let factory = factory.map_err(|error| format!("{name}: {error}"))?;
        let handle = factory.into_channel().into_handle();
        grant(process::FACTORY.slot(), handle, Rights::WRITE)?;
        sys::delete(handle);
    }
    let slots = process::DIRECTORIES..process::DIRECTORIES + process::DIRECTORIES_MAX;
    for (slot, path) in slots.zip(&wanted.directories) {
        let directory = sys::directory_open(ROOT, path, Rights::ALL).map_err(because(path))?;
        grant(slot, directory, Rights::READ.with(Rights::EXECUTE).with(Rights::WRITE).with(Rights::GRANT))?;
        sys::delete(directory);
    }
    sys::process_start(program, text).map_err(because(name))?;
    Ok(program)
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
