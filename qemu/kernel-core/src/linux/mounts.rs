//! Mounts and namespaces: mount(2), umount2(2), pivot_root(2), unshare(2), setns(2).

use super::birth::namespaces_in;
use super::call::{Call, Outcome};
use super::descriptor::Object;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::ns::Namespaces;
use crate::ns::{NamespaceId, ProcessId, Unshare};
use crate::process::Process;
use crate::vfs::{From, Last, Location, NewFileSystem, Pivoted, Store, Unmount, Vfs};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{MountFlags, Namespace, Propagation, Reach};
use bailiwick_protocol::error::Errno;

const MS_REMOUNT: u64 = 0x20;
const MS_BIND: u64 = 0x1000;
const MS_MOVE: u64 = 0x2000;
const MS_REC: u64 = 0x4000;
const MS_PROPAGATION: u64 = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED;
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;
const MNT_FORCE: u32 = 1;
const MNT_DETACH: u32 = 2;
const UMOUNT_NOFOLLOW: u32 = 8;

/// Every process of a mount namespace whose root or working directory was the old root follows to the new one.
pub(crate) fn follow_pivot<H: Hw>(k: &mut Kernel<H>, namespace: NamespaceId, done: Pivoted) {
    let Kernel { vfs, mem, groups, processes, .. } = k;
    let is_inside = |process: &Process| {
        process.linux().and_then(|linux| linux.namespaces.as_ref()).is_some_and(|set| set.mount == namespace)
    };
    let inside: Vec<ProcessId> =
        processes.iter().filter(|(_, process)| is_inside(process)).map(|(id, _)| id).collect();
    for process in inside {
        let linux = processes.get_mut(process).and_then(|process| process.linux_mut());
        if let Some(fs) = linux.and_then(|linux| linux.fs.as_mut()) {
            vfs.follow_pivot(&mut Store { memory: mem, groups }, fs, done);
        }
    }
}

