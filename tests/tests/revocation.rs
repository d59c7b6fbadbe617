//! Deriving, and taking back: all of it or one, at once for whoever is below, in small steps for everybody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::KernelGlue;
use bailiwick_kernel_glue::model::Model;
use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::grant::{DEPTH_MAX, GRANTS_MAX};
use bailiwick_server::{Leftover, Limits};
use bailiwick_tests::desk::{Desk, Sent, bundle, few};

fn derive(desk: &mut Desk, on: Badge, terms: Derive) -> (Badge, GrantHandle) {
    let answer = desk.call(on, &Request::Derive(terms), None).unwrap();
    (answer.mint.unwrap(), answer.read::<DeriveReply>().unwrap().handle)
}

fn all(desk: &mut Desk, on: Badge) -> (Badge, GrantHandle) {
    derive(desk, on, Derive::new(Rights::all()))
}

fn create(desk: &mut Desk, on: Badge, id: &str) -> Badge {
    let request = Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log });
    desk.call(on, &request, Some(&bundle(&["sleep", "1000"]))).unwrap().mint.unwrap()
}

fn delegate(desk: &mut Desk, on: Badge, containers: u64) -> Badge {
    let request = Request::Delegate(Delegate { rights: Rights::all(), quota: few(containers), policy: None });
    desk.call(on, &request, None).unwrap().mint.unwrap()
}

fn code(desk: &mut Desk, on: Badge, request: &Request<'_>) -> Option<RefusalCode> {
    match desk.call(on, request, None) {
        Err(ErrorReply::Refusal(refusal)) => Some(refusal.code),
        other => other.err().map(|error| panic!("{error}")),
    }
}

fn dead(desk: &mut Desk, badge: Badge) -> bool {
    code(desk, badge, &Request::Describe) == Some(RefusalCode::NotFound)
}

fn revoke_one(path: &[GrantHandle]) -> Request<'static> {
    Request::RevokeOne(RevokeOne { path: GrantPath::new(path).unwrap() })
}

fn refused(desk: &Desk, sent: Sent) -> Option<RefusalCode> {
    match desk.answer(sent)?.error()? {
        ErrorReply::Refusal(refusal) => Some(refusal.code),
        error => panic!("{error}"),
    }
}

fn check(desk: &Desk) {
    desk.manager.audit().unwrap();
}

#[test]
fn one_descendant_is_taken_back_by_its_handles_and_its_siblings_stay() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let (a, to_a) = all(&mut desk, root);
    let (b, to_b) = all(&mut desk, root);
    let (below, to_below) = all(&mut desk, a);
    let (deep, _) = all(&mut desk, below);
    desk.call(root, &revoke_one(&[to_a, to_below]), None).unwrap();
    assert!(dead(&mut desk, below) && dead(&mut desk, deep));
    assert!(!dead(&mut desk, a) && !dead(&mut desk, b));
    // Handles of one are nothing on another, and nothing is named twice.
    for (on, path) in [(root, &[to_a, to_below][..]), (b, &[to_b]), (a, &[to_a]), (root, &[])] {
        assert_eq!(code(&mut desk, on, &revoke_one(path)), Some(RefusalCode::NotFound));
    }
    desk.call(root, &revoke_one(&[to_b]), None).unwrap();
    assert!(dead(&mut desk, b) && !dead(&mut desk, a));
    check(&desk);
}

#[test]
fn who_gives_its_capability_up_cannot_save_what_it_handed_on() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let (a, to_a) = all(&mut desk, root);
    let (below, _) = all(&mut desk, a);
    let factory = delegate(&mut desk, a, 3);
    let web = create(&mut desk, factory, "web");
    desk.close(a);
    desk.close(factory);
    assert!(dead(&mut desk, a) && !dead(&mut desk, below) && !dead(&mut desk, web));
    desk.call(root, &revoke_one(&[to_a]), None).unwrap();
    assert!(dead(&mut desk, below) && dead(&mut desk, web));
    // The container lives on under the nearest ancestor that somebody holds.
    let list: ListPage = desk.call(root, &Request::List(Page { from: 0 }), None).unwrap().read().unwrap();
    assert_eq!(list.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(desk.manager.grant_count(), 1);
    check(&desk);
}

#[test]
fn a_capability_ends_at_its_time_with_whatever_was_derived_from_it() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web");
    let lifetime = Some(Nanos(5_000_000_000));
    let (short, _) = derive(&mut desk, web, Derive { lifetime, ..Derive::new(Rights::all()) });
    let (below, _) = all(&mut desk, short);
    let described: Description = desk.call(below, &Request::Describe, None).unwrap().read().unwrap();
    assert_eq!(described.lifetime, lifetime);
    let waiting = desk.send(below, &Request::Wait, None);
    desk.glue.advance(Nanos(4_999_999_999));
    assert!(!dead(&mut desk, short));
    desk.glue.advance(Nanos(1));
    assert!(dead(&mut desk, short) && dead(&mut desk, below) && !dead(&mut desk, web));
    desk.manager.sweep(&mut desk.glue, &mut desk.port);
    assert_eq!(refused(&desk, waiting), Some(RefusalCode::Revoked));
    assert_eq!(desk.manager.next_expiry(), None);
    check(&desk);
}

