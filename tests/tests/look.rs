//! The short way of calls that only look gives the answers of the long way, byte by byte, and changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_kernel_glue::{Delivery, Port, ReplyToken};
use bailiwick_protocol::frame::FrameBuffer;
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Leftover, Limits};
use bailiwick_tests::desk::{Desk, bundle, few};

struct Random(u64);
impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// The one answer that was given, and whether room was lent for it.
#[derive(Default)]
struct Answer {
    frame: FrameBuffer,
    given: u32,
    lent: bool,
    lends: bool,
}

impl Port for Answer {
    fn reply(&mut self, token: ReplyToken, mint: Option<Badge>, write: impl FnOnce(&mut FrameBuffer)) {
        assert_eq!((token, mint), (ReplyToken(7), None));
        self.given += 1;
        write(&mut self.frame);
    }
    fn lend(&mut self, _: ReplyToken) -> Option<&mut FrameBuffer> {
        if !self.lends {
            return None;
        }
        self.given += 1;
        self.lent = true;
        Some(&mut self.frame)
    }
    // Whatever was left over is gone on with first.
    fn revoke(&mut self, _: Badge) {}
}

/// Everything there is once nothing is left over and nothing is due.
fn in_the_end(mut desk: Desk) -> String {
    while desk.manager.sweep(&mut desk.glue, &mut desk.port) == Leftover::Some {}
    desk.everything()
}

/// Asks both ways; tells whether the short one was gone.
fn same(desk: &Desk, badge: Badge, frame: &[u8], (lends, capabilities): (bool, usize)) -> bool {
    let ask = |full: bool| {
        let (mut desk, mut answer) = (desk.clone(), Answer { lends, ..Answer::default() });
        let delivery =
            Delivery { badge, frame, directory: None::<Directory>, capabilities, token: ReplyToken(7) };
        if full {
            desk.manager.deliver_in_full(&mut desk.glue, &mut answer, delivery);
        } else {
            desk.manager.deliver(&mut desk.glue, &mut answer, delivery);
        }
        assert_eq!(answer.given, 1);
        (answer.frame.to_vec(), in_the_end(desk), answer.lent)
    };
    let ((long, after_long, _), (short, after_short, lent)) = (ask(true), ask(false));
    assert_eq!(short, long, "{badge:?} {frame:?}");
    assert_eq!(after_short, after_long, "{badge:?} {frame:?}");
    assert!(!lent || after_short == in_the_end(desk.clone()));
    lent
}

/// What a history does next, on some badge that was ever handed out.
fn step(
    desk: &mut Desk,
    badges: &mut Vec<Badge>,
    handles: &mut Vec<GrantHandle>,
    random: &mut Random,
    at: usize,
) {
    let on = badges[random.below(badges.len())];
    let id = format!("c{at}");
    let path = "/bundles/é".repeat(random.below(8));
    let derive = Derive {
        rights: Rights::from_bits_truncate(random.below(1 << 13) as u32 | 1 << random.below(13)),
        lifetime: (random.below(8) == 0).then(|| Nanos(random.below(2_000) as u64 + 1)),
        uses: (random.below(8) == 0).then(|| random.below(4) as u32 + 1),
    };
    let all = Derive::new(Rights::all());
    let handle = handles.get(random.below(handles.len().max(1))).copied().unwrap_or(GrantHandle(0));
    let create = Request::Create(Create { id: &id, bundle: &path, stdio: Stdio::Log });
    let delegate = Request::Delegate(Delegate { rights: Rights::all(), quota: few(20), policy: None });
    let request = match random.below(20) {
        0..4 => create,
        4 => delegate,
        5..8 => Request::Derive(derive),
        8..11 => Request::Derive(all),
        11 => Request::Start,
        12 => Request::Pause,
        13 => Request::Resume,
        14 => Request::Signal(Signal { signal: 9, scope: Scope::All }),
        15 => Request::Delete(Delete { mode: DeleteMode::Force }),
        16 if random.below(4) == 0 => Request::Revoke,
        17 => Request::RevokeOne(RevokeOne { path: GrantPath::new(&[handle]).unwrap() }),
        18 => Request::Drop,
        _ => Request::State,
    };
    let directory = matches!(request, Request::Create(_)).then(|| bundle(&["sleep", "100"]));
    let sent = desk.send(on, &request, directory.as_ref());
    for _ in 0..random.below(3) {
        desk.pump(Waiting::No);
    }
    if let Some(answer) = desk.answer(sent) {
        badges.extend(answer.mint);
        handles.extend(answer.read::<DeriveReply>().map(|reply| reply.handle).ok());
    }
}

#[test]
fn looks_are_answered_the_same_both_ways_whatever_has_happened() {
    let (mut short, mut asked) = (0, 0);
    for seed in 0..6 {
        let mut random = Random(seed);
        let limits = Limits { containers: 40, ..Limits::default() };
        let mut desk = Desk::new(Model::new(seed), limits);
        desk.manager = desk.manager.in_steps_of(1 + seed as u32 % 3);
        let (mut badges, mut handles) = (vec![desk.root], vec![]);
        for at in 0..250 {
            step(&mut desk, &mut badges, &mut handles, &mut random, at);
            desk.manager.audit().unwrap();
            for frame in [[1, 0, 3, 4], [32, 0, 3, 4]] {
                let badge = badges[random.below(badges.len())];
                short += usize::from(same(&desk, badge, &frame, (true, 0)));
                same(&desk, badge, &frame, (false, 0));
                same(&desk, badge, &frame, (true, 1));
                asked += 1;
                // And as it goes on: what is remembered is of use later.
                let sent = desk.send_bytes(badge, &frame, None, 0);
                desk.forget(sent);
            }
        }
    }
    assert!(short > asked / 10, "{short} of {asked} went the short way");
}

#[test]
fn looks_do_a_piece_of_what_is_left_over_like_every_other_call() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let create = Request::Create(Create { id: "a", bundle: "/b", stdio: Stdio::Log });
    let a = desk.call(root, &create, Some(&bundle(&["sleep", "100"]))).unwrap().mint.unwrap();
    for _ in 0..20 {
        desk.call(a, &Request::Derive(Derive::new(Rights::all())), None).unwrap();
    }
    desk.manager = desk.manager.in_steps_of(1);
    desk.call(a, &Request::Revoke, None).unwrap();
    assert_eq!(desk.manager.leftover(), Leftover::Some);
    for _ in 0..100 {
        desk.send(a, &Request::State, None);
    }
    assert_eq!(desk.manager.leftover(), Leftover::None);
}
