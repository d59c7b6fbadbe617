//! The bytes of a frame.
//!
//! ```text
//! request:  op     u16 little-endian │ tag u16 little-endian │ postcard body of the operation's request
//! reply:    status u16 little-endian │ tag u16 little-endian │ postcard body of the reply or the error
//! ```
//!
//! `status` is 0 for success, else the layer of the error: 1 [`FrameError`], 2 [`Refusal`](crate::error::Refusal), 3
//! [`KernelFault`](crate::error::KernelFault).
//! `tag` is the caller's: the reply repeats it, so that a transport that mixes up replies is noticed.

pub use crate::buffer::FrameBuffer;
use crate::error::{ErrorReply, FrameError};
use crate::message::{Reply, Request};
use crate::op::Op;
use postcard::Deserializer;
use postcard::ser_flavors::{Flavor, Slice};
use serde::{Deserialize, Serialize};

/// Largest frame, in bytes.
pub const FRAME_MAX: usize = 4096;
/// Bytes before the body.
pub const HEADER: usize = 4;
/// Frames up to this size travel in registers on our kernel.
pub const SMALL_FRAME: usize = 64;
/// Most capabilities beside one frame.
pub const CAPABILITIES_MAX: usize = 4;

/// The caller's number for a call, repeated in the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tag(pub u16);

pub(crate) const STATUS_OK: u16 = 0;
const STATUS_FRAME: u16 = 1;
const STATUS_REFUSAL: u16 = 2;
const STATUS_KERNEL: u16 = 3;

#[inline]
pub(crate) fn header(first: u16, tag: Tag) -> [u8; HEADER] {
    let ([a, b], [c, d]) = (first.to_le_bytes(), tag.0.to_le_bytes());
    [a, b, c, d]
}

fn split(frame: &[u8]) -> Result<(u16, Tag, &[u8]), FrameError> {
    if frame.len() > FRAME_MAX {
        return Err(FrameError::TooLarge);
    }
    match frame {
        [a, b, c, d, body @ ..] => {
            Ok((u16::from_le_bytes([*a, *b]), Tag(u16::from_le_bytes([*c, *d])), body))
        }
        _ => Err(FrameError::Truncated),
    }
}

/// Decodes a whole body: nothing may be left over. `error` makes the caller's error, so that the value is not moved from
/// one result to the next: it may be large.
#[inline]
fn body<'a, T: Deserialize<'a>, E>(bytes: &'a [u8], error: impl Fn(FrameError) -> E) -> Result<T, E> {
    let mut reader = Deserializer::from_bytes(bytes);
    match T::deserialize(&mut reader) {
        Ok(value) => match reader.finalize() {
            Ok([]) => Ok(value),
            Ok(_) => Err(error(FrameError::TrailingBytes)),
            Err(reason) => Err(error(frame_error(reason))),
        },
        Err(reason) => Err(error(frame_error(reason))),
    }
}

/// The same as a part of what `decode` gives. Each request is put together where it is to be: it may be large.
fn whole<'a, T: Deserialize<'a>>(
    tag: Tag,
    bytes: &'a [u8],
    request: impl FnOnce(T) -> Request<'a>,
) -> Result<(Tag, Request<'a>), FrameError> {
    body(bytes, |error| error).map(|value| (tag, request(value)))
}

fn frame_error(reason: postcard::Error) -> FrameError {
    match reason {
        postcard::Error::DeserializeUnexpectedEnd => FrameError::Truncated,
        _ => FrameError::Malformed,
    }
}

/// Where a frame is written.
trait Sink {
    /// Writes header and body, or says [`FrameError::TooLarge`].
    fn put<T: Serialize>(&mut self, first: u16, tag: Tag, value: &T) -> Result<(), FrameError>;
}

/// The beginning of somebody's bytes.
struct Bytes<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Bytes<'o> {
    fn new(out: &'o mut [u8]) -> Self {
        Bytes { out, len: 0 }
    }
    fn frame(self) -> &'o [u8] {
        &self.out[..self.len]
    }
}

impl Sink for Bytes<'_> {
    fn put<T: Serialize>(&mut self, first: u16, tag: Tag, value: &T) -> Result<(), FrameError> {
        let limit = self.out.len().min(FRAME_MAX);
        let (head, rest) = self.out[..limit].split_at_mut_checked(HEADER).ok_or(FrameError::TooLarge)?;
        head.copy_from_slice(&header(first, tag));
        let body = postcard::serialize_with_flavor(value, Slice::new(rest));
        self.len = HEADER + body.map_err(|_| FrameError::TooLarge)?.len();
        Ok(())
    }
}

