//! Whatever is refused is refused before anything was changed, with exactly one reply.
//!
//! Each test makes a world, looks at all that server and kernel keep, sends what must be refused, and looks again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_protocol::error::{ErrorReply, FrameError, RefusalCode};
use bailiwick_protocol::frame::{FRAME_MAX, Tag};
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::{ObjectKind, Op, Target};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Limits;
use bailiwick_tests::desk::{Desk, bundle, config, few};

const CREATE: Create<'_> = Create { id: "other", bundle: "/b", stdio: Stdio::Log };
const EXEC: Exec<'_> = Exec { args: "true\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
const UPDATE: Update<'_> = Update { resources: r#"{"pids":{"limit":20}}"# };

/// A request of each operation that nothing is wrong with.
fn sample(op: Op) -> Request<'static> {
    match op {
        Op::Hello => Request::Hello(Hello { version_min: 1, version_max: 1 }),
        Op::Describe => Request::Describe,
        Op::Derive => Request::Derive(Derive::new(Rights::all())),
        Op::Revoke => Request::Revoke,
        Op::Drop => Request::Drop,
        Op::Sync => Request::Sync,
        Op::RevokeOne => {
            Request::RevokeOne(RevokeOne { path: GrantPath::new(&[GrantHandle(1 << 32)]).unwrap() })
        }
        Op::Create => Request::Create(CREATE),
        Op::List => Request::List(Page { from: 0 }),
        Op::Lookup => Request::Lookup(Lookup { id: "web", rights: Rights::all() }),
        Op::Plan => Request::Plan(Page { from: 0 }),
        Op::Delegate => Request::Delegate(Delegate { rights: Rights::all(), quota: few(1), policy: None }),
        Op::Usage => Request::Usage,
        Op::Limits => Request::Limits,
        Op::State => Request::State,
        Op::Annotation => Request::Annotation(Annotation { index: 0 }),
        Op::Start => Request::Start,
        Op::Signal => Request::Signal(Signal { signal: 15, scope: Scope::First }),
        Op::Pause => Request::Pause,
        Op::Resume => Request::Resume,
        Op::Exec => Request::Exec(EXEC),
        Op::Wait => Request::Wait,
        Op::Logs => Request::Logs(Logs { cursor: 0, waiting: Waiting::No }),
        Op::Statistics => Request::Statistics,
        Op::Processes => Request::Processes(Page { from: 0 }),
        Op::Delete => Request::Delete(Delete { mode: DeleteMode::Force }),
        Op::PivotRoot => Request::PivotRoot,
        Op::Update => Request::Update(UPDATE),
        Op::Grant => Request::Grant(Grant { to: "web", name: "own", on: "web", rights: Rights::all() }),
        Op::Take => Request::Take(Take { name: "own" }),
        Op::Attach => Request::Attach(Attach { cursor: None, waiting: Waiting::No }),
        Op::Input => Request::Input(Input { bytes: b"hi", then: InputEnd::Open }),
        Op::Events => Request::Events(Events { cursor: None, waiting: Waiting::No }),
    }
}

fn directory_for(request: &Request<'_>) -> Option<Directory> {
    (request.capabilities() > 0).then(|| bundle(&["true"]))
}

/// Where a container can be, transitions included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Creating,
    Created,
    Starting,
    Running,
    Paused,
    Stopped,
    Deleting,
}

impl At {
    const ALL: [At; 7] =
        [At::Creating, At::Created, At::Starting, At::Running, At::Paused, At::Stopped, At::Deleting];
}

struct World {
    desk: Desk,
    container: Badge,
    process: Badge,
}

fn mint(desk: &mut Desk, badge: Badge, request: &Request<'_>, directory: Option<&Directory>) -> Badge {
    desk.call(badge, request, directory).unwrap().mint.unwrap()
}

