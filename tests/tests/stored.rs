//! Capabilities that are stored with containers: who can take them out, and what ends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use bailiwick_tests::desk::{Desk, bundle};

fn mint(desk: &mut Desk, on: Badge, request: &Request<'_>) -> Badge {
    desk.call(on, request, None).unwrap().mint.unwrap()
}

fn create(desk: &mut Desk, on: Badge, id: &str) -> Badge {
    let create = Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log });
    desk.call(on, &create, Some(&bundle(&["sleep", "1000"]))).unwrap().mint.unwrap()
}

fn grant(desk: &mut Desk, on: Badge, grant: Grant<'_>) -> Result<GrantHandle, ErrorReply> {
    let answer = desk.call(on, &Request::Grant(grant), None);
    desk.manager.audit().unwrap();
    answer.map(|answer| {
        assert_eq!(answer.mint, None);
        answer.read::<DeriveReply>().unwrap().handle
    })
}

fn take(desk: &mut Desk, on: Badge, name: &str) -> Result<Badge, ErrorReply> {
    let answer = desk.call(on, &Request::Take(Take { name }), None);
    desk.manager.audit().unwrap();
    answer.map(|answer| answer.mint.unwrap())
}

fn rights(desk: &mut Desk, on: Badge) -> Rights {
    desk.call(on, &Request::Describe, None).unwrap().read::<Description>().unwrap().rights
}

fn code(error: ErrorReply) -> RefusalCode {
    match error {
        ErrorReply::Refusal(refusal) => refusal.code,
        other => panic!("{other} is no refusal"),
    }
}

const WATCH: Grant<'_> = Grant {
    to: "a",
    name: "db",
    on: "b",
    rights: Rights::OBSERVE.union(Rights::INSPECT).union(Rights::CREATE),
};

/// A tenant's factory with a and b, and the capability on a.
fn world() -> (Desk, Badge, Badge) {
    let mut desk = Desk::prompt();
    let delegate = Delegate { rights: Rights::all(), quota: Quota::UNBOUNDED, policy: None };
    let root = desk.root;
    let factory = mint(&mut desk, root, &Request::Delegate(delegate));
    let a = create(&mut desk, factory, "a");
    create(&mut desk, factory, "b");
    (desk, factory, a)
}

