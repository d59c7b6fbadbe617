//! Attacks by many: threads, calls, objects, pages.

use super::attacks::await_death;
use super::raw::{any, message, send_small, thread, thread_exit};
use crate::shell::BundleDirectory;
use crate::slots::process as slot;
use crate::sys;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_abi::{Call, Error, Handle, MESSAGE_MAX, MessageInfo, Rights};
use bailiwick_client::{CallError, Container, Factory};
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_protocol::frame::{FRAME_MAX, Tag};
use bailiwick_protocol::message::{Derive, Nanos, Request, Stdio};
use bailiwick_protocol::rights::Rights as Allowed;
use bailiwick_userland_core::Bundles;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const FACTORY: Handle = slot::FACTORY;

/// The frame that threads send: they can make none, having no heap.
static FRAME: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static FRAME_LENGTH: AtomicUsize = AtomicUsize::new(0);
/// What they send it to.
static TARGET: AtomicU64 = AtomicU64::new(0);
static STARTED: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

fn set_frame(target: Handle, request: &Request<'_>) {
    let mut room = [0; FRAME_MAX];
    let frame = request.encode(Tag(7), &mut room).unwrap_or_default();
    for (word, bytes) in FRAME.iter().zip(frame.chunks(8)) {
        let mut whole = [0; 8];
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
    }
    FRAME_LENGTH.store(frame.len(), Ordering::Relaxed);
    TARGET.store(target.0, Ordering::Relaxed);
}

/// Sends the frame so many times.
extern "sysv64" fn caller(times: u64) -> ! {
    STARTED.fetch_add(1, Ordering::Relaxed);
    let [low, high] = [&FRAME[0], &FRAME[1]].map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(low.into_iter().chain(high)).for_each(|(to, from)| *to = from);
    let frame = bytes.get(..FRAME_LENGTH.load(Ordering::Relaxed)).unwrap_or_default();
    let target = Handle(TARGET.load(Ordering::Relaxed));
    for _ in 0..times {
        ANSWERED.fetch_add(usize::from(send_small(target, frame)), Ordering::Relaxed);
    }
    ENDED.fetch_add(1, Ordering::Relaxed);
    thread_exit()
}

/// Calls for ever.
extern "sysv64" fn self_caller(_: u64) -> ! {
    STARTED.fetch_add(1, Ordering::Relaxed);
    let target = TARGET.load(Ordering::Relaxed);
    loop {
        let _ = message(Call::Send, Handle(target), MessageInfo::new(8));
    }
}

extern "sysv64" fn idler(_: u64) -> ! {
    loop {
        let _ = any(Call::Yield, &[]);
    }
}

fn until(enough: impl Fn() -> bool) {
    while !enough() {
        let _ = any(Call::Yield, &[]);
    }
}

/// More threads than a process may have.
pub(super) fn threads() -> Result<String, Error> {
    let mut started = 0;
    let end = loop {
        match thread(idler, 0) {
            Ok(()) => started += 1,
            Err(error) => break error,
        }
    };
    Ok(format!("{started} more, then {end}"))
}

/// More memory than its group has.
pub(super) fn memory() -> Result<String, Error> {
    let pieces = core::iter::from_fn(|| sys::allocate(1 << 20).ok()).take(64);
    for piece in pieces {
        for page in (0..1 << 20).step_by(4096) {
            touch((piece + page) as u64, page as u64);
        }
    }
    Ok("it has it all".into())
}

#[allow(unsafe_code, reason = "memory that was asked for by its address")]
fn touch(address: u64, value: u64) {
    // SAFETY: the page was mapped for nothing but this.
    unsafe { (address as *mut u64).write_volatile(value) }
}

/// More objects than it has slots for, and mappings of one of them until there are too many.
pub(super) fn objects() -> Result<String, Error> {
    let mut made = Vec::new();
    let end = loop {
        match any(Call::MemoryCreate, &[1 << 30]) {
            Ok([handle, ..]) => made.push(Handle(handle)),
            Err(error) => break error,
        }
    };
    let text = format!("{} memory objects, then {end}", made.len());
    made.into_iter().for_each(sys::delete);
    let one = Handle(any(Call::MemoryCreate, &[4096])?[0]);
    let mut mapped = 0;
    let end = loop {
        match any(Call::MemoryMap, &[one.0, Rights::READ.with(Rights::WRITE).0.into()]) {
            Ok([address, ..]) => touch(address, mapped),
            Err(error) => break error,
        }
        mapped += 1;
    };
    let notes = core::iter::from_fn(|| sys::notification().ok()).count();
    Ok(format!("{text}; {} thousand mappings, then {end}; {notes} notifications, left behind", mapped / 1000))
}

/// Changes the message buffer while its bytes are on their way.
extern "sysv64" fn scribbler(address: u64) -> ! {
    let mut value = 1u64;
    loop {
        for word in (0..MESSAGE_MAX as u64 + 64).step_by(8) {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            touch(address + word, value >> (value % 60));
        }
    }
}

