//! Properties of the word that a receiver gets when a badge has ended.

use crate::block::Stage;
use crate::cap::Object;
use crate::native::testing::{Actor, Came, World};
use alloc::vec::Vec;
use bailiwick_abi::{Call, CapabilityWord, Error, Handle, MessageInfo, Rights, Transfer};
use bailiwick_protocol::message::Exit;

const GONE: u64 = 0b100;

struct Watching {
    w: World,
    server: Actor,
    own: Handle,
    note: Handle,
    object: Object,
}

fn watching() -> Watching {
    let mut w = World::new();
    let server = w.actor();
    let (own, object) = w.endpoint(server);
    let Came::Back(0, [note, ..]) = w.enter(server.thread, Call::NotificationCreate, 0, 0) else { panic!() };
    let mut watching = Watching { w, server, own, note: Handle(note), object };
    assert_eq!(watching.bind(GONE), Came::Back(0, [0; 3]));
    watching
}

impl Watching {
    fn bind(&mut self, bits: u64) -> Came {
        self.w.call(self.server.thread, Call::Bind, [self.note.0, self.own.0, bits, 0, 0, 0])
    }
    fn mint(&mut self, badge: u64) -> Result<Handle, Error> {
        self.w.k.caps.derive(self.server.space, self.own, Rights::ALL, badge)
    }
    fn pass(&mut self, from: Actor, handle: Handle, to: Actor, how: Transfer) -> Handle {
        let word = CapabilityWord::new(handle, Rights::ALL, how);
        let wanted = crate::cap::Wanted::from_slice(&[word.into()]).unwrap();
        let passed = self.w.k.caps.transfer(from.space, to.space, &wanted).unwrap();
        self.w.k.sweep();
        passed[0].handle()
    }
    /// A client that holds a capability with this badge, and the only one there is.
    fn client(&mut self, badge: u64) -> (Actor, Handle) {
        let client = self.w.actor();
        let minted = self.mint(badge).unwrap();
        (client, self.pass(self.server, minted, client, Transfer::Move))
    }
    fn kill(&mut self, who: Actor) {
        self.w.k.end_process(who.process, Exit::Signal(9));
    }
    /// What the server is told: nothing without an event.
    fn told(&mut self) -> Vec<u64> {
        let bits = self.w.enter(self.server.thread, Call::Wait, self.note.0, 0);
        match bits {
            Came::Back(0, [GONE, ..]) => self.take_all(),
            Came::Back(0, [0, ..]) => Vec::new(),
            other => panic!("{other:?}"),
        }
    }
    fn take_all(&mut self) -> Vec<u64> {
        let mut badges = Vec::new();
        loop {
            match self.w.enter(self.server.thread, Call::TakeBadge, self.own.0, 0) {
                Came::Back(0, [badge, ..]) => badges.push(badge),
                other => {
                    assert_eq!(other, Came::Back(u64::from(Error::WOULD_BLOCK.0), [self.own.0, 0, 0]));
                    return badges;
                }
            }
        }
    }
}

#[test]
fn the_end_of_the_last_capability_with_a_badge_is_told_once_and_that_of_a_copy_is_not() {
    let mut s = watching();
    let (first, port) = s.client(7);
    let second = s.w.actor();
    s.pass(first, port, second, Transfer::Copy);
    s.kill(first);
    assert!(s.told().is_empty());
    s.kill(second);
    assert_eq!(s.told(), [7]);
    assert!(s.told().is_empty());
    assert_eq!(s.w.k.caps.badge_records(), 0);
    // A capability without a badge is nobody's.
    let plain = s.w.k.caps.derive(s.server.space, s.own, Rights::ALL, 0).unwrap();
    s.w.k.caps.delete(s.server.space, plain).unwrap();
    s.w.k.sweep();
    assert!(s.told().is_empty());
}

