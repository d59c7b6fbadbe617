//! The exact bytes of every operation and every error. A diff in the expected bytes is a change of the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_protocol::error::{Detail, Errno, ErrorReply, FrameError, KernelFault, Refusal, RefusalCode};
use bailiwick_protocol::frame::{FRAME_MAX, FrameBuffer, Tag, decode_reply};
use bailiwick_protocol::id::{ContainerId, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::{ObjectKind, Op};
use bailiwick_protocol::quota::{Amounts, Quota};
use bailiwick_protocol::rights::Rights;

const TAG: Tag = Tag(0x0201);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn exec() -> Exec<'static> {
    Exec { args: "ps\0-a\0", env: "A=b\0", cwd: Some("/"), user: Some((1000, 100)), stdio: Stdio::Log }
}

fn path() -> GrantPath {
    GrantPath::new(&[GrantHandle(1 << 32), GrantHandle(300)]).unwrap()
}

fn delegate() -> Delegate<'static> {
    let quota = Quota { containers: Some(4), memory: Some(1 << 30), ..Quota::UNBOUNDED };
    Delegate { rights: Rights::CREATE, quota, policy: Some("include baseline") }
}

#[test]
fn each_way_to_delete_has_its_golden_bytes() {
    let modes = [(DeleteMode::Stopped, "00"), (DeleteMode::Force, "01"), (DeleteMode::Again(300), "02ac02")];
    for (mode, bytes) in modes {
        let request = Request::Delete(Delete { mode });
        let mut room = [0; FRAME_MAX];
        let frame = request.encode(TAG, &mut room).unwrap();
        assert_eq!(hex(frame), format!("2b000102{bytes}"));
        assert_eq!(Request::decode(frame), Ok((TAG, request)));
    }
}

/// One request for each operation, with its bytes.
fn requests() -> Vec<(Request<'static>, &'static str)> {
    vec![
        (Request::Hello(Hello { version_min: 1, version_max: 1 }), "000001020101"),
        (Request::Describe, "01000102"),
        (Request::Derive(Derive::new(Rights::INSPECT | Rights::DERIVE)), "0200010281200000"),
        (Request::Revoke, "03000102"),
        (Request::Drop, "04000102"),
        (Request::Sync, "05000102"),
        (Request::RevokeOne(RevokeOne { path: path() }), "060001020200000000010000002c01000000000000"),
        (
            Request::Create(Create { id: "web", bundle: "/b", stdio: Stdio::Console }),
            "1000010203776562022f6201",
        ),
        (Request::List(Page { from: 0 }), "1100010200"),
        (Request::Lookup(Lookup { id: "web", rights: Rights::OBSERVE }), "120001020377656202"),
        (Request::Plan(Page { from: 300 }), "13000102ac02"),
        (
            Request::Delegate(delegate()),
            "140001028004010400000000000000018080808004000110696e636c75646520626173656c696e65",
        ),
        (Request::Usage, "15000102"),
        (Request::Limits, "16000102"),
        (Request::State, "20000102"),
        (Request::Annotation(Annotation { index: 1 }), "2100010201"),
        (Request::Start, "22000102"),
        (Request::Signal(Signal { signal: 15, scope: Scope::All }), "230001020f01"),
        (Request::Pause, "24000102"),
        (Request::Resume, "25000102"),
        (Request::Exec(exec()), "26000102067073002d610004413d620001012f01e8076400"),
        (Request::Wait, "27000102"),
        (Request::Logs(Logs { cursor: 5, waiting: Waiting::Yes }), "280001020501"),
        (Request::Statistics, "29000102"),
        (Request::Processes(Page { from: 0 }), "2a00010200"),
        (Request::Delete(Delete { mode: DeleteMode::Force }), "2b00010201"),
        (Request::PivotRoot, "2c000102"),
        (Request::Update(Update { resources: "{}" }), "2d000102027b7d"),
        (Request::Attach(Attach { cursor: None, waiting: Waiting::Yes }), "2e0001020001"),
        (Request::Events(Events { cursor: Some(300), waiting: Waiting::Yes }), "2f00010201ac0201"),
        (
            Request::Grant(Grant { to: "a", name: "db", on: "b", rights: Rights::OBSERVE }),
            "300001020161026462016202",
        ),
        (Request::Take(Take { name: "db" }), "31000102026462"),
        (Request::Input(Input { bytes: b"hi", then: InputEnd::Close }), "3200010202686901"),
    ]
}

