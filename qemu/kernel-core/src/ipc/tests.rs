//! Properties of messages: what arrives, who is told what when somebody goes, and that nothing is half done.

use super::*;
use crate::cap::{Capability, Object};
use crate::hw::{PAGE, Protection};
use crate::native::testing::{Actor, Came, PAGES, World};
use crate::testing::Dice;
use bailiwick_abi::{
    BUFFER_BADGES, BUFFER_CAPABILITIES, Call, CapabilityWord, Handle, MessageInfo, Rights, Transfer,
};
use bailiwick_protocol::message::Exit;

pub(in crate::ipc) const OK: u64 = 0;
const BADGE: u64 = 77;

fn code(error: Error) -> u64 {
    error.0.into()
}

/// What `rax` holds once a call is back.
pub(in crate::ipc) fn back(came: Came) -> u64 {
    match came {
        Came::Back(rax, _) => rax,
        other => panic!("the call is not back: {other:?}"),
    }
}

pub(in crate::ipc) struct Pair {
    pub(in crate::ipc) w: World,
    pub(in crate::ipc) server: Actor,
    pub(in crate::ipc) client: Actor,
    /// The server's, with all rights.
    pub(in crate::ipc) own: Handle,
    /// The client's, with a badge, derived from the server's.
    pub(in crate::ipc) port: Handle,
    pub(in crate::ipc) object: Object,
}

pub(in crate::ipc) fn hand(w: &mut World, from: Actor, handle: Handle, to: Actor, rights: Rights) -> Handle {
    let word = CapabilityWord::new(handle, rights, Transfer::Move);
    let wanted = crate::cap::Wanted::from_slice(&[word.into()]).unwrap();
    w.k.caps.transfer(from.space, to.space, &wanted).unwrap()[0].handle()
}

pub(in crate::ipc) fn pair() -> Pair {
    let mut w = World::new();
    let (server, client) = (w.actor(), w.actor());
    let (own, object) = w.endpoint(server);
    let made = w.k.caps.derive(server.space, own, Rights::ALL, BADGE).unwrap();
    let port = hand(&mut w, server, made, client, Rights::ALL);
    Pair { w, server, client, own, port, object }
}

impl Pair {
    pub(in crate::ipc) fn send(&mut self, info: MessageInfo) -> Came {
        self.w.enter(self.client.thread, Call::Send, self.port.0, info.0)
    }
    pub(in crate::ipc) fn receive(&mut self, room: usize) -> Came {
        let info = MessageInfo::new(0).with_room(room);
        self.w.enter(self.server.thread, Call::Receive, self.own.0, info.0)
    }
    pub(in crate::ipc) fn reply(&mut self, info: MessageInfo) -> Came {
        self.w.enter(self.server.thread, Call::Reply, 0, info.0)
    }
    pub(in crate::ipc) fn buffers(&mut self) {
        for thread in [self.server.thread, self.client.thread] {
            assert_eq!(back(self.w.enter(thread, Call::SetBuffer, PAGES, 0)), OK);
        }
    }
    pub(in crate::ipc) fn kill(&mut self, who: Actor) {
        self.w.k.end_process(who.process, Exit::Signal(9));
    }
}

#[test]
fn a_small_message_arrives_with_its_badge_whoever_comes_first_and_words_beyond_its_end_do_not() {
    for server_first in [true, false] {
        let mut p = pair();
        p.w.words(p.client.thread, [1, 2, 3, 4, 5, 6, 7, 8]);
        if server_first {
            assert_eq!(p.receive(0), Came::Waits);
            assert_eq!(p.send(MessageInfo::new(33)), Came::Waits);
            assert_eq!(p.w.k.sched.current(), Some(p.server.thread), "the processor is handed over");
        } else {
            assert_eq!(p.send(MessageInfo::new(33)), Came::Waits);
            p.receive(0);
        }
        let Came::Back(OK, [badge, info, _]) = p.w.came(p.server.thread) else { panic!("nothing came") };
        assert_eq!((badge, info), (BADGE, MessageInfo::new(33).0));
        assert_eq!(p.w.words_in(p.server.thread), [1, 2, 3, 4, 5, 0, 0, 0]);
        p.w.words(p.server.thread, [9; 8]);
        assert_eq!(back(p.reply(MessageInfo::new(64))), OK);
        assert_eq!(p.w.came(p.client.thread), Came::Back(OK, [0, MessageInfo::new(64).0, 9]));
        assert_eq!(p.w.words_in(p.client.thread), [9; 8]);
    }
}

