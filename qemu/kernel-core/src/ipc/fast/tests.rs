//! The short way does what the long way does, or nothing.

use crate::cap::{Capability, Object};
use crate::group::{Freezer, Limits};
use crate::hw::{Hw, PAGE, Page, Protection};
use crate::ipc::tests::{OK, Pair, back, pair};
use crate::memory::GroupId;
use crate::mm::{Access, AddressSpace, Advice, Place};
use crate::native::testing::{Actor, Came, PAGES};
use crate::ns::ProcessId;
use crate::sched::{Quota, Scheduler};
use crate::testing::Dice;
use crate::thread::{State, ThreadId};
use crate::vfs::HEAP_RESERVE;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_abi::{
    BUFFER_BADGES, BUFFER_CAPABILITIES, Call, CapabilityWord, Error, Handle, MessageInfo, Rights, Transfer,
};
use bailiwick_protocol::message::Exit;

/// Everything that a message can change.
fn state(p: &Pair) -> String {
    let threads: Vec<ThreadId> = p.w.k.threads.iter().map(|(id, _)| id).collect();
    let mut all = format!("{:?} {:?} {}", p.w.k.sched.current(), p.w.k.ipc.endpoints, p.w.k.caps.count());
    for id in threads {
        let block = p.w.k.threads.block(id).unwrap();
        let (holds, room, queue) = (block.holds, block.room, (block.previous, block.next));
        all += &format!("\n{id:?} {:?} {holds:?} {room} {queue:?}", block.stage);
        // What a call leaves in registers is said of those that have come back with success only.
        let r = p.w.registers(id);
        if p.w.k.threads.state(id) == State::Runnable {
            let message = (r.rdi, r.rsi, p.w.words_in(id));
            all += &format!(" {} {:?}", r.rax, (r.rax == OK).then_some(message));
        }
    }
    for process in [p.server.process, p.client.process] {
        all += &format!("\n{:?}", contents(p, process));
    }
    all
}