#[test]
fn every_operation_has_a_golden_request() {
    let golden: Vec<Op> = requests().iter().map(|(request, _)| request.op()).collect();
    assert_eq!(golden, Op::ALL, "one golden request for each row of the table, in its order");
}

#[test]
fn requests_have_their_golden_bytes_in_both_directions() {
    for (request, bytes) in requests() {
        let mut room = [0; FRAME_MAX];
        let frame = request.encode(TAG, &mut room).unwrap();
        assert_eq!(hex(frame), bytes, "{:?}", request.op());
        assert_eq!(Request::decode(frame), Ok((TAG, request)));
    }
}

#[test]
fn a_request_cut_anywhere_is_refused() {
    for (request, _) in requests() {
        let mut room = [0; FRAME_MAX];
        let frame = request.encode(TAG, &mut room).unwrap();
        for end in 0..frame.len() {
            assert!(Request::decode(&frame[..end]).is_err(), "{:?} cut at {end}", request.op());
        }
    }
}

#[test]
fn bytes_after_a_request_are_refused() {
    for (request, _) in requests() {
        let mut room = [0; FRAME_MAX];
        let mut frame = request.encode(TAG, &mut room).unwrap().to_vec();
        frame.push(0);
        assert_eq!(Request::decode(&frame), Err(FrameError::TrailingBytes), "{:?}", request.op());
    }
}

#[test]
fn numbers_outside_the_table_are_unknown_operations() {
    for number in (0..=u16::MAX).filter(|number| Op::from_number(*number).is_none()) {
        let [a, b] = number.to_le_bytes();
        assert_eq!(Request::decode(&[a, b, 0, 0]), Err(FrameError::UnknownOp));
    }
}

#[test]
fn frames_of_any_length_and_content_decode_or_are_refused() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for len in 0..5000 {
        let mut frame: Vec<u8> = (0..len).map(|_| random()).collect();
        if let Some(first) = frame.first_mut() {
            *first %= 48;
        }
        if let Some(second) = frame.get_mut(1) {
            *second = 0;
        }
        let decoded = Request::decode(&frame);
        assert!(len <= FRAME_MAX || decoded == Err(FrameError::TooLarge));
    }
}

fn events() -> EventPage {
    let row = |at, kind| EventRow { at: Nanos(at), id: ContainerId::new("web").unwrap(), kind };
    let rows = [
        row(300, EventKind::Created),
        row(0, EventKind::Exited(Exit::Code(3))),
        row(0, EventKind::Refused(RefusalCode::Policy)),
        row(0, EventKind::Failed(Errno::ENOMEM)),
        row(0, EventKind::OutOfMemory),
        row(0, EventKind::Restarted(300)),
        row(0, EventKind::Updated),
    ];
    EventPage { next: 9, lost: 2, rows: heapless::Vec::from_slice(&rows).unwrap() }
}

