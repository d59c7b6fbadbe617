//! The shell over a loopback: what is typed and what is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_client::Factory;
use bailiwick_kernel_glue::model::Model;
use bailiwick_protocol::Rights;
use bailiwick_protocol::message::{Exec, Request, Stdio};
use bailiwick_server::Loopback;
use bailiwick_userland_core::shell::{PROMPT, Shell, Tally, Terminal};
use bailiwick_userland_core::{Attention, Bundles, Console, Patient, Waited};
use common::{Channel, Paper, Shelf};

fn shelf() -> Shelf {
    let mut annotated = common::config(&["sleep", "1000"]);
    annotated["annotations"] = serde_json::json!({"a.b": "one \"two\"\n", "c": ""});
    let mut rdt = common::config(&["true"]);
    rdt["linux"]["intelRdt"] = serde_json::json!({"closID": "x"});
    let mut screen = common::config(&["sh"]);
    screen["process"]["terminal"] = true.into();
    Shelf::default()
        .with("hello", &["sh", "-c", "echo hello; exit 3"])
        .with("quiet", &["true"])
        .with("sleeper", &["sleep", "1000"])
        .with("cat", &["cat"])
        .with("missing", &["/no/such/program"])
        .with_config("annotated", annotated)
        .with_config("rdt", rdt)
        .with_config("screen", screen)
}

fn shell(rights: Rights) -> (Loopback<Model>, Shell<Channel, Shelf, Patient>) {
    let (loopback, factory) = common::world();
    let narrow = factory.derive(rights).unwrap();
    // The first factory lives as long as the loopback: what is derived from it would end with it.
    std::mem::forget(factory);
    (loopback, Shell::new(narrow, shelf(), Patient))
}

fn run(shell: &Shell<Channel, Shelf, Patient>, commands: &str) -> (String, Tally) {
    let mut paper = Paper::default();
    let tally = shell.run_list(commands, &mut paper);
    (paper.text(), tally)
}

/// What one command prints, without its echo.
fn output(shell: &Shell<Channel, Shelf, Patient>, command: &str) -> String {
    let (text, _) = run(shell, command);
    text.strip_prefix(&format!("{PROMPT}{command}\n")).expect(&text).to_owned()
}

#[test]
fn each_command_is_echoed_before_its_output_and_failures_stop_nothing() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    let (text, tally) = run(&shell, "run a quiet ; wait a; fly; delete 'a");
    let expected = "bailiwick> run a quiet\nbailiwick> wait a\n0\nbailiwick> fly\n\
                    fly: no such command; help lists them\nbailiwick> delete 'a\nthe ' is not closed\n";
    assert_eq!(text, expected);
    assert_eq!(tally, Tally { ran: 4, failed: 2 });
}

#[test]
fn a_container_is_run_waited_for_read_and_deleted() {
    let (loopback, shell) = shell(Rights::FACTORY);
    let before = loopback.glue().unwrap().census();
    assert_eq!(output(&shell, "run a hello"), "");
    assert_eq!(output(&shell, "wait a"), "3\n");
    assert_eq!(output(&shell, "logs a"), "hello\n");
    assert!(output(&shell, "list").contains("a                    stopped       -  exit 3\n"));
    assert_eq!(output(&shell, "delete a"), "");
    assert_eq!(output(&shell, "list").lines().count(), 1);
    assert_eq!(loopback.glue().unwrap().census(), before);
    assert_eq!(loopback.manager().unwrap().grant_count(), 2);
}

#[test]
fn the_state_is_the_json_of_the_specification() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    run(&shell, "create a annotated; create b quiet");
    let state: serde_json::Value = serde_json::from_str(&output(&shell, "state a")).unwrap();
    assert_eq!(state["status"], "created");
    assert_eq!((&state["id"], &state["bundle"]), (&"a".into(), &"/bundles/annotated".into()));
    assert!(state["pid"].as_u64().unwrap() > 0);
    assert_eq!(state["annotations"], serde_json::json!({"a.b": "one \"two\"\n", "c": ""}));
    let state: serde_json::Value = serde_json::from_str(&output(&shell, "state b")).unwrap();
    assert_eq!(state["annotations"], serde_json::json!({}));
}