/// What is in the pages of a process, as a number for each; none if it has ended. It brings no page in.
fn contents(p: &Pair, process: ProcessId) -> Option<Vec<Option<u64>>> {
    let tables = p.w.k.processes.get(process)?.memory.as_ref()?.space();
    let number = |bytes: &[u8; PAGE]| {
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        words.fold(1, |number: u64, word| number.rotate_left(5).wrapping_mul(31) ^ word)
    };
    let page = |at: u64| {
        let page = Page::containing(PAGES + at * PAGE as u64)?;
        let (frame, _) = p.w.k.mem.hw.translate(tables, page)?;
        Some(number(p.w.k.mem.bytes(frame)))
    };
    Some((0..3).map(page).collect())
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
struct Made {
    by: ThreadId,
    call: Call,
    handle: u64,
    info: MessageInfo,
}

impl Pair {
    fn try_short(&mut self, made: Made) -> bool {
        self.w.run(made.by);
        self.w.try_short(made.call, made.handle, made.info)
    }
    fn go_long(&mut self, made: Made) -> Came {
        self.w.enter(made.by, made.call, made.handle, made.info.0)
    }
    /// Whichever way the trap code takes.
    fn go(&mut self, made: Made) -> bool {
        let short = self.try_short(made);
        if !short {
            self.go_long(made);
        }
        short
    }
    fn sends(&self, info: MessageInfo) -> Made {
        Made { by: self.client.thread, call: Call::Send, handle: self.port.0, info }
    }
    fn answers(&self, info: MessageInfo) -> Made {
        Made { by: self.server.thread, call: Call::ReplyReceive, handle: self.own.0, info }
    }
    /// Another thread of the client waits in the queue of callers.
    fn another_calls(&mut self) {
        let other = self.w.thread(self.client.process);
        self.w.enter(other, Call::Send, self.port.0, 0);
    }
    /// A process is of a group of its own, which is in another.
    fn other_group(&mut self, of: Actor) -> [GroupId; 2] {
        let outer = self.w.k.groups.create(GroupId::ROOT, "outer", Limits::default()).unwrap();
        let group = self.w.k.groups.create(outer, "other", Limits::default()).unwrap();
        self.w.k.processes.get_mut(of.process).unwrap().group = group;
        self.w.k.threads.block_mut(of.thread).unwrap().group = group;
        self.w.k.threads.get_mut(of.thread).unwrap().group = group;
        [group, outer]
    }
    fn freeze(&mut self, group: GroupId) {
        self.w.k.set_freezer(group, Freezer::Frozen);
    }
    /// A third group is frozen, which is nobody's of the two.
    fn freeze_another(&mut self) {
        let another = self.w.k.groups.create(GroupId::ROOT, "another", Limits::default()).unwrap();
        self.freeze(another);
    }
    /// A group has used its quota up.
    fn throttle(&mut self, of: Actor, group: GroupId) {
        let runs = self.w.k.sched.current();
        self.w.run(of.thread);
        self.w.k.groups.get_mut(group).unwrap().limits.quota = Some(Quota { time: 1000, period: 1 << 40 });
        self.pass(5000);
        self.w.k.tick();
        assert!(!Scheduler::may_run(&self.w.k.groups, group));
        if let Some(runs) = runs {
            self.w.run(runs);
        }
    }
    fn pass(&mut self, nanos: u64) {
        self.w.k.mem.hw.now.0 += nanos;
    }
    /// What is on the accounts of all groups and threads after a look at the clock.
    fn accounts(&mut self) -> [Vec<(u32, u64)>; 2] {
        self.w.k.tick();
        let groups = self.w.k.groups.iter().map(|(id, group)| (id.0, group.usage.cpu)).collect();
        [groups, self.w.k.threads.iter().map(|(id, thread)| (id.0, thread.cpu)).collect()]
    }
    fn ready(&mut self) {
        self.receive(0);
    }
    /// Both have buffers, through which long messages have come, and offer room for three capabilities.
    fn seen(&mut self) {
        self.buffers();
        self.receive(3);
        self.fill(self.client, 1);
        for of in [self.client, self.server] {
            put_words(self, of, &[CapabilityWord::default()]);
        }
        self.send(LONG.with_room(3));
        let answered = self.answers(LONG.with_room(3));
        self.go_long(answered);
    }
    /// The same, and another thread of the server's process receives in its place.
    fn seen_and_replaced(&mut self) -> ThreadId {
        self.seen();
        self.send(MessageInfo::new(0));
        self.reply(MessageInfo::new(0));
        self.w.thread(self.server.process)
    }
    /// The same, and a call is to be answered.
    fn seen_and_called(&mut self) {
        self.seen();
        self.send(LONG);
    }
    /// Bytes in the buffer of a process.
    fn fill(&mut self, of: Actor, seed: u8) {
        let bytes: Vec<u8> = (0..PAGE).map(|at| (at as u8).wrapping_mul(7).wrapping_add(seed)).collect();
        self.w.write(of.process, PAGES, &bytes);
    }
    /// Pages are where they were at first, if they are not there any more; half the time with nothing in them.
    fn renew(&mut self, of: Actor) {
        let request =
            |space: &AddressSpace| space.area_at(PAGES).is_some_and(|area| area.allows(Access::Write));
        let there = self.w.k.with_memory(of.process, |space, _| request(space));
        if there == Some(false) {
            self.w.map(of.process, PAGES, 3, Protection::READ | Protection::WRITE);
        }
    }
    /// Something happens to the memory of a process.
    fn change(&mut self, of: Actor, change: Change) {
        let changed = self.w.k.with_memory(of.process, |space, s| match change {
            Change::Unmap(at) => space.unmap(s, PAGES + at * PAGE as u64, PAGE as u64),
            Change::Protect => space.protect(s, PAGES, PAGE as u64, Protection::READ),
            Change::Move => {
                let to = Place::Fixed(PAGES + 8 * PAGE as u64);
                space.resize(s, PAGES, PAGE as u64, PAGE as u64, Some(to)).map(drop)
            }
            Change::Forget => space.advise(s, PAGES, PAGE as u64, Advice::DontNeed),
            Change::Fork => {
                let copy = space.fork(s).unwrap();
                copy.destroy(s);
                Ok(())
            }
        });
        changed.unwrap().unwrap();
    }
    fn called(&mut self) {
        self.receive(0);
        self.send(MessageInfo::new(0));
    }
}

/// What `words` says is in the page of capabilities of a thread of this process, with a badge for each.
fn put_words(p: &mut Pair, of: Actor, words: &[CapabilityWord]) {
    let mut numbers: Vec<u64> = words.iter().flat_map(|w| [w.handle, w.details]).collect();
    numbers.resize((BUFFER_BADGES - BUFFER_CAPABILITIES) as usize / 8, 0);
    numbers.extend([5, 6, 7, 0]);
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    // If the page has gone the long way says so.
    let _ = p.w.k.with_memory(of.process, |space, s| space.write(s, PAGES + BUFFER_CAPABILITIES, &bytes));
}

/// A capability of this process on a new endpoint, and the word that hands it over.
fn gift(p: &mut Pair, of: Actor, rights: Rights, how: Transfer) -> CapabilityWord {
    let object = Object::Endpoint(p.w.k.new_endpoint().unwrap());
    let handle = p.w.give(of, Capability { object, rights: Rights::ALL, badge: 0 });
    CapabilityWord::new(handle, rights, how)
}

/// A way out of the short way: what brings it about, and the call that takes it.
type Exits = [(&'static str, fn(&mut Pair) -> Made)];

const SMALL: MessageInfo = MessageInfo::new(8);
const LONG: MessageInfo = MessageInfo::new(1000);

/// What can happen to the pages of a process, of which the first two are its buffer.
#[derive(Clone, Copy, Debug)]
enum Change {
    Unmap(u64),
    Protect,
    Move,
    Forget,
    Fork,
}

const CHANGES: [Change; 6] =
    [Change::Unmap(0), Change::Unmap(1), Change::Protect, Change::Move, Change::Forget, Change::Fork];

const EXITS: &Exits = &[
    ("a long message by buffers through which none has come", |p| {
        p.buffers();
        p.ready();
        p.sends(MessageInfo::new(65))
    }),
    ("a long message by another buffer", |p| {
        p.seen();
        assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, PAGES + PAGE as u64, 0)), OK);
        p.sends(LONG)
    }),
    ("a long message to another buffer", |p| {
        let other = p.seen_and_replaced();
        p.w.enter(other, Call::SetBuffer, PAGES, 0);
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.sends(LONG)
    }),
    ("a long message to who named no buffer", |p| {
        let other = p.seen_and_replaced();
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.sends(LONG)
    }),
    ("a message longer than it can be", |p| {
        p.seen();
        p.sends(MessageInfo::new(4097))
    }),
    ("a long message with a bit that means nothing", |p| {
        p.seen();
        p.sends(MessageInfo(1 << 40 | 1000))
    }),
    ("a long answer, and the server's buffer is another", |p| {
        p.seen_and_called();
        assert_eq!(back(p.w.enter(p.server.thread, Call::SetBuffer, PAGES + PAGE as u64, 0)), OK);
        p.answers(LONG)
    }),
    ("a long answer to a caller without a buffer", |p| {
        p.seen();
        let other = p.w.thread(p.client.process);
        p.w.enter(other, Call::Send, p.port.0, 0);
        p.answers(LONG)
    }),
    ("a capability beside it", |p| {
        p.buffers();
        p.ready();
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability that may not be handed on", |p| {
        p.seen();
        let handle = p.w.give(p.client, Capability { object: p.object, rights: Rights::WRITE, badge: 9 });
        put_words(p, p.client, &[CapabilityWord::new(handle, Rights::ALL, Transfer::Copy)]);
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability that was made up beside a long message", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Copy);
        put_words(p, p.client, &[word, CapabilityWord::default()]);
        p.fill(p.client, 9);
        p.sends(LONG.with_capabilities(2))
    }),
    ("a badge by who may make none", |p| {
        p.seen();
        let object = p.object;
        let handle = p.w.give(p.client, Capability { object, rights: Rights(!Rights::CREATE.0), badge: 0 });
        put_words(p, p.client, &[CapabilityWord::new(handle, Rights::ALL, Transfer::Badged)]);
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a badge on what has one", |p| {
        p.seen();
        let handle = p.w.give(p.client, Capability { object: p.object, rights: Rights::ALL, badge: 9 });
        put_words(p, p.client, &[CapabilityWord::new(handle, Rights::ALL, Transfer::Badged)]);
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability that is moved twice", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Move);
        put_words(p, p.client, &[word, word]);
        p.sends(SMALL.with_capabilities(2))
    }),
    ("more capabilities than there is room for", |p| {
        p.seen();
        let words = [(); 4].map(|()| gift(p, p.client, Rights::ALL, Transfer::Copy));
        put_words(p, p.client, &words);
        p.sends(SMALL.with_capabilities(4))
    }),
    ("a capability, and the page of them has gone", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Copy);
        put_words(p, p.client, &[word]);
        p.change(p.client, Change::Unmap(1));
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability, and the kernel's heap is nearly full", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Copy);
        put_words(p, p.client, &[word]);
        p.w.k.mem.hw.heap_free = HEAP_RESERVE - 1;
        p.sends(SMALL.with_capabilities(1))
    }),
    ("an answer with a capability for which there is no room", |p| {
        p.seen_and_called();
        let word = gift(p, p.server, Rights::ALL, Transfer::Copy);
        put_words(p, p.server, &[word]);
        p.answers(SMALL.with_capabilities(4))
    }),
    ("more room than there can be", |p| {
        p.buffers();
        p.ready();
        p.sends(SMALL.with_room(5))
    }),
    ("room without a buffer", |p| {
        p.ready();
        p.sends(SMALL.with_room(1))
    }),
    ("a bit that means nothing", |p| {
        p.ready();
        p.sends(MessageInfo(1 << 40 | 8))
    }),
    ("a length beyond what it can be", |p| {
        p.ready();
        p.sends(MessageInfo(0x1fff))
    }),
    ("a handle that was made up", |p| {
        p.ready();
        Made { handle: 999, ..p.sends(SMALL) }
    }),
    ("a handle of another generation", |p| {
        p.ready();
        Made { handle: p.port.0 | 1 << 32, ..p.sends(SMALL) }
    }),
    ("a capability that was deleted", |p| {
        p.ready();
        assert_eq!(back(p.w.enter(p.client.thread, Call::Delete, p.port.0, 0)), OK);
        p.sends(SMALL)
    }),
    ("a capability of another kind", |p| {
        p.ready();
        let clock = p.w.give(p.client, Capability::all(Object::Clock));
        Made { handle: clock.0, ..p.sends(SMALL) }
    }),
    ("no right to call", |p| {
        p.ready();
        let mute = p.w.give(p.client, Capability { object: p.object, rights: Rights::READ, badge: 0 });
        Made { handle: mute.0, ..p.sends(SMALL) }
    }),
    ("nobody who receives", |p| p.sends(SMALL)),
    ("two who receive", |p| {
        p.ready();
        let other = p.w.thread(p.server.process);
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.sends(SMALL)
    }),
    ("a receiver of another group that is frozen", |p| {
        p.ready();
        let [group, _] = p.other_group(p.server);
        p.freeze(group);
        p.sends(SMALL)
    }),
    ("a receiver of another group in one that is frozen", |p| {
        p.ready();
        let [_, outer] = p.other_group(p.server);
        p.freeze(outer);
        p.sends(SMALL.with_room(0))
    }),
    ("a receiver of another group that has used its time up", |p| {
        let [_, outer] = p.other_group(p.server);
        p.throttle(p.server, outer);
        p.ready();
        p.sends(SMALL)
    }),
    ("a long message to a receiver of another group, and the buffer is another", |p| {
        p.seen();
        p.other_group(p.server);
        assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, PAGES + PAGE as u64, 0)), OK);
        p.sends(LONG)
    }),
    ("an answer that is long by buffers through which nothing long has come", |p| {
        p.buffers();
        p.called();
        p.answers(MessageInfo::new(100))
    }),
    ("an answer that offers room without a buffer", |p| {
        p.called();
        p.answers(SMALL.with_room(1))
    }),
    ("a capability that cannot receive", |p| {
        p.called();
        let mute = p.w.give(p.server, Capability { object: p.object, rights: Rights::WRITE, badge: 3 });
        Made { handle: mute.0, ..p.answers(SMALL) }
    }),
    ("a handle to receive by that was made up", |p| {
        p.called();
        Made { handle: 31, ..p.answers(SMALL) }
    }),
    ("nothing to be answered", |p| p.answers(SMALL)),
    ("an answer that was parked", |p| {
        p.called();
        p.w.enter(p.server.thread, Call::ParkReply, 0, 0);
        p.answers(SMALL)
    }),
    ("another who calls already", |p| {
        p.called();
        p.another_calls();
        p.answers(SMALL)
    }),
    ("another who receives already", |p| {
        p.called();
        let other = p.w.thread(p.server.process);
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.answers(SMALL)
    }),
    ("an event", |p| {
        let Came::Back(OK, [note, ..]) = p.w.enter(p.server.thread, Call::NotificationCreate, 0, 0) else {
            panic!("no notification")
        };
        assert_eq!(back(p.w.enter(p.server.thread, Call::Bind, note, p.own.0)), OK);
        p.called();
        assert_eq!(back(p.w.enter(p.server.thread, Call::Signal, note, 4)), OK);
        p.answers(SMALL)
    }),
    ("a caller that is gone", |p| {
        p.called();
        p.kill(p.client);
        p.answers(SMALL)
    }),
    ("a caller that is gone, and another at its position", |p| {
        p.called();
        p.kill(p.client);
        p.w.actor();
        p.answers(SMALL)
    }),
    ("a caller of another group that is frozen", |p| {
        p.called();
        let [group, _] = p.other_group(p.client);
        p.freeze(group);
        p.answers(SMALL)
    }),
    ("a caller of another group that has used its time up", |p| {
        let [group, _] = p.other_group(p.client);
        p.throttle(p.client, group);
        p.called();
        p.answers(SMALL)
    }),
];

