//! Properties of the system calls for native processes, with the first process started from a file.

use super::host::with_host;
use super::testing::{Actor, Came, PAGES, World};
use crate::cap::{Capability, Object};
use crate::container::{BundleWrites, ConsoleUse, NewContainer};
use crate::cred::Credentials;
use crate::group::Limits;
use crate::hw::{PAGE, USER_END};
use crate::ipc::NotificationId;
use crate::memory::GroupId;
use crate::testing::Dice;
use crate::vfs::{From, Last, OpenFlags, Opened};
use alloc::vec::Vec;
use bailiwick_abi::{Call, Error, Exit, Handle, Kind, Rights, Which, slot};
use bailiwick_kernel_glue::plan::{Namespace, NamespaceSource, Step};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Stdio;

const OK: u64 = 0;

fn code(error: Error) -> u64 {
    error.0.into()
}
fn back(came: Came) -> u64 {
    match came {
        Came::Back(rax, _) => rax,
        other => panic!("the call is not back: {other:?}"),
    }
}
fn gave(came: Came) -> u64 {
    match came {
        Came::Back(OK, [first, ..]) => first,
        other => panic!("the call was refused: {other:?}"),
    }
}

/// A program of one page at 4 MiB that begins at its byte 0x80.
fn program() -> Vec<u8> {
    let mut elf = alloc::vec![0u8; PAGE];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &2u16.to_le_bytes());
    put(18, &62u16.to_le_bytes());
    put(20, &1u32.to_le_bytes());
    put(24, &0x40_0080u64.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &64u16.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &1u16.to_le_bytes());
    put(64, &1u32.to_le_bytes());
    put(68, &5u32.to_le_bytes());
    put(80, &0x40_0000u64.to_le_bytes());
    put(96, &(PAGE as u64).to_le_bytes());
    put(104, &(PAGE as u64).to_le_bytes());
    put(112, &(PAGE as u64).to_le_bytes());
    elf
}

/// Does something as root in the machine's own view of files.
macro_rules! files {
    ($w:expr, |$vfs:ident, $env:ident, $by:ident| $body:expr) => {{
        let k = &mut $w.k;
        let fs = k.vfs.new_context(k.machine.mount).unwrap();
        let who = Credentials::root(k.machine.user);
        let mut store = crate::vfs::Store { memory: &mut k.mem, groups: &mut k.groups };
        let mut own = crate::vfs::Env { frames: &mut store, processes: &crate::vfs::facts::NoProcesses };
        let caller = crate::vfs::Caller {
            process: None,
            credentials: &who,
            fs: &fs,
            namespaces: &k.machine,
            group: GroupId::ROOT,
        };
        let ($vfs, $env, $by) = (&mut k.vfs, &mut own, &caller);
        let done = $body;
        k.vfs.release_context(&mut store, fs);
        done
    }};
}

fn put(w: &mut World, path: &str, bytes: &[u8]) {
    let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
    files!(w, |vfs, env, by| {
        let Ok(Opened::Regular(file)) = vfs.open(env, by, From::CWD, path.as_bytes(), flags, 0o755) else {
            panic!("{path} can't be made")
        };
        assert_eq!(vfs.write(env, by, file, bytes), Ok(bytes.len()));
        vfs.close(env.frames, file);
    });
}
fn mkdir(w: &mut World, path: &str) {
    files!(w, |vfs, env, by| vfs.mkdir(env, by, From::CWD, path.as_bytes(), 0o755)).unwrap();
}
fn link(w: &mut World, target: &str, path: &str) {
    files!(w, |vfs, env, by| vfs.symlink(env, by, target.as_bytes(), From::CWD, path.as_bytes())).unwrap();
}

