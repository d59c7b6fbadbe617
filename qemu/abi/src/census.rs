//! How many of its objects the kernel has: what must be the same after something that leaves nothing behind.

macro_rules! census {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers of kernel objects.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Census {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Census {
            /// What is counted, in the order of the words.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
            /// How many words it takes, of 8 bytes each.
            pub const WORDS: usize = Self::NAMES.len();

            /// As it lies in memory.
            pub const fn to_words(self) -> [u64; Self::WORDS] {
                [$(self.$name),*]
            }
            /// From memory.
            pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
                let [$($name),*] = words;
                Census { $($name),* }
            }
        }
    };
}

census! {
    /// Frames nobody holds.
    free_frames,
    /// Bytes of the kernel's heap that groups are charged for.
    charged_heap,
    /// Processes, those included that have ended and whose end was not asked for.
    processes,
    /// Threads.
    threads,
    /// Threads that run, or would if they had the processor.
    runnable,
    /// What threads wait for.
    waits,
    /// Resource groups.
    groups,
    /// Namespaces.
    namespaces,
    /// How often namespaces are counted.
    namespace_holders,
    /// Numbers of processes and threads, in all pid namespaces.
    process_numbers,
    /// Mounts.
    mounts,
    /// How often places are counted.
    places,
    /// File systems.
    file_systems,
    /// Names of files held in memory.
    entries,
    /// Files held in memory.
    inodes,
    /// Open files.
    files,
    /// Open file descriptions of Linux processes.
    descriptions,
    /// Pipes, named ones included.
    pipes,
    /// Rings of output.
    outputs,
    /// Containers.
    containers,
    /// Processes and rings of output that are known to be a container's.
    container_parts,
    /// Capability spaces.
    spaces,
    /// Capabilities.
    capabilities,
    /// Endpoints.
    endpoints,
    /// Notifications.
    notifications,
}
