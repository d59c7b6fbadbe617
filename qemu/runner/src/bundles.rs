//! The default bundles: Debian's static busybox, and the configurations of qemu/bundles.

use crate::tree::{Inode, Kind, Node, Tree};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where Debian's busybox-static puts its program.
const BUSYBOX: &str = "/bin/busybox";
/// Directories of a root file system, with their permissions.
const DIRECTORIES: [(&str, u32); 17] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];
const FILES: [(&str, &str); 3] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/profile", "export PS1='\\h:\\w\\$ '\n"),
];

/// Names of the default bundles whose files are below `sources` (qemu/bundles): one for each patch.
///
/// # Errors
/// The directory cannot be read.
pub fn names(sources: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(sources).with_context(|| format!("cannot read {}", sources.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name != "config")
        .collect();
    names.sort();
    Ok(names)
}

/// Busybox, and the names it answers to, as paths without a leading slash.
#[derive(Debug)]
pub struct Busybox {
    bytes: Vec<u8>,
    applets: Vec<String>,
    packed: Option<Inode>,
}

impl Busybox {
    /// Reads the installed one.
    ///
    /// # Errors
    /// It is not installed, or needs a dynamic loader.
    pub fn installed() -> Result<Busybox> {
        let bytes = fs::read(BUSYBOX)
            .with_context(|| format!("cannot read {BUSYBOX}: install busybox-static (./qemu/run does)"))?;
        if bytes.windows(12).any(|window| window == b"/ld-linux-x8") {
            bail!("{BUSYBOX} is not static: install busybox-static in place of busybox");
        }
        let list = Command::new(BUSYBOX).arg("--list-full").output()?;
        let applets = String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect();
        Ok(Busybox { bytes, applets, packed: None })
    }

    /// Adds a root file system under `name`. The program itself is in the tree once: all the default bundles have
    /// a read-only root or do not write to it, so that they can share the file.
    fn add(&mut self, tree: &mut Tree, name: &str) {
        for (directory, permissions) in DIRECTORIES {
            tree.add(format!("{name}/{directory}"), Node::new(permissions, Kind::Directory));
        }
        for (file, text) in FILES {
            tree.add(format!("{name}/{file}"), Node::new(0o644, Kind::File(text.into())));
        }
        let program = format!("{name}/bin/busybox");
        match self.packed {
            Some(inode) => tree.link(program, inode),
            None => self.packed = Some(tree.add(program, Node::new(0o755, Kind::File(self.bytes.clone())))),
        }
        for applet in self.applets.iter().filter(|applet| *applet != "bin/busybox") {
            tree.add(format!("{name}/{applet}"), Node::new(0o777, Kind::Link(b"/bin/busybox".to_vec())));
        }
    }
}

/// Adds the default bundle `name` under `/bundles`.
///
/// # Errors
/// Its files under `sources` cannot be read or are not JSON.
pub fn add(tree: &mut Tree, busybox: &mut Busybox, sources: &Path, name: &str) -> Result<()> {
    let mut config = json(&sources.join("config.json"))?;
    merge(&mut config, json(&sources.join(format!("{name}.json")))?);
    let at = format!("bundles/{name}");
    tree.directories(&format!("{at}/rootfs"));
    tree.add(format!("{at}/config.json"), Node::new(0o644, Kind::File(serde_json::to_vec_pretty(&config)?)));
    busybox.add(tree, &format!("{at}/rootfs"));
    Ok(())
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// JSON merge patch (RFC 7396): objects are merged, null removes, everything else replaces.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_merges_objects_removes_nulls_and_replaces_the_rest() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"});
        merge(&mut value, json!({"a": {"b": null, "f": {"g": 3}}, "d": [3], "e": {"h": 4}}));
        assert_eq!(value, json!({"a": {"c": 2, "f": {"g": 3}}, "d": [3], "e": {"h": 4}}));
    }
}
