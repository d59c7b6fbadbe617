//! Starts a container's monitor.

use crate::channel::SocketChannel;
use crate::failure::Failure;
use crate::state_directory::Root;
use crate::wire;
use bailiwick_client::Process;
use bailiwick_kernel_glue::linux::own_program;
use bailiwick_protocol::id::ContainerId;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The subcommand that is the monitor; not for people.
pub(crate) const MONITOR: &str = "monitor";

/// How long this command stays with the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stay {
    /// To its end. Warnings, such as those of hooks that failed too late to matter, go to its standard error.
    ToTheEnd,
    /// Until it is made, or started. Warnings go nowhere: a stream that is kept open would hold up whoever reads it to
    /// its end. The container is the child of this command, so that whoever adopts what it leaves can wait for it.
    ToItsBeginning,
}

/// Told to a monitor whose container is to be the child of its parent.
pub(crate) const ADOPTED: &str = "--adopted";

/// The subcommand that ends as a process of `exec --detach` does; not for people.
pub(crate) const STAND_IN: &str = "stand-in";

/// Starts a process that ends as the one behind this capability does. Gives its number.
pub(crate) fn stand_in(process: Process<SocketChannel>) -> Result<u32, Failure> {
    let program = own_program().map_err(|fault| Failure::about("start the process's stand-in", fault))?;
    let child = Command::new(path_of(program.as_fd()))
        .arg0("bailiwick")
        .arg(STAND_IN)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(process.into_channel()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::about("start the process's stand-in", error))?;
    Ok(child.id())
}

/// By descriptor, so that nothing is resolved a second time.
fn path_of(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Makes the state directory and starts a monitor in it. The capability is on a factory, which creates one container; if none comes of it, or
/// when it is gone, monitor and directory are gone too.
pub(crate) fn monitor(root: &Root, id: &ContainerId, stay: Stay) -> Result<SocketChannel, Failure> {
    let state = root.add(id)?;
    let listener = state.listen()?;
    let program = own_program().map_err(|fault| Failure::about("start the monitor", fault))?;
    let (ours, theirs) = wire::pair()?;
    let (errors, adopted) = match stay {
        Stay::ToTheEnd => (Stdio::inherit(), None),
        Stay::ToItsBeginning => (Stdio::null(), Some(ADOPTED)),
    };
    Command::new(path_of(program.as_fd()))
        .arg0("bailiwick")
        .args([MONITOR, id.as_str()])
        .args(adopted)
        .env_clear()
        .current_dir(path_of(state.as_fd()))
        .stdin(listener)
        .stdout(theirs)
        .stderr(errors)
        .spawn()
        .map_err(|error| Failure::about("start the monitor", error))?;
    state.hand_over();
    Ok(SocketChannel::new(ours))
}
