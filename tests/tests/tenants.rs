//! Tenants on our own kernel: processes of a boot manifest, each with a sub-factory, a quota and a policy of its own.
//!
//! Two are honest and do their work by a script of shell commands; one is hostile and tries, row by row, what servers
//! of this kind have fallen for. The honest ones' answers are the same with the hostile one beside them and without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{Run, boot_manifest};
use serde_json::{Value, json};

/// What the honest ones do. Both have a `web`; one has a place for one more container, the other for two.
const ALICE: &str = "whoami; run bad rooted; run bad hostnet; run web page; wait web; logs web; run nap nap; wait nap; run third page; list; \
    exec nap id; delete web; run web forever; exec web id; plan bound; \
    state web; state wob; kill web KILL; wait web; delete web; delete nap; list; whoami";
const BOB: &str = "whoami; run web forever; run nap nap; wait nap; exec web id; run wide unlimited; \
    run root rooted; wait root; logs root; run more page; ps web; list; delete root; run more page; wait more; \
    logs more; run bad hostnet; delete --force web; delete nap; delete more; list; whoami";

/// What comes of each attempt of the hostile one.
const OUTCOMES: &[(&str, &str)] = &[
    ("handles made up", "none taken"),
    ("calls on the wrong kind", "none taken"),
    ("another badge", "rebadged false, derived as it was true, 12 of 12 refused, handed on false"),
    ("a badge for what is handed on", "another kind of capability or value is needed (22)"),
    ("replies to nobody", "0 of 24 taken"),
    ("a neighbour's id", "the same answer true, 0 capabilities"),
    ("random frames", "4097 answered, 904 refused, 0 lost"),
    ("capabilities beside frames", "600 answered, 0 refused, 0 lost"),
    ("no room for the answer", "300 without an answer, 0 otherwise"),
    ("a frame sent twice", "answered with 1 capability, then twice: the id is taken"),
    (
        "more rights",
        "DERIVE: the capability does not hold the right; \
     derived anew it holds LIST DERIVE; \
     create: CREATE: the capability does not hold the right",
    ),
    (
        "a wider factory",
        "quota within its own true, 0 lines of policy more; \
     config.json: process.user.uid: 0: the factory's policy does not allow it",
    ),
    (
        "bundles that ask for more",
        "config.json: process.user.uid: 0: the factory's policy does not allow it; \
     config.json: process.capabilities.bounding: CAP_SYS_ADMIN: the factory's policy does not allow it; \
     config.json: linux.namespaces: no new network namespace: the factory's policy does not allow it; \
     config.json: mounts[7].source: /: the factory's policy does not allow it; \
     config.json: hooks.prestart[0].path: /bin/sh: the factory's policy does not allow it; \
     config.json: linux.sysctl.kernel.domainname: the factory's policy does not allow it",
    ),
    (
        "a process that may do more",
        "as itself Code(0), as root user: uid 0: the factory's policy does not allow it",
    ),
    (
        "use after revocation",
        "4 of 4 refused alike, the call was not carried: no such capability (9); \
     the call was not carried: no such capability (9); \
     the call was not carried: no such capability (9); \
     the call was not carried: no such capability (9)",
    ),
    ("more containers", "2 made, then containers: 2 of 2 used, 0 left, 1 asked for: the quota is used up"),
    (
        "more capabilities",
        "49 derived, then capabilities: 50 of 50 used, 0 left, 1 asked for: the quota is used up",
    ),
    ("more factories", "3 made, then factories: 3 of 3 used, 0 left, 1 asked for: the quota is used up"),
    ("waiting without end", "8 of 24 were refused, 16 left waiting"),
    ("a crowd of callers", "640 of 640 calls of 8 threads answered"),
    (
        "what is left",
        "1 capabilities; \
     web: not found",
    ),
];

/// How long they may take is for a machine that is busy.
const SETTLE: &str = "settle_ms = 200_000\n";

const TENANTS: &str = r#"
[[process]]
name = "alice"
program = "shell"
args = "-l alice -c ALICE"
factory = ["create", "list", "inspect", "observe", "start", "signal", "exec", "delete"]
quota = { containers = 2, memory = 33_554_432, processes = 32 }
policy = "restricted"
directories = ["/bundles"]
console = true

