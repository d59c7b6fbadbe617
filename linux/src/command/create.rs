//! `create` and `run`.

use super::waiting::{Signals, wait_passing_signals};
use super::{Container, write_pid_file};
use crate::arguments::{Create, Run};
use crate::failure::Failure;
use crate::server::open_bundle;
use crate::spawn::{self, Stay};
use crate::state_directory::Root;
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{DeleteMode, Stdio};
use std::path::Path;

/// Makes the container. If anything fails after that it is removed again.
fn make(root: &Path, create: &Create, stay: Stay) -> Result<Container, Failure> {
    let id = ContainerId::new(&create.id)?;
    let (directory, path) = open_bundle(&create.bundle)?;
    let factory = spawn::monitor(&Root::make(root)?, &id, stay)?;
    let container = factory.create(id.as_str(), &path, Stdio::Inherit, &directory)?;
    let Some(file) = &create.pid_file else { return Ok(container) };
    let pid = container.state(|state| state.pid)?.ok_or_else(|| Failure::about(&id, "has ended already"));
    undo_unless(pid.and_then(|pid| write_pid_file(file, pid)), &container)?;
    Ok(container)
}

/// Removes the container if what followed on its creation failed.
fn undo_unless<T, E: Into<Failure>>(done: Result<T, E>, container: &Container) -> Result<T, Failure> {
    done.map_err(|error| {
        // The first failure is the one to be told.
        let _ = container.delete(DeleteMode::Force);
        error.into()
    })
}

/// `create`.
pub(crate) fn create(root: &Path, create: &Create) -> Result<(), Failure> {
    make(root, create, Stay::ToItsBeginning).map(drop)
}

/// `run`: gives the program's status, or 0 if detached.
pub(crate) fn run(root: &Path, run: &Run) -> Result<u8, Failure> {
    if run.detach {
        let container = make(root, &run.create, Stay::ToItsBeginning)?;
        undo_unless(container.start(), &container)?;
        return Ok(0);
    }
    let signals = Signals::catch()?;
    let container = make(root, &run.create, Stay::ToTheEnd)?;
    undo_unless(container.start(), &container)?;
    let status = undo_unless(wait_passing_signals(&container, signals), &container)?;
    container.delete(DeleteMode::Force)?;
    Ok(status)
}