/// A world with a container at this place and, once it has run, a process started in it.
fn world(at: At) -> World {
    let mut desk = Desk::prompt();
    let mut config = config(&["sleep", "1000"]);
    config["annotations"] = serde_json::json!({ "a": "b" });
    let hook = serde_json::json!([{ "path": "/bin/sleep", "args": ["sleep", "9"] }]);
    match at {
        At::Creating => config["hooks"] = serde_json::json!({ "createRuntime": hook }),
        At::Starting => config["hooks"] = serde_json::json!({ "startContainer": hook }),
        At::Deleting => config["hooks"] = serde_json::json!({ "poststop": hook }),
        _ => {}
    }
    let bundle = Directory::bundle(config.to_string()).program("bin/sleep", "");
    let create = Request::Create(Create { id: "web", bundle: "/b", stdio: Stdio::Log });
    let root = desk.root;
    if at == At::Creating {
        desk.send(root, &create, Some(&bundle));
        let lookup = Request::Lookup(Lookup { id: "web", rights: Rights::all() });
        let container = mint(&mut desk, root, &lookup, None);
        return World { desk, container, process: Badge(0) };
    }
    let container = mint(&mut desk, root, &create, Some(&bundle));
    let mut process = Badge(0);
    if at == At::Starting {
        desk.send(container, &Request::Start, None);
    } else if at != At::Created {
        desk.call(container, &Request::Start, None).unwrap();
        process = mint(&mut desk, container, &Request::Exec(Exec { args: "sleep\x001000\0", ..EXEC }), None);
    }
    match at {
        At::Paused => drop(desk.call(container, &Request::Pause, None).unwrap()),
        At::Stopped => {
            let kill = Request::Signal(Signal { signal: 9, scope: Scope::First });
            desk.call(container, &kill, None).unwrap();
            desk.call(container, &Request::Wait, None).unwrap();
        }
        At::Deleting => drop(desk.send(container, &sample(Op::Delete), None)),
        _ => {}
    }
    World { desk, container, process }
}

/// Sends raw bytes, which must be refused at once, once, and without any change.
fn refused_bytes(desk: &mut Desk, badge: Badge, frame: &[u8], capabilities: usize) -> ErrorReply {
    let before = desk.everything();
    let directory = (capabilities > 0).then(|| bundle(&["true"]));
    let sent = desk.send_bytes(badge, frame, directory, capabilities);
    let [answer] = desk.answers(sent) else {
        panic!("{} replies to {frame:?}", desk.answers(sent).len());
    };
    let error = answer.error().unwrap_or_else(|| panic!("{frame:?} was not refused"));
    assert_eq!(bailiwick_protocol::frame::tag_of(&answer.frame), sent.tag);
    assert_eq!(answer.mint, None);
    desk.forget(sent);
    assert!(desk.everything() == before, "{error} changed something");
    error
}

fn refused(
    desk: &mut Desk,
    badge: Badge,
    request: &Request<'_>,
    directory: Option<&Directory>,
) -> ErrorReply {
    let before = desk.everything();
    let sent = desk.send(badge, request, directory);
    let [answer] = desk.answers(sent) else {
        panic!("{} replies to {request:?}", desk.answers(sent).len());
    };
    let error = answer.error().unwrap_or_else(|| panic!("{request:?} was not refused"));
    assert_eq!((bailiwick_protocol::frame::tag_of(&answer.frame), answer.mint), (sent.tag, None));
    desk.forget(sent);
    assert!(desk.everything() == before, "{request:?}: {error} changed something");
    error
}