#[test]
fn every_way_out_of_the_short_way_has_changed_nothing_and_the_long_way_finds_the_call_as_it_was_made() {
    for (why, prepare) in EXITS {
        let (mut tried, mut never) = (pair(), pair());
        let (made, same) = (prepare(&mut tried), prepare(&mut never));
        for p in [&mut tried, &mut never] {
            p.w.words(made.by, [1, 2, 3, 4, 5, 6, 7, 8]);
            p.w.run(made.by);
        }
        let before = state(&tried);
        assert!(!tried.try_short(made), "{why}: it went the short way");
        assert_eq!(state(&tried), before, "{why}");
        tried.go_long(made);
        never.go_long(same);
        assert_eq!(state(&tried), state(&never), "{why}");
    }
}

#[test]
fn what_is_usual_goes_the_short_way_with_badge_words_and_a_right_that_is_used_once() {
    for length in 0..=64 {
        for room in [0, 3] {
            let (mut short, mut long) = (pair(), pair());
            for p in [&mut short, &mut long] {
                p.buffers();
                p.ready();
                p.w.words(p.client.thread, [1, 2, 3, 4, 5, 6, 7, 8]);
            }
            let info = MessageInfo::new(length).with_room(room);
            let (sent, answered) = (short.sends(info), short.answers(info));
            assert!(short.try_short(sent), "{length} {room}");
            long.go_long(sent);
            assert_eq!(state(&short), state(&long), "{length} {room}");
            assert!(short.try_short(answered), "{length} {room}");
            long.go_long(answered);
            assert_eq!(state(&short), state(&long), "{length} {room}");
            // The right is used up, and who answers again answers nobody.
            let refused = short.w.k.talk(short.server.thread).unwrap().holds;
            assert_eq!(refused, None);
        }
    }
}

