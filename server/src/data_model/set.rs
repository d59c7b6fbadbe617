//! The namespaces of one container, together.

use super::{MountNamespace, NetworkNamespace, PidNamespace, UtsNamespace};
use crate::error::KernelError;

/// What is recorded of the namespaces of one container; the parts do not depend on each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamespaceSet {
    /// Processes.
    pub pid: PidNamespace,
    /// Root and mount points.
    pub mount: MountNamespace,
    /// Interfaces.
    pub network: NetworkNamespace,
    /// Host and domain name.
    pub uts: UtsNamespace,
}

impl NamespaceSet {
    /// Namespaces as a kernel makes them: no process, `/` as root, the loopback interface, this host name.
    ///
    /// # Errors
    /// As [`UtsNamespace::set_hostname`].
    pub fn new(hostname: &str) -> Result<Self, KernelError> {
        Ok(NamespaceSet {
            pid: PidNamespace::new(),
            mount: MountNamespace::default(),
            network: NetworkNamespace::new(),
            uts: UtsNamespace::new(hostname)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_set_is_empty_but_for_what_every_namespace_has() {
        let set = NamespaceSet::new("web").unwrap();
        assert_eq!((set.pid.process_count(), set.mount.mount_count()), (0, 0));
        assert_eq!((set.mount.root(), set.uts.hostname()), ("/", "web"));
        assert!(set.network.has_loopback());
        assert!(NamespaceSet::new(&"a".repeat(65)).is_err());
    }
}
