//! How many capabilities each object has: at its position for endpoints, which have most of them, and in a map for others.

use super::Object;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How many capabilities an object has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holders {
    pub(super) all: u32,
    /// Those with `READ`.
    pub(super) readers: u32,
    pub(super) loss: Loss,
}

/// Whether it is on the list of what went that a capability to an object did: once is enough, however many did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Loss {
    #[default]
    None,
    Listed,
}

/// The holders of all objects.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Counts {
    /// By position. One that nobody holds is as if it had never been held.
    endpoints: Vec<Holders>,
    others: BTreeMap<Object, Holders>,
}

impl Counts {
    pub(super) fn get(&self, object: Object) -> Option<&Holders> {
        match object {
            Object::Endpoint(id) => self.endpoints.get(id.0 as usize),
            other => self.others.get(&other),
        }
    }
    /// Those of an object that somebody holds, or has held.
    pub(super) fn get_mut(&mut self, object: Object) -> Option<&mut Holders> {
        match object {
            Object::Endpoint(id) => self.endpoints.get_mut(id.0 as usize),
            other => self.others.get_mut(&other),
        }
    }
    /// Makes room for an object's holders: from then on they are found.
    pub(super) fn make(&mut self, object: Object) {
        match object {
            Object::Endpoint(id) if self.endpoints.len() <= id.0 as usize => {
                self.endpoints.resize(id.0 as usize + 1, Holders::default());
            }
            Object::Endpoint(_) => {}
            other => {
                self.others.entry(other).or_default();
            }
        }
    }
    /// Forgets an object that nobody holds any more.
    pub(super) fn remove(&mut self, object: Object) {
        match object {
            Object::Endpoint(_) => {
                if let Some(holders) = self.get_mut(object) {
                    *holders = Holders::default();
                }
            }
            other => {
                self.others.remove(&other);
            }
        }
    }
}
