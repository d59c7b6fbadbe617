//! The honest neighbour: keeps calling the manager and holds each answer against the one it must get.

use super::{Order, beat};
use crate::shell::BundleDirectory;
use crate::slots::process as slot;
use crate::{console::Serial, sys};
use alloc::format;
use bailiwick_abi::Handle;
use bailiwick_client::Factory;
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_protocol::Rights;
use bailiwick_protocol::message::{DeleteMode, Exit, Page, Stdio};
use bailiwick_userland_core::{Bundles, Console};

/// The container it has all the time.
pub(super) const KEPT: &str = "kept";
/// Every so many rounds it runs a container from beginning to end.
const LIFE_EVERY: u64 = 16;

struct Neighbour {
    factory: Factory<EndpointChannel>,
    bundles: BundleDirectory,
    calls: u64,
    wrong: u64,
}

/// Calls until it is told to stop.
pub(super) fn main() -> u8 {
    let Ok(messages) = Messages::new() else { return 1 };
    let factory = Factory::new(EndpointChannel::new(messages, slot::FACTORY));
    let bundles = BundleDirectory(Handle::first(slot::DIRECTORIES));
    let mut own = Neighbour { factory, bundles, calls: 0, wrong: 0 };
    own.begin();
    let mut round = 0;
    loop {
        match super::order() {
            Order::GoOn => {}
            Order::Pause => super::pause(),
            Order::Stop => break,
        }
        own.ask();
        if round % LIFE_EVERY == 0 {
            own.live();
        }
        round += 1;
        beat();
    }
    let text = format!("neighbour: {} calls, {} answered wrongly\n", own.calls, own.wrong);
    Serial(slot::CONSOLE).write(text.as_bytes());
    sys::exit(u8::from(own.wrong > 0))
}

impl Neighbour {
    fn check(&mut self, right: bool) {
        self.calls += 1;
        self.wrong += u64::from(!right);
    }

    fn begin(&mut self) {
        let made = self
            .bundles
            .open("true")
            .ok()
            .and_then(|directory| self.factory.create(KEPT, "true", Stdio::Log, &directory).ok());
        self.check(made.is_some());
    }

    /// What it owns is as it was, and what is not its own is not there.
    fn ask(&mut self) {
        let usage = self.factory.usage();
        self.check(usage.is_ok_and(|usage| usage.used.containers == 1));
        let list = self.factory.list(Page { from: 0 });
        self.check(list.is_ok_and(|list| list.rows.len() == 1));
        let kept = self.factory.lookup(KEPT, Rights::INSPECT);
        self.check(
            kept.as_ref().is_ok_and(|kept| {
                kept.state(|state| state.id == KEPT && state.pid.is_some()).unwrap_or(false)
            }),
        );
        self.check(self.factory.lookup("victim", Rights::INSPECT).is_err());
    }

    /// A container that runs to its end.
    fn live(&mut self) {
        let Ok(directory) = self.bundles.open("true") else { return self.check(false) };
        let made = self.factory.create("brief", "true", Stdio::Log, &directory);
        let Ok(container) = made else { return self.check(false) };
        self.check(container.start().is_ok());
        self.check(container.wait().is_ok_and(|exit| exit == Exit::Code(0)));
        self.check(container.delete(DeleteMode::Stopped).is_ok());
    }
}
