//! Hooks, and what they are told.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// When a hook runs (config.md "POSIX-platform Hooks").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HookKind {
    /// Deprecated: after the environment is made, in the runtime's namespaces.
    Prestart,
    /// The same place, its successor.
    CreateRuntime,
    /// Before `pivot_root`, in the container's namespaces; the path is the host's.
    CreateContainer,
    /// Before the program, in the container; the path is the container's.
    StartContainer,
    /// After the program was started, in the runtime's namespaces. A failure is a warning.
    Poststart,
    /// After the container was deleted, in the runtime's namespaces. A failure is a warning.
    Poststop,
}

impl HookKind {
    /// All kinds, in the order in which they run.
    pub const ALL: [HookKind; 6] = [
        HookKind::Prestart,
        HookKind::CreateRuntime,
        HookKind::CreateContainer,
        HookKind::StartContainer,
        HookKind::Poststart,
        HookKind::Poststop,
    ];

    /// The key in config.json.
    pub const fn as_str(self) -> &'static str {
        match self {
            HookKind::Prestart => "prestart",
            HookKind::CreateRuntime => "createRuntime",
            HookKind::CreateContainer => "createContainer",
            HookKind::StartContainer => "startContainer",
            HookKind::Poststart => "poststart",
            HookKind::Poststop => "poststop",
        }
    }
}

/// One hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// When it runs.
    pub kind: HookKind,
    /// The program.
    pub path: String,
    /// Its arguments, the first being its name.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<String>,
    /// Seconds after which it is killed and has failed.
    pub timeout: Option<u32>,
}

/// What the state document for hooks holds, all but status and pid (runtime.md "State").
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HookState {
    /// `ociVersion`.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The bundle's path.
    pub bundle: String,
    /// Annotations, in the order of keys.
    pub annotations: Vec<(String, String)>,
}
