//! What can happen in the small world.

use super::list::{Id, List};
use bailiwick_kernel_glue::model::Directory;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::ObjectKind;
use bailiwick_protocol::quota::Quota;
use bailiwick_protocol::rights::Rights;
use serde_json::json;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// On the capability with this position among those that are held.
    Call { hold: u8, what: What },
    /// Nobody holds it any more.
    Close { hold: u8 },
    /// A piece of the work that is left over or, if there is none, the next kernel event.
    Event,
    /// A second passes.
    Second,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Derive(u8),
    Revoke,
    /// The capability with this position among those derived from the one the call is sent on.
    RevokeOne(u8),
    Drop,
    Sync,
    Create {
        id: u8,
        bundle: u8,
    },
    Delegate(u8),
    Lookup(u8),
    Grant {
        to: u8,
        on: u8,
    },
    Take,
    Start,
    Kill,
    Pause,
    Resume,
    Update(u8),
    Exec,
    Input(InputEnd),
    Wait,
    Logs,
    Attach,
    Events,
    Delete(u8),
    State,
}

/// An act, and how the kernel goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Move {
    pub(super) act: Act,
    /// Which of the kernel steps it takes fails; 0 is none.
    pub(super) fail: u8,
    /// Which of the possible orders things happen in that are due at once.
    pub(super) order: u8,
}

pub(super) const IDS: [&str; 2] = ["a", "b"];
/// What everything is stored under.
const STORED: &str = "s";
/// The second fits the root factory, and no other.
const UPDATES: [&str; 2] = [r#"{"pids":{"limit":6}}"#, r#"{"pids":{"limit":9}}"#];
const DELETES: [DeleteMode; 3] = [DeleteMode::Force, DeleteMode::Stopped, DeleteMode::Again(1)];
/// Everything but hooks.
const NO_HOOKS: &str = "join-namespace *\nhost-namespace *\nuid 0-4294967295\ngid 0-4294967295\n\
    host-uid 0-4294967295\nhost-gid 0-4294967295\ncapability *\ndevice * *:*\nfile-system rw *\nbind rw /\n\
    sysctl *\nannotation *\nseccomp optional\nallow *\n";
const NARROW: Rights = Rights::INSPECT
    .union(Rights::START)
    .union(Rights::OBSERVE)
    .union(Rights::CREATE)
    .union(Rights::LIST)
    .union(Rights::EXEC)
    .union(Rights::DERIVE);

/// One that runs until it is killed, and one with hooks that take time, which ends with its input.
pub(super) fn bundles() -> [Directory; 2] {
    let plain = json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": { "cwd": "/", "args": ["spin"], "user": { "uid": 0, "gid": 0 } },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }], "resources": { "pids": { "limit": 4 } } }
    });
    let mut slow = plain.clone();
    let hook = |seconds| json!([{ "path": "/bin/sleep", "args": ["sleep", seconds] }]);
    slow["process"]["args"] = json!(["cat"]);
    slow["hooks"] = json!({ "createRuntime": hook("2"), "startContainer": hook("1"), "poststop": hook("1") });
    [plain, slow].map(|config| Directory::bundle(config.to_string()))
}

pub(super) fn terms(which: u8) -> Derive {
    let all = Derive::new(Rights::all());
    match which {
        0 => all,
        1 => Derive::new(NARROW),
        2 => Derive { uses: Some(1), ..all },
        _ => Derive { lifetime: Some(Nanos(1_000_000_000)), ..all },
    }
}

