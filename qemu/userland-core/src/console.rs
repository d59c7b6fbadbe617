//! What the programs need of the world besides a channel.

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

/// Writes formatted text in one go, so that no other process's line comes in between.
pub(crate) fn say(console: &mut dyn Console, text: fmt::Arguments<'_>) {
    match text.as_str() {
        Some(text) => console.write(text.as_bytes()),
        None => console.write(alloc::fmt::format(text).as_bytes()),
    }
}
