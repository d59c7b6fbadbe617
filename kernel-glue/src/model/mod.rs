//! A kernel in memory: the backend that tests of the manager run on.
//!
//! ```text
//!   plan ──► container.rs  carries it out step by step, undoes it when a step fails, runs hooks
//!             │ makes
//!             ▼
//!           objects.rs     namespaces, mounts, groups, processes: counted, so that a leak shows
//!             │ runs
//!             ▼
//!           process.rs     processes with scripted behaviour (script.rs), signals, output
//!             │ tells
//!             ▼
//!           time.rs        virtual time: moves only when somebody waits for an event
//! ```
//!
//! Everything follows from the seed and the calls: the same calls on a model with the same seed give the same
//! answers, events and numbers. [`Model::fail_at`] makes any later kernel step fail, and everything the verb
//! had done by then is undone as on a real kernel.
//!
//! It is no kernel: what it only pretends to do is listed in `CAVEATS.md`.

mod container;
mod directory;
#[cfg(feature = "contract")]
mod fixture;
mod glue;
mod objects;
mod picture;
mod process;
mod script;
mod shared;
mod time;

pub use directory::{COMMANDS, Directory, Mode};
#[cfg(feature = "contract")]
pub use fixture::ModelFixture;
pub use objects::Census;

use crate::glue::{ContainerKey, Event};
use crate::plan::{Feature, Features, HookKind, Namespace};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;
use shared::Shared;

/// Bytes of output that are kept for each process; older ones are dropped and counted.
pub const OUTPUT_MAX: usize = 64 * 1024;
/// Bytes of input that a process has not read and that are kept; no more is taken.
pub const INPUT_MAX: usize = 64 * 1024;
/// Memory the whole model has.
pub const MEMORY: u64 = 64 << 20;

const FEATURES: Features = Features {
    kernel: "the model kernel",
    namespaces: &Namespace::ALL,
    file_systems: &["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"],
    features: Feature::MEMORY
        .union(Feature::SWAP)
        .union(Feature::CPU)
        .union(Feature::CPUSET)
        .union(Feature::PIDS)
        .union(Feature::DEVICE_RULES)
        .union(Feature::HOOKS)
        .union(Feature::TIME_OFFSETS)
        .union(Feature::OOM_SCORE)
        .union(Feature::INPUT),
    capabilities: (1 << 41) - 1,
    sysctls: &[
        "net.",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "fs.mqueue.",
    ],
    devices: &[],
};

/// How verbs that may take long go about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// At once, unless a hook takes time.
    Prompt,
    /// Some at once and some later, by the seed.
    Varied,
}

/// A failure that waits for its kernel step.
#[derive(Clone, Copy, Debug)]
struct Failure {
    after: u64,
    errno: Errno,
}

/// The kernel. See the module's documentation. A copy goes on as the original would.
#[derive(Clone, Debug)]
pub struct Model {
    clock: Nanos,
    random: u64,
    order: time::Order,
    pace: Pace,
    features: Features,
    host: Directory,
    objects: Shared<objects::Objects>,
    containers: Shared<BTreeMap<ContainerKey, Shared<container::Container>>>,
    events: VecDeque<Event>,
    failure: Option<Failure>,
    steps: u64,
    hooks: Vec<HookKind>,
    console: Vec<(String, Vec<u8>)>,
    inherited: Vec<u8>,
}

impl Model {
    /// A kernel with nothing in it, whose chances follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Model {
            clock: Nanos(1_000_000_000),
            random: seed,
            order: time::Order::Chance,
            pace: Pace::Prompt,
            features: FEATURES,
            host: host(),
            objects: Shared::default(),
            containers: Shared::default(),
            events: VecDeque::new(),
            failure: None,
            steps: 0,
            hooks: Vec::new(),
            console: Vec::new(),
            inherited: Vec::new(),
        }
    }

    /// The same with another pace.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The same for a kernel that can do something else.
    #[must_use]
    pub fn with_features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    /// The same for a kernel that has run for some time: it has given this many process numbers before.
    #[must_use]
    pub fn with_pids_given(mut self, given: u32) -> Self {
        self.objects.pids_given = given;
        self
    }

    /// What this kernel can do unless told otherwise.
    pub const fn default_features() -> Features {
        FEATURES
    }

    /// Makes the `n`-th kernel step from now fail (1 is the next), once.
    pub fn fail_at(&mut self, n: u64, errno: Errno) {
        self.failure = Some(Failure { after: n, errno });
    }

    /// Takes a failure back that has not come yet; says whether there was one.
    pub fn cancel_failure(&mut self) -> bool {
        self.failure.take().is_some()
    }

    /// How many kernel steps were taken ever, to know how many there are to fail.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Which kernel objects there are now.
    pub fn census(&self) -> Census {
        self.objects.census(self.containers.len())
    }

    /// The hooks that ran, in order.
    pub fn hooks(&self) -> &[HookKind] {
        &self.hooks
    }

    /// The lines written to the console, each with the name before it.
    pub fn console_lines(&self) -> &[(String, Vec<u8>)] {
        &self.console
    }

    /// What processes wrote that inherited the server's own streams.
    pub fn inherited(&self) -> &[u8] {
        &self.inherited
    }

    /// One kernel step: the place where a failure can be put.
    fn step(&mut self) -> Result<(), Errno> {
        self.steps += 1;
        let Some(failure) = &mut self.failure else { return Ok(()) };
        failure.after = failure.after.saturating_sub(1);
        if failure.after > 0 {
            return Ok(());
        }
        let errno = failure.errno;
        self.failure = None;
        Err(errno)
    }

    /// A number below `bound`, which is not 0 (splitmix64).
    fn chance(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// The host's files, for bind mounts and root file systems named by absolute paths.
fn host() -> Directory {
    let mut host = Directory::new();
    for name in ["dev/shm", "proc", "run", "sys/fs/cgroup", "tmp", "var"] {
        host = host.directory(name);
    }
    for name in ["dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty"] {
        host = host.file(name, "");
    }
    host = host.directory("bin").program("bin/busybox", "");
    host.file("etc/hosts", "127.0.0.1 localhost\n").file("etc/resolv.conf", "")
}