/// A machine whose first process runs, with files to look at.
fn booted() -> (World, Actor) {
    let mut w = World::new();
    for path in ["/sbin", "/bundles", "/bundles/web"] {
        mkdir(&mut w, path);
    }
    put(&mut w, "/sbin/init", &program());
    put(&mut w, "/secret", b"not yours");
    put(&mut w, "/bundles/web/config.json", b"{}");
    link(&mut w, "../../secret", "/bundles/web/up");
    link(&mut w, "/secret", "/bundles/web/root");
    let process = w.k.start_init(b"/sbin/init", b"verbose").unwrap();
    let found = w.k.processes.get(process).unwrap();
    let (thread, space) = (found.threads[0], found.native().unwrap().space);
    w.map(process, PAGES, 3, crate::hw::Protection::READ | crate::hw::Protection::WRITE);
    (w, Actor { process, thread, space })
}

fn text(w: &mut World, init: Actor, text: &str) -> (u64, u64) {
    w.write(init.process, PAGES, text.as_bytes());
    (PAGES, text.len() as u64)
}

const OUT: u64 = PAGES + PAGE as u64;

fn open(w: &mut World, init: Actor, directory: u64, path: &str, rights: Rights) -> Came {
    let (at, length) = text(w, init, path);
    w.call(init.thread, Call::DirectoryOpen, [directory, at, length, rights.0.into(), 0, 0])
}
fn read(w: &mut World, init: Actor, directory: u64, path: &str) -> Result<Vec<u8>, u64> {
    let (at, length) = text(w, init, path);
    match w.call(init.thread, Call::FileRead, [directory, at, length, 0, OUT, 64]) {
        Came::Back(OK, [count, ..]) => Ok(w.read(init.process, OUT, count as usize)),
        Came::Back(error, _) => Err(error),
        other => panic!("{other:?}"),
    }
}
fn spawn(w: &mut World, init: Actor) -> u64 {
    let (at, length) = text(w, init, "/sbin/init");
    let group = Handle::first(slot::GROUP).0;
    let root = Handle::first(slot::ROOT).0;
    gave(w.call(init.thread, Call::ProcessCreate, [group, root, at, length, 0, 0]))
}

#[test]
fn the_first_process_begins_at_its_entry_with_its_text_and_a_capability_to_everything() {
    let (mut w, init) = booted();
    let r = w.registers(init.thread);
    assert_eq!((r.rip, r.rsi, r.rsp % 16), (0x40_0080, 7, 0));
    assert_eq!(w.read(init.process, r.rdi, 7), b"verbose");
    let kinds = [
        (slot::CONSOLE, Kind::Console),
        (slot::POWER, Kind::Power),
        (slot::ROOT, Kind::Directory),
        (slot::GROUP, Kind::Group),
        (slot::CLOCK, Kind::Clock),
        (slot::SYSTEM, Kind::System),
    ];
    for (number, kind) in kinds {
        let came = w.call(init.thread, Call::Inspect, [Handle::first(number).0, 0, 0, 0, 0, 0]);
        assert_eq!(came, Came::Back(OK, [kind as u64, Rights::ALL.0.into(), 0]));
    }
    assert_eq!(w.k.caps.count(), kinds.len());
    let pids = w.k.vfs.namespaces.pid(w.k.machine.pid).unwrap();
    assert_eq!((pids.count(), pids.last()), (0, 1), "no Linux process may come to be number 1");
}