#[test]
fn a_reply_that_also_receives_gives_the_processor_back_to_the_caller() {
    let mut p = pair();
    p.receive(0);
    p.send(MessageInfo::new(0));
    let came = p.w.enter(p.server.thread, Call::ReplyReceive, p.own.0, 0);
    assert_eq!(came, Came::Waits);
    assert_eq!(p.w.k.sched.current(), Some(p.client.thread));
    assert_eq!(back(p.w.came(p.client.thread)), OK);
}

#[test]
fn a_right_to_answer_a_thread_that_has_ended_answers_nobody_who_comes_to_its_place() {
    let mut p = pair();
    let gone = p.w.thread(p.client.process);
    assert_eq!(p.w.enter(gone, Call::Send, p.port.0, 0), Came::Waits);
    p.receive(0);
    let Came::Back(OK, [parked, ..]) = p.w.enter(p.server.thread, Call::ParkReply, 0, 0) else { panic!() };
    p.w.k.end_thread(gone, Exit::Code(0));
    let next = p.w.thread(p.client.process);
    assert_eq!(next, gone, "it has the same place");
    assert_eq!(p.w.enter(next, Call::Send, p.port.0, 0), Came::Waits);
    p.receive(0);
    assert_eq!(back(p.w.enter(p.server.thread, Call::Reply, parked, 0)), code(Error::GONE));
    assert_eq!(p.w.came(next), Came::Waits);
    assert_eq!(back(p.reply(MessageInfo::new(0))), OK);
    assert_eq!(back(p.w.came(next)), OK);
}

#[test]
fn callers_are_served_in_the_order_in_which_they_came() {
    let mut p = pair();
    let mut clients = alloc::vec![p.client.thread];
    for _ in 0..4 {
        clients.push(p.w.thread(p.client.process));
    }
    for client in &clients {
        assert_eq!(p.w.enter(*client, Call::Send, p.port.0, 0), Came::Waits);
    }
    for client in &clients {
        p.receive(0);
        p.reply(MessageInfo::new(0));
        assert_eq!(back(p.w.came(*client)), OK);
    }
    assert_eq!(p.receive(0), Came::Waits);
}

#[test]
fn a_caller_is_told_whenever_its_server_ends_and_a_server_whenever_its_caller_does() {
    // How far the exchange has come when somebody ends.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum At {
        Queued,
        Received,
        Parked,
        Answered,
    }
    for at in [At::Queued, At::Received, At::Parked, At::Answered] {
        for who in [["client", "server"], ["server", "client"]] {
            let mut p = pair();
            let before = (p.w.k.caps.count(), p.w.k.threads.count());
            assert_eq!(p.send(MessageInfo::new(8)), Came::Waits);
            let mut parked = None;
            if at != At::Queued {
                assert_eq!(back(p.receive(0)), OK);
            }
            if at == At::Parked {
                let Came::Back(OK, [handle, ..]) = p.w.enter(p.server.thread, Call::ParkReply, 0, 0) else {
                    panic!("not parked")
                };
                parked = Some(handle);
            }
            if at == At::Answered {
                assert_eq!(back(p.reply(MessageInfo::new(0))), OK);
            }
            let (first, second) =
                if who[0] == "client" { (p.client, p.server) } else { (p.server, p.client) };
            p.kill(first);
            assert_eq!(p.w.came(first.thread), Came::Gone);
            match (who[0], at) {
                ("server", At::Answered) => assert_eq!(back(p.w.came(p.client.thread)), OK),
                ("server", _) => {
                    assert_eq!(back(p.w.came(p.client.thread)), code(Error::PEER_GONE), "{at:?}");
                    let again = p.send(MessageInfo::new(0));
                    assert_eq!(back(again), code(Error::PEER_GONE));
                }
                (_, At::Queued) => assert_eq!(p.receive(0), Came::Waits, "a dead caller is received"),
                (_, At::Received) => {
                    assert_eq!(back(p.reply(MessageInfo::new(0))), code(Error::GONE));
                    assert_eq!(p.receive(0), Came::Waits);
                }
                (_, At::Parked) => {
                    let handle = parked.unwrap();
                    let mut answer = || back(p.w.enter(p.server.thread, Call::Reply, handle, 0));
                    assert_eq!(answer(), code(Error::GONE));
                    assert_eq!(answer(), code(Error::BAD_HANDLE), "a right to answer is used once");
                }
                (_, At::Answered) => assert_eq!(p.receive(0), Came::Waits),
            }
            p.kill(second);
            assert_eq!(p.w.k.caps.count(), 0, "{before:?}");
            assert_eq!(p.w.k.threads.count(), 0);
            assert_eq!(p.w.k.processes.count(), 0);
            assert_eq!(p.w.k.ipc.endpoints.len(), 0, "{at:?} {who:?}");
        }
    }
}

