//! The short way of calls that only look: `Describe` and `State` of a container.
//!
//! It answers what it finds in order and leaves everything else to [`Manager::decide`], having changed nothing. It may
//! leave out what cannot matter here:
//!
//! - Work that is left over, and capabilities that end by a time: if there is any of either, it does nothing.
//! - Whether a capability came along, or a body: then it is none of these requests.
//! - Counting the call: whatever counts calls, on the grant or above it, is not steady.
//! - The object's kind and the rights: it is a container, and `State` is asked for its right.

use super::{Leftover, Manager, Object, Record};
use crate::grant::Resolved;
use crate::op;
use bailiwick_kernel_glue::{Delivery, Port};
use bailiwick_protocol::frame::{FrameBuffer, Tag};
use bailiwick_protocol::look::Look;
use bailiwick_protocol::message::{Description, Reply};
use bailiwick_protocol::op::{ObjectKind, Op};

impl Manager {
    /// Answers a call, if it is of the plain kind. None if nothing was done.
    #[inline(always)]
    pub(super) fn look<P: Port, D>(&mut self, port: &mut P, delivery: &Delivery<'_, D>) -> Option<()> {
        let (look, tag) = Look::decode(delivery.frame)?;
        if delivery.capabilities > 0 || self.leftover() == Leftover::Some || self.next_expiry().is_some() {
            return None;
        }
        let Resolved { object, rights, depth, .. } = self.grants.steady(delivery.badge)?;
        let Object::Container(handle) = object else { return None };
        let record = self.containers.get(handle)?;
        // Each in a place of its own, so that it is compiled in there.
        match look {
            Look::Describe => port.reply(delivery.token, None, |room| {
                Description::encode_in(ObjectKind::Container, rights, depth, tag, room);
            }),
            Look::State if rights.contains(Op::State.rights()) => port.reply(delivery.token, None, |room| {
                if !op::state_of(record).encode_small(tag, room) {
                    encode_state(record, tag, room);
                }
            }),
            Look::State => return None,
        }
        Some(())
    }
}

/// A state that is not small.
#[cold]
#[inline(never)]
fn encode_state(record: &Record, tag: Tag, room: &mut FrameBuffer) {
    super::encode_reply(&Reply::State(op::state_of(record)), tag, room);
}
