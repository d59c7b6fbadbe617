//! The boot manifest: which containers come up, in which order, and which native process may do what.
//!
//! ```toml
//! [[container]]
//! id = "web"                                   # a container id, unique
//! bundle = "httpd"                             # a name under /bundles of the boot image
//! start = "boot"                               # or "manual": then it is only declared, for `after` to be checked
//! after = [{ id = "db", until = "started" }]   # or until = "succeeded": it has exited with 0
//! restart = { policy = "on-failure", max = 5, backoff_ms = 100, window_ms = 10000 }
//! drill = { signal = "KILL", after_ms = 200 }  # init kills its first life once, to show the policy at work
//! grants = [{ name = "db", on = "db", rights = ["inspect", "observe"] }]   # stored with it: see below
//! expect = { running = true, restarts = 1 }    # or { exit = 0 }, { signal = "KILL" }, { refused = "text" }
//!
//! [[process]]
//! name = "shell"                               # unique; a program under /sbin, started by init
//! program = "shell"                            # the program, if its name is another
//! args = "-c 'list'"                           # what it is started with, if nobody is to talk to it: see below
//! memory = 8388608                             # bytes it may use itself, and
//! threads = 8                                  # threads it may have; without, as much as there is
//! factory = ["create", "list", "inspect"]      # the rights on the factory that it is handed; [] for none
//! quota = { containers = 4, memory = 67108864 }   # makes it a sub-factory of its own with these bounds, …
//! policy = "restricted"                        # … whose bundles may ask for no more than this: a name, or the text
//! directories = ["/bundles"]                   # directory capabilities that it is handed
//! bundles = ["httpd"]                          # single bundles that it is handed, in place of all of /bundles
//! write = ["httpd"]                            # which of those may be written to, also by containers; else none
//! containers = [{ id = "web", rights = ["observe", "exec"] }]   # capabilities on containers that it is handed
//! console = true                               # whether it is handed the console; with `args`, only to write
//! ```
//!
//! A process with `args` does its work and ends: it is started in every run, also when nobody sits at the console, and
//! the machine stays on until it has ended. For the shell they are `-c COMMANDS`, and `-l LABEL` before that puts
//! `LABEL | ` in front of each of its lines. A process without `args` is one to talk to.
//!
//! The manifest is the authority diagram: a process holds what stands here and nothing else. `./qemu/run --authority`
//! draws it. The kinds of a quota are `containers`, `factories`, `execs`, `capabilities`, `waiting`, `event_bytes`,
//! `log_bytes`, `processes`, `memory` (bytes) and `cpu` (thousandths of one); the lines of a policy are in
//! `server/src/policy/text.rs`.
//!
//! A capability on a container is on its present life and ends with it. What a process is handed in `containers` is on
//! the life there was when the process was started; its text begins with their names ([`Process::text`]). What stands
//! in `grants` is stored with a container under a name, for whoever may run programs in it (`exec`) to take out: init
//! stores it before the later of the two is started, and again whenever one of them is restarted. So a process that holds
//! `exec` on a container that stays has a way to each next life of what is stored with it.
//!
//! A container may join namespaces of one that is listed in its `after`: in its config.json the path
//! `/run/containers/ID/ns/NAME` (`net`, `uts`, `ipc`, `pid`, `mnt`, `user`, `cgroup`, `time`) stands for the namespace
//! that the first process of container ID is in when the joining container is created.
//!
//! The text is checked when the boot image is made (`parse`, on the host), errors name the line. What init
//! reads is the compiled form ([`Boot::encode`], [`Boot::decode`]): no parser runs in the booted system.
#![cfg_attr(not(feature = "parse"), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

#[cfg(feature = "parse")]
pub mod authority;
#[cfg(feature = "parse")]
pub mod parse;

use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::{Quota, Rights};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Most containers in one manifest.
pub const CONTAINERS_MAX: usize = 256;
/// Most processes in one manifest.
pub const PROCESSES_MAX: usize = 32;
/// Most directories that one process is handed, single bundles included.
pub const DIRECTORIES_MAX: usize = 16;
/// Most containers that one process is handed capabilities on.
pub const HELD_MAX: usize = 8;
/// Where the compiled form lies in the boot image.
pub const BOOT_PATH: &str = "/etc/manifest";
/// Where bundles lie in the boot image.
pub const BUNDLES_PATH: &str = "/bundles";