#[test]
fn a_right_to_answer_can_be_parked_while_others_are_served_and_is_used_once() {
    let mut p = pair();
    let other = p.w.thread(p.client.process);
    p.send(MessageInfo::new(0));
    p.receive(0);
    let Came::Back(OK, [parked, ..]) = p.w.enter(p.server.thread, Call::ParkReply, 0, 0) else { panic!() };
    assert_eq!(back(p.w.enter(p.server.thread, Call::ParkReply, 0, 0)), code(Error::BAD_HANDLE));
    p.w.enter(other, Call::Send, p.port.0, 0);
    p.receive(0);
    assert_eq!(back(p.reply(MessageInfo::new(0))), OK);
    assert_eq!(back(p.w.came(other)), OK);
    assert_eq!(p.w.came(p.client.thread), Came::Waits);
    assert_eq!(back(p.w.enter(p.server.thread, Call::Reply, parked, 0)), OK);
    assert_eq!(back(p.w.came(p.client.thread)), OK);
    assert_eq!(back(p.w.enter(p.server.thread, Call::Reply, parked, 0)), code(Error::BAD_HANDLE));
}

#[test]
fn deleting_a_parked_right_or_receiving_again_tells_the_caller_that_no_answer_comes() {
    let mut p = pair();
    p.send(MessageInfo::new(0));
    p.receive(0);
    let Came::Back(OK, [parked, ..]) = p.w.enter(p.server.thread, Call::ParkReply, 0, 0) else { panic!() };
    assert_eq!(back(p.w.enter(p.server.thread, Call::Delete, parked, 0)), OK);
    assert_eq!(back(p.w.came(p.client.thread)), code(Error::PEER_GONE));
    p.send(MessageInfo::new(0));
    p.receive(0);
    assert_eq!(p.receive(0), Came::Waits);
    assert_eq!(back(p.w.came(p.client.thread)), code(Error::PEER_GONE));
}

#[test]
fn revoking_reaches_calls_that_are_queued_and_those_only() {
    let mut p = pair();
    let other = p.w.actor();
    let made = p.w.k.caps.derive(p.server.space, p.own, Rights::ALL, 5).unwrap();
    let port = hand(&mut p.w, p.server, made, other, Rights::ALL);
    p.send(MessageInfo::new(0));
    p.w.enter(other.thread, Call::Send, port.0, 0);
    assert_eq!(back(p.w.enter(p.server.thread, Call::RevokeBadge, p.own.0, BADGE)), OK);
    assert_eq!(back(p.w.came(p.client.thread)), code(Error::REVOKED));
    assert_eq!(back(p.send(MessageInfo::new(0))), code(Error::BAD_HANDLE));
    assert_eq!(p.w.came(other.thread), Came::Waits);
    let Came::Back(OK, [5, ..]) = p.receive(0) else { panic!("the wrong call was taken") };
    // What was received already is answered.
    assert_eq!(back(p.w.enter(p.server.thread, Call::Revoke, p.own.0, 0)), OK);
    assert_eq!(back(p.reply(MessageInfo::new(0))), OK);
    assert_eq!(back(p.w.came(other.thread)), OK);
}