#[test]
fn long_messages_go_the_short_way_once_one_has_come_through_both_buffers() {
    for length in [65, 72, 100, 1000, 4095, 4096] {
        let (mut short, mut long) = (pair(), pair());
        let info = MessageInfo::new(length).with_room(length % 3);
        for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
            p.seen();
            for round in 0..3 {
                let (sent, answered) = (p.sends(info), p.answers(info));
                for (made, by) in [(sent, p.client), (answered, p.server)] {
                    p.fill(by, (length as u8).wrapping_add(round));
                    p.w.words(by.thread, [1, 2, 3, 4, 5, 6, 7, 8]);
                    if at == 0 {
                        assert!(p.try_short(made), "{length}");
                    } else {
                        p.go_long(made);
                    }
                }
                let (there, back) = (p.w.words_in(p.server.thread), p.w.words_in(p.client.thread));
                assert_eq!((there, back), ([1, 2, 3, 4, 5, 6, 7, 8], [0; 8]), "{length}");
                let [sent, came] = [p.server, p.client].map(|of| p.w.read(of.process, PAGES, length));
                assert_eq!(sent, came);
            }
        }
        assert_eq!(state(&short), state(&long), "{length}");
    }
}

#[test]
fn capabilities_go_the_short_way_as_they_go_the_long_one() {
    let read = Rights::READ.with(Rights::GRANT);
    for length in [0, 8, 64, 65, 1000] {
        for count in 1..=3 {
            for (how, rights) in [
                (Transfer::Copy, Rights::ALL),
                (Transfer::Move, Rights::ALL),
                (Transfer::Badged, Rights::ALL),
                (Transfer::Copy, read),
                (Transfer::Badged, read),
            ] {
                let (mut short, mut long) = (pair(), pair());
                let info = MessageInfo::new(length).with_capabilities(count).with_room(count);
                for round in 0..4 {
                    for by_client in [true, false] {
                        let mut went = false;
                        for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
                            if round == 0 && by_client {
                                p.seen();
                            }
                            let (made, by) = if by_client {
                                (p.sends(info.with_room(3)), p.client)
                            } else {
                                (p.answers(info.with_room(3)), p.server)
                            };
                            let words: Vec<_> = (0..count).map(|_| gift(p, by, rights, how)).collect();
                            p.fill(by, round);
                            put_words(p, by, &words);
                            p.w.words(by.thread, [1, 2, 3, 4, 5, 6, 7, 8]);
                            if at == 0 {
                                went = p.try_short(made);
                            } else {
                                p.go_long(made);
                            }
                        }
                        let what = format!("{length} {count} {how:?} {round} {by_client}");
                        assert!(went, "{what}");
                        assert_eq!(state(&short), state(&long), "{what}");
                    }
                }
            }
        }
    }
}

