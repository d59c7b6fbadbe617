//! What the checker accepts, and the line it names when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use bailiwick_manifest::parse::parse;
use bailiwick_manifest::{Boot, Console, Expect, Policy, Until};
use bailiwick_protocol::Rights;

const GOOD: &str = r#"
[[container]]
id = "db"
bundle = "b"
restart = { policy = "on-failure", max = 3, backoff_ms = 50 }
drill = { signal = "KILL", after_ms = 10 }
expect = { running = true, restarts = 1 }

[[container]]
id = "web"
bundle = "b"
after = [{ id = "db" }, { id = "init-db", until = "succeeded" }]
expect = { refused = "linux.intelRdt" }

[[container]]
id = "init-db"
bundle = "c"

[[process]]
name = "shell"
factory = ["create", "list"]
directories = ["/bundles"]
console = true
"#;

fn refused(text: &str) -> (usize, String) {
    let error = parse(text, |name| name != "absent").expect_err("the manifest is wrong");
    (error.line, error.message)
}

#[test]
fn a_full_manifest_is_read() {
    let manifest = parse(GOOD, |_| true).unwrap();
    let [db, web, init] = manifest.containers.as_slice() else { panic!("three containers") };
    assert_eq!((db.restart.policy, db.restart.max, db.restart.backoff_ms), (Policy::OnFailure, 3, 50));
    assert_eq!(db.drill.map(|d| d.signal), Some(9));
    assert_eq!(db.expect, Expect::Running { restarts: 1 });
    assert_eq!(web.after.iter().map(|a| a.until).collect::<Vec<_>>(), [Until::Started, Until::Succeeded]);
    assert_eq!(init.expect, Expect::Exit(0));
    assert_eq!(manifest.processes[0].factory, Rights::CREATE | Rights::LIST);
}

#[test]
fn the_compiled_form_reads_back_as_it_was() {
    let boot = Boot {
        manifest: parse(GOOD, |_| true).unwrap(),
        console: Console::Commands("list; state db".into()),
    };
    let bytes = boot.encode().unwrap();
    assert_eq!(Boot::decode(&bytes), Ok(boot));
    assert!((0..bytes.len()).all(|cut| Boot::decode(&bytes[..cut]).is_err()));
}

#[test]
fn errors_name_the_line() {
    let head = "[[container]]\nid = \"a\"\n";
    let cases: [(&str, usize, &str); 14] = [
        ("bundle = \"b\"\ncolour = 3\n", 4, "unknown field `colour`"),
        ("", 1, "missing field `bundle`"),
        ("bundle = \"absent\"\n", 3, "no bundle is called"),
        ("bundle = 5\n", 3, "invalid type"),
        ("bundle = \"b/c\"\n", 3, "not a name under /bundles"),
        ("bundle = \"b\"\nstart = \"later\"\n", 4, "unknown variant `later`"),
        ("bundle = \"b\"\n\nafter = [{ id = \"x\" }]\n", 5, "does not declare"),
        ("bundle = \"b\"\nafter = [\n  { id = \"a\" },\n]\n", 2, "comes after itself"),
        ("bundle = \"b\"\ndrill = { signal = \"KILLER\", after_ms = 1 }\n", 4, "no signal is called"),
        ("bundle = \"b\"\nexpect = { exit = 0, running = true }\n", 4, "expect is one of"),
        ("bundle = \"b\"\nexpect = { exit = 256 }\n", 4, "invalid value"),
        ("bundle = \"b\"\nrestart = { policy = \"always\", backoff_ms = 60001 }\n", 4, "at most 60000"),
        ("bundle = \"b\"\n[[container]]\nid = \"a\"\nbundle = \"b\"\n", 5, "declared twice"),
        ("bundle = \"b\"\n[[process]]\nname = \"shell\"\nfactory = [\"fly\"]\n", 6, "no right is called"),
    ];
    for (tail, line, text) in cases {
        let (at, message) = refused(&format!("{head}{tail}"));
        assert!(message.contains(text), "{tail:?}: {message}");
        assert!(!message.contains('\n'), "{message:?} is more than a line");
        assert_eq!(at, line, "{tail:?}: {message}");
    }
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    assert_eq!(refused("a = 1\n[[container\n").0, 2);
    assert_eq!(refused("[[container]]\nid = \"x/y\"\nbundle = \"b\"\n").0, 2);
}

