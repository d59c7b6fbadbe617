//! What the port promises of a capability that is taken back before the answer it goes with is sent: nobody gets it.
//!
//! The program twice: one receives, answers and says what came of it; the other calls, and ends with what it was given.

use super::{ROOT, say};
use crate::sys;
use alloc::format;
use bailiwick_abi::{Error, Exit, Handle, Rights, slot};
use bailiwick_kernel_glue::Port;
use bailiwick_kernel_glue::metal::{Arrival, Endpoint, EndpointChannel, EndpointPort, GoneOf, Messages};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::frame::{FrameBuffer, Tag};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Reply;

/// The text that the caller is started with.
pub(super) const CALLER: &str = "caller";
/// Where it has its capability on the endpoint.
const WAY: Handle = Handle::first(1);
/// The badge of the capability that goes with the answer.
const BADGE: Badge = Badge(7);
/// Bits of the notification: the caller has ended, or nobody holds some badge any more.
const ENDED: u64 = 1;
const GONE: u64 = 2;

/// What the caller ends with: it was told that there is no answer,
const NO_ANSWER: u8 = 0;
/// it got one,
const ANSWER: u8 = 1;
/// or one and a capability; or it could not call.
const CAPABILITY: u8 = 2;
const FAILED: u8 = 3;

/// The caller.
pub(super) fn call() -> u8 {
    let Ok(messages) = Messages::new() else { return FAILED };
    let (channel, mut reply) = (EndpointChannel::new(messages, WAY), ReplyBuffer::default());
    let called = channel.call(&FrameBuffer::new(), None, &mut reply);
    // Nothing is to be called again.
    channel.into_handle();
    match (called, reply.take().map(EndpointChannel::into_handle)) {
        (Err(Error::PEER_GONE), _) => NO_ANSWER,
        (Ok(()), None) => ANSWER,
        (Ok(()), Some(_)) => CAPABILITY,
        (Err(_), _) => FAILED,
    }
}

/// Answers once as it is, and once with the capability taken back; says what the callers got.
pub(super) fn main() -> u8 {
    match play("kept", |_| {}).and_then(|()| play("taken back", |port| port.revoke(BADGE))) {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("answers: {error}"));
            1
        }
    }
}

/// Starts a caller, answers it with a capability, and does this before the answer is sent. Says what came of it.
fn play(name: &str, before: impl FnOnce(&mut EndpointPort)) -> Result<(), Error> {
    let (handle, events) = (sys::endpoint()?, sys::notification()?);
    let (mut endpoint, mut port) = Endpoint::new(handle, events, GONE, Messages::new()?)?;
    let caller = sys::process_create(Handle::first(slot::GROUP), ROOT, "/sbin/contract")?;
    sys::process_grant(caller, WAY.slot(), handle, Rights::WRITE)?;
    sys::process_watch(caller, events, ENDED)?;
    sys::process_start(caller, CALLER)?;
    let Arrival::Unbadged(token) = endpoint.receive(&mut port)? else { return Err(Error::PEER_GONE) };
    port.reply(token, Some(BADGE), |room| {
        let _ = Reply::Done.encode_in(Tag(0), room);
    });
    before(&mut port);
    // The answer goes with this; what happens next is that the caller ends.
    endpoint.receive(&mut port)?;
    let got = match sys::process_wait(caller)? {
        Exit::Code(NO_ANSWER) => "no answer",
        Exit::Code(ANSWER) => "an answer",
        Exit::Code(CAPABILITY) => "an answer and a capability",
        _ => "nothing, for it failed",
    };
    let told = core::iter::from_fn(|| port.take_gone(GoneOf::All)).count();
    say(&format!("{name}: the caller got {got}; badges that were told gone: {told}"));
    Ok(())
}