/// Everything that a capability of this kind can be asked, but for what only reads. `named` are the ids that its
/// factory knows.
pub(super) fn calls(kind: ObjectKind, children: u8, named: &[u8], ids: &[u8], counted: bool) -> Vec<What> {
    let mut calls = vec![What::Revoke, What::Drop, What::Sync];
    calls.extend((0..children).map(What::RevokeOne));
    calls.extend((0..4).map(What::Derive));
    match kind {
        ObjectKind::Factory => {
            for id in ids {
                calls.extend((0..2).map(|bundle| What::Create { id: *id, bundle }));
            }
            for id in named {
                calls.push(What::Lookup(*id));
                calls.extend(named.iter().map(|on| What::Grant { to: *id, on: *on }));
            }
            calls.extend([What::Delegate(0), What::Delegate(1), What::Events]);
        }
        ObjectKind::Container => {
            calls.extend([What::Start, What::Kill, What::Pause, What::Resume, What::Exec, What::Take]);
            calls.extend([What::Update(0), What::Update(1)]);
            calls.extend((0..DELETES.len() as u8).map(What::Delete));
            calls.extend([What::Wait, What::Logs, What::Attach, What::Events]);
            calls.extend([What::Input(InputEnd::Open), What::Input(InputEnd::Close)]);
            calls.extend(counted.then_some(What::State));
        }
        ObjectKind::Process => {
            calls.extend([What::Kill, What::Wait, What::Logs, What::Attach, What::Input(InputEnd::Close)]);
        }
    }
    calls
}

impl What {
    /// Whether a capability comes of it.
    pub(super) const fn mints(self) -> bool {
        use What::{Create, Delegate, Derive, Exec, Lookup, Take};
        matches!(self, Derive(_) | Create { .. } | Delegate(_) | Lookup(_) | Exec | Take)
    }

    /// The request, sent on this capability.
    pub(super) fn request(self, on: Id, list: &List) -> Request<'static> {
        let id = |id: u8| IDS[usize::from(id)];
        match self {
            What::Derive(which) => Request::Derive(terms(which)),
            What::Revoke => Request::Revoke,
            What::RevokeOne(at) => {
                let child = list.children(on).nth(at.into()).map(|child| child.1);
                let path = GrantPath::new(child.as_slice()).unwrap();
                Request::RevokeOne(RevokeOne { path })
            }
            What::Drop => Request::Drop,
            What::Sync => Request::Sync,
            What::Create { id: which, bundle } => {
                let stdio = [Stdio::Log, Stdio::Piped][usize::from(bundle)];
                Request::Create(Create { id: id(which), bundle: "/b", stdio })
            }
            What::Delegate(which) => {
                let quota = Quota { containers: Some(1), processes: Some(6), ..Quota::UNBOUNDED };
                let policy = (which == 1).then_some(NO_HOOKS);
                Request::Delegate(Delegate { rights: Rights::all(), quota, policy })
            }
            What::Lookup(which) => Request::Lookup(Lookup { id: id(which), rights: Rights::all() }),
            What::Grant { to, on } => {
                let rights = Rights::all();
                Request::Grant(Grant { to: id(to), name: STORED, on: id(on), rights })
            }
            What::Take => Request::Take(Take { name: STORED }),
            What::Start => Request::Start,
            What::Kill => Request::Signal(Signal { signal: 9, scope: Scope::First }),
            What::Pause => Request::Pause,
            What::Resume => Request::Resume,
            What::Update(which) => Request::Update(Update { resources: UPDATES[usize::from(which)] }),
            What::Exec => {
                let args = "cat\0";
                Request::Exec(Exec { args, env: "", cwd: None, user: None, stdio: Stdio::Piped })
            }
            What::Input(then) => Request::Input(Input { bytes: b"x", then }),
            What::Wait => Request::Wait,
            What::Logs => Request::Logs(Logs { cursor: 0, waiting: Waiting::Yes }),
            What::Attach => Request::Attach(Attach { cursor: None, waiting: Waiting::Yes }),
            What::Events => Request::Events(Events { cursor: None, waiting: Waiting::Yes }),
            What::Delete(mode) => Request::Delete(Delete { mode: DELETES[usize::from(mode)] }),
            What::State => Request::State,
        }
    }
}

/// Everything that only reads.
pub(super) fn reads() -> [Request<'static>; 13] {
    let page = Page { from: 0 };
    [
        Request::Hello(Hello { version_min: 1, version_max: 1 }),
        Request::Describe,
        Request::Sync,
        Request::RevokeOne(RevokeOne { path: GrantPath::new(&[]).unwrap() }),
        Request::List(page),
        Request::Lookup(Lookup { id: "none", rights: Rights::all() }),
        Request::Usage,
        Request::Limits,
        Request::State,
        Request::Annotation(Annotation { index: 0 }),
        Request::Statistics,
        Request::Processes(page),
        Request::PivotRoot,
    ]
}
