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
        let word = u32::from_le_bytes([a, b, c, d]);
        let look = match word as u16 {
            DESCRIBE => Look::Describe,
            STATE => Look::State,
            _ => return None,
        };
        Some((look, Tag((word >> 16) as u16)))
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
    /// A number of one to three bytes: a process's may be as long.
    #[inline(always)]
    fn number(&mut self) -> Option<u32> {
        let low = self.byte()?;
        if low < 0x80 {
            return Some(low.into());
        }
        let middle = self.byte()?;
        let two = u32::from(low & 0x7F) | u32::from(middle & 0x7F) << 7;
        if middle < 0x80 {
            return Some(two);
        }
        let high = self.byte().filter(|high| *high < 0x80)?;
        Some(two | u32::from(high) << 14)
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
    #[inline(always)]
    pub fn encode_in(kind: ObjectKind, rights: Rights, depth: u16, tag: Tag, room: &mut FrameBuffer) {
        if let Some(block) = room.begin_small(header(STATUS_OK, tag)) {
            let mut to = Room::behind_header(block);
            // It always fits.
            let written = put_description(&mut to, kind, rights, depth);
            debug_assert_eq!(written, Ok(()));
            let len = to.len();
            room.end_small(len);
        }
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
fn put_description(to: &mut Room<'_>, kind: ObjectKind, rights: Rights, depth: u16) -> postcard::Result<()> {
    to.byte(kind as u8)?;
    to.number(rights.bits())?;
    to.number(depth.into())?;
    to.bytes(&[0; 3])
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
    let rights = Rights::from_bits_truncate(rest.number()?);
    let depth = u16::try_from(rest.number()?).ok()?;
    matches!(rest.0, [0, 0, 0]).then_some((kind, rights, depth))
}

impl State<'_> {
    /// As [`Reply::encode_in`](crate::message::Reply::encode_in), if it is not out of the ordinary: else gives false, and
    /// the frame is any.
    #[inline(always)]
    pub fn encode_small(&self, tag: Tag, room: &mut FrameBuffer) -> bool {
        let Some(block) = room.begin_small(header(STATUS_OK, tag)) else { return false };
        let Ok(len) = self.put_small(Room::behind_header(block)) else { return false };
        room.end_small(len);
        true
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
        1 => Some(rest.number()?),
        _ => return None,
    };
    let exit = match rest.byte()? {
        0 => None,
        _ => return None,
    };
    let annotations = rest.number()?;
    let created_at = Nanos(u64::from_le_bytes(*created_at));
    let whole = rest.0.is_empty();
    whole.then_some(State { oci_version, id, status, pid, bundle, exit, created_at, annotations })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FrameError;
    use crate::frame::decode_reply;
    use crate::message::{Exit, Reply, Request};
    use std::string::String;
    use std::vec::Vec;

    const TAG: Tag = Tag(0x0201);

    /// A small generator, the same in every run.
    struct Random(u64);
    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }
        fn text(&mut self) -> String {
            let len = [4, 12, 20, 60, 400][self.below(5)];
            (0..self.below(len)).map(|_| ['a', '/', '7', '\u{7f}', 'é', '€', '😀'][self.below(7)]).collect()
        }
        fn number(&mut self) -> u32 {
            [0, 1, 127, 128, 16_383, 16_384, u32::MAX][self.below(7)]
        }
    }

    fn by_serde(reply: &Reply<'_>) -> Vec<u8> {
        let mut bytes = [0; crate::frame::FRAME_MAX];
        reply.encode(TAG, &mut bytes).unwrap().to_vec()
    }

    #[test]
    fn requests_have_the_same_bytes_and_nothing_else_is_one() {
        let mut room = FrameBuffer::new();
        for (look, request) in [(Look::Describe, Request::Describe), (Look::State, Request::State)] {
            look.encode_in(TAG, &mut room);
            let mut bytes = [0; HEADER];
            assert_eq!(&*room, request.encode(TAG, &mut bytes).unwrap());
            assert_eq!(Look::decode(&room), Some((look, TAG)));
            assert_eq!(Look::decode(&room[..3]), None);
            room.push(0).unwrap();
            assert_eq!(Look::decode(&room), None);
        }
        for op in Op::ALL.iter().filter(|op| !matches!(op, Op::Describe | Op::State)) {
            assert_eq!(Look::decode(&header(*op as u16, TAG)), None, "{op:?}");
        }
    }

    #[test]
    fn descriptions_are_the_same_by_hand_and_by_serde() {
        let (mut random, mut room) = (Random(1), FrameBuffer::new());
        for kind in [ObjectKind::Factory, ObjectKind::Container, ObjectKind::Process] {
            for bits in 0..=Rights::all().bits() {
                let (rights, depth) = (Rights::from_bits_truncate(bits), random.number() as u16);
                Description::encode_in(kind, rights, depth, TAG, &mut room);
                let whole = Description { kind, rights, depth, left: None, lifetime: None, uses: None };
                assert_eq!(&*room, by_serde(&Reply::Description(whole)));
                assert_eq!(Description::decode::<ErrorReply>(TAG, &room), Ok(whole));
            }
        }
    }

    #[test]
    fn states_are_the_same_by_hand_and_by_serde() {
        let (mut random, mut room, mut small) = (Random(2), FrameBuffer::new(), 0);
        let all = [Status::Creating, Status::Created, Status::Running, Status::Paused, Status::Stopped];
        for _ in 0..20_000 {
            let (version, id, path) = (random.text(), random.text(), random.text());
            let state = State {
                oci_version: &version,
                id: &id,
                status: all[random.below(5)],
                pid: (random.below(2) == 0).then(|| random.number()),
                bundle: &path,
                exit: (random.below(8) == 0).then_some(Exit::Code(200)),
                created_at: Nanos(u64::from(random.number()) << random.below(33)),
                annotations: random.number(),
            };
            let bytes = by_serde(&Reply::State(state.clone()));
            if state.encode_small(TAG, &mut room) {
                small += 1;
                assert_eq!(*room, bytes);
            } else {
                assert!(bytes.len() > SMALL_FRAME || state.exit.is_some(), "{state:?}");
            }
            assert_eq!(State::decode::<ErrorReply>(TAG, &bytes), Ok(state));
        }
        assert!(small > 1000);
    }

    /// Frames as they are and with anything wrong: what is read by hand is what is read by serde, or its error.
    #[test]
    fn anything_reads_the_same_by_hand_and_by_serde() {
        let mut random = Random(3);
        let state = State {
            oci_version: "1.3.0",
            id: "é",
            status: Status::Running,
            pid: Some(300),
            bundle: "/b",
            exit: None,
            created_at: Nanos(1 << 40),
            annotations: 1,
        };
        let described = Description {
            kind: ObjectKind::Container,
            rights: Rights::all(),
            depth: 200,
            left: None,
            lifetime: None,
            uses: None,
        };
        for reply in [Reply::State(state), Reply::Description(described), Reply::Done] {
            let whole = by_serde(&reply);
            for _ in 0..100_000 {
                let mut frame = whole.clone();
                for _ in 0..random.below(3) {
                    let at = random.below(frame.len());
                    frame[at] = random.below(256) as u8;
                }
                if random.below(4) == 0 {
                    frame.truncate(random.below(frame.len() + 1));
                }
                if random.below(4) == 0 {
                    frame.push(random.below(256) as u8);
                }
                assert_eq!(State::decode(TAG, &frame), decode_reply::<State<'_>>(TAG, &frame), "{frame:?}");
                let read = Description::decode(TAG, &frame);
                assert_eq!(read, decode_reply::<Description>(TAG, &frame), "{frame:?}");
            }
        }
    }

    #[test]
    fn texts_are_not_cut_inside_a_character() {
        let bytes = |version: u8| [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, version, 0, 2, 0xC3, 0xA9, 0, 0, 0];
        let read =
            |version: u8| State::decode::<ErrorReply>(TAG, &bytes(version)).map(|state| state.annotations);
        assert_eq!((read(0), read(2)), (Ok(0), Ok(0)));
        assert_eq!(
            (read(1), read(3)),
            (Err(FrameError::Malformed.into()), Err(FrameError::Malformed.into()))
        );
    }
}
