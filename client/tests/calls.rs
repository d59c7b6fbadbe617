//! The client against a server that answers from a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_client::{CallError, Container, Factory};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::error::{ErrorReply, FrameError, Refusal, RefusalCode};
use bailiwick_protocol::frame::{FrameBuffer, Tag};
use bailiwick_protocol::message::{Exit, Reply, Request, Stdio};
use bailiwick_protocol::op::Op;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How the next call is answered.
#[derive(Clone)]
enum Answer {
    Reply(Reply<'static>),
    Capability,
    Error(ErrorReply),
    WrongTag,
    Cut,
    Gone,
}

/// A channel whose other end answers from a list and remembers what was asked and which channels still live.
struct Scripted {
    answers: Rc<RefCell<Vec<Answer>>>,
    asked: Rc<RefCell<Vec<(Op, bool)>>>,
    alive: Rc<Cell<usize>>,
}

impl Scripted {
    fn new(answers: &[Answer]) -> Self {
        let answers = answers.iter().rev().cloned().collect();
        let alive = Rc::new(Cell::new(1));
        Scripted { answers: Rc::new(RefCell::new(answers)), asked: Rc::default(), alive }
    }
    fn another(&self) -> Self {
        self.alive.set(self.alive.get() + 1);
        let (answers, asked, alive) = (self.answers.clone(), self.asked.clone(), self.alive.clone());
        Scripted { answers, asked, alive }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

impl Channel for Scripted {
    type Directory = ();
    type Error = &'static str;

    fn call(
        &self,
        frame: &FrameBuffer,
        directory: Option<&()>,
        reply: &mut ReplyBuffer<Self>,
    ) -> Result<(), &'static str> {
        let (tag, request) = Request::decode(frame).unwrap();
        self.asked.borrow_mut().push((request.op(), directory.is_some()));
        let answer = self.answers.borrow_mut().pop().unwrap();
        let encoded = match &answer {
            Answer::Gone => return Err("the server is gone"),
            Answer::Error(error) => error.encode_in(tag, reply.frame_mut()),
            Answer::Reply(body) => body.encode_in(tag, reply.frame_mut()),
            Answer::WrongTag => Reply::Done.encode_in(Tag(tag.0.wrapping_add(1)), reply.frame_mut()),
            Answer::Capability | Answer::Cut => Reply::Done.encode_in(tag, reply.frame_mut()),
        };
        encoded.unwrap();
        if matches!(answer, Answer::Cut) {
            reply.set_frame(&[0; 3]);
        }
        if matches!(answer, Answer::Capability) {
            assert!(reply.push(self.another()).is_ok());
        }
        Ok(())
    }
}

#[test]
fn a_container_is_created_started_and_waited_for() {
    let channel = Scripted::new(&[
        Answer::Capability,
        Answer::Reply(Reply::Done),
        Answer::Reply(Reply::Exit(Exit::Code(3))),
    ]);
    let asked = channel.asked.clone();
    let factory = Factory::new(channel);
    let web = factory.create("web", "/b", Stdio::Log, &()).unwrap();
    web.start().unwrap();
    assert_eq!(web.wait(), Ok(Exit::Code(3)));
    assert_eq!(*asked.borrow(), [(Op::Create, true), (Op::Start, false), (Op::Wait, false)]);
}

#[test]
fn dropping_a_handle_drops_its_capability() {
    let channel = Scripted::new(&[Answer::Capability]);
    let alive = channel.alive.clone();
    let factory = Factory::new(channel);
    let web = factory.create("web", "/b", Stdio::Log, &()).unwrap();
    assert_eq!(alive.get(), 2);
    drop(web);
    assert_eq!(alive.get(), 1);
    drop(factory);
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_refusal_reaches_the_caller_as_it_was_sent() {
    let refusal = ErrorReply::from(Refusal::new(RefusalCode::Rights, "start"));
    let web = Container::new(Scripted::new(&[Answer::Error(refusal.clone())]));
    assert_eq!(web.start(), Err(CallError::Reply(refusal)));
}

#[test]
fn a_reply_to_another_call_is_noticed() {
    let web = Container::new(Scripted::new(&[Answer::WrongTag]));
    assert_eq!(web.start(), Err(CallError::Reply(FrameError::WrongTag.into())));
}

#[test]
fn a_cut_reply_is_an_error_and_not_a_value() {
    let web = Container::new(Scripted::new(&[Answer::Cut]));
    assert_eq!(web.start(), Err(CallError::Reply(FrameError::Truncated.into())));
}

#[test]
fn a_lost_server_is_told_apart_from_a_refusal() {
    let web = Container::new(Scripted::new(&[Answer::Gone]));
    assert_eq!(web.start(), Err(CallError::Channel("the server is gone")));
}

#[test]
fn a_reply_without_the_promised_capability_is_an_error() {
    let factory = Factory::new(Scripted::new(&[Answer::Reply(Reply::Done)]));
    let created = factory.create("web", "/b", Stdio::Log, &());
    assert!(matches!(created, Err(CallError::NoCapability)));
}
