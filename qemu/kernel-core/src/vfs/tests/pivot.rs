//! The preconditions of pivot_root(2) that need more than a path: other namespaces, locks, the bottom of the tree.

use super::super::PivotRefusal as No;
use super::*;
use crate::ns::{Body, Namespaces, Unshare};
use bailiwick_kernel_glue::plan::Namespace;

/// `/new` with `/new/old` in it, a mount of its own.
fn base() -> World {
    let mut w = world();
    for dir in ["/new", "/dir"] {
        w.mkdir(dir);
    }
    w.tmpfs("/new", "");
    w.mkdir("/new/old");
    w
}

impl World {
    fn refused(&mut self, new: Location, old: Location) -> No {
        with!(self, |vfs, env, by| vfs.pivot_root(env, by, new, old)).unwrap_err()
    }
    fn bottom(&self) -> Location {
        match self.vfs.namespaces.body(self.set.mount) {
            Some(Body::Mount { root: Some(root) }) => self.vfs.mount_root(*root).unwrap(),
            _ => panic!("there is no tree"),
        }
    }
    fn root_at(&mut self, at: Location) {
        let mut store = Store { memory: &mut self.memory, groups: &mut self.groups };
        self.vfs.set_root(&mut store, &mut self.fs, at);
    }
    fn unshare_mounts(&mut self) {
        let mut store = Store { memory: &mut self.memory, groups: &mut self.groups };
        self.vfs.unshare_mounts(&mut store, &mut self.set, &mut self.fs, &self.who).unwrap();
    }
}

#[test]
fn a_new_root_that_was_removed_is_refused() {
    let mut w = base();
    w.mkdir("/gone");
    w.mkdir("/place");
    let (gone, place) = (w.at("/gone"), w.at("/place"));
    let new = with!(&mut w, |vfs, env, by| vfs.bind(env, by, gone, place, Reach::One)).unwrap();
    with!(&mut w, |vfs, env, by| vfs.rmdir(env, by, From::CWD, b"/gone")).unwrap();
    assert_eq!(w.refused(new, new), No::NewRemoved);
}

#[test]
fn mounts_of_another_namespace_are_refused() {
    let mut w = base();
    let (new, old) = (w.at("/new"), w.at("/new/old"));
    w.unshare_mounts();
    assert_eq!(w.refused(new, old), No::OtherNamespace);
    assert_eq!(w.pivot("/new", "/new/old"), Ok(()));
}

#[test]
fn a_mount_that_came_locked_into_a_lesser_namespace_is_refused() {
    let mut w = base();
    let by = Unshare { credentials: &w.who, group: GROUP };
    let charged = w.memory.charge(Namespaces::PRICE).unwrap();
    w.vfs.namespaces.unshare(&mut w.set, Namespace::User, by, charged).unwrap();
    w.who = w.vfs.namespaces.credentials_inside(&w.who, w.set.user);
    w.unshare_mounts();
    let (new, old) = (w.at("/new"), w.at("/new/old"));
    assert_eq!(w.refused(new, old), No::NewLocked);
}

#[test]
fn a_root_that_is_no_mount_point_is_refused() {
    let mut w = base();
    w.mkdir("/dir/new");
    let new = w.tmpfs("/dir/new", "");
    let dir = w.at("/dir");
    w.root_at(dir);
    assert_eq!(w.refused(new, new), No::RootNotMount);
}

#[test]
fn the_file_system_everything_stands_on_is_neither_left_nor_entered() {
    let mut w = base();
    let (bottom, image) = (w.bottom(), w.fs.root);
    assert_eq!(w.refused(bottom, bottom), No::NewIsRootfs);
    w.root_at(bottom);
    assert_eq!(w.refused(image, image), No::RootIsRootfs);
}

#[test]
fn a_new_root_that_cannot_be_reached_from_the_root_is_refused() {
    let mut w = base();
    let jail = w.tmpfs("/dir", "");
    let (new, old) = (w.at("/new"), w.at("/new/old"));
    w.root_at(jail);
    assert_eq!(w.refused(new, old), No::NewNotBelowRoot);
}

#[test]
fn a_root_on_a_shared_mount_is_refused() {
    let mut w = base();
    let bottom = w.bottom();
    with!(&mut w, |vfs, _env, by| vfs.change_propagation(by, bottom, Propagation::Shared, Reach::One))
        .unwrap();
    let (new, old) = (w.at("/new"), w.at("/new/old"));
    assert_eq!(w.refused(new, old), No::RootParentShared);
}

#[test]
fn each_refusal_has_a_sentence_of_its_own() {
    for (at, one) in No::ALL.iter().enumerate() {
        assert!(No::ALL.iter().skip(at + 1).all(|other| one.text() != other.text()));
    }
}
