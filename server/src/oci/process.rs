//! `root` and `process`: what runs, as whom, and with which bounds (config.md "Root", "Process").

use super::capability::OciCapabilities;
use super::error::ConfigError;
use super::read::{Field, Read, spec_object, spec_words};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::RLIMITS;

spec_object! {
    /// `root`: the container's root file system.
    OciRoot {
        /// Its directory: relative to the bundle, or absolute on the host.
        path: String = "path",
        /// Whether it is read-only inside.
        readonly: bool = "readonly",
    }
}

spec_object! {
    /// `process`: the container's first process, or one that `exec` adds.
    OciProcess {
        /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
        args: Vec<String> = "args",
        /// Environment, `NAME=value` each.
        env: Vec<String> = "env",
        /// Working directory, absolute inside the container.
        cwd: String = "cwd",
        /// Users and groups; all zero if the document says nothing.
        user: OciUser = "user",
        /// Whether it gets a terminal of its own.
        terminal: bool = "terminal",
        /// First size of that terminal; means nothing without one.
        console_size: Option<OciConsoleSize> = "consoleSize",
        /// Capabilities; without them the process has none.
        capabilities: Option<Box<OciCapabilities>> = "capabilities",
        /// Limits of setrlimit(2).
        rlimits: Vec<OciRlimit> = "rlimits",
        /// Whether an execve may never add privileges.
        no_new_privileges: bool = "noNewPrivileges",
        /// AppArmor profile.
        apparmor_profile: Option<String> = "apparmorProfile",
        /// SELinux label.
        selinux_label: Option<String> = "selinuxLabel",
        /// Out-of-memory score, -1,000 to 1,000.
        oom_score_adj: Option<i32> = "oomScoreAdj",
        /// Scheduling policy and its parameters.
        scheduler: Option<Box<OciScheduler>> = "scheduler",
        /// I/O priority.
        io_priority: Option<OciIoPriority> = "ioPriority",
        /// CPUs the process is bound to, before and after it has joined its cgroup.
        exec_cpu_affinity: Option<Box<OciCpuAffinity>> = "execCPUAffinity",
    }
}

impl OciProcess {
    /// User id inside the container.
    pub const fn uid(&self) -> u32 {
        self.user.uid
    }
    /// Group id inside the container.
    pub const fn gid(&self) -> u32 {
        self.user.gid
    }
}

spec_object! {
    /// `process.user`.
    OciUser or Default {
        /// User id inside the container.
        uid: u32 = "uid",
        /// Group id inside the container.
        gid: u32 = "gid",
        /// File-mode mask, at most 0o777; none leaves it to the kernel glue.
        umask: Option<u32> = "umask",
        /// Supplementary groups inside the container.
        additional_gids: Vec<u32> = "additionalGids",
    }
}

spec_object! {
    /// `process.consoleSize`, in characters.
    OciConsoleSize {
        /// Rows.
        height: u16 = "height",
        /// Columns.
        width: u16 = "width",
    }
}

/// Kind of a limit of setrlimit(2), by its number on x86_64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OciRlimitKind(u8);

impl OciRlimitKind {
    /// The kind called `name` (`RLIMIT_NOFILE`), if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        let position = RLIMITS.iter().position(|known| *known == name)?;
        u8::try_from(position).ok().map(OciRlimitKind)
    }
    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
    /// Its name.
    pub fn as_str(self) -> &'static str {
        RLIMITS.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl Read for OciRlimitKind {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        OciRlimitKind::from_name(field.text()?)
            .ok_or_else(|| field.fault("is no limit of this kernel: see RLIMIT_* in setrlimit(2)"))
    }
}

spec_object! {
    /// One of `process.rlimits`. `u64::MAX` is unlimited.
    OciRlimit {
        /// Which limit.
        kind: OciRlimitKind = "type",
        /// What the kernel enforces.
        soft: u64 = "soft",
        /// What the process may raise it to.
        hard: u64 = "hard",
    }
}

