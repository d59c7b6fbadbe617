//! The attacks: each is one process's doing and says in one line what came of it.

use super::raw::{self, Buffer, Dice, any};
use super::{READY, SIGNS, floods, machine, say, sign};
use crate::slots::process as slot;
use crate::sys;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_abi::{
    CAPABILITIES_MAX, Call, CapabilityWord, Error, Exit, Handle, Kind, MESSAGE_MAX, MessageInfo, Rights,
    SLOTS_MAX, Transfer,
};
use bailiwick_protocol::frame::{FRAME_MAX, Tag};
use bailiwick_protocol::message::{Derive, Lookup, Request};

/// How an attack is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// By one process, which ends like this.
    Alone(Exit),
    /// By one process, which is killed when it gives the sign.
    Killed,
    /// By so many processes at once.
    Crowd(usize),
    /// By a process for each of the deeds.
    Deeds,
}

const DONE: Way = Way::Alone(Exit::Code(0));
const OUT_OF_MEMORY: Way = Way::Alone(Exit::OutOfMemory);

/// All of them, in the order in which they are made.
pub(super) const ATTACKS: &[(&str, Way)] = &[
    ("frames", DONE),
    ("words", DONE),
    ("handles", DONE),
    ("kinds", DONE),
    ("badges", DONE),
    ("names", DONE),
    ("capabilities", DONE),
    ("addresses", DONE),
    ("unwanted", DONE),
    ("odd calls", DONE),
    ("deeds", Way::Deeds),
    ("slots", DONE),
    ("chain", DONE),
    ("threads", DONE),
    ("memory", OUT_OF_MEMORY),
    ("objects", DONE),
    ("shared memory", DONE),
    ("parked", DONE),
    ("outlived", DONE),
    ("queued", DONE),
    ("killed", Way::Killed),
    ("own endpoint", Way::Killed),
    ("crowd", Way::Crowd(16)),
];

const FACTORY: Handle = slot::FACTORY;
const BUNDLES: Handle = Handle::first(slot::DIRECTORIES);

/// Makes an attack and says what came of it.
pub(super) fn main(name: &str) -> u8 {
    let attack: fn() -> Result<String, Error> = match name {
        "frames" => frames,
        "words" => words,
        "handles" => handles,
        "kinds" => kinds,
        "badges" => badges,
        "names" => || names([super::neighbour::KEPT, "none"]),
        "capabilities" => capabilities,
        "addresses" => addresses,
        "unwanted" => unwanted,
        "odd calls" => || Ok(format!("{} came back", machine::odd_calls())),
        "slots" => slots,
        "chain" => chain,
        "threads" => floods::threads,
        "memory" => floods::memory,
        "objects" => floods::objects,
        "shared memory" => floods::shared_memory,
        "parked" => floods::parked,
        "outlived" => floods::outlived,
        "queued" => floods::queued,
        "killed" => floods::killed,
        "own endpoint" => floods::own_endpoint,
        "crowd" => return floods::crowd(),
        _ => return 2,
    };
    match attack() {
        Ok(text) => {
            say(&format!("{name}: {text}\n"));
            0
        }
        Err(error) => {
            say(&format!("{name}: could not be made: {error}\n"));
            1
        }
    }
}

/// Gives the sign to be killed, and waits for it.
pub(super) fn await_death() -> ! {
    loop {
        sign(READY);
        let _ = any(Call::Yield, &[]);
    }
}

/// Counts what came of many calls.
#[derive(Default)]
struct Tally {
    answered: usize,
    refused: usize,
    lost: usize,
}

impl Tally {
    fn count<T>(&mut self, came: Result<T, Error>) {
        match came {
            Ok(_) => self.answered += 1,
            Err(
                Error::TOO_LARGE | Error::BAD_ADDRESS | Error::BAD_HANDLE | Error::DENIED | Error::WRONG_KIND,
            ) => self.refused += 1,
            Err(_) => self.lost += 1,
        }
    }
    fn text(&self) -> String {
        format!("{} answered, {} refused, {} lost", self.answered, self.refused, self.lost)
    }
}

