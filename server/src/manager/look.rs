//! The short way of calls that only look: `Describe` and `State` of a container.
//!
//! It answers what it finds in order and leaves everything else to [`Manager::decide`], having changed nothing. It may
//! leave out what cannot matter here:
//!
//! - Work that is left over: if there is any, it does nothing.
//! - Capabilities whose time has come: the caller's has none, nor has any above it, and whoever owns the loop sees to the
//!   others when their time has come ([`Manager::next_expiry`]).
//! - Whether a capability came along, or a body: then it is none of these requests.
//! - Counting the call: whatever counts calls, on the grant or above it, is not steady.
//! - The object's kind and the rights: it is a container, and `State` is asked for its right.

use super::{Leftover, Manager, Object, Record};
use crate::grant::Resolved;
use crate::op;
use bailiwick_kernel_glue::{Delivery, Port, ReplyToken};
use bailiwick_protocol::frame::{FrameBuffer, Tag};
use bailiwick_protocol::look::Look;
use bailiwick_protocol::message::{Description, Reply};
use bailiwick_protocol::op::{ObjectKind, Op};
use bailiwick_protocol::rights::Rights;

impl Manager {
    /// Answers a call, if it is of the plain kind. None if nothing was done.
    #[inline(always)]
    pub(super) fn look<P: Port, D>(&mut self, port: &mut P, delivery: &Delivery<'_, D>) -> Option<()> {
        let (look, tag) = Look::decode(delivery.frame)?;
        if delivery.capabilities > 0 || self.leftover() == Leftover::Some {
            return None;
        }
        let Resolved { object, rights, depth, .. } = self.grants.steady(delivery.badge)?;
        let Object::Container(handle) = object else { return None };
        let record = self.containers.get(handle)?;
        if look == Look::State && !rights.contains(Op::State.rights()) {
            return None;
        }
        let answer = Answer { tag, record, rights, depth };
        match (port.lend(delivery.token), look) {
            (None, _) => reply(port, delivery.token, look, answer),
            (Some(room), Look::Describe) => {
                Description::encode_in(ObjectKind::Container, rights, depth, tag, room);
            }
            (Some(room), Look::State) => {
                if !op::state_of(record).encode_small(tag, room) {
                    encode(look, answer, room);
                }
            }
        }
        Some(())
    }
}

/// What is answered.
#[derive(Clone, Copy)]
struct Answer<'r> {
    tag: Tag,
    record: &'r Record,
    rights: Rights,
    depth: u16,
}

/// Writes an answer, however long it is.
#[cold]
#[inline(never)]
fn encode(look: Look, answer: Answer<'_>, room: &mut FrameBuffer) {
    let Answer { tag, record, rights, depth } = answer;
    let kind = ObjectKind::Container;
    let reply = match look {
        Look::Describe => {
            Reply::Description(Description { kind, rights, depth, left: None, lifetime: None, uses: None })
        }
        Look::State => Reply::State(op::state_of(record)),
    };
    super::encode_reply(&reply, tag, room);
}

/// Where the transport lends no room. Apart, so that what is written by hand has one place to be compiled into.
#[cold]
#[inline(never)]
fn reply<P: Port>(port: &mut P, token: ReplyToken, look: Look, answer: Answer<'_>) {
    port.reply(token, None, |room| encode(look, answer, room));
}