#[test]
fn a_directory_cannot_be_left_by_dots_links_or_absolute_paths() {
    let (mut w, init) = booted();
    let root = Handle::first(slot::ROOT).0;
    let web = gave(open(&mut w, init, root, "/bundles/web", Rights::READ));
    assert_eq!(read(&mut w, init, web, "config.json"), Ok(b"{}".to_vec()));
    assert_eq!(read(&mut w, init, web, "/config.json"), Ok(b"{}".to_vec()));
    for path in
        ["../../secret", "/../../secret", "up", "root", "..", "../../../../secret", "../web/config.json"]
    {
        let refused = read(&mut w, init, web, path);
        assert_eq!(refused, Err(code(Error::OUTSIDE)), "{path}");
    }
    assert_eq!(read(&mut w, init, web, "/secret"), Err(code(Error::NOT_FOUND)));
    assert_eq!(read(&mut w, init, root, "/bundles/web/up"), Ok(b"not yours".to_vec()));
    // Opening gives no right that the first has not.
    let (at, length) = text(&mut w, init, ".");
    let again = gave(w.call(init.thread, Call::DirectoryOpen, [web, at, length, 31, 0, 0]));
    let Came::Back(OK, [_, rights, _]) = w.call(init.thread, Call::Inspect, [again, 0, 0, 0, 0, 0]) else {
        panic!()
    };
    assert_eq!(rights, u64::from(Rights::READ.0));
    // What was opened below goes with the capability it was opened by.
    assert_eq!(back(w.call(init.thread, Call::Revoke, [web, 0, 0, 0, 0, 0])), OK);
    assert_eq!(read(&mut w, init, again, "config.json"), Err(code(Error::BAD_HANDLE)));
    assert_eq!(read(&mut w, init, web, "config.json"), Ok(b"{}".to_vec()));
}

#[test]
fn a_directory_is_listed_in_pieces_as_small_as_one_entry() {
    let (mut w, init) = booted();
    let root = Handle::first(slot::ROOT).0;
    let (mut seen, mut position) = (Vec::new(), 0);
    loop {
        let (at, length) = text(&mut w, init, "/bundles/web");
        let args = [root, at, length, position, OUT, 16];
        let Came::Back(OK, [count, next, _]) = w.call(init.thread, Call::DirectoryList, args) else {
            panic!("not listed")
        };
        if count == 0 {
            break;
        }
        seen.extend(w.read(init.process, OUT, count as usize));
        position = next;
    }
    let mut names: Vec<&[u8]> = seen.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    assert_eq!(names, [b"-config.json".as_slice(), b"d.", b"d..", b"lroot", b"lup"]);
}

#[test]
fn a_capability_is_good_for_calls_on_its_kind_alone() {
    let (mut w, init) = booted();
    let held = [slot::CONSOLE, slot::CLOCK, slot::POWER, slot::SYSTEM];
    let calls = [
        (Call::ConsoleWrite, slot::CONSOLE),
        (Call::ClockNow, slot::CLOCK),
        (Call::SystemMemory, slot::SYSTEM),
        (Call::GroupUsage, slot::GROUP),
        (Call::PowerOff, slot::POWER),
    ];
    for (call, own) in calls {
        for other in held.into_iter().filter(|slot| *slot != own) {
            let came = back(w.call(init.thread, call, [Handle::first(other).0, 0, 0, 0, 0, 0]));
            assert_eq!(came, code(Error::WRONG_KIND), "{call:?} on slot {other}");
        }
    }
}