/// The client moves to the server all that one can receive by at an endpoint, less the right to do so: who calls there
/// is told, whichever way the message goes.
#[test]
fn a_capability_that_loses_the_right_to_receive_on_the_short_way_ends_the_calls_that_wait_for_it() {
    let (mut short, mut long) = (pair(), pair());
    let mut waiting = Vec::new();
    for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
        p.seen();
        let word = gift(p, p.client, Rights::WRITE.with(Rights::GRANT), Transfer::Move);
        let third = p.w.actor();
        let found = p.w.k.caps.look(p.client.space, word.handle()).unwrap();
        let port = p.w.give(third, Capability { object: found.object, rights: Rights::WRITE, badge: 0 });
        assert_eq!(p.w.enter(third.thread, Call::Send, port.0, 0), Came::Waits);
        put_words(p, p.client, &[word]);
        let made = p.sends(SMALL.with_capabilities(1));
        if at == 0 {
            assert!(p.try_short(made));
        } else {
            p.go_long(made);
        }
        waiting.push(back(p.w.came(third.thread)));
    }
    assert_eq!(waiting, [u64::from(Error::PEER_GONE.0); 2]);
    assert_eq!(state(&short), state(&long));
}

/// Messages back and forth between two groups, with time passing, are alike both ways: all that can be seen of the
/// threads at each step, and what everybody has on account in the end.
fn between_two_groups(info: MessageInfo, prepare: fn(&mut Pair)) {
    let (mut short, mut long) = (pair(), pair());
    for p in [&mut short, &mut long] {
        p.seen();
        p.other_group(p.client);
        prepare(p);
    }
    for round in 0..5 {
        for (made, by) in [(short.sends(info), short.client), (short.answers(info), short.server)] {
            for p in [&mut short, &mut long] {
                p.fill(by, round);
                p.w.words(by.thread, [1, 2, 3, 4, 5, 6, 7, 8]);
                p.w.run(by.thread);
                p.pass(100 + 10 * u64::from(round) + u64::from(by.thread.0));
            }
            assert!(short.try_short(made), "{info:?} {round}");
            long.go_long(made);
            assert_eq!(state(&short), state(&long), "{info:?} {round}");
        }
    }
    let accounts = short.accounts();
    assert_eq!(accounts, long.accounts(), "{info:?}");
    assert!(accounts[0].iter().any(|(id, cpu)| *id != GroupId::ROOT.0 && *cpu > 500));
}