/// Everything init is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// The checked manifest.
    pub manifest: Manifest,
    /// What happens once the containers are up.
    pub console: Console,
}

/// What happens once the boot containers are up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Console {
    /// Somebody sits at it: the shell prompts.
    Interactive,
    /// Nobody does: wait until every expectation is met or missed, print the table, power off.
    Summary,
    /// The shell runs these commands, divided by `;`, one after the other, then powers off.
    Commands(String),
}

/// A checked manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Milliseconds after which an expectation that is still open counts as missed.
    pub settle_ms: u32,
    /// Containers in the order of the file. Every `after` names one of them, and they form no circle.
    pub containers: Vec<Container>,
    /// Native processes besides init and the manager.
    pub processes: Vec<Process>,
}

/// One container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Container {
    /// Its id: valid and unique.
    pub id: String,
    /// A name under [`BUNDLES_PATH`].
    pub bundle: String,
    /// When it is started.
    pub start: Start,
    /// What must have happened before.
    pub after: Vec<After>,
    /// What happens when it ends.
    pub restart: Restart,
    /// A planned kill.
    pub drill: Option<Drill>,
    /// Capabilities that are stored with it, at most [`STORED_MAX`](bailiwick_protocol::message::STORED_MAX), each name
    /// once.
    pub stores: Vec<Stored>,
    /// What it is expected to do.
    pub expect: Expect,
}

/// A capability that is stored with a container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// What it is taken out by.
    pub name: String,
    /// The container it is on: one of this manifest, started at boot.
    pub on: String,
    /// What it allows: at least one right, all of which mean something on a container.
    pub rights: Rights,
}

/// A capability on a container that a process is handed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The container: one of this manifest, started at boot.
    pub id: String,
    /// What it allows: at least one right, all of which mean something on a container.
    pub rights: Rights,
}

/// When a container is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// By init.
    #[default]
    Boot,
    /// By somebody at the shell.
    Manual,
}

/// One dependency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct After {
    /// On which container.
    pub id: String,
    /// What must be true of it.
    pub until: Until,
}

/// What must be true of a container that another one comes after.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Its program was started.
    #[default]
    Started,
    /// Its program has exited with status 0.
    Succeeded,
}

/// What init does when a container ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Restart {
    /// Whether it is started again.
    pub policy: Policy,
    /// Most restarts within `window_ms`; after these it stays stopped.
    pub max: u32,
    /// Milliseconds before the first restart; doubled for each further one within the window.
    pub backoff_ms: u32,
    /// Milliseconds over which restarts are counted.
    pub window_ms: u32,
}

impl Restart {
    /// Longest back-off, in milliseconds.
    pub const BACKOFF_MAX_MS: u32 = 60_000;
    /// No restart.
    pub const NEVER: Restart = Restart { policy: Policy::Never, max: 0, backoff_ms: 0, window_ms: 0 };
}

/// Restart policies, as systemd and docker name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It stays stopped.
    #[default]
    Never,
    /// Again after any end but exit status 0.
    OnFailure,
    /// Again after any end.
    Always,
}

/// A kill that init does once, through its capability, in the container's first life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drill {
    /// The signal's number.
    pub signal: u8,
    /// Milliseconds after the program was started.
    pub after_ms: u32,
}

/// What a container is expected to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// Ends with this status.
    Exit(u8),
    /// Ends by this signal.
    Signal(u8),
    /// Runs, after at least this many restarts.
    Running {
        /// How many restarts.
        restarts: u32,
    },
    /// Is refused with an error that contains this text.
    Refused(String),
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Exit(status) => write!(f, "exit {status}"),
            Expect::Signal(number) => match bailiwick_protocol::signal::name(*number) {
                Some(name) => write!(f, "signal {name}"),
                None => write!(f, "signal {number}"),
            },
            Expect::Running { restarts: 0 } => f.write_str("running"),
            Expect::Running { restarts } => write!(f, "running, {restarts} restarts"),
            Expect::Refused(text) => write!(f, "refused: {text}"),
        }
    }
}

