//! The options of `./qemu/run`: what they do, and what they say when they cannot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{Run, run};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

#[test]
fn nonsense_is_refused_with_what_is_wrong_before_anything_is_built() {
    for (arguments, reason) in [
        (&["--bundle", "web"][..], "NAME=DIR is expected"),
        (&["--bundle", "a/b=/tmp"], "cannot be a name under /bundles"),
        (&["--bundle", "web=/no/where"], "/no/where: no such directory"),
        (&["--memory", "1"], "8..=4096"),
        (&["--memory", "much"], "invalid digit"),
        (&["--machine", "pdp11"], "possible values: microvm, q35"),
        (&["--timeout", "-1"], "unexpected argument"),
        (&["--timeout", "0"], "1.."),
        (&["--flag"], "unexpected argument '--flag'"),
        (&["exec"], "unexpected argument 'exec'"),
        (&["--iso", "/tmp/x.iso", "--gdb"], "cannot be used with"),
        (&["--bundle", "a=/tmp", "--bundle", "a=/"], "two bundles are called \"a\""),
    ] {
        let run = run(arguments).unwrap();
        assert_eq!((run.status, run.text.as_str()), (Some(2), ""), "{arguments:?}: {}", run.errors);
        assert!(run.errors.contains(reason), "{arguments:?}: {}", run.errors);
        assert!(!run.errors.contains("building"), "{}", run.errors);
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    for (arguments, reason) in [
        (&["--manifest", "/no/manifest"][..], "qemu/run: cannot read /no/manifest: No such file"),
        (&["--iso", "/no/where/disc.iso"], "/no/where/disc.iso"),
    ] {
        let run = run(arguments).unwrap();
        assert_eq!(run.status, Some(1), "{}", run.errors);
        assert!(run.errors.lines().last().unwrap().contains(reason), "{}", run.errors);
    }
}

#[test]
fn a_bundle_that_is_given_takes_the_place_of_the_default_one_of_its_name() {
    let hello = Bundle::script("echo another hello").unwrap();
    let run = run(&["--bundle", &format!("hello={}", hello.path().display())]).unwrap();
    assert_eq!(run.lines_of("hello"), ["another hello"], "{}", run.text);
    assert_eq!(run.status, Some(0), "{}", run.text);
}

#[test]
fn a_disc_boots_the_same_system_on_a_pc() {
    let folder = tempfile::tempdir().unwrap();
    let disc = folder.path().join("disc.iso");
    let made =
        run(&["--iso", disc.to_str().unwrap(), "--exec", "list; run x shell; exec x hostname"]).unwrap();
    assert_eq!(made.status, Some(0), "{}", made.errors);
    let output = Command::new("timeout")
        .args(["--kill-after=5", "240", "qemu-system-x86_64", "-M", "q35", "-m", "128", "-cpu", "max"])
        .args(["-accel", "tcg,thread=single", "-display", "none", "-no-reboot", "-serial", "stdio"])
        .args(["-nodefaults", "-vga", "std", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-cdrom"])
        .arg(&disc)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let ran = Run { text, errors: String::new(), status: output.status.code() };
    // The service may just be between its two lives.
    assert!(ran.output(0).contains("hello "), "{}", ran.text);
    assert_eq!((ran.output(2).as_str(), ran.status), ("box\n", Some(33)), "{}", ran.text);
}

#[test]
fn a_debugger_finds_the_machine_before_its_first_instruction() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut machine = Command::new(bailiwick_runner::programs::workspace().join("qemu/run"))
        .arg(format!("--gdb={}", free.port()))
        .args(["--timeout", "240"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut errors = machine.stderr.take().unwrap();
    while !said.contains("booting") {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "{said}");
        said.push(char::from(byte[0]));
    }
    assert!(said.contains(&free.to_string()), "{said}");
    // The remote protocol: why did it stop? Then: go on, and the machine boots.
    let mut gdb = loop {
        match TcpStream::connect(free) {
            Ok(gdb) => break gdb,
            Err(_) => assert!(machine.try_wait().unwrap().is_none(), "QEMU ended"),
        }
    };
    gdb.write_all(b"$?#3f").unwrap();
    let mut answer = [0; 4];
    gdb.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+$T0", "{answer:?}");
    gdb.write_all(b"+$c#63").unwrap();
    let output = machine.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("4 of 4 containers") && output.status.success(), "{text}");
}
