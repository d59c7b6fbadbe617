//! The `bailiwick` command: OCI bundles on Linux, through the Bailiwick server.
//!
//! ```text
//!   command line ──► Factory · Container (client) ──► socket ──► monitor: Manager ──► KernelGlue on Linux
//! ```
//!
//! The command is an ordinary client. Each container has a [`monitor`], a small process that holds the server and is
//! found through the container's [`state_directory`]. Exit status: that of the program for `run`, `exec` and `wait`;
//! else 0 done, 1 refused with one line on standard error and in the log, 2 the command line is wrong.

mod arguments;
mod channel;
mod check;
mod command;
mod failure;
mod monitor;
mod output;
mod server;
mod signals;
mod spawn;
mod state_directory;
mod terminal;
mod wire;

use arguments::{Arguments, Command, Global};
use bailiwick_kernel_glue::linux::Reaper;
use clap::Parser;
use failure::{Failure, Log};
use std::process::ExitCode;
use std::time::Duration;

/// Carries the command out and gives the exit status.
fn carry_out(global: &Global, command: Command) -> Result<u8, Failure> {
    let root = global.root.as_path();
    match command {
        Command::Check { bundle } => check::check(&bundle)?,
        Command::Plan { bundle } => command::plan(&bundle)?,
        Command::Create(create) => command::create(root, &create)?,
        Command::Start { id } => command::start(root, &id)?,
        Command::Run(run) => return command::run(root, &run),
        Command::Exec(exec) => return command::exec(root, &exec),
        Command::State { id } => command::state(root, &id)?,
        Command::List { format, quiet } => command::list(root, format, quiet)?,
        Command::Ps { id, format } => command::ps(root, &id, format)?,
        Command::Kill { id, signal, all } => command::kill(root, &id, &signal, all)?,
        Command::Pause { id } => command::pause(root, &id)?,
        Command::Resume { id } => command::resume(root, &id)?,
        Command::Update(update) => command::update(root, &update)?,
        Command::Wait { id } => return command::wait(root, &id),
        Command::Events { id, stats, interval } => {
            let every = (!stats).then_some(Duration::from(interval));
            command::events(root, &id, every)?;
        }
        Command::Features => command::features()?,
        Command::Spec { bundle } => command::spec(&bundle)?,
        Command::Delete { id, force } => command::delete(root, &id, force)?,
        Command::StandIn => return command::stand_in(),
        Command::Monitor { id, adopted } => {
            monitor::main(&id, if adopted { Reaper::Parent } else { Reaper::Server })?;
        }
    }
    Ok(0)
}

fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    match carry_out(&global, command) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            Log { file: global.log, format: global.log_format }.tell(&failure);
            ExitCode::FAILURE
        }
    }
}
