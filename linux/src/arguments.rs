//! The command line. Names and meanings are those of runc, so that its callers need not learn others.

use crate::failure::LogFormat;
use crate::spawn::{MONITOR, STAND_IN};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Runs OCI bundles on Linux.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Args)]
pub(crate) struct Global {
    /// Directory in which containers are found between commands.
    #[arg(long, global = true, default_value = "/run/bailiwick")]
    pub(crate) root: PathBuf,
    /// File that the reason of a failure is appended to.
    #[arg(long, global = true)]
    pub(crate) log: Option<PathBuf>,
    /// How the lines of that file look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How a listing looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// For programs.
    Json,
}

#[derive(Args)]
pub(crate) struct Create {
    /// Directory with a config.json and a root file system.
    #[arg(short, long, default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// File that the first process's number is written to.
    #[arg(long)]
    pub(crate) pid_file: Option<PathBuf>,
    /// Listening socket that the process's terminal is sent to, if the configuration wants one.
    #[arg(long)]
    pub(crate) console_socket: Option<PathBuf>,
    /// The container's id.
    pub(crate) id: String,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Return once the program runs, and leave the container there.
    #[arg(short, long)]
    pub(crate) detach: bool,
}

#[derive(Args)]
pub(crate) struct Exec {
    /// NAME=VALUE added to the configuration's environment, or replacing it there.
    #[arg(short, long)]
    pub(crate) env: Vec<String>,
    /// Working directory, instead of the configuration's.
    #[arg(long)]
    pub(crate) cwd: Option<String>,
    /// UID or UID:GID, instead of the configuration's. Without a group: 0.
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Return once the program runs.
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Listening socket that the terminal is sent to.
    #[arg(long)]
    pub(crate) console_socket: Option<PathBuf>,
    /// File with the process as config.json would have it, instead of program and options.
    #[arg(short, long, conflicts_with_all = ["env", "cwd", "user", "args"])]
    pub(crate) process: Option<PathBuf>,
    /// File that the process's number is written to. With --detach it is that of a process which ends as the program
    /// does, for whoever adopts it to wait for.
    #[arg(long)]
    pub(crate) pid_file: Option<PathBuf>,
    /// The container's id.
    pub(crate) id: String,
    /// The program and its arguments.
    #[arg(required_unless_present = "process", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Update {
    /// File with limits as `linux.resources` of a config.json has them, `-` for standard input; instead of options.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// Bytes of memory; -1 for no limit.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "resources")]
    pub(crate) memory: Option<String>,
    /// Bytes of memory that are reclaimed last.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "resources")]
    pub(crate) memory_reservation: Option<String>,
    /// Bytes of memory and swap together; -1 for no limit.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "resources")]
    pub(crate) memory_swap: Option<String>,
    /// Microseconds of a CPU's time in each period; -1 for no limit.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "resources")]
    pub(crate) cpu_quota: Option<i64>,
    /// Microseconds of a period.
    #[arg(long, conflicts_with = "resources")]
    pub(crate) cpu_period: Option<u64>,
    /// Share of CPU time, relative to others: 2 to 262144.
    #[arg(long, visible_alias = "cpu-shares", conflicts_with = "resources")]
    pub(crate) cpu_share: Option<u64>,
    /// CPUs to run on, such as 0-2,4.
    #[arg(long, conflicts_with = "resources")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes to use.
    #[arg(long, conflicts_with = "resources")]
    pub(crate) cpuset_mems: Option<String>,
    /// Processes; -1 for no limit.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "resources")]
    pub(crate) pids_limit: Option<i64>,
    /// The container's id.
    pub(crate) id: String,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
    /// Create a container. Its program does not run yet. Its streams are this command's own.
    Create(Create),
    /// Run the program of a created container.
    Start {
        /// The container's id.
        id: String,
    },
    /// Create a container, start it, wait for it and remove it.
    Run(Run),
    /// Run a further program in a running container.
    Exec(Exec),
    /// Print the state of a container as the OCI runtime specification has it.
    State {
        /// The container's id.
        id: String,
    },
    /// List all containers.
    List {
        /// How it looks.
        #[arg(short, long, value_enum, default_value = "table")]
        format: Format,
        /// Ids only.
        #[arg(short, long)]
        quiet: bool,
    },
    /// List the processes in a container.
    Ps {
        /// How it looks.
        #[arg(short, long, value_enum, default_value = "table")]
        format: Format,
        /// The container's id.
        id: String,
    },
    /// Print what a container uses, a line of JSON each time, until it is gone.
    Events {
        /// Once only.
        #[arg(long)]
        stats: bool,
        /// Time between two lines.
        #[arg(long, default_value = "5s")]
        interval: humantime::Duration,
        /// The container's id.
        id: String,
    },
    /// Print what this runtime understands, as the OCI runtime specification has it.
    Features,
    /// Write a config.json that runs a shell.
    Spec {
        /// Directory it is written to.
        #[arg(short, long, default_value = ".")]
        bundle: PathBuf,
    },
    /// Send a signal to the first process of a container.
    Kill {
        /// The container's id.
        id: String,
        /// Name or number.
        #[arg(default_value = "TERM")]
        signal: String,
        /// To every process in the container.
        #[arg(short, long)]
        all: bool,
    },
    /// Freeze every process in a container.
    Pause {
        /// The container's id.
        id: String,
    },
    /// Let them go on.
    Resume {
        /// The container's id.
        id: String,
    },
    /// Change limits of a container. What is not named, and what is named as 0, stays as it is.
    Update(Update),
    /// Wait until the program has ended; its status is printed and is this command's.
    Wait {
        /// The container's id.
        id: String,
    },
    /// Remove a stopped container.
    Delete {
        /// The container's id.
        id: String,
        /// Kill it first if it runs. A container that is not there is no error then.
        #[arg(short, long)]
        force: bool,
    },
    #[command(name = STAND_IN, hide = true)]
    StandIn,
    #[command(name = MONITOR, hide = true)]
    Monitor {
        id: String,
        #[arg(long)]
        adopted: bool,
    },
}
