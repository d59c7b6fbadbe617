//! The commands, each a client of the container's monitor.

mod change;
mod create;
mod describe;
mod events;
mod exec;
mod plan;
mod process_file;
mod show;
mod update;
mod waiting;

pub(crate) use change::{delete, kill, pause, resume, start, wait};
pub(crate) use create::{create, run};
pub(crate) use describe::{features, spec};
pub(crate) use events::events;
pub(crate) use exec::{exec, stand_in};
pub(crate) use plan::plan;
pub(crate) use show::{list, ps, state};
pub(crate) use update::update;

use crate::channel::SocketChannel;
use crate::failure::Failure;
use crate::state_directory::{Found, Root};
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::rights::Rights;
use std::fs;
use std::path::Path;

type Factory = bailiwick_client::Factory<SocketChannel>;
type Container = bailiwick_client::Container<SocketChannel>;

/// The container with this id, with at most these rights on it.
fn open(root: &Path, id: &str, rights: Rights) -> Result<Container, Failure> {
    let id = ContainerId::new(id)?;
    let found = Root::open(root)?.map_or(Ok(Found::Nothing), |root| root.find(&id))?;
    match found {
        Found::Monitor(socket) => Ok(Factory::new(SocketChannel::new(socket)).lookup(id.as_str(), rights)?),
        Found::Nothing => Err(Failure::about(id, "not found")),
        Found::Abandoned => Err(abandoned(&id)),
    }
}

fn abandoned(id: &ContainerId) -> Failure {
    let help = format!("its monitor was killed; `bailiwick delete --force {id}` removes what is left");
    Failure::about(id, help)
}

/// Says which container a refusal is about.
fn about<'a, E: std::error::Error>(id: &'a str) -> impl Fn(E) -> Failure + 'a {
    move |error| Failure::about(id, error)
}

/// Writes a process's number, whole or not at all.
fn write_pid_file(path: &Path, pid: u32) -> Result<(), Failure> {
    let about = |error: std::io::Error| Failure::about(path.display(), error);
    let name = path.file_name().ok_or_else(|| Failure::about(path.display(), "is no name of a file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    fs::write(&temporary, pid.to_string()).and_then(|()| fs::rename(&temporary, path)).map_err(about)
}
