//! Parties of two groups.

use super::*;
use crate::group::Limits;

/// Messages back and forth between two groups, with time passing, are alike both ways: all that can be seen of the
/// threads at each step, and what everybody has on account in the end.
fn between_two_groups(info: MessageInfo, prepare: fn(&mut Pair)) {
    let (mut short, mut long) = (pair(), pair());
    for p in [&mut short, &mut long] {
        p.seen();
        p.other_group(p.client);
        prepare(p);
    }
    for round in 0..5 {
        for (made, by) in [(short.sends(info), short.client), (short.answers(info), short.server)] {
            for p in [&mut short, &mut long] {
                p.fill(by, round);
                p.w.words(by.thread, [1, 2, 3, 4, 5, 6, 7, 8]);
                p.w.run(by.thread);
                p.pass(100 + 10 * u64::from(round) + u64::from(by.thread.0));
            }
            assert!(short.try_short(made), "{info:?} {round}");
            long.go_long(made);
            assert_eq!(state(&short), state(&long), "{info:?} {round}");
        }
    }
    let accounts = short.accounts();
    assert_eq!(accounts, long.accounts(), "{info:?}");
    assert!(accounts[0].iter().any(|(id, cpu)| *id != GroupId::ROOT.0 && *cpu > 500));
}

#[test]
fn messages_between_two_groups_go_the_short_way_and_each_pays_for_its_own_time() {
    for length in [0, 8, 64, 65, 1000, 4096] {
        for room in [0, 2] {
            let info = MessageInfo::new(length).with_room(room);
            between_two_groups(info, |_| ());
            between_two_groups(info, Pair::freeze_another);
        }
    }
}

#[test]
fn a_group_that_spends_its_quota_on_messages_is_throttled_at_the_next_tick() {
    let mut p = pair();
    p.ready();
    let [group, _] = p.other_group(p.client);
    let limits = Limits { quota: Some(Quota { time: 5000, period: 1 << 40 }), ..Limits::default() };
    p.w.k.groups.get_mut(group).unwrap().set_limits(limits);
    for _ in 0..10 {
        p.w.run(p.client.thread);
        p.pass(1000);
        let (sent, answered) = (p.sends(SMALL), p.answers(SMALL));
        assert!(p.try_short(sent) && p.try_short(answered));
    }
    p.w.k.tick();
    assert!(!Scheduler::may_run(&p.w.k.groups, group), "it has had ten times its time");
    assert_eq!(p.w.k.groups.get(group).unwrap().usage.cpu, 10_000);
}

#[test]
fn any_number_of_threads_can_owe_time_and_it_is_paid_even_by_who_ends_before() {
    let (mut short, mut long) = (pair(), pair());
    let mut went = 0;
    for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
        p.ready();
        p.other_group(p.client);
        let clients: Vec<ThreadId> = (0..40).map(|_| p.w.thread(p.client.process)).collect();
        for (time, by) in clients.into_iter().enumerate() {
            p.w.run(by);
            p.pass(100 + time as u64);
            let sent = Made { by, ..p.sends(SMALL) };
            let answered = p.answers(SMALL);
            for made in [sent, answered] {
                if at == 0 {
                    went += usize::from(p.go(made));
                } else {
                    p.go_long(made);
                }
                p.pass(3);
            }
            if time % 3 == 0 {
                p.w.k.end_thread(by, Exit::Code(0));
            }
        }
    }
    assert_eq!(short.accounts(), long.accounts());
    assert!(went > 60, "{went} of 80 went the short way");
}
