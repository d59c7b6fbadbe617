//! Events: what happened, to whoever may know, in order, and never at anybody's expense.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::Directory;
use bailiwick_protocol::error::{Errno, ErrorReply, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_tests::desk::{Desk, bundle, few};

fn create(desk: &mut Desk, on: Badge, id: &str, bundle: &Directory) -> Result<Badge, ErrorReply> {
    let request = Request::Create(Create { id, bundle: "/b", stdio: Stdio::Log });
    desk.call(on, &request, Some(bundle)).map(|answer| answer.mint.unwrap())
}

fn delegate(desk: &mut Desk, on: Badge) -> Badge {
    let request = Request::Delegate(Delegate { rights: Rights::all(), quota: few(4), policy: None });
    desk.call(on, &request, None).unwrap().mint.unwrap()
}

fn events(desk: &mut Desk, on: Badge, cursor: u64) -> EventPage {
    let request = Request::Events(Events { cursor: Some(cursor), waiting: Waiting::No });
    desk.call(on, &request, None).unwrap().read().unwrap()
}

fn kinds(page: &EventPage) -> Vec<(&str, EventKind)> {
    page.rows.iter().map(|row| (row.id.as_str(), row.kind)).collect()
}

fn live(desk: &mut Desk, web: Badge) {
    for request in [Request::Start, Request::Pause, Request::Resume] {
        desk.call(web, &request, None).unwrap();
    }
    desk.call(web, &Request::Signal(Signal { signal: 9, scope: Scope::First }), None).unwrap();
    desk.settle();
}

#[test]
fn a_whole_life_is_told_to_the_container_to_its_factory_and_above_and_to_nobody_else() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let (ours, theirs) = (delegate(&mut desk, root), delegate(&mut desk, root));
    let sleep = bundle(&["sleep", "1000"]);
    let web = create(&mut desk, ours, "web", &sleep).unwrap();
    live(&mut desk, web);
    let life = [
        ("web", EventKind::Created),
        ("web", EventKind::Started),
        ("web", EventKind::Paused),
        ("web", EventKind::Resumed),
        ("web", EventKind::Exited(Exit::Signal(9))),
    ];
    for (on, seen) in [(web, &life[..]), (ours, &life), (root, &life), (theirs, &[])] {
        assert_eq!(kinds(&events(&mut desk, on, 0)), seen);
    }
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Stopped }), None).unwrap();
    assert_eq!(kinds(&events(&mut desk, ours, 5)), [("web", EventKind::Deleted)]);
    desk.manager.audit().unwrap();
}

#[test]
fn who_deletes_to_make_again_tells_of_a_restart_and_who_changes_limits_of_that() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let ours = delegate(&mut desk, root);
    let sleep = bundle(&["sleep", "1000"]);
    let again = Request::Delete(Delete { mode: DeleteMode::Again(1) });
    let web = create(&mut desk, ours, "web", &sleep).unwrap();
    // It is for what has stopped, and refused otherwise as `Stopped` is; then nothing is told.
    desk.call(web, &again, None).unwrap_err();
    desk.call(web, &Request::Start, None).unwrap();
    desk.call(web, &again, None).unwrap_err();
    desk.call(web, &Request::Update(Update { resources: "{}" }), None).unwrap();
    desk.call(web, &Request::Update(Update { resources: "no" }), None).unwrap_err();
    desk.call(web, &Request::Signal(Signal { signal: 9, scope: Scope::First }), None).unwrap();
    desk.settle();
    let from_now = Request::Events(Events { cursor: None, waiting: Waiting::Yes });
    let last = desk.send(web, &from_now, None);
    desk.call(web, &again, None).unwrap();
    let page: EventPage = desk.answer(last).unwrap().read().unwrap();
    assert_eq!(kinds(&page), [("web", EventKind::Restarted(1))], "to who holds the life that has ended");
    let web = create(&mut desk, ours, "web", &sleep).unwrap();
    assert_eq!(kinds(&events(&mut desk, web, 0)), [("web", EventKind::Created)]);
    let told = [
        ("web", EventKind::Created),
        ("web", EventKind::Started),
        ("web", EventKind::Updated),
        ("web", EventKind::Exited(Exit::Signal(9))),
        ("web", EventKind::Restarted(1)),
        ("web", EventKind::Created),
    ];
    for on in [ours, root] {
        assert_eq!(kinds(&events(&mut desk, on, 0)), told);
    }
    desk.manager.audit().unwrap();
}

