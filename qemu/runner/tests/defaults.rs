//! What ./qemu/run boots by default is in itself right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use bailiwick_manifest::parse::parse;
use bailiwick_runner::{bundles, programs};
use std::fs;

#[test]
fn the_default_manifest_names_default_bundles_only() {
    let qemu = programs::workspace().join("qemu");
    let names = bundles::names(&qemu.join("bundles")).unwrap();
    let text = fs::read_to_string(qemu.join("manifest.toml")).unwrap();
    let manifest = parse(&text, |name| names.iter().any(|known| known == name)).unwrap();
    assert!(manifest.containers.len() >= 4);
}

#[test]
fn every_default_bundle_has_a_configuration_and_a_program() {
    let sources = programs::workspace().join("qemu/bundles");
    let mut busybox = bundles::Busybox::installed().unwrap();
    for name in bundles::names(&sources).unwrap() {
        let mut tree = bailiwick_runner::tree::Tree::default();
        bundles::add(&mut tree, &mut busybox, &sources, &name).unwrap();
        for file in ["config.json", "rootfs/bin/busybox", "rootfs/bin/sh"] {
            let path = format!("bundles/{name}/{file}");
            assert!(tree.entries().any(|(entry, _, _)| entry == path.as_bytes()), "{path}");
        }
        busybox = bundles::Busybox::installed().unwrap();
    }
}