#[test]
fn a_receiver_whose_capability_is_revoked_waits_no_more() {
    let mut p = pair();
    let made = p.w.k.caps.derive(p.server.space, p.own, Rights::READ.with(Rights::GRANT), 0).unwrap();
    let helper = p.w.actor();
    let handle = hand(&mut p.w, p.server, made, helper, Rights::READ);
    assert_eq!(p.w.enter(helper.thread, Call::Receive, handle.0, 0), Came::Waits);
    assert_eq!(back(p.w.enter(p.server.thread, Call::Revoke, p.own.0, 0)), OK);
    assert_eq!(back(p.w.came(helper.thread)), code(Error::REVOKED));
}

#[test]
fn rights_and_kinds_are_checked_before_anything_else() {
    let mut p = pair();
    let clock = p.w.give(p.client, Capability::all(Object::Clock));
    let client = p.client.thread;
    assert_eq!(back(p.w.enter(client, Call::Receive, p.port.0, 0)), code(Error::DENIED));
    assert_eq!(back(p.w.enter(client, Call::Send, clock.0, 0)), code(Error::WRONG_KIND));
    assert_eq!(back(p.w.enter(client, Call::Send, 0, 0)), code(Error::BAD_HANDLE));
    assert_eq!(back(p.w.enter(client, Call::Reply, 0, 0)), code(Error::BAD_HANDLE));
    assert_eq!(back(p.w.enter(client, Call::Reply, p.port.0, 0)), code(Error::WRONG_KIND));
    assert_eq!(back(p.send(MessageInfo(1 << 24))), code(Error::TOO_LARGE));
    assert_eq!(back(p.send(MessageInfo(5000))), code(Error::TOO_LARGE));
    assert_eq!(back(p.send(MessageInfo(5 << 16))), code(Error::TOO_LARGE));
    assert_eq!(back(p.send(MessageInfo::new(65))), code(Error::BAD_ADDRESS), "no buffer was named");
}

#[test]
fn long_messages_are_copied_whole_over_page_boundaries() {
    for length in [65, 100, 4095, 4096] {
        let mut p = pair();
        p.buffers();
        let text: alloc::vec::Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        p.w.write(p.client.process, PAGES, &text);
        p.send(MessageInfo::new(length));
        let Came::Back(OK, [BADGE, info, _]) = p.receive(0) else { panic!("nothing came") };
        assert_eq!(MessageInfo(info).length(), length);
        assert_eq!(p.w.read(p.server.process, PAGES, length), text);
        assert_eq!(p.w.words_in(p.server.thread), [0; 8]);
    }
}

