//! Native programs on our own kernel, in ring 3: two of them exchange messages, and one makes handles up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_runner::programs;
use bailiwick_runner::tree::Tree;
use bailiwick_tests::guest;

/// What the program has counted, behind this word.
fn figure(lines: &[String], word: &str) -> u64 {
    let line = lines.iter().find_map(|line| line.strip_prefix(word)?.strip_prefix(": "));
    let number = line.and_then(|rest| rest.split(',').next()).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no {word} in {lines:#?}"))
}

#[test]
fn two_processes_exchange_messages_for_a_counted_price_and_no_handle_that_was_made_up_is_taken() {
    let built = programs::build().unwrap();
    let mut image = Tree::default();
    image.add("sbin/measure", guest::executable(programs::stripped(&built.join("measure")).unwrap()));
    let run = || {
        let ran = guest::boot(&["--icount"], &image, "native=/sbin/measure").unwrap();
        ran.ended_with(0).unwrap_or_else(|ran| panic!("{ran:#?}"))
    };
    let lines = run();
    assert!(lines.iter().any(|line| line == "handles that were made up: 0 taken"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(", 0 wrong")), "{lines:#?}");
    // What it costs today and a little: it is to get less, not more.
    for (word, most) in [("null call", 330), ("round trip", 2200)] {
        let count = figure(&lines, word);
        assert!((100..=most).contains(&count), "{word}: {count} instructions");
    }
}