#[test]
fn uses_count_what_was_let_through_on_the_capability_and_below_it() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web");
    let rights = Rights::INSPECT | Rights::DERIVE;
    let (three, _) = derive(&mut desk, web, Derive { uses: Some(3), ..Derive::new(rights) });
    // What needs no right, and what is refused for want of one, costs nothing.
    for request in [Request::Describe, Request::Sync] {
        desk.call(three, &request, None).unwrap();
    }
    assert_eq!(code(&mut desk, three, &Request::Start), Some(RefusalCode::Rights));
    let (below, _) = all(&mut desk, three);
    desk.call(below, &Request::State, None).unwrap();
    let described: Description = desk.call(three, &Request::Describe, None).unwrap().read().unwrap();
    assert_eq!(described.uses, Some(1));
    desk.call(three, &Request::State, None).unwrap();
    assert!(dead(&mut desk, three) && dead(&mut desk, below));
    for nothing in [
        Derive { uses: Some(0), ..Derive::new(rights) },
        Derive { lifetime: Some(Nanos(0)), ..Derive::new(rights) },
    ] {
        assert_eq!(code(&mut desk, web, &Request::Derive(nothing)), Some(RefusalCode::BadValue));
    }
    desk.close(three);
    desk.close(below);
    check(&desk);
}

#[test]
fn the_last_use_of_a_capability_is_answered_even_if_late() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web");
    let (once, _) = derive(&mut desk, web, Derive { uses: Some(1), ..Derive::new(Rights::OBSERVE) });
    let waiting = desk.send(once, &Request::Wait, None);
    assert!(dead(&mut desk, once));
    desk.call(web, &Request::Start, None).unwrap();
    desk.call(web, &Request::Signal(Signal { signal: 9, scope: Scope::First }), None).unwrap();
    desk.settle();
    assert_eq!(desk.answer(waiting).unwrap().read::<Exit>().unwrap(), Exit::Signal(9));
}

/// A tree of 100,000 grants: 60 deep here, broad there, on several objects.
fn large_tree(desk: &mut Desk, on: Badge) -> Vec<Badge> {
    let web = create(desk, on, "web");
    let mut grants = vec![web];
    for n in 0..100_000u64 {
        let parent = match n % 1000 {
            0 => on,
            rest if rest < u64::from(DEPTH_MAX) - 4 => grants[grants.len() - 1],
            rest if rest % 3 == 0 => web,
            _ => grants[(n * 7919 % grants.len() as u64) as usize],
        };
        let sent = desk.send(parent, &Request::Derive(Derive::new(Rights::all())), None);
        grants.extend(desk.answer(sent).unwrap().mint);
        desk.forget(sent);
    }
    grants
}

#[test]
fn a_large_tree_is_dead_at_once_and_swept_in_small_steps_between_the_calls_of_others() {
    let mut desk = Desk::new(Model::new(1), Limits::default());
    let root = desk.root;
    let (tenant, to_tenant) = all(&mut desk, root);
    let neighbour = delegate(&mut desk, root, 4);
    let db = create(&mut desk, neighbour, "db");
    let grants = large_tree(&mut desk, tenant);
    let before = desk.manager.grant_count();
    assert!((90_000..=GRANTS_MAX).contains(&before), "{before} grants");
    let parked = desk.send(grants[70_000], &Request::Sync, None);
    assert!(desk.answer(parked).is_some(), "nothing was revoked before");
    desk.call(root, &revoke_one(&[to_tenant]), None).unwrap();
    // Not one of them is accepted any more, though next to none is swept yet.
    let left = desk.manager.grant_count();
    assert!(before - left <= 64, "{} were swept by the call itself", before - left);
    for badge in grants.iter().step_by(997) {
        assert!(dead(&mut desk, *badge));
    }
    let syncs: Vec<Sent> = (0..17).map(|_| desk.send(root, &Request::Sync, None)).collect();
    assert_eq!(refused(&desk, syncs[16]), Some(RefusalCode::Full));
    let sync = syncs[15];
    assert!(desk.answer(sync).is_none());
    // Others are served meanwhile, and each of their calls does a bounded piece. Twice revoked is once revoked.
    while desk.answer(sync).is_none() {
        let before = desk.manager.grant_count();
        let sent = desk.send(db, &Request::State, None);
        assert!(desk.answer(sent).is_some_and(|answer| answer.error().is_none()));
        desk.forget(sent);
        let swept = before - desk.manager.grant_count();
        assert!(swept <= 64, "{swept} were swept in one call");
        assert_eq!(code(&mut desk, root, &revoke_one(&[to_tenant])), Some(RefusalCode::NotFound));
    }
    assert_eq!(desk.manager.leftover(), Leftover::None);
    assert!(grants.iter().skip(1).all(|badge| desk.port.revoked.contains(badge)));
    assert_eq!(desk.manager.grant_count(), 3);
    check(&desk);
}

