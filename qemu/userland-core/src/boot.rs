//! What init does: brings the manifest's containers up, keeps them up, and says whether they did what is expected.
//!
//! [`Supervisor`] decides and is a pure function of what it is told and of the time it is given; [`Init`] carries its
//! decisions out through the client library, like anybody who holds a factory.

mod init;
mod supervisor;
mod verdict;

pub use init::Init;
pub use supervisor::{Action, Supervisor};
pub use verdict::Verdict;

/// Milliseconds since boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// This much later.
    #[must_use]
    pub const fn after(self, milliseconds: u64) -> Millis {
        Millis(self.0.saturating_add(milliseconds))
    }
}
