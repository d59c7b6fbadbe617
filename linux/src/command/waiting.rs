//! Waiting for a program in the foreground, while the signals to this command go to the program.

pub(crate) use crate::signals::Signals;

use crate::channel::{ChannelError, SocketChannel};
use crate::failure::Failure;
use bailiwick_client::{CallError, Container, Process};
use bailiwick_protocol::message::{Exit, Scope};
use bailiwick_protocol::rights::Rights;
use std::thread;

type Answer<T> = Result<T, CallError<ChannelError>>;

/// What can be waited for.
pub(crate) trait Waitable: Sized + Send + 'static {
    /// Blocks until it has ended.
    fn ended(&self) -> Answer<Exit>;
    /// Another capability on it, that can send signals while this one waits.
    fn for_signals(&self) -> Answer<Self>;
    /// Sends one.
    fn send(&self, signal: u8) -> Answer<()>;
}

macro_rules! waitable {
    ($($handle:ident),*) => { $(
        impl Waitable for $handle<SocketChannel> {
            fn ended(&self) -> Answer<Exit> {
                self.wait()
            }
            fn for_signals(&self) -> Answer<Self> {
                self.derive(Rights::SIGNAL)
            }
            fn send(&self, signal: u8) -> Answer<()> {
                self.signal(signal, Scope::First)
            }
        }
    )* };
}
waitable!(Container, Process);

/// Waits until it has ended and gives its status as a shell would.
pub(crate) fn wait_passing_signals(target: &impl Waitable, mut signals: Signals) -> Result<u8, Failure> {
    let handle = target.for_signals()?;
    thread::Builder::new().spawn(move || {
        // One that comes when the program has ended already is nobody's.
        while signals.sleep().is_ok() {
            signals.take().into_iter().for_each(|signal| drop(handle.send(signal)));
        }
    })?;
    Ok(target.ended()?.status())
}