#[test]
fn a_waiting_receiver_is_woken_and_told_all_badges_of_who_ended_in_the_order_in_which_they_did() {
    let mut s = watching();
    let (client, _) = s.client(1);
    for badge in 2..=5 {
        let minted = s.mint(badge).unwrap();
        s.pass(s.server, minted, client, Transfer::Move);
    }
    let info = MessageInfo::new(0);
    assert_eq!(s.w.enter(s.server.thread, Call::Receive, s.own.0, info.0), Came::Waits);
    s.kill(client);
    assert_eq!(s.w.came(s.server.thread), Came::Back(0, [GONE, MessageInfo::event().0, 0]));
    assert_eq!(s.take_all(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_badge_that_is_minted_again_before_its_end_was_taken_has_not_ended() {
    let mut s = watching();
    for round in 0..3 {
        let minted = s.mint(9).unwrap();
        let other = s.mint(100 + round).unwrap();
        s.w.k.caps.delete(s.server.space, minted).unwrap();
        s.w.k.caps.delete(s.server.space, other).unwrap();
    }
    s.w.k.sweep();
    let held = s.mint(9).unwrap();
    assert_eq!(s.told(), [100, 101, 102]);
    s.w.k.caps.delete(s.server.space, held).unwrap();
    s.w.k.sweep();
    assert_eq!(s.told(), [9]);
    assert_eq!(s.w.k.caps.badge_records(), 0);
}

#[test]
fn who_revokes_a_badge_is_not_told_that_it_has_ended() {
    let mut s = watching();
    let (_, port) = s.client(7);
    let (_, other) = s.client(8);
    assert_ne!((port, 7), (other, 8));
    let server = s.server.thread;
    assert_eq!(s.w.enter(server, Call::RevokeBadge, s.own.0, 7), Came::Back(0, [0; 3]));
    assert!(s.told().is_empty());
    assert_eq!(s.w.k.caps.badge_records(), 1);
    // What is not below the capability that was revoked by is still held, and its end is told.
    let between = s.w.k.caps.derive(s.server.space, s.own, Rights::ALL, 0).unwrap();
    let minted = s.w.k.caps.derive(s.server.space, between, Rights::ALL, 9).unwrap();
    let kept = s.mint(9).unwrap();
    assert_eq!(s.w.enter(server, Call::RevokeBadge, between.0, 9), Came::Back(0, [0; 3]));
    assert_eq!(s.w.k.caps.look(s.server.space, minted), Err(Error::BAD_HANDLE));
    assert!(s.told().is_empty());
    s.w.k.caps.delete(s.server.space, kept).unwrap();
    s.w.k.sweep();
    assert_eq!(s.told(), [9]);
}

#[test]
fn badges_that_were_held_before_anybody_asked_are_watched_as_well() {
    let mut w = World::new();
    let server = w.actor();
    let (own, object) = w.endpoint(server);
    let Came::Back(0, [note, ..]) = w.enter(server.thread, Call::NotificationCreate, 0, 0) else { panic!() };
    let mut s = Watching { w, server, own, note: Handle(note), object };
    let (client, _) = s.client(3);
    assert_eq!(s.bind(0), Came::Back(0, [0; 3]));
    let (unwatched, _) = s.client(4);
    s.kill(unwatched);
    assert!(s.told().is_empty());
    assert_eq!(s.bind(GONE), Came::Back(0, [0; 3]));
    s.kill(client);
    assert_eq!(s.told(), [3]);
}

#[test]
fn a_client_that_ends_while_its_call_is_queued_received_or_parked_leaves_nothing_but_the_word() {
    for stage in 0..3 {
        let mut s = watching();
        let before = s.w.k.caps.count();
        let (client, port) = s.client(7);
        assert_eq!(s.w.enter(client.thread, Call::Send, port.0, 0), Came::Waits);
        if stage > 0 {
            assert!(matches!(s.w.enter(s.server.thread, Call::Receive, s.own.0, 0), Came::Back(0, [7, ..])));
        }
        let mut parked = 0;
        if stage > 1 {
            let Came::Back(0, [right, ..]) = s.w.enter(s.server.thread, Call::ParkReply, 0, 0) else {
                panic!()
            };
            parked = right;
        }
        s.kill(client);
        assert_eq!(s.w.came(client.thread), Came::Gone);
        assert_eq!(s.told(), [7], "stage {stage}");
        if stage > 0 {
            // The right to answer is dead, and used up by trying.
            let Came::Back(gone, _) = s.w.enter(s.server.thread, Call::Reply, parked, 0) else { panic!() };
            assert_eq!(gone, u64::from(Error::GONE.0));
            let Came::Back(again, _) = s.w.enter(s.server.thread, Call::Reply, parked, 0) else { panic!() };
            assert_eq!(again, u64::from(Error::BAD_HANDLE.0));
        }
        assert_eq!(s.w.k.caps.count(), before, "stage {stage}");
        assert_eq!(s.w.k.caps.badge_records(), 0);
        assert_eq!(s.w.enter(s.server.thread, Call::Receive, s.own.0, 0), Came::Waits, "its call is left");
        assert!(s.w.k.talk(client.thread).is_none_or(|talk| talk.stage == Stage::Waiting));
    }
}

#[test]
fn who_may_not_mint_is_not_told_and_the_end_of_the_endpoint_forgets_all() {
    let mut s = watching();
    let (client, port) = s.client(7);
    let Came::Back(denied, _) = s.w.enter(client.thread, Call::TakeBadge, port.0, 0) else { panic!() };
    assert_eq!(denied, u64::from(Error::DENIED.0));
    let Came::Back(kind, _) = s.w.enter(s.server.thread, Call::TakeBadge, s.note.0, 0) else { panic!() };
    assert_eq!(kind, u64::from(Error::WRONG_KIND.0));
    s.kill(client);
    s.kill(s.server);
    assert_eq!((s.w.k.caps.badge_records(), s.w.k.caps.count()), (0, 0));
    assert_eq!(s.w.k.caps.holders(s.object), 0);
}

#[test]
fn a_watched_endpoint_has_room_for_so_many_badges_until_their_ends_are_taken() {
    let mut s = watching();
    for badge in 1..=crate::cap::BADGES_MAX as u64 {
        let minted = s.mint(badge).unwrap();
        s.w.k.caps.delete(s.server.space, minted).unwrap();
    }
    assert_eq!(s.mint(1 << 40), Err(Error::FULL));
    // One that has a record needs no other.
    let again = s.mint(1).unwrap();
    s.w.k.caps.delete(s.server.space, again).unwrap();
    s.w.k.sweep();
    assert_eq!(s.take_all().len(), crate::cap::BADGES_MAX);
    assert!(s.mint(1 << 40).is_ok());
}