#[test]
fn a_circle_of_three_is_found() {
    let text: String = [("a", "b"), ("b", "c"), ("c", "a")]
        .map(|(id, on)| {
            format!("[[container]]\nid = \"{id}\"\nbundle = \"b\"\nafter = [{{ id = \"{on}\" }}]\n")
        })
        .concat();
    assert!(refused(&text).1.contains("comes after itself"));
}

#[test]
fn a_boot_container_cannot_wait_for_a_manual_one() {
    let text = "[[container]]\nid = \"a\"\nbundle = \"b\"\nstart = \"manual\"\n\
                [[container]]\nid = \"c\"\nbundle = \"b\"\nafter = [{ id = \"a\" }]\n";
    assert!(refused(text).1.contains("start = \"boot\""));
}

#[test]
fn a_process_can_be_given_a_quota_and_a_policy_which_are_checked() {
    let text = |more: &str| format!("[[process]]\nname = \"shell\"\nfactory = [\"create\"]\n{more}\n");
    let read = |more: &str| parse(&text(more), |_| true);
    let shell = read("quota = { containers = 4, memory = 1_048_576 }\npolicy = \"restricted\"").unwrap();
    let shell = &shell.processes[0];
    assert_eq!(shell.quota.unwrap().memory, Some(1 << 20));
    assert_eq!(shell.policy.as_deref(), Some("include restricted"));
    assert!(shell.is_tenant());
    let full = read("policy = \"\"\"\ninclude baseline\nbind ro /srv/data\n\"\"\"").unwrap();
    assert_eq!(full.processes[0].policy.as_deref(), Some("include baseline\nbind ro /srv/data"));
    assert!(!read("").unwrap().processes[0].is_tenant());
    for (more, reason) in [
        ("policy = \"royal\"", "policy: line 1: include: \"royal\""),
        ("policy = \"\"\"\nuid 0-5\nfly high\n\"\"\"", "policy: line 2: \"fly\" is no word"),
        ("quota = { planets = 1 }", "unknown field `planets`"),
        ("quota = { memory = -1 }", "invalid value"),
        ("quota = { containers = 1 }\nfactory = []", "duplicate key"),
    ] {
        let error = read(more).unwrap_err();
        assert!(error.message.contains(reason) && error.line >= 4, "{error}");
    }
    let none = parse("[[process]]\nname = \"a\"\nquota = { containers = 1 }", |_| true).unwrap_err();
    assert!(none.message.starts_with("a quota without a factory"), "{none}");
}

#[test]
fn the_authority_of_a_manifest_is_drawn_whole() {
    let text =
        GOOD.replace("console = true", "console = true\npolicy = \"baseline\"\nquota = { containers = 3 }");
    let manifest = parse(&text, |_| true).unwrap();
    let tree = bailiwick_manifest::authority::tree(&manifest);
    for line in [
        "  process shell\n    holds a sub-factory of its own: create list\n    holds   at most 3 containers\n",
        "    holds   policy: include baseline\n    holds directory /bundles: ",
        "    holds the console\n",
        "  container init-db\n    holds no capability\n",
    ] {
        assert!(tree.contains(line), "{line}\nis not in\n{tree}");
    }
    let dot = bailiwick_manifest::authority::dot(&manifest);
    assert!(
        dot.contains(
            "manager -> \"process shell\" [label=\"a sub-factory of its own: create list\\nat most 3"
        )
    );
    assert!(dot.contains("init -> \"process shell\" [label=\"the console\"]"));
}
