//! The life of a container over several commands, as callers of an OCI runtime expect it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_protocol::frame::FRAME_MAX;
use bailiwick_tests::bundle::Bundle;
use common::{Home, groups, monitor_of, path, text};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const READY: &str = "echo ready; exec sleep 1000";

fn script(text: &str) -> Bundle {
    Bundle::script(text).unwrap()
}

#[test]
fn create_does_not_run_the_program_and_start_does() {
    let (home, bundle) = (Home::new(), script("echo ran > /ran; echo ready; exit 7"));
    let id = home.id("create");
    let mut lines = home.create(&bundle, &id);
    assert_eq!(home.status(&id), "created");
    assert!(!bundle.rootfs().join("ran").exists());
    home.ok(&["start", &id]);
    assert_eq!(lines.next(), "ready");
    home.ends_with(&id, 7);
    assert!(bundle.rootfs().join("ran").exists());
    assert_eq!(home.status(&id), "stopped");
}

#[test]
fn a_container_is_started_from_created_only() {
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("start");
    home.start(&bundle, &id).next();
    home.refused(&["start", &id]);
    assert_eq!(home.status(&id), "running");
    home.ok(&["kill", &id, "KILL"]);
    home.ends_with(&id, 137);
    home.refused(&["start", &id]);
    assert_eq!(home.status(&id), "stopped");
}

#[test]
fn signals_are_for_created_and_running_containers_only() {
    let (home, bundle) =
        (Home::new(), script("trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"));
    let id = home.id("kill");
    home.start(&bundle, &id).next();
    assert!(home.refused(&["kill", &id, "NOSUCH"]).contains("NOSUCH"));
    home.ok(&["kill", &id, "SIGUSR1"]);
    home.ends_with(&id, 5);
    assert!(home.refused(&["kill", &id]).contains("stopped"));
    home.ok(&["delete", &id]);
    home.create(&bundle, &id);
    home.ok(&["kill", &id, "9"]);
    home.ends_with(&id, 137);
}

#[test]
fn only_a_stopped_container_is_deleted_unless_by_force() {
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("delete");
    home.create(&bundle, &id);
    home.refused(&["delete", &id]);
    home.ok(&["start", &id]);
    home.refused(&["delete", &id]);
    assert_eq!(home.status(&id), "running");
    assert!(!groups(&id).is_empty());
    home.ok(&["delete", "--force", &id]);
    assert_eq!((home.names(), groups(&id)), (vec![], vec![]));
    assert!(home.refused(&["delete", &id]).contains("not found"));
    home.ok(&["delete", "--force", &id]);
}

#[test]
fn edits_of_the_configuration_after_create_have_no_effect() {
    let (home, mut bundle) = (Home::new(), Bundle::new(&["echo", "first"]).unwrap());
    let id = home.id("edit");
    let mut lines = home.create(&bundle, &id);
    bundle.config["process"]["args"] = json!(["echo", "second"]);
    bundle.write().unwrap();
    home.ok(&["start", &id]);
    assert_eq!(lines.next(), "first");
}

#[test]
fn a_creation_that_fails_leaves_no_trace_and_the_id_free() {
    let (home, mut bundle) = (Home::new(), script(READY));
    let id = home.id("trace");
    let directory = path(bundle.path()).to_owned();
    let create = ["create", "--bundle", &directory, &id];
    bundle.config["process"]["cwd"] = "/nowhere".into();
    bundle.write().unwrap();
    assert!(home.refused(&create).contains("/nowhere"));
    assert_eq!((home.names(), groups(&id)), (vec![], vec![]));
    bundle.config["process"]["cwd"] = "/".into();
    bundle.write().unwrap();
    let (status, _, errors) =
        home.detached(&["create", "--bundle", path(bundle.path()), "--pid-file", "/nowhere/pid", &id]);
    assert!(status == Some(1) && errors.contains("/nowhere/pid"), "{errors}");
    assert_eq!((home.names(), groups(&id)), (vec![], vec![]));
    for bad in ["", "a/b", "..", ".hidden", &"x".repeat(65)] {
        home.refused(&["create", "--bundle", path(bundle.path()), bad]);
        assert!(home.names().is_empty(), "{bad:?}");
    }
    home.start(&bundle, &id).next();
    assert!(home.refused(&create).contains("taken"));
    assert_eq!(home.status(&id), "running");
}