#[test]
fn a_bad_buffer_is_the_fault_of_whose_it_is_and_nobody_else_is_troubled() {
    let page = PAGE as u64;
    // The sender's ends before the message does: it is told, and the receiver waits on.
    let mut p = pair();
    p.buffers();
    p.receive(0);
    let gap = PAGES + 3 * page;
    assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, gap, 0)), OK);
    assert_eq!(back(p.send(MessageInfo::new(65))), code(Error::BAD_ADDRESS));
    assert_eq!(p.w.came(p.server.thread), Came::Waits);
    // The last page is there, but not the one after it, where the capabilities are.
    assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, gap - page, 0)), OK);
    assert_eq!(back(p.send(MessageInfo::new(0).with_capabilities(1))), code(Error::TOO_LARGE), "no room");
    assert_eq!(p.send(MessageInfo::new(4096)), Came::Waits);
    assert_eq!(back(p.w.came(p.server.thread)), OK);

    // The receiver's cannot be written: its call fails, the sender's message waits for the next.
    let mut p = pair();
    p.buffers();
    p.w.map(p.server.process, PAGES, 3, Protection::READ);
    p.send(MessageInfo::new(65));
    assert_eq!(back(p.receive(0)), code(Error::BAD_ADDRESS));
    assert_eq!(p.w.came(p.client.thread), Came::Waits);
    p.w.map(p.server.process, PAGES, 3, Protection::READ | Protection::WRITE);
    assert_eq!(back(p.receive(0)), OK);

    // Who named no buffer takes small messages only, and others are refused to the sender.
    let mut p = pair();
    assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, PAGES, 0)), OK);
    p.receive(0);
    assert_eq!(back(p.send(MessageInfo::new(65))), code(Error::TOO_LARGE));
    assert_eq!(p.w.came(p.server.thread), Came::Waits);

    // A buffer is a page of the user's.
    for bad in [0, 1, PAGES + 8, crate::hw::USER_END, crate::hw::USER_END - page, 1 << 63] {
        assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, bad, 0)), code(Error::BAD_ADDRESS));
    }
}

fn put_words(w: &mut World, who: Actor, words: &[CapabilityWord]) {
    for (at, word) in words.iter().enumerate() {
        let address = PAGES + BUFFER_CAPABILITIES + at as u64 * 16;
        w.write(who.process, address, &word.handle.to_le_bytes());
        w.write(who.process, address + 8, &word.details.to_le_bytes());
    }
}
fn put_badges(w: &mut World, who: Actor, badges: &[u64]) {
    for (at, badge) in badges.iter().enumerate() {
        w.write(who.process, PAGES + BUFFER_BADGES + at as u64 * 8, &badge.to_le_bytes());
    }
}
fn get_word(w: &mut World, who: Actor, at: u64) -> CapabilityWord {
    let bytes = w.read(who.process, PAGES + BUFFER_CAPABILITIES + at * 16, 16);
    let word = |from: usize| u64::from_le_bytes(bytes[from..from + 8].try_into().unwrap());
    CapabilityWord { handle: word(0), details: word(8) }
}

#[test]
fn capabilities_go_over_all_together_or_not_at_all() {
    let mut p = pair();
    p.buffers();
    let clock = p.w.give(p.client, Capability::all(Object::Clock));
    let kept = p.w.k.caps.derive(p.client.space, clock, Rights::READ, 0).unwrap();
    let copy = |handle, rights| CapabilityWord::new(handle, rights, Transfer::Copy);
    let moved = CapabilityWord::new(clock, Rights::ALL, Transfer::Move);
    let count = p.w.k.caps.count();
    for (words, error) in [
        ([moved, copy(kept, Rights::ALL)], Error::DENIED),
        ([moved, copy(Handle(999), Rights::ALL)], Error::BAD_HANDLE),
        ([moved, moved], Error::BAD_HANDLE),
    ] {
        put_words(&mut p.w, p.client, &words);
        p.send(MessageInfo::new(8).with_capabilities(2));
        assert_eq!(p.receive(4), Came::Waits, "a message that could not go over was received");
        assert_eq!(back(p.w.came(p.client.thread)), code(error));
        assert_eq!(p.w.k.caps.count(), count);
        assert!(p.w.k.caps.look(p.client.space, clock).is_ok(), "it was moved");
        p.w.k.talker_ended(p.server.thread);
        p.w.k.threads.end_waits(p.server.thread);
    }
    put_words(&mut p.w, p.client, &[moved, copy(p.port, Rights::WRITE)]);
    p.send(MessageInfo::new(8).with_capabilities(2));
    let Came::Back(OK, [_, info, _]) = p.receive(2) else { panic!("nothing came") };
    assert_eq!(MessageInfo(info).capabilities(), 2);
    let (first, second) = (get_word(&mut p.w, p.server, 0), get_word(&mut p.w, p.server, 1));
    let look = |p: &Pair, word: CapabilityWord| p.w.k.caps.look(p.server.space, word.handle()).unwrap();
    assert_eq!(look(&p, first).object, Object::Clock);
    assert_eq!(look(&p, second), Capability { object: p.object, rights: Rights::WRITE, badge: BADGE });
    assert!(p.w.k.caps.look(p.client.space, clock).is_err(), "what was moved is still there");
    assert!(p.w.k.caps.look(p.client.space, p.port).is_ok(), "what was copied is gone");
}

