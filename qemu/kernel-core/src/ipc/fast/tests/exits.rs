//! Every way out of the short way.

use super::*;

/// A way out of the short way: what brings it about, and the call that takes it.
type Exits = [(&'static str, fn(&mut Pair) -> Made)];

const EXITS: &Exits = &[
    ("a long message by buffers through which none has come", |p| {
        p.buffers();
        p.ready();
        p.sends(MessageInfo::new(65))
    }),
    ("a long message by another buffer", |p| {
        p.seen();
        assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, PAGES + PAGE as u64, 0)), OK);
        p.sends(LONG)
    }),
    ("a long message to another buffer", |p| {
        let other = p.seen_and_replaced();
        p.w.enter(other, Call::SetBuffer, PAGES, 0);
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.sends(LONG)
    }),
    ("a long message to who named no buffer", |p| {
        let other = p.seen_and_replaced();
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.sends(LONG)
    }),
    ("a message longer than it can be", |p| {
        p.seen();
        p.sends(MessageInfo::new(4097))
    }),
    ("a long message with a bit that means nothing", |p| {
        p.seen();
        p.sends(MessageInfo(1 << 40 | 1000))
    }),
    ("a long answer, and the server's buffer is another", |p| {
        p.seen_and_called();
        assert_eq!(back(p.w.enter(p.server.thread, Call::SetBuffer, PAGES + PAGE as u64, 0)), OK);
        p.answers(LONG)
    }),
    ("a long answer to a caller without a buffer", |p| {
        p.seen();
        let other = p.w.thread(p.client.process);
        p.w.enter(other, Call::Send, p.port.0, 0);
        p.answers(LONG)
    }),
    ("a capability beside it", |p| {
        p.buffers();
        p.ready();
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability that may not be handed on", |p| {
        p.seen();
        let handle = p.w.give(p.client, Capability { object: p.object, rights: Rights::WRITE, badge: 9 });
        put_words(p, p.client, &[CapabilityWord::new(handle, Rights::ALL, Transfer::Copy)]);
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability that was made up beside a long message", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Copy);
        put_words(p, p.client, &[word, CapabilityWord::default()]);
        p.fill(p.client, 9);
        p.sends(LONG.with_capabilities(2))
    }),
    ("a badge by who may make none", |p| {
        p.seen();
        let object = p.object;
        let handle = p.w.give(p.client, Capability { object, rights: Rights(!Rights::CREATE.0), badge: 0 });
        put_words(p, p.client, &[CapabilityWord::new(handle, Rights::ALL, Transfer::Badged)]);
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a badge on what has one", |p| {
        p.seen();
        let handle = p.w.give(p.client, Capability { object: p.object, rights: Rights::ALL, badge: 9 });
        put_words(p, p.client, &[CapabilityWord::new(handle, Rights::ALL, Transfer::Badged)]);
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability that is moved twice", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Move);
        put_words(p, p.client, &[word, word]);
        p.sends(SMALL.with_capabilities(2))
    }),
    ("more capabilities than there is room for", |p| {
        p.seen();
        let words = [(); 4].map(|()| gift(p, p.client, Rights::ALL, Transfer::Copy));
        put_words(p, p.client, &words);
        p.sends(SMALL.with_capabilities(4))
    }),
    ("a capability, and the page of them has gone", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Copy);
        put_words(p, p.client, &[word]);
        p.change(p.client, Change::Unmap(1));
        p.sends(SMALL.with_capabilities(1))
    }),
    ("a capability, and the kernel's heap is nearly full", |p| {
        p.seen();
        let word = gift(p, p.client, Rights::ALL, Transfer::Copy);
        put_words(p, p.client, &[word]);
        p.w.k.mem.hw.heap_free = HEAP_RESERVE - 1;
        p.sends(SMALL.with_capabilities(1))
    }),
    ("an answer with a capability for which there is no room", |p| {
        p.seen_and_called();
        let word = gift(p, p.server, Rights::ALL, Transfer::Copy);
        put_words(p, p.server, &[word]);
        p.answers(SMALL.with_capabilities(4))
    }),
    ("more room than there can be", |p| {
        p.buffers();
        p.ready();
        p.sends(SMALL.with_room(5))
    }),
    ("room without a buffer", |p| {
        p.ready();
        p.sends(SMALL.with_room(1))
    }),
    ("a bit that means nothing", |p| {
        p.ready();
        p.sends(MessageInfo(1 << 40 | 8))
    }),
    ("a length beyond what it can be", |p| {
        p.ready();
        p.sends(MessageInfo(0x1fff))
    }),
    ("a handle that was made up", |p| {
        p.ready();
        Made { handle: 999, ..p.sends(SMALL) }
    }),
    ("a handle of another generation", |p| {
        p.ready();
        Made { handle: p.port.0 | 1 << 32, ..p.sends(SMALL) }
    }),
    ("a capability that was deleted", |p| {
        p.ready();
        assert_eq!(back(p.w.enter(p.client.thread, Call::Delete, p.port.0, 0)), OK);
        p.sends(SMALL)
    }),
    ("a capability of another kind", |p| {
        p.ready();
        let clock = p.w.give(p.client, Capability::all(Object::Clock));
        Made { handle: clock.0, ..p.sends(SMALL) }
    }),
    ("no right to call", |p| {
        p.ready();
        let mute = p.w.give(p.client, Capability { object: p.object, rights: Rights::READ, badge: 0 });
        Made { handle: mute.0, ..p.sends(SMALL) }
    }),
    ("nobody who receives", |p| p.sends(SMALL)),
    ("two who receive", |p| {
        p.ready();
        let other = p.w.thread(p.server.process);
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.sends(SMALL)
    }),
    ("a receiver of another group that is frozen", |p| {
        p.ready();
        let [group, _] = p.other_group(p.server);
        p.freeze(group);
        p.sends(SMALL)
    }),
    ("a receiver of another group in one that is frozen", |p| {
        p.ready();
        let [_, outer] = p.other_group(p.server);
        p.freeze(outer);
        p.sends(SMALL.with_room(0))
    }),
    ("a receiver of another group that has used its time up", |p| {
        let [_, outer] = p.other_group(p.server);
        p.throttle(p.server, outer);
        p.ready();
        p.sends(SMALL)
    }),
    ("a long message to a receiver of another group, and the buffer is another", |p| {
        p.seen();
        p.other_group(p.server);
        assert_eq!(back(p.w.enter(p.client.thread, Call::SetBuffer, PAGES + PAGE as u64, 0)), OK);
        p.sends(LONG)
    }),
    ("an answer that is long by buffers through which nothing long has come", |p| {
        p.buffers();
        p.called();
        p.answers(MessageInfo::new(100))
    }),
    ("an answer that offers room without a buffer", |p| {
        p.called();
        p.answers(SMALL.with_room(1))
    }),
    ("a capability that cannot receive", |p| {
        p.called();
        let mute = p.w.give(p.server, Capability { object: p.object, rights: Rights::WRITE, badge: 3 });
        Made { handle: mute.0, ..p.answers(SMALL) }
    }),
    ("a handle to receive by that was made up", |p| {
        p.called();
        Made { handle: 31, ..p.answers(SMALL) }
    }),
    ("nothing to be answered", |p| p.answers(SMALL)),
    ("an answer that was parked", |p| {
        p.called();
        p.w.enter(p.server.thread, Call::ParkReply, 0, 0);
        p.answers(SMALL)
    }),
    ("another who calls already", |p| {
        p.called();
        p.another_calls();
        p.answers(SMALL)
    }),
    ("another who receives already", |p| {
        p.called();
        let other = p.w.thread(p.server.process);
        p.w.enter(other, Call::Receive, p.own.0, 0);
        p.answers(SMALL)
    }),
    ("an event", |p| {
        let Came::Back(OK, [note, ..]) = p.w.enter(p.server.thread, Call::NotificationCreate, 0, 0) else {
            panic!("no notification")
        };
        assert_eq!(back(p.w.enter(p.server.thread, Call::Bind, note, p.own.0)), OK);
        p.called();
        assert_eq!(back(p.w.enter(p.server.thread, Call::Signal, note, 4)), OK);
        p.answers(SMALL)
    }),
    ("a caller that is gone", |p| {
        p.called();
        p.kill(p.client);
        p.answers(SMALL)
    }),
    ("a caller that is gone, and another at its position", |p| {
        p.called();
        p.kill(p.client);
        p.w.actor();
        p.answers(SMALL)
    }),
    ("a caller of another group that is frozen", |p| {
        p.called();
        let [group, _] = p.other_group(p.client);
        p.freeze(group);
        p.answers(SMALL)
    }),
    ("a caller of another group that has used its time up", |p| {
        let [group, _] = p.other_group(p.client);
        p.throttle(p.client, group);
        p.called();
        p.answers(SMALL)
    }),
];

#[test]
fn every_way_out_of_the_short_way_has_changed_nothing_and_the_long_way_finds_the_call_as_it_was_made() {
    for (why, prepare) in EXITS {
        let (mut tried, mut never) = (pair(), pair());
        let (made, same) = (prepare(&mut tried), prepare(&mut never));
        for p in [&mut tried, &mut never] {
            p.w.words(made.by, [1, 2, 3, 4, 5, 6, 7, 8]);
            p.w.run(made.by);
        }
        let before = state(&tried);
        assert!(!tried.try_short(made), "{why}: it went the short way");
        assert_eq!(state(&tried), before, "{why}");
        tried.go_long(made);
        never.go_long(same);
        assert_eq!(state(&tried), state(&never), "{why}");
    }
}
