//! A tenant of a boot manifest like any other, but hostile: it holds what the manifest gives it, and tries everything
//! that servers of this kind have fallen for, row by row. What came of each is one line.

use super::attacks;
use super::floods;
use super::raw::{Buffer, any};
use crate::console::Serial;
use crate::shell::BundleDirectory;
use crate::slots::process as slot;
use crate::sys;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_abi::{Call, CapabilityWord, Error, Handle, Rights as Access, Transfer};
use bailiwick_client::{Container, Factory};
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_protocol::error::ErrorReply;
use bailiwick_protocol::frame::{FRAME_MAX, Tag, decode_reply};
use bailiwick_protocol::message::{Create, DeleteMode, Exec, Request, Stdio};
use bailiwick_protocol::{Quota, Rights};
use bailiwick_userland_core::{Bundles, Console};

type Came = Result<String, Error>;
/// What is tried, and how.
type Row = (&'static str, fn() -> Came);
type Own = Factory<EndpointChannel>;

/// Its name on the console.
const NAME: &str = "mallory";
/// The id that its neighbours have containers of, and one of the same length that nobody has.
const THEIRS: &str = "web";
const NOBODYS: &str = "wob";
/// A bundle that its policy allows, and runs until it is killed.
const GOOD: &str = "forever";
/// Bundles that ask for more than its policy allows, each for something else.
const BAD: [&str; 6] = ["rooted", "mighty", "hostnet", "bound", "hooked", "tuned"];

/// All rows, in the order in which they are tried. The last leave threads behind.
const ROWS: [Row; 20] = [
    ("handles made up", attacks::handles),
    ("calls on the wrong kind", attacks::kinds),
    ("another badge", attacks::badges),
    ("a badge for what is handed on", badge_handed_on),
    ("replies to nobody", replies),
    ("a neighbour's id", || attacks::names([THEIRS, NOBODYS])),
    ("random frames", random_frames),
    ("capabilities beside frames", attacks::capabilities),
    ("no room for the answer", attacks::unwanted),
    ("a frame sent twice", replay),
    ("more rights", more_rights),
    ("a wider factory", wider_factory),
    ("bundles that ask for more", bundles),
    ("a process that may do more", process),
    ("use after revocation", after_revocation),
    ("more containers", more_containers),
    ("more capabilities", more_capabilities),
    ("more factories", more_factories),
    ("waiting without end", waiting),
    ("a crowd of callers", crowd),
];

/// Tries everything. Status 1 if something could not be tried, or left something.
pub(super) fn main() -> u8 {
    let mut failed = false;
    let mut rows: Vec<Row> = Vec::from(ROWS);
    rows.push(("what is left", left));
    for (name, attack) in rows {
        let came = attack();
        failed |= came.is_err();
        let text = came.unwrap_or_else(|error| format!("could not be tried: {error}"));
        Serial(slot::CONSOLE).write(format!("{NAME} | {name}: {text}\n").as_bytes());
    }
    u8::from(failed)
}

/// Its factory, for as long as `use_it` runs: dropping the handle would give it up.
fn with_factory<T>(use_it: impl FnOnce(&Own) -> Result<T, Error>) -> Result<T, Error> {
    let factory = Factory::new(EndpointChannel::new(Messages::new()?, slot::FACTORY));
    let came = use_it(&factory);
    core::mem::forget(factory);
    came
}

fn create(
    factory: &Own,
    id: &str,
    bundle: &str,
) -> Result<Result<Container<EndpointChannel>, String>, Error> {
    let directory = BundleDirectory(Handle::first(slot::DIRECTORIES)).open(bundle)?;
    Ok(factory.create(id, bundle, Stdio::Log, &directory).map_err(|error| error.to_string()))
}

/// What was said to somebody who was refused; `taken` if nobody was.
fn refusal<T, E: ToString>(came: Result<T, E>) -> String {
    came.map_or_else(|error| error.to_string(), |_| "taken".into())
}

fn done<T, E>(came: Result<T, E>) -> Result<T, Error> {
    came.map_err(|_| Error::NO_CALL)
}

/// A capability that may be handed on, sent with the badge of somebody else's.
fn badge_handed_on() -> Came {
    let derived = with_factory(|factory| done(factory.derive(Rights::all())))?.into_channel().into_handle();
    let word = CapabilityWord::new(derived, Access::ALL, Transfer::Badged);
    let came = Buffer::new()?.exchange(slot::FACTORY, &[1, 0], &[word]);
    sys::delete(derived);
    Ok(came.map_or_else(|error| error.to_string(), |_| String::from("it went")))
}

/// Answers that were never asked for, by capabilities that are none.
fn replies() -> Came {
    let mut calls = 0;
    let mut taken = 0;
    for call in [Call::Reply, Call::ReplyReceive, Call::ParkReply] {
        for handle in [0, 1, 2, 8, 9, 31, 1 << 32 | 2, u64::MAX] {
            calls += 1;
            taken += u32::from(any(call, &[handle, 8]).is_ok());
        }
    }
    Ok(format!("{taken} of {calls} taken"))
}

/// On a capability of its own, for what the frames may happen to mean ends with it.
fn random_frames() -> Came {
    let derived = any(Call::Derive, &[slot::FACTORY.0, Access::ALL.0.into(), 0])?[0];
    let came = attacks::frames_on(Handle(derived));
    sys::delete(Handle(derived));
    came
}

/// The same bytes twice: a creation, and a look at what came of it.
fn replay() -> Came {
    let directory = BundleDirectory(Handle::first(slot::DIRECTORIES)).open(GOOD)?;
    let (mut buffer, mut room) = (Buffer::new()?, [0; FRAME_MAX]);
    let request = Request::Create(Create { id: "twice", bundle: GOOD, stdio: Stdio::Log });
    let frame = request.encode(Tag(7), &mut room).unwrap_or_default();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let word = CapabilityWord::new(directory.handle(), Access::ALL, Transfer::Copy);
        let answer = buffer.exchange(slot::FACTORY, frame, &[word])?;
        answers.push(match decode_reply::<()>(Tag(7), &answer.bytes) {
            Err(ErrorReply::Refusal(refusal)) => refusal.to_string(),
            Err(other) => format!("{other:?}"),
            Ok(()) => format!("answered with {} capability", answer.capabilities),
        });
    }
    with_factory(|factory| done(done(factory.lookup("twice", Rights::all()))?.delete(DeleteMode::Force)))?;
    Ok(answers.join(", then "))
}

