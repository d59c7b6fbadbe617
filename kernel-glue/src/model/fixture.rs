//! The model under the contract.

use super::directory::PROGRAM;
use super::{Directory, Model};
use crate::contract::bundle::{ENTRIES, Entry};
use crate::contract::{Census, Fixture};
use crate::plan::{Hook, HookKind};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A model with the contract's bundle.
#[derive(Debug)]
pub struct ModelFixture {
    model: Model,
    bundle: Directory,
    seen: usize,
}

impl ModelFixture {
    /// Tries this model.
    pub fn new(model: Model) -> Self {
        let bundle = ENTRIES.iter().fold(Directory::new(), |tree, entry| match *entry {
            Entry::Directory(path) => tree.directory(path),
            Entry::File(path, text) => tree.file(path, text),
            Entry::Link(path, target) => tree.link(path, target),
            Entry::Busybox(path) => tree.program(path, PROGRAM),
        });
        ModelFixture { model, bundle, seen: 0 }
    }
}

impl Fixture for ModelFixture {
    type Glue = Model;

    fn glue(&mut self) -> &mut Model {
        &mut self.model
    }

    fn directory(&mut self) -> Result<Directory, String> {
        Ok(self.bundle.clone())
    }

    fn census(&mut self) -> Census {
        let census = self.model.census();
        [
            ("processes", census.processes),
            ("namespaces", census.namespaces),
            ("mounts", census.mounts),
            ("groups", census.groups),
            ("keys", census.keys),
        ]
        .map(|(name, count)| (name, count as u64))
        .to_vec()
    }

    fn traced(&mut self, kind: HookKind) -> Option<Hook> {
        let args = Vec::from(["busybox".to_string(), "true".to_string()]);
        Some(Hook { kind, path: "/bin/busybox".to_string(), args, env: Vec::new(), timeout: None })
    }

    fn trail(&mut self) -> Vec<HookKind> {
        let new = self.model.hooks().get(self.seen..).unwrap_or_default().to_vec();
        self.seen = self.model.hooks().len();
        new
    }
}
