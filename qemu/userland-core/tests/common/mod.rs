//! A manager over the model kernel, bundles in memory, a console that remembers.
#![allow(dead_code, reason = "each test program uses its part")]

use bailiwick_client::Factory;
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_server::{Limits, Loopback, LoopbackChannel, Policy};
use bailiwick_userland_core::{Bundles, Console};
use std::collections::BTreeMap;

pub(crate) type Channel = LoopbackChannel<Model>;

pub(crate) fn world() -> (Loopback<Model>, Factory<Channel>) {
    let (loopback, root) = Loopback::new(Model::new(1), Limits::default(), Policy::default());
    (loopback, Factory::new(root))
}

/// Bundles by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf(BTreeMap<String, Directory>);

impl Shelf {
    pub(crate) fn with(mut self, name: &str, args: &[&str]) -> Self {
        self.0.insert(name.into(), Directory::bundle(config(args).to_string()));
        self
    }
    pub(crate) fn with_config(mut self, name: &str, config: serde_json::Value) -> Self {
        self.0.insert(name.into(), Directory::bundle(config.to_string()));
        self
    }
}

impl Bundles for Shelf {
    type Directory = Directory;
    type Error = &'static str;

    fn open(&self, name: &str) -> Result<Directory, &'static str> {
        self.0.get(name).cloned().ok_or("no such file or directory")
    }
}

/// What `runc spec` writes, without a terminal and with this program.
pub(crate) fn config(args: &[&str]) -> serde_json::Value {
    let text = include_str!("../../../../server/tests/data/runc-spec.json");
    let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = args.into();
    config
}

#[derive(Debug, Default)]
pub(crate) struct Paper(pub(crate) Vec<u8>);

impl Paper {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}
impl Console for Paper {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