[[process]]
name = "bob"
program = "shell"
args = "-l bob -c BOB"
factory = ["create", "list", "inspect", "observe", "start", "signal", "delete"]
quota = { containers = 3, memory = 67_108_864 }
policy = "baseline"
directories = ["/bundles"]
console = true
"#;

const MALLORY: &str = r#"
[[process]]
name = "mallory"
program = "hostile"
args = "tenant"
memory = 8_388_608
threads = 80
factory = ["create", "list", "delegate", "derive", "inspect", "observe", "start", "signal", "exec", "delete"]
quota = { containers = 2, memory = 33_554_432, capabilities = 50 }
policy = "restricted"
directories = ["/bundles"]
console = true
"#;

/// A bundle that fits the policy `restricted` and each quota, and then this change.
fn bundle(args: &[&str], change: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = Bundle::new(args).unwrap();
    let config = &mut bundle.config;
    config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    config["process"]["capabilities"] = json!({});
    config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["reboot"], "action": "SCMP_ACT_ERRNO" }],
    });
    config["linux"]["resources"]["memory"] = json!({ "limit": 16 << 20 });
    config["linux"]["resources"]["pids"] = json!({ "limit": 8 });
    change(config);
    bundle.write().unwrap();
    bundle
}

fn bundles() -> Vec<(&'static str, Bundle)> {
    let forever = &["sleep", "100000"][..];
    let root = |config: &mut Value| config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
    Vec::from([
        ("page", bundle(&["sh", "-c", "echo page of $(id -u)"], |_| ())),
        ("nap", bundle(&["sleep", "2"], |_| ())),
        ("forever", bundle(forever, |_| ())),
        ("rooted", bundle(&["id", "-u"], root)),
        (
            "mighty",
            bundle(forever, |config| {
                config["process"]["capabilities"] = json!({ "bounding": ["CAP_SYS_ADMIN"] });
            }),
        ),
        (
            "hostnet",
            bundle(forever, |config| {
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "network");
            }),
        ),
        (
            "bound",
            bundle(forever, |config| {
                let all =
                    json!({ "destination": "/mnt", "type": "bind", "source": "/", "options": ["bind"] });
                config["mounts"].as_array_mut().unwrap().push(all);
            }),
        ),
        (
            "hooked",
            bundle(forever, |config| config["hooks"] = json!({ "prestart": [{ "path": "/bin/sh" }] })),
        ),
        (
            "tuned",
            bundle(forever, |config| config["linux"]["sysctl"] = json!({ "kernel.domainname": "mine" })),
        ),
        (
            "unlimited",
            bundle(forever, |config| {
                config["linux"]["resources"].as_object_mut().unwrap().remove("memory");
            }),
        ),
    ])
}

/// What a tenant was answered. Numbers of processes are the machine's and depend on who else starts any.
fn answers(run: &Run, tenant: &str) -> Vec<String> {
    run.lines_of(tenant).into_iter().map(without_pids).collect()
}

fn without_pids(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["\"pid\":", _] => "\"pid\": *".into(),
        [id, "running", _, rest @ ..] => format!("{id} running * {}", rest.join(" ")),
        [pid, inside] if pid.parse::<u32>().is_ok() && inside.parse::<u32>().is_ok() => format!("* {inside}"),
        _ => line.to_owned(),
    }
}

