//! Long random histories.

use super::*;

/// One of the things that threads do, for both pairs.
fn random(dice: &mut Dice, p: &Pair) -> Option<Made> {
    let threads: Vec<ThreadId> = p.w.k.threads.iter().map(|(id, _)| id).collect();
    let by = threads[dice.below(threads.len() as u64) as usize];
    if p.w.k.threads.state(by) != State::Runnable {
        return None;
    }
    let server = p.w.k.threads.get(by).unwrap().process == p.server.process;
    let call = match (dice.below(12), server) {
        (0, _) => Call::Reply,
        (1, true) => Call::Receive,
        (2, true) => Call::ParkReply,
        (3, _) => Call::Receive,
        (_, true) => Call::ReplyReceive,
        (_, false) => Call::Send,
    };
    let handle = match call {
        Call::Reply => dice.below(2) * 33,
        _ if server => p.own.0,
        _ => p.port.0,
    };
    let length = [0, 8, 24, 33, 56, 64, 65, 72, 1000, 4096][dice.below(10) as usize];
    let info = MessageInfo::new(length).with_room(dice.below(8).saturating_sub(5) as usize);
    let info = info.with_capabilities(dice.below(12).saturating_sub(9) as usize);
    Some(Made { by, call, handle, info })
}

#[test]
fn random_exchanges_come_out_alike_with_and_without_the_short_way() {
    let (mut went, mut missed) = (0, 0);
    for seed in 1..=60 {
        let mut dice = Dice::new(seed);
        let (mut short, mut long) = (pair(), pair());
        for p in [&mut short, &mut long] {
            p.buffers();
            if seed % 2 == 0 {
                p.other_group(p.client);
            }
            if seed % 4 == 0 {
                p.freeze_another();
            }
        }
        for step in 0..300 {
            let passed = dice.below(1000);
            short.pass(passed);
            long.pass(passed);
            if dice.below(40) == 0 && short.w.k.threads.count() < 6 {
                let process = if dice.below(3) == 0 { short.server.process } else { short.client.process };
                let made = [&mut short, &mut long].map(|p| p.w.thread(process));
                let names_buffer = dice.below(2) == 0;
                for (p, thread) in [&mut short, &mut long].into_iter().zip(made) {
                    if names_buffer {
                        p.w.enter(thread, Call::SetBuffer, PAGES, 0);
                    }
                }
            }
            if dice.below(60) == 0 {
                let last = short.w.k.threads.iter().map(|(id, _)| id).last().unwrap();
                if last.0 > 1 {
                    for p in [&mut short, &mut long] {
                        p.w.k.end_thread(last, Exit::Code(0));
                    }
                }
            }
            let (change, of_client) = (dice.below(100) as usize, dice.below(2) == 0);
            if change < CHANGES.len() {
                for p in [&mut short, &mut long] {
                    let of = if of_client { p.client } else { p.server };
                    p.renew(of);
                    p.change(of, CHANGES[change]);
                    p.renew(of);
                }
            }
            let Some(made) = random(&mut dice, &short) else { continue };
            let words = core::array::from_fn(|_| dice.below(1 << 40));
            let seed = dice.below(256) as u8;
            for p in [&mut short, &mut long] {
                p.w.words(made.by, words);
                let process = p.w.k.threads.get(made.by).unwrap().process;
                if p.w.k.with_memory(process, |space, s| space.write(s, PAGES, &[seed; 200])).is_none() {
                    panic!("a thread without memory");
                }
                // Some are one's own, some are nobody's, and some get lost on the way.
                let by = if process == p.server.process { p.server } else { p.client };
                if made.info.capabilities() > 0 && p.w.k.caps.room(by.space) > 0 {
                    let how = [Transfer::Copy, Transfer::Move, Transfer::Badged][usize::from(seed % 3)];
                    let words = [(); 3].map(|()| gift(p, by, Rights(0xff ^ (seed & 3)), how));
                    put_words(p, by, &words[..2 + usize::from(!seed.is_multiple_of(5))]);
                }
            }
            if short.go(made) {
                went += 1
            } else {
                missed += 1
            }
            long.go_long(made);
            assert_eq!(state(&short), state(&long), "seed {seed} step {step} {made:?}");
        }
        // Which of two threads of one group has had the time is not known so well.
        let [groups, same] = [&mut short, &mut long].map(|p| p.accounts()[0].clone());
        assert_eq!(groups, same, "seed {seed}");
    }
    assert!(went > 1000 && missed > 1000, "{went} went the short way, {missed} the long one");
}
