//! Properties of the virtual file system, on a machine of ordinary memory.

use super::facts::NoProcesses;
use super::*;
use crate::cred::{Capabilities, Capability, Credentials, Gid, Uid};
use crate::memory::{GroupId, Memory};
use crate::ns::NamespaceSet;
use crate::testing::{Counts, FakeHw};
use alloc::format;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{MountFlags, Propagation, Reach};
use bailiwick_protocol::error::Errno;

const GROUP: GroupId = GroupId(1);

struct World {
    memory: Memory<FakeHw>,
    groups: Counts,
    vfs: Vfs,
    set: NamespaceSet,
    fs: FsContext,
    who: Credentials,
}

macro_rules! with {
    ($w:expr, |$vfs:ident, $env:ident, $caller:ident| $body:expr) => {{
        let w = &mut *$w;
        let mut store = Store { memory: &mut w.memory, groups: &mut w.groups };
        let mut own = Env { frames: &mut store, processes: &NoProcesses };
        let $env = &mut own;
        let caller =
            Caller { process: None, credentials: &w.who, fs: &w.fs, namespaces: &w.set, group: GROUP };
        let $caller = &caller;
        let $vfs = &mut w.vfs;
        $body
    }};
}

mod attributes;
mod image;
mod pivot;

fn world() -> World {
    let mut memory = FakeHw::memory(512);
    let mut groups = Counts::default();
    let mut store = Store { memory: &mut memory, groups: &mut groups };
    let mut env = Env { frames: &mut store, processes: &NoProcesses };
    let (mut vfs, set) = Vfs::new(&mut env, "test").unwrap();
    let fs = vfs.new_context(set.mount).unwrap();
    let who = Credentials::root(set.user);
    World { memory, groups, vfs, set, fs, who }
}

impl World {
    fn mkdir(&mut self, path: &str) {
        with!(self, |vfs, env, by| vfs.mkdir(env, by, From::CWD, path.as_bytes(), 0o755)).unwrap();
    }
    fn at(&mut self, path: &str) -> Location {
        with!(self, |vfs, env, by| vfs.lookup(env, by, From::CWD, path.as_bytes(), Last::Follow)).unwrap()
    }
    fn link(&mut self, target: &str, path: &str) {
        with!(self, |vfs, env, by| vfs.symlink(env, by, target.as_bytes(), From::CWD, path.as_bytes()))
            .unwrap();
    }
    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
        let opened = with!(self, |vfs, env, by| vfs.open(env, by, From::CWD, path.as_bytes(), flags, 0o644))?;
        let Opened::Regular(file) = opened else { panic!("{path} is no file") };
        with!(self, |vfs, env, by| {
            let done = vfs.write(env, by, file, bytes);
            vfs.close(env.frames, file);
            done
        })
    }
    fn get(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let opened =
            with!(self, |vfs, env, by| vfs.open(env, by, From::CWD, path.as_bytes(), OpenFlags::empty(), 0))?;
        let Opened::Regular(file) = opened else { panic!("{path} is no file") };
        let mut bytes = alloc::vec![0; 20_000];
        with!(self, |vfs, env, by| {
            let count = vfs.read(env, by, file, &mut bytes);
            vfs.close(env.frames, file);
            count.map(|count| bytes[..count].to_vec())
        })
    }
    fn tmpfs(&mut self, path: &str, data: &str) -> Location {
        let at = self.at(path);
        let new = NewFileSystem {
            kind: FsKind::Tmpfs,
            source: "tmpfs",
            flags: MountFlags::empty(),
            data,
            group: None,
        };
        with!(self, |vfs, env, by| vfs.mount_new(env, by, new, at)).unwrap()
    }
    fn unmount(&mut self, path: &str, how: Unmount) -> Result<(), Errno> {
        let at = self.at(path);
        with!(self, |vfs, env, by| vfs.unmount(env, by, at, how))
    }
    fn pivot(&mut self, new: &str, old: &str) -> Result<(), PivotRefusal> {
        let (new, old) = (self.at(new), self.at(old));
        let done = with!(self, |vfs, env, by| vfs.pivot_root(env, by, new, old))?;
        let mut store = Store { memory: &mut self.memory, groups: &mut self.groups };
        self.vfs.follow_pivot(&mut store, &mut self.fs, done);
        Ok(())
    }
    fn seen(&self) -> Vec<Vec<u8>> {
        self.vfs.mounts_seen_from(self.fs.root, self.set.mount).into_iter().map(|(_, path)| path).collect()
    }
}