#[test]
fn messages_between_two_groups_go_the_short_way_and_each_pays_for_its_own_time() {
    for length in [0, 8, 64, 65, 1000, 4096] {
        for room in [0, 2] {
            let info = MessageInfo::new(length).with_room(room);
            between_two_groups(info, |_| ());
            between_two_groups(info, Pair::freeze_another);
        }
    }
}

#[test]
fn a_group_that_spends_its_quota_on_messages_is_throttled_at_the_next_tick() {
    let mut p = pair();
    p.ready();
    let [group, _] = p.other_group(p.client);
    p.w.k.groups.get_mut(group).unwrap().limits.quota = Some(Quota { time: 5000, period: 1 << 40 });
    for _ in 0..10 {
        p.w.run(p.client.thread);
        p.pass(1000);
        let (sent, answered) = (p.sends(SMALL), p.answers(SMALL));
        assert!(p.try_short(sent) && p.try_short(answered));
    }
    p.w.k.tick();
    assert!(!Scheduler::may_run(&p.w.k.groups, group), "it has had ten times its time");
    assert_eq!(p.w.k.groups.get(group).unwrap().usage.cpu, 10_000);
}

#[test]
fn any_number_of_threads_can_owe_time_and_it_is_paid_even_by_who_ends_before() {
    let (mut short, mut long) = (pair(), pair());
    let mut went = 0;
    for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
        p.ready();
        p.other_group(p.client);
        let clients: Vec<ThreadId> = (0..40).map(|_| p.w.thread(p.client.process)).collect();
        for (time, by) in clients.into_iter().enumerate() {
            p.w.run(by);
            p.pass(100 + time as u64);
            let sent = Made { by, ..p.sends(SMALL) };
            let answered = p.answers(SMALL);
            for made in [sent, answered] {
                if at == 0 {
                    went += usize::from(p.go(made));
                } else {
                    p.go_long(made);
                }
                p.pass(3);
            }
            if time % 3 == 0 {
                p.w.k.end_thread(by, Exit::Code(0));
            }
        }
    }
    assert_eq!(short.accounts(), long.accounts());
    assert!(went > 60, "{went} of 80 went the short way");
}

