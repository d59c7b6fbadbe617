//! Where init puts what it grants to the programs that it starts.

use bailiwick_abi::Handle;

/// What the manager holds.
pub mod manager {
    use super::Handle;

    /// The console, for lines of containers.
    pub const CONSOLE: Handle = Handle::first(1);
    /// The boot image: absolute paths of configurations begin here.
    pub const ROOT: Handle = Handle::first(2);
    /// The group that containers are made in.
    pub const GROUP: Handle = Handle::first(3);
    /// The clock.
    pub const CLOCK: Handle = Handle::first(4);
    /// The endpoint that it is called on.
    pub const ENDPOINT: Handle = Handle::first(5);
    /// The notification that containers belong to.
    pub const EVENTS: Handle = Handle::first(6);
}

/// What a process of the manifest holds.
pub mod process {
    use super::Handle;

    /// The console, if the manifest says so.
    pub const CONSOLE: Handle = Handle::first(1);
    /// A factory with the rights of the manifest, if it names any.
    pub const FACTORY: Handle = Handle::first(2);
    /// The single bundles of the manifest, in its order, from this slot on, and behind them its directories.
    pub const DIRECTORIES: u32 = 8;
    /// Capabilities on the containers of the manifest, in its order, from this slot on. One that was not there when the
    /// process was started is missing.
    pub const CONTAINERS: u32 = DIRECTORIES + bailiwick_manifest::DIRECTORIES_MAX as u32;
    /// Slots that can be filled before a process is started are below this.
    const END: u32 = 32;
    const _: () = assert!(CONTAINERS as usize + bailiwick_manifest::HELD_MAX <= END as usize);
}