#[test]
fn the_state_and_the_pid_file_tell_of_the_first_process() {
    let (home, mut bundle) = (Home::new(), script(READY));
    let id = home.id("state");
    bundle.config["annotations"] = json!({ "org.example": "yes" });
    bundle.write().unwrap();
    let file = bundle.path().join("pid");
    let bundle_path = path(bundle.path());
    let (status, ..) = home.detached(&["create", "-b", bundle_path, "--pid-file", path(&file), &id]);
    assert_eq!(status, Some(0));
    let state = home.state(&id);
    assert_eq!(state["pid"].to_string(), fs::read_to_string(&file).unwrap());
    let wanted = json!({ "org.example": "yes" });
    assert_eq!((&state["annotations"], &state["id"]), (&wanted, &json!(id)));
    assert_eq!(state["bundle"], json!(bundle_path));
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    home.ok(&["kill", &id, "KILL"]);
    home.ends_with(&id, 137);
    assert_eq!(home.state(&id)["pid"], json!(0));
}

#[test]
fn list_and_ps_show_what_there_is() {
    let (home, bundle) = (Home::new(), script(READY));
    assert_eq!(home.ok(&["list", "-q"]), "");
    assert_eq!(home.ok(&["list", "--format", "json"]), "[]\n");
    let (a, b) = (home.id("a"), home.id("b"));
    home.create(&bundle, &b);
    home.start(&bundle, &a).next();
    assert_eq!(home.ok(&["list", "-q"]), format!("{a}\n{b}\n"));
    let list: Value = serde_json::from_str(&home.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!((&list[0]["status"], &list[1]["status"]), (&json!("running"), &json!("created")));
    let pids: Vec<u32> = serde_json::from_str(&home.ok(&["ps", "--format", "json", &a])).unwrap();
    assert_eq!(json!(pids[0]), list[0]["pid"]);
    assert!(home.ok(&["ps", &a]).lines().nth(1).unwrap().ends_with("sleep 1000"));
}

#[test]
fn exec_runs_in_the_container_and_gives_its_status() {
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("exec");
    home.start(&bundle, &id).next();
    let output = home.run(&[
        "exec",
        "--cwd",
        "/tmp",
        "-e",
        "A=b",
        "-u",
        "7:8",
        &id,
        "sh",
        "-c",
        "pwd; echo $A; id -u; id -g; hostname; exit 9",
    ]);
    assert_eq!(
        (text(&output.stdout).as_str(), output.status.code()),
        ("/tmp\nb\n7\n8\nbailiwick\n", Some(9))
    );
    assert!(home.refused(&["exec", &id, "/bin/nothing"]).contains("/bin/nothing"));
    let (status, mut lines, _) = home.detached(&["exec", "-d", &id, "sh", "-c", "echo later; sleep 1000"]);
    assert_eq!((status, lines.next().as_str()), (Some(0), "later"));
    home.ok(&["pause", &id]);
    assert_eq!(home.status(&id), "paused");
    assert!(home.refused(&["exec", &id, "true"]).contains("paused"));
    home.ok(&["resume", &id]);
    home.ok(&["exec", &id, "true"]);
    home.ok(&["kill", "--all", &id, "KILL"]);
    home.ends_with(&id, 137);
    assert!(lines.next().is_empty());
    home.refused(&["exec", &id, "true"]);
}

#[test]
fn a_container_that_was_run_in_the_foreground_is_there_for_others_and_gone_with_its_program() {
    let (home, bundle) = (Home::new(), script("echo ready; read line; exit 4"));
    let id = home.id("run");
    let mut run = home.command(&["run", "--bundle", path(bundle.path()), &id]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = run.stdin(std::process::Stdio::piped()).stdout(writer).spawn().unwrap();
    drop(run);
    let mut ready = [0; 6];
    std::io::Read::read_exact(&mut &reader, &mut ready).unwrap();
    assert_eq!(home.status(&id), "running");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!((home.names(), groups(&id)), (vec![], vec![]));
}

#[test]
fn the_log_has_the_reason_in_the_format_asked_for() {
    let home = Home::new();
    let log = home.root().with_extension("log");
    home.refused(&["--log", path(&log), "--log-format", "json", "state", "nobody"]);
    let line: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("nobody: not found")));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    home.refused(&["--log", path(&log), "state", "nobody"]);
    assert!(fs::read_to_string(&log).unwrap().lines().nth(1).unwrap().contains("level=error msg=\"nobody"));
}

