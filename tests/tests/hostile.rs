//! Hostile programs in ring 3 against our own kernel and the container manager, beside an honest one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_runner::programs;
use bailiwick_runner::tree::Tree;
use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::guest;

/// What comes of each attack, every time that it is made.
const OUTCOMES: &[(&str, &str)] = &[
    ("frames", "4097 answered, 904 refused, 0 lost"),
    ("words", "79 answered, 1921 refused, 0 lost"),
    ("handles", "none taken"),
    ("kinds", "none taken"),
    ("badges", "rebadged false, derived as it was true, 12 of 12 refused, handed on false"),
    ("names", "the same answer true, 0 capabilities"),
    ("capabilities", "600 answered, 0 refused, 0 lost"),
    ("addresses", "none taken; 2 of 6 messages answered, 0 lost"),
    ("unwanted", "300 without an answer, 0 otherwise"),
    ("odd calls", "14 came back"),
    ("deeds", "40 deeds done"),
    ("slots", "filled true, then Err(Error(32)), 992 endpoints, left behind"),
    ("chain", "992 of 992 dead, 992 again, left behind"),
    ("threads", "63 more, then no slot is left (28)"),
    ("memory", "ended with OutOfMemory"),
    (
        "objects",
        "992 memory objects, then no slot is left (28); 4 thousand mappings, then out of memory (12); \
         991 notifications, left behind",
    ),
    ("shared memory", "1500 came back, 0 lost"),
    ("parked", "8 of 24 were refused, 16 left waiting"),
    ("outlived", "the capability was revoked"),
    ("queued", "60 threads left calling"),
    ("killed", "Signal(9)"),
    ("own endpoint", "Signal(9)"),
    ("crowd", "16 of 16 got all their answers"),
];

/// Everything that a booted system has, with the hostile program in place of init.
fn image() -> Tree {
    let built = programs::build().unwrap();
    let mut image = Tree::default();
    for directory in ["bundles", "dev", "etc", "proc", "run/containers", "sbin", "sys", "tmp"] {
        image.directories(directory);
    }
    for name in ["hostile", "manager"] {
        let program = programs::stripped(&built.join(name)).unwrap();
        image.add(format!("sbin/{name}"), guest::executable(program));
    }
    for (name, program) in [("true", &["/bin/true"][..]), ("forever", &["/bin/sleep", "100000"])] {
        let bundle = Bundle::new(program).unwrap();
        image.copy(&format!("bundles/{name}"), bundle.path()).unwrap();
    }
    image
}

#[test]
fn hostile_programs_get_what_is_due_to_them_and_others_keep_getting_answers_and_nothing_leaks() {
    let ran = guest::boot(&[], &image(), "native=/sbin/hostile").unwrap();
    let lines = ran.ended_with(0).unwrap_or_else(|ran| panic!("{ran:#?}"));
    for (name, outcome) in OUTCOMES {
        let said: Vec<&str> =
            lines.iter().filter_map(|line| line.strip_prefix(&format!("{name}: "))).collect();
        assert!(said.len() >= 2 && said.iter().all(|text| text == outcome), "{name}: {said:#?}");
        assert!(lines.contains(&format!("{name} left: nothing")), "{name}: {lines:#?}");
    }
    let neighbour = lines
        .iter()
        .find_map(|line| line.strip_prefix("neighbour: ")?.strip_suffix(" calls, 0 answered wrongly"));
    let calls: u32 = neighbour.and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(calls > 1000, "{calls}");
}
