//! What the checker accepts, and the line it names when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use bailiwick_manifest::authority;
use bailiwick_manifest::parse::parse;
use bailiwick_manifest::{Access, Boot, Console, Expect, Policy, Told, Until};
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

/// Two containers that stay, one that does not, and a process: with this in `a` and this in the process.
fn handing_over(grants: &str, containers: &str) -> String {
    format!(
        "[[container]]\nid = \"a\"\nbundle = \"b\"\n{grants}\n[[container]]\nid = \"b\"\nbundle = \"b\"\n\
         [[container]]\nid = \"m\"\nbundle = \"b\"\nstart = \"manual\"\n[[process]]\nname = \"p\"\n{containers}\n"
    )
}

#[test]
fn capabilities_on_containers_are_stored_with_others_and_handed_to_processes() {
    let grants = "grants = [{ name = \"x\", on = \"b\", rights = [\"observe\"] }]";
    let containers =
        "containers = [{ id = \"a\", rights = [\"exec\"] }, { id = \"b\", rights = [\"signal\"] }]";
    let manifest = parse(&handing_over(grants, containers), |_| true).unwrap();
    let [stored] = manifest.containers[0].stores.as_slice() else { panic!("one") };
    assert_eq!((stored.name.as_str(), stored.on.as_str(), stored.rights), ("x", "b", Rights::OBSERVE));
    let process = &manifest.processes[0];
    let text = process.text("-c list");
    assert_eq!(text, "containers a b\n-c list");
    let told = Told::of(&text);
    assert_eq!((told.containers().collect::<Vec<_>>(), told.text), (vec!["a", "b"], "-c list"));
    let none = Told::of("-c list\n");
    assert_eq!((none.containers().count(), none.bundles().count(), none.text), (0, 0, "-c list\n"));
}

#[test]
fn a_process_is_handed_single_bundles_in_place_of_all() {
    let text = |more: &str| format!("[[process]]\nname = \"p\"\n{more}\n");
    let manifest = parse(&text("bundles = [\"x\", \"y\"]\ndirectories = [\"/srv\"]"), |_| true).unwrap();
    let started_with = manifest.processes[0].text("containers are mine\nbundles too");
    assert_eq!(started_with, "bundles x y\ncontainers are mine\nbundles too");
    let told = Told::of("bundles x y\ncontainers a\n-c list");
    assert_eq!(told.bundles().chain(told.containers()).collect::<Vec<_>>(), ["x", "y", "a"]);
    let tree = authority::tree(&manifest);
    assert!(
        tree.contains("  directory /bundles/x: read") && tree.contains("  directory /bundles/y: read"),
        "{tree}"
    );
    assert!(!tree.contains("  directory /bundles: "), "{tree}");
    // Nothing may be written to but what is named.
    let written = "bundles = [\"x\", \"y\"]\ndirectories = [\"/srv\"]\nwrite = [\"y\", \"/srv\"]";
    let manifest = parse(&text(written), |_| true).unwrap();
    let handed: Vec<_> = manifest.processes[0].handed().collect();
    let expected = [("/bundles/x", Access::Read), ("/bundles/y", Access::Write), ("/srv", Access::Write)];
    assert_eq!(handed, expected.map(|(path, access)| (path.to_owned(), access)));
    let tree = authority::tree(&manifest);
    assert!(tree.contains("  directory /bundles/x: read, execute, hand over\n"), "{tree}");
    let many = |count| (0..count).map(|n| format!("\"b{n}\",\n")).collect::<String>();
    assert!(parse(&text(&format!("bundles = [\n{}]", many(16))), |_| true).is_ok());
    for (more, line, reason) in [
        ("bundles = [\"x\",\n\"absent\"]".to_owned(), 4, "no bundle is called \"absent\""),
        ("bundles = [\"x/y\"]".to_owned(), 3, "not a name under /bundles"),
        ("bundles = [\"x\",\n\"x\"]".to_owned(), 4, "handed over twice"),
        ("bundles = [\"x y\"]".to_owned(), 3, "a name with a blank"),
        ("bundles = [\"x\"]\nwrite = [\n\"y\"]".to_owned(), 5, "neither in `directories` nor in `bundles`"),
        ("bundles = [\"x\"]\nwrite = [\"x\",\n\"x\"]".to_owned(), 5, "there twice"),
        (format!("directories = [\"/\"]\nbundles = [\n{}]", many(16)), 20, "more than 16 directories"),
    ] {
        let (at, message) = refused(&text(&more));
        assert!(message.contains(reason), "{more}: {message}");
        assert_eq!(at, line, "{more}: {message}");
    }
}

