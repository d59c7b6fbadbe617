//! Directory trees in memory: what a bundle is to the model.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// Links followed in one path before it is called a loop, as path_resolution(7) has it.
const LINKS_MAX: u32 = 40;
/// What a file must begin with to be a program to the model; anything else but a script is no program.
pub(super) const PROGRAM: &[u8] = b"\x7fMODEL";
/// The commands a bundle made by [`Directory::bundle`] has in `/bin`.
pub const COMMANDS: [&str; 19] = [
    "busybox",
    "cat",
    "domainname",
    "echo",
    "env",
    "false",
    "head",
    "hog",
    "hostname",
    "id",
    "kill",
    "pwd",
    "readlink",
    "sh",
    "sleep",
    "spin",
    "true",
    "uname",
    "yes",
];

/// What stands at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Node {
    Directory,
    File { bytes: Vec<u8>, mode: Mode },
    Link(String),
}

/// Whether a file may be executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// `rw-r--r--`
    Plain,
    /// `rwxr-xr-x`
    Executable,
}

/// What a path does that leads above the directory it started in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Above {
    /// It fails with `EXDEV` (`RESOLVE_BENEATH` of openat2(2)).
    Refuse,
    /// It stays at the top, which is what a process sees whose root that directory is.
    Stay,
}

/// A handle on a directory tree in memory. Cloning gives another handle on the same tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directory {
    /// Everything below, by its path without a leading slash. Parents are always present.
    nodes: Arc<BTreeMap<String, Node>>,
}

impl Directory {
    /// An empty directory.
    pub fn new() -> Self {
        Directory::default()
    }

    /// A bundle: this `config.json`, and a root file system with every one of [`COMMANDS`] in `/bin`.
    pub fn bundle(config: impl Into<Vec<u8>>) -> Self {
        let mut bundle = Directory::new().file("config.json", config);
        for name in ["dev", "etc", "proc", "root", "sys", "tmp", "usr/bin", "var"] {
            bundle = bundle.directory(&alloc::format!("rootfs/{name}"));
        }
        for name in COMMANDS {
            bundle = bundle.program(&alloc::format!("rootfs/bin/{name}"), PROGRAM);
        }
        bundle.file("rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    }

    /// With an ordinary file at `path`, and the directories it needs.
    #[must_use]
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.with(path, Node::File { bytes: bytes.into(), mode: Mode::Plain })
    }

    /// With an executable file at `path`. `bytes` are a script (`#!/bin/sh`) or whatever a program begins with.
    #[must_use]
    pub fn program(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.with(path, Node::File { bytes: bytes.into(), mode: Mode::Executable })
    }

    /// With an empty directory at `path`.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.with(path, Node::Directory)
    }

    /// With a symbolic link at `path`.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.with(path, Node::Link(target.to_string()))
    }

    /// Without what is at `path` and below it.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let below = alloc::format!("{path}/");
        Arc::make_mut(&mut self.nodes).retain(|name, _| name != path && !name.starts_with(&below));
        self
    }

    fn with(mut self, path: &str, node: Node) -> Self {
        let path = path.trim_matches('/');
        let nodes = Arc::make_mut(&mut self.nodes);
        for (end, _) in path.match_indices('/') {
            nodes.entry(path.get(..end).unwrap_or_default().to_string()).or_insert(Node::Directory);
        }
        nodes.insert(path.to_string(), node);
        self
    }

    /// The node at a path that [`Directory::resolve`] gave.
    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        if path.is_empty() { Some(&Node::Directory) } else { self.nodes.get(path) }
    }

    /// Follows `path` from the directory `top` of this tree, through every link, to something that exists.
    ///
    /// Absolute links start at `top` again, for [`Above::Stay`]; for [`Above::Refuse`] they lead out.
    pub(super) fn resolve(&self, top: &str, path: &str, above: Above) -> Result<String, Errno> {
        if path.contains('\0') {
            return Err(Errno::EINVAL);
        }
        let mut at = String::with_capacity(top.len() + path.len() + 1);
        at.push_str(top);
        let mut todo: Vec<&str> = path.split('/').rev().collect();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match name {
                "" | "." => {}
                ".." if at.len() == top.len() => {
                    if above == Above::Refuse {
                        return Err(Errno::EXDEV);
                    }
                }
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                _ => {
                    let directory = at.len();
                    if !at.is_empty() {
                        at.push('/');
                    }
                    at.push_str(name);
                    match self.node(&at) {
                        None => {
                            at.truncate(directory);
                            let inside = matches!(self.node(&at), Some(Node::Directory));
                            return Err(if inside { Errno::ENOENT } else { Errno::ENOTDIR });
                        }
                        Some(Node::Link(target)) => {
                            links += 1;
                            if links > LINKS_MAX {
                                return Err(Errno::ELOOP);
                            }
                            at.truncate(directory);
                            if target.starts_with('/') {
                                if above == Above::Refuse {
                                    return Err(Errno::EXDEV);
                                }
                                at.truncate(top.len());
                            }
                            todo.extend(target.split('/').rev());
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_never_lead_out() {
        let tree = Directory::new()
            .file("rootfs/bin/busybox", "x")
            .link("rootfs/bin/sh", "busybox")
            .link("rootfs/absolute", "/bin/sh")
            .link("rootfs/up", "../../../bin/sh")
            .link("loop", "loop")
            .link("out", "../etc");
        let inside = |path| tree.resolve("rootfs", path, Above::Stay);
        assert_eq!(inside("/absolute").as_deref(), Ok("rootfs/bin/busybox"));
        assert_eq!(inside("up").as_deref(), Ok("rootfs/bin/busybox"));
        assert_eq!(inside("bin/busybox/x"), Err(Errno::ENOTDIR));
        let beneath = |path| tree.resolve("", path, Above::Refuse);
        assert_eq!(beneath("rootfs/bin/sh").as_deref(), Ok("rootfs/bin/busybox"));
        assert_eq!(beneath("rootfs/absolute"), Err(Errno::EXDEV));
        assert_eq!(beneath("out"), Err(Errno::EXDEV));
        assert_eq!(beneath("../x"), Err(Errno::EXDEV));
        assert_eq!(beneath("loop"), Err(Errno::ELOOP));
    }
}