#[test]
fn signals_pause_and_delete_follow_the_specification() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    run(&shell, "run a sleeper");
    assert!(output(&shell, "delete a").contains("delete a: "));
    assert_eq!(output(&shell, "pause a"), "");
    assert!(output(&shell, "list").contains("paused"));
    assert_eq!(output(&shell, "resume a"), "");
    assert_eq!(output(&shell, "kill a KILL"), "");
    assert_eq!(output(&shell, "wait a"), "137\n");
    assert!(output(&shell, "kill a").starts_with("kill a: "));
    run(&shell, "delete a; run a sleeper");
    assert_eq!(output(&shell, "delete --force a"), "");
    assert!(output(&shell, "state a").starts_with("state a: a: not found"));
}

#[test]
fn exec_shows_output_and_fails_with_the_programs_status() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    run(&shell, "run a sleeper");
    assert_eq!(output(&shell, "exec a echo 'one  two' three"), "one  two three\n");
    let (text, tally) = run(&shell, "exec a sh -c 'echo x; exit 4'");
    assert!(text.ends_with("x\nexec a: it ended with status 4\n"));
    assert_eq!(tally.failed, 1);
    let (text, tally) = run(&shell, "exec a /no/such");
    assert_eq!((text.lines().count(), tally.failed), (2, 1));
    assert!(output(&shell, "ps a").lines().count() >= 2);
    assert!(output(&shell, "stats a").contains("pids     1, limit"));
}

#[test]
fn refusals_are_one_line_that_names_the_thing() {
    let (loopback, shell) = shell(Rights::FACTORY);
    let before = loopback.glue().unwrap().census();
    for (command, part) in [
        ("run a rdt", "run a: config.json: linux.intelRdt"),
        ("run a nowhere", "run a: bundle \"nowhere\": no such file or directory"),
        ("run ../a quiet", "container id: begins with a dot"),
        ("run a missing", "/no/such/program"),
        ("plan rdt", "plan rdt: config.json: linux.intelRdt"),
        ("start b", "start b: b: not found"),
        ("run a screen", "gives it no terminal: the value is not valid; run -t a screen gives it this one"),
    ] {
        let (text, tally) = run(&shell, command);
        assert!(text.contains(part), "{text}");
        assert_eq!((text.lines().count(), tally.failed), (2, 1), "{text}");
    }
    assert_eq!(loopback.glue().unwrap().census(), before);
}

#[test]
fn a_plan_is_shown_and_nothing_is_done() {
    let (loopback, shell) = shell(Rights::FACTORY);
    let before = loopback.glue().unwrap().census();
    let plan = output(&shell, "plan quiet");
    assert!(plan.contains("pivot_root"), "{plan}");
    assert_eq!(loopback.glue().unwrap().census(), before);
}

#[test]
fn a_shell_can_do_what_its_rights_allow_and_says_so() {
    let (_loopback, shell) = shell(Rights::CREATE | Rights::LIST | Rights::INSPECT);
    let text = output(&shell, "whoami");
    assert!(
        text.starts_with("a Factory capability, 1 derivations from the first\nrights: inspect create list\n")
    );
    assert_eq!(output(&shell, "create a quiet"), "");
    assert!(output(&shell, "start a").starts_with("start a: START: the capability does not hold the right"));
    assert!(output(&shell, "state a").starts_with("{\n"));
}

#[test]
fn a_program_reads_the_lines_that_are_typed_for_it_until_their_end() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    assert_eq!(output(&shell, "run -i a cat"), "");
    for line in ["input a one", "input a 'two  words'", "input a"] {
        assert_eq!(output(&shell, line), "");
    }
    assert_eq!(output(&shell, "wait a"), "0\n");
    assert_eq!(output(&shell, "logs a"), "one\ntwo  words\n");
    assert!(output(&shell, "input a more").starts_with("input a: the process has ended"));
    run(&shell, "run b sleeper");
    assert!(output(&shell, "input b x").starts_with("input b: its input is no pipe"));
}

#[test]
fn an_input_that_is_full_says_how_much_it_took() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    run(&shell, "run -i a sleeper");
    let (line, mut left) = ("x".repeat(2999), bailiwick_kernel_glue::model::INPUT_MAX);
    while left >= 3000 {
        assert_eq!(output(&shell, &format!("input a {line}")), "");
        left -= 3000;
    }
    let full = format!("input a: it is full, {left} of 3000 bytes were taken");
    assert!(output(&shell, &format!("input a {line}")).starts_with(&full));
}