#[test]
fn a_message_between_threads_that_share_their_buffer_is_what_it_was() {
    let mut p = pair();
    p.seen();
    let sender = p.w.thread(p.server.process);
    assert_eq!(back(p.w.enter(sender, Call::SetBuffer, PAGES, 0)), OK);
    let made = Made { by: sender, call: Call::Send, handle: p.own.0, info: LONG };
    for short in [false, true] {
        p.fill(p.server, 40);
        let before = p.w.read(p.server.process, PAGES, PAGE);
        assert_eq!(p.go(made), short);
        assert_eq!(p.w.read(p.server.process, PAGES, PAGE), before);
        let answered = p.answers(MessageInfo::new(0));
        p.go(answered);
    }
}

#[test]
fn whatever_happens_to_a_buffer_the_next_long_message_comes_out_as_if_nothing_had_been_seen() {
    for change in CHANGES {
        for of_client in [true, false] {
            for answer in [true, false] {
                let (mut short, mut long) = (pair(), pair());
                let mut went = [false; 2];
                for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
                    if answer {
                        p.seen_and_called()
                    } else {
                        p.seen()
                    }
                    let of = if of_client { p.client } else { p.server };
                    p.change(of, change);
                    for went in &mut went {
                        let made = if answer { p.answers(LONG) } else { p.sends(LONG) };
                        if p.w.k.threads.state(made.by) != State::Runnable {
                            continue;
                        }
                        if at == 0 {
                            *went = p.go(made);
                        } else {
                            p.go_long(made);
                        }
                    }
                }
                let what = format!("{change:?} of the client {of_client}, answer {answer}");
                assert_eq!(state(&short), state(&long), "{what}");
                assert!(!went[0], "{what}");
            }
        }
    }
}

#[test]
fn what_happens_to_memory_that_nobody_has_seen_takes_the_short_way_from_nobody() {
    let mut p = pair();
    p.seen();
    let other = p.w.actor();
    p.fill(other, 3);
    for change in [Change::Fork, Change::Protect, Change::Unmap(0)] {
        p.change(other, change);
    }
    p.kill(other);
    // A page that comes to be where none was moves none.
    p.w.write(p.client.process, PAGES + 2 * PAGE as u64, &[1]);
    let sent = p.sends(LONG);
    assert!(p.try_short(sent));
    let other = p.w.thread(p.server.process);
    p.w.k.end_thread(other, Exit::Code(0));
    let answered = p.answers(LONG);
    assert!(p.try_short(answered));
}

#[test]
fn nobody_who_is_not_a_native_thread_goes_the_short_way() {
    let mut p = pair();
    p.ready();
    let sent = p.sends(SMALL);
    let block = p.w.k.threads.block_mut(p.client.thread).unwrap();
    block.space = crate::cap::SpaceId::NOTHING;
    assert!(!p.try_short(sent), "who can name nothing has named an endpoint");
    p.w.k.sched.drop_current(p.client.thread);
    assert!(!p.w.try_short(Call::Send, p.port.0, SMALL), "nobody has sent a message");
}

/// One of the things that threads do, for both pairs.
fn random(dice: &mut Dice, p: &Pair) -> Option<Made> {
    let threads: Vec<ThreadId> = p.w.k.threads.iter().map(|(id, _)| id).collect();
    let by = threads[dice.below(threads.len() as u64) as usize];
    if p.w.k.threads.state(by) != State::Runnable {
        return None;
    }
    let server = p.w.k.threads.get(by).unwrap().process == p.server.process;
    let call = match (dice.below(12), server) {
        (0, _) => Call::Reply,
        (1, true) => Call::Receive,
        (2, true) => Call::ParkReply,
        (3, _) => Call::Receive,
        (_, true) => Call::ReplyReceive,
        (_, false) => Call::Send,
    };
    let handle = match call {
        Call::Reply => dice.below(2) * 33,
        _ if server => p.own.0,
        _ => p.port.0,
    };
    let length = [0, 8, 24, 33, 56, 64, 65, 72, 1000, 4096][dice.below(10) as usize];
    let info = MessageInfo::new(length).with_room(dice.below(8).saturating_sub(5) as usize);
    let info = info.with_capabilities(dice.below(12).saturating_sub(9) as usize);
    Some(Made { by, call, handle, info })
}

