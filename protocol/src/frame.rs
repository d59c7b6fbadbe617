//! The bytes of a frame.
//!
//! ```text
//! request:  op     u16 little-endian │ tag u16 little-endian │ postcard body of the operation's request
//! reply:    status u16 little-endian │ tag u16 little-endian │ postcard body of the reply or the error
//! ```
//!
//! `status` is 0 for success, else the layer of the error: 1 [`FrameError`], 2 [`Refusal`], 3 [`KernelFault`].
//! `tag` is the caller's: the reply repeats it, so that a transport that mixes up replies is noticed.

use crate::error::{ErrorReply, FrameError, KernelFault, Refusal};
use crate::message::{Reply, Request};
use crate::op::Op;
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

/// Room for a frame. What a frame does not fill is never written to: most are shorter than a hundredth of it, and
/// clearing the rest would cost more than all else there is to do for a request.
pub type FrameBuffer = heapless::Vec<u8, FRAME_MAX>;

/// The caller's number for a call, repeated in the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tag(pub u16);

const STATUS_OK: u16 = 0;
const STATUS_FRAME: u16 = 1;
const STATUS_REFUSAL: u16 = 2;
const STATUS_KERNEL: u16 = 3;

fn header(first: u16, tag: Tag) -> [u8; HEADER] {
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

/// Decodes a whole body: nothing may be left over.
fn body<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(FrameError::TrailingBytes),
        Err(postcard::Error::DeserializeUnexpectedEnd) => Err(FrameError::Truncated),
        Err(_) => Err(FrameError::Malformed),
    }
}

fn empty<T>(bytes: &[u8], value: T) -> Result<T, FrameError> {
    if bytes.is_empty() { Ok(value) } else { Err(FrameError::TrailingBytes) }
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
    fn put<T: Serialize>(&mut self, first: u16, tag: Tag, value: &T) -> Result<(), FrameError> {
        self.clear();
        self.extend_from_slice(&header(first, tag)).map_err(|_| FrameError::TooLarge)?;
        postcard::serialize_with_flavor(value, Tail(self)).map_err(|_| FrameError::TooLarge)
    }
}

/// What postcard appends to.
struct Tail<'b>(&'b mut FrameBuffer);

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
        let request = match op {
            Op::Hello => Request::Hello(body(bytes)?),
            Op::Describe => empty(bytes, Request::Describe)?,
            Op::Derive => Request::Derive(body(bytes)?),
            Op::Revoke => empty(bytes, Request::Revoke)?,
            Op::Drop => empty(bytes, Request::Drop)?,
            Op::Sync => empty(bytes, Request::Sync)?,
            Op::RevokeOne => Request::RevokeOne(body(bytes)?),
            Op::Create => Request::Create(body(bytes)?),
            Op::List => Request::List(body(bytes)?),
            Op::Lookup => Request::Lookup(body(bytes)?),
            Op::Plan => Request::Plan(body(bytes)?),
            Op::Delegate => Request::Delegate(body(bytes)?),
            Op::Usage => empty(bytes, Request::Usage)?,
            Op::Limits => empty(bytes, Request::Limits)?,
            Op::State => empty(bytes, Request::State)?,
            Op::Annotation => Request::Annotation(body(bytes)?),
            Op::Start => empty(bytes, Request::Start)?,
            Op::Signal => Request::Signal(body(bytes)?),
            Op::Pause => empty(bytes, Request::Pause)?,
            Op::Resume => empty(bytes, Request::Resume)?,
            Op::Exec => Request::Exec(body(bytes)?),
            Op::Wait => empty(bytes, Request::Wait)?,
            Op::Logs => Request::Logs(body(bytes)?),
            Op::Statistics => empty(bytes, Request::Statistics)?,
            Op::Processes => Request::Processes(body(bytes)?),
            Op::Delete => Request::Delete(body(bytes)?),
            Op::PivotRoot => empty(bytes, Request::PivotRoot)?,
            Op::Update => Request::Update(body(bytes)?),
            Op::Events => Request::Events(body(bytes)?),
            Op::Grant => Request::Grant(body(bytes)?),
            Op::Take => Request::Take(body(bytes)?),
            Op::Attach => Request::Attach(body(bytes)?),
            Op::Input => Request::Input(body(bytes)?),
        };
        Ok((tag, request))
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
pub fn decode_reply<'a, T: Deserialize<'a>>(expected: Tag, frame: &'a [u8]) -> Result<T, ErrorReply> {
    let (status, tag, bytes) = split(frame)?;
    if tag != expected {
        return Err(FrameError::WrongTag.into());
    }
    match status {
        STATUS_OK => Ok(body(bytes)?),
        STATUS_FRAME => Err(body::<FrameError>(bytes)?.into()),
        STATUS_REFUSAL => Err(body::<Refusal>(bytes)?.into()),
        STATUS_KERNEL => Err(body::<KernelFault>(bytes)?.into()),
        _ => Err(FrameError::Malformed.into()),
    }
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
