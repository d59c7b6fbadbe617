//! The table of operations: one row each, with its number, what it may be sent to and the rights it needs.
//!
//! Numbers never move. A retired operation keeps its row as `retired`, so that its number is not used again.

use crate::rights::Rights;

/// What a capability can stand for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum ObjectKind {
    /// Creates containers within a quota and a policy.
    Factory,
    /// One container.
    Container,
    /// One process started in a container by `Exec`.
    Process,
}

/// What an operation may be sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A capability of any kind.
    Any,
    /// Factories only.
    Factory,
    /// Containers only.
    Container,
    /// Containers, and processes started by `Exec`.
    Running,
    /// Factories and containers.
    Watched,
}

impl Target {
    /// Whether an object of this kind understands the operation.
    pub const fn accepts(self, kind: ObjectKind) -> bool {
        match self {
            Target::Any => true,
            Target::Factory => matches!(kind, ObjectKind::Factory),
            Target::Container => matches!(kind, ObjectKind::Container),
            Target::Running => matches!(kind, ObjectKind::Container | ObjectKind::Process),
            Target::Watched => matches!(kind, ObjectKind::Factory | ObjectKind::Container),
        }
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $target:ident, $rights:expr;)*) => {
        /// A verb of the protocol.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        pub enum Op { $($(#[$doc])* $name = $number,)* }

        impl Op {
            /// Every operation, in the order of their numbers.
            pub const ALL: &'static [Op] = &[$(Op::$name),*];

            /// The operation with this number, if there is one.
            pub const fn from_number(number: u16) -> Option<Op> {
                match number { $($number => Some(Op::$name),)* _ => None }
            }
            /// Its name, as written in the table.
            pub const fn name(self) -> &'static str {
                match self { $(Op::$name => stringify!($name),)* }
            }
            /// What it may be sent to.
            pub const fn target(self) -> Target {
                match self { $(Op::$name => Target::$target,)* }
            }
            /// The rights the sender's capability must hold, all of them.
            pub const fn rights(self) -> Rights {
                match self { $(Op::$name => $rights,)* }
            }
        }
    };
}

operations! {
    /// Version range, largest frame, schema hash. Answered on every capability.
    Hello = 0, Any, Rights::empty();
    /// What this capability is: kind, rights, what is left of its quota.
    Describe = 1, Any, Rights::empty();
    /// A copy with fewer rights, to hand on.
    Derive = 2, Any, Rights::DERIVE;
    /// Ends everything that was derived from this capability.
    Revoke = 3, Any, Rights::DERIVE;
    /// Gives this capability up. Its object lives on.
    Drop = 4, Any, Rights::empty();
    /// Answered once every earlier revocation is complete.
    Sync = 5, Any, Rights::empty();
    /// Ends one capability derived from this one, directly or further down, with everything derived from it.
    RevokeOne = 6, Any, Rights::DERIVE;

    /// Makes a container from the bundle whose directory capability comes with the call. Replies when its first
    /// process waits at the gate, with a capability on it.
    Create = 16, Factory, Rights::CREATE;
    /// The containers below this factory, a page at a time.
    List = 17, Factory, Rights::LIST;
    /// A capability on a container below this factory, by id.
    Lookup = 18, Factory, Rights::LIST;
    /// The kernel steps that `Create` would take for a bundle, as text, without doing any.
    Plan = 19, Factory, Rights::CREATE;
    /// A sub-factory with a narrower quota and fewer rights.
    Delegate = 20, Factory, Rights::DELEGATE;
    /// What has been used of the quota.
    Usage = 21, Factory, Rights::empty();
    /// The quota and the policy.
    Limits = 22, Factory, Rights::empty();

    /// The OCI state.
    State = 32, Container, Rights::INSPECT;
    /// One annotation of the configuration, by position.
    Annotation = 33, Container, Rights::INSPECT;
    /// Opens the gate: the waiting process becomes the container's program.
    Start = 34, Container, Rights::START;
    /// Sends a signal.
    Signal = 35, Running, Rights::SIGNAL;
    /// Freezes every process of the container.
    Pause = 36, Container, Rights::PAUSE;
    /// Thaws them.
    Resume = 37, Container, Rights::PAUSE;
    /// Runs a further process inside; replies with a capability on it.
    Exec = 38, Container, Rights::EXEC;
    /// Replies once the first process (or the process started by `Exec`) has ended.
    Wait = 39, Running, Rights::OBSERVE;
    /// What was written to standard output and error, from a cursor on.
    Logs = 40, Running, Rights::OBSERVE;
    /// Memory, CPU time, process counts.
    Statistics = 41, Container, Rights::OBSERVE;
    /// The processes inside, a page at a time.
    Processes = 42, Container, Rights::OBSERVE;
    /// Removes the container and all its processes.
    Delete = 43, Container, Rights::DELETE;
    /// The pair that `pivot_root` exchanged.
    PivotRoot = 44, Container, Rights::INSPECT;
    /// Other limits of memory, CPU time and processes.
    Update = 45, Container, Rights::UPDATE;
    /// What is written to standard output and error, from now on or from a cursor on.
    Attach = 46, Running, Rights::ATTACH;
    /// What has happened to the container, or to all containers below the factory, from a cursor on.
    Events = 47, Watched, Rights::OBSERVE;
    /// Stores a capability on one container of this factory with another one, under a name.
    Grant = 48, Factory, Rights::LIST;
    /// A capability that was stored with the container, by its name.
    Take = 49, Container, Rights::EXEC;
    /// Writes to standard input, where that is a pipe.
    Input = 50, Running, Rights::ATTACH;
}
