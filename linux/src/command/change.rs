//! Commands that move a container on in its life.

use super::{about, open};
use crate::failure::Failure;
use crate::output::print;
use crate::state_directory::{Found, Root};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{DeleteMode, Scope};
use bailiwick_protocol::rights::Rights;
use bailiwick_protocol::signal;
use std::path::Path;

/// `start`.
pub(crate) fn start(root: &Path, id: &str) -> Result<(), Failure> {
    open(root, id, Rights::START)?.start().map_err(about(id))
}

/// `kill`.
pub(crate) fn kill(root: &Path, id: &str, signal: &str, all: bool) -> Result<(), Failure> {
    let number = signal::number(signal)
        .ok_or_else(|| Failure::about(signal, "is neither the name nor the number of a signal"))?;
    let scope = if all { Scope::All } else { Scope::First };
    open(root, id, Rights::SIGNAL)?.signal(number, scope).map_err(about(id))
}

/// `pause`.
pub(crate) fn pause(root: &Path, id: &str) -> Result<(), Failure> {
    open(root, id, Rights::PAUSE)?.pause().map_err(about(id))
}

/// `resume`.
pub(crate) fn resume(root: &Path, id: &str) -> Result<(), Failure> {
    open(root, id, Rights::PAUSE)?.resume().map_err(about(id))
}

/// `wait`: prints the status and gives it.
pub(crate) fn wait(root: &Path, id: &str) -> Result<u8, Failure> {
    let status = open(root, id, Rights::OBSERVE)?.wait().map_err(about(id))?.status();
    print(format_args!("{status}\n"))?;
    Ok(status)
}

/// `delete`.
pub(crate) fn delete(root: &Path, id: &str, force: bool) -> Result<(), Failure> {
    if force {
        return delete_by_force(root, id);
    }
    open(root, id, Rights::DELETE)?.delete(DeleteMode::Stopped).map_err(about(id))
}

fn delete_by_force(root: &Path, id: &str) -> Result<(), Failure> {
    let name = ContainerId::new(id)?;
    let Some(directory) = Root::open(root)? else { return Ok(()) };
    match directory.find(&name)? {
        Found::Nothing => Ok(()),
        Found::Abandoned => directory.clear(&name),
        Found::Monitor(_) => open(root, id, Rights::DELETE)?.delete(DeleteMode::Force).map_err(about(id)),
    }
}
