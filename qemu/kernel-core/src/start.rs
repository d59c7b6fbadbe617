//! The start: a kernel over the machine's memory, with the boot image as its files.

use crate::group::Groups;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::vfs::facts::NoProcesses;
use crate::vfs::{BootImage, Env, Store, Vfs};
use bailiwick_protocol::error::Errno;

/// The machine's name until somebody gives it another.
pub const HOST_NAME: &str = "bailiwick";

impl<H: Hw> Kernel<H> {
    /// A kernel without processes whose files are those of the boot image, if there is one.
    ///
    /// # Errors
    /// `ENOMEM` or `ENOSPC` if the machine is too small for the image, `EINVAL` if that is no archive.
    pub fn start(mut mem: Memory<H>, image: Option<BootImage>) -> Result<Self, Errno> {
        let mut groups = Groups::new(mem.account());
        let mut frames = Store { memory: &mut mem, groups: &mut groups };
        let mut env = Env { frames: &mut frames, processes: &NoProcesses };
        let (mut vfs, machine) = Vfs::new(&mut env, HOST_NAME)?;
        if let Some(image) = image {
            vfs.load_image(&mut env, image, machine.mount)?;
        }
        let mut kernel = Kernel::new(mem, vfs, machine);
        // What was copied out of the image is charged there.
        kernel.groups = groups;
        kernel.begin_containers()?;
        Ok(kernel)
    }
}