impl<H: Hw> Call<'_, H> {
    fn text(&mut self, at: usize) -> Result<String, Errno> {
        if self.arg(at) == 0 {
            return Ok(String::new());
        }
        let text = self.read_string(self.arg(at), 4096)?;
        String::from_utf8(text).map_err(|_| Errno::EINVAL)
    }
    fn located(&mut self, path: &[u8], last: Last) -> Result<Location, Errno> {
        self.files(|vfs, env, caller| vfs.lookup(env, caller, From::CWD, path, last))
    }

    /// mount(2)
    pub(crate) fn mount(&mut self) -> Outcome {
        let target = self.path(1)?;
        let kind = self.text(2)?;
        let mut flags = self.arg(3);
        // The old magic number in the upper half.
        if flags >> 16 == 0xC0ED {
            flags &= 0xffff;
        }
        let at = self.located(&target, Last::Follow)?;
        self.files(|vfs, _, caller| vfs.may_mount(caller))?;
        let reach = if flags & MS_REC != 0 { Reach::Tree } else { Reach::One };
        let attributes = MountFlags::from_bits_truncate(flags & !(MS_REC | MS_BIND | MS_MOVE | MS_REMOUNT));
        if flags & MS_REMOUNT != 0 {
            let data = self.text(4)?;
            self.files(|vfs, env, caller| {
                if flags & MS_BIND != 0 {
                    vfs.remount_bind(caller, at, attributes)
                } else {
                    vfs.remount(env, caller, at, attributes, &data)
                }
            })?;
        } else if flags & MS_BIND != 0 {
            let source = self.path(0)?;
            let source = self.located(&source, Last::Follow)?;
            self.files(|vfs, env, caller| vfs.bind(env, caller, source, at, reach))?;
        } else if flags & MS_PROPAGATION != 0 {
            let to = match flags & MS_PROPAGATION {
                MS_UNBINDABLE => Propagation::Unbindable,
                MS_PRIVATE => Propagation::Private,
                MS_SLAVE => Propagation::Slave,
                MS_SHARED => Propagation::Shared,
                _ => return Err(Errno::EINVAL.into()),
            };
            self.files(|vfs, _, caller| vfs.change_propagation(caller, at, to, reach))?;
        } else if flags & MS_MOVE != 0 {
            let source = self.path(0)?;
            let source = self.located(&source, Last::Follow)?;
            self.files(|vfs, env, caller| vfs.move_mount(env, caller, source, at))?;
        } else {
            let (source, data) = (self.text(0)?, self.text(4)?);
            let kind = Vfs::file_system_type(&kind)?;
            self.files(|vfs, env, caller| {
                let new =
                    NewFileSystem { kind, source: &source, flags: attributes, data: &data, group: None };
                vfs.mount_new(env, caller, new, at)
            })?;
        }
        Ok(0)
    }

    /// umount2(2)
    pub(crate) fn umount2(&mut self) -> Outcome {
        let path = self.path(0)?;
        let flags = self.word(1);
        if flags & !(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.files(|vfs, _, caller| vfs.may_mount(caller))?;
        let last = if flags & UMOUNT_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow };
        let at = self.located(&path, last)?;
        let how = if flags & MNT_DETACH != 0 { Unmount::Detach } else { Unmount::Idle };
        self.files(|vfs, env, caller| vfs.unmount(env, caller, at, how))?;
        Ok(0)
    }

    /// pivot_root(2). Every process whose root or working directory was the old root follows.
    pub(crate) fn pivot_root(&mut self) -> Outcome {
        let (new, old) = (self.path(0)?, self.path(1)?);
        let (new, old) = (self.located(&new, Last::Follow)?, self.located(&old, Last::Follow)?);
        let done = self.files(|vfs, env, caller| {
            vfs.pivot_root(env, caller, new, old).map_err(|refusal| refusal.errno())
        })?;
        let namespace = self.me()?.namespaces.as_ref().ok_or(Errno::ESRCH)?.mount;
        follow_pivot(self.k, namespace, done);
        Ok(0)
    }

    /// unshare(2): namespaces. Files, working directory and the like are never shared between processes here.
    pub(crate) fn unshare(&mut self) -> Outcome {
        const IDLE: u64 = 0x200 | 0x400 | 0x4_0000;
        let flags = self.arg(0);
        let kinds = namespaces_in(flags).map(Namespace::clone_flag).fold(0, |all, flag| all | flag);
        if flags & !(kinds | IDLE) != 0 {
            return Err(Errno::EINVAL.into());
        }
        for kind in namespaces_in(flags) {
            self.unshare_one(kind)?;
        }
        Ok(0)
    }
    fn unshare_one(&mut self, kind: Namespace) -> Result<(), Errno> {
        let group = self.k.processes.get(self.process).map(|process| process.group).ok_or(Errno::ESRCH)?;
        let crate::kernel::Kernel { vfs, mem, groups, processes, .. } = &mut *self.k;
        let me =
            processes.get_mut(self.process).and_then(|process| process.linux_mut()).ok_or(Errno::ESRCH)?;
        let who = me.credentials.clone();
        let set = me.namespaces.as_mut().ok_or(Errno::ESRCH)?;
        if kind == Namespace::Mount {
            let fs = me.fs.as_mut().ok_or(Errno::ESRCH)?;
            return vfs.unshare_mounts(&mut Store { memory: mem, groups }, set, fs, &who);
        }
        let charged = mem.charge(Namespaces::PRICE)?;
        vfs.namespaces.unshare(set, kind, Unshare { credentials: &who, group }, charged)?;
        if kind == Namespace::User {
            me.credentials = vfs.namespaces.credentials_inside(&who, set.user);
        }
        Ok(())
    }

    /// setns(2), by a descriptor of `/proc/PID/ns`.
    pub(crate) fn setns(&mut self) -> Outcome {
        let Object::Namespace(_, target) = self.object(self.int(0))?.0 else {
            return Err(Errno::EINVAL.into());
        };
        let kind = self.k.vfs.namespaces.kind(target).ok_or(Errno::EINVAL)?;
        if self.arg(1) != 0 && self.arg(1) != kind.clone_flag() {
            return Err(Errno::EINVAL.into());
        }
        self.join(kind, target)?;
        Ok(0)
    }
    fn join(&mut self, kind: Namespace, target: NamespaceId) -> Result<(), Errno> {
        let crate::kernel::Kernel { vfs, mem, groups, processes, .. } = &mut *self.k;
        let me =
            processes.get_mut(self.process).and_then(|process| process.linux_mut()).ok_or(Errno::ESRCH)?;
        let who = me.credentials.clone();
        let set = me.namespaces.as_mut().ok_or(Errno::ESRCH)?;
        match kind {
            Namespace::Mount => {
                let fs = me.fs.as_mut().ok_or(Errno::ESRCH)?;
                vfs.join_mounts(&mut Store { memory: mem, groups }, set, fs, &who, target)
            }
            _ => {
                vfs.namespaces.join(set, &who, target)?;
                if kind == Namespace::User {
                    me.credentials = vfs.namespaces.credentials_inside(&who, target);
                }
                Ok(())
            }
        }
    }
}
