//! The first process: starts the manager and the manifest's processes, brings the containers up and keeps them up.
//!
//! It holds every capability there is at boot and hands out what the manifest says. It ends the machine: when the
//! shell ends, when everything expected has happened and nobody sits at the console, or when it cannot go on.

use crate::console::Serial;
use crate::shell::BundleDirectory;
use crate::slots::{manager, process};
use crate::sys;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Exit, Handle, Rights, slot};
use bailiwick_client::Factory;
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_manifest::{BOOT_PATH, BUNDLES_PATH, Boot, Console as Wish, Process};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_userland_core::Console;
use bailiwick_userland_core::boot::{Init, Millis};

const CONSOLE: Handle = Handle::first(slot::CONSOLE);
const POWER: Handle = Handle::first(slot::POWER);
const ROOT: Handle = Handle::first(slot::ROOT);
const GROUP: Handle = Handle::first(slot::GROUP);
const CLOCK: Handle = Handle::first(slot::CLOCK);

/// The bit that the end of a process of the manifest sets.
const PROCESS_ENDED: u64 = 1;

type SystemInit<'m> = Init<'m, EndpointChannel, BundleDirectory>;
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
    let root = start_manager(&messages)?;
    let bundles = sys::directory_open(ROOT, BUNDLES_PATH, Rights::ALL).map_err(because(BUNDLES_PATH))?;
    let mut init = Init::new(&boot.manifest, Factory::new(root), BundleDirectory(bundles));
    let events = sys::notification().map_err(because("a notification"))?;
    bring_up(&mut init, events);
    match &boot.console {
        Wish::Summary => Ok(summary(&mut init, &boot, events)),
        Wish::Interactive => attended(&mut init, &boot, events, ""),
        Wish::Commands(commands) => attended(&mut init, &boot, events, &format!("-c {commands}")),
    }
}

/// What could not be had, and why.
fn because(what: &str) -> impl Fn(bailiwick_abi::Error) -> String {
    move |error| format!("{what}: {error}")
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

/// Starts the manager and claims the root factory from it.
fn start_manager(messages: &Messages) -> Result<EndpointChannel> {
    let endpoint = sys::endpoint().map_err(because("an endpoint"))?;
    let events = sys::notification().map_err(because("a notification"))?;
    let program = sys::process_create(GROUP, ROOT, "/sbin/manager").map_err(because("/sbin/manager"))?;
    let grants = [
        (manager::CONSOLE, CONSOLE, Rights::ALL),
        (manager::ROOT, ROOT, Rights::READ.with(Rights::EXECUTE).with(Rights::WRITE)),
        (manager::GROUP, GROUP, Rights::ALL),
        (manager::CLOCK, CLOCK, Rights::READ),
        (manager::ENDPOINT, endpoint, Rights::ALL),
        (manager::EVENTS, events, Rights::ALL),
    ];
    for (place, handle, rights) in grants {
        sys::process_grant(program, place.slot(), handle, rights).map_err(because("the manager's rights"))?;
    }
    sys::process_start(program, "").map_err(because("/sbin/manager"))?;
    let door = sys::derive(endpoint, Rights::WRITE).map_err(because("the endpoint"))?;
    // Without a reader left, calls fail instead of waiting for ever should the manager end.
    sys::delete(endpoint);
    let door = EndpointChannel::new(messages.clone(), door);
    let mut reply = ReplyBuffer::default();
    let claimed = door.call(&[], None, &mut reply);
    sys::delete(door.into_handle());
    claimed.map_err(because("the manager"))?;
    reply.take().ok_or_else(|| "the manager: it gave no factory".to_string())
}

fn now() -> Millis {
    Millis(sys::now(CLOCK) / 1_000_000)
}

/// One step, and a wait until the next is due or a process has ended.
fn step(init: &mut SystemInit<'_>, events: Handle) -> u64 {
    let again = init.step(now(), &mut Serial(CONSOLE));
    sys::wait(events, again.0.saturating_mul(1_000_000)).unwrap_or(0)
}

fn bring_up(init: &mut SystemInit<'_>, events: Handle) {
    init.step(now(), &mut Serial(CONSOLE));
    while !init.supervisor().brought_up() {
        step(init, events);
    }
}

/// Waits until everything expected has happened, or too long, and says how it stands.
fn summary(init: &mut SystemInit<'_>, boot: &Boot, events: Handle) -> u8 {
    let limit = now().after(boot.manifest.settle_ms.into());
    while !init.supervisor().settled() && now() < limit {
        step(init, events);
    }
    init.supervisor().summary(&mut Serial(CONSOLE));
    u8::from(!init.supervisor().all_met())
}

/// Starts the manifest's processes and supervises until the one with the console ends; its status is the machine's.
fn attended(init: &mut SystemInit<'_>, boot: &Boot, events: Handle, text: &str) -> Result<u8> {
    let mut at_console = None;
    for program in &boot.manifest.processes {
        let started = start_process(init, program, text)?;
        if program.console {
            sys::process_watch(started, events, PROCESS_ENDED).map_err(because(&program.name))?;
            at_console = Some(started);
        }
    }
    let at_console = at_console.ok_or("the manifest gives the console to no process")?;
    while step(init, events) & PROCESS_ENDED == 0 {}
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
        let factory = init.factory().derive(wanted.factory).map_err(|error| format!("{name}: {error}"))?;
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