#[test]
fn a_container_with_many_grants_is_removed_in_small_steps() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web");
    let grants: Vec<Badge> = (0..2_000).map(|_| all(&mut desk, web).0).collect();
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    assert!(desk.manager.grant_count() > 1_900);
    assert!(grants.iter().all(|badge| desk.manager.leftover() == Leftover::None || dead(&mut desk, *badge)));
    desk.settle();
    assert_eq!(desk.manager.grant_count(), 1);
    assert!(grants.iter().all(|badge| desk.port.revoked.contains(badge)));
    check(&desk);
}

/// The sweep has not come to them yet, and what they waited for happens: they are told nothing of it.
#[test]
fn a_call_that_waits_on_what_was_cut_off_is_not_told_what_it_waited_for() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web");
    desk.call(web, &Request::Start, None).unwrap();
    let grants: Vec<Badge> = (0..1_000).map(|_| all(&mut desk, web).0).collect();
    let waiting: Vec<Sent> =
        grants.iter().step_by(50).map(|on| desk.send(*on, &Request::Wait, None)).collect();
    let own = desk.send(web, &Request::Wait, None);
    desk.send(web, &Request::Revoke, None);
    desk.send(web, &Request::Signal(Signal { signal: 9, scope: Scope::First }), None);
    let event = desk.glue.next_event(Waiting::Yes).unwrap();
    desk.manager.event(&mut desk.glue, &mut desk.port, event);
    assert!(desk.manager.grant_count() > 500, "the sweep is through before the exit is told");
    desk.settle();
    assert!(waiting.iter().all(|sent| refused(&desk, *sent) == Some(RefusalCode::Revoked)));
    assert_eq!(desk.answer(own).unwrap().read::<Exit>().unwrap(), Exit::Signal(9));
    check(&desk);
}

/// Whatever else happens to a tree while it is being swept (its revoker is itself revoked, holders derive, give up,
/// die, its container goes), nothing below the cut is ever accepted and nothing is left in the end.
#[test]
fn a_sweep_survives_whatever_happens_to_the_tree_meanwhile() {
    for seed in 0..60u64 {
        let mut desk = Desk::prompt();
        let root = desk.root;
        let (top, to_top) = all(&mut desk, root);
        let (tenant, _) = all(&mut desk, top);
        let web = create(&mut desk, tenant, "web");
        let mut grants = vec![web, tenant];
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = move |bound: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % bound
        };
        for _ in 0..400 {
            let parent = grants[below(grants.len())];
            if let Ok(answer) = desk.call(parent, &Request::Derive(Derive::new(Rights::all())), None) {
                grants.extend(answer.mint);
            }
        }
        grants.retain(|badge| *badge != tenant);
        desk.call(tenant, &Request::Revoke, None).unwrap();
        let sync = desk.send(root, &Request::Sync, None);
        for round in 0..8 {
            let badge = grants[below(grants.len())];
            match below(7) {
                0 => desk.close(badge),
                1 => drop(desk.send(tenant, &Request::Revoke, None)),
                2 => drop(desk.send(top, &Request::Revoke, None)),
                3 => drop(desk.send(root, &revoke_one(&[to_top]), None)),
                4 if round > 4 => {
                    let delete = Request::Delete(Delete { mode: DeleteMode::Force });
                    let lookup = Request::Lookup(Lookup { id: "web", rights: Rights::all() });
                    if let Ok(answer) = desk.call(root, &lookup, None) {
                        desk.call(answer.mint.unwrap(), &delete, None).unwrap();
                    }
                }
                5 => desk.close(tenant),
                _ => {
                    for request in
                        [Request::Derive(Derive::new(Rights::all())), Request::Drop, Request::Revoke]
                    {
                        let sent = desk.send(badge, &request, None);
                        assert_eq!(refused(&desk, sent), Some(RefusalCode::NotFound));
                    }
                }
            }
            check(&desk);
            assert!(grants.iter().all(|badge| dead_now(&mut desk, *badge)), "seed {seed}");
        }
        desk.settle();
        assert!(desk.answer(sync).is_some_and(|answer| answer.error().is_none()));
        check(&desk);
        desk.call(root, &Request::Revoke, None).unwrap();
        desk.settle();
        assert_eq!(desk.manager.grant_count(), 1, "seed {seed}");
        check(&desk);
    }
}

fn dead_now(desk: &mut Desk, badge: Badge) -> bool {
    let sent = desk.send(badge, &Request::Hello(Hello { version_min: 1, version_max: 1 }), None);
    refused(desk, sent) == Some(RefusalCode::NotFound)
}