spec_object! {
    /// `process.scheduler` (sched_setattr(2)).
    OciScheduler {
        /// The policy.
        policy: OciSchedulerPolicy = "policy",
        /// Nice value, -20 to 19.
        nice: Option<i32> = "nice",
        /// Static priority of the real-time policies, 1 to 99.
        priority: Option<i32> = "priority",
        /// Flags.
        flags: Vec<OciSchedulerFlag> = "flags",
        /// Nanoseconds it may run in each period (`SCHED_DEADLINE`).
        runtime: Option<u64> = "runtime",
        /// Nanoseconds after which that must be done (`SCHED_DEADLINE`).
        deadline: Option<u64> = "deadline",
        /// Nanoseconds of a period (`SCHED_DEADLINE`).
        period: Option<u64> = "period",
    }
}

spec_words! {
    /// `process.scheduler.policy`.
    OciSchedulerPolicy {
        /// The default.
        Other = "SCHED_OTHER",
        /// Real time, first come first served.
        Fifo = "SCHED_FIFO",
        /// Real time, in turns.
        RoundRobin = "SCHED_RR",
        /// For batch work.
        Batch = "SCHED_BATCH",
        /// Reserved by Linux, not implemented there.
        Iso = "SCHED_ISO",
        /// Only when nothing else runs.
        Idle = "SCHED_IDLE",
        /// Earliest deadline first.
        Deadline = "SCHED_DEADLINE",
    }
}

spec_words! {
    /// One of `process.scheduler.flags`.
    OciSchedulerFlag {
        /// Children start with the default policy.
        ResetOnFork = "SCHED_FLAG_RESET_ON_FORK",
        /// May use time that others leave.
        Reclaim = "SCHED_FLAG_RECLAIM",
        /// Is told of overruns by `SIGXCPU`.
        DeadlineOverrun = "SCHED_FLAG_DL_OVERRUN",
        /// Leaves the policy as it is.
        KeepPolicy = "SCHED_FLAG_KEEP_POLICY",
        /// Leaves the parameters as they are.
        KeepParameters = "SCHED_FLAG_KEEP_PARAMS",
        /// Lower bound of utilisation.
        UtilClampMin = "SCHED_FLAG_UTIL_CLAMP_MIN",
        /// Upper bound of utilisation.
        UtilClampMax = "SCHED_FLAG_UTIL_CLAMP_MAX",
    }
}

spec_object! {
    /// `process.ioPriority` (ioprio_set(2)).
    OciIoPriority {
        /// The class.
        class: OciIoPriorityClass = "class",
        /// Priority within it, 0 (highest) to 7.
        priority: u32 = "priority",
    }
}

spec_words! {
    /// `process.ioPriority.class`.
    OciIoPriorityClass {
        /// Real time.
        RealTime = "IOPRIO_CLASS_RT",
        /// Best effort.
        BestEffort = "IOPRIO_CLASS_BE",
        /// Only when nobody else reads or writes.
        Idle = "IOPRIO_CLASS_IDLE",
    }
}

spec_object! {
    /// `process.execCPUAffinity`: CPU lists such as `0-3,7`.
    OciCpuAffinity {
        /// Until the process has joined its cgroup.
        initial: Option<String> = "initial",
        /// From then on.
        r#final: Option<String> = "final",
    }
}

impl Default for OciProcess {
    /// `/bin/sh` as root, with no capabilities.
    fn default() -> Self {
        OciProcess {
            args: alloc::vec![String::from("/bin/sh")],
            env: Vec::new(),
            cwd: String::from("/"),
            user: OciUser::default(),
            terminal: false,
            console_size: None,
            capabilities: None,
            rlimits: Vec::new(),
            no_new_privileges: false,
            apparmor_profile: None,
            selinux_label: None,
            oom_score_adj: None,
            scheduler: None,
            io_priority: None,
            exec_cpu_affinity: None,
        }
    }
}
