//! Builds the system image and boots it in QEMU.
//!
//! ```text
//!   busybox, qemu/bundles ─┐
//!   --bundle NAME=DIR ─────┼─► Tree ─► cpio ─► boot image ─┐
//!   manifest.toml ─ parse ─┘                               ├─► QEMU ─► exit status
//!   cargo build --release  ─► kernel, init, manager, shell ┘     or  ─► grub-mkrescue ─► ISO
//! ```
//!
//! [`args`] what was asked for, [`tree`] the files of the image, [`cpio`] their bytes, [`bundles`] the default
//! bundles, [`programs`] the nested build, [`image`] all of that together, [`qemu`] the machine, [`iso`] GRUB.
#![forbid(unsafe_code)]

pub mod args;
pub mod bundles;
pub mod cpio;
pub mod image;
pub mod iso;
pub mod programs;
pub mod qemu;
pub mod tree;
