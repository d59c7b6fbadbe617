//! What the boot loader tells: which memory there is, where the boot image lies, the command line.
//!
//! Two loaders are understood: PVH (QEMU's `-kernel`, Xen: "x86/HVM direct boot ABI") and multiboot2 (GRUB).
//! Everything is copied out before any memory is used, for the tables may lie anywhere in it.

use crate::physical::read;
use bailiwick_kernel_core::ranges::{Range, Ranges};
use heapless::Vec;

/// Bytes of the command line that are kept.
const COMMAND_LINE: usize = 1024;
const PVH_MAGIC: u32 = 0x336e_c578;
/// Type of usable memory, in both protocols.
const USABLE: u32 = 1;

/// What the boot loader told.
#[derive(Default)]
pub(crate) struct Boot {
    /// Memory that can be used, the kernel and the boot image included.
    pub(crate) memory: Ranges,
    /// The boot image.
    pub(crate) image: Option<Range>,
    /// The command line.
    pub(crate) command_line: Vec<u8, COMMAND_LINE>,
}

/// Reads what lies at `info`. None if it is not what `protocol` says (1 is PVH, 2 multiboot2).
///
/// # Safety
/// A boot loader put it there, nothing has been overwritten, and the first page tables are in use.
pub(crate) unsafe fn tell(protocol: u32, info: u32) -> Option<Boot> {
    // SAFETY: as promised by the caller.
    unsafe {
        match protocol {
            1 => pvh(info.into()),
            _ => multiboot(info.into()),
        }
    }
}

/// `struct hvm_start_info`
#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// # Safety
/// As [`tell`].
unsafe fn pvh(info: u64) -> Option<Boot> {
    let mut boot = Boot::default();
    // SAFETY: the boot loader left a start info here, which points to what is read below.
    unsafe {
        let start: StartInfo = read(info)?;
        if start.magic != PVH_MAGIC {
            return None;
        }
        if start.modules > 0 {
            let (first, bytes): (u64, u64) = (read(start.module_list)?, read(start.module_list + 8)?);
            boot.image = Range::new(first, first.checked_add(bytes)?);
        }
        for entry in 0..u64::from(start.memory_map_entries) {
            let at = start.memory_map + entry * 24;
            boot.add_memory(read(at)?, read(at + 8)?, read(at + 16)?);
        }
        boot.copy_command_line(start.command_line);
    }
    Some(boot)
}

/// # Safety
/// As [`tell`].
unsafe fn multiboot(info: u64) -> Option<Boot> {
    let mut boot = Boot::default();
    // SAFETY: the boot loader left tags here, each with its length.
    unsafe {
        let end = info + u64::from(read::<u32>(info)?);
        let mut tag = info + 8;
        while tag < end {
            let (kind, bytes): (u32, u32) = (read(tag)?, read(tag + 4)?);
            match kind {
                0 => break,
                1 => boot.copy_command_line(tag + 8),
                3 if boot.image.is_none() => {
                    boot.image = Range::new(read::<u32>(tag + 8)?.into(), read::<u32>(tag + 12)?.into());
                }
                6 => {
                    let size = u64::from(read::<u32>(tag + 8)?).max(24);
                    let mut entry = tag + 16;
                    while entry + 24 <= tag + u64::from(bytes) {
                        boot.add_memory(read(entry)?, read(entry + 8)?, read(entry + 16)?);
                        entry += size;
                    }
                }
                _ => {}
            }
            tag += u64::from(bytes.max(8)).next_multiple_of(8);
        }
    }
    Some(boot)
}

impl Boot {
    fn add_memory(&mut self, start: u64, bytes: u64, kind: u32) {
        if kind == USABLE
            && let Some(range) = Range::new(start, start.saturating_add(bytes))
        {
            self.memory.add(range);
        }
    }

    /// # Safety
    /// As [`tell`]: the command line is at this address, with a zero byte at its end, or the address is 0.
    unsafe fn copy_command_line(&mut self, address: u64) {
        if address == 0 {
            return;
        }
        for at in address.. {
            // SAFETY: as promised by the caller; no byte after the zero byte is read.
            match unsafe { read::<u8>(at) } {
                None | Some(0) => return,
                Some(byte) if self.command_line.push(byte).is_ok() => {}
                Some(_) => return,
            }
        }
    }
}
