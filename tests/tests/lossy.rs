//! A channel that loses, cuts, repeats and mixes up frames: the client takes no answer that is not its own, and the
//! server stays whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_client::{CallError, Container, Factory};
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::error::{ErrorReply, FrameError, RefusalCode};
use bailiwick_protocol::frame::FrameBuffer;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::ObjectKind;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Limits, Loopback, LoopbackChannel, Policy};
use bailiwick_tests::desk::bundle;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What happens to one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weather {
    Fair,
    RequestLost,
    ReplyLost,
    RequestCut,
    ReplyCut,
    /// The server gets the request twice; the second reply stays in the wire.
    RequestTwice,
    /// A reply that stayed in the wire comes first, and the right one stays there.
    ReplyLate,
}

const WEATHER: [Weather; 7] = [
    Weather::Fair,
    Weather::RequestLost,
    Weather::ReplyLost,
    Weather::RequestCut,
    Weather::ReplyCut,
    Weather::RequestTwice,
    Weather::ReplyLate,
];

#[derive(Default)]
struct Wire {
    random: u64,
    /// The next call's weather, if it is not left to chance.
    forecast: Option<Weather>,
    /// Replies that were not delivered, with their capabilities.
    stale: VecDeque<Parcel>,
    carried: [u64; WEATHER.len()],
}

struct Parcel {
    frame: Vec<u8>,
    capabilities: Vec<LoopbackChannel<Model>>,
}

impl Wire {
    fn below(&mut self, bound: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % bound.max(1)
    }
}

struct Lossy {
    inner: LoopbackChannel<Model>,
    wire: Rc<RefCell<Wire>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lost;
impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lost")
    }
}

impl Lossy {
    fn carry(&self, frame: &[u8], directory: Option<&Directory>) -> Result<Parcel, Lost> {
        let (mut room, mut reply) = (FrameBuffer::new(), ReplyBuffer::default());
        room.extend_from_slice(frame).map_err(|_| Lost)?;
        self.inner.call(&room, directory, &mut reply).map_err(|_| Lost)?;
        let capabilities = std::iter::from_fn(|| reply.take()).collect();
        Ok(Parcel { frame: reply.frame().to_vec(), capabilities })
    }

    fn hand_over(&self, parcel: Parcel, reply: &mut ReplyBuffer<Lossy>) {
        reply.set_frame(&parcel.frame);
        for inner in parcel.capabilities {
            reply.push(Lossy { inner, wire: self.wire.clone() }).unwrap_or(());
        }
    }
}

impl Channel for Lossy {
    type Directory = Directory;
    type Error = Lost;

    fn call(
        &self,
        frame: &FrameBuffer,
        directory: Option<&Directory>,
        reply: &mut ReplyBuffer<Self>,
    ) -> Result<(), Lost> {
        let (weather, cut) = {
            let mut wire = self.wire.borrow_mut();
            let chance = wire.below(2 * WEATHER.len());
            let weather = wire.forecast.take().unwrap_or(*WEATHER.get(chance).unwrap_or(&Weather::Fair));
            wire.carried[weather as usize] += 1;
            (weather, wire.below(1 << 20))
        };
        let parcel = match weather {
            Weather::RequestLost => return Err(Lost),
            Weather::RequestCut => self.carry(&frame[..cut % frame.len()], directory)?,
            _ => self.carry(frame, directory)?,
        };
        let parcel = match weather {
            Weather::ReplyLost => return Err(Lost),
            Weather::ReplyCut => {
                let frame = parcel.frame[..cut % parcel.frame.len()].to_vec();
                Parcel { frame, ..parcel }
            }
            Weather::RequestTwice => {
                let second = self.carry(frame, directory)?;
                self.wire.borrow_mut().stale.push_back(second);
                parcel
            }
            Weather::ReplyLate => {
                let mut wire = self.wire.borrow_mut();
                wire.stale.push_back(parcel);
                wire.stale.pop_front().ok_or(Lost)?
            }
            _ => parcel,
        };
        // What the wire forgets is dropped outside of any call.
        let forgotten = {
            let mut wire = self.wire.borrow_mut();
            if wire.stale.len() > 20 { wire.stale.pop_front() } else { None }
        };
        drop(forgotten);
        self.hand_over(parcel, reply);
        Ok(())
    }
}

type Answer<T> = Result<T, CallError<Lost>>;

/// Whether the call came through; a refusal or a fault must be one that this call can have.
fn came_through<T>(answer: Answer<T>, possible: &[RefusalCode]) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(CallError::Channel(Lost) | CallError::Reply(ErrorReply::Frame(_))) => None,
        Err(CallError::Reply(ErrorReply::Refusal(refusal))) if possible.contains(&refusal.code) => None,
        Err(error) => panic!("{error}"),
    }
}

struct World {
    loopback: Loopback<Model>,
    wire: Rc<RefCell<Wire>>,
    factory: Factory<Lossy>,
}