#[test]
fn fixed_tables_name_directories_as_parents() {
    for table in [proc::tables().0, proc::tables().1] {
        for (name, parent, _) in table {
            if let Some(parent) = parent {
                assert_eq!(items::item(table, *parent).2, items::What::Dir, "{name}");
            }
        }
    }
}

#[test]
fn every_name_is_its_own_whatever_its_length_and_what_it_begins_with() {
    let mut w = world();
    let names: Vec<Vec<u8>> = (1..=40usize)
        .flat_map(|length| {
            [b'a', b'b', 0xff].map(|end| [alloc::vec![b'a'; length - 1], alloc::vec![end]].concat())
        })
        .collect();
    let find = |w: &mut World, name: &[u8]| {
        with!(w, |vfs, env, by| vfs.lookup(env, by, From::CWD, name, Last::Bare))
    };
    let mut made = Vec::new();
    for name in &names {
        assert_eq!(find(&mut w, name), Err(Errno::ENOENT), "{name:?}");
        made.push(with!(&mut w, |vfs, env, by| vfs.mkdir(env, by, From::CWD, name, 0o755)).unwrap());
    }
    for (name, at) in names.iter().zip(&made) {
        assert_eq!(find(&mut w, name), Ok(*at), "{name:?}");
    }
    for (at, name) in names.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
        with!(&mut w, |vfs, env, by| vfs.rmdir(env, by, From::CWD, name)).unwrap();
        assert_eq!(find(&mut w, name), Err(Errno::ENOENT), "{name:?}");
        assert_eq!(names.get(at + 1).map(|next| find(&mut w, next)), made.get(at + 1).map(|next| Ok(*next)));
    }
}

#[test]
fn the_permission_to_search_is_what_the_whole_check_says_of_every_file() {
    let mut w = world();
    let id = |id: u32| (Uid(id % 3), Gid(id / 3));
    w.mkdir("/d");
    w.put("/f", b"").unwrap();
    let places = [w.at("/d"), w.at("/f")];
    for (at, owner) in (0..9).flat_map(|owner| places.map(|at| (at, id(owner)))) {
        let root = Credentials::root(w.set.user);
        with!(&mut w, |vfs, env, by| vfs.chown(env, by, at, Some(owner.0), Some(owner.1))).unwrap();
        for mode in 0..0o1000 {
            w.who = root.clone();
            with!(&mut w, |vfs, env, by| vfs.chmod(env, by, at, mode)).unwrap();
            w.who.set_all_uids(Uid(1));
            w.who.set_all_gids(Gid(1));
            for held in [None, Some(Capability::DAC_OVERRIDE), Some(Capability::DAC_READ_SEARCH)] {
                let none = Capabilities::default();
                w.who.capabilities.effective = held.map_or(none, |held| none.with(held));
                let (said, whole) = with!(&mut w, |vfs, env, by| {
                    let stat = vfs.stat(env, at).unwrap();
                    let whole = match stat.mode & S_IFMT {
                        S_IFDIR => vfs.permit(by.credentials, &stat, Want::EXECUTE),
                        _ => Err(Errno::ENOTDIR),
                    };
                    (vfs.may_search(env, by, at), whole)
                });
                assert_eq!(said, whole, "{owner:?} {mode:o} {held:?}");
            }
        }
        w.who = root;
    }
}

#[test]
fn a_namespace_has_so_many_mounts_and_no_more() {
    let mut w = world();
    w.mkdir("/t");
    let at = w.at("/t");
    let mut bind = || {
        let at = with!(&mut w, |vfs, env, by| vfs.bind(env, by, at, at, Reach::One));
        at.map(|_| w.vfs.mounts_in(w.set.mount).count())
    };
    let last = core::iter::from_fn(|| bind().ok()).last();
    assert_eq!((last, bind()), (Some(MOUNTS_PER_NAMESPACE), Err(Errno::ENOSPC)));
}

