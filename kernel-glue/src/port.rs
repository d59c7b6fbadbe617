//! The server's side of a transport.
//!
//! The server itself never waits for a message: whoever owns the transport hands it one [`Delivery`] at a time
//! and lends it a [`Port`] to answer on. So the server is a deterministic function of what it is given.

use bailiwick_protocol::frame::FrameBuffer;
use bailiwick_protocol::id::Badge;

/// The right to answer one call, once. Chosen by the transport, never seen by a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyToken(pub u64);

/// One message as it arrived. The frame was copied once, out of the sender's reach.
#[derive(Debug)]
pub struct Delivery<'a, D> {
    /// Which capability it was sent on, by the word of the kernel.
    pub badge: Badge,
    /// The bytes.
    pub frame: &'a [u8],
    /// The directory that came beside them, if any.
    pub directory: Option<D>,
    /// How many capabilities of any kind came beside them.
    pub capabilities: usize,
    /// What to answer with.
    pub token: ReplyToken,
}

/// Where answers go. No method fails or blocks: a caller that has gone is no concern of the server.
pub trait Port {
    /// Sends the one reply to a call. With `mint`, a new capability with that badge travels beside it. `write` puts the
    /// frame where this transport sends it from, so that nobody has to copy it there; it is called once at most.
    fn reply(&mut self, token: ReplyToken, mint: Option<Badge>, write: impl FnOnce(&mut FrameBuffer));
    /// Lends room for the one reply to a call, where no capability travels beside it: what is in it when this transport is
    /// used the next time is sent. None, and nothing is done, if this call's reply is not to be given so: then
    /// [`Port::reply`] is there for it.
    fn lend(&mut self, token: ReplyToken) -> Option<&mut FrameBuffer> {
        let _ = token;
        None
    }
    /// Makes every capability with this badge dead, wherever it is: queued calls on it included, and one that goes with
    /// an answer that was not sent yet.
    fn revoke(&mut self, badge: Badge);
}
