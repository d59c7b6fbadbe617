//! The contract of kernel-glue on our own kernel, in QEMU.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::contract::bundle::{ENTRIES, Entry};
use bailiwick_kernel_glue::contract::{self, Outcome, Report};
use bailiwick_kernel_glue::model::{Model, ModelFixture};
use bailiwick_runner::programs;
use bailiwick_runner::tree::{Kind, Node, Tree};
use bailiwick_tests::guest;
use std::fs;

const BUSYBOX: &str = "/bin/busybox";

/// The program, the host's busybox for hooks, and the contract's bundle.
fn image() -> Tree {
    let mut image = Tree::default();
    let built = programs::build().unwrap();
    for directory in ["bin", "contract", "proc", "sbin", "tmp"] {
        image.directories(directory);
    }
    image.add("sbin/contract", guest::executable(programs::stripped(&built.join("contract")).unwrap()));
    let busybox = image.add("bin/busybox", guest::executable(fs::read(BUSYBOX).unwrap()));
    let at = |path: &str| format!("contract/{path}");
    for entry in ENTRIES {
        match *entry {
            Entry::Directory(path) => image.directories(&at(path)),
            Entry::File(path, text) => drop(image.add(at(path), Node::new(0o644, Kind::File(text.into())))),
            Entry::Link(path, to) => drop(image.add(at(path), Node::new(0o777, Kind::Link(to.into())))),
            Entry::Busybox(path) => image.link(at(path), busybox),
        }
    }
    image
}

/// The names of all cases, in their order.
#[derive(Default)]
struct Names(Vec<&'static str>);

impl Report for Names {
    fn begin(&mut self, name: &'static str) {
        self.0.push(name);
    }
    fn end(&mut self, _: &'static str, _: Outcome) {}
}

fn names() -> Vec<&'static str> {
    let mut names = Names::default();
    contract::run(&mut ModelFixture::new(Model::new(1)), &mut names);
    names.0
}

/// Runs the program with these words, which must end well.
fn run(words: &str) -> Vec<String> {
    let ran = guest::boot(&["--memory", "128"], &image(), &format!("native=/sbin/contract {words}")).unwrap();
    let wrong: Vec<String> =
        ran.lines.windows(2).filter(|pair| !is_fine(&pair[1])).map(|pair| pair.join(" … ")).collect();
    ran.ended_with(0).unwrap_or_else(|ran| panic!("{wrong:#?}\nafter {:?}: {:?}", ran.lines.last(), ran.end))
}

fn is_fine(line: &str) -> bool {
    line == "passed" || line.starts_with("case ") || line.starts_with("contract: ")
}

#[test]
fn our_own_kernel_keeps_every_promise() {
    let lines = run("");
    let names = names();
    let (last, cases) = lines.split_last().unwrap();
    assert_eq!(*last, format!("contract: {} passed, 0 failed, 0 skipped", names.len()), "{lines:#?}");
    let (said, ends): (Vec<String>, Vec<String>) =
        cases.iter().cloned().partition(|line| line.starts_with("case "));
    assert_eq!(said, names.iter().map(|name| format!("case {name}")).collect::<Vec<_>>());
    assert_eq!(ends.iter().filter(|line| *line == "passed").count(), names.len(), "{lines:#?}");
}

#[test]
fn a_thousand_containers_come_and_go_and_the_kernel_is_as_it_was() {
    let lines = run("rounds=1000");
    let (rounds, last) = lines.split_last_chunk::<2>().unwrap();
    assert_eq!(rounds.iter().filter(|line| *line == "passed").count(), 20, "{lines:#?}");
    assert!(last[0].starts_with("rounds: 1000 lives, "), "{last:?}");
    assert_eq!(last[1], "kernel heap: 0 bytes less free");
    println!("{}", last[0]);
}

#[test]
fn nobody_gets_a_capability_that_was_taken_back_before_its_answer_was_sent() {
    let ran = guest::boot(&["--memory", "128"], &image(), "native=/sbin/contract play=answers").unwrap();
    let lines = ran.ended_with(0).unwrap_or_else(|ran| panic!("{ran:#?}"));
    assert_eq!(
        lines,
        [
            "kept: the caller got an answer and a capability; badges that were told gone: 1",
            "taken back: the caller got no answer; badges that were told gone: 0",
        ]
    );
}
