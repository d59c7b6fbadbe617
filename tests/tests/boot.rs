//! Our own kernel boots in QEMU and runs unmodified Linux programs as Linux does.
//!
//! The program is named by a boot parameter and prepared by a shell script that mounts what a runtime would. What it
//! writes is held line by line against what it writes in a container of runc on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::guest::{self, KERNEL_FAULT};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// How both kernels start a script: one pipe for everything it writes, so that the order is the order of the writes.
const RUN_SCRIPT: &str = "exec /script 2>&1";

/// A bundle with this script at /script.
fn bundle(script: &str) -> Bundle {
    let bundle = Bundle::new(&["/bin/sh", "-c", RUN_SCRIPT]).unwrap();
    let path = bundle.rootfs().join("script");
    let first = if script.starts_with("#!") { "" } else { "#!/bin/sh\n" };
    fs::write(&path, format!("{first}{script}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    bundle
}

/// The lines of a script that is to end with `status`, in a machine with these options.
fn lines_with(options: &[&str], bundle: &Bundle, status: u8) -> Vec<String> {
    let mut image = guest::image(&bundle.rootfs()).unwrap();
    for name in ["hostile", "registers"] {
        image.add(name, guest::program(&format!("{name}.s")).unwrap());
    }
    let ran = guest::boot(options, &image, "linux=/.start /script").unwrap();
    ran.ended_with(status).unwrap_or_else(|ran| panic!("{ran:#?}"))
}

fn lines(script: &str) -> Vec<String> {
    lines_with(&[], &bundle(script), 0)
}

#[test]
fn each_machine_powers_off_with_the_status_of_its_program() {
    let seven = bundle("echo ran; exit 7");
    for options in [&["--machine", "microvm"][..], &["--machine", "q35"], &["--memory", "256"], &["--icount"]]
    {
        assert_eq!(lines_with(options, &seven, 7), ["ran"], "{options:?}");
    }
}

#[test]
fn a_kernel_that_cannot_go_on_says_why_and_ends_with_a_status_no_program_has() {
    let image = guest::image(&bundle("").rootfs()).unwrap();
    for (command_line, why) in [("quiet", "nothing to run"), ("linux=/nothing", "/nothing cannot be started")]
    {
        let ran = guest::boot(&[], &image, command_line).unwrap();
        assert_eq!(ran.status, Some(KERNEL_FAULT), "{ran:#?}");
        assert!(ran.start.last().is_some_and(|line| line.contains(why)), "{ran:#?}");
    }
}

#[test]
fn counting_instructions_two_runs_are_the_same_to_the_nanosecond() {
    let script = bundle("sleep 0.05; for x in 1 2 3; do date +%N; done");
    let run = || lines_with(&["--icount"], &script, 0);
    assert_eq!(run(), run());
}

#[test]
fn whoever_keeps_the_processor_loses_it_to_the_others() {
    let script = "while :; do :; done & a=$!; while :; do :; done & b=$!
        sleep 0.2; kill $a $b; wait $a 2>/dev/null; echo $?; wait $b 2>/dev/null; echo $?";
    assert_eq!(lines(script), ["143", "143"]);
}

#[test]
fn registers_survive_interrupts_and_system_calls_while_others_use_them() {
    let script = "for x in a Z 0 -; do (/registers $x; echo $?) & done; wait";
    assert_eq!(lines(script), ["0"; 4]);
}

#[test]
fn what_ring_3_may_not_do_ends_the_program_and_nothing_else() {
    const SEGV: &str = "139";
    let expected = [
        ("masks interrupts", SEGV),
        ("halts", SEGV),
        ("writes a port", SEGV),
        ("reads a port", SEGV),
        ("changes page tables", SEGV),
        ("loads a descriptor table", SEGV),
        ("writes a model-specific register", SEGV),
        ("reads the kernel", SEGV),
        ("jumps into the kernel", SEGV),
        ("writes its text", SEGV),
        ("executes its stack", SEGV),
        ("calls by int 0x80", SEGV),
        ("executes what is no instruction", "132"),
        ("divides by zero", "136"),
        ("hits a breakpoint", "133"),
        ("reads an address that is no address", SEGV),
        ("reads where descriptor tables are", SEGV),
        ("pops flags it has no right to", "0"),
        ("steps over a system call", "133"),
        ("loads the kernel's data segment", SEGV),
        ("returns to ring 0", SEGV),
        ("swaps the kernel's gs in", SEGV),
        ("overflows its stack", SEGV),
        ("calls without a stack", "0"),
        ("calls with null segments", "0"),
        ("jumps to the end of its half", SEGV),
    ];
    let script = "for x in a b c d e f g h i j k l m n o p q r s t u v w x y z
        do /hostile $x 2>/dev/null; echo $?; done 2>/dev/null; echo here";
    let lines = lines(script);
    let named: Vec<_> =
        expected.iter().map(|(what, _)| *what).zip(lines.iter().map(String::as_str)).collect();
    assert_eq!(named, expected);
    assert_eq!(lines.last().map(String::as_str), Some("here"));
}

/// What QEMU's monitor says of a page that is mapped: its address and letters for what may be done with it.
fn mapped_page(line: &str) -> Option<(u64, &str)> {
    let (address, rest) = line.trim_end().split_once(": ")?;
    let (_, flags) = rest.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, flags))
}