#[test]
fn a_capability_on_a_container_that_cannot_be_given_is_refused_with_its_line() {
    let grant =
        |name, on, right| format!("grants = [\n{{ name = \"{name}\", on = \"{on}\", rights = [{right}] }}]");
    let held = |id, right| format!("containers = [\n{{ id = \"{id}\", rights = [{right}] }}]");
    let good = "{ name = \"x\", on = \"b\", rights = [\"exec\"] },\n";
    for (grants, containers, line, reason) in [
        (grant("x", "c", "\"exec\""), String::new(), 5, "on \"c\", which this manifest does not declare"),
        (grant("x", "m", "\"exec\""), String::new(), 5, "\"m\", which is not started at boot"),
        (grant("x", "b", "\"fly\""), String::new(), 5, "no right is called \"fly\""),
        (grant("x", "b", "\"create\""), String::new(), 5, "\"create\" means nothing on a container"),
        (grant("x", "b", ""), String::new(), 5, "without a right"),
        (grant("x/y", "b", "\"exec\""), String::new(), 5, "name \"x/y\": "),
        (format!("grants = [\n{good}{good}]"), String::new(), 6, "\"x\" is stored twice with \"a\""),
        (format!("start = \"manual\"\ngrants = [\n{good}]"), String::new(), 2, "not started at boot"),
        (String::new(), held("c", "\"exec\""), 15, "does not declare"),
        (String::new(), held("a", "\"list\""), 15, "means nothing on a container"),
        (String::new(), held("a", "\"exec\"] }, { id = \"a\", rights = [\"exec\""), 15, "handed over twice"),
        (String::new(), held("a", "\"exec\"], more = [\"x\""), 15, "unknown field `more`"),
    ] {
        let (at, message) = refused(&handing_over(&grants, &containers));
        assert!(message.contains(reason), "{grants}{containers}: {message}");
        assert_eq!(at, line, "{grants}{containers}: {message}");
    }
    let many = |count| {
        let rows: String = (0..count).map(|n| good.replace("\"x\"", &format!("\"x{n}\""))).collect();
        parse(&handing_over(&format!("grants = [\n{rows}]"), ""), |_| true)
    };
    assert!(many(16).is_ok());
    assert!(many(17).unwrap_err().message.contains("more than 16 capabilities stored"));
}

#[test]
fn the_authority_of_a_manifest_is_drawn_whole() {
    let text = GOOD.replace(
        "bundle = \"c\"",
        "bundle = \"c\"\ngrants = [{ name = \"store\", on = \"db\", rights = [\"observe\"] }]",
    );
    let text = text.replace(
        "console = true",
        "containers = [{ id = \"init-db\", rights = [\"exec\", \"signal\"] }]\nconsole = true",
    );
    let text = text.replace("console = true", "console = true\n[[process]]\nname = \"guest\"\nprogram = \"shell\"\nargs = \"-c list\"\nthreads = 8\nfactory = [\"create\"]\npolicy = \"baseline\"\nquota = { containers = 3 }");
    let manifest = parse(&text, |_| true).unwrap();
    let (tree, dot) = (authority::tree(&manifest), authority::dot(&manifest));
    // Who holds what: nothing more, nothing less.
    let wanted = [
        ("init", "directory /", "read, execute, write, hand over"),
        ("init", "console", "read, write"),
        ("init", "clock", "read"),
        ("init", "power switch", "use"),
        ("init", "all memory", "use, divide, start and end processes"),
        ("init", "root factory", ""),
        ("manager", "directory /", "read, execute, write"),
        ("manager", "console", "write"),
        ("manager", "clock", "read"),
        ("manager", "all memory", "use, divide"),
        ("manager", "manager's endpoint", "receive, name who calls"),
        ("manager", "container db", "run it"),
        ("manager", "container web", "run it"),
        ("manager", "container init-db", "run it"),
        ("root factory", "container db", "look it up"),
        ("root factory", "container web", "look it up"),
        ("root factory", "container init-db", "look it up"),
        ("root factory", "factory of guest", "bounds it"),
        ("container init-db", "container db", "observe\\ntaken out as store, with exec on init-db"),
        ("process shell", "container init-db", "signal exec"),
        ("process shell", "root factory", "create list"),
        ("process shell", "directory /bundles", "read, execute, hand over"),
        ("process shell", "console", "read, write"),
        ("process shell", "all memory", "use"),
        ("process guest", "factory of guest", "create\\nat most 3 containers\\npolicy: include baseline"),
        ("process guest", "all memory", "use\\nat most 8 threads"),
    ];
    for (from, to, may) in wanted {
        let arrow = format!("\n  \"{from}\" -> \"{to}\" [label=\"{may}");
        assert!(dot.contains(&arrow), "{arrow}\nis not in\n{dot}");
        let branch = tree.split_once(&format!("{from}\n")).map_or("", |(_, rest)| rest);
        let branch = branch.lines().take_while(|line| line.starts_with("  "));
        let line = format!("  {to}: {}", may.split("\\n").next().unwrap_or_default());
        assert!(branch.into_iter().any(|own| own.starts_with(&line)), "{from}: {line}\nis not in\n{tree}");
    }
    assert_eq!(dot.matches(" -> ").count(), wanted.len(), "{dot}");
    assert!(tree.contains("\ncontainer db\n  no capability\n"), "{tree}");
}

#[test]
fn a_process_has_a_program_bounds_and_arguments_which_are_checked() {
    let read = |more: &str| parse(&format!("[[process]]\nname = \"a\"\n{more}"), |_| true);
    let process = |more: &str| read(more).unwrap().processes.remove(0);
    assert_eq!((process("").program.as_str(), process("").args), ("a", None));
    let full = process("program = \"shell\"\nargs = \"-c list\"\nmemory = 4096\nthreads = 2");
    assert_eq!((full.program.as_str(), full.args.as_deref()), ("shell", Some("-c list")));
    assert_eq!((full.memory, full.threads), (Some(4096), Some(2)));
    assert!(read("program = \"../x\"").unwrap_err().message.contains("not a program under /sbin"));
    let long = format!("args = \"{}\"", "x".repeat(2049));
    assert!(read(&long).unwrap_err().message.contains("args: longer than 2048 bytes"));
    let many: String = (0..33).map(|at| format!("[[process]]\nname = \"p{at}\"\n")).collect();
    assert!(parse(&many, |_| true).unwrap_err().message.contains("more than 32 processes"));
}
