//! A manager over the model kernel, to be driven one message and one event at a time.
//!
//! Unlike the loopback it never pumps events by itself, so calls can be left waiting, many at a time, and it
//! counts the replies to each: there must be exactly one.

use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_kernel_glue::{Delivery, KernelGlue, Port, ReplyToken};
use bailiwick_protocol::error::ErrorReply;
use bailiwick_protocol::frame::{FrameBuffer, Tag, decode_reply, tag_of};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::{Request, Waiting};
use bailiwick_protocol::quota::Quota;
use bailiwick_server::{Leftover, Limits, Manager, Policy};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What `runc spec` writes, without a terminal and with this program.
///
/// # Panics
/// Never: the text is part of the build.
pub fn config(args: &[&str]) -> serde_json::Value {
    let text = include_str!("../../server/tests/data/runc-spec.json");
    let mut config: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = args.into();
    config
}

/// A bundle of the model with that configuration.
pub fn bundle(args: &[&str]) -> Directory {
    Directory::bundle(config(args).to_string())
}

/// A quota of so many containers.
pub fn few(containers: u64) -> Quota {
    Quota { containers: Some(containers), ..Quota::UNBOUNDED }
}

/// One reply as it was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its bytes.
    pub frame: Vec<u8>,
    /// The capability that came beside it.
    pub mint: Option<Badge>,
}

impl Answer {
    /// The body, or the error it carries.
    ///
    /// # Errors
    /// The error in the reply, or what is wrong with the frame.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ErrorReply> {
        decode_reply(tag_of(&self.frame), &self.frame)
    }

    /// The error it carries, if it does.
    pub fn error(&self) -> Option<ErrorReply> {
        match self.frame.get(..2) {
            Some([0, 0]) => None,
            _ => self.read::<()>().err(),
        }
    }
}

/// The server's side of a transport that remembers everything.
#[derive(Clone, Debug, Default)]
pub struct Record {
    answers: BTreeMap<ReplyToken, Vec<Answer>>,
    /// Badges whose capabilities are dead, by the word of the server.
    pub revoked: BTreeSet<Badge>,
}

impl Record {
    /// All replies to the call with this token so far.
    pub fn answers_to(&self, token: ReplyToken) -> &[Answer] {
        self.answers.get(&token).map_or(&[], Vec::as_slice)
    }
}

impl Port for Record {
    fn reply(&mut self, token: ReplyToken, mint: Option<Badge>, write: impl FnOnce(&mut FrameBuffer)) {
        let mut room = FrameBuffer::new();
        write(&mut room);
        self.answers.entry(token).or_default().push(Answer { frame: room.to_vec(), mint });
    }
    fn revoke(&mut self, badge: Badge) {
        self.revoked.insert(badge);
    }
}

/// A call that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// What the transport knows the call by.
    pub token: ReplyToken,
    /// The tag its reply must repeat.
    pub tag: Tag,
}

/// The manager with its kernel, and everything that was answered.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The manager.
    pub manager: Manager,
    /// The kernel.
    pub glue: Model,
    /// What was answered.
    pub port: Record,
    /// The root factory's badge.
    pub root: Badge,
    sent: u64,
}

impl Desk {
    /// A manager over this kernel.
    pub fn new(glue: Model, limits: Limits) -> Desk {
        let (manager, root) = Manager::new(limits, Policy::default());
        Desk { manager, glue, port: Record::default(), root, sent: 0 }
    }

    /// A manager over a model whose verbs end at once.
    pub fn prompt() -> Desk {
        Desk::new(Model::new(1), Limits::default())
    }

    /// Delivers any bytes, with any number of capabilities said to come beside them.
    pub fn send_bytes(
        &mut self,
        badge: Badge,
        frame: &[u8],
        directory: Option<Directory>,
        capabilities: usize,
    ) -> Sent {
        let token = ReplyToken(self.sent);
        self.sent += 1;
        let delivery = Delivery { badge, frame, directory, capabilities, token };
        self.manager.deliver(&mut self.glue, &mut self.port, delivery);
        Sent { token, tag: tag_of(frame) }
    }

    /// Delivers a request, with a directory beside it or not.
    pub fn send(&mut self, badge: Badge, request: &Request<'_>, directory: Option<&Directory>) -> Sent {
        let mut room = FrameBuffer::new();
        let tag = Tag((self.sent % 60_000) as u16 + 1);
        let frame = request.encode_in(tag, &mut room).unwrap_or(&[]);
        self.send_bytes(badge, frame, directory.cloned(), usize::from(directory.is_some()))
    }

    /// Lets the manager do a piece of what it has left over or what is due by its time or, if that is nothing, gives it
    /// the next kernel event. None if there was neither.
    pub fn pump(&mut self, waiting: Waiting) -> Option<()> {
        let due = self.manager.next_expiry().is_some_and(|end| end <= self.glue.now());
        if due || self.manager.leftover() == Leftover::Some {
            self.manager.sweep(&mut self.glue, &mut self.port);
            return Some(());
        }
        let event = self.glue.next_event(waiting)?;
        self.manager.event(&mut self.glue, &mut self.port, event);
        Some(())
    }

    /// Pumps every event there ever will be, unless something goes on for ever.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.pump(Waiting::Yes).is_none() {
                return;
            }
        }
    }

    /// All replies to a call so far.
    pub fn answers(&self, sent: Sent) -> &[Answer] {
        self.port.answers_to(sent.token)
    }

    /// The reply to a call, if it has come.
    pub fn answer(&self, sent: Sent) -> Option<&Answer> {
        self.answers(sent).first()
    }

    /// Takes all replies that came, by the call they answer.
    pub fn take_answers(&mut self) -> BTreeMap<ReplyToken, Vec<Answer>> {
        std::mem::take(&mut self.port.answers)
    }

    /// Forgets the replies to a call.
    pub fn forget(&mut self, sent: Sent) {
        self.port.answers.remove(&sent.token);
    }

    /// Sends a request and pumps until its reply is there.
    ///
    /// # Errors
    /// The error in the reply.
    pub fn call(
        &mut self,
        badge: Badge,
        request: &Request<'_>,
        directory: Option<&Directory>,
    ) -> Result<Answer, ErrorReply> {
        let sent = self.send(badge, request, directory);
        while self.answer(sent).is_none() && self.pump(Waiting::Yes).is_some() {}
        let answer = self.answer(sent).cloned();
        self.forget(sent);
        let answer = answer.unwrap_or(Answer { frame: Vec::new(), mint: None });
        match answer.error() {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    /// The transport tells that nobody holds this capability any more.
    pub fn close(&mut self, badge: Badge) {
        self.manager.closed(&mut self.glue, &mut self.port, badge);
    }

    /// Everything that the server and the kernel keep, to be compared before and after.
    pub fn everything(&self) -> String {
        format!("{:?}\n{:?}", self.manager, self.glue.census())
    }
}