/// One reply of each shape, with its bytes.
fn replies() -> Vec<(Reply<'static>, &'static str)> {
    let row =
        ListRow { id: ContainerId::new("web").unwrap(), status: Status::Running, pid: Some(7), exit: None };
    let list = ListPage { rows: heapless::Vec::from_slice(&[row]).unwrap(), next: Some(1) };
    let processes = ProcessPage {
        rows: heapless::Vec::from_slice(&[ProcessRow { pid: Some(7), inner_pid: Some(1) }]).unwrap(),
        next: None,
    };
    let state = State {
        oci_version: "1.3.0",
        id: "web",
        status: Status::Stopped,
        pid: None,
        bundle: "/b",
        exit: Some(Exit::Signal(9)),
        created_at: Nanos(300),
        annotations: 2,
    };
    let hello = HelloReply { version_min: 1, version_max: 1, frame_max: 4096, schema: 5 };
    let description = Description {
        kind: ObjectKind::Factory,
        rights: Rights::LIST,
        depth: 1,
        left: Some(Quota { containers: Some(3), memory: Some(300), ..Quota::UNBOUNDED }),
        lifetime: Some(Nanos(300)),
        uses: None,
    };
    let statistics = Statistics {
        memory: 4096,
        memory_limit: Some(8192),
        cpu_limit: Some(500),
        pids: 1,
        ..Statistics::default()
    };
    let used = Amounts { containers: 1, memory: 300, ..Amounts::NONE };
    vec![
        (Reply::Done, "00000102"),
        (Reply::Hello(hello), "000001020101802005"),
        (Reply::Description(description), "00000102 00 8008 01 01 0103 00000000000000 01ac02 00 01ac02 00"),
        (Reply::Derive(DeriveReply { handle: GrantHandle(300) }), "00000102 2c01000000000000"),
        (Reply::State(state), "00000102 2c01000000000000 04 05 03 0a 312e332e30 776562 2f62 00 010109 02"),
        (Reply::Annotation(AnnotationReply { key: "k", value: "v" }), "00000102016b0176"),
        (Reply::List(Box::leak(Box::new(list))), "00000102010377656202010700 0101"),
        (Reply::PlanText(PlanText { text: "a\n", next: None }), "0000010202610a00"),
        (
            Reply::Usage(Usage { used, quota: delegate().quota }),
            "00000102 0100000000000000ac0200 01040000000000000001808080800400",
        ),
        (
            Reply::Limits(LimitsReply { quota: delegate().quota, policy: "hook /\n" }),
            "00000102 01040000000000000001808080800400 07686f6f6b202f0a",
        ),
        (Reply::Exec(ExecReply { pid: Some(7) }), "00000102 0107"),
        (Reply::Exit(Exit::OutOfMemory), "0000010202"),
        (Reply::Logs(LogsReply { next: 2, lost: 0, end: true, bytes: b"hi" }), "00000102020001026869"),
        (Reply::Statistics(statistics), "00000102 8020 00 018040 00 01f403 01 00 00 00"),
        (Reply::Processes(Box::leak(Box::new(processes))), "00000102 01 0107 0101 00"),
        (
            Reply::Events(Box::leak(Box::new(events()))),
            "00000102 09 02 07 ac02 03776562 00 00 03776562 04 0003 00 03776562 07 0c 00 03776562 08 0c 00 03776562 05 \
             00 03776562 09 ac02 00 03776562 0a",
        ),
        (Reply::Input(InputReply { taken: 300 }), "00000102ac02"),
        (Reply::PivotRoot(PivotRootReply { old: "/", new: "r" }), "00000102012f0172"),
    ]
}

#[test]
fn replies_have_their_golden_bytes() {
    for (reply, bytes) in replies() {
        let mut room = [0; FRAME_MAX];
        let frame = reply.encode(TAG, &mut room).unwrap();
        assert_eq!(hex(frame), bytes.replace(' ', ""), "{reply:?}");
    }
}

#[test]
fn a_reply_is_read_as_what_was_sent() {
    let mut room = [0; FRAME_MAX];
    let frame = Reply::Exit(Exit::Code(3)).encode(TAG, &mut room).unwrap();
    assert_eq!(decode_reply::<Exit>(TAG, frame), Ok(Exit::Code(3)));
    assert_eq!(decode_reply::<Exit>(Tag(9), frame), Err(FrameError::WrongTag.into()));
}