/// What a message brings with a badge is what `Derive` would have made, and is made where it goes.
#[test]
fn a_capability_gets_its_badge_as_it_goes_over_by_the_rules_of_derive() {
    let mut p = pair();
    p.buffers();
    let full = p.w.give(p.server, Capability::all(p.object));
    let calls = Rights::WRITE.with(Rights::GRANT);
    let lean = p.w.k.caps.derive(p.server.space, full, calls, 0).unwrap();
    let badged = p.w.k.caps.derive(p.server.space, full, Rights::ALL, 7).unwrap();
    let silent = p.w.k.caps.derive(p.server.space, full, Rights::ALL, 0).unwrap();
    let silent = p.w.k.caps.derive(p.server.space, silent, Rights(!Rights::GRANT.0), 0).unwrap();
    let clock = p.w.give(p.server, Capability::all(Object::Clock));
    let word = |handle| CapabilityWord::new(handle, Rights::ALL, Transfer::Badged);
    p.send(MessageInfo::new(0).with_room(2));
    p.receive(0);
    let count = p.w.k.caps.count();
    for (handle, badge, error) in [
        (lean, 5, Error::DENIED),
        (silent, 5, Error::DENIED),
        (badged, 5, Error::WRONG_KIND),
        (clock, 5, Error::WRONG_KIND),
        (Handle(999), 5, Error::BAD_HANDLE),
    ] {
        put_words(&mut p.w, p.server, &[word(full), word(handle)]);
        put_badges(&mut p.w, p.server, &[4, badge]);
        for answer in [MessageInfo::new(0).with_capabilities(2), MessageInfo::new(8).with_capabilities(2)] {
            assert_eq!(back(p.reply(answer)), code(error), "{handle:?}");
            assert_eq!(p.w.k.caps.count(), count, "{handle:?}");
        }
    }
    put_words(&mut p.w, p.server, &[word(full), word(badged)]);
    put_badges(&mut p.w, p.server, &[5, 0]);
    assert_eq!(back(p.reply(MessageInfo::new(0).with_capabilities(2))), OK);
    let [first, second] = [0, 1].map(|at| get_word(&mut p.w, p.client, at));
    let look = |p: &Pair, word: CapabilityWord| p.w.k.caps.look(p.client.space, word.handle()).unwrap();
    assert_eq!(look(&p, first), Capability { object: p.object, rights: calls, badge: 5 });
    assert_eq!(look(&p, second), Capability { object: p.object, rights: calls, badge: 7 });
    assert_eq!([first.rights(), second.rights()], [calls; 2]);
    // It was derived from the server's, which is still there and takes it back.
    assert!(p.w.k.caps.look(p.server.space, full).is_ok());
    p.w.k.caps.revoke_badge(p.server.space, full, 5).unwrap();
    assert!(p.w.k.caps.look(p.client.space, first.handle()).is_err());
}

/// There is one right to answer a call.
#[test]
fn a_right_to_answer_is_moved_and_never_copied() {
    let mut p = pair();
    p.buffers();
    p.send(MessageInfo::new(0));
    p.receive(0);
    let Came::Back(OK, [parked, ..]) = p.w.enter(p.server.thread, Call::ParkReply, 0, 0) else { panic!() };
    let third = p.w.actor();
    for how in [Transfer::Copy, Transfer::Badged, Transfer::Move] {
        let word = CapabilityWord::new(Handle(parked), Rights::ALL, how);
        let wanted = crate::cap::Wanted::from_slice(&[word.into()]).unwrap();
        let expected = if how == Transfer::Move { Ok(1) } else { Err(Error::WRONG_KIND) };
        let one = p.w.k.caps.transfer_one((p.server.space, third.space), word, || 7).map(|_| 1);
        assert_eq!(one, expected, "{how:?}");
        if how != Transfer::Move {
            let passed = p.w.k.caps.transfer(p.server.space, third.space, &wanted);
            assert_eq!(passed.map(|passed| passed.len()), expected, "{how:?}");
        }
    }
}