#[test]
fn a_process_is_made_given_capabilities_started_and_waited_for() {
    let (mut w, init) = booted();
    let before = (w.k.caps.count(), w.k.processes.count());
    let child = spawn(&mut w, init);
    let grant = |w: &mut World, number: u64, handle: u64| {
        back(w.call(init.thread, Call::ProcessGrant, [child, number, handle, 2, 0, 0]))
    };
    let clock = Handle::first(slot::CLOCK).0;
    assert_eq!(grant(&mut w, 5, clock), OK);
    assert_eq!(grant(&mut w, 5, clock), code(Error::EXISTS));
    assert_eq!(grant(&mut w, 0, clock), code(Error::RANGE));
    assert_eq!(grant(&mut w, 32, clock), code(Error::RANGE));
    assert_eq!(grant(&mut w, 6, 999), code(Error::BAD_HANDLE));
    let kept = w.k.caps.derive(init.space, Handle(clock), Rights(!Rights::GRANT.0), 0).unwrap();
    assert_eq!(grant(&mut w, 6, kept.0), code(Error::DENIED));
    assert_eq!(back(w.call(init.thread, Call::Delete, [kept.0, 0, 0, 0, 0, 0])), OK);
    assert_eq!(w.call(init.thread, Call::ProcessWait, [child, 0, 0, 0, 0, 0]), Came::Waits);
    w.k.wake_thread(init.thread);
    let (at, length) = text(&mut w, init, "hello");
    let start = [child, at, length, 0, 0, 0];
    assert_eq!(back(w.call(init.thread, Call::ProcessStart, start)), OK);
    assert_eq!(back(w.call(init.thread, Call::ProcessStart, start)), code(Error::BUSY));
    assert_eq!(grant(&mut w, 6, clock), code(Error::BUSY));
    let Object::Process(id) = w.k.caps.look(init.space, Handle(child)).unwrap().object else { panic!() };
    let thread = w.k.processes.get(id).unwrap().threads[0];
    let r = w.registers(thread);
    assert_eq!(w.read(id, r.rdi, r.rsi as usize), b"hello");
    let space = w.k.processes.get(id).unwrap().native().unwrap().space;
    assert_eq!(
        w.k.caps.look(space, Handle::first(5)).unwrap().rights,
        Rights(2),
        "no more than it was given"
    );
    // It can look at the clock, and at nothing else.
    assert_eq!(back(w.call(thread, Call::ClockNow, [Handle::first(5).0, 0, 0, 0, 0, 0])), OK);
    assert_eq!(back(w.call(thread, Call::ConsoleWrite, [Handle::first(1).0; 6])), code(Error::BAD_HANDLE));
    assert_eq!(w.call(init.thread, Call::ProcessWait, [child, 0, 0, 0, 0, 0]), Came::Waits);
    assert_eq!(w.call(thread, Call::Exit, [3, 0, 0, 0, 0, 0]), Came::Gone);
    let how = gave(w.call(init.thread, Call::ProcessWait, [child, 0, 0, 0, 0, 0]));
    assert_eq!(Exit::from_word(how), Exit::Code(3));
    assert_eq!(back(w.call(init.thread, Call::Delete, [child, 0, 0, 0, 0, 0])), OK);
    assert_eq!((w.k.caps.count(), w.k.processes.count()), before);
}

#[test]
fn processes_that_were_never_started_go_with_their_last_capability_however_they_hold_each_other() {
    let (mut w, init) = booted();
    text(&mut w, init, "this page is there now");
    let frames = w.k.mem.free();
    let first = spawn(&mut w, init);
    let mut last = first;
    for _ in 0..40 {
        let next = spawn(&mut w, init);
        assert_eq!(back(w.call(init.thread, Call::ProcessGrant, [next, 3, last, 31, 0, 0])), OK);
        assert_eq!(back(w.call(init.thread, Call::Delete, [last, 0, 0, 0, 0, 0])), OK);
        last = next;
    }
    assert_eq!(w.k.processes.count(), 42);
    assert_eq!(back(w.call(init.thread, Call::Delete, [last, 0, 0, 0, 0, 0])), OK);
    assert_eq!((w.k.processes.count(), w.k.mem.free()), (1, frames));
}

#[test]
fn a_watcher_hears_of_the_end_and_a_watcher_that_is_gone_does_not() {
    let (mut w, init) = booted();
    let child = spawn(&mut w, init);
    let note = gave(w.call(init.thread, Call::NotificationCreate, [0; 6]));
    let gone = gave(w.call(init.thread, Call::NotificationCreate, [0; 6]));
    for (note, bits) in [(note, 4), (gone, 1)] {
        assert_eq!(back(w.call(init.thread, Call::ProcessWatch, [child, note, bits, 0, 0, 0])), OK);
    }
    assert_eq!(back(w.call(init.thread, Call::Delete, [gone, 0, 0, 0, 0, 0])), OK);
    let another = gave(w.call(init.thread, Call::NotificationCreate, [0; 6]));
    assert_eq!(back(w.call(init.thread, Call::ProcessKill, [child, 0, 0, 0, 0, 0])), OK);
    let wait = |w: &mut World, note| w.call(init.thread, Call::Wait, [note, 0, 0, 0, 0, 0]);
    assert_eq!(wait(&mut w, note), Came::Back(OK, [4, 0, 0]));
    assert_eq!(wait(&mut w, another), Came::Back(OK, [0, 0, 0]), "its place was used again");
}

