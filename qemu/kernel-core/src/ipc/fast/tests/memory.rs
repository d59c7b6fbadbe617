//! What happens to the pages of buffers.

use super::*;

#[test]
fn whatever_happens_to_a_buffer_the_next_long_message_comes_out_as_if_nothing_had_been_seen() {
    for change in CHANGES {
        for of_client in [true, false] {
            for answer in [true, false] {
                let (mut short, mut long) = (pair(), pair());
                let mut went = [false; 2];
                for (at, p) in [&mut short, &mut long].into_iter().enumerate() {
                    if answer {
                        p.seen_and_called()
                    } else {
                        p.seen()
                    }
                    let of = if of_client { p.client } else { p.server };
                    p.change(of, change);
                    for went in &mut went {
                        let made = if answer { p.answers(LONG) } else { p.sends(LONG) };
                        if p.w.k.threads.state(made.by) != State::Runnable {
                            continue;
                        }
                        if at == 0 {
                            *went = p.go(made);
                        } else {
                            p.go_long(made);
                        }
                    }
                }
                let what = format!("{change:?} of the client {of_client}, answer {answer}");
                assert_eq!(state(&short), state(&long), "{what}");
                assert!(!went[0], "{what}");
            }
        }
    }
}

#[test]
fn what_happens_to_memory_that_nobody_has_seen_takes_the_short_way_from_nobody() {
    let mut p = pair();
    p.seen();
    let other = p.w.actor();
    p.fill(other, 3);
    for change in [Change::Fork, Change::Protect, Change::Unmap(0)] {
        p.change(other, change);
    }
    p.kill(other);
    // A page that comes to be where none was moves none.
    p.w.write(p.client.process, PAGES + 2 * PAGE as u64, &[1]);
    let sent = p.sends(LONG);
    assert!(p.try_short(sent));
    let other = p.w.thread(p.server.process);
    p.w.k.end_thread(other, Exit::Code(0));
    let answered = p.answers(LONG);
    assert!(p.try_short(answered));
}