#[test]
fn every_error_code_survives_the_wire() {
    let refusals = RefusalCode::ALL.iter().map(|code| ErrorReply::Refusal(Refusal::new(*code, "web")));
    let frames = FrameError::ALL.iter().map(|code| ErrorReply::Frame(*code));
    let kernel =
        KernelFault { step: Some(3), errno: Errno::EPERM, detail: Detail::new("mount proc on /proc") };
    for error in refusals.chain(frames).chain([ErrorReply::Kernel(kernel)]) {
        let mut room = [0; FRAME_MAX];
        let frame = error.encode(TAG, &mut room).unwrap();
        assert_eq!(decode_reply::<()>(TAG, frame), Err(error));
    }
}

#[test]
fn errors_have_their_golden_bytes() {
    let mut room = [0; FRAME_MAX];
    let frame = ErrorReply::from(Refusal::new(RefusalCode::NotFound, "web")).encode(TAG, &mut room).unwrap();
    assert_eq!(hex(frame), "020001020103776562");
    let frame = ErrorReply::from(FrameError::UnknownOp).encode(TAG, &mut room).unwrap();
    assert_eq!(hex(frame), "0100010203");
    let fault = KernelFault { step: Some(3), errno: Errno::EPERM, detail: Detail::new("x") };
    let frame = ErrorReply::from(fault).encode(TAG, &mut room).unwrap();
    assert_eq!(hex(frame), "030001020103010178");
}

#[test]
fn a_code_of_a_newer_build_is_kept_as_it_came() {
    let mut room = [0; FRAME_MAX];
    let newer = ErrorReply::from(Refusal::new(RefusalCode(999), "web"));
    let frame = newer.encode(TAG, &mut room).unwrap();
    assert_eq!(decode_reply::<()>(TAG, frame), Err(newer));
}

#[test]
fn a_detail_that_is_too_long_is_cut_at_a_character() {
    let detail = Detail::new("é".repeat(200));
    assert_eq!(detail.as_str().chars().count(), 120);
}

#[test]
fn restricting_never_adds_a_right() {
    for held in 0..1u32 << 13 {
        let held = Rights::from_bits_truncate(held);
        for mask in [Rights::all(), Rights::CONTAINER, Rights::FACTORY, Rights::empty(), !held] {
            assert!(held.contains(held.restrict(mask)));
        }
    }
}

#[test]
fn ids_follow_their_alphabet() {
    for good in ["a", "A.b-c_d+0", &"x".repeat(64)] {
        assert!(ContainerId::new(good).is_ok(), "{good}");
    }
    for bad in ["", ".a", "a/b", "a b", "..", "é", "a\0", &"x".repeat(65)] {
        assert!(ContainerId::new(bad).is_err(), "{bad}");
    }
}

/// In registers, in a longer frame, or not at all.
#[test]
fn a_frame_is_the_same_wherever_it_is_written() {
    let (mut room, mut bytes, text) = (FrameBuffer::new(), [0; FRAME_MAX + 64], [b'x'; FRAME_MAX]);
    for len in (0..300).chain(FRAME_MAX - 40..=FRAME_MAX) {
        let reply = reply_of(&text[..len]);
        let (into_bytes, into_room) =
            (reply.encode(Tag(7), &mut bytes).map(<[u8]>::to_vec), reply.encode_in(Tag(7), &mut room));
        assert_eq!(into_bytes.as_deref(), into_room.as_deref(), "{len}");
        if let Ok(frame) = into_room {
            assert_eq!(decode_reply::<LogsReply>(Tag(7), frame).unwrap().bytes, &text[..len], "{len}");
        }
    }
    for (request, golden) in requests() {
        assert_eq!(hex(request.encode_in(TAG, &mut room).unwrap()), golden, "{request:?}");
    }
    for (reply, golden) in replies() {
        let frame = reply.encode_in(TAG, &mut room).unwrap();
        assert_eq!(hex(frame), golden.replace(' ', ""), "{reply:?}");
    }
}

fn reply_of(bytes: &[u8]) -> Reply<'_> {
    Reply::Logs(LogsReply { next: 0, lost: 0, end: true, bytes })
}
