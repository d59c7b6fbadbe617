//! Physical memory, as the kernel sees it: all of it, at one place of the upper half.

/// Where physical address 0 is mapped.
pub(crate) const MAP: u64 = 0xffff_8000_0000_0000;
/// Bytes that the first page tables map there.
pub(crate) const BOOT_MAPPED: u64 = 4 << 30;

/// Where a physical address is mapped.
pub(crate) fn pointer(address: u64) -> *mut u8 {
    (MAP + address) as *mut u8
}

/// Reads a value that the boot loader left at a physical address; none beyond what is mapped at first.
///
/// # Safety
/// The boot loader said that a `T` is there, every bit pattern is a `T`, and the first page tables are in use.
pub(crate) unsafe fn read<T: Copy>(address: u64) -> Option<T> {
    if address.checked_add(size_of::<T>() as u64)? > BOOT_MAPPED {
        return None;
    }
    // SAFETY: mapped, and promised by the caller to hold a `T`; it need not be aligned.
    Some(unsafe { pointer(address).cast::<T>().read_unaligned() })
}