#[test]
fn a_reply_that_does_not_fit_is_refused_to_the_server_which_can_answer_otherwise() {
    let mut p = pair();
    p.buffers();
    let clock = p.w.give(p.server, Capability::all(Object::Clock));
    put_words(&mut p.w, p.server, &[CapabilityWord::new(clock, Rights::READ, Transfer::Copy)]);
    p.send(MessageInfo::new(0));
    p.receive(0);
    assert_eq!(back(p.reply(MessageInfo::new(0).with_capabilities(1))), code(Error::TOO_LARGE));
    assert_eq!(p.w.came(p.client.thread), Came::Waits);
    assert_eq!(back(p.reply(MessageInfo::new(4))), OK);
    p.send(MessageInfo::new(0).with_room(1));
    p.receive(0);
    assert_eq!(back(p.reply(MessageInfo::new(0).with_capabilities(1))), OK);
    assert_eq!(get_word(&mut p.w, p.client, 0).rights(), Rights::READ);
}

#[test]
fn a_bound_notification_wakes_a_receiver_and_neither_it_nor_messages_keep_the_other_waiting() {
    let mut p = pair();
    let Came::Back(OK, [note, ..]) = p.w.enter(p.server.thread, Call::NotificationCreate, 0, 0) else {
        panic!()
    };
    let server = p.server.thread;
    assert_eq!(back(p.w.enter(server, Call::Bind, note, p.own.0)), OK);
    let Object::Notification(id) = p.w.k.caps.look(p.server.space, Handle(note)).unwrap().object else {
        panic!()
    };
    assert_eq!(p.receive(0), Came::Waits);
    p.w.k.signal_notification(id, 0b101);
    assert_eq!(p.w.came(server), Came::Back(OK, [0b101, MessageInfo::event().0, 0]));
    let (mut events, mut messages) = (0, 0);
    let mut clients = [p.client.thread; 6];
    for client in &mut clients[1..] {
        *client = p.w.thread(p.client.process);
    }
    for client in clients {
        p.w.enter(client, Call::Send, p.port.0, 0);
    }
    for _ in 0..12 {
        p.w.k.signal_notification(id, 1);
        let Came::Back(OK, [_, info, _]) = p.receive(0) else { panic!("nothing came") };
        match MessageInfo(info).is_event() {
            true => events += 1,
            false => messages += 1,
        }
    }
    assert_eq!((events, messages), (6, 6));
    // It can be waited for without an endpoint as well, with a deadline.
    while p.w.k.take_bits(id).is_some() {}
    assert_eq!(p.w.enter(server, Call::Wait, note, 0), Came::Back(OK, [0; 3]));
    assert_eq!(p.w.enter(server, Call::Wait, note, u64::MAX), Came::Waits);
}

