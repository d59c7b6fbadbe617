//! What a call costs the heap: nothing, unless it makes something.
//!
//! The allocator counts while the manager handles one message; this transport allocates nothing. Operations that the
//! kernel is asked about are left out, for the model kernel allocates.
#![allow(clippy::unwrap_used, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::Model;
use bailiwick_kernel_glue::{Delivery, Port, ReplyToken};
use bailiwick_protocol::frame::{FrameBuffer, Tag, decode_reply};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Limits;
use bailiwick_tests::desk::{Desk, bundle};

/// A transport that keeps the last answer, in room it has had from the start.
#[derive(Default)]
struct Last {
    frame: FrameBuffer,
    answers: u32,
}

impl Port for Last {
    fn reply(&mut self, _: ReplyToken, _: Option<Badge>, write: impl FnOnce(&mut FrameBuffer)) {
        write(&mut self.frame);
        self.answers += 1;
    }
    fn revoke(&mut self, _: Badge) {}
}

/// Allocations of the manager for one request, which must be answered at once and with success.
fn allocations(desk: &mut Desk, badge: Badge, request: &Request<'_>) -> u64 {
    let (mut room, mut port) = (FrameBuffer::new(), Last::default());
    let frame = request.encode_in(Tag(1), &mut room).unwrap();
    let delivery = Delivery { badge, frame, directory: None, capabilities: 0, token: ReplyToken(u64::MAX) };
    let counted = allocation_counter::measure(|| {
        desk.manager.deliver(&mut desk.glue, &mut port, delivery);
    });
    assert_eq!(port.answers, 1, "{request:?}");
    assert_eq!(
        port.frame.get(..2),
        Some(&[0, 0][..]),
        "{request:?}: {:?}",
        decode_reply::<()>(Tag(1), &port.frame)
    );
    counted.count_total
}

fn create(desk: &mut Desk, id: &str, args: &[&str]) -> Badge {
    let request = Request::Create(Create { id, bundle: "/bundles/b", stdio: Stdio::Log });
    desk.call(desk.root, &request, Some(&bundle(args))).unwrap().mint.unwrap()
}

#[test]
fn no_operation_that_the_manager_answers_from_its_own_records_allocates() {
    let mut desk = Desk::new(Model::new(1), Limits::default());
    let (root, running) = (desk.root, create(&mut desk, "runs", &["/bin/sleep", "100"]));
    let ended = create(&mut desk, "ended", &["/bin/true"]);
    for badge in [running, ended] {
        desk.call(badge, &Request::Start, None).unwrap();
    }
    desk.call(ended, &Request::Wait, None).unwrap();
    let hello = Request::Hello(Hello { version_min: 1, version_max: 1 });
    let logs = Request::Logs(Logs { cursor: 0, waiting: Waiting::No });
    let each = [
        (root, Request::Describe),
        (root, Request::List(Page { from: 0 })),
        (root, Request::Usage),
        (running, hello),
        (running, Request::Describe),
        (running, Request::Sync),
        (running, Request::State),
        (running, logs),
        (ended, Request::Wait),
    ];
    let counted = each.map(|(badge, request)| (allocations(&mut desk, badge, &request), request));
    let some: Vec<_> = counted.iter().filter(|(count, _)| *count > 0).collect();
    assert!(some.is_empty(), "{some:?}");
}

#[test]
fn deriving_and_looking_up_allocate_only_while_the_table_of_grants_grows() {
    let mut desk = Desk::prompt();
    let badge = create(&mut desk, "c", &["/bin/true"]);
    let derive = Request::Derive(Derive::new(Rights::INSPECT));
    let rounds = 1000;
    let count: u64 = (0..rounds).map(|_| allocations(&mut desk, badge, &derive)).sum();
    assert!(count < rounds / 2, "{count} allocations for {rounds} grants");
}
