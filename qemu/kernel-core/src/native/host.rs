//! The host's own view of files: what directories of native processes are directories of.

use crate::cred::Credentials;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux::{self, Payer, View};
use crate::memory::GroupId;
use crate::ns::NamespaceSet;
use crate::vfs::{Caller, Env, FsContext, Store, Vfs};
use bailiwick_protocol::error::Errno;
use core::cell::RefCell;

/// Namespaces, root and credentials that the kernel itself has: those of the boot image.
#[derive(Debug)]
pub struct Host {
    /// The namespaces that containers which ask for none of their own are in.
    pub namespaces: NamespaceSet,
    /// The root of the boot image.
    pub fs: FsContext,
    /// All rights in the first user namespace.
    pub credentials: Credentials,
}

/// Does file work as the host itself, for which `group` pays.
///
/// # Errors
/// `ESRCH` before the kernel has started its first process; otherwise those of the work.
pub(crate) fn with_host<H: Hw, T>(
    k: &mut Kernel<H>,
    group: GroupId,
    work: impl FnOnce(&mut Vfs, &mut Env<'_>, &Caller<'_>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let machine = linux::machine(k);
    let Kernel { mem, groups, processes, threads, vfs, linux, host, .. } = k;
    let host = host.as_ref().ok_or(Errno::ESRCH)?;
    let cell = RefCell::new(groups);
    let view = View { processes, threads, linux, groups: &cell, machine };
    let mut payer = Payer(&cell);
    let mut store = Store { memory: mem, groups: &mut payer };
    let caller = Caller {
        process: None,
        credentials: &host.credentials,
        fs: &host.fs,
        namespaces: &host.namespaces,
        group,
    };
    work(vfs, &mut Env { frames: &mut store, processes: &view }, &caller)
}
