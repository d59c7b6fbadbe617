//! The console as a person uses it: keys on a terminal, and what they show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::system::PROMPT;
use bailiwick_tests::terminal::Terminal;

const INTERRUPT: &str = "\x03";
const UP: &str = "\x1b[A";
const LEFT: &str = "\x1b[D";
/// What the line editor draws behind a line that is finished.
const DRAWN: &str = "\x1b[K\n";

/// Types a line at the prompt; gives what it shows until the next prompt.
fn command(terminal: &mut Terminal, keys: &str) -> String {
    terminal.keys(&format!("{keys}\r")).unwrap();
    terminal.until(DRAWN).unwrap();
    terminal.until(PROMPT).unwrap()
}

#[test]
fn a_person_edits_lines_interrupts_waits_uses_vi_in_a_container_and_powers_off() {
    let mut t = Terminal::run(&["--timeout", "300"]).unwrap();
    let boot = t.until(PROMPT).unwrap();
    assert!(
        boot.contains("init: service: started") && boot.contains("refused: config.json: linux.intelRdt"),
        "{boot}"
    );

    // The drill of the manifest is over once the service has come up again, and nothing else will be shown by itself.
    while t.all().matches("service | up\n").count() < 2 {
        t.until("service | up\n").unwrap();
    }

    // Whoever may observe sees that it was restarted, and why.
    let events = command(&mut t, "events");
    let of_service = events.lines().filter(|line| line.contains(" service "));
    let told: Vec<&str> =
        of_service.map(|line| line.rsplit("  ").next().unwrap_or_default().trim()).collect();
    let life = ["created", "started", "ended: signal KILL", "restarted (1)", "created", "started"];
    assert_eq!(told, life, "{events}");

    // Lines are edited, remembered and explained; none is wider than the terminal.
    let help = command(&mut t, "hepl\x7f\x7flp");
    assert!(help.contains("wait ID") && help.contains("poweroff"), "{help}");
    assert!(help.lines().all(|line| line.chars().count() < 80), "{help}");
    assert!(command(&mut t, "fly").contains("fly: no such command; help lists them"));
    assert!(command(&mut t, &format!("lst{LEFT}{LEFT}i")).contains("service              running"));
    let again = command(&mut t, &format!("{UP}{UP}{UP}{UP}\x1b[B\x1b[B\x1b[B\x1b[B{UP}"));
    assert!(again.contains("service              running"), "{again}");

    // Ctrl-C gives up a line, a wait, everything behind it on the line, and a program that runs in front. What is
    // typed ahead is not lost.
    t.keys(&format!("fly away{INTERRUPT}")).unwrap();
    t.until("^C\n").unwrap();
    t.until(PROMPT).unwrap();
    for _ in 0..3 {
        t.keys("wait service; fly\r").unwrap();
        t.until(DRAWN).unwrap();
        t.keys(INTERRUPT).unwrap();
        assert_eq!(t.until(PROMPT).unwrap(), "^C\n");
    }
    t.keys("exec service sh -c 'echo begun; exec sleep 1000'\r").unwrap();
    t.until("\nbegun\n").unwrap();
    t.keys(INTERRUPT).unwrap();
    assert!(t.until(PROMPT).unwrap().contains("it ended with status 130"));
    t.keys("exec service sh -c \"trap : INT; echo begun; while :; do sleep 1000; done\"\r").unwrap();
    t.until("\nbegun\n").unwrap();
    t.keys(INTERRUPT).unwrap();
    t.until("^C\n").unwrap();
    t.keys(INTERRUPT).unwrap();
    assert!(t.until(PROMPT).unwrap().contains("it ended with status 137"));
    t.keys("exec service sh -c 'echo slow; sleep 0.5'\rstate hello\r").unwrap();
    t.until("\nslow\n").unwrap();
    t.until("\"id\": \"hello\"").unwrap();
    t.until(PROMPT).unwrap();
    // The interrupted waits have left nothing that a further one, or the end itself, would trip over.
    command(&mut t, "kill joiner KILL; delete hello");

    // A container on the terminal: its keys are its own, Ctrl-C included, and a file is edited with vi.
    t.keys("run -t box console\r").unwrap();
    t.until("box:~# ").unwrap();
    t.keys("tty\r").unwrap();
    t.until("\n/dev/console\n").unwrap();
    t.keys("sh -c 'test -t 0 && echo terminal; exec sleep 1000'\r").unwrap();
    t.until("\nterminal\n").unwrap();
    t.keys(INTERRUPT).unwrap();
    t.until("box:~# ").unwrap();
    t.keys("vi /tmp/letter\r").unwrap();
    t.until("- /tmp/letter").unwrap();
    // As fast as it shows, not faster: an escape with more behind it would be taken for a key.
    for (keys, shown) in [
        ("idear reader", "reader"),
        ("\x1b", "- /tmp/letter [Modified]"),
        ("0xiD", "I /tmp/letter [Modified]"),
        ("\x1b", "- /tmp/letter [Modified]"),
        (":wq\r", "box:~# "),
    ] {
        t.keys(keys).unwrap();
        t.until(shown).unwrap();
    }
    t.keys("cat /tmp/letter; exit 3\r").unwrap();
    t.until("\nDear reader\n").unwrap();
    t.until(PROMPT).unwrap();
    assert!(command(&mut t, "wait box; exec service echo still up").contains("3\nstill up\n"));
    let stopped = command(&mut t, "stats box");
    assert!(stopped.contains("pids     0,"), "{stopped}");
    let refused = command(&mut t, "run chest console");
    assert!(refused.contains("run -t chest console"), "{refused}");

    t.keys("poweroff\r").unwrap();
    let (status, rest) = t.end().unwrap();
    assert_eq!(status.code(), Some(0), "{rest}");
    lines_end_alike(&t);
}

/// Every line, whoever wrote it, has come as the serial line carries it: with one CR before its LF.
fn lines_end_alike(t: &Terminal) {
    let lines: Vec<&[u8]> = t.bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for line in lines.iter().filter(|line| line.ends_with(b"\n")) {
        let carriage_returns = line.iter().rev().skip(1).take_while(|byte| **byte == b'\r').count();
        assert_eq!(carriage_returns, 1, "{:?}", String::from_utf8_lossy(line));
    }
}

#[test]
fn the_escape_leaves_qemu_whatever_runs() {
    let mut t = Terminal::run(&["--timeout", "300"]).unwrap();
    t.until(PROMPT).unwrap();
    t.keys("\x1dx").unwrap();
    let (status, rest) = t.end().unwrap();
    assert_ne!(status.code(), Some(0));
    assert!(rest.contains("QEMU was told to quit before the machine was off"), "{rest}");
}
