//! `create` and `run`.

use super::waiting::{Signals, wait_passing_signals};
use super::{Container, Factory, write_pid_file};
use crate::arguments::{Create, Run};
use crate::failure::Failure;
use crate::server::open_bundle;
use crate::spawn::{self, Stay};
use crate::state_directory::Root;
use crate::terminal::{Console, Presence, Relay, Wish};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{DeleteMode, Stdio};
use std::path::Path;

/// Makes the container, and relays its terminal if it is to have one and no other place to go. If anything fails after
/// that it is removed again.
fn make(root: &Path, create: &Create, stay: Stay) -> Result<(Container, Option<Relay>), Failure> {
    let id = ContainerId::new(&create.id)?;
    let (directory, path) = open_bundle(&create.bundle)?;
    let presence = match stay {
        Stay::ToTheEnd => Presence::Foreground,
        Stay::ToItsBeginning => Presence::Detached,
    };
    let wish = Wish::of_bundle(&directory);
    let (console, theirs) = Console::prepare(wish, create.console_socket.as_deref(), presence)?.unzip();
    let stdio = if console.is_some() { Stdio::Terminal } else { Stdio::Inherit };
    let factory = Factory::new(spawn::monitor(&Root::make(root)?, &id, stay)?.with_console(theirs));
    let container = factory.create(id.as_str(), &path, stdio, &directory)?;
    let relay = undo_unless(console.map_or(Ok(None), Console::receive), &container)?;
    let Some(file) = &create.pid_file else { return Ok((container, relay)) };
    let pid = container.state(|state| state.pid)?.ok_or_else(|| Failure::about(&id, "has ended already"));
    undo_unless(pid.and_then(|pid| write_pid_file(file, pid)), &container)?;
    Ok((container, relay))
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
        let (container, _) = make(root, &run.create, Stay::ToItsBeginning)?;
        undo_unless(container.start(), &container)?;
        return Ok(0);
    }
    let signals = Signals::catch()?;
    let (container, relay) = make(root, &run.create, Stay::ToTheEnd)?;
    undo_unless(container.start(), &container)?;
    let status = undo_unless(wait_passing_signals(&container, signals), &container)?;
    container.delete(DeleteMode::Force)?;
    relay.into_iter().for_each(Relay::finish);
    Ok(status)
}
