//! The server inside the command.

use crate::failure::Failure;
use bailiwick_client::Factory;
use bailiwick_kernel_glue::linux::{DEFAULT_PARENT, Directory, Linux};
use bailiwick_server::{Limits, Loopback, LoopbackChannel, Policy};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// A capability on an object of the embedded server.
pub(crate) type Channel = LoopbackChannel<Linux>;

/// Starts a server with nothing in it; the factory may do everything.
pub(crate) fn start() -> Result<(Loopback<Linux>, Factory<Channel>), Failure> {
    let kernel = Linux::new(DEFAULT_PARENT).map_err(|fault| Failure::about("Linux", fault))?;
    let (server, root) = Loopback::new(kernel, Limits::default(), Policy::default());
    Ok((server, Factory::new(root)))
}

/// Opens a bundle's directory and gives it with its path, made absolute.
pub(crate) fn open_bundle(bundle: &Path) -> Result<(Directory, String), Failure> {
    let about = |reason: std::io::Error| Failure::about(bundle.display(), reason);
    let path = bundle.canonicalize().map_err(about)?;
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(&path)
        .map_err(about)?;
    let text = path.to_str().ok_or_else(|| Failure::about(bundle.display(), "the path is not UTF-8"))?;
    Ok((Arc::new(directory.into()), text.to_owned()))
}