/// Random bytes of every length as frames, on a capability of their own: what they may happen to mean ends with it.
fn frames() -> Result<String, Error> {
    frames_on(FACTORY)
}

pub(super) fn frames_on(target: Handle) -> Result<String, Error> {
    let (mut buffer, mut dice, mut tally) = (Buffer::new()?, Dice(1), Tally::default());
    let mut bytes = [0; MESSAGE_MAX];
    for length in 0..=5000 {
        dice.fill(&mut bytes);
        // Every other time what follows is an operation that exists, with an argument that makes no sense.
        if length % 2 == 0 {
            bytes[..2].copy_from_slice(&[(dice.roll() % 64) as u8, 0]);
        }
        buffer.fill(&bytes, &[]);
        let info = MessageInfo::new(length).with_room(CAPABILITIES_MAX);
        tally.count(buffer.send(target, info));
    }
    Ok(tally.text())
}

/// Words about a message that are not true.
fn words() -> Result<String, Error> {
    let (mut buffer, mut dice, mut tally) = (Buffer::new()?, Dice(2), Tally::default());
    let mut bytes = [0; MESSAGE_MAX];
    for round in 0..2000 {
        dice.fill(&mut bytes);
        let words: Vec<CapabilityWord> = (0..CAPABILITIES_MAX)
            .map(|_| CapabilityWord { handle: dice.roll() % 64, details: dice.roll() })
            .collect();
        buffer.fill(&bytes, &words);
        // A few bits are set in half of the rounds, so that not all are refused for the same reason.
        let mask = if round % 2 == 0 { u64::MAX } else { 0x0077_0fff };
        tally.count(buffer.send(FACTORY, MessageInfo(dice.roll() & mask)));
    }
    Ok(tally.text())
}

/// Calls whose first argument is no handle.
const WITHOUT_HANDLE: [Call; 13] = [
    Call::Null,
    Call::SetBuffer,
    Call::ParkReply,
    Call::EndpointCreate,
    Call::NotificationCreate,
    Call::MemoryCreate,
    Call::Allocate,
    Call::Unmap,
    Call::Exit,
    Call::ThreadCreate,
    Call::ThreadExit,
    Call::Yield,
    Call::ContainerCreate,
];
/// Most there may be of anything that is numbered by a call.
const CALLS_MAX: u64 = 200;

fn calls_with_handle() -> impl Iterator<Item = Call> {
    (0..CALLS_MAX).filter_map(Call::from_number).filter(|call| !WITHOUT_HANDLE.contains(call))
}

/// How it went with calls of which none should have been taken.
fn taken_of(calls: usize, taken: &[(Call, Came)]) -> String {
    match taken.first() {
        None => "none taken".into(),
        Some(first) => format!("{} of {calls} taken, the first {first:?}", taken.len()),
    }
}

type Came = Result<[u64; 3], Error>;

/// Handles that were made up, for every call there is. A path and a buffer that are good stand behind them, so that
/// nothing else is a reason to refuse.
pub(super) fn handles() -> Result<String, Error> {
    let room = [0u8; 256];
    let address = room.as_ptr() as u64;
    let mut dice = Dice(3);
    let mut made_up: Vec<u64> =
        Vec::from([0, 5, 31, 32, 999, 1 << 20, 1 << 32 | 2, 2 << 32 | 1, u64::MAX, 1 << 63]);
    made_up.extend((0..50).map(|_| dice.roll() | 1 << 33));
    let (mut calls, mut taken) = (0, Vec::new());
    for call in calls_with_handle() {
        for handle in &made_up {
            calls += 1;
            // Rights, offset, address, length: whatever a call looks at before the handle is in order.
            let came = any(call, &[*handle, 2, 8, 0, address, 64]);
            if came != Err(Error::BAD_HANDLE) {
                taken.push((call, came));
            }
        }
    }
    Ok(taken_of(calls, &taken))
}

