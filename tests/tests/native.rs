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

/// What each thing costs, in instructions, and a little: it is to get less, not more. What is inside the bracket is
/// told by the program, `qemu/userland/src/measure`.
const MOST: &[(&str, u64)] = &[
    ("null call", 80),
    ("round trip of 0 words", 240),
    ("round trip of 4 words", 254),
    ("round trip of 8 words", 236),
    ("round trip of 9 words", 520),
    ("round trip of 120 words", 745),
    ("round trip of 9 words by another buffer", 2980),
    ("round trip with room for a capability", 262),
    ("one capability in the call", 600),
    ("derive", 350),
    ("revoke of one child", 400),
    ("send by no capability", 185),
    ("round trip without a receiver waiting", 2720),
    ("round trip between two groups", 440),
];

/// Those in which a message tries the short way and cannot go it, and how often it does.
const MISSED: &[(&str, u64)] = &[
    ("round trip of 9 words by another buffer", 1),
    ("send by no capability", 1),
    ("round trip without a receiver waiting", 1),
];
/// What that costs at most, each time.
const MISS: u64 = 30;

/// How often ring 3 is left for each thing,
const ISOLATED: &[(&str, u64)] =
    &[("null call", 1), ("round trip of 0 words", 2), ("round trip of 120 words", 2), ("derive", 1)];
/// and what that costs at most with page-table isolation, each time.
const ISOLATION: u64 = 6;

#[test]
fn two_processes_exchange_messages_for_a_counted_price_and_no_handle_that_was_made_up_is_taken() {
    let built = programs::build().unwrap();
    let mut image = Tree::default();
    image.add("sbin/measure", guest::executable(programs::stripped(&built.join("measure")).unwrap()));
    let run_with = |options: &[&str], parameters: &str| {
        let command_line = format!("{parameters} native=/sbin/measure");
        let ran = guest::boot(options, &image, &command_line).unwrap();
        ran.ended_with(0).unwrap_or_else(|ran| panic!("{ran:#?}"))
    };
    let run = |parameters| run_with(&["--icount"], parameters);
    let lines = run("");
    for word in ["handles that were made up: 0 taken", "registers: 0 wrong", "answers: 0 wrong"] {
        assert!(lines.iter().any(|line| line == word), "{lines:#?}");
    }
    for (word, most) in MOST {
        let count = figure(&lines, word);
        assert!((20..=*most).contains(&count), "{word}: {count} instructions\n{lines:#?}");
    }
    for _ in 0..2 {
        let again = run("");
        for (word, _) in MOST {
            assert_eq!(figure(&again, word), figure(&lines, word), "{word}: two runs differ");
        }
    }
    let isolated = run_with(&["--icount", "--isolation"], "");
    for (word, times) in ISOLATED {
        let (with, without) = (figure(&isolated, word), figure(&lines, word));
        assert!(
            (without + 1..=without + ISOLATION * times).contains(&with),
            "{word}: {with}, {without} without"
        );
    }
    let long = run("messages=long");
    for (word, times) in MISSED {
        let (with, without) = (figure(&lines, word), figure(&long, word));
        assert!(with <= without + MISS * times, "{word}: {with}, and {without} if it is not tried");
    }
    for word in ["round trip of 0 words", "round trip between two groups"] {
        assert!(figure(&lines, word) < figure(&long, word) / 4, "{word}: the short way is not used");
    }
}