fn world(seed: u64) -> World {
    let (loopback, inner) = Loopback::new(Model::new(seed), Limits::default(), Policy::default());
    let wire = Rc::new(RefCell::new(Wire { random: seed, ..Wire::default() }));
    let factory = Factory::new(Lossy { inner, wire: wire.clone() });
    World { loopback, wire, factory }
}

impl World {
    /// The weather of the next call.
    fn forecast(&self, weather: Weather) {
        self.wire.borrow_mut().forecast = Some(weather);
    }

    fn fair<T>(&self, call: impl FnOnce() -> Answer<T>) -> T {
        self.forecast(Weather::Fair);
        call().unwrap_or_else(|error| panic!("{error}"))
    }
}

#[test]
fn each_mishap_is_told_apart_from_an_answer() {
    let world = world(1);
    let frame = |error: FrameError| Err(CallError::Reply(ErrorReply::Frame(error)));
    world.forecast(Weather::RequestLost);
    assert_eq!(world.factory.usage(), Err(CallError::Channel(Lost)));
    world.forecast(Weather::ReplyLost);
    assert_eq!(world.factory.usage(), Err(CallError::Channel(Lost)));
    world.forecast(Weather::ReplyCut);
    assert_eq!(world.factory.usage(), frame(FrameError::Truncated));
    world.forecast(Weather::RequestTwice);
    assert!(world.factory.usage().is_ok());
    // The second reply to that call is not the reply to this one.
    world.forecast(Weather::ReplyLate);
    assert_eq!(world.factory.usage(), frame(FrameError::WrongTag));
    world.forecast(Weather::RequestCut);
    assert!(matches!(world.factory.usage(), Err(CallError::Reply(ErrorReply::Frame(_)))));
    assert!(world.fair(|| world.factory.usage()).used.containers == 0);
}

#[test]
fn a_capability_that_came_with_a_lost_or_foreign_reply_is_given_up() {
    let world = world(2);
    for weather in [Weather::ReplyLost, Weather::ReplyCut] {
        world.forecast(weather);
        assert!(world.factory.derive(Rights::all()).is_err());
        assert_eq!(world.loopback.manager().unwrap().grant_count(), 1, "{weather:?}");
    }
    world.forecast(Weather::RequestTwice);
    let one = world.factory.derive(Rights::all()).unwrap();
    world.forecast(Weather::ReplyLate);
    assert!(world.factory.derive(Rights::all()).is_err());
    drop(one);
    world.wire.borrow_mut().stale.clear();
    assert_eq!(world.loopback.manager().unwrap().grant_count(), 1);
}

#[test]
fn whatever_the_wire_does_an_answer_is_the_answer_to_its_own_question() {
    use RefusalCode as R;
    for seed in 0..20 {
        let world = world(seed);
        let names: Vec<String> = (0..4).map(|n| format!("c{n}")).collect();
        let bundle = bundle(&["sleep", "1000"]);
        let mut held: Vec<Option<Container<Lossy>>> = names.iter().map(|_| None).collect();
        for round in 0..500 {
            let at = world.wire.borrow_mut().below(names.len());
            let (name, slot) = (&names[at], &mut held[at]);
            let Some(container) = slot else {
                let created = world.factory.create(name, name, Stdio::Log, &bundle);
                let found = came_through(created, &[R::Exists, R::BadId])
                    .or_else(|| came_through(world.factory.lookup(name, Rights::all()), &[R::NotFound]));
                *slot = found;
                continue;
            };
            match round % 6 {
                0 | 1 => {
                    let told = container.state(|state| (state.id == name, state.bundle == name));
                    if let Some(told) = came_through(told, &[R::NotFound]) {
                        assert_eq!(told, (true, true), "somebody else's state");
                    }
                }
                2 => {
                    let about = came_through(container.describe(), &[R::NotFound]);
                    assert!(about.is_none_or(|about| about.kind == ObjectKind::Container));
                }
                3 => drop(came_through(container.start(), &[R::State, R::NotFound])),
                4 => {
                    let page = came_through(world.factory.list(Page { from: 0 }), &[]);
                    let known = |row: &ListRow| names.iter().any(|name| name == row.id.as_str());
                    assert!(page.is_none_or(|page| page.rows.iter().all(known)));
                }
                _ => {
                    let deleted = container.delete(DeleteMode::Force);
                    // Whatever came of it, this handle may be dead now: looked up anew.
                    came_through(deleted, &[R::NotFound]);
                    *slot = None;
                }
            }
            world.loopback.manager().unwrap().audit().unwrap();
        }
        held.clear();
        world.wire.borrow_mut().stale.clear();
        for name in &names {
            world.forecast(Weather::Fair);
            if let Ok(container) = world.factory.lookup(name, Rights::all()) {
                world.fair(|| container.delete(DeleteMode::Force));
            }
        }
        let carried = world.wire.borrow().carried;
        assert!(carried.iter().all(|count| *count > 10), "{carried:?}");
        let manager = world.loopback.manager().unwrap();
        manager.audit().unwrap();
        assert_eq!((manager.container_count(), manager.grant_count()), (0, 1));
    }
}