fn more_rights() -> Came {
    with_factory(|factory| {
        let narrow = done(factory.derive(Rights::LIST))?;
        let without = refusal(narrow.derive(Rights::all()));
        let narrow = done(factory.derive(Rights::LIST | Rights::DERIVE))?;
        let wide = done(narrow.derive(Rights::all()))?;
        let rights = done(wide.describe())?.rights;
        let create = refusal(create(&wide, "wide", GOOD)?);
        let names: Vec<&str> = rights.iter_names().map(|(name, _)| name).collect();
        Ok(format!("{without}; derived anew it holds {}; create: {create}", names.join(" ")))
    })
}

/// A sub-factory that is to have more than what it is made below.
fn wider_factory() -> Came {
    with_factory(|factory| {
        let (quota, policy) = done(factory.limits(|limits| (limits.quota, String::from(limits.policy))))?;
        let wish = Quota { containers: Some(1000), memory: None, ..Quota::UNBOUNDED };
        let wide = done(factory.delegate(Rights::all(), wish, Some("include privileged")))?;
        let within = done(wide.limits(|limits| {
            let more = limits.policy.lines().filter(|line| !policy.lines().any(|own| own == *line)).count();
            (limits.quota.is_within(quota), more)
        }))?;
        let rooted = refusal(create(&wide, "wide", "rooted")?);
        Ok(format!("quota within its own {}, {} lines of policy more; {rooted}", within.0, within.1))
    })
}