#[test]
fn what_was_refused_what_failed_and_who_ran_out_of_memory_is_told() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    create(&mut desk, root, "bad", &Directory::bundle("{")).unwrap_err();
    create(&mut desk, root, "/", &bundle(&["true"])).unwrap_err();
    desk.glue.fail_at(3, Errno::EIO);
    create(&mut desk, root, "half", &bundle(&["true"])).unwrap_err();
    let hog = create(&mut desk, root, "hog", &bundle(&["hog"])).unwrap();
    desk.call(hog, &Request::Start, None).unwrap();
    desk.settle();
    let expected = [
        ("bad", EventKind::Refused(RefusalCode::BadConfig)),
        ("half", EventKind::Failed(Errno::EIO)),
        ("hog", EventKind::Created),
        ("hog", EventKind::Started),
        ("hog", EventKind::OutOfMemory),
        ("hog", EventKind::Exited(Exit::OutOfMemory)),
    ];
    assert_eq!(kinds(&events(&mut desk, root, 0)), expected);
}

#[test]
fn a_reader_that_waits_is_answered_by_the_next_event_or_when_it_may_know_no_more() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web", &bundle(&["sleep", "1000"])).unwrap();
    let from_now = Request::Events(Events { cursor: None, waiting: Waiting::Yes });
    let derived = desk.call(root, &Request::Derive(Derive::new(Rights::all())), None).unwrap().mint.unwrap();
    let [first, second, third] = [web, derived, root].map(|on| desk.send(on, &from_now, None));
    assert!([first, second, third].iter().all(|sent| desk.answer(*sent).is_none()));
    desk.call(root, &Request::Revoke, None).unwrap();
    let code = |desk: &Desk, sent| match desk.answer(sent).and_then(|answer| answer.error()) {
        Some(ErrorReply::Refusal(refusal)) => Some(refusal.code),
        _ => None,
    };
    assert_eq!([code(&desk, first), code(&desk, second)], [Some(RefusalCode::Revoked); 2]);
    let lookup = Request::Lookup(Lookup { id: "web", rights: Rights::all() });
    let web = desk.call(root, &lookup, None).unwrap().mint.unwrap();
    let last = desk.send(web, &from_now, None);
    desk.call(web, &Request::Start, None).unwrap();
    for sent in [third, last] {
        let page: EventPage = desk.answer(sent).unwrap().read().unwrap();
        assert_eq!(kinds(&page), [("web", EventKind::Started)]);
    }
    let gone = desk.send(web, &from_now, None);
    desk.call(web, &Request::Delete(Delete { mode: DeleteMode::Force }), None).unwrap();
    let page: EventPage = desk.answer(gone).unwrap().read().unwrap();
    assert_eq!(kinds(&page), [("web", EventKind::Deleted)]);
    desk.manager.audit().unwrap();
}

#[test]
fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let web = create(&mut desk, root, "web", &bundle(&["sleep", "1000"])).unwrap();
    desk.call(web, &Request::Start, None).unwrap();
    for _ in 0..100 {
        desk.call(web, &Request::Pause, None).unwrap();
        desk.call(web, &Request::Resume, None).unwrap();
    }
    let page = events(&mut desk, web, 0);
    assert_eq!((page.lost, page.rows.len()), (138, PAGE_ROWS));
    let page = events(&mut desk, web, page.next);
    assert_eq!((page.lost, page.next, page.rows.len()), (0, 202, PAGE_ROWS));
    let past = Request::Events(Events { cursor: Some(203), waiting: Waiting::Yes });
    assert!(desk.call(web, &past, None).is_err());
}