impl Sink for FrameBuffer {
    #[inline]
    fn put<T: Serialize>(&mut self, first: u16, tag: Tag, value: &T) -> Result<(), FrameError> {
        let head = header(first, tag);
        let small = |block: &mut _| postcard::serialize_with_flavor(value, Room::behind_header(block));
        self.write_small(head, small).or_else(|_| put_long(self, head, value))
    }
}

/// The same for what is longer than [`SMALL_FRAME`].
#[inline(never)]
fn put_long<T: Serialize>(buffer: &mut FrameBuffer, head: [u8; HEADER], value: &T) -> Result<(), FrameError> {
    buffer.write_long(|bytes| {
        bytes.extend_from_slice(&head).map_err(|_| FrameError::TooLarge)?;
        postcard::serialize_with_flavor(value, Tail(bytes)).map_err(|_| FrameError::TooLarge)
    })
}

/// What postcard puts a small frame into. The length is a number of its own, which the compiler keeps in a register.
pub(crate) struct Room<'b> {
    block: &'b mut [u8; SMALL_FRAME],
    len: usize,
}

impl<'b> Room<'b> {
    /// What is behind the header.
    #[inline(always)]
    pub(crate) const fn behind_header(block: &'b mut [u8; SMALL_FRAME]) -> Self {
        Room { block, len: HEADER }
    }
    /// How long the frame is.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
    #[inline(always)]
    pub(crate) fn byte(&mut self, byte: u8) -> postcard::Result<()> {
        *self.block.get_mut(self.len).ok_or(postcard::Error::SerializeBufferFull)? = byte;
        self.len += 1;
        Ok(())
    }
    #[inline(always)]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let end = self.len + bytes.len();
        let room = self.block.get_mut(self.len..end).ok_or(postcard::Error::SerializeBufferFull)?;
        room.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
    /// A number as postcard has it: seven bits a byte, the lowest first.
    #[inline(always)]
    pub(crate) fn number(&mut self, mut number: u32) -> postcard::Result<()> {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80)?;
            number >>= 7;
        }
        self.byte(number as u8)
    }
}

impl Flavor for Room<'_> {
    type Output = usize;
    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.byte(byte)
    }
    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // As most numbers are.
        if let [byte] = bytes { self.byte(*byte) } else { self.bytes(bytes) }
    }
    #[inline(always)]
    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.len)
    }
}

/// What postcard appends to.
struct Tail<'b>(&'b mut heapless::Vec<u8, FRAME_MAX>);

impl Flavor for Tail<'_> {
    type Output = ();
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte).map_err(|_| postcard::Error::SerializeBufferFull)
    }
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes).map_err(|_| postcard::Error::SerializeBufferFull)
    }
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The two ways to encode a message, by its `put_in`.
macro_rules! encode {
    ($too_large:literal) => {
        /// Writes the frame into `out`.
        ///
        /// # Errors
        #[doc = $too_large]
        pub fn encode<'o>(&self, tag: Tag, out: &'o mut [u8]) -> Result<&'o [u8], FrameError> {
            let mut bytes = Bytes::new(out);
            self.put_in(tag, &mut bytes)?;
            Ok(bytes.frame())
        }

        /// Makes the frame what is in `buffer`.
        ///
        /// # Errors
        #[doc = $too_large]
        #[inline]
        pub fn encode_in<'o>(&self, tag: Tag, buffer: &'o mut FrameBuffer) -> Result<&'o [u8], FrameError> {
            self.put_in(tag, buffer)?;
            Ok(buffer)
        }
    };
}

/// The tag of a frame, readable even when the rest is not (0 if there is none).
pub fn tag_of(frame: &[u8]) -> Tag {
    split(frame).map_or(Tag(0), |(_, tag, _)| tag)
}