#[test]
fn no_page_is_writable_and_executable_and_none_of_the_kernel_is_of_ring_3() {
    let image = guest::image(&bundle("echo ready; exec sleep 1000").rootfs()).unwrap();
    let answer = guest::ask_monitor(&[], &image, "linux=/.start /script", &["info tlb"]).unwrap();
    let pages: Vec<(u64, &str)> = answer.lines().filter_map(mapped_page).collect();
    // X stands for what may not be executed, W for written, U for ring 3.
    let has = |flags: &str, letter: char| flags.contains(letter);
    let upper = |address: u64| address >= 1 << 63;
    let both = pages.iter().find(|(_, flags)| has(flags, 'W') && !has(flags, 'X'));
    assert_eq!(both, None);
    assert_eq!(pages.iter().find(|(address, flags)| upper(*address) == has(flags, 'U')), None);

    // Where the kernel is linked: text, constants, variables; and the pages below the three stacks are missing.
    let own: Vec<(u64, &str)> =
        pages.into_iter().filter(|(address, _)| (BASE..BASE + (1 << 30)).contains(address)).collect();
    let gaps = own.windows(2).filter(|pair| pair[1].0 != pair[0].0 + 4096);
    let gaps: Vec<u64> = gaps.map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(gaps, [8192; 3]);
    assert!(own.iter().any(|(_, flags)| !has(flags, 'X')), "no text");
    assert!(own.iter().any(|(_, flags)| has(flags, 'X') && !has(flags, 'W')), "no constants");
}

#[test]
fn with_isolation_ring_3_has_nothing_of_the_kernel_but_its_ways_in_and_out() {
    let image = guest::image(&bundle("echo ready; while :; do :; done").rootfs()).unwrap();
    let questions = ["stop", "info registers", "info tlb"];
    // It may be stopped in the kernel, which a loop without system calls is in only for a moment now and then.
    let in_ring_3 = (0..5).find_map(|_| {
        let options = ["--isolation"];
        let answer = guest::ask_monitor(&options, &image, "linux=/.start /script", &questions).unwrap();
        answer.contains("CPL=3").then_some(answer)
    });
    let in_ring_3 = in_ring_3.unwrap();
    let pages = in_ring_3.lines().filter_map(mapped_page);
    let kernel: Vec<(u64, &str)> = pages.filter(|(address, _)| *address >= 1 << 63).collect();
    // Two stacks of 16 KiB, one page of instructions, one of what the processor reads.
    assert_eq!(kernel.len(), 4 + 4 + 1 + 1, "{kernel:x?}");
    assert!(kernel.iter().all(|(address, _)| (BASE..BASE + (1 << 30)).contains(address)), "{kernel:x?}");
    let may = |letter: char| kernel.iter().filter(|(_, flags)| flags.contains(letter)).count();
    assert_eq!((may('U'), may('W'), may('X')), (0, 9, 9), "{kernel:x?}");
}

/// Where the kernel is linked.
const BASE: u64 = 0xffff_ffff_8000_0000;

#[test]
fn the_end_of_a_child_is_never_missed() {
    let script =
        "i=0; while [ $i -lt 300 ]; do sleep 99 & kill $!; wait $! 2>/dev/null; i=$((i + 1)); done; echo $i";
    assert_eq!(lines(script), ["300"]);
}
