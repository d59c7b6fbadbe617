//! The archive as GNU cpio reads it, and the property that the kernel relies on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use bailiwick_runner::cpio::{PAGE, pack};
use bailiwick_runner::tree::{Kind, Node, Tree};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

fn unpack(archive: &[u8], into: &Path) {
    let mut cpio = Command::new("cpio")
        .args(["-id", "--quiet", "--no-absolute-filenames"])
        .current_dir(into)
        .stdin(Stdio::piped())
        .spawn()
        .expect("cpio is installed");
    cpio.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(cpio.wait().unwrap().success());
}

fn file(bytes: &[u8]) -> Node {
    Node::new(0o640, Kind::File(bytes.to_vec()))
}

#[test]
fn gnu_cpio_gets_back_what_was_packed() {
    let mut tree = Tree::default();
    tree.directories("a/b");
    let big = vec![0xa5; 3 * PAGE + 1];
    let inode = tree.add("a/b/big", file(&big));
    tree.link("a/link", inode);
    tree.add("a/empty", file(b""));
    tree.add("a/symlink", Node::new(0o777, Kind::Link(b"b/big".to_vec())));
    tree.add("a/fifo", Node::new(0o600, Kind::Fifo));
    tree.add("a/null", Node::new(0o666, Kind::Character { major: 1, minor: 3 }));
    tree.add("a/set-id", Node { uid: 1000, gid: 1001, ..Node::new(0o4755, Kind::File(b"#!".to_vec())) });

    let directory = tempfile::tempdir().unwrap();
    unpack(&pack(&tree).unwrap(), directory.path());
    let at = |name: &str| directory.path().join(name);
    assert_eq!(fs::read(at("a/b/big")).unwrap(), big);
    assert_eq!(fs::metadata(at("a/link")).unwrap().ino(), fs::metadata(at("a/b/big")).unwrap().ino());
    assert_eq!(fs::metadata(at("a/link")).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read(at("a/empty")).unwrap(), b"");
    assert_eq!(fs::read_link(at("a/symlink")).unwrap(), Path::new("b/big"));
    assert!(fs::symlink_metadata(at("a/fifo")).unwrap().file_type().is_fifo());
    let null = fs::symlink_metadata(at("a/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), 0x103);
    let set_id = fs::metadata(at("a/set-id")).unwrap();
    assert_eq!((set_id.uid(), set_id.gid(), set_id.mode() & 0o7777), (1000, 1001, 0o4755));
}

#[test]
fn data_of_every_file_begins_on_a_page_whatever_its_name() {
    let mut tree = Tree::default();
    for length in 1..200 {
        tree.add("n".repeat(length), file(format!("data of {length};").as_bytes()));
    }
    let archive = pack(&tree).unwrap();
    for length in 1..200 {
        let data = format!("data of {length};");
        let at = archive.windows(data.len()).position(|window| window == data.as_bytes()).unwrap();
        assert_eq!(at % PAGE, 0, "name of {length} bytes");
    }
}

#[test]
fn a_copied_directory_packs_to_the_same_files() {
    let source = tempfile::tempdir().unwrap();
    let root = source.path().join("bundle");
    fs::create_dir_all(root.join("rootfs/bin")).unwrap();
    fs::write(root.join("config.json"), "{}").unwrap();
    fs::write(root.join("rootfs/bin/one"), "one").unwrap();
    fs::hard_link(root.join("rootfs/bin/one"), root.join("rootfs/bin/two")).unwrap();
    fs::set_permissions(root.join("rootfs/bin/one"), fs::Permissions::from_mode(0o751)).unwrap();
    std::os::unix::fs::symlink("../../..", root.join("rootfs/out")).unwrap();

    let mut tree = Tree::default();
    tree.copy("bundles/x", &root).unwrap();
    let target = tempfile::tempdir().unwrap();
    unpack(&pack(&tree).unwrap(), target.path());
    let diff = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(&root)
        .arg(target.path().join("bundles/x"))
        .status()
        .unwrap();
    assert!(diff.success());
    let one = fs::metadata(target.path().join("bundles/x/rootfs/bin/one")).unwrap();
    assert_eq!((one.nlink(), one.mode() & 0o777), (2, 0o751));
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = Tree::default().copy("x", Path::new("/does/not/exist")).unwrap_err();
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
}
