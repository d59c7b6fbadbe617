//! The boot image: what an archive says is there, and its frames are written by nobody.

use super::super::data::{Data, Payer, Quota};
use super::super::{BootImage, S_IFCHR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG};
use super::*;
use crate::hw::{Frame, Hw, PAGE};
use alloc::string::String;

/// One file of an archive.
struct File<'a> {
    name: &'a str,
    mode: u32,
    /// Inode number and number of links.
    inode: (u32, u32),
    device: (u32, u32),
    bytes: &'a [u8],
    /// Whether the data begins on a page boundary.
    aligned: bool,
}

fn file<'a>(name: &'a str, mode: u32, bytes: &'a [u8]) -> File<'a> {
    File { name, mode, inode: (0, 1), device: (0, 0), bytes, aligned: false }
}

/// The archive in "newc" format.
fn archive(files: &[File<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, file) in files.iter().chain([&file("TRAILER!!!", 0, b"")]).enumerate() {
        let mut name = file.name.as_bytes().to_vec();
        name.push(0);
        while file.aligned && !(out.len() + 110 + name.len()).is_multiple_of(PAGE) {
            name.push(0);
        }
        let inode = if file.inode.0 == 0 { at as u32 + 100 } else { file.inode.0 };
        let fields = [
            inode,
            file.mode,
            5,
            6,
            file.inode.1,
            1234,
            file.bytes.len() as u32,
            0,
            0,
            file.device.0,
            file.device.1,
            name.len() as u32,
            0,
        ];
        out.extend_from_slice(b"070701");
        out.extend_from_slice(
            fields.iter().map(|field| format!("{field:08x}")).collect::<String>().as_bytes(),
        );
        out.extend_from_slice(&name);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(file.bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn load(w: &mut World, bytes: &[u8]) -> Result<(), Errno> {
    w.memory.hw.put_image(bytes);
    let image = BootImage { first: Frame(0), bytes: bytes.len() as u64 };
    let set = w.set.mount;
    with!(w, |vfs, env, _by| vfs.load_image(env, image, set))
}

fn stat(w: &mut World, path: &str) -> Stat {
    with!(w, |vfs, env, by| {
        let at = vfs.lookup(env, by, From::CWD, path.as_bytes(), Last::NoFollow).unwrap();
        vfs.stat(env, at).unwrap()
    })
}

#[test]
fn every_kind_of_file_is_there_with_its_attributes() {
    let mut w = world();
    let files = [
        file(".", 0o040_755, b""),
        file("etc", 0o040_750, b""),
        file("etc/note", 0o100_640, b"hello"),
        file("deep/er/file", 0o100_644, b"x"),
        file("deep", 0o040_711, b""),
        file("link", 0o120_777, b"etc/note"),
        File { device: (1, 3), ..file("null", 0o020_666, b"") },
        file("pipe", 0o010_600, b""),
        File { inode: (7, 2), ..file("a", 0o100_644, b"") },
        File { inode: (7, 2), ..file("b", 0o100_644, b"linked") },
        file("empty", 0o104_755, b""),
    ];
    load(&mut w, &archive(&files)).unwrap();
    assert_eq!(w.get("/etc/note").unwrap(), b"hello");
    assert_eq!(w.get("/link").unwrap(), b"hello");
    assert_eq!(w.get("/deep/er/file").unwrap(), b"x");
    assert_eq!((w.get("/a").unwrap(), w.get("/b").unwrap()), (b"linked".to_vec(), b"linked".to_vec()));
    assert_eq!(w.get("/empty").unwrap(), b"");
    let note = stat(&mut w, "/etc/note");
    assert_eq!(
        (note.mode, note.uid.0, note.gid.0, note.mtime.seconds, note.links),
        (S_IFREG | 0o640, 5, 6, 1234, 1)
    );
    assert_eq!(stat(&mut w, "/etc").mode & 0o7777, 0o750);
    assert_eq!(stat(&mut w, "/deep").mode & 0o7777, 0o711);
    assert_eq!(stat(&mut w, "/deep/er").mode & 0o7777, 0o755);
    assert_eq!(stat(&mut w, "/link").mode & S_IFMT, S_IFLNK);
    let null = stat(&mut w, "/null");
    assert_eq!((null.mode & S_IFMT, null.represents), (S_IFCHR, (1, 3)));
    assert_eq!(stat(&mut w, "/pipe").mode & S_IFMT, S_IFIFO);
    assert_eq!((stat(&mut w, "/a").inode, stat(&mut w, "/a").links), (stat(&mut w, "/b").inode, 2));
    assert_eq!(stat(&mut w, "/empty").mode & 0o7777, 0o4755);
}

#[test]
fn data_on_a_page_boundary_is_the_images_own_until_it_is_written() {
    let mut w = world();
    let text: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
    let bytes = archive(&[
        File { aligned: true, ..file("big", 0o100_644, &text) },
        file("small", 0o100_644, b"copied"),
    ]);
    let free = w.memory.free();
    load(&mut w, &bytes).unwrap();
    // Only the file that lies across is copied, into the kernel's own account.
    assert_eq!(w.memory.free(), free - 1);
    assert_eq!(w.groups.used(GroupId::ROOT), 1);
    assert_eq!(w.get("/big").unwrap(), text);

    let first = (bytes.windows(text.len()).position(|part| part == text).unwrap() / PAGE) as u32;
    let image: Vec<[u8; PAGE]> = (0..3).map(|n| *w.memory.hw.bytes(Frame(first + n))).collect();
    let open = |w: &mut World| {
        let flags = OpenFlags::READ_WRITE;
        match with!(w, |vfs, env, by| vfs.open(env, by, From::CWD, b"/big", flags, 0)) {
            Ok(Opened::Regular(file)) => file,
            other => panic!("{other:?}"),
        }
    };
    let file = open(&mut w);
    let page =
        with!(&mut w, |vfs, env, _by| vfs.page_for_map(env.frames, file, 1, Access::Read, GROUP)).unwrap();
    assert_eq!(page, Frame(first + 1), "a mapping for reading shows the image's frame");
    with!(&mut w, |vfs, env, by| vfs.write_at(env, by, file, 4096, b"changed")).unwrap();
    assert_eq!(w.memory.free(), free - 2);
    assert_eq!(w.groups.used(GROUP), 1);
    let page =
        with!(&mut w, |vfs, env, _by| vfs.page_for_map(env.frames, file, 2, Access::Write, GROUP)).unwrap();
    assert_ne!(page, Frame(first + 2), "a mapping for writing has a frame of its own");
    w.memory.bytes_mut(page)[0] = b'!';
    let mut expected = text.clone();
    expected[4096..4103].copy_from_slice(b"changed");
    expected[8192] = b'!';
    assert_eq!(w.get("/big").unwrap(), expected);
    for (n, page) in image.iter().enumerate() {
        assert_eq!(w.memory.hw.bytes(Frame(first + n as u32)), page, "page {n} of the image was written");
    }
    // Cut and grown again, what was cut is zero, and what the image holds behind it is not seen.
    with!(&mut w, |vfs, env, by| vfs.truncate_file(env, by, file, 100)).unwrap();
    with!(&mut w, |vfs, env, by| vfs.truncate_file(env, by, file, 10_000)).unwrap();
    let mut cut = text[..100].to_vec();
    cut.resize(10_000, 0);
    assert_eq!(w.get("/big").unwrap(), cut);
    with!(&mut w, |vfs, env, _by| vfs.close(env.frames, file));
    with!(&mut w, |vfs, env, by| vfs.unlink(env, by, From::CWD, b"/big")).unwrap();
    assert_eq!((w.groups.used(GROUP), w.memory.free()), (0, free - 1));
}

#[test]
fn what_is_no_archive_is_refused() {
    let good = archive(&[file("a", 0o100_644, b"text"), file("b", 0o120_777, b"a")]);
    assert_eq!(load(&mut world(), &good), Ok(()));
    for length in 0..good.len() - 124 {
        assert_eq!(load(&mut world(), &good[..length]), Err(Errno::EINVAL), "cut at {length}");
    }
    let mut bad = Vec::new();
    for (at, byte) in [(0, b'1'), (10, b'x'), (54, b'f'), (94, b'f')] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bad.push(bytes);
    }
    for files in [
        [file("../out", 0o100_644, b"")].as_slice(),
        &[file("a/../../out", 0o100_644, b"")],
        &[file("s", 0o140_777, b"")],
        &[file("s", 0o120_777, b"")],
        &[file("f", 0o100_644, b""), file("f/below", 0o100_644, b"")],
    ] {
        bad.push(archive(files));
    }
    for bytes in bad {
        let refused = load(&mut world(), &bytes);
        assert!(matches!(refused, Err(Errno::EINVAL | Errno::ENOTDIR)), "{refused:?}");
    }
    assert_eq!(
        load(&mut world(), &archive(&[file("f", 0o100_644, b""), file("f", 0o100_644, b"")])),
        Err(Errno::EEXIST)
    );
}

#[test]
fn a_name_may_be_padded_by_a_whole_page_and_more() {
    for before in (PAGE - 400..PAGE).step_by(4) {
        let padding = alloc::vec![b'x'; before];
        let plain = file("plain", 0o100_644, &padding);
        let aligned = File { aligned: true, ..file("aligned", 0o100_644, b"on a page") };
        let mut w = world();
        assert_eq!(load(&mut w, &archive(&[plain, aligned])), Ok(()), "{before}");
        assert_eq!(stat(&mut w, "/aligned").size, 9, "{before}");
    }
}

#[test]
fn pages_said_to_be_present_are_those_that_a_mapping_shows_anyway() {
    const PAGES: u32 = 12;
    let mut memory = FakeHw::memory(64);
    let mut groups = Counts::default();
    let frames = &mut Store { memory: &mut memory, groups: &mut groups };
    let quota = &mut Quota { used: 0, max: None };
    let mut data = Data::image(Frame(3), 8 * PAGE as u64 + 5);
    let by = &mut Payer { frames, quota, group: GROUP };
    for page in [2, 3, 10, 11] {
        data.write(by, page * PAGE as u64, b"own").unwrap();
    }
    for first in 0..PAGES + 2 {
        for most in 1..PAGES + 2 {
            let run = data.present(first, most);
            assert!((1..=most).contains(&run.pages), "{first} {most}");
            for at in 0..run.pages {
                let expected = run.frame.map(|frame| Frame(frame.0 + at));
                let known = matches!(first + at, 0..8 | 10 | 11);
                assert_eq!(expected.is_some(), known, "page {} of {first}, {most}", first + at);
                if expected.is_some() {
                    assert_eq!(data.page(first + at, Access::Read, by).ok(), expected, "{first} {most}");
                }
            }
        }
    }
    data.clear(by.frames);
}
