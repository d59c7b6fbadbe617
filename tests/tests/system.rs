//! The system boots in QEMU: containers from real bundles, through the IPC server, on our own kernel.
//!
//! Held to what a process inside sees and what the shell, an ordinary client, shows outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{Run, exec, run};
use serde_json::{Value, json};

fn ok(run: Run) -> Run {
    assert_eq!(run.status, Some(0), "{}", run.text);
    run
}

/// A container to look around in by `exec`.
fn idle() -> Bundle {
    Bundle::new(&["sleep", "1000"]).unwrap()
}

fn changed(args: &[&str], change: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = Bundle::new(args).unwrap();
    change(&mut bundle.config);
    bundle.write().unwrap();
    bundle
}

#[test]
fn the_default_manifest_comes_up_and_every_container_does_what_is_expected() {
    let run = ok(run(&["--timeout", "60"]).unwrap());
    assert!(run.lines_of("hello").contains(&"hello from hello, process 1 of user root"), "{}", run.text);
    assert!(run.lines_of("joiner").contains(&"the host name here is service"), "{}", run.text);
    assert_eq!(run.lines_of("service"), ["up", "up"]);
    for line in [
        "init: rdt: refused: config.json: linux.intelRdt: not supported on this kernel",
        "init: service: signal KILL, restart in 100 ms",
        "4 of 4 containers did what the manifest expects",
    ] {
        assert!(run.text.contains(line), "{line}\n{}", run.text);
    }
}

#[test]
fn the_same_system_runs_in_32_mib_on_a_pc_and_by_counted_instructions() {
    for options in [&["--memory", "32"][..], &["--machine", "q35"], &["--icount"]] {
        let run = ok(run(&[&["--timeout", "60"], options].concat()).unwrap());
        assert!(run.text.contains("4 of 4 containers"), "{options:?}\n{}", run.text);
    }
}

#[test]
fn the_exit_status_tells_whether_every_command_succeeded() {
    let quiet = Bundle::new(&["true"]).unwrap();
    let run = ok(exec(&[("quiet", &quiet)], "run a quiet; wait a; delete a; list").unwrap());
    assert_eq!((run.output(1).as_str(), run.output(3).lines().count()), ("0\n", 1), "{}", run.text);
    let run = exec(&[("quiet", &quiet)], "fly; run a quiet; wait a").unwrap();
    assert_eq!(run.status, Some(1), "{}", run.text);
    assert_eq!(run.output(2), "0\n");
}

#[test]
fn a_machine_that_takes_too_long_is_stopped() {
    let run = run(&["--timeout", "3", "--exec", "run a shell; wait a"]).unwrap();
    assert_eq!(run.status, Some(124), "{}", run.text);
}

#[test]
fn containers_of_one_bundle_are_worlds_of_their_own() {
    let look = "hostname; cat /proc/self/mountinfo | wc -l; ls -l /proc/self/ns | grep -o '[a-z]*:.[0-9]*]'; \
                touch /tmp/$0; ls /tmp; ps -o pid,args | grep -c sleep";
    let bundle = changed(&["sleep", "1000"], |config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
        }
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    });
    let commands = format!(
        "run a box; run b box; exec a hostname first; exec b hostname second; \
         exec a sh -c \"{look}\" one; exec b sh -c \"{look}\" two"
    );
    let run = ok(exec(&[("box", &bundle)], &commands).unwrap());
    let (a, b) = (run.output(4), run.output(5));
    assert!(a.starts_with("first\n") && b.starts_with("second\n"), "{a}{b}");
    for kind in ["ipc", "mnt", "net", "pid", "uts"] {
        let number = |text: &str| text.lines().find(|line| line.starts_with(kind)).map(str::to_owned);
        assert!(number(&a).is_some() && number(&a) != number(&b), "{kind}: {a}{b}");
    }
    assert!(
        a.contains("\none\n") && !a.contains("two") && b.contains("\ntwo\n") && !b.contains("one"),
        "{a}{b}"
    );
}