#[test]
fn what_the_kernel_makes_for_a_native_process_is_its_groups_to_pay_for() {
    let (mut w, _) = booted();
    let limits = Limits { frames: Some(1), ..Limits::default() };
    let group = w.k.groups.create(GroupId::ROOT, "poor", limits).unwrap();
    let mut make = || with_host(&mut w.k, group, |vfs, env, by| vfs.open_nameless(env, by));
    let made = (0..100).map_while(|_| make().ok()).count();
    assert!((2..50).contains(&made), "{made}");
    assert_eq!((make(), w.k.groups.get(group).unwrap().memory()), (Err(Errno::ENOMEM), 1));
}

#[test]
fn memory_can_be_shared_and_is_given_back() {
    let (mut w, init) = booted();
    let free = w.k.mem.free();
    let memory = gave(w.call(init.thread, Call::MemoryCreate, [5000, 0, 0, 0, 0, 0]));
    let both = u64::from(Rights::READ.with(Rights::WRITE).0);
    let Came::Back(OK, [one, 8192, _]) = w.call(init.thread, Call::MemoryMap, [memory, both, 0, 0, 0, 0])
    else {
        panic!("not mapped")
    };
    let two = gave(w.call(init.thread, Call::MemoryMap, [memory, 2, 0, 0, 0, 0]));
    w.write(init.process, one + 4090, b"over the page boundary");
    assert_eq!(w.read(init.process, two + 4090, 22), b"over the page boundary");
    let refused = w.k.with_memory(init.process, |space, s| space.write(s, two, b"x")).unwrap();
    assert!(refused.is_err(), "a mapping for reading was written");
    for bad in [0, 1, 8, 31] {
        let came = w.call(init.thread, Call::MemoryMap, [memory, bad, 0, 0, 0, 0]);
        assert_eq!(back(came), code(Error::RANGE), "{bad}");
    }
    for address in [one, two] {
        assert_eq!(back(w.call(init.thread, Call::Unmap, [address, 8192, 0, 0, 0, 0])), OK);
    }
    assert_eq!(back(w.call(init.thread, Call::Delete, [memory, 0, 0, 0, 0, 0])), OK);
    let own = gave(w.call(init.thread, Call::Allocate, [100, 0, 0, 0, 0, 0]));
    w.write(init.process, own, b"heap");
    assert_eq!(back(w.call(init.thread, Call::Unmap, [own, 100, 0, 0, 0, 0])), OK);
    assert!(free - w.k.mem.free() <= 4, "more than page tables stayed");
    for bytes in [0, u64::MAX, 1 << 40] {
        assert_eq!(back(w.call(init.thread, Call::Allocate, [bytes; 6])), code(Error::RANGE));
        assert_eq!(back(w.call(init.thread, Call::MemoryCreate, [bytes; 6])), code(Error::RANGE));
    }
}

