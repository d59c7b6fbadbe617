//! `bailiwick run` and `bailiwick plan`.

use crate::failure::Failure;
use crate::server::{self, Channel};
use crate::signals::Signals;
use bailiwick_client::Container;
use bailiwick_kernel_glue::linux::Linux;
use bailiwick_protocol::message::{DeleteMode, Page, Scope, Status, Stdio, Waiting};
use bailiwick_server::Loopback;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::path::Path;

/// Prints the plan, a page at a time.
pub(crate) fn plan(bundle: &Path) -> Result<(), Failure> {
    let (_server, factory) = server::start()?;
    let (directory, _) = server::open_bundle(bundle)?;
    let mut from = Some(0);
    while let Some(at) = from {
        from = factory.plan(Page { from: at }, &directory, |page| {
            print!("{}", page.text);
            page.next
        })?;
    }
    Ok(())
}

/// Runs the container to its end and gives its status as a shell would.
pub(crate) fn run(bundle: &Path, id: &str) -> Result<u8, Failure> {
    let (server, factory) = server::start()?;
    let (directory, path) = server::open_bundle(bundle)?;
    let container = factory.create(id, &path, Stdio::Inherit, &directory)?;
    let status = live(&server, &container);
    container.delete(DeleteMode::Force)?;
    status
}

/// Starts the container and waits, passing on the signals that come.
fn live(server: &Loopback<Linux>, container: &Container<Channel>) -> Result<u8, Failure> {
    let mut signals = Signals::catch()?;
    container.start()?;
    loop {
        // What is known already does not wake the sleeper.
        while server.pump(Waiting::No).is_some() {}
        if container.state(|state| state.status)? == Status::Stopped {
            return Ok(container.wait()?.status());
        }
        sleep(server, &signals)?;
        for signal in signals.take() {
            forward(container, signal)?;
        }
    }
}

/// Sleeps until the kernel or somebody outside has something to tell.
fn sleep(server: &Loopback<Linux>, signals: &Signals) -> Result<(), Failure> {
    let kernel = server.glue()?;
    let mut descriptors: Vec<PollFd<'_>> = signals
        .descriptors()
        .chain([kernel.as_fd()])
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    match poll(&mut descriptors, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Passes a signal on. One that comes when the program has ended already is nobody's.
fn forward(container: &Container<Channel>, signal: u8) -> Result<(), Failure> {
    match container.signal(signal, Scope::First) {
        Err(error) if container.state(|state| state.status)? != Status::Stopped => Err(error.into()),
        _ => Ok(()),
    }
}
