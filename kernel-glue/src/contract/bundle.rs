//! The bundle that the cases run in, as a table: each fixture makes it in its own way.

/// One entry of the bundle's directory. Parents come before what is in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A directory, mode 0755.
    Directory(&'static str),
    /// An ordinary file with these bytes, mode 0644.
    File(&'static str, &'static str),
    /// A symbolic link: path, target.
    Link(&'static str, &'static str),
    /// A copy of, or hard link to, the static busybox, mode 0755.
    Busybox(&'static str),
}

/// A file of the bundle, and what it holds.
pub const NOTE: (&str, &str) = ("note", "read me\n");

/// Everything in the bundle.
pub const ENTRIES: &[Entry] = &[
    Entry::File("config.json", "{}\n"),
    Entry::File(NOTE.0, NOTE.1),
    Entry::Link("inside", "directory/../note"),
    Entry::Link("above", "../contract-outside"),
    Entry::Link("absolute", "/etc/passwd"),
    Entry::Directory("directory"),
    Entry::File("directory/inner", "inner\n"),
    Entry::Directory("rootfs"),
    Entry::Directory("rootfs/bin"),
    Entry::Directory("rootfs/dev"),
    // What a shell gives its background jobs as input.
    Entry::File("rootfs/dev/null", ""),
    Entry::Directory("rootfs/etc"),
    Entry::Directory("rootfs/proc"),
    Entry::Directory("rootfs/sys"),
    Entry::Directory("rootfs/tmp"),
    Entry::Directory("rootfs/home"),
    Entry::File("rootfs/etc/plain", "no program\n"),
    Entry::Busybox("rootfs/bin/busybox"),
    Entry::Link("rootfs/bin/cat", "busybox"),
    Entry::Link("rootfs/bin/echo", "busybox"),
    Entry::Link("rootfs/bin/env", "busybox"),
    Entry::Link("rootfs/bin/false", "busybox"),
    Entry::Link("rootfs/bin/hostname", "busybox"),
    Entry::Link("rootfs/bin/id", "busybox"),
    Entry::Link("rootfs/bin/pwd", "busybox"),
    Entry::Link("rootfs/bin/readlink", "busybox"),
    Entry::Link("rootfs/bin/sh", "busybox"),
    Entry::Link("rootfs/bin/sleep", "busybox"),
    Entry::Link("rootfs/bin/true", "busybox"),
    Entry::Link("rootfs/bin/yes", "busybox"),
];
