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
    /// Apart, as everything that is rare here, so that endpoints pay for no register that is used in it.
    #[inline(never)]
    fn other_mut(&mut self, object: Object) -> Option<&mut Holders> {
        self.others.get_mut(&object)
    }
    #[inline(never)]
    fn make_other(&mut self, object: Object) -> &mut Holders {
        self.others.entry(object).or_default()
    }
    #[inline(never)]
    fn make_endpoints(&mut self, count: usize) {
        self.endpoints.resize(count, Holders::default());
    }
    /// Those of an object that somebody holds, or has held.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, object: Object) -> Option<&mut Holders> {
        match object {
            Object::Endpoint(id) => self.endpoints.get_mut(id.0 as usize),
            other => self.other_mut(other),
        }
    }
    /// An object's holders, for which room is made: from then on they are found.
    #[inline(always)]
    pub(super) fn make(&mut self, object: Object) -> Option<&mut Holders> {
        let Object::Endpoint(id) = object else { return Some(self.make_other(object)) };
        let at = id.0 as usize;
        if self.endpoints.len() <= at {
            self.make_endpoints(at + 1);
        }
        self.endpoints.get_mut(at)
    }
    /// Forgets an object that nobody holds any more.
    #[inline(never)]
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
