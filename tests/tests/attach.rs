//! Attaching to a process: its output from now on, and its input where that is a pipe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{INPUT_MAX, Model};
use bailiwick_kernel_glue::plan::{Feature, Features};
use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Limits;
use bailiwick_tests::desk::{Answer, Desk, bundle};

fn create(desk: &mut Desk, args: &[&str], stdio: Stdio) -> Result<Badge, ErrorReply> {
    let root = desk.root;
    let create = Request::Create(Create { id: "web", bundle: "/b", stdio });
    let web = desk.call(root, &create, Some(&bundle(args)))?.mint.unwrap();
    desk.call(web, &Request::Start, None).map(|_| web)
}

fn attach(cursor: Option<u64>, waiting: Waiting) -> Request<'static> {
    Request::Attach(Attach { cursor, waiting })
}

fn input(desk: &mut Desk, on: Badge, bytes: &[u8], then: InputEnd) -> Result<u32, ErrorReply> {
    let answer = desk.call(on, &Request::Input(Input { bytes, then }), None)?;
    desk.manager.audit().unwrap();
    Ok(answer.read::<InputReply>().unwrap().taken)
}

fn page(answer: &Answer) -> LogsReply<'_> {
    answer.read().unwrap()
}

fn refused(error: ErrorReply) -> (RefusalCode, String) {
    match error {
        ErrorReply::Refusal(refusal) => (refusal.code, refusal.detail.as_str().to_owned()),
        other => panic!("{other} is no refusal"),
    }
}

#[test]
fn whoever_attaches_reads_what_is_written_from_then_on_and_what_it_answers_to() {
    let mut desk = Desk::prompt();
    let web = create(&mut desk, &["sh", "-c", "echo before; cat; echo after"], Stdio::Piped).unwrap();
    desk.pump(Waiting::No);
    let first = desk.send(web, &attach(None, Waiting::Yes), None);
    while desk.pump(Waiting::No).is_some() {}
    assert!(desk.answer(first).is_none(), "what was written before is not told");
    assert_eq!(input(&mut desk, web, b"one\n", InputEnd::Open), Ok(4));
    while desk.answer(first).is_none() {
        desk.pump(Waiting::Yes).unwrap();
    }
    let answer = desk.answer(first).unwrap().clone();
    assert_eq!((page(&answer).bytes, page(&answer).lost, page(&answer).end), (&b"one\n"[..], 0, false));
    assert_eq!(input(&mut desk, web, b"two\n", InputEnd::Close), Ok(4));
    desk.settle();
    let rest = desk.call(web, &attach(Some(page(&answer).next), Waiting::Yes), None).unwrap();
    assert_eq!((page(&rest).bytes, page(&rest).end), (&b"two\nafter\n"[..], true));
    let (code, text) = refused(input(&mut desk, web, b"more", InputEnd::Open).unwrap_err());
    assert_eq!((code, text.as_str()), (RefusalCode::State, "the process has ended"));
}

#[test]
fn a_slow_reader_is_told_how_much_it_has_missed() {
    let mut desk = Desk::prompt();
    let web = create(&mut desk, &["cat"], Stdio::Piped).unwrap();
    let start = desk.call(web, &attach(None, Waiting::No), None).unwrap();
    let start = page(&start).next;
    let (piece, mut sent) = ([b'x'; 3000], 0u64);
    while sent < 200_000 {
        sent += u64::from(input(&mut desk, web, &piece, InputEnd::Open).unwrap());
        while desk.pump(Waiting::No).is_some() {}
    }
    let answer = desk.call(web, &attach(Some(start), Waiting::No), None).unwrap();
    let LogsReply { next, lost, bytes, .. } = page(&answer);
    assert!(lost > 0 && start + lost + bytes.len() as u64 == next, "{lost} lost");
    assert!(sent - lost <= 65536 + 3000);
}

#[test]
fn calls_of_a_peer_that_detaches_or_is_cut_off_end_with_its_capability() {
    let mut desk = Desk::prompt();
    let web = create(&mut desk, &["cat"], Stdio::Piped).unwrap();
    let derive = Request::Derive(Derive::new(Rights::ATTACH | Rights::DERIVE));
    let peers = [0, 1].map(|_| desk.call(web, &derive, None).unwrap().mint.unwrap());
    let waits = peers.map(|peer| desk.send(peer, &attach(None, Waiting::Yes), None));
    assert_eq!(refused(desk.call(peers[0], &Request::State, None).unwrap_err()).0, RefusalCode::Rights);
    desk.close(peers[0]);
    desk.call(web, &Request::Revoke, None).unwrap();
    desk.call(web, &Request::Sync, None).unwrap();
    for wait in waits {
        assert_eq!(desk.answers(wait).len(), 1);
        assert_eq!(refused(desk.answer(wait).unwrap().error().unwrap()).0, RefusalCode::Revoked);
    }
    desk.manager.audit().unwrap();
    // Nobody else notices.
    assert_eq!(input(&mut desk, web, b"x", InputEnd::Open), Ok(1));
}

#[test]
fn an_input_that_is_full_takes_no_more_and_one_that_is_no_pipe_nothing() {
    let mut desk = Desk::prompt();
    let web = create(&mut desk, &["sleep", "1000"], Stdio::Piped).unwrap();
    let (piece, mut sent) = ([0; 4000], 0);
    loop {
        match input(&mut desk, web, &piece, InputEnd::Open).unwrap() {
            0 => break,
            taken => sent += taken as usize,
        }
    }
    assert_eq!(sent, INPUT_MAX);
    let exec = Exec { args: "sleep\x009\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
    let log = desk.call(web, &Request::Exec(exec), None).unwrap().mint.unwrap();
    let (code, text) = refused(input(&mut desk, log, b"x", InputEnd::Open).unwrap_err());
    assert_eq!(code, RefusalCode::State);
    assert!(text.starts_with("its input is no pipe"), "{text}");
    let inherit = Request::Exec(Exec { stdio: Stdio::Inherit, ..exec });
    let own = desk.call(web, &inherit, None).unwrap().mint.unwrap();
    assert_eq!(refused(desk.call(own, &attach(None, Waiting::No), None).unwrap_err()).0, RefusalCode::State);
}

#[test]
fn a_kernel_without_such_pipes_is_named() {
    let features = Model::default_features();
    let features = Features { features: features.features.difference(Feature::INPUT), ..features };
    let mut desk = Desk::new(Model::new(1).with_features(features), Limits::default());
    let (code, text) = refused(create(&mut desk, &["cat"], Stdio::Piped).unwrap_err());
    assert_eq!((code, text.as_str()), (RefusalCode::Unsupported, "stdio: a pipe as input"));
    let web = create(&mut desk, &["sleep", "1000"], Stdio::Log).unwrap();
    let exec = Exec { args: "cat\0", env: "", cwd: None, user: None, stdio: Stdio::Piped };
    let error = desk.call(web, &Request::Exec(exec), None).unwrap_err();
    assert_eq!(refused(error).0, RefusalCode::Unsupported);
}
