//! The `bailiwick` command: OCI bundles on Linux, through the server, embedded over the loopback channel.
//!
//! ```text
//!   command line ──► Factory · Container (client) ──► loopback ──► Manager ──► KernelGlue on Linux
//! ```
//!
//! The command is an ordinary client: it holds the root factory's capability, because whoever may start it as root
//! has that authority anyway. Exit status: that of the container's program for `run`; 0 done, 1 refused with one
//! line on standard error, 2 the command line is wrong.

mod check;
mod failure;
mod run;
mod server;
mod signals;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs OCI bundles on Linux.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether a bundle's config.json follows the OCI runtime specification.
    Check {
        /// Directory with a config.json.
        bundle: PathBuf,
    },
    /// Print the kernel steps that running a bundle would take, without doing any.
    Plan {
        /// Directory with a config.json and a root file system.
        bundle: PathBuf,
    },
    /// Create a container, start it, wait for it and remove it. Its streams are this command's own.
    Run {
        /// Directory with a config.json and a root file system.
        #[arg(short, long, default_value = ".")]
        bundle: PathBuf,
        /// The container's id.
        id: String,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check { bundle } => check::check(&bundle).map(|()| ExitCode::SUCCESS),
        Command::Plan { bundle } => run::plan(&bundle).map(|()| ExitCode::SUCCESS),
        Command::Run { bundle, id } => run::run(&bundle, &id).map(ExitCode::from),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("bailiwick: {failure}");
        ExitCode::FAILURE
    })
}