#[test]
fn console_clock_and_group_do_what_their_rights_allow() {
    let (mut w, init) = booted();
    let (at, length) = text(&mut w, init, "a line\n");
    let console = Handle::first(slot::CONSOLE).0;
    assert_eq!(gave(w.call(init.thread, Call::ConsoleWrite, [console, at, length, 0, 0, 0])), 7);
    assert_eq!(w.k.mem.hw.console, b"a line\r\n");
    let mute = gave(w.call(init.thread, Call::Derive, [console, 2, 0, 0, 0, 0]));
    let refused = w.call(init.thread, Call::ConsoleWrite, [mute, at, length, 0, 0, 0]);
    assert_eq!(back(refused), code(Error::DENIED));
    // Reading waits, and is woken by input.
    let args = [mute, OUT, 16, u64::MAX, 0, 0];
    assert_eq!(w.call(init.thread, Call::ConsoleRead, args), Came::Waits);
    w.k.mem.hw.input = b"yeh".to_vec();
    w.k.console_input();
    assert_eq!(gave(w.call(init.thread, Call::ConsoleRead, args)), 3);
    assert_eq!(w.read(init.process, OUT, 3), b"hey");
    assert_eq!(gave(w.call(init.thread, Call::ConsoleRead, [mute, OUT, 16, 0, 0, 0])), 0);
    // A watch tells of input that is there and of what comes, as often as there is more.
    let bell = gave(w.call(init.thread, Call::NotificationCreate, [0; 6]));
    let rings = |w: &mut World| gave(w.call(init.thread, Call::Wait, [bell, 0, 0, 0, 0, 0]));
    let watch =
        |w: &mut World, bits| back(w.call(init.thread, Call::ConsoleWatch, [mute, bell, bits, 0, 0, 0]));
    assert_eq!((watch(&mut w, 4), rings(&mut w)), (OK, 0));
    for _ in 0..2 {
        w.k.mem.hw.input = b"x".to_vec();
        w.k.console_input();
        assert_eq!((rings(&mut w), rings(&mut w)), (4, 0));
    }
    assert_eq!((watch(&mut w, 8), rings(&mut w)), (OK, 8));
    assert_eq!((watch(&mut w, 0), rings(&mut w)), (OK, 0));
    w.k.mem.hw.input = b"x".to_vec();
    w.k.console_input();
    assert_eq!(rings(&mut w), 0);
    let clock = Handle::first(slot::CLOCK).0;
    let now = gave(w.call(init.thread, Call::ClockNow, [clock, 0, 0, 0, 0, 0]));
    assert_eq!(w.call(init.thread, Call::SleepUntil, [clock, now + 5, 0, 0, 0, 0]), Came::Waits);
    w.k.mem.hw.now.0 += 5;
    w.k.tick();
    assert_eq!(back(w.call(init.thread, Call::SleepUntil, [clock, now + 5, 0, 0, 0, 0])), OK);
    // A group that is removed is gone for everybody, and its place means nobody else's.
    let root = Handle::first(slot::GROUP).0;
    let (at, length) = text(&mut w, init, "tenant");
    let group = gave(w.call(init.thread, Call::GroupCreate, [root, at, length, 0, 0, 0]));
    let copy = gave(w.call(init.thread, Call::Derive, [group, 31, 0, 0, 0, 0]));
    assert_eq!(back(w.call(init.thread, Call::GroupDestroy, [group, 0, 0, 0, 0, 0])), OK);
    let again = w.call(init.thread, Call::GroupCreate, [root, at, length, 0, 0, 0]);
    assert_eq!(back(again), OK);
    assert_eq!(back(w.call(init.thread, Call::GroupUsage, [copy, 0, 0, 0, 0, 0])), code(Error::BAD_HANDLE));
}

