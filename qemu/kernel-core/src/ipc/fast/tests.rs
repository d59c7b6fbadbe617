//! The short way does what the long way does, or nothing.

mod exits;
mod groups;
mod memory;
mod random;

use crate::cap::{Capability, Object};
use crate::group::{Freezer, Limits};
use crate::hw::{Hw, PAGE, Page, Protection};
use crate::ipc::tests::{OK, Pair, back, pair};
use crate::memory::GroupId;
use crate::memory::HEAP_RESERVE;
use crate::mm::{Access, AddressSpace, Advice, Place};
use crate::native::testing::{Actor, Came, PAGES};
use crate::ns::ProcessId;
use crate::sched::{Quota, Scheduler};
use crate::testing::Dice;
use crate::thread::{State, ThreadId};
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
        let limits = Limits { quota: Some(Quota { time: 1000, period: 1 << 40 }), ..Limits::default() };
        self.w.k.groups.get_mut(group).unwrap().set_limits(limits);
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