fn boot(manifest: &str, bundles: &[(&'static str, Bundle)]) -> Run {
    let bundles: Vec<(&str, &Bundle)> = bundles.iter().map(|(name, bundle)| (*name, bundle)).collect();
    let manifest = format!("{SETTLE}{manifest}").replace("ALICE", ALICE).replace("BOB", BOB);
    let run = boot_manifest(&manifest, &bundles, &[]).unwrap();
    for tenant in ["alice", "bob"] {
        // Some of what they ask for is refused, which is what their status says.
        assert!(
            run.text.contains(&format!("init: process {tenant}: exit 1\n")),
            "{}{}",
            run.text,
            run.errors
        );
    }
    run
}

#[test]
fn tenants_get_what_is_theirs_and_a_hostile_one_neither_gets_more_nor_is_noticed() {
    let bundles = bundles();
    let alone = boot(TENANTS, &bundles);
    let (alice, bob) = (answers(&alone, "alice"), answers(&alone, "bob"));
    let beside = boot(&format!("{MALLORY}{TENANTS}"), &bundles);
    alices_answers_are_right(&alice);
    bobs_answers_are_right(&bob);
    assert_eq!(answers(&beside, "alice"), alice);
    assert_eq!(answers(&beside, "bob"), bob);
    attempts_came_to_nothing(&beside);
    // They were at it at the same time.
    for tenant in ["alice", "bob"] {
        let (own, both) = (format!("{tenant} | "), |line: &&str| line.starts_with("mallory | "));
        let first = beside.text.lines().skip_while(|line| !line.starts_with(&own));
        let last = first.collect::<Vec<_>>().into_iter().rev().skip_while(|line| !line.starts_with(&own));
        assert!(last.collect::<Vec<_>>().iter().any(both), "{}", beside.text);
    }
}

/// What the answer to a command must contain.
fn hold(answers: &[String], wanted: &[(&str, &str)]) {
    let text = answers.join("\n") + "\n";
    let mut rest = text.as_str();
    for (command, part) in wanted {
        let (_, after) = rest.split_once(&format!("bailiwick> {command}\n")).expect(command);
        let answer = after.split("bailiwick> ").next().unwrap_or_default();
        assert!(answer.contains(part), "{command}: {part}\nis not in\n{answer}");
        rest = after;
    }
}

fn alices_answers_are_right(answers: &[String]) {
    hold(
        answers,
        &[
            ("whoami", "rights: inspect observe start signal exec delete create list\n"),
            ("run bad rooted", "config.json: process.user.uid: 0: the factory's policy does not allow it"),
            (
                "run bad hostnet",
                "config.json: linux.namespaces: no new network namespace: the factory's policy",
            ),
            ("logs web", "page of 1000\n"),
            ("run third page", "containers: 2 of 2 used, 0 left, 1 asked for: the quota is used up"),
            ("exec nap id", "the container is stopped"),
            ("exec web id", "uid=1000(user) gid=1000(user)\n"),
            ("plan bound", "config.json: mounts[7].source: /: the factory's policy does not allow it"),
            ("state web", "\"status\": \"running\""),
            ("state wob", "wob: not found"),
            ("wait web", "137\n"),
            ("whoami", "0 of 2 containers\n"),
        ],
    );
    let first = answers.iter().skip(1).take_while(|line| !line.starts_with("bailiwick> "));
    let first: Vec<&String> = first.collect();
    for line in
        ["0 of 33554432 bytes of memory", "policy: uid 1-4294967294", "policy: seccomp where-possible"]
    {
        assert!(first.iter().any(|own| *own == line), "{line}\n{first:#?}");
    }
}

fn bobs_answers_are_right(answers: &[String]) {
    hold(
        answers,
        &[
            ("whoami", "rights: inspect observe start signal delete create list\n"),
            ("exec web id", "EXEC: the capability does not hold the right"),
            ("run wide unlimited", "linux.resources.memory.limit: is unlimited, and the factory has a quota"),
            ("logs root", "0\n"),
            ("run more page", "containers: 3 of 3 used, 0 left, 1 asked for"),
            ("list", "web running"),
            ("logs more", "page of 1000\n"),
            ("whoami", "0 of 3 containers\n"),
        ],
    );
}

/// The table: what was tried, what came of it.
fn attempts_came_to_nothing(run: &Run) {
    let rows: Vec<(&str, &str)> =
        run.lines_of("mallory").into_iter().filter_map(|line| line.split_once(": ")).collect();
    for (attempt, outcome) in &rows {
        println!("{attempt:<28} {outcome}");
    }
    assert_eq!(rows, OUTCOMES);
    assert!(run.text.contains("init: process mallory: exit 0\n"), "{}", run.text);
}
