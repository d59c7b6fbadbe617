//! Remounting, and options that are not known.

use super::*;

#[test]
fn a_refused_remount_changes_nothing() {
    let mut w = world();
    w.mkdir("/t");
    let at = w.tmpfs("/t", "size=64k");
    w.put("/t/f", &[1; 20_000]).unwrap();
    let before = (w.vfs.mount_flags(at).unwrap(), w.vfs.stat_fs(at).unwrap());
    let ro = MountFlags::RDONLY;
    for data in ["size=4k", "size=x", "nosuchoption"] {
        let refused = with!(&mut w, |vfs, env, by| vfs.remount(env, by, at, ro, data));
        assert_eq!(refused, Err(Errno::EINVAL), "{data}");
        assert_eq!((w.vfs.mount_flags(at).unwrap(), w.vfs.stat_fs(at).unwrap()), before);
    }
    let below = w.at("/t/f");
    let refused = with!(&mut w, |vfs, env, by| vfs.remount(env, by, below, ro, "size=128k"));
    assert_eq!(refused, Err(Errno::EINVAL));
    assert_eq!(
        w.vfs.stat_fs(at).unwrap(),
        before.1,
        "a file is no mount: the options were taken all the same"
    );
    w.vfs.mount_mut(at.mount).unwrap().locked_flags = MountFlags::NOSUID;
    let refused = with!(&mut w, |vfs, env, by| vfs.remount(env, by, at, ro, "size=128k"));
    assert_eq!(refused, Err(Errno::EPERM));
    assert_eq!((w.vfs.mount_flags(at).unwrap(), w.vfs.stat_fs(at).unwrap()), before);
    let flags = ro | MountFlags::NOSUID;
    with!(&mut w, |vfs, env, by| vfs.remount(env, by, at, flags, "size=128k")).unwrap();
    assert_eq!(w.vfs.stat_fs(at).unwrap().blocks, 32);
    assert_eq!(w.put("/t/g", b""), Err(Errno::EROFS));
}

#[test]
fn options_that_a_type_does_not_know_are_refused() {
    let mut w = world();
    w.mkdir("/t");
    let at = w.at("/t");
    for (kind, data, fine) in [
        ("tmpfs", "size=10%,mode=700,huge=never", true),
        ("tmpfs", "colour=blue", false),
        ("proc", "hidepid=2", false),
        ("proc", "", true),
        ("sysfs", "x", false),
        ("devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", true),
        ("devpts", "mode=9", false),
        ("mqueue", "size=1", false),
        ("cgroup2", "nsdelegate", true),
    ] {
        let kind = Vfs::file_system_type(kind).unwrap();
        let new = NewFileSystem { kind, source: "none", flags: MountFlags::empty(), data, group: None };
        let counts = w.vfs.counts();
        let mounted = with!(&mut w, |vfs, env, by| vfs.mount_new(env, by, new, at));
        assert_eq!(mounted.is_ok(), fine, "{data}: {mounted:?}");
        if fine {
            w.unmount("/t", Unmount::Idle).unwrap();
        }
        assert_eq!(w.vfs.counts(), counts, "{data}");
    }
}
