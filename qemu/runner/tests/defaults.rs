//! What ./qemu/run boots by default is in itself right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use bailiwick_manifest::parse::parse;
use bailiwick_runner::tree::{Kind, Tree};
use bailiwick_runner::{bundles, programs};
use serde_json::Value;
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
fn every_default_bundle_has_a_configuration_of_its_own_and_a_program() {
    let sources = programs::workspace().join("qemu/bundles");
    let names = bundles::names(&sources).unwrap();
    // All in one tree, as they are packed: they share the program.
    let (mut tree, mut busybox) = (Tree::default(), bundles::Busybox::installed().unwrap());
    names.iter().for_each(|name| bundles::add(&mut tree, &mut busybox, &sources, name).unwrap());
    let program = fs::read("/bin/busybox").unwrap();
    for name in names {
        let at = |file: &str| {
            let path = format!("bundles/{name}/{file}");
            let found = tree.entries().find(|(entry, _, _)| *entry == path.as_bytes());
            found.unwrap_or_else(|| panic!("{path} is missing")).2.kind.clone()
        };
        let Kind::File(config) = at("config.json") else { panic!("{name}: config.json is no file") };
        let config: Value = serde_json::from_slice(&config).unwrap();
        let patch: Value =
            serde_json::from_slice(&fs::read(sources.join(format!("{name}.json"))).unwrap()).unwrap();
        assert_eq!(config["process"]["args"], patch["process"]["args"], "{name}");
        assert!(config["ociVersion"].is_string(), "{name}");
        assert!(at("rootfs/bin/busybox") == Kind::File(program.clone()), "{name}: another program");
        assert_eq!(at("rootfs/bin/sh"), Kind::Link(b"/bin/busybox".to_vec()), "{name}");
    }
}

#[test]
fn the_readme_tells_of_every_default_bundle_and_no_other() {
    let sources = programs::workspace().join("qemu/bundles");
    let readme = fs::read_to_string(sources.join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let mut told: Vec<&str> = rows.map(|(name, _)| name).filter(|name| *name != "bundle").collect();
    told.sort_unstable();
    assert_eq!(bundles::names(&sources).unwrap(), told);
}
