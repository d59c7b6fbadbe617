//! `mounts` and `mountinfo`: the mounts of a process's namespace, as seen from its root; what cannot be reached
//! from there is not shown (proc_pid_mountinfo(5)).

use super::super::mount::Mount;
use super::super::tree::Super;
use super::super::{Env, Location, MountId, Node, Vfs};
use crate::ns::ProcessId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::MountFlags;

impl Vfs {
    /// Mounts that `process` can reach, parents first, with their paths.
    fn visible_mounts(&self, env: &Env<'_>, process: ProcessId) -> Vec<(MountId, Vec<u8>)> {
        let (Some(fs), Some(set)) = (env.processes.context(process), env.processes.namespaces(process))
        else {
            return Vec::new();
        };
        self.mounts_seen_from(fs.root, set.mount)
    }

    /// Mounts of a namespace that can be reached from `root`, by number, with their paths from there.
    pub fn mounts_seen_from(
        &self,
        root: Location,
        namespace: crate::ns::NamespaceId,
    ) -> Vec<(MountId, Vec<u8>)> {
        let mut seen: Vec<(u32, MountId, Vec<u8>)> = self
            .mounts_in(namespace)
            .filter_map(|(id, mount)| {
                let at = Location { mount: id, node: mount.root };
                self.path_from(at, root).map(|path| (mount.number, id, path))
            })
            .collect();
        seen.sort_unstable_by_key(|(number, _, _)| *number);
        seen.into_iter().map(|(_, id, path)| (id, path)).collect()
    }

    pub(super) fn mounts_text(&self, env: &Env<'_>, process: ProcessId) -> Vec<u8> {
        let mut text = Vec::new();
        for (id, path) in self.visible_mounts(env, process) {
            let (Ok(mount), Some(fs)) = (self.mount_of(id), self.mount_super_of(id)) else { continue };
            escape(&mut text, mount.source.as_bytes());
            text.push(b' ');
            escape(&mut text, &path);
            let read_only = fs.read_only || mount.flags.contains(MountFlags::RDONLY);
            let options = format!(
                " {} {}{}{} 0 0\n",
                fs.kind.name(),
                if read_only { "ro" } else { "rw" },
                attributes(mount.flags),
                fs.options
            );
            text.extend_from_slice(options.as_bytes());
        }
        text
    }

    pub(super) fn mount_info(&self, env: &Env<'_>, process: ProcessId) -> Vec<u8> {
        let mut text = Vec::new();
        for (id, path) in self.visible_mounts(env, process) {
            let (Ok(mount), Some(fs)) = (self.mount_of(id), self.mount_super_of(id)) else { continue };
            let parent = mount
                .parent
                .and_then(|(parent, _)| self.mount_of(parent).ok())
                .map_or(mount.number, |parent| parent.number);
            text.extend_from_slice(format!("{} {parent} 0:{} ", mount.number, fs.device).as_bytes());
            escape(&mut text, &self.path_in_file_system(mount, fs));
            text.push(b' ');
            escape(&mut text, &path);
            let own = if mount.flags.contains(MountFlags::RDONLY) { "ro" } else { "rw" };
            let whole = if fs.read_only { "ro" } else { "rw" };
            let middle = format!(" {own}{}{} - {} ", attributes(mount.flags), sharing(mount), fs.kind.name());
            text.extend_from_slice(middle.as_bytes());
            escape(&mut text, mount.source.as_bytes());
            text.extend_from_slice(format!(" {whole}{}\n", fs.options).as_bytes());
        }
        text
    }

    fn mount_super_of(&self, id: MountId) -> Option<&Super> {
        self.super_of(self.mount_of(id).ok()?.file_system).ok()
    }

    /// The root of a mount, as a path from the root of its file system.
    fn path_in_file_system(&self, mount: &Mount, fs: &Super) -> Vec<u8> {
        let mut names = Vec::new();
        let mut node = mount.root;
        if let Node::Made(_, super::super::Made::Namespace(id)) = node {
            return self.namespace_text(id);
        }
        while node != fs.root {
            let (Some(name), Some(parent)) = (self.name_of(node), self.parent_node(node)) else { break };
            names.push(name);
            node = parent;
        }
        if names.is_empty() {
            return b"/".to_vec();
        }
        names.iter().rev().flat_map(|name| [b"/".as_slice(), name].concat()).collect()
    }
}

fn attributes(flags: MountFlags) -> String {
    const NAMES: [(MountFlags, &str); 7] = [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
        (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
    ];
    NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect()
}

fn sharing(mount: &Mount) -> String {
    let mut text = String::new();
    if let Some(group) = mount.sharing.group {
        text.push_str(&format!(" shared:{group}"));
    }
    if let Some(master) = mount.sharing.master {
        text.push_str(&format!(" master:{master}"));
    }
    if mount.sharing.unbindable {
        text.push_str(" unbindable");
    }
    text
}

/// Space, tab, newline, backslash and hash as octal, so that fields stay fields.
fn escape(text: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            _ => text.push(*byte),
        }
    }
}