#[test]
fn nothing_leads_out_of_a_container() {
    let script = "cd /; ls -d ../bin; ls -id / /.. /proc/1/root/ | awk '{print $1}' | uniq | wc -l; \
                  grep -c ' / / ' /proc/self/mountinfo; ls /proc/self/root/sbin/init; cat /proc/kcore; \
                  echo x > /proc/sys/kernel/hostname; mount -t tmpfs x /tmp";
    let commands =
        format!("run a box; exec a sh -c \"{script}\"; exec a sh -c 'ls /bundles; ls /proc | grep -c kcore'");
    let run = exec(&[("box", &idle())], &commands).unwrap();
    let text = run.output(1);
    assert!(text.starts_with("../bin\n1\n"), "{text}");
    assert!(text.contains("/proc/self/root/sbin/init: No such file"), "{text}");
    assert!(text.contains("/proc/sys/kernel/hostname: Read-only file system"), "{text}");
    assert!(text.contains("mount: permission denied"), "{text}");
    assert!(run.output(2).contains("/bundles: No such file"), "{}", run.text);
}

#[test]
fn a_read_only_root_and_masked_paths_take_effect() {
    let bundle = changed(&["sleep", "1000"], |config| {
        config["root"]["readonly"] = true.into();
        config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/home"]);
        config["linux"]["readonlyPaths"] = json!(["/tmp"]);
    });
    let script = "touch /x; cat /etc/passwd; ls /home; echo end";
    let run = ok(exec(&[("box", &bundle)], &format!("run a box; exec a sh -c '{script}'")).unwrap());
    assert_eq!(run.output(1), "touch: /x: Read-only file system\nend\n", "{}", run.text);
}

#[test]
fn a_memory_hog_is_killed_at_its_limit_and_its_neighbour_goes_on() {
    let hog = changed(&["sh", "-c", "a=x; while :; do a=$a$a; done"], |config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 2 << 20});
    });
    let commands = "run calm box; run hog hog; wait hog; stats hog; exec calm echo still here; list";
    let run = exec(&[("box", &idle()), ("hog", &hog)], commands).unwrap();
    assert_eq!(run.output(2), "137\n", "{}", run.text);
    assert!(run.output(3).contains("1 killed out of memory"), "{}", run.text);
    assert_eq!(run.output(4), "still here\n");
    assert!(run.output(5).contains("out of memory"), "{}", run.text);
}

#[test]
fn a_fork_bomb_stops_at_the_limit_of_processes() {
    let bomb = changed(&["sh", "-c", "while :; do sleep 1000 & done"], |config| {
        config["linux"]["resources"]["pids"] = json!({"limit": 8});
    });
    let commands = "run calm box; run bomb bomb; exec calm sleep 1; exec calm echo still here; stats bomb; \
                    delete --force bomb; list";
    let run = ok(exec(&[("box", &idle()), ("bomb", &bomb)], commands).unwrap());
    assert_eq!(run.output(3), "still here\n", "{}", run.text);
    assert!(run.output(4).contains("limit 8"), "{}", run.text);
    assert!(!run.output(6).contains("bomb"), "{}", run.text);
}

#[test]
fn the_life_of_a_container_follows_the_specification() {
    let commands = "create a box; state a; exec a true; start a; start a; delete a; pause a; state a; resume a; \
                    kill a KILL; wait a; state a; kill a; delete a; state a";
    let run = exec(&[("box", &idle())], commands).unwrap();
    let status = |at: usize| serde_json::from_str::<Value>(&run.output(at)).unwrap()["status"].clone();
    assert_eq!((status(1), status(7), status(11)), ("created".into(), "paused".into(), "stopped".into()));
    for (at, part) in [
        (2, "needs it to be running"),
        (4, "start a: "),
        (5, "the container is running"),
        (10, "137"),
        (12, "the container is stopped"),
        (14, "not found"),
    ] {
        assert!(run.output(at).contains(part), "{at} {part}\n{}", run.text);
        assert_eq!(run.output(at).lines().count(), 1, "{at}\n{}", run.text);
    }
}