/// Whatever happens: who waits for an answer has somebody who can give it, who is in a queue is there once, and
/// nobody waits where nobody can receive.
pub(super) fn check(w: &World) {
    let mut held = alloc::vec::Vec::new();
    for (id, _) in w.k.threads.iter() {
        held.extend(w.k.talk(id).and_then(|talk| talk.holds));
    }
    for (id, _) in w.k.threads.iter() {
        match w.k.stage(id) {
            Stage::Awaiting => {
                let call = CallId { thread: id, life: w.k.talk(id).unwrap().life };
                let rights = held.iter().filter(|held| **held == call).count()
                    + w.k.caps.holders(Object::Reply(call)) as usize;
                assert_eq!(rights, 1, "{call:?} can be answered by {rights}");
                assert!(!w.k.is_runnable(id));
            }
            Stage::Calling { endpoint, via, .. } => {
                assert!(w.k.caps.readers(Object::Endpoint(endpoint)) > 0, "nobody can receive");
                assert!(w.k.caps.capability(via).is_some(), "queued by a capability that is gone");
                assert!(in_queue(w, endpoint, Queued::Callers, id));
            }
            Stage::Receiving { endpoint, via } => {
                assert!(w.k.caps.capability(via).is_some());
                assert!(in_queue(w, endpoint, Queued::Receivers, id));
                assert!(w.k.ipc.endpoints.get(endpoint.0).unwrap().callers.is_empty(), "both wait");
            }
            Stage::Runnable => assert!(w.k.is_runnable(id)),
            Stage::Waiting => panic!("{id:?} waits for nothing"),
        }
    }
}
#[derive(Clone, Copy)]
enum Queued {
    Callers,
    Receivers,
}
fn in_queue(w: &World, endpoint: EndpointId, queue: Queued, id: ThreadId) -> bool {
    let found = w.k.ipc.endpoints.get(endpoint.0).unwrap();
    let first = match queue {
        Queued::Callers => found.callers.first(),
        Queued::Receivers => found.receivers.first(),
    };
    let next = |id: &ThreadId| w.k.talk(*id).and_then(|talk| talk.next);
    core::iter::successors(first, next).take(100).filter(|at| *at == id).count() == 1
}

#[test]
fn random_exchanges_with_deaths_and_revocations_leave_nobody_waiting_for_nothing() {
    for seed in 1..=60 {
        let mut dice = Dice::new(seed);
        let mut p = pair();
        let mut actors = alloc::vec![p.server, p.client];
        for _ in 0..300 {
            let at = dice.below(actors.len() as u64) as usize;
            let actor = actors[at];
            if actors.len() < 6 && dice.below(4) == 0 {
                let new = p.w.actor();
                if p.w.k.caps.look(p.server.space, p.own).is_ok() {
                    let badge = 1 + dice.below(3);
                    let rights = Rights::ALL;
                    let made =
                        p.w.k.caps.derive(p.server.space, p.own, rights, badge * dice.below(2)).unwrap();
                    hand(&mut p.w, p.server, made, new, rights);
                }
                actors.push(new);
            }
            if dice.below(25) == 0 && actors.len() > 2 && at != 0 {
                p.kill(actor);
                actors.remove(at);
                check(&p.w);
                continue;
            }
            if !p.w.k.is_runnable(actor.thread) {
                continue;
            }
            let handle = Handle::first(if at == 0 || dice.below(9) > 0 { 32 } else { 33 }).0;
            match dice.below(9) {
                0..=2 => drop(p.w.enter(actor.thread, Call::Send, handle, 8)),
                3 | 4 => drop(p.w.enter(actor.thread, Call::Receive, handle, 0)),
                5 => drop(p.w.enter(actor.thread, Call::ReplyReceive, handle, 8)),
                6 => drop(p.w.enter(actor.thread, Call::Reply, 0, 8)),
                7 => {
                    if let Came::Back(OK, [parked, ..]) = p.w.enter(actor.thread, Call::ParkReply, 0, 0)
                        && dice.below(2) == 0
                    {
                        p.w.enter(actor.thread, Call::Reply, parked, 8);
                    }
                }
                _ if dice.below(6) == 0 => {
                    p.w.enter(p.server_or(actor), Call::RevokeBadge, p.own.0, 1 + dice.below(3));
                }
                _ => {}
            }
            check(&p.w);
        }
        for actor in actors {
            p.kill(actor);
            check(&p.w);
        }
        assert_eq!((p.w.k.caps.count(), p.w.k.ipc.endpoints.len(), p.w.k.processes.count()), (0, 0, 0));
    }
}

impl Pair {
    /// The server's thread if it can run, otherwise this actor's.
    fn server_or(&self, actor: Actor) -> ThreadId {
        if self.w.k.is_runnable(self.server.thread) { self.server.thread } else { actor.thread }
    }
}