#[test]
fn what_is_stored_with_a_container_is_named_by_its_path() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    run(&shell, "run desk sleeper; run work sleeper; run other sleeper");
    assert_eq!(output(&shell, "grant desk job work inspect signal observe"), "");
    assert_eq!(output(&shell, "grant work mate other inspect"), "");
    let taken = output(&shell, "take desk job");
    assert!(
        taken.contains("a Container capability") && taken.contains("rights: inspect observe signal\n"),
        "{taken}"
    );
    assert!(output(&shell, "state desk/job").contains("\"id\": \"work\""));
    // Only who may run programs in `work` gets further.
    assert!(output(&shell, "state desk/job/mate").contains("EXEC: the capability does not hold the right"));
    assert!(output(&shell, "state work/mate").contains("\"id\": \"other\""));
    assert!(output(&shell, "pause desk/job").contains("PAUSE: the capability does not hold the right"));
    assert!(output(&shell, "grant desk job other inspect").starts_with("grant desk: job: the id is taken"));
    assert!(output(&shell, "take desk nothing").starts_with("take desk: nothing: not found"));
    run(&shell, "kill desk/job KILL");
    assert_eq!(output(&shell, "wait desk/job"), "137\n");
    run(&shell, "delete work; run work sleeper");
    assert!(output(&shell, "state desk/job").contains("job: not found"), "it was on the life that has ended");
}

#[test]
fn a_shell_without_a_factory_uses_what_it_was_handed() {
    let (loopback, factory) = common::world();
    let held = |id, rights| {
        let made = factory.create(id, "/b", Stdio::Log, &shelf().open("sleeper").unwrap()).unwrap();
        made.start().unwrap();
        made.derive(rights).unwrap()
    };
    let (narrow, whole) = (held("a", Rights::INSPECT | Rights::OBSERVE), held("b", Rights::CONTAINER));
    // A capability on a process stands where a factory would.
    let exec = Exec { args: "true\0", env: "", cwd: None, user: None, stdio: Stdio::Log };
    let none = Factory::new(whole.exec(exec).unwrap().1.into_channel());
    let shell = Shell::new(none, shelf(), Patient).hold("mine", narrow).hold("b", whole);
    assert!(output(&shell, "state mine").contains("\"id\": \"a\""));
    assert!(
        output(&shell, "kill mine").starts_with("kill mine: SIGNAL: the capability does not hold the right")
    );
    assert!(output(&shell, "list").contains("list: "));
    assert!(output(&shell, "state a").starts_with("state a: "));
    let grants = loopback.manager().unwrap().grant_count();
    assert_eq!(output(&shell, "exec b echo inside"), "inside\n");
    run(&shell, "state b; kill b KILL; wait b");
    assert_eq!(loopback.manager().unwrap().grant_count(), grants, "nothing is left of a command");
}

/// Interrupts every wait.
struct Impatient;

impl Attention<Channel> for Impatient {
    fn until_answered(&self, _: &Channel, _: &Request<'_>) -> Waited {
        Waited::Interrupted
    }
}

#[test]
fn an_interrupted_wait_gives_up_the_rest_of_its_line_and_leaves_nothing() {
    let (loopback, factory) = common::world();
    let shell = Shell::new(factory, shelf(), Impatient);
    let keys = b"run a sleeper\rwait a; list\rstate a\rpoweroff\r".to_vec();
    let mut terminal = Typed { keys, screen: Paper::default() };
    shell.converse(&mut terminal, 80);
    let text = terminal.screen.text();
    assert!(text.contains("wait a; list\x1b[K\n^C\n") && !text.contains("STATUS"), "{text:?}");
    assert!(text.contains("\"status\": \"running\""), "{text:?}");
    // The factory, the container's own grant, and none for the waits.
    assert_eq!(loopback.manager().unwrap().grant_count(), 1);
}

/// A terminal with something typed already.
struct Typed {
    keys: Vec<u8>,
    screen: Paper,
}

impl Console for Typed {
    fn write(&mut self, bytes: &[u8]) {
        self.screen.write(bytes);
    }
}
impl Terminal for Typed {
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = self.keys.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.keys[..count]);
        self.keys.drain(..count);
        (count > 0).then_some(count)
    }
}

#[test]
fn a_conversation_ends_at_poweroff() {
    let (_loopback, shell) = shell(Rights::FACTORY);
    let mut terminal =
        Typed { keys: b"run a quiet; wait a\rpoweroff\rlist\r".to_vec(), screen: Paper::default() };
    shell.converse(&mut terminal, 80);
    let text = terminal.screen.text();
    assert!(text.contains("wait a\x1b[K\n0\n\rbailiwick> "), "{text:?}");
    assert!(!text.contains("STATUS"));
}
