//! Interfaces of a container (network_namespaces(7), veth(4)).

use crate::error::KernelError;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::net::Ipv4Addr;

/// Most interfaces that one namespace records beside the loopback interface.
pub const INTERFACES_MAX: usize = 64;

/// Longest name of an interface, in bytes (linux/if.h, `IFNAMSIZ`, which counts the NUL).
pub const INTERFACE_NAME_MAX: usize = 15;

/// The loopback interface, which every namespace has.
const LOOPBACK: &str = "lo";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Down,
    Up,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Interface {
    peer: String,
    link: Link,
    address: Option<Ipv4Addr>,
}

/// The interfaces of one network namespace. It has its loopback interface from the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NetworkNamespace {
    interfaces: BTreeMap<String, Interface>,
}

impl NetworkNamespace {
    /// A namespace with nothing but its loopback interface.
    pub const fn new() -> Self {
        NetworkNamespace { interfaces: BTreeMap::new() }
    }

    /// Records a pair of interfaces: `name` inside, `peer` outside. It is down and has no address.
    ///
    /// # Errors
    /// [`KernelError::InvalidArgument`] unless both are names of 1 to [`INTERFACE_NAME_MAX`] bytes without slash,
    /// colon, space or control character, and not `.` or `..`; [`KernelError::AlreadyExists`] if `name` is taken,
    /// `lo` included; [`KernelError::ResourceExhausted`] with [`INTERFACES_MAX`] of them.
    pub fn create_veth(&mut self, name: &str, peer: &str) -> Result<(), KernelError> {
        check(name)?;
        check(peer)?;
        if name == LOOPBACK || self.interfaces.contains_key(name) {
            return Err(KernelError::AlreadyExists {
                resource: "interface".into(),
                id: name.to_string().into(),
            });
        }
        if self.interfaces.len() >= INTERFACES_MAX {
            return Err(KernelError::ResourceExhausted { resource: "interfaces of a namespace".into() });
        }
        let interface = Interface { peer: peer.to_string(), link: Link::Down, address: None };
        self.interfaces.insert(name.to_string(), interface);
        Ok(())
    }

    /// Records that an interface is up; again is no error.
    ///
    /// # Errors
    /// [`KernelError::NotFound`] if no pair has this name inside.
    pub fn interface_up(&mut self, name: &str) -> Result<(), KernelError> {
        self.get_mut(name)?.link = Link::Up;
        Ok(())
    }

    /// Records the address of an interface, in place of the one it had. A number is taken in host byte order.
    ///
    /// # Errors
    /// [`KernelError::NotFound`] if no pair has this name inside.
    pub fn assign_ipv4(&mut self, name: &str, address: impl Into<Ipv4Addr>) -> Result<(), KernelError> {
        self.get_mut(name)?.address = Some(address.into());
        Ok(())
    }

    /// How many interfaces are recorded beside the loopback interface.
    pub fn interface_count(&self) -> usize {
        self.interfaces.len()
    }

    /// Whether it has a loopback interface: always, for a kernel makes none without.
    pub const fn has_loopback(&self) -> bool {
        true
    }

    /// Whether an interface is recorded as up; none if there is no such interface.
    pub fn is_up(&self, name: &str) -> Option<bool> {
        self.interfaces.get(name).map(|interface| interface.link == Link::Up)
    }

    /// The address of an interface, if it has one.
    pub fn ipv4(&self, name: &str) -> Option<Ipv4Addr> {
        self.interfaces.get(name)?.address
    }

    /// The name outside of the other end of a pair.
    pub fn peer(&self, name: &str) -> Option<&str> {
        self.interfaces.get(name).map(|interface| interface.peer.as_str())
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut Interface, KernelError> {
        let missing = || KernelError::NotFound { resource: "interface".into(), id: name.to_string().into() };
        self.interfaces.get_mut(name).ok_or_else(missing)
    }
}

fn check(name: &str) -> Result<(), KernelError> {
    let bad = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    let fits = (1..=INTERFACE_NAME_MAX).contains(&name.len());
    if fits && !name.contains(bad) && !matches!(name, "." | "..") {
        return Ok(());
    }
    let value = "must have 1 to 15 bytes without slash, colon or space, and not be . or ..".into();
    Err(KernelError::InvalidArgument { name: "interface".into(), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_pair_begins_down_and_without_address() {
        let mut network = NetworkNamespace::new();
        network.create_veth("eth0", "veth7").unwrap();
        assert_eq!((network.is_up("eth0"), network.ipv4("eth0")), (Some(false), None));
        network.interface_up("eth0").unwrap();
        network.assign_ipv4("eth0", 0x0a00_0002_u32).unwrap();
        assert_eq!((network.is_up("eth0"), network.peer("eth0")), (Some(true), Some("veth7")));
        assert_eq!(network.ipv4("eth0"), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!((network.interface_count(), network.has_loopback()), (1, true));
    }

    #[test]
    fn a_name_is_taken_once_and_unknown_ones_are_not_found() {
        let mut network = NetworkNamespace::new();
        network.create_veth("eth0", "a").unwrap();
        for name in ["eth0", "lo"] {
            assert!(matches!(network.create_veth(name, "b"), Err(KernelError::AlreadyExists { .. })));
        }
        assert!(matches!(network.interface_up("eth1"), Err(KernelError::NotFound { .. })));
        assert!(network.assign_ipv4("eth1", Ipv4Addr::LOCALHOST).is_err());
        assert_eq!((network.interface_count(), network.peer("eth0")), (1, Some("a")));
    }

    #[test]
    fn names_that_no_kernel_takes_are_refused_at_both_ends() {
        let mut network = NetworkNamespace::new();
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "a\0", "sixteen-bytes-xx"] {
            assert!(
                network.create_veth(bad, "ok").is_err() && network.create_veth("ok", bad).is_err(),
                "{bad:?}"
            );
        }
        assert_eq!(network.interface_count(), 0);
    }

    #[test]
    fn a_full_namespace_says_so() {
        let mut network = NetworkNamespace::new();
        (0..INTERFACES_MAX).for_each(|n| network.create_veth(&format!("eth{n}"), "veth").unwrap());
        assert!(matches!(network.create_veth("more", "veth"), Err(KernelError::ResourceExhausted { .. })));
        assert_eq!(network.interface_count(), INTERFACES_MAX);
    }
}
