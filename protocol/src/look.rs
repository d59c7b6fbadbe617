//! The two requests that are asked most, and their answers, written and read by hand.
//!
//! `Describe` and `State` only look. Their requests have no body, and most of their answers are short. Here are the
//! same bytes as [`frame`](crate::frame) writes and reads by way of serde, without what makes that general. Whatever is
//! out of the ordinary (a quota, a number that takes more bytes, a frame longer than [`SMALL_FRAME`]) is left to that.

use crate::error::ErrorReply;
use crate::frame::{
    FrameBuffer, HEADER, Room, SMALL_FRAME, STATUS_OK, Tag, body_of, decode_reply_as, header,
};
use crate::message::{Description, Nanos, State, Status};
use crate::op::{ObjectKind, Op};
use crate::rights::Rights;

/// A request that only looks, and has no body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// [`Op::Describe`].
    Describe,
    /// [`Op::State`].
    State,
}

impl Look {
    /// The operation.
    pub const fn op(self) -> Op {
        match self {
            Look::Describe => Op::Describe,
            Look::State => Op::State,
        }
    }

    /// Makes the frame in `room` this request.
    #[inline]
    pub fn encode_in(self, tag: Tag, room: &mut FrameBuffer) {
        let mut block = [0; SMALL_FRAME];
        block[..HEADER].copy_from_slice(&header(self.op() as u16, tag));
        room.set_small(block, HEADER);
    }

    /// The request in a frame, if it is one of these and nothing is wrong with it.
    #[inline]
    pub fn decode(frame: &[u8]) -> Option<(Look, Tag)> {
        const DESCRIBE: u16 = Op::Describe as u16;
        const STATE: u16 = Op::State as u16;
        let [a, b, c, d] = *frame else { return None };
        let look = match u16::from_le_bytes([a, b]) {
            DESCRIBE => Look::Describe,
            STATE => Look::State,
            _ => return None,
        };
        Some((look, Tag(u16::from_le_bytes([c, d]))))
    }
}

/// What is left of a body to be read. None where a number is longer than is usual, or the body ends.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    /// A number of one or two bytes.
    #[inline(always)]
    fn number(&mut self) -> Option<u16> {
        let low = self.byte()?;
        if low < 0x80 {
            return Some(low.into());
        }
        let high = self.byte().filter(|high| *high < 0x80)?;
        Some(u16::from(low & 0x7F) | u16::from(high) << 7)
    }
    #[inline(always)]
    fn text(&mut self, len: u8) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at_checked(len.into())?;
        self.0 = rest;
        Some(text)
    }
}

impl Description {
    /// As [`Reply::encode_in`](crate::message::Reply::encode_in), of what has no quota and ends neither by a time nor by being used.
    #[inline]
    pub fn encode_in(kind: ObjectKind, rights: Rights, depth: u16, tag: Tag, room: &mut FrameBuffer) {
        let written = room.write_small(header(STATUS_OK, tag), |block| {
            let mut to = Room::behind_header(block);
            to.byte(kind as u8)?;
            to.number(rights.bits())?;
            to.number(depth.into())?;
            to.bytes(&[0; 3])?;
            Ok::<usize, postcard::Error>(to.len())
        });
        // It is shorter than a small frame.
        debug_assert_eq!(written, Ok(()));
    }

    /// As [`decode_reply_as`].
    ///
    /// # Errors
    /// As [`decode_reply_as`].
    #[inline]
    pub fn decode<E: From<ErrorReply>>(expected: Tag, frame: &[u8]) -> Result<Description, E> {
        match body_of(expected, frame).and_then(description) {
            // Put together where it goes: with a quota it is large.
            Some((kind, rights, depth)) => {
                Ok(Description { kind, rights, depth, left: None, lifetime: None, uses: None })
            }
            None => decode_reply_as(expected, frame),
        }
    }
}

#[inline(always)]
fn description(body: &[u8]) -> Option<(ObjectKind, Rights, u16)> {
    let mut rest = Rest(body);
    let kind = match rest.byte()? {
        0 => ObjectKind::Factory,
        1 => ObjectKind::Container,
        2 => ObjectKind::Process,
        _ => return None,
    };
    let rights = Rights::from_bits_truncate(rest.number()?.into());
    let depth = rest.number()?;
    matches!(rest.0, [0, 0, 0]).then_some((kind, rights, depth))
}

impl State<'_> {
    /// As [`Reply::encode_in`](crate::message::Reply::encode_in), if it is not out of the ordinary: else gives false, and
    /// the frame is any.
    #[inline(always)]
    pub fn encode_small(&self, tag: Tag, room: &mut FrameBuffer) -> bool {
        room.write_small(header(STATUS_OK, tag), |block| self.put_small(Room::behind_header(block))).is_ok()
    }

    #[inline(always)]
    fn put_small(&self, mut to: Room<'_>) -> postcard::Result<usize> {
        let State { oci_version, id, bundle, status, pid, exit, created_at, annotations } = self;
        let len = oci_version.len() + id.len() + bundle.len();
        // Then each of them is below 128, and takes one byte.
        if exit.is_some() || len > SMALL_FRAME {
            return Err(postcard::Error::SerializeBufferFull);
        }
        to.bytes(&created_at.0.to_le_bytes())?;
        to.bytes(&[*status as u8, oci_version.len() as u8, id.len() as u8, len as u8])?;
        to.bytes(oci_version.as_bytes())?;
        to.bytes(id.as_bytes())?;
        to.bytes(bundle.as_bytes())?;
        match pid {
            None => to.byte(0)?,
            Some(pid) => {
                to.byte(1)?;
                to.number(*pid)?;
            }
        }
        to.byte(0)?;
        to.number(*annotations)?;
        Ok(to.len())
    }
}

impl<'a> State<'a> {
    /// As [`decode_reply_as`].
    ///
    /// # Errors
    /// As [`decode_reply_as`].
    #[inline]
    pub fn decode<E: From<ErrorReply>>(expected: Tag, frame: &'a [u8]) -> Result<State<'a>, E> {
        match body_of(expected, frame).and_then(state) {
            Some(state) => Ok(state),
            None => decode_reply_as(expected, frame),
        }
    }
}

#[inline(always)]
fn state(body: &[u8]) -> Option<State<'_>> {
    let (created_at, body) = body.split_first_chunk()?;
    let ([status, version, id, len], body) = body.split_first_chunk()?;
    if version | id | len >= 0x80 {
        return None;
    }
    let status = match status {
        0 => Status::Creating,
        1 => Status::Created,
        2 => Status::Running,
        3 => Status::Paused,
        4 => Status::Stopped,
        _ => return None,
    };
    let mut rest = Rest(body);
    // Looked at once for all three. What is cut out of it at a character is as good as all of it.
    let text = core::str::from_utf8(rest.text(*len)?).ok()?;
    let (oci_version, text) = text.split_at_checked((*version).into())?;
    let (id, bundle) = text.split_at_checked((*id).into())?;
    let pid = match rest.byte()? {
        0 => None,
        1 => Some(rest.number()?.into()),
        _ => return None,
    };
    let exit = match rest.byte()? {
        0 => None,
        _ => return None,
    };
    let annotations = rest.number()?.into();
    let created_at = Nanos(u64::from_le_bytes(*created_at));
    let whole = rest.0.is_empty();
    whole.then_some(State { oci_version, id, status, pid, bundle, exit, created_at, annotations })
}
