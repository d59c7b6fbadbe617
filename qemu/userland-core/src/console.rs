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

/// Writes formatted text.
pub(crate) fn say(console: &mut dyn Console, text: fmt::Arguments<'_>) {
    // Writing to a console cannot fail.
    let _ = fmt::write(&mut Text(console), text);
}

/// A console as a writer of text.
pub(crate) struct Text<'a>(pub &'a mut dyn Console);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