impl Request<'_> {
    /// The operation asked for.
    pub const fn op(&self) -> Op {
        match self {
            Request::Hello(_) => Op::Hello,
            Request::Describe => Op::Describe,
            Request::Derive(_) => Op::Derive,
            Request::Revoke => Op::Revoke,
            Request::Drop => Op::Drop,
            Request::Sync => Op::Sync,
            Request::RevokeOne(_) => Op::RevokeOne,
            Request::Create(_) => Op::Create,
            Request::List(_) => Op::List,
            Request::Lookup(_) => Op::Lookup,
            Request::Plan(_) => Op::Plan,
            Request::Delegate(_) => Op::Delegate,
            Request::Usage => Op::Usage,
            Request::Limits => Op::Limits,
            Request::State => Op::State,
            Request::Annotation(_) => Op::Annotation,
            Request::Start => Op::Start,
            Request::Signal(_) => Op::Signal,
            Request::Pause => Op::Pause,
            Request::Resume => Op::Resume,
            Request::Exec(_) => Op::Exec,
            Request::Wait => Op::Wait,
            Request::Logs(_) => Op::Logs,
            Request::Statistics => Op::Statistics,
            Request::Processes(_) => Op::Processes,
            Request::Delete(_) => Op::Delete,
            Request::PivotRoot => Op::PivotRoot,
            Request::Update(_) => Op::Update,
            Request::Events(_) => Op::Events,
            Request::Grant(_) => Op::Grant,
            Request::Take(_) => Op::Take,
            Request::Attach(_) => Op::Attach,
            Request::Input(_) => Op::Input,
        }
    }

    /// How many capabilities must come beside the frame.
    pub const fn capabilities(&self) -> usize {
        match self.op() {
            Op::Create | Op::Plan => 1,
            _ => 0,
        }
    }

    encode!("[`FrameError::TooLarge`] if it does not fit there or [`FRAME_MAX`].");

    fn put_in(&self, tag: Tag, out: &mut impl Sink) -> Result<(), FrameError> {
        let op = self.op() as u16;
        match self {
            Request::Hello(v) => out.put(op, tag, v),
            Request::Derive(v) => out.put(op, tag, v),
            Request::RevokeOne(v) => out.put(op, tag, v),
            Request::Create(v) => out.put(op, tag, v),
            Request::List(v) | Request::Plan(v) | Request::Processes(v) => out.put(op, tag, v),
            Request::Lookup(v) => out.put(op, tag, v),
            Request::Delegate(v) => out.put(op, tag, v),
            Request::Annotation(v) => out.put(op, tag, v),
            Request::Signal(v) => out.put(op, tag, v),
            Request::Exec(v) => out.put(op, tag, v),
            Request::Logs(v) => out.put(op, tag, v),
            Request::Delete(v) => out.put(op, tag, v),
            Request::Update(v) => out.put(op, tag, v),
            Request::Events(v) => out.put(op, tag, v),
            Request::Grant(v) => out.put(op, tag, v),
            Request::Take(v) => out.put(op, tag, v),
            Request::Attach(v) => out.put(op, tag, v),
            Request::Input(v) => out.put(op, tag, v),
            _ => out.put(op, tag, &()),
        }
    }

    /// Reads a request's frame. Looks only; takes time linear in the frame.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(frame: &[u8]) -> Result<(Tag, Request<'_>), FrameError> {
        let (number, tag, bytes) = split(frame)?;
        let op = Op::from_number(number).ok_or(FrameError::UnknownOp)?;
        match op {
            Op::Hello => whole(tag, bytes, Request::Hello),
            Op::Describe => whole(tag, bytes, |()| Request::Describe),
            Op::Derive => whole(tag, bytes, Request::Derive),
            Op::Revoke => whole(tag, bytes, |()| Request::Revoke),
            Op::Drop => whole(tag, bytes, |()| Request::Drop),
            Op::Sync => whole(tag, bytes, |()| Request::Sync),
            Op::RevokeOne => whole(tag, bytes, Request::RevokeOne),
            Op::Create => whole(tag, bytes, Request::Create),
            Op::List => whole(tag, bytes, Request::List),
            Op::Lookup => whole(tag, bytes, Request::Lookup),
            Op::Plan => whole(tag, bytes, Request::Plan),
            Op::Delegate => whole(tag, bytes, Request::Delegate),
            Op::Usage => whole(tag, bytes, |()| Request::Usage),
            Op::Limits => whole(tag, bytes, |()| Request::Limits),
            Op::State => whole(tag, bytes, |()| Request::State),
            Op::Annotation => whole(tag, bytes, Request::Annotation),
            Op::Start => whole(tag, bytes, |()| Request::Start),
            Op::Signal => whole(tag, bytes, Request::Signal),
            Op::Pause => whole(tag, bytes, |()| Request::Pause),
            Op::Resume => whole(tag, bytes, |()| Request::Resume),
            Op::Exec => whole(tag, bytes, Request::Exec),
            Op::Wait => whole(tag, bytes, |()| Request::Wait),
            Op::Logs => whole(tag, bytes, Request::Logs),
            Op::Statistics => whole(tag, bytes, |()| Request::Statistics),
            Op::Processes => whole(tag, bytes, Request::Processes),
            Op::Delete => whole(tag, bytes, Request::Delete),
            Op::PivotRoot => whole(tag, bytes, |()| Request::PivotRoot),
            Op::Update => whole(tag, bytes, Request::Update),
            Op::Events => whole(tag, bytes, Request::Events),
            Op::Grant => whole(tag, bytes, Request::Grant),
            Op::Take => whole(tag, bytes, Request::Take),
            Op::Attach => whole(tag, bytes, Request::Attach),
            Op::Input => whole(tag, bytes, Request::Input),
        }
    }
}

