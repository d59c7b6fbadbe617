//! The host's own view of files: what directories of native processes are directories of.

use crate::cred::Credentials;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux::{self, Payer, View};
use crate::memory::GroupId;
use crate::vfs::{Caller, Env, FsContext, Store, Vfs};
use bailiwick_protocol::error::Errno;
use core::cell::RefCell;

/// Root and credentials that the kernel itself has, in the machine's own namespaces.
#[derive(Debug)]
pub struct Host {
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
    k.on_behalf_of(group, |k| {
        let facts = linux::machine(k);
        let Kernel { mem, groups, processes, threads, vfs, linux, host, machine: namespaces, .. } = k;
        let host = host.as_ref().ok_or(Errno::ESRCH)?;
        let cell = RefCell::new(groups);
        let view = View { processes, threads, linux, groups: &cell, machine: facts };
        let mut payer = Payer(&cell);
        let mut store = Store { memory: mem, groups: &mut payer };
        let caller =
            Caller { process: None, credentials: &host.credentials, fs: &host.fs, namespaces, group };
        work(vfs, &mut Env { frames: &mut store, processes: &view }, &caller)
    })
}