#[test]
fn a_root_directory_that_others_may_write_is_refused() {
    let (home, bundle) = (Home::new(), script("true"));
    fs::create_dir(home.root()).unwrap();
    fs::set_permissions(home.root(), fs::Permissions::from_mode(0o770)).unwrap();
    let line = home.refused(&["create", "--bundle", path(bundle.path()), "x"]);
    assert!(line.contains("0770"), "{line}");
}

/// As conmon and containerd's shim do: whoever takes in orphans waits for the process whose number is in the file.
#[test]
fn a_caller_that_adopts_orphans_reaps_the_container_and_its_status_is_known_to_both() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let home = Home::new();
    for (text, wanted, status) in [("exit 7", 7, 7), ("kill -KILL $$; sleep 1000", 0, 137)] {
        let (bundle, id) = (script(&format!("read line; {text}")), home.id("adopted"));
        let file = bundle.path().join("pid");
        let create = ["create", "--bundle", path(bundle.path()), "--pid-file", path(&file), &id];
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = home.command(&create);
        assert!(command.stdin(reader).stdout(Stdio::null()).status().unwrap().success());
        let pid: i32 = fs::read_to_string(&file).unwrap().parse().unwrap();
        home.ok(&["start", &id]);
        if status == 137 {
            home.ok(&["kill", &id, "KILL"]);
        }
        drop(writer);
        let pid = rustix::process::Pid::from_raw(pid);
        let ended = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap().unwrap().1;
        assert_eq!(ended.exit_status().unwrap_or(0), wanted);
        home.ends_with(&id, status);
        assert_eq!(home.status(&id), "stopped");
        home.ok(&["delete", &id]);
    }
}

#[test]
fn a_detached_exec_from_a_file_ends_for_its_adopter_as_its_program_does() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("file");
    home.start(&bundle, &id).next();
    let (file, pid) = (bundle.path().join("process"), bundle.path().join("pid"));
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["sh", "-c", "pwd; read line; exit 9"]);
    process["cwd"] = "/tmp".into();
    fs::write(&file, process.to_string()).unwrap();
    let exec = ["exec", "--detach", "--process", path(&file), "--pid-file", path(&pid), &id];
    let (status, mut lines, errors) = home.detached(&exec);
    assert_eq!((status, lines.next().as_str()), (Some(0), "/tmp"), "{errors}");
    let number = rustix::process::Pid::from_raw(fs::read_to_string(&pid).unwrap().parse().unwrap());
    let ended = rustix::process::waitpid(number, rustix::process::WaitOptions::empty()).unwrap().unwrap().1;
    assert_eq!(ended.exit_status(), Some(9));
    process["capabilities"]["bounding"] = json!([]);
    fs::write(&file, process.to_string()).unwrap();
    assert!(home.refused(&exec).contains("capabilities: is not that of the container"));
}