/// One native process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its name, unique.
    pub name: String,
    /// A program under /sbin.
    pub program: String,
    /// What it is started with, if it does its work and ends without anybody who talks to it.
    pub args: Option<String>,
    /// Most memory it may use, in bytes.
    pub memory: Option<u64>,
    /// Most threads it may have.
    pub threads: Option<u32>,
    /// Rights on the factory it is handed; empty: it is handed none.
    pub factory: Rights,
    /// What that factory may have, if it is a sub-factory of its own.
    pub quota: Option<Quota>,
    /// The text of the policy of that sub-factory: it was read once.
    pub policy: Option<String>,
    /// Directories of the boot image it is handed.
    pub directories: Vec<Handed>,
    /// Bundles it is handed by themselves, by their names; with the directories at most [`DIRECTORIES_MAX`].
    pub bundles: Vec<Handed>,
    /// Containers it is handed capabilities on, at most [`HELD_MAX`], each once.
    pub containers: Vec<Held>,
    /// Whether it is handed the console.
    pub console: bool,
}

/// A directory that a process is handed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Handed {
    /// Its path, or the bundle's name.
    pub name: String,
    /// What may be done with it.
    pub access: Access,
}

/// What may be done with a directory that is handed to a process, and handed on by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Access {
    /// It is read, and containers run on it that cannot write to it.
    Read,
    /// It is written to as well.
    Write,
}

/// A process's text, taken apart ([`Process::text`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told<'t> {
    bundles: &'t str,
    containers: &'t str,
    /// What it is told besides.
    pub text: &'t str,
}

impl<'t> Told<'t> {
    /// Takes a text apart.
    pub fn of(text: &'t str) -> Self {
        let (bundles, text) = names(text, BUNDLES);
        let (containers, text) = names(text, CONTAINERS);
        Told { bundles, containers, text }
    }
    /// The bundles it was handed by themselves, in the order of their slots.
    pub fn bundles(&self) -> impl Iterator<Item = &'t str> {
        self.bundles.split_ascii_whitespace()
    }
    /// The containers it was handed capabilities on, in the order of their slots.
    pub fn containers(&self) -> impl Iterator<Item = &'t str> {
        self.containers.split_ascii_whitespace()
    }
}

/// What the lines of a process's text begin with that name what it was handed.
const BUNDLES: &str = "bundles";
const CONTAINERS: &str = "containers";

/// The names on a first line that begins like this, and what follows it; all of the text if there is no such line.
fn names<'t>(text: &'t str, word: &str) -> (&'t str, &'t str) {
    let line = text.strip_prefix(word).and_then(|text| text.strip_prefix(' '));
    line.and_then(|line| line.split_once('\n')).unwrap_or(("", text))
}

impl Process {
    /// The directories it is handed, by their paths, in the order of their slots: single bundles first.
    pub fn handed(&self) -> impl Iterator<Item = (String, Access)> {
        let bundles = self.bundles.iter().map(|of| (alloc::format!("{BUNDLES_PATH}/{}", of.name), of.access));
        bundles.chain(self.directories.iter().map(|of| (of.name.clone(), of.access)))
    }
    /// What the process is started with to be told `text`: before it goes a line with the names of the bundles it is
    /// handed by themselves, and one with those of the containers, each if there are any. [`Told`] takes it apart.
    pub fn text(&self, text: &str) -> String {
        let mut all = String::new();
        let mut line = |word: &str, names: &mut dyn Iterator<Item = &String>| {
            let mut names = names.peekable();
            if names.peek().is_some() {
                all += word;
                names.for_each(|name| all.extend([" ", name]));
                all += "\n";
            }
        };
        line(BUNDLES, &mut self.bundles.iter().map(|bundle| &bundle.name));
        line(CONTAINERS, &mut self.containers.iter().map(|held| &held.id));
        all + text
    }

    /// Whether its factory is a sub-factory of its own, with a name space of its own.
    pub const fn is_tenant(&self) -> bool {
        self.quota.is_some() || self.policy.is_some()
    }
}

/// The compiled form is damaged, or of another build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotABoot;

impl fmt::Display for NotABoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the compiled manifest does not decode: make the boot image again with the runner of this build",
        )
    }
}
impl core::error::Error for NotABoot {}

impl Boot {
    /// The compiled form.
    ///
    /// # Errors
    /// None in practice: postcard into a growing vector fails only when memory does.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }
    /// Reads the compiled form back.
    ///
    /// # Errors
    /// [`NotABoot`].
    pub fn decode(bytes: &[u8]) -> Result<Boot, NotABoot> {
        postcard::from_bytes(bytes).map_err(|_| NotABoot)
    }
}
