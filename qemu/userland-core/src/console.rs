//! What the programs need of the world besides a channel.

use bailiwick_protocol::message::Request;
use core::fmt;

/// Where output goes. Best effort: nobody could be told that the console is gone.
pub trait Console {
    /// Writes all of it.
    fn write(&mut self, bytes: &[u8]);
}

/// Where bundles are found.
pub trait Bundles {
    /// A capability on a bundle's directory.
    type Directory;
    /// Why it cannot be had.
    type Error: fmt::Display;

    /// The directory of the bundle with this name, which is one component of a path.
    ///
    /// # Errors
    /// There is none, or the holder may not open it.
    fn open(&self, name: &str) -> Result<Self::Directory, Self::Error>;
}

/// Lets somebody else wait for an answer, so that the program can go on.
pub trait Waiter<C> {
    /// Has the program woken once there is an answer to this request on this channel. False if that cannot be done.
    fn wake_when_answered(&mut self, channel: &C, request: &Request<'_>) -> bool;
}

/// How a wait went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    /// There is an answer, or there may be: whoever asks now waits without being interrupted.
    Answered,
    /// Somebody typed Ctrl-C.
    Interrupted,
}

/// Waits for an answer and for somebody at the terminal who does not want to.
pub trait Attention<C> {
    /// Waits until there is an answer to this request on this channel, or until it is interrupted.
    fn until_answered(&self, channel: &C, request: &Request<'_>) -> Waited;
}

/// Nobody can interrupt.
#[derive(Clone, Copy, Debug)]
pub struct Patient;

impl<C> Attention<C> for Patient {
    fn until_answered(&self, _: &C, _: &Request<'_>) -> Waited {
        Waited::Answered
    }
}
impl<C> Waiter<C> for Patient {
    fn wake_when_answered(&mut self, _: &C, _: &Request<'_>) -> bool {
        false
    }
}

/// Writes formatted text in one go, so that no other process's line comes in between.
pub(crate) fn say(console: &mut dyn Console, text: fmt::Arguments<'_>) {
    match text.as_str() {
        Some(text) => console.write(text.as_bytes()),
        None => console.write(alloc::fmt::format(text).as_bytes()),
    }
}
