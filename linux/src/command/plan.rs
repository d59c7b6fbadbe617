//! `plan`: the kernel steps of a bundle, by a server embedded over the loopback channel.

use crate::failure::Failure;
use crate::output::print;
use crate::server;
use bailiwick_protocol::message::Page;
use std::path::Path;

/// Prints the plan, a page at a time.
pub(crate) fn plan(bundle: &Path) -> Result<(), Failure> {
    let (_server, factory) = server::start()?;
    let (directory, _) = server::open_bundle(bundle)?;
    let mut from = Some(0);
    while let Some(at) = from {
        from = factory.plan(Page { from: at }, &directory, |page| print(page.text).map(|()| page.next))??;
    }
    Ok(())
}