#[test]
fn no_number_address_or_handle_that_a_process_can_make_up_does_anything_but_be_refused() {
    let mut dice = Dice::new(7);
    let interesting =
        [0, 1, 2, 5, 31, 32, 33, PAGES, PAGES - 1, PAGES + 4090, USER_END, USER_END - 1, u64::MAX, 1 << 63];
    for _ in 0..30 {
        let (mut w, _) = booted();
        let hostile = w.actor();
        let (_, _) = w.endpoint(hostile);
        w.give(hostile, Capability { object: Object::Clock, rights: Rights::READ, badge: 0 });
        let thread = hostile.thread;
        for _ in 0..300 {
            let number = dice.below(100);
            let args = core::array::from_fn(|_| match dice.below(4) {
                0 => dice.below(64),
                1 => dice.below(1 << 20) << dice.below(44),
                _ => interesting[dice.below(interesting.len() as u64) as usize],
            });
            let Some(found) = w.k.threads.get_mut(thread) else { break };
            let r = found.registers_mut();
            [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args;
            r.rax = number;
            if !w.k.is_runnable(thread) {
                w.k.talker_ended(thread);
                w.k.threads.end_waits(thread);
                w.k.wake_thread(thread);
            }
            w.run(thread);
            w.k.threads.get_mut(thread).unwrap().registers_mut().rax = number;
            w.k.syscall();
            w.k.mem.hw.now.0 += 1;
        }
        assert!(w.k.processes.count() <= 2, "it made a process");
        assert!(w.k.mem.hw.console.is_empty(), "it wrote to the console");
        w.k.end_process(hostile.process, bailiwick_protocol::message::Exit::Signal(9));
        assert_eq!(w.k.caps.count(), 6, "something of it stayed");
    }
}

#[test]
fn words_of_containers_mean_one_thing() {
    for which in [Which::First, Which::Exec(0), Which::Exec(u32::MAX), Which::Hook(7)] {
        assert_eq!(Which::from_word(which.to_word()), Some(which));
    }
    for word in [1, 2, u64::from(u32::MAX), 3 << 32, u64::MAX] {
        assert_eq!(Which::from_word(word), None);
    }
    let (mut w, init) = booted();
    let made_up = w.call(init.thread, Call::ContainerSteps, [Handle::first(1).0, PAGES, 1, 0, 0, 0]);
    assert_eq!(back(made_up), code(Error::WRONG_KIND));
}

#[test]
fn steps_of_one_call_are_carried_out_in_their_order_up_to_the_first_that_is_refused() {
    let (mut w, init) = booted();
    let path = b"/bundles/web";
    let bundle = files!(w, |vfs, env, by| vfs.lookup(env, by, From::CWD, path, Last::Follow)).unwrap();
    let new = NewContainer {
        group: GroupId::ROOT,
        bundle,
        bundle_writes: BundleWrites::Allowed,
        host: None,
        events: NotificationId(7),
        bits: 1,
        key: 1,
        console: ConsoleUse::Refused,
        stdio: Stdio::Log,
    };
    let id = w.k.container_create(new).unwrap();
    let handle = w.give(init, Capability::all(Object::Container(id)));
    let hostname = |name: &str| Step::Hostname(name.into());
    let uts = Step::Namespaces([(Namespace::Uts, NamespaceSource::New)].into());
    let call = |w: &mut World, steps: &[Step], garbage: &[u8]| {
        let mut text: Vec<u8> = steps.iter().flat_map(|step| postcard::to_allocvec(step).unwrap()).collect();
        text.extend_from_slice(garbage);
        w.write(init.process, PAGES, &text);
        let args = [handle.0, PAGES, text.len() as u64, 0, 0, 0];
        back(w.call(init.thread, Call::ContainerSteps, args))
    };
    assert_eq!(call(&mut w, &[], &[]), code(Error::WRONG_KIND), "no step at all");
    assert_eq!(call(&mut w, &[uts, hostname("one"), hostname("two")], &[]), OK);
    assert_eq!(call(&mut w, &[hostname("three")], &[0xff]), code(Error::WRONG_KIND), "and what is none");
    let long = hostname(&"x".repeat(65));
    assert_ne!(call(&mut w, &[hostname("four"), long, hostname("five")], &[]), OK);
    assert_eq!(w.k.container_fault(id).unwrap().step, Some(1));
    assert_ne!(call(&mut w, &[hostname("six")], &[]), OK, "the container takes no step after a refusal");
}

#[test]
fn a_process_has_a_bounded_number_of_threads() {
    let mut w = World::new();
    let (actor, other) = (w.actor(), w.actor());
    for _ in 1..super::THREADS_MAX {
        assert_eq!(back(w.call(actor.thread, Call::ThreadCreate, [0x1000, 0x2000, 0, 0, 0, 0])), OK);
    }
    assert_eq!(
        back(w.call(actor.thread, Call::ThreadCreate, [0x1000, 0x2000, 0, 0, 0, 0])),
        code(Error::FULL)
    );
    assert_eq!(back(w.call(other.thread, Call::ThreadCreate, [0x1000, 0x2000, 0, 0, 0, 0])), OK);
}
