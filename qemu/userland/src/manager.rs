//! The container manager as a process: the server of `bailiwick-server` between an endpoint and the kernel.
//!
//! It is called on one endpoint; what happens in containers interrupts its waiting there,
//! and so does the time at which a capability ends. Its first caller on the
//! endpoint itself, without a badge, is whoever made it: that caller gets the capability on the root factory, once.

use crate::alarm::Alarm;
use crate::slots::manager as slot;
use alloc::format;
use bailiwick_kernel_glue::metal::{Arrival, Authority, Endpoint, EndpointPort, GoneOf, Messages, Metal};
use bailiwick_kernel_glue::{KernelGlue, Port, ReplyToken};
use bailiwick_protocol::error::{ErrorReply, Refusal, RefusalCode};
use bailiwick_protocol::frame::Tag;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::{Reply, Waiting};
use bailiwick_server::{Leftover, Limits, Manager, Policy};

/// The bit of its notification that events of containers set,
const CONTAINERS: u64 = 1;
/// the one that says that nobody holds some badge any more,
const BADGE_ENDED: u64 = 2;
/// and the one that the alarm sets: a capability has ended by its time.
const TIME: u64 = 4;

/// Runs until nobody can call any more.
pub fn main(_: &str) -> u8 {
    let Ok(messages) = Messages::new() else { return 1 };
    let Ok((endpoint, port)) = Endpoint::new(slot::ENDPOINT, slot::EVENTS, BADGE_ENDED, messages) else {
        return 1;
    };
    let glue = Metal::new(Authority {
        group: slot::GROUP,
        host: slot::ROOT,
        events: slot::EVENTS,
        bits: CONTAINERS,
        console: slot::CONSOLE,
        clock: slot::CLOCK,
    });
    let Ok(alarm) = Alarm::new(slot::EVENTS, TIME) else { return 1 };
    let (manager, root) = Manager::new(Limits::default(), Policy::default());
    serve(endpoint, port, glue, manager, (root, &alarm))
}

fn serve(
    mut endpoint: Endpoint,
    mut port: EndpointPort,
    mut glue: Metal,
    mut manager: Manager,
    (root, alarm): (Badge, &Alarm),
) -> u8 {
    let mut unclaimed = Some(root);
    loop {
        let mut gone = GoneOf::Answers;
        if manager.leftover() == Leftover::Some {
            endpoint.come_back();
        }
        match endpoint.receive(&mut port) {
            Ok(Arrival::Event) => {
                gone = GoneOf::All;
                manager.sweep(&mut glue, &mut port);
                while let Some(event) = glue.next_event(Waiting::No) {
                    manager.event(&mut glue, &mut port, event);
                }
            }
            Ok(Arrival::Call(delivery)) => {
                manager.deliver(&mut glue, &mut port, delivery);
                port.park();
            }
            Ok(Arrival::Unbadged(token)) => match unclaimed.take() {
                Some(root) => claim(&mut port, token, root),
                None => tell(&mut port, token, &manager),
            },
            Err(_) => return 0,
        }
        while let Some(badge) = port.take_gone(gone) {
            manager.closed(&mut glue, &mut port, badge);
        }
        alarm.set(manager.next_expiry());
    }
}

/// Answers the first call of whoever holds the endpoint itself.
fn claim(port: &mut EndpointPort, token: ReplyToken, root: Badge) {
    port.reply(token, Some(root), |room| {
        let _ = Reply::Done.encode_in(Tag(0), room);
    });
}

/// Answers a later one: there is nothing more to be had, but such a caller may know how many records there are, and
/// whether they agree with each other.
fn tell(port: &mut EndpointPort, token: ReplyToken, manager: &Manager) {
    let (grants, containers) = (manager.grant_count(), manager.container_count());
    let text = match manager.audit() {
        Ok(()) => format!("the root factory was handed out; grants {grants}, containers {containers}"),
        Err(finding) => format!("the manager's records: {finding}"),
    };
    let told = ErrorReply::from(Refusal::new(RefusalCode::NotFound, text));
    port.reply(token, None, |room| {
        let _ = told.encode_in(Tag(0), room);
    });
}