#[test]
fn what_was_written_is_read_and_unmounting_gives_every_frame_back() {
    let mut w = world();
    let free = w.memory.free();
    w.mkdir("/t");
    w.tmpfs("/t", "size=64k");
    let text: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    assert_eq!(w.put("/t/f", &text), Ok(10_000));
    assert_eq!(w.get("/t/f").unwrap(), text);
    assert_eq!(w.groups.used(GROUP), 3);
    assert_eq!(w.put("/t/big", &[1; 100_000]), Ok(13 * 4096));
    assert_eq!(w.put("/t/more", &[1]), Err(Errno::ENOSPC));
    w.unmount("/t", Unmount::Idle).unwrap();
    assert_eq!(w.memory.free(), free);
    assert_eq!(w.groups.used(GROUP), 0);
}

#[test]
fn no_path_and_no_link_leads_out_of_a_confinement() {
    let mut w = world();
    for dir in ["/secret", "/jail", "/jail/a", "/jail/a/b"] {
        w.mkdir(dir);
    }
    w.put("/secret/file", b"x").unwrap();
    let steps =
        ["..", "a", "b", "up", "abs", "root", "self", ".", "secret", "file", "a/../..", "//", "chain"];
    for (target, path) in [
        ("../../../..", "/jail/up"),
        ("/secret", "/jail/abs"),
        ("/", "/jail/root"),
        ("../up/abs", "/jail/a/chain"),
        ("self", "/jail/self"),
        ("../../../secret", "/jail/a/b/up"),
        ("/../../secret", "/jail/a/abs"),
    ] {
        w.link(target, path);
    }
    let jail = w.at("/jail");
    let mut tried = 0;
    for a in steps {
        for b in steps {
            for c in steps {
                for last in [Last::Follow, Last::NoFollow] {
                    let path = format!("/{a}/{b}/{c}");
                    let found = with!(&mut w, |vfs, env, by| {
                        vfs.walk(env, by, From::inside(jail), path.as_bytes(), last)
                    });
                    tried += 1;
                    let Ok(found) = found else { continue };
                    if let Target::File(at) = found.target {
                        assert!(w.vfs.is_reachable(at, jail), "{path} leads out");
                    }
                    if let Some((directory, _)) = found.place {
                        assert!(w.vfs.is_reachable(directory, jail), "{path} would be made outside");
                    }
                }
            }
        }
    }
    assert_eq!(tried, 13 * 13 * 13 * 2);
}

#[test]
fn pivot_root_onto_itself_leaves_only_the_new_root() {
    let mut w = world();
    w.mkdir("/new");
    w.tmpfs("/new", "");
    w.put("/new/inside", b"yes").unwrap();
    let here = w.at("/new");
    let mut store = Store { memory: &mut w.memory, groups: &mut w.groups };
    w.vfs.set_cwd(&mut store, &mut w.fs, here);
    w.pivot(".", ".").unwrap();
    w.unmount(".", Unmount::Detach).unwrap();
    assert_eq!(w.get("/inside").unwrap(), b"yes");
    assert_eq!(w.get("/../../inside").unwrap(), b"yes");
    assert_eq!(w.seen(), [b"/".to_vec()]);
}