/// Every call with every capability of this process. None may be taken that is of another kind or lacks a right.
pub(super) fn kinds() -> Result<String, Error> {
    let room = [0u8; 256];
    let address = room.as_ptr() as u64;
    // What each of them is for, and is tried elsewhere.
    let own = [
        (FACTORY, &[Call::Send, Call::Derive, Call::Revoke, Call::Delete, Call::Inspect][..]),
        (slot::CONSOLE, &[Call::ConsoleWrite, Call::Derive, Call::Revoke, Call::Delete, Call::Inspect]),
        (SIGNS, &[Call::Signal, Call::Derive, Call::Revoke, Call::Delete, Call::Inspect]),
        (
            BUNDLES,
            &[
                Call::DirectoryOpen,
                Call::FileRead,
                Call::DirectoryList,
                Call::Derive,
                Call::Revoke,
                Call::Delete,
                Call::Inspect,
            ],
        ),
    ];
    let (mut calls, mut taken) = (0, Vec::new());
    for (handle, good) in own {
        for call in calls_with_handle().filter(|call| !good.contains(call)) {
            calls += 1;
            let came = any(call, &[handle.0, 2, 8, 0, address, 64]);
            if !matches!(came, Err(Error::WRONG_KIND | Error::DENIED | Error::BAD_HANDLE | Error::RANGE)) {
                taken.push((call, came));
            }
        }
    }
    Ok(taken_of(calls, &taken))
}

/// What can be got out of a badged capability that may only call.
pub(super) fn badges() -> Result<String, Error> {
    let rebadged = any(Call::Derive, &[FACTORY.0, Rights::ALL.0.into(), 1 << 32 | 1]).is_ok();
    let derived = any(Call::Derive, &[FACTORY.0, Rights::ALL.0.into(), 0])?[0];
    let [kind, rights, badge] = any(Call::Inspect, &[derived])?;
    let [_, _, own] = any(Call::Inspect, &[FACTORY.0])?;
    let as_was = kind == Kind::Endpoint as u64 && rights == u64::from(Rights::WRITE.0) && badge == own;
    let mut refused = 0;
    for handle in [FACTORY.0, derived] {
        for (call, second) in [
            (Call::Receive, 0),
            (Call::ReplyReceive, 0),
            (Call::RevokeBadge, 1 << 32 | 1),
            (Call::RevokeBadge, own),
            (Call::TakeBadge, 0),
        ] {
            refused += usize::from(any(call, &[handle, second]).is_err());
        }
        refused += usize::from(any(Call::Bind, &[SIGNS.0, handle, 1]).is_err());
    }
    // It may not be handed on either, for lack of `GRANT`.
    let mut buffer = Buffer::new()?;
    let word = CapabilityWord::new(FACTORY, Rights::ALL, Transfer::Copy);
    let handed_on = buffer.exchange(FACTORY, &[1, 0], &[word]);
    Ok(format!(
        "rebadged {rebadged}, derived as it was {as_was}, {refused} of 12 refused, handed on {}",
        handed_on.is_ok()
    ))
}

fn encoded<'a>(request: &Request<'_>, room: &'a mut [u8; FRAME_MAX]) -> &'a [u8] {
    request.encode(Tag(7), room).unwrap_or_default()
}

/// Takes a text out of others.
fn mask(bytes: &mut [u8], text: &[u8]) {
    while let Some(at) = bytes.windows(text.len()).position(|part| part == text) {
        bytes.iter_mut().skip(at).take(text.len()).for_each(|byte| *byte = b'*');
    }
}

