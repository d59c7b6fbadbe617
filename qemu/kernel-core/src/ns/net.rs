//! Network namespaces: each has the loopback interface, and no other device exists.

/// Traffic counters of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    /// Bytes received; on loopback also the bytes sent.
    pub bytes: u64,
    /// Packets received; on loopback also the packets sent.
    pub packets: u64,
}

/// The loopback interface `lo`: index 1, MTU 65,536, no hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Loopback {
    /// Whether it was brought up; a new namespace's is down (network_namespaces(7)).
    pub up: bool,
    /// What went through it.
    pub traffic: Interface,
}

impl Loopback {
    /// Its IPv4 address, once it is up.
    pub const ADDRESS: [u8; 4] = [127, 0, 0, 1];
    /// Bits of the address that name its network.
    pub const PREFIX: u8 = 8;
    /// An interface that was brought up.
    pub const fn up() -> Self {
        Loopback { up: true, traffic: Interface { bytes: 0, packets: 0 } }
    }
}
