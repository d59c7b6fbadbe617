//! The server's own program, out of a container's reach (R6, CVE-2019-5736).
//!
//! A process on its way to become a container's still has the server's program as its `/proc/PID/exe`. If the
//! server was started from the clone that is made here, whatever opens that file finds it on a read-only mount
//! which is attached nowhere.

use super::fault::{Context, Outcome};
use super::mounts::{attributes, isolate};
use super::sys::{Recursive, mount_setattr};
use crate::glue::StepFault;
use crate::plan::{MountFlags, Propagation};
use alloc::string::ToString;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;

/// This process's program, on a detached mount of its own that is read-only. To be executed through its descriptor.
///
/// # Errors
/// What the kernel refused; making a mount needs `CAP_SYS_ADMIN`.
pub fn own_program() -> Result<OwnedFd, StepFault> {
    clone_program().map_err(Into::into)
}

fn clone_program() -> Outcome<OwnedFd> {
    let what = || "clone this program onto a read-only mount".to_string();
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, "/proc/self/exe", flags).context(what)?;
    isolate(tree.as_fd(), Propagation::Private).context(what)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_setattr(tree.as_fd(), Recursive::No, attributes(flags, MountFlags::empty())).context(what)?;
    Ok(tree)
}