#[test]
fn who_may_run_programs_in_a_container_takes_out_what_is_stored_with_it_and_no_more() {
    let (mut desk, factory, a) = world();
    grant(&mut desk, factory, WATCH).unwrap();
    let b = take(&mut desk, a, "db").unwrap();
    assert_eq!(rights(&mut desk, b), Rights::OBSERVE | Rights::INSPECT);
    let answer = desk.call(b, &Request::State, None).unwrap();
    assert_eq!(answer.read::<State<'_>>().unwrap().id, "b");
    // Again, and by whoever has the right alone.
    let narrow = mint(&mut desk, a, &Request::Derive(Derive::new(Rights::EXEC)));
    take(&mut desk, narrow, "db").unwrap();
    let viewer = mint(&mut desk, a, &Request::Derive(Derive::new(Rights::all().difference(Rights::EXEC))));
    assert_eq!(code(take(&mut desk, viewer, "db").unwrap_err()), RefusalCode::Rights);
    for name in ["other", "", "../db"] {
        assert_eq!(code(take(&mut desk, a, name).unwrap_err()), RefusalCode::NotFound);
    }
    // A factory that holds less gives less.
    let list = mint(&mut desk, factory, &Request::Derive(Derive::new(Rights::LIST | Rights::INSPECT)));
    grant(&mut desk, list, Grant { name: "less", rights: Rights::all(), ..WATCH }).unwrap();
    let less = take(&mut desk, a, "less").unwrap();
    assert_eq!(rights(&mut desk, less), Rights::INSPECT);
}

#[test]
fn what_was_stored_ends_with_everything_above_it_and_with_it_what_was_taken_out() {
    type End = fn(&mut Desk, Badge, Badge, GrantHandle);
    let ends: [(&str, End); 5] = [
        ("the giver's capability is revoked", |desk, _, _, _| {
            let root = desk.root;
            desk.call(root, &Request::Revoke, None).unwrap();
        }),
        ("everything the giver gave is revoked", |desk, factory, _, _| {
            desk.call(factory, &Request::Revoke, None).unwrap();
        }),
        ("it is taken back by its handle", |desk, factory, _, handle| {
            let path = GrantPath::new(&[handle]).unwrap();
            desk.call(factory, &Request::RevokeOne(RevokeOne { path }), None).unwrap();
        }),
        ("the container it is stored with is removed", |desk, _, a, _| {
            desk.call(a, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
        }),
        ("the container it is on is removed", |desk, factory, _, _| {
            let b = mint(desk, factory, &Request::Lookup(Lookup { id: "b", rights: Rights::all() }));
            desk.call(b, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
        }),
    ];
    for (what, end) in ends {
        let (mut desk, factory, a) = world();
        let before = desk.manager.grant_count();
        // A capability on a that no end but that of a concerns.
        let root = desk.root;
        let handle = grant(&mut desk, factory, WATCH).unwrap();
        let b = take(&mut desk, a, "db").unwrap();
        let further = desk.call(b, &Request::Describe, None);
        assert!(further.is_ok());
        end(&mut desk, factory, a, handle);
        assert_eq!(code(desk.call(b, &Request::State, None).unwrap_err()), RefusalCode::NotFound, "{what}");
        assert_eq!(code(take(&mut desk, a, "db").unwrap_err()), RefusalCode::NotFound, "{what}");
        desk.settle();
        desk.manager.audit().unwrap();
        assert!(desk.manager.grant_count() <= before, "{what}: {} grants", desk.manager.grant_count());
        assert!(desk.call(root, &Request::Describe, None).is_ok());
    }
}

#[test]
fn a_name_is_free_again_once_its_capability_has_ended_and_there_are_so_many_names_at_most() {
    let (mut desk, factory, a) = world();
    let handle = grant(&mut desk, factory, WATCH).unwrap();
    assert_eq!(code(grant(&mut desk, factory, WATCH).unwrap_err()), RefusalCode::Exists);
    let path = GrantPath::new(&[handle]).unwrap();
    desk.call(factory, &Request::RevokeOne(RevokeOne { path }), None).unwrap();
    for round in 0..3 {
        let mut handles = vec![];
        for n in 0..STORED_MAX {
            handles.push(grant(&mut desk, factory, Grant { name: &format!("n{n}"), ..WATCH }).unwrap());
        }
        let everything = desk.everything();
        let full = grant(&mut desk, factory, Grant { name: "more", ..WATCH }).unwrap_err();
        assert_eq!(code(full), RefusalCode::Full, "round {round}");
        for (wrong, refused) in [
            (Grant { to: "c", ..WATCH }, RefusalCode::NotFound),
            (Grant { on: "c", ..WATCH }, RefusalCode::NotFound),
            (Grant { name: "a/b", ..WATCH }, RefusalCode::BadValue),
        ] {
            assert_eq!(code(grant(&mut desk, factory, wrong).unwrap_err()), refused, "{wrong:?}");
        }
        assert!(desk.everything() == everything);
        for handle in handles {
            let path = GrantPath::new(&[handle]).unwrap();
            desk.call(factory, &Request::RevokeOne(RevokeOne { path }), None).unwrap();
        }
    }
    assert_eq!(code(take(&mut desk, a, "n0").unwrap_err()), RefusalCode::NotFound);
}

#[test]
fn what_is_stored_is_charged_like_any_capability_and_given_back() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let quota = Quota { capabilities: Some(4), ..Quota::UNBOUNDED };
    let delegate = Delegate { rights: Rights::all(), quota, policy: None };
    let factory = mint(&mut desk, root, &Request::Delegate(delegate));
    let a = create(&mut desk, factory, "a");
    create(&mut desk, factory, "b");
    grant(&mut desk, factory, WATCH).unwrap();
    assert_eq!(
        code(grant(&mut desk, factory, Grant { name: "more", ..WATCH }).unwrap_err()),
        RefusalCode::Quota
    );
    assert_eq!(code(take(&mut desk, a, "db").unwrap_err()), RefusalCode::Quota);
    desk.call(a, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    let used: Usage = desk.call(factory, &Request::Usage, None).unwrap().read().unwrap();
    assert_eq!(used.used.capabilities, 2, "its own and that on b");
}

#[test]
fn hundreds_that_were_taken_out_are_dead_at_once_when_the_container_goes() {
    let (mut desk, factory, a) = world();
    grant(&mut desk, factory, WATCH).unwrap();
    let taken: Vec<Badge> = (0..500).map(|_| take(&mut desk, a, "db").unwrap()).collect();
    desk.call(a, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    for badge in &taken {
        let error = desk.call(*badge, &Request::State, None).unwrap_err();
        assert_eq!(code(error), RefusalCode::NotFound);
        desk.manager.audit().unwrap();
    }
    desk.call(factory, &Request::Sync, None).unwrap();
    assert!(taken.iter().all(|badge| desk.port.revoked.contains(badge)));
}