/// Names of containers that are not its own, and of none: the answers must be the same. They are of one length, for an
/// answer may repeat what was asked for.
pub(super) fn names(ids: [&str; 2]) -> Result<String, Error> {
    let mut buffer = Buffer::new()?;
    let mut room = [0; FRAME_MAX];
    let mut answers = Vec::new();
    for id in ids {
        let lookup = Lookup { id, rights: bailiwick_protocol::Rights::all() };
        let frame = encoded(&Request::Lookup(lookup), &mut room);
        let mut answer = buffer.exchange(FACTORY, frame, &[])?;
        mask(&mut answer.bytes, id.as_bytes());
        answers.push(answer);
    }
    let same = answers.first() == answers.last();
    let brought = answers.iter().map(|answer| answer.capabilities).sum::<usize>();
    Ok(format!("the same answer {same}, {brought} capabilities"))
}

/// Capabilities beside frames that ask for none, or for another kind; the manager must not keep one.
pub(super) fn capabilities() -> Result<String, Error> {
    let (mut buffer, mut tally, mut dice) = (Buffer::new()?, Tally::default(), Dice(4));
    let mut room = [0; FRAME_MAX];
    for round in 0..600u64 {
        let endpoint = sys::endpoint()?;
        let memory = Handle(any(Call::MemoryCreate, &[4096])?[0]);
        let note = sys::notification()?;
        let how = if round % 2 == 0 { Transfer::Copy } else { Transfer::Move };
        let all = [
            CapabilityWord::new(BUNDLES, Rights::ALL, Transfer::Copy),
            CapabilityWord::new(endpoint, Rights::ALL, how),
            CapabilityWord::new(memory, Rights::ALL, how),
            CapabilityWord::new(note, Rights::ALL, how),
        ];
        let count = (dice.roll() % 5) as usize;
        let request = if round % 3 == 0 {
            Request::Usage
        } else {
            Request::Plan(bailiwick_protocol::message::Page { from: 0 })
        };
        let frame = encoded(&request, &mut room);
        let words = all.get((4 - count)..).unwrap_or_default();
        tally.count(buffer.exchange(FACTORY, frame, words));
        [endpoint, memory, note].into_iter().for_each(sys::delete);
    }
    Ok(tally.text())
}

/// Addresses that no argument may lead to: of the kernel, of nothing, beyond what there is, of its own program (to be
/// written).
fn addresses() -> Result<String, Error> {
    let wild = [
        0xffff_8000_0000_0000,
        0xffff_ffff_8010_0000,
        u64::MAX - 7,
        0x8000_0000_0000,
        0x7fff_ffff_f000,
        0x10,
        0x1000_0000_0000,
    ];
    let program = 0x40_0000u64;
    let path = b"true/config.json";
    let path_at = path.as_ptr() as u64;
    let length = path.len() as u64;
    let mut taken = Vec::new();
    let mut calls = 0;
    let mut must_fail = |call: Call, args: &[u64]| {
        calls += 1;
        let came = any(call, args);
        if came.is_ok() {
            taken.push((call, came));
        }
    };
    for address in wild {
        must_fail(Call::DirectoryOpen, &[BUNDLES.0, address, 8, 0]);
        must_fail(Call::ConsoleWrite, &[slot::CONSOLE.0, address, 8]);
        must_fail(Call::ContainerCreate, &[address]);
        must_fail(Call::FileRead, &[BUNDLES.0, address, 8, 0, address, 8]);
    }
    for address in wild.into_iter().chain([program]) {
        must_fail(Call::FileRead, &[BUNDLES.0, path_at, length, 0, address, 64]);
        must_fail(Call::DirectoryList, &[BUNDLES.0, path_at, 4, 0, address, 64]);
    }
    for address in [0xffff_8000_0000_0000, u64::MAX, 1, 4095, 0x7fff_ffff_f000] {
        must_fail(Call::SetBuffer, &[address]);
        must_fail(Call::ThreadCreate, &[address | 1 << 63, 0x1000, 0]);
        must_fail(Call::ThreadCreate, &[0x1000, address | 1 << 63, 0]);
        must_fail(Call::Unmap, &[address, u64::MAX]);
    }
    for bytes in [0, u64::MAX, 1 << 62, (1 << 30) + 1] {
        must_fail(Call::Allocate, &[bytes]);
        must_fail(Call::MemoryCreate, &[bytes]);
    }
    // Texts and names that lead out, or are longer than any.
    for path in ["..", "../../etc", "true/../../..", "/../..", "true/\0", ""] {
        must_fail(Call::DirectoryOpen, &[BUNDLES.0, path.as_ptr() as u64, path.len() as u64, 31]);
    }
    must_fail(Call::DirectoryOpen, &[BUNDLES.0, program, 1 << 20, 31]);
    // A message buffer in what may only be read, and one in nothing: only this process's own calls fail.
    let mut tally = Tally::default();
    for address in [program, 0x1000_0000_0000] {
        any(Call::SetBuffer, &[address])?;
        for info in [MessageInfo::new(100), MessageInfo::new(4096), MessageInfo::new(8).with_capabilities(4)]
        {
            tally.count(raw::message(Call::Send, FACTORY, info));
        }
    }
    let taken = taken_of(calls, &taken);
    Ok(format!("{taken}; {} of 6 messages answered, {} lost", tally.answered, tally.lost))
}

