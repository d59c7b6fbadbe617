//! Bundles that cannot run: each is refused in one line that names the file, the JSON path or the kernel's step, and
//! leaves nothing behind. The table is the one that every kernel is held to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::bad::{BAD, BAD_IDS, spoiled};
use bailiwick_tests::bundle::Bundle;
use common::{Home, groups, path};
use std::fs;

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn a_bundle_that_cannot_be_is_refused_in_one_line_and_leaves_nothing() {
    let home = Home::new();
    let id = home.id("bad");
    let mut wrong = Vec::new();
    for bad in BAD {
        let bundle = spoiled(bad).unwrap();
        let before = mounts();
        let line = home.refused(&["create", "--bundle", path(bundle.path()), &id]);
        if !bad.names.iter().all(|name| line.contains(name)) {
            wrong.push((bad.name, bad.names, line));
        }
        assert_eq!((home.names(), groups(&id)), (vec![], vec![]), "{}", bad.name);
        assert_eq!(mounts(), before, "{}", bad.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_id_that_cannot_be_is_refused_in_one_line() {
    let (home, bundle) = (Home::new(), Bundle::new(&["/bin/true"]).unwrap());
    for id in BAD_IDS {
        home.refused(&["create", "--bundle", path(bundle.path()), id]);
        assert_eq!(home.names(), Vec::<String>::new());
    }
}