#[test]
fn what_a_killed_monitor_leaves_is_told_and_removed_by_force() {
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("killed");
    home.start(&bundle, &id).next();
    let pid = home.state(&id)["pid"].as_u64().unwrap();
    let monitor = monitor_of(&id);
    assert!(Command::new("kill").args(["-KILL", &monitor]).status().unwrap().success());
    // The kernel closes the socket before it lets go of the process.
    while fs::exists(format!("/proc/{monitor}/fd")).unwrap() && home.run(&["state", &id]).status.success() {}
    assert!(home.refused(&["state", &id]).contains("delete --force"));
    home.ok(&["delete", "--force", &id]);
    assert_eq!((home.names(), groups(&id)), (vec![], vec![]));
    // A process that has ended and waits for its new parent has no command line any more.
    assert!(fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty());
}

#[test]
fn bytes_that_are_no_frames_do_not_disturb_a_monitor() {
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("hostile");
    home.start(&bundle, &id).next();
    let address = SocketAddrUnix::new(home.root().join(&id).join("socket")).unwrap();
    let connect = || {
        // Not for the children of other tests, which would keep it open.
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        socket
    };
    let socket = connect();
    let mut seed = 1u32;
    for len in (1..FRAME_MAX + 500).step_by(37) {
        let bytes: Vec<u8> = (0..len)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        rustix::net::send(&socket, &bytes, SendFlags::NOSIGNAL).unwrap();
        let mut reply = [0; FRAME_MAX];
        let (got, _) = rustix::net::recv(&socket, &mut reply, RecvFlags::empty()).unwrap();
        assert!(got >= 4, "{len}");
    }
    // Calls whose callers have gone, and more connections than there may be.
    for _ in 0..50 {
        rustix::net::send(connect(), &[39, 0, 1, 0], SendFlags::NOSIGNAL).unwrap();
    }
    let many: Vec<_> = (0..300).map(|_| connect()).collect();
    drop(many);
    assert_eq!(home.status(&id), "running");
}

/// What one file of a container's control groups says.
fn limit_of(id: &str, file: &str) -> String {
    let found = groups(id).into_iter().map(|group| group.join(file)).find(|path| path.exists());
    fs::read_to_string(found.unwrap()).unwrap().trim().to_owned()
}

#[test]
fn limits_are_changed_by_options_and_by_a_document_and_nothing_changes_if_one_is_refused() {
    let (home, bundle) = (Home::new(), script(READY));
    let id = home.id("update");
    home.start(&bundle, &id).next();
    let memory = || limit_of(&id, "memory.limit_in_bytes");
    let options = ["--memory", "64m", "--cpu-period", "50000", "--cpu-quota", "25000", "--cpu-shares", "512"];
    home.ok(&[&["update"], &options[..], &["--pids-limit", "20", &id]].concat());
    let shown =
        ["cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares", "pids.max"].map(|file| limit_of(&id, file));
    assert_eq!((memory().as_str(), shown), ("67108864", ["50000", "25000", "512", "20"].map(String::from)));
    let document = home.root().join("../limits.json");
    fs::write(
        &document,
        r#"{ "memory": { "limit": 33554432 }, "pids": { "limit": -1 }, "cpu": { "quota": 0 } }"#,
    )
    .unwrap();
    home.ok(&["update", "--resources", path(&document), &id]);
    assert_eq!((memory().as_str(), limit_of(&id, "pids.max").as_str()), ("33554432", "max"));
    let refused = home.refused(&["update", "--memory", "4096", "--pids-limit", "5", &id]);
    assert!(refused.contains("memory.limit_in_bytes") && refused.contains("EBUSY"), "{refused}");
    assert_eq!((memory().as_str(), limit_of(&id, "pids.max").as_str()), ("33554432", "max"));
    let refused = home.refused(&["update", "--cpu-quota", "7", &id]);
    assert!(refused.contains("resources.json: cpu.quota: 7 is not from 1000"), "{refused}");
    assert!(home.refused(&["update", "--memory", "much", &id]).contains("--memory: much: "));
    home.ok(&["kill", &id, "KILL"]);
    home.ends_with(&id, 137);
    assert!(home.refused(&["update", "--memory", "64m", &id]).contains("stopped"));
}

#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_word_and_a_full_disk_is_told() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = home.command(&["features"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(141), ""));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = home.command(&["features"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let wanted = "bailiwick: standard output: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), wanted));
}