#[test]
fn each_precondition_of_pivot_root_is_refused_by_its_own_name() {
    use PivotRefusal as No;
    let base = || {
        let mut w = world();
        for dir in ["/new", "/dir"] {
            w.mkdir(dir);
        }
        w.tmpfs("/new", "");
        w.mkdir("/new/old");
        w.put("/new/file", b"").unwrap();
        w
    };
    assert_eq!(base().pivot("/new", "/new/old"), Ok(()));
    assert_eq!(base().pivot("/new/file", "/new/old"), Err(No::NewNotDirectory));
    assert_eq!(base().pivot("/new", "/new/file"), Err(No::OldNotDirectory));
    assert_eq!(base().pivot("/dir", "/new/old"), Err(No::NewOnRoot));
    assert_eq!(base().pivot("/new", "/dir"), Err(No::OldOnRoot));
    assert_eq!(base().pivot("/new/old", "/new/old"), Err(No::NewNotMount));
    let mut w = base();
    w.who.capabilities.effective = crate::cred::Capabilities::NONE;
    assert_eq!(w.pivot("/new", "/new/old"), Err(No::Privilege));
    for (path, no) in [("/new", No::OldShared), ("/", No::NewParentShared)] {
        let mut w = base();
        let at = w.at(path);
        with!(&mut w, |vfs, _env, by| vfs.change_propagation(by, at, Propagation::Shared, Reach::One))
            .unwrap();
        assert_eq!(w.pivot("/new", "/new/old"), Err(no));
    }
    let mut w = base();
    w.mkdir("/other");
    w.tmpfs("/other", "");
    assert_eq!(w.pivot("/new", "/other"), Err(No::OldNotBelowNew));
    let mut w = base();
    let dir = w.at("/dir");
    let mut store = Store { memory: &mut w.memory, groups: &mut w.groups };
    w.vfs.set_root(&mut store, &mut w.fs, dir);
    let (new, old) = (w.vfs.top(w.fs.cwd), w.fs.cwd);
    let refused = with!(&mut w, |vfs, env, by| vfs.pivot_root(env, by, new, old));
    assert_eq!(refused, Err(No::NewOnRoot));
}

#[test]
fn mounts_travel_to_peers_and_slaves_and_never_back_from_a_slave() {
    let mut w = world();
    for dir in ["/a", "/peer", "/slave"] {
        w.mkdir(dir);
    }
    let a = w.tmpfs("/a", "");
    w.mkdir("/a/x");
    w.mkdir("/a/y");
    with!(&mut w, |vfs, _env, by| vfs.change_propagation(by, a, Propagation::Shared, Reach::One)).unwrap();
    for place in ["/peer", "/slave"] {
        let at = w.at(place);
        with!(&mut w, |vfs, env, by| vfs.bind(env, by, a, at, Reach::One)).unwrap();
    }
    let slave = w.at("/slave");
    with!(&mut w, |vfs, _env, by| vfs.change_propagation(by, slave, Propagation::Slave, Reach::One)).unwrap();
    w.tmpfs("/a/x", "");
    w.put("/a/x/f", b"1").unwrap();
    assert_eq!(w.get("/peer/x/f").unwrap(), b"1");
    assert_eq!(w.get("/slave/x/f").unwrap(), b"1");
    w.tmpfs("/slave/y", "");
    w.put("/slave/y/f", b"2").unwrap();
    assert_eq!(w.get("/a/y/f"), Err(Errno::ENOENT));
    w.unmount("/a/x", Unmount::Idle).unwrap();
    assert_eq!(w.get("/peer/x/f"), Err(Errno::ENOENT));
    assert_eq!(w.get("/slave/x/f"), Err(Errno::ENOENT));
}

#[test]
fn rename_makes_no_loops_and_follows_the_table_of_kinds() {
    let mut w = world();
    for dir in ["/d", "/d/e", "/full", "/full/x", "/empty"] {
        w.mkdir(dir);
    }
    w.put("/f", b"f").unwrap();
    let mut mv = |old: &str, new: &str, how| {
        with!(&mut w, |vfs, env, by| vfs.rename(
            env,
            by,
            (From::CWD, old.as_bytes()),
            (From::CWD, new.as_bytes()),
            how
        ))
    };
    assert_eq!(mv("/d", "/d/e/g", Rename::Replace), Err(Errno::EINVAL));
    assert_eq!(mv("/d/e", "/d", Rename::Replace), Err(Errno::ENOTEMPTY));
    assert_eq!(mv("/f", "/empty", Rename::Replace), Err(Errno::EISDIR));
    assert_eq!(mv("/d", "/f", Rename::Replace), Err(Errno::ENOTDIR));
    assert_eq!(mv("/d", "/full", Rename::Replace), Err(Errno::ENOTEMPTY));
    assert_eq!(mv("/d", "/empty", Rename::NoReplace), Err(Errno::EEXIST));
    assert_eq!(mv("/d", "/empty", Rename::Replace), Ok(()));
    assert_eq!(mv("/f", "/full/x", Rename::Exchange), Ok(()));
    assert_eq!(mv("/missing", "/g", Rename::Replace), Err(Errno::ENOENT));
    assert_eq!(w.get("/full/x").unwrap(), b"f");
}
