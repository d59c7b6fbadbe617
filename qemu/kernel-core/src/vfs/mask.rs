//! Masks: what a path leads to is hidden behind something empty.

use super::mount::Copy;
use super::tree::{FsKind, Kind};
use super::{Caller, Env, Location, NewFileSystem, Vfs};
use bailiwick_kernel_glue::plan::MountFlags;
use bailiwick_protocol::error::Errno;

impl Vfs {
    /// Hides what is at `at`: a directory behind an empty one, anything else behind a null device of the kernel's own
    /// making, so that no file of the container has to be trusted to be one. Both are read-only.
    ///
    /// # Errors
    /// `EPERM`; `EINVAL` for a place outside the namespace; `ENOSPC`, `ENOMEM`.
    pub fn mask(&mut self, env: &mut Env<'_>, caller: &Caller<'_>, at: Location) -> Result<Location, Errno> {
        self.may_mount(caller)?;
        self.is_ours(caller, at.mount)?;
        let harmless = MountFlags::NOSUID | MountFlags::NOEXEC;
        let new =
            |flags, data| NewFileSystem { kind: FsKind::Tmpfs, source: "tmpfs", flags, data, group: None };
        if self.is_directory(at.node) {
            let flags = harmless | MountFlags::NODEV | MountFlags::RDONLY;
            let id =
                self.make_file_system(env, caller.namespaces, new(flags, "size=4k,nr_inodes=1,mode=755"))?;
            return self.attach_or_end(env.frames, id, at);
        }
        let id =
            self.make_file_system(env, caller.namespaces, new(harmless, "size=4k,nr_inodes=2,mode=755"))?;
        let root = self.mount_root(id)?;
        let null = Kind::Character { major: 1, minor: 3 };
        let copied = self.make(env, caller, root, b"null", 0o666, null).and_then(|made| {
            let copy = self.copy_mount(env.frames, id, made.node, Copy::Bind)?;
            self.mount_mut(copy)?.flags |= MountFlags::RDONLY;
            Ok(copy)
        });
        // The file system lives on by the copy of its mount, which shows the device alone.
        self.dissolve(env.frames, id);
        self.attach_or_end(env.frames, copied?, at)
    }
}
