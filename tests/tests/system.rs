//! The system boots in QEMU: containers from real bundles, through the IPC server, on our own kernel.
//!
//! Held to what a process inside sees and what the shell, an ordinary client, shows outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{Run, boot_manifest, changed, exec, run};
use serde_json::json;

fn ok(run: Run) -> Run {
    assert_eq!(run.status, Some(0), "{}", run.text);
    run
}

#[test]
fn the_default_manifest_comes_up_and_every_container_does_what_is_expected() {
    let run = ok(run(&["--timeout", "60"]).unwrap());
    assert!(run.lines_of("hello").contains(&"hello from hello, process 1 of user root"), "{}", run.text);
    assert!(run.lines_of("joiner").contains(&"the host name here is service"), "{}", run.text);
    // The machine goes off as soon as its second life has begun, whether or not it has said so.
    assert!(run.lines_of("service").iter().all(|line| *line == "up"), "{}", run.text);
    for line in [
        "init: rdt: refused: config.json: linux.intelRdt: not supported on this kernel",
        "init: service: signal KILL, restart in 100 ms",
        "4 of 4 containers did what the manifest expects",
    ] {
        assert!(run.text.contains(line), "{line}\n{}", run.text);
    }
}

#[test]
fn the_same_system_runs_in_32_mib_on_a_pc_with_isolation_and_by_counted_instructions() {
    for options in [&["--memory", "32"][..], &["--machine", "q35"], &["--isolation"], &["--icount"]] {
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
fn a_bundle_that_was_handed_over_to_be_read_is_not_written_to_by_a_container() {
    let write = "(echo x >/new) 2>/dev/null || echo refused; echo kept >/dev/shm/new; cat /dev/shm/new";
    let bundle = changed(&["sh", "-c", write], |config| config["root"]["readonly"] = json!(false)).unwrap();
    let shell = |more: &str| {
        let rights = r#"factory = ["create", "list", "inspect", "observe", "start", "signal", "delete"]"#;
        format!("[[process]]\nname = \"shell\"\n{rights}\nbundles = [\"web\"]\n{more}\nconsole = true\n")
    };
    for (more, said) in [("", "refused\nkept\n"), ("write = [\"web\"]", "kept\n")] {
        let options = ["--exec", "run a web; wait a; logs a"];
        let run = ok(boot_manifest(&shell(more), &[("web", &bundle)], &options).unwrap());
        assert_eq!(run.output(2), said, "{more}: {}", run.text);
    }
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
    })
    .unwrap();
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
fn a_read_only_root_and_masked_paths_take_effect() {
    let bundle = changed(&["sleep", "1000"], |config| {
        config["root"]["readonly"] = true.into();
        config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/home"]);
        config["linux"]["readonlyPaths"] = json!(["/tmp"]);
    })
    .unwrap();
    let script = "touch /x; cat /etc/passwd; ls /home; echo end";
    let run = ok(exec(&[("box", &bundle)], &format!("run a box; exec a sh -c '{script}'")).unwrap());
    assert_eq!(run.output(1), "touch: /x: Read-only file system\nend\n", "{}", run.text);
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
    let bundle = changed(&["sh", "-c", script], |config| config["linux"]["seccomp"] = filter).unwrap();
    let run = ok(exec(&[("filtered", &bundle)], "run a filtered; wait a; logs a").unwrap());
    let text = run.output(2);
    for line in ["Seccomp:\t2", "'/tmp/x': Disk quota exceeded", "No such process", "trapped", "159"] {
        assert!(text.contains(line), "{line}\n{}", run.text);
    }
}
