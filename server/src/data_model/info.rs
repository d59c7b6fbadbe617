//! What a list of containers says of each.

use crate::lifecycle::OciLifecycleState;
use alloc::string::String;

/// One container as it stood when it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerInfo {
    /// Its number in the manager, never given twice.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: OciLifecycleState,
    /// Its first process by the number outside; none until it was started.
    pub root_pid: Option<u32>,
    /// Processes that are recorded in its pid namespace.
    pub process_count: usize,
    /// Its host name.
    pub hostname: String,
}