impl Reply<'_> {
    encode!("[`FrameError::TooLarge`] if it does not fit there or [`FRAME_MAX`].");

    fn put_in(&self, tag: Tag, out: &mut impl Sink) -> Result<(), FrameError> {
        match self {
            Reply::Done => out.put(STATUS_OK, tag, &()),
            Reply::Hello(v) => out.put(STATUS_OK, tag, v),
            Reply::Description(v) => out.put(STATUS_OK, tag, v),
            Reply::Derive(v) => out.put(STATUS_OK, tag, v),
            Reply::State(v) => out.put(STATUS_OK, tag, v),
            Reply::Annotation(v) => out.put(STATUS_OK, tag, v),
            Reply::List(v) => out.put(STATUS_OK, tag, v),
            Reply::PlanText(v) => out.put(STATUS_OK, tag, v),
            Reply::Usage(v) => out.put(STATUS_OK, tag, v),
            Reply::Limits(v) => out.put(STATUS_OK, tag, v),
            Reply::Exec(v) => out.put(STATUS_OK, tag, v),
            Reply::Exit(v) => out.put(STATUS_OK, tag, v),
            Reply::Logs(v) => out.put(STATUS_OK, tag, v),
            Reply::Statistics(v) => out.put(STATUS_OK, tag, v),
            Reply::Processes(v) => out.put(STATUS_OK, tag, v),
            Reply::PivotRoot(v) => out.put(STATUS_OK, tag, v),
            Reply::Events(v) => out.put(STATUS_OK, tag, v),
            Reply::Input(v) => out.put(STATUS_OK, tag, v),
        }
    }
}

impl ErrorReply {
    encode!(
        "[`FrameError::TooLarge`] if there is less room than the error takes, which is always below 300 bytes."
    );

    fn put_in(&self, tag: Tag, out: &mut impl Sink) -> Result<(), FrameError> {
        match self {
            ErrorReply::Frame(v) => out.put(STATUS_FRAME, tag, v),
            ErrorReply::Refusal(v) => out.put(STATUS_REFUSAL, tag, v),
            ErrorReply::Kernel(v) => out.put(STATUS_KERNEL, tag, v),
        }
    }
}

/// Reads a reply's frame: the body as `T`, or the error it carries.
///
/// # Errors
/// The error in the reply, or the [`FrameError`] met while reading it; [`FrameError::WrongTag`] if it answers
/// another call.
#[inline]
pub fn decode_reply<'a, T: Deserialize<'a>>(expected: Tag, frame: &'a [u8]) -> Result<T, ErrorReply> {
    decode_reply_as(expected, frame)
}

/// As [`decode_reply`], with an error of the caller's.
///
/// # Errors
/// As [`decode_reply`].
#[inline]
pub fn decode_reply_as<'a, T: Deserialize<'a>, E: From<ErrorReply>>(
    expected: Tag,
    frame: &'a [u8],
) -> Result<T, E> {
    match success(expected, frame) {
        Ok(bytes) => body(bytes, |error| E::from(error.into())),
        Err(error) => Err(error.into()),
    }
}

/// The body of a reply to this call that is none of an error.
#[inline]
pub(crate) fn body_of(expected: Tag, frame: &[u8]) -> Option<&[u8]> {
    let (status, tag, bytes) = split(frame).ok()?;
    (status == STATUS_OK && tag == expected).then_some(bytes)
}

/// The same, and why it is none.
#[inline]
fn success(expected: Tag, frame: &[u8]) -> Result<&[u8], ErrorReply> {
    match split(frame)? {
        (_, tag, _) if tag != expected => Err(FrameError::WrongTag.into()),
        (STATUS_OK, _, bytes) => Ok(bytes),
        (status, _, bytes) => Err(error(status, bytes)),
    }
}

/// The error in a reply.
#[cold]
fn error(status: u16, bytes: &[u8]) -> ErrorReply {
    let error = match status {
        STATUS_FRAME => body(bytes, ErrorReply::Frame).map(ErrorReply::Frame),
        STATUS_REFUSAL => body(bytes, ErrorReply::Frame).map(ErrorReply::Refusal),
        STATUS_KERNEL => body(bytes, ErrorReply::Frame).map(ErrorReply::Kernel),
        _ => Err(FrameError::Malformed.into()),
    };
    error.unwrap_or_else(|error| error)
}

/// A number that differs between builds whose messages differ: FNV-1a over the operations table.
///
/// It is a hint for people, not a check: two builds that agree on the version range can talk.
pub const fn schema_hash() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < Op::ALL.len() {
        hash = fnv(hash, &(Op::ALL[i] as u16).to_le_bytes());
        hash = fnv(hash, Op::ALL[i].name().as_bytes());
        hash = fnv(hash, &Op::ALL[i].rights().bits().to_le_bytes());
        i += 1;
    }
    hash
}

const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}