#[test]
fn random_exchanges_come_out_alike_with_and_without_the_short_way() {
    let (mut went, mut missed) = (0, 0);
    for seed in 1..=60 {
        let mut dice = Dice::new(seed);
        let (mut short, mut long) = (pair(), pair());
        for p in [&mut short, &mut long] {
            p.buffers();
            if seed % 2 == 0 {
                p.other_group(p.client);
            }
            if seed % 4 == 0 {
                p.freeze_another();
            }
        }
        for step in 0..300 {
            let passed = dice.below(1000);
            short.pass(passed);
            long.pass(passed);
            if dice.below(40) == 0 && short.w.k.threads.count() < 6 {
                let process = if dice.below(3) == 0 { short.server.process } else { short.client.process };
                let made = [&mut short, &mut long].map(|p| p.w.thread(process));
                let names_buffer = dice.below(2) == 0;
                for (p, thread) in [&mut short, &mut long].into_iter().zip(made) {
                    if names_buffer {
                        p.w.enter(thread, Call::SetBuffer, PAGES, 0);
                    }
                }
            }
            if dice.below(60) == 0 {
                let last = short.w.k.threads.iter().map(|(id, _)| id).last().unwrap();
                if last.0 > 1 {
                    for p in [&mut short, &mut long] {
                        p.w.k.end_thread(last, Exit::Code(0));
                    }
                }
            }
            let (change, of_client) = (dice.below(100) as usize, dice.below(2) == 0);
            if change < CHANGES.len() {
                for p in [&mut short, &mut long] {
                    let of = if of_client { p.client } else { p.server };
                    p.renew(of);
                    p.change(of, CHANGES[change]);
                    p.renew(of);
                }
            }
            let Some(made) = random(&mut dice, &short) else { continue };
            let words = core::array::from_fn(|_| dice.below(1 << 40));
            let seed = dice.below(256) as u8;
            for p in [&mut short, &mut long] {
                p.w.words(made.by, words);
                let process = p.w.k.threads.get(made.by).unwrap().process;
                if p.w.k.with_memory(process, |space, s| space.write(s, PAGES, &[seed; 200])).is_none() {
                    panic!("a thread without memory");
                }
                // Some are one's own, some are nobody's, and some get lost on the way.
                let by = if process == p.server.process { p.server } else { p.client };
                if made.info.capabilities() > 0 && p.w.k.caps.room(by.space) > 0 {
                    let how = [Transfer::Copy, Transfer::Move, Transfer::Badged][usize::from(seed % 3)];
                    let words = [(); 3].map(|()| gift(p, by, Rights(0xff ^ (seed & 3)), how));
                    put_words(p, by, &words[..2 + usize::from(!seed.is_multiple_of(5))]);
                }
            }
            if short.go(made) {
                went += 1
            } else {
                missed += 1
            }
            long.go_long(made);
            assert_eq!(state(&short), state(&long), "seed {seed} step {step} {made:?}");
        }
        // Which of two threads of one group has had the time is not known so well.
        let [groups, same] = [&mut short, &mut long].map(|p| p.accounts()[0].clone());
        assert_eq!(groups, same, "seed {seed}");
    }
    assert!(went > 1000 && missed > 1000, "{went} went the short way, {missed} the long one");
}

/// A handle keeps meaning the same thing over the short way.
#[test]
fn a_capability_that_is_narrowed_when_it_moves_opens_what_it_still_allows() {
    let mut p = pair();
    let narrowed =
        crate::ipc::tests::hand(&mut p.w, p.server, p.own, p.client, Rights::READ.with(Rights::GRANT));
    let port = |p: &Pair, who: Actor, handle: Handle| p.w.k.caps.port(who.space, handle).copied();
    assert_eq!(port(&p, p.server, p.own), None, "it was moved away");
    let found = port(&p, p.client, narrowed).unwrap();
    assert_eq!((found.sends, found.receives.is_some()), (None, true));
}
