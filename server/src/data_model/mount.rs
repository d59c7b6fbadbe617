//! Root and mount points of a container, and where a path inside it lies (mount_namespaces(7)).

use crate::error::{FsError, KernelError};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Most mount points that one namespace records.
pub const MOUNTS_MAX: usize = 1024;

/// Longest path, in bytes (limits.h, `PATH_MAX`, which counts the NUL).
pub const PATH_MAX: usize = 4095;

/// The mounts of one namespace, each by its path inside, below a root that is a path outside.
///
/// Paths are kept in one form: absolute, without `.`, `..` or doubled slashes. Only text is looked at, so symbolic
/// links are not followed; opening a file safely is the kernel's business.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountNamespace {
    root: String,
    mounts: BTreeMap<String, String>,
}

impl MountNamespace {
    /// A namespace without mounts, whose root is this path outside.
    ///
    /// # Errors
    /// As [`MountNamespace::set_root`].
    pub fn new(root: &str) -> Result<Self, KernelError> {
        let mut namespace = MountNamespace::default();
        namespace.set_root(root)?;
        Ok(namespace)
    }

    /// Makes this path outside the root. Mount points are paths inside and go along.
    ///
    /// # Errors
    /// [`FsError::InvalidPath`] unless it is absolute, without NUL and at most [`PATH_MAX`] bytes long.
    pub fn set_root(&mut self, path: &str) -> Result<(), KernelError> {
        if !path.starts_with('/') {
            return Err(FsError::InvalidPath.into());
        }
        self.root = tidy(path)?;
        Ok(())
    }

    /// The root's path outside.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Records that `source` is mounted at the path `mountpoint` inside. A source is a path or a word (`tmpfs`).
    ///
    /// # Errors
    /// [`FsError::InvalidPath`] if one of them is empty, holds NUL or is longer than [`PATH_MAX`] bytes;
    /// [`FsError::AlreadyMounted`] if the mount point is taken; [`KernelError::ResourceExhausted`] with
    /// [`MOUNTS_MAX`] of them.
    pub fn add_mount(&mut self, mountpoint: &str, source: &str) -> Result<(), KernelError> {
        let point = tidy(mountpoint)?;
        check(source)?;
        if self.mounts.contains_key(&point) {
            return Err(FsError::AlreadyMounted.into());
        }
        if self.mounts.len() >= MOUNTS_MAX {
            return Err(KernelError::ResourceExhausted { resource: "mounts of a namespace".into() });
        }
        self.mounts.insert(point, String::from(source));
        Ok(())
    }

    /// Forgets the mount at this path inside, and gives its source.
    ///
    /// # Errors
    /// [`FsError::InvalidPath`] as for [`MountNamespace::add_mount`]; [`FsError::NotMounted`] if there is none.
    pub fn remove_mount(&mut self, mountpoint: &str) -> Result<String, KernelError> {
        self.mounts.remove(&tidy(mountpoint)?).ok_or(FsError::NotMounted.into())
    }

    /// How many mounts are recorded; the root is not one of them.
    pub fn mount_count(&self) -> usize {
        self.mounts.len()
    }

    /// The path outside at which a path inside lies: the root, or below it, whatever `..` it holds. One without a
    /// slash at its head counts from the root.
    ///
    /// # Errors
    /// [`FsError::InvalidPath`] if it is empty, holds NUL, or if it or the answer is longer than [`PATH_MAX`] bytes.
    pub fn resolve_path(&self, path: &str) -> Result<String, KernelError> {
        let inside = tidy(path)?;
        let mut outside = String::from(self.root.trim_end_matches('/'));
        if inside != "/" || outside.is_empty() {
            outside.push_str(&inside);
        }
        check(&outside)?;
        Ok(outside)
    }
}

impl Default for MountNamespace {
    /// Without mounts, `/` as root.
    fn default() -> Self {
        MountNamespace { root: String::from("/"), mounts: BTreeMap::new() }
    }
}

fn check(path: &str) -> Result<(), KernelError> {
    if path.is_empty() || path.len() > PATH_MAX || path.contains('\0') {
        return Err(FsError::InvalidPath.into());
    }
    Ok(())
}

/// The path from the root on, in its one form. `..` at the root is the root (path_resolution(7)).
fn tidy(path: &str) -> Result<String, KernelError> {
    check(path)?;
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let mut tidy = String::from("/");
    tidy.push_str(&names.join("/"));
    check(&tidy)?;
    Ok(tidy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn no_path_of_up_to_six_parts_leaves_the_root() {
        let parts = ["..", ".", "", "a", "...", "..b"];
        for root in ["/", "/srv/web", "/srv/web/"] {
            let namespace = MountNamespace::new(root).unwrap();
            let prefix = namespace.root().trim_end_matches('/');
            for code in 0..parts.len().pow(6) {
                let chosen = (0..6u32).map(|place| parts[code / parts.len().pow(place) % parts.len()]);
                let path = format!("/{}", chosen.collect::<Vec<_>>().join("/"));
                let outside = namespace.resolve_path(&path).unwrap();
                let rest = outside.strip_prefix(prefix).unwrap();
                assert!(rest.is_empty() || rest.starts_with('/'), "{path} is {outside}");
                assert!(!outside.split('/').any(|name| matches!(name, "." | "..")), "{path} is {outside}");
            }
        }
    }

    #[test]
    fn dots_resolve_as_in_a_tree_without_links() {
        let namespace = MountNamespace::new("/srv/./x/../web").unwrap();
        for (path, outside) in [
            ("/bin/sh", "/srv/web/bin/sh"),
            ("bin//sh/.", "/srv/web/bin/sh"),
            ("/a/b/../../..", "/srv/web"),
            ("/../../etc/passwd", "/srv/web/etc/passwd"),
        ] {
            assert_eq!(namespace.resolve_path(path).as_deref(), Ok(outside));
        }
        assert_eq!(MountNamespace::default().resolve_path("..").as_deref(), Ok("/"));
        for bad in ["", "a\0b", &"a".repeat(PATH_MAX + 1), &"a".repeat(PATH_MAX - 1)] {
            assert_eq!(namespace.resolve_path(bad), Err(KernelError::FsError(FsError::InvalidPath)));
        }
    }

    #[test]
    fn a_mount_point_is_one_however_it_is_written() {
        let mut namespace = MountNamespace::default();
        namespace.add_mount("/proc", "proc").unwrap();
        assert_eq!(namespace.add_mount("//x/../proc/", "tmpfs"), Err(FsError::AlreadyMounted.into()));
        assert_eq!(namespace.mount_count(), 1);
        assert_eq!(namespace.remove_mount("proc").as_deref(), Ok("proc"));
        assert_eq!(namespace.remove_mount("/proc"), Err(FsError::NotMounted.into()));
    }

    #[test]
    fn a_root_is_absolute_and_a_refused_one_changes_nothing() {
        let mut namespace = MountNamespace::new("/srv").unwrap();
        for bad in ["", "srv", "/a\0"] {
            assert!(namespace.set_root(bad).is_err() && MountNamespace::new(bad).is_err());
        }
        assert_eq!(namespace.root(), "/srv");
    }

    #[test]
    fn a_full_namespace_says_so() {
        let mut namespace = MountNamespace::default();
        (0..MOUNTS_MAX).for_each(|n| namespace.add_mount(&format!("/{n}"), "tmpfs").unwrap());
        assert!(matches!(namespace.add_mount("/x", "tmpfs"), Err(KernelError::ResourceExhausted { .. })));
        assert_eq!(namespace.mount_count(), MOUNTS_MAX);
    }
}