fn code(error: &ErrorReply) -> RefusalCode {
    match error {
        ErrorReply::Refusal(refusal) => refusal.code,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn a_frame_that_makes_no_sense_has_one_answer_whatever_it_asks_for() {
    let World { mut desk, container, .. } = world(At::Running);
    for op in Op::ALL {
        let mut room = [0; FRAME_MAX];
        let request = sample(*op);
        let good = request.encode(Tag(7), &mut room).unwrap().to_vec();
        let capabilities = request.capabilities();
        for cut in 0..good.len() {
            let error = refused_bytes(&mut desk, container, &good[..cut], capabilities);
            // A string or a number that is cut may also be one that does not decode.
            let known = [FrameError::Truncated, FrameError::Malformed].map(ErrorReply::Frame);
            assert!(known.contains(&error), "{op:?} cut to {cut} bytes: {error:?}");
        }
        let longer = [&good[..], &[0]].concat();
        let error = refused_bytes(&mut desk, container, &longer, capabilities);
        assert_eq!(error, FrameError::TrailingBytes.into(), "{op:?}");
        for wrong in (0..=4).filter(|count| *count != capabilities) {
            let error = refused_bytes(&mut desk, container, &good, wrong);
            assert_eq!(error, FrameError::CapabilityCount.into(), "{op:?} with {wrong}");
        }
    }
    let large = vec![0; FRAME_MAX + 1];
    assert_eq!(refused_bytes(&mut desk, container, &large, 0), FrameError::TooLarge.into());
}

#[test]
fn a_number_that_is_no_operation_is_answered_as_such() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let before = desk.everything();
    for number in (0..=u16::MAX).filter(|number| Op::from_number(*number).is_none()) {
        let [low, high] = number.to_le_bytes();
        let sent = desk.send_bytes(root, &[low, high, 3, 0], None, 0);
        assert_eq!(desk.answers(sent).len(), 1);
        assert_eq!(desk.answer(sent).unwrap().error(), Some(FrameError::UnknownOp.into()));
        desk.forget(sent);
    }
    assert!(desk.everything() == before);
}

#[test]
fn a_badge_of_nobody_and_one_that_was_given_up_find_nothing() {
    let World { mut desk, container, .. } = world(At::Running);
    let derive = sample(Op::Derive);
    let old = mint(&mut desk, container, &derive, None);
    desk.close(old);
    let next_generation = Badge::new(old.index(), old.generation() + 1);
    for badge in [Badge(0), Badge(u64::MAX), old, next_generation] {
        let mut answers = Vec::new();
        for op in Op::ALL {
            let request = sample(*op);
            answers.push(refused(&mut desk, badge, &request, directory_for(&request).as_ref()));
        }
        assert!(answers.iter().all(|answer| *answer == RefusalCode::NotFound.into()), "{answers:?}");
    }
}

#[test]
fn an_operation_is_refused_by_every_kind_of_object_that_does_not_understand_it() {
    let World { mut desk, container, process } = world(At::Running);
    let kinds = [
        (ObjectKind::Factory, desk.root),
        (ObjectKind::Container, container),
        (ObjectKind::Process, process),
    ];
    let mut count = 0;
    for op in Op::ALL {
        for (kind, badge) in kinds {
            if !op.target().accepts(kind) {
                let request = sample(*op);
                let error = refused(&mut desk, badge, &request, directory_for(&request).as_ref());
                assert_eq!(code(&error), RefusalCode::WrongKind, "{op:?} on {kind:?}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 8 * 2 + 12 * 2 + 5 + 1, "a row of the table of operations has changed");
}

#[test]
fn an_operation_is_refused_when_any_one_of_its_rights_is_missing() {
    let World { mut desk, container, process } = world(At::Running);
    for op in Op::ALL {
        for right in op.rights() {
            let mut holders = Vec::new();
            match op.target() {
                Target::Any => holders.extend([desk.root, container, process]),
                Target::Factory => holders.push(desk.root),
                Target::Container => holders.push(container),
                Target::Running => holders.extend([container, process]),
                Target::Watched => holders.extend([desk.root, container]),
            }
            for badge in holders {
                let derive = Request::Derive(Derive::new(Rights::all().difference(right)));
                let weaker = mint(&mut desk, badge, &derive, None);
                let request = sample(*op);
                let error = refused(&mut desk, weaker, &request, directory_for(&request).as_ref());
                assert_eq!(code(&error), RefusalCode::Rights, "{op:?} without {right:?}");
                let (name, _) = right.iter_names().next().unwrap();
                assert!(error.to_string().starts_with(name), "{error} does not name {name}");
            }
        }
    }
}

/// What an operation on a container comes to at each place of its life; none is success.
fn expected(request: &Request<'_>, at: At) -> Option<RefusalCode> {
    use RefusalCode as R;
    let moving = matches!(at, At::Creating | At::Starting | At::Deleting);
    let only = |good: At| if at == good { None } else { Some(if moving { R::Busy } else { R::State }) };
    match request {
        Request::Start => only(At::Created),
        Request::Pause => only(At::Running),
        Request::Resume => only(At::Paused),
        Request::Exec(_) => only(At::Running),
        Request::Signal(_) => match at {
            At::Creating | At::Deleting => Some(R::Busy),
            At::Stopped => Some(R::State),
            _ => None,
        },
        Request::Statistics | Request::Processes(_) => moving.then_some(R::Busy),
        Request::Delete(Delete { mode: DeleteMode::Stopped }) => match at {
            At::Running | At::Paused => Some(R::Running),
            At::Stopped => None,
            At::Created => Some(R::State),
            _ => Some(R::Busy),
        },
        Request::Delete(_) => (at == At::Deleting).then_some(R::Busy),
        Request::PivotRoot => (at == At::Creating).then_some(R::State),
        // Its input is no pipe.
        Request::Input(_) => Some(if moving { R::Busy } else { R::State }),
        // Nothing was stored.
        Request::Take(_) => Some(if at == At::Deleting { R::Busy } else { R::NotFound }),
        Request::Update(_) => match at {
            At::Stopped => Some(R::State),
            _ => moving.then_some(R::Busy),
        },
        _ => None,
    }
}

#[test]
fn what_a_container_allows_follows_from_where_it_is_in_its_life() {
    let mut requests: Vec<Request<'_>> = Op::ALL
        .iter()
        .filter(|op| op.target().accepts(ObjectKind::Container) && op.target() != Target::Any)
        .map(|op| sample(*op))
        .collect();
    requests.push(Request::Delete(Delete { mode: DeleteMode::Stopped }));
    for at in At::ALL {
        for request in &requests {
            let World { mut desk, container, .. } = world(at);
            match expected(request, at) {
                Some(expected) => {
                    let error = refused(&mut desk, container, request, None);
                    assert_eq!(code(&error), expected, "{request:?} at {at:?}: {error}");
                }
                None => {
                    let sent = desk.send(container, request, None);
                    if let Some(answer) = desk.answer(sent) {
                        assert_eq!(answer.error(), None, "{request:?} at {at:?}");
                    }
                    desk.settle();
                    if desk.answer(sent).is_none() {
                        // A wait for what nobody starts.
                        desk.call(container, &sample(Op::Delete), None).unwrap();
                    }
                    assert_eq!(desk.answers(sent).len(), 1, "{request:?} at {at:?}");
                }
            }
        }
    }
}

#[test]
fn a_process_that_has_ended_takes_no_signal() {
    let World { mut desk, process, .. } = world(At::Stopped);
    let kill = Request::Signal(Signal { signal: 9, scope: Scope::First });
    assert_eq!(code(&refused(&mut desk, process, &kill, None)), RefusalCode::State);
    let World { mut desk, process, .. } = world(At::Running);
    let all = Request::Signal(Signal { signal: 9, scope: Scope::All });
    assert_eq!(code(&refused(&mut desk, process, &all, None)), RefusalCode::BadValue);
}

#[test]
fn values_out_of_range_are_named() {
    let World { mut desk, container, .. } = world(At::Running);
    let root = desk.root;
    let long = "x".repeat(2049);
    let exec = |exec| Request::Exec(exec);
    let signal = |signal| Request::Signal(Signal { signal, scope: Scope::First });
    let cases = [
        (container, signal(0), "signal: 0 "),
        (container, signal(65), "signal: 65 "),
        (container, signal(255), "signal: 255 "),
        (container, Request::Logs(Logs { cursor: 1 << 40, waiting: Waiting::No }), "cursor: past the end"),
        (container, Request::Logs(Logs { cursor: 1 << 40, waiting: Waiting::Yes }), "cursor: past the end"),
        (container, exec(Exec { args: "", ..EXEC }), "args: there is no program"),
        (container, exec(Exec { args: "\0", ..EXEC }), "args: there is no program"),
        (container, exec(Exec { args: "true", ..EXEC }), "args: the last one is not ended by a NUL"),
        (container, exec(Exec { env: "A=b", ..EXEC }), "env: the last one is not ended by a NUL"),
        (container, exec(Exec { env: "A\0", ..EXEC }), "env: one is not NAME=value"),
        (container, exec(Exec { env: "=b\0", ..EXEC }), "env: one is not NAME=value"),
        (container, exec(Exec { cwd: Some("tmp"), ..EXEC }), "cwd: is not an absolute path"),
        (container, exec(Exec { cwd: Some("/a\0b"), ..EXEC }), "cwd: is not an absolute path"),
        (root, Request::Create(Create { bundle: "a\0b", ..CREATE }), "bundle: "),
        (root, Request::Create(Create { bundle: &long, ..CREATE }), "bundle: longer than 2048 bytes"),
    ];
    for (badge, request, text) in cases {
        let error = refused(&mut desk, badge, &request, directory_for(&request).as_ref());
        assert_eq!(code(&error), RefusalCode::BadValue, "{error}");
        assert!(error.to_string().starts_with(text), "{error} should begin with {text}");
    }
    let hello = Request::Hello(Hello { version_min: 2, version_max: 9 });
    assert_eq!(code(&refused(&mut desk, root, &hello, None)), RefusalCode::Version);
    let annotation = Request::Annotation(Annotation { index: 1 });
    assert_eq!(code(&refused(&mut desk, container, &annotation, None)), RefusalCode::NotFound);
    let terminal = exec(Exec { stdio: Stdio::Terminal, ..EXEC });
    assert_eq!(code(&refused(&mut desk, container, &terminal, None)), RefusalCode::Unsupported);
}

#[test]
fn ids_that_break_a_rule_or_are_taken_are_refused_and_what_is_not_there_is_not_found() {
    let World { mut desk, .. } = world(At::Running);
    let root = desk.root;
    let long = "x".repeat(65);
    for id in ["", ".hidden", "a/b", "a b", "a\0", "ü", "..", long.as_str()] {
        let request = Request::Create(Create { id, ..CREATE });
        let error = refused(&mut desk, root, &request, Some(&bundle(&["true"])));
        assert_eq!(code(&error), RefusalCode::BadId, "{id:?}: {error}");
        let lookup = Request::Lookup(Lookup { id, rights: Rights::all() });
        assert_eq!(code(&refused(&mut desk, root, &lookup, None)), RefusalCode::NotFound);
    }
    let taken = Request::Create(Create { id: "web", ..CREATE });
    let error = refused(&mut desk, root, &taken, Some(&bundle(&["true"])));
    assert_eq!(code(&error), RefusalCode::Exists);
}

#[test]
fn full_is_a_refusal_that_leaves_everything_as_it_was() {
    let limits = Limits { containers: 1, factories: 2, processes: 1 };
    let mut desk = Desk::new(Model::new(1), limits);
    let root = desk.root;
    let web = Request::Create(Create { id: "web", ..CREATE });
    let container = mint(&mut desk, root, &web, Some(&bundle(&["sleep", "99"])));
    let tenant = mint(&mut desk, root, &sample(Op::Delegate), None);
    desk.call(container, &Request::Start, None).unwrap();
    mint(&mut desk, container, &sample(Op::Exec), None);
    let cases = [
        (root, Op::Create, "containers: 1 of 1 used, 0 left, 1 asked for: the quota is used up"),
        (root, Op::Delegate, "factories: 1 of 1 used, 0 left, 1 asked for: the quota is used up"),
        (container, Op::Exec, "exec processes: 1 of 1 used, 0 left, 1 asked for: the quota is used up"),
        // An ancestor's numbers are not told.
        (tenant, Op::Create, "containers: the quota is used up"),
        (tenant, Op::Delegate, "factories: the quota is used up"),
    ];
    for (badge, op, text) in cases {
        let request = sample(op);
        let error = refused(&mut desk, badge, &request, directory_for(&request).as_ref());
        assert_eq!((code(&error), error.to_string().as_str()), (RefusalCode::Quota, text));
    }
    for _ in 0..16 {
        desk.send(container, &Request::Wait, None);
    }
    let error = refused(&mut desk, container, &Request::Wait, None);
    assert_eq!(code(&error), RefusalCode::Full);
}

#[test]
fn a_tenant_that_takes_all_it_can_get_leaves_the_server_to_the_others() {
    let mut desk = Desk::prompt();
    let root = desk.root;
    let delegate = Request::Delegate(Delegate { rights: Rights::all(), quota: few(3), policy: None });
    let tenant = mint(&mut desk, root, &delegate, None);
    let create = Request::Create(Create { id: "web", ..CREATE });
    let web = mint(&mut desk, tenant, &create, Some(&bundle(&["sleep", "99"])));
    desk.call(web, &Request::Start, None).unwrap();
    let greedy = |desk: &mut Desk, badge: Badge, request: &Request<'_>| {
        let mut got = 0;
        while desk.call(badge, request, None).is_ok() {
            got += 1;
        }
        (got, code(&refused(desk, badge, request, None)))
    };
    let exec = Request::Exec(Exec { args: "sleep\x0099\0", ..EXEC });
    assert_eq!(greedy(&mut desk, web, &exec), (32, RefusalCode::Quota));
    assert_eq!(greedy(&mut desk, tenant, &delegate), (4, RefusalCode::Quota));
    let (got, why) = greedy(&mut desk, web, &sample(Op::Derive));
    assert_eq!((got + 32 + 4 + 2, why), (256, RefusalCode::Quota));
    assert_eq!(greedy(&mut desk, tenant, &sample(Op::Derive)), (0, RefusalCode::Quota));
    let error = refused(&mut desk, tenant, &sample(Op::Create), Some(&bundle(&["true"])));
    assert_eq!(error.to_string(), "capabilities: 256 of 256 used, 0 left, 1 asked for: the quota is used up");
    // Nobody else is refused anything.
    let web = mint(&mut desk, root, &create, Some(&bundle(&["sleep", "99"])));
    desk.call(web, &Request::Start, None).unwrap();
    for (badge, request) in [(root, delegate), (web, exec), (web, sample(Op::Derive))] {
        mint(&mut desk, badge, &request, None);
    }
    // What is given up can be had again.
    desk.call(tenant, &Request::Revoke, None).unwrap();
    mint(&mut desk, tenant, &sample(Op::Derive), None);
}

#[test]
fn a_bundle_that_cannot_be_changes_nothing_in_create_and_plan_alike() {
    let World { mut desk, .. } = world(At::Running);
    let root = desk.root;
    let unsupported = {
        let mut config = config(&["true"]);
        config["linux"]["seccomp"] = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        Directory::bundle(config.to_string())
    };
    let cases = [
        (Directory::new(), RefusalCode::BadBundle),
        (Directory::new().directory("config.json"), RefusalCode::BadBundle),
        (Directory::bundle("[]"), RefusalCode::BadConfig),
        (unsupported, RefusalCode::Unsupported),
    ];
    for (bundle, expected) in cases {
        for op in [Op::Create, Op::Plan] {
            let error = refused(&mut desk, root, &sample(op), Some(&bundle));
            assert_eq!(code(&error), expected, "{op:?}: {error}");
        }
    }
    // One capability came, but it is no directory.
    for op in [Op::Create, Op::Plan] {
        let mut room = [0; FRAME_MAX];
        let frame = sample(op).encode(Tag(9), &mut room).unwrap().to_vec();
        let before = desk.everything();
        let sent = desk.send_bytes(root, &frame, None, 1);
        assert_eq!(code(&desk.answer(sent).unwrap().error().unwrap()), RefusalCode::BadBundle);
        assert!(desk.everything() == before);
    }
}