/// Asks for capabilities and has no room for them: the manager must not keep the grants.
pub(super) fn unwanted() -> Result<String, Error> {
    let mut buffer = Buffer::new()?;
    let mut room = [0; FRAME_MAX];
    let derive = Request::Derive(Derive::new(bailiwick_protocol::Rights::all()));
    let frame = encoded(&derive, &mut room);
    let (mut none, mut others) = (0, 0);
    for _ in 0..300 {
        buffer.fill(frame, &[]);
        match buffer.send(FACTORY, MessageInfo::new(frame.len())) {
            Err(Error::PEER_GONE) => none += 1,
            _ => others += 1,
        }
    }
    Ok(format!("{none} without an answer, {others} otherwise"))
}

/// Fills its slots.
fn slots() -> Result<String, Error> {
    let mut taken = Vec::new();
    while let Ok(handle) = sys::derive(SIGNS, Rights::ALL) {
        taken.push(handle);
    }
    let mut buffer = Buffer::new()?;
    let mut room = [0; FRAME_MAX];
    let frame = encoded(&Request::Derive(Derive::new(bailiwick_protocol::Rights::all())), &mut room);
    // The answer brings a capability that it has no slot for.
    let came = buffer.exchange(FACTORY, frame, &[]);
    let filled = taken.len() as u32 + bailiwick_abi::SLOTS_WELL_KNOWN == SLOTS_MAX;
    taken.into_iter().for_each(sys::delete);
    let endpoints = core::iter::from_fn(|| sys::endpoint().ok()).count();
    Ok(format!("filled {filled}, then {came:?}, {endpoints} endpoints, left behind"))
}

/// A chain of capabilities, each derived from the one before, and many from one: revoked and left behind.
fn chain() -> Result<String, Error> {
    let mut last = SIGNS;
    let mut chain = Vec::new();
    while let Ok(next) = sys::derive(last, Rights::ALL) {
        chain.push(next);
        last = next;
    }
    let ticks = machine::ticks_of(|| any(Call::Revoke, &[SIGNS.0]).is_ok());
    say(&format!("ticks of a revocation: {ticks}\n"));
    let dead =
        chain.iter().filter(|handle| any(Call::Inspect, &[handle.0]) == Err(Error::BAD_HANDLE)).count();
    let mut again = 0;
    while sys::derive(SIGNS, Rights::ALL).is_ok() {
        again += 1;
    }
    // Many below one, which moves them all up.
    let ticks = machine::ticks_of(|| sys::delete(SIGNS));
    say(&format!("ticks of a deletion: {ticks}\n"));
    Ok(format!("{dead} of {} dead, {again} again, left behind", chain.len()))
}
