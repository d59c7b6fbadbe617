//! How many of its objects the kernel has.

use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::thread::State;
use bailiwick_abi::Census;

impl<H: Hw> Kernel<H> {
    /// Counts.
    pub fn census(&self) -> Census {
        let [file_systems, entries, inodes, mounts, files, places] = self.vfs.counts();
        let [descriptions, pipes, fifos, outputs] = self.linux.counts();
        let [namespace_holders, process_numbers] = self.vfs.namespaces.counts();
        let [endpoints, notifications] = self.ipc.counts();
        let words = |count: usize| count as u64;
        Census {
            free_frames: words(self.mem.free()),
            charged_heap: self.groups.get(GroupId::ROOT).map_or(0, |root| root.account.total()),
            processes: words(self.processes.count()),
            threads: words(self.threads.count()),
            runnable: words(
                self.threads.iter().filter(|(id, _)| self.threads.state(*id) == State::Runnable).count(),
            ),
            waits: words(self.threads.waits()),
            groups: words(self.groups.count()),
            namespaces: words(self.vfs.namespaces.count()),
            namespace_holders: words(namespace_holders),
            process_numbers: words(process_numbers),
            mounts: words(mounts),
            places: words(places),
            file_systems: words(file_systems),
            entries: words(entries),
            inodes: words(inodes),
            files: words(files),
            descriptions: words(descriptions),
            pipes: words(pipes + fifos),
            outputs: words(outputs),
            containers: words(self.containers.count()),
            container_parts: words(self.containers.parts()),
            spaces: words(self.caps.space_count()),
            capabilities: words(self.caps.count()),
            endpoints: words(endpoints),
            notifications: words(notifications),
        }
    }
}
