//! Containers by the names that commands use.

use super::{Result, Shell};
use crate::console::{Attention, Bundles};
use bailiwick_client::Container;
use bailiwick_protocol::channel::Channel;
use bailiwick_protocol::op::Op;
use bailiwick_protocol::rights::Rights;
use core::ops::Deref;

/// A capability on a container, for one command.
pub(super) enum Named<'s, C: Channel> {
    /// Its own: given up with the command, and with it every call that still waits on it.
    Own(Container<C>),
    /// The shell's, of which it may not derive a copy.
    Held(&'s Container<C>),
}

impl<C: Channel> Deref for Named<'_, C> {
    type Target = Container<C>;

    fn deref(&self) -> &Container<C> {
        match self {
            Named::Own(container) => container,
            Named::Held(container) => container,
        }
    }
}

impl<C: Channel, B: Bundles<Directory = C::Directory>, A: Attention<C>> Shell<C, B, A> {
    /// A capability on the container with this name, with just these rights where that can be had.
    pub(super) fn container(&self, name: &str, rights: Rights) -> Result<Named<'_, C>, C, B> {
        let (id, stored) = name.split_once('/').unzip();
        let mut named = match stored {
            Some(_) => self.direct(id.unwrap_or(name), Op::Take.rights())?,
            None => self.direct(name, rights)?,
        };
        for name in stored.into_iter().flat_map(|stored| stored.split('/')) {
            named = Named::Own(named.take(name)?);
        }
        Ok(named)
    }

    fn direct(&self, id: &str, rights: Rights) -> Result<Named<'_, C>, C, B> {
        match self.held.iter().find(|(name, _)| name == id) {
            Some((_, held)) => Ok(held.derive(rights).map_or(Named::Held(held), Named::Own)),
            None => Ok(Named::Own(self.factory.lookup(id, rights)?)),
        }
    }
}
