//! One call: encode, send, check the tag, decode.

use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::error::ErrorReply;
use bailiwick_protocol::frame::{FrameBuffer, Tag, decode_reply_as};
use bailiwick_protocol::look::Look;
use bailiwick_protocol::message::Request;
use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};
use serde::Deserialize;

/// Why a call gave no answer, or the answer was no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError<E> {
    /// The channel could not carry it; the call may or may not have been carried out.
    Channel(E),
    /// The server, or the kernel behind it, said no.
    Reply(ErrorReply),
    /// The reply should have brought a capability and did not: the server is at fault.
    NoCapability,
}

impl<E> From<ErrorReply> for CallError<E> {
    fn from(error: ErrorReply) -> Self {
        CallError::Reply(error)
    }
}
impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Channel(error) => write!(f, "the call was not carried: {error}"),
            CallError::Reply(error) => error.fmt(f),
            CallError::NoCapability => f.write_str("the reply brought no capability"),
        }
    }
}
impl<E: fmt::Debug + fmt::Display> core::error::Error for CallError<E> {}

/// Tags need only differ from the one before on the same channel; one counter serves all channels.
static NEXT_TAG: AtomicU16 = AtomicU16::new(1);

fn next_tag() -> Tag {
    Tag(NEXT_TAG.fetch_add(1, Ordering::Relaxed))
}

/// Sends `request` and reads the reply's body out of `buffer`, which is empty before.
pub(crate) fn call<'b, C: Channel, T: Deserialize<'b>>(
    channel: &C,
    request: Request<'_>,
    directory: Option<&C::Directory>,
    buffer: &'b mut ReplyBuffer<C>,
) -> Result<T, CallError<C::Error>> {
    let tag = send(channel, &request, directory, buffer)?;
    decode_reply_as(tag, buffer.frame())
}

/// What is the same whatever the body: sends `request` and has the reply put into `buffer`. Gives the call's tag.
fn send<C: Channel>(
    channel: &C,
    request: &Request<'_>,
    directory: Option<&C::Directory>,
    buffer: &mut ReplyBuffer<C>,
) -> Result<Tag, CallError<C::Error>> {
    let tag = next_tag();
    let mut room = FrameBuffer::new();
    request.encode_in(tag, &mut room).map_err(|e| CallError::Reply(e.into()))?;
    channel.call(&room, directory, buffer).map_err(CallError::Channel)?;
    Ok(tag)
}

/// As [`call`], for what only looks: `read` reads the reply. It is compiled into each place that calls it, where the
/// operation is known.
#[inline(always)]
pub(crate) fn look<'b, C: Channel, T>(
    channel: &C,
    look: Look,
    buffer: &'b mut ReplyBuffer<C>,
    read: impl FnOnce(Tag, &'b [u8]) -> Result<T, CallError<C::Error>>,
) -> Result<T, CallError<C::Error>> {
    let tag = next_tag();
    let mut room = FrameBuffer::new();
    look.encode_in(tag, &mut room);
    channel.call(&room, None, buffer).map_err(CallError::Channel)?;
    read(tag, buffer.frame())
}

/// As [`call`], for operations that only say "done".
pub(crate) fn done<C: Channel>(channel: &C, request: Request<'_>) -> Result<(), CallError<C::Error>> {
    call(channel, request, None, &mut ReplyBuffer::default())
}

/// As [`call`], for operations that bring a capability beside a body without borrowed parts.
pub(crate) fn call_for_capability<C: Channel, T: for<'b> Deserialize<'b>>(
    channel: &C,
    request: Request<'_>,
    directory: Option<&C::Directory>,
) -> Result<(T, C), CallError<C::Error>> {
    let mut buffer = ReplyBuffer::default();
    let body = call(channel, request, directory, &mut buffer)?;
    let capability = buffer.take().ok_or(CallError::NoCapability)?;
    Ok((body, capability))
}