#[test]
fn a_bundle_of_the_host_keeps_modes_owners_and_links() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let script = "cd /data; stat -c '%a %u:%g %n' file; readlink link; cat link; stat -c %h file";
    let bundle = Bundle::new(&["sh", "-c", script]).unwrap();
    let data = bundle.rootfs().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("file"), "text\n").unwrap();
    std::fs::set_permissions(data.join("file"), std::fs::Permissions::from_mode(0o4644)).unwrap();
    chown(data.join("file"), Some(1000), Some(2000)).unwrap();
    std::fs::set_permissions(data.join("file"), std::fs::Permissions::from_mode(0o4644)).unwrap();
    symlink("file", data.join("link")).unwrap();
    std::fs::hard_link(data.join("file"), data.join("other")).unwrap();
    let run = ok(exec(&[("data", &bundle)], "run a data; wait a; logs a").unwrap());
    assert_eq!(run.output(2), "4644 1000:2000 file\nfile\ntext\n2\n", "{}", run.text);
}

type Change = fn(&mut Value);

#[test]
fn a_bad_bundle_is_refused_in_one_line_that_names_the_place_and_leaves_nothing() {
    let cases: [(&str, Change, &str); 9] = [
        ("type", |c| c["process"]["cwd"] = 7.into(), "config.json: process.cwd"),
        ("relative", |c| c["process"]["cwd"] = "etc".into(), "process.cwd"),
        ("cwd", |c| c["process"]["cwd"] = "/nowhere".into(), "/nowhere"),
        ("program", |c| c["process"]["args"] = json!(["/nowhere"]), "/nowhere"),
        ("directory", |c| c["process"]["args"] = json!(["/etc"]), "/etc"),
        ("namespace", |c| c["linux"]["namespaces"][0]["type"] = "x".into(), "linux.namespaces[0]"),
        ("rootfs", |c| c["root"]["path"] = "nowhere".into(), "nowhere"),
        ("outside", |c| c["root"]["path"] = "../idle/rootfs".into(), "root.path"),
        ("empty", |c| c["process"]["args"] = json!([]), "process.args"),
    ];
    let bundles: Vec<(&str, Bundle)> =
        cases.iter().map(|(name, change, _)| (*name, changed(&["true"], change))).collect();
    let packed: Vec<(&str, &Bundle)> = bundles.iter().map(|(name, bundle)| (*name, bundle)).collect();
    let commands: String = cases.iter().map(|(name, ..)| format!("run {name} {name}; ")).collect();
    let run = exec(&packed, &(commands + "list")).unwrap();
    for (at, (name, _, part)) in cases.iter().enumerate() {
        let text = run.output(at);
        assert!(text.starts_with(&format!("run {name}: ")) && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert_eq!(run.output(cases.len()).lines().count(), 1, "{}", run.text);
}

#[test]
fn a_system_call_filter_of_the_configuration_is_enforced_and_inherited() {
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122 },
            { "names": ["sethostname"], "action": "SCMP_ACT_KILL" },
            {
                "names": ["kill"], "action": "SCMP_ACT_TRAP",
                "args": [{ "index": 1, "value": 10, "op": "SCMP_CMP_EQ" }],
            },
        ],
    });
    let script = "grep ^Seccomp: /proc/self/status; sh -c 'mkdir /tmp/x'; trap 'echo trapped' SYS; kill -USR2 99; \
        kill -USR1 $$; hostname other; echo $?";
    let bundle = changed(&["sh", "-c", script], |config| config["linux"]["seccomp"] = filter);
    let run = ok(exec(&[("filtered", &bundle)], "run a filtered; wait a; logs a").unwrap());
    let text = run.output(2);
    for line in ["Seccomp:\t2", "'/tmp/x': Disk quota exceeded", "No such process", "trapped", "159"] {
        assert!(text.contains(line), "{line}\n{}", run.text);
    }
}
