//! A first client: makes a container, hands a narrower capability on, takes it back.
//!
//! It speaks to a manager in the same process, over the model of a kernel, so it runs anywhere and needs no
//! privilege: `cargo run -q -p bailiwick-tests --example client`. On another transport only [`root_factory`]
//! changes: a client never knows what carries its frames.

use bailiwick_client::Factory;
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_protocol::message::{DeleteMode, Scope, Stdio};
use bailiwick_protocol::rights::Rights;
use bailiwick_server::{Limits, Loopback, LoopbackChannel, Policy};
use std::error::Error;

/// A factory that holds every right: what init is handed at boot.
fn root_factory() -> Factory<LoopbackChannel<Model>> {
    let (_, channel) = Loopback::new(Model::new(1), Limits::default(), Policy::default());
    Factory::new(channel)
}

fn main() -> Result<(), Box<dyn Error>> {
    let factory = root_factory();
    let bundle = Directory::bundle(bailiwick_tests::desk::config(&["sleep", "1000"]).to_string());

    // The container is the capability: no request names an id.
    let web = factory.create("web", "/bundles/web", Stdio::Log, &bundle)?;
    web.start()?;
    println!("{:?}", web.state(|state| state.status)?);

    // Whoever is given this one may look and nothing else.
    let viewer = web.derive(Rights::INSPECT)?;
    println!("{:?}", viewer.describe()?.rights);
    if let Err(refused) = viewer.signal(9, Scope::First) {
        println!("signal: {refused}");
    }

    // Taken back in one call, whoever holds it by now.
    web.revoke()?;
    if let Err(revoked) = viewer.describe() {
        println!("describe: {revoked}");
    }

    web.signal(9, Scope::First)?;
    println!("{:?}", web.wait()?);
    web.delete(DeleteMode::Stopped)?;
    Ok(())
}