/// What an image says is no authority.
fn bundles() -> Came {
    with_factory(|factory| {
        let mut said = Vec::new();
        for bundle in BAD {
            said.push(refusal(create(factory, "bad", bundle)?));
        }
        Ok(said.join("; "))
    })
}

/// A process in a container that was allowed, as somebody whom the policy does not allow.
fn process() -> Came {
    with_factory(|factory| {
        let made = done(create(factory, "good", GOOD)?)?;
        done(made.start())?;
        let exec = |user| Exec { args: "id\0", env: "", cwd: None, user, stdio: Stdio::Log };
        let own = done(done(made.exec(exec(None)))?.1.wait())?;
        let root = refusal(made.exec(exec(Some((0, 0)))));
        done(made.delete(DeleteMode::Force))?;
        Ok(format!("as itself {own:?}, as root {root}"))
    })
}

/// What was derived, and what was made with it, once the ancestor has taken it back.
fn after_revocation() -> Came {
    with_factory(|factory| {
        let lent = done(factory.derive(Rights::all()))?;
        let again = done(lent.derive(Rights::all()))?;
        let made = done(create(&again, "kept", GOOD)?)?;
        done(factory.revoke())?;
        done(factory.sync())?;
        let said = [
            refusal(lent.usage()),
            refusal(again.derive(Rights::all())),
            refusal(again.lookup("kept", Rights::all())),
            refusal(made.start()),
        ];
        let all_alike = said.iter().all(|text| said.first() == Some(text));
        let kept = done(factory.lookup("kept", Rights::all()))?;
        done(kept.delete(DeleteMode::Force))?;
        Ok(format!("{} of 4 refused alike, {}", if all_alike { 4 } else { 0 }, said.join("; ")))
    })
}

fn more_containers() -> Came {
    with_factory(|factory| {
        let mut made = Vec::new();
        let said = loop {
            match create(factory, &format!("c{}", made.len()), GOOD)? {
                Ok(container) => made.push(container),
                Err(error) => break error,
            }
        };
        let count = made.len();
        for container in made {
            done(container.delete(DeleteMode::Force))?;
        }
        Ok(format!("{count} made, then {said}"))
    })
}

fn more_capabilities() -> Came {
    with_factory(|factory| {
        let mut held = Vec::new();
        let said = loop {
            match factory.derive(Rights::LIST) {
                Ok(derived) => held.push(derived),
                Err(error) => break error.to_string(),
            }
        };
        Ok(format!("{} derived, then {said}", held.len()))
    })
}

fn more_factories() -> Came {
    with_factory(|factory| {
        let mut made = Vec::new();
        let said = loop {
            match factory.delegate(Rights::all(), Quota::UNBOUNDED, None) {
                Ok(below) => made.push(below),
                Err(error) => break error.to_string(),
            }
        };
        Ok(format!("{} made, then {said}", made.len()))
    })
}

/// More calls that wait than may, on a container of its own, which then ends: those that waited are answered.
fn waiting() -> Came {
    let came = floods::parked()?;
    with_factory(|factory| done(done(factory.lookup("victim", Rights::all()))?.delete(DeleteMode::Force)))?;
    floods::until_ended(24);
    Ok(came)
}

fn crowd() -> Came {
    Ok(format!("{} of 640 calls of 8 threads answered", floods::calls_answered(8, 80)?))
}

/// What it uses at the end, and who it still says it is.
fn left() -> Came {
    with_factory(|factory| {
        done(factory.sync())?;
        let theirs = refusal(factory.lookup(THEIRS, Rights::all()));
        let used = done(factory.usage())?.used;
        let rows = used.rows().filter(|(_, used)| *used > 0);
        let text: Vec<String> = rows.map(|(kind, used)| format!("{used} {kind}")).collect();
        Ok(format!("{}; {theirs}", text.join(", ")))
    })
}
