//! Writing to proc: names of the machine, id maps, and what belongs to a process.

use super::super::{Caller, Env, SuperId, Vfs};
use super::{FILES, ProcFile, TOP, items};
use crate::cred::Capability;
use crate::ns::user::parse_map;
use crate::ns::{Body, IdKind, ProcessId};
use bailiwick_protocol::error::Errno;

/// Something a process's own record must take over: fetched with `Vfs::take_proc_write` after a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcWrite {
    /// A new name (`comm`).
    Name(ProcessId, heapless::Vec<u8, 15>),
    /// A new out-of-memory score adjustment, -1,000 to 1,000.
    OomScore(ProcessId, i16),
}

/// Longest write to a file of proc.
const WRITE_MAX: usize = 4096;

pub(crate) fn write(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    caller: &Caller<'_>,
    _fs: SuperId,
    file: ProcFile,
    bytes: &[u8],
) -> Result<usize, Errno> {
    if bytes.len() > WRITE_MAX {
        return Err(Errno::EINVAL);
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match file {
        ProcFile::Top(at) => {
            let uts = caller.namespaces.uts;
            let owner = vfs.namespaces.owner(uts);
            if !vfs.namespaces.capable(caller.credentials, owner, Capability::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            match items::item(TOP, at).0 {
                "hostname" => vfs.namespaces.set_host(uts, text)?,
                "domainname" => vfs.namespaces.set_domain(uts, text)?,
                _ => return Err(Errno::EACCES),
            }
        }
        ProcFile::File(process, at) => {
            write_process(vfs, env, caller, process, items::item(FILES, at).0, text)?
        }
        _ => return Err(Errno::EACCES),
    }
    Ok(bytes.len())
}

fn write_process(
    vfs: &mut Vfs,
    env: &mut Env<'_>,
    caller: &Caller<'_>,
    process: ProcessId,
    name: &str,
    text: &[u8],
) -> Result<(), Errno> {
    let user = env.processes.credentials(process).ok_or(Errno::ENOENT)?.user_namespace;
    match name {
        "uid_map" => vfs.namespaces.write_map(user, IdKind::User, parse_map(text)?, caller.credentials),
        "gid_map" => vfs.namespaces.write_map(user, IdKind::Group, parse_map(text)?, caller.credentials),
        "setgroups" => deny_groups(vfs, user, caller, text),
        "comm" => {
            vfs.may_inspect(env, caller, process)?;
            let name =
                heapless::Vec::from_slice(text.get(..15).unwrap_or(text)).map_err(|_| Errno::EINVAL)?;
            later(vfs, ProcWrite::Name(process, name))
        }
        "oom_score_adj" => {
            vfs.may_inspect(env, caller, process)?;
            let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
            let score: i16 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
            if !(-1000..=1000).contains(&score) {
                return Err(Errno::EINVAL);
            }
            let old = env.processes.process(process).ok_or(Errno::ENOENT)?.oom_score;
            let first = vfs.namespaces.first_user();
            if score < old && !vfs.namespaces.capable(caller.credentials, first, Capability::SYS_RESOURCE) {
                return Err(Errno::EACCES);
            }
            later(vfs, ProcWrite::OomScore(process, score))
        }
        _ => Err(Errno::EACCES),
    }
}

fn later(vfs: &mut Vfs, write: ProcWrite) -> Result<(), Errno> {
    if vfs.proc_writes.len() >= 64 {
        return Err(Errno::EAGAIN);
    }
    vfs.proc_writes.push_back(write);
    Ok(())
}

/// "deny" turns setgroups(2) off for good, as long as the group map is not written (user_namespaces(7)).
fn deny_groups(
    vfs: &mut Vfs,
    user: crate::ns::NamespaceId,
    caller: &Caller<'_>,
    text: &[u8],
) -> Result<(), Errno> {
    if !vfs.namespaces.capable(caller.credentials, user, Capability::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let Some(Body::User(user)) = vfs.namespaces.body_mut(user) else { return Err(Errno::EINVAL) };
    match text {
        b"deny" if user.gids.is_empty() || user.setgroups_denied => {
            user.setgroups_denied = true;
            Ok(())
        }
        b"allow" if !user.setgroups_denied => Ok(()),
        b"deny" | b"allow" => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

impl Vfs {
    /// The next thing written to proc that the process table has to take over.
    pub fn take_proc_write(&mut self) -> Option<ProcWrite> {
        self.proc_writes.pop_front()
    }
}