/// Sends what another thread changes meanwhile.
pub(super) fn shared_memory() -> Result<String, Error> {
    let mut buffer = super::raw::Buffer::new()?;
    thread(scribbler, buffer.address())?;
    let (mut answered, mut lost) = (0, 0);
    for round in 0..1500 {
        let info = MessageInfo::new(65 + round * 2).with_capabilities(round % 5).with_room(4);
        match buffer.send(FACTORY, info) {
            Err(Error::PEER_GONE) => lost += 1,
            _ => answered += 1,
        }
    }
    Ok(format!("{answered} came back, {lost} lost"))
}

/// A container of its own that runs until it is killed.
fn victim() -> Result<Container<EndpointChannel>, Error> {
    let factory = Factory::new(EndpointChannel::new(Messages::new()?, FACTORY));
    let bundle = BundleDirectory(Handle::first(slot::DIRECTORIES)).open("forever")?;
    let made = factory.create("victim", "forever", Stdio::Log, &bundle);
    // Dropped it would give the factory up.
    core::mem::forget(factory);
    let container = made.map_err(|_| Error::NO_CALL)?;
    container.start().map_err(|_| Error::NO_CALL)?;
    Ok(container)
}

/// Waits for the end of what does not end, with more threads than may, and ends itself meanwhile.
pub(super) fn parked() -> Result<String, Error> {
    let container = victim()?.into_channel().into_handle();
    set_frame(container, &Request::Wait);
    for _ in 0..24 {
        thread(caller, 1)?;
    }
    // Sixteen may wait on one capability; the others have their refusal.
    until(|| ENDED.load(Ordering::Relaxed) == 8);
    Ok("8 of 24 were refused, 16 left waiting".into())
}

/// Waits for what does not end, on a capability that ends meanwhile by its time, with nothing else going on.
pub(super) fn outlived() -> Result<String, Error> {
    let lifetime = Some(Nanos(50_000_000));
    let derived = victim()?.derive_with(Derive { lifetime, ..Derive::new(Allowed::all()) });
    let (_, short) = derived.map_err(|_| Error::WRONG_KIND)?;
    match short.wait() {
        Err(CallError::Reply(error)) => Ok(format!("{error}")),
        other => Ok(format!("{other:?}")),
    }
}

/// Queues calls and ends before they are answered.
pub(super) fn queued() -> Result<String, Error> {
    set_frame(FACTORY, &Request::Usage);
    for _ in 0..60 {
        thread(caller, u64::MAX)?;
    }
    until(|| STARTED.load(Ordering::Relaxed) == 60);
    Ok("60 threads left calling".into())
}

/// Waits for everything there is to wait for, until it is killed.
pub(super) fn killed() -> Result<String, Error> {
    let container = victim()?.into_channel().into_handle();
    set_frame(container, &Request::Wait);
    for _ in 0..8 {
        thread(caller, u64::MAX)?;
    }
    until(|| STARTED.load(Ordering::Relaxed) == 8);
    let note = sys::notification()?;
    for _ in 0..8 {
        thread(sleeper, note.0)?;
    }
    until(|| STARTED.load(Ordering::Relaxed) == 16);
    await_death()
}

/// Waits for a notification that never comes.
extern "sysv64" fn sleeper(note: u64) -> ! {
    STARTED.fetch_add(1, Ordering::Relaxed);
    loop {
        let _ = any(Call::Wait, &[note, u64::MAX]);
    }
}

/// Calls itself: threads that call and receive on its own endpoint, park what they receive and never answer.
pub(super) fn own_endpoint() -> Result<String, Error> {
    let endpoint = sys::endpoint()?;
    TARGET.store(endpoint.0, Ordering::Relaxed);
    for _ in 0..20 {
        thread(self_caller, 0)?;
    }
    until(|| STARTED.load(Ordering::Relaxed) == 20);
    // Received and parked, received and dropped by receiving again, received and left.
    for round in 0..30 {
        message(Call::Receive, endpoint, MessageInfo::new(0))?;
        if round % 3 == 0 {
            any(Call::ParkReply, &[])?;
        }
    }
    await_death()
}

/// Waits until so many threads have ended.
pub(super) fn until_ended(count: usize) {
    until(|| ENDED.load(Ordering::Relaxed) >= count);
}

/// One of the crowd: threads that make many calls at once.
pub(super) fn crowd() -> u8 {
    const THREADS: usize = 8;
    const TIMES: usize = 80;
    u8::from(calls_answered(THREADS, TIMES) != Ok(THREADS * TIMES))
}

/// So many threads make so many calls each, at once. Gives how many were answered.
pub(super) fn calls_answered(threads: usize, times: usize) -> Result<usize, Error> {
    let (ended, answered) = (ENDED.load(Ordering::Relaxed), ANSWERED.load(Ordering::Relaxed));
    set_frame(FACTORY, &Request::Usage);
    for _ in 0..threads {
        thread(caller, times as u64)?;
    }
    until_ended(ended + threads);
    Ok(ANSWERED.load(Ordering::Relaxed) - answered)
}
