//! The known escapes from container runtimes, a test for each that can concern us, named after its number.
//!
//! Wherever something outside could be touched there is a canary: a directory of the host that must stay as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::bundle::Bundle;
use common::{BAILIWICK, Home, monitor_of, path, text};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const EROFS: i32 = 30;
const READY: &str = "echo ready; exec sleep 1000";

fn script(text: &str) -> Bundle {
    Bundle::script(text).unwrap()
}

/// A bundle with its configuration changed.
fn with(text: &str, edit: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = script(text);
    edit(&mut bundle.config);
    bundle.write().unwrap();
    bundle
}

/// A directory outside every root file system, with one file.
struct Canary(tempfile::TempDir);

impl Canary {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "untouched").unwrap();
        fs::set_permissions(directory.path().join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        Canary(directory)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn assert_untouched(&self, what: &str) {
        let names: Vec<_> = fs::read_dir(self.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["file"], "{what}");
        let file = self.path().join("file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "untouched", "{what}");
        let facts = fs::metadata(&file).unwrap();
        assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.gid()), (0o640, 0, 0), "{what}");
    }
}

/// Puts a link where something in the root file system is.
fn link(bundle: &Bundle, name: &str, target: &Path) {
    let at = bundle.rootfs().join(name);
    let _ = fs::remove_dir_all(&at);
    let _ = fs::remove_file(&at);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    symlink(target, at).unwrap();
}

fn core_pattern() -> String {
    fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap()
}

/// Swaps two names over and over while `body` runs.
fn racing(a: &Path, b: &Path, body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
            }
        });
        body();
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn cve_2016_9962_a_process_that_joins_cannot_be_looked_into() {
    let home = Home::new();
    let id = home.id("c9962-");
    let look = "while :; do ls -l /proc/[0-9]*/fd /proc/[0-9]*/cwd /proc/[0-9]*/exe 2>/dev/null; done";
    // With the capability to do so: what is held is what counts, as in the advisory.
    let bundle = with(&format!("{look} | grep -o -- '-> .*'"), |config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set].as_array_mut().unwrap().push("CAP_DAC_OVERRIDE".into());
        }
    });
    let lines = home.start(&bundle, &id);
    for _ in 0..20 {
        home.ok(&["exec", &id, "true"]);
    }
    home.ok(&["delete", "--force", &id]);
    let seen = lines.rest();
    assert!(seen.len() > 100, "it looked {} times", seen.len());
    let bundle = path(bundle.path());
    let leaked = seen.iter().find(|l| l.contains(bundle) || l.contains("pidfd") || l.contains("bailiwick"));
    assert_eq!(leaked, None);
}

#[test]
fn cve_2019_5736_the_program_of_the_host_cannot_be_reached_for_writing() {
    let home = Home::new();
    let id = home.id("c5736-");
    let before = fs::read(BAILIWICK).unwrap();
    // Executed from within, it would be the host's program that runs.
    let bundle = Bundle::script("#!/proc/self/exe\n").unwrap();
    let (status, output, _) = home.run_bundle(&bundle, &id);
    assert_eq!((status, output.as_str()), (1, ""));
    // Whoever can see the monitor and may do anything finds its program read-only.
    let bundle = script(READY);
    home.start(&bundle, &id).next();
    let monitor = monitor_of(&id);
    // Truncating asks the mount first; without it the answer while it runs is that the file is busy.
    let open = OpenOptions::new().write(true).truncate(true).open(format!("/proc/{monitor}/exe"));
    assert_eq!(open.unwrap_err().raw_os_error(), Some(EROFS));
    assert!(fs::read(BAILIWICK).unwrap() == before);
}

#[test]
fn cve_2019_5736_nor_from_a_container_that_sees_the_processes_of_the_host() {
    let home = Home::new();
    let id = home.id("d5736-");
    let before = fs::read(BAILIWICK).unwrap();
    let attack = "for exe in /proc/[0-9]*/exe; do
            case $(readlink $exe) in */bailiwick) echo found; { echo x > $exe; } 2>&1;; esac
        done; sh -c 'echo done'";
    let bundle = with(attack, |config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "pid");
        for set in ["bounding", "effective", "permitted"] {
            let all = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_KILL"];
            config["process"]["capabilities"][set] = json!(all);
        }
    });
    let output = home.says(&bundle, &id);
    assert!(output.ends_with("done\n"), "{output}");
    assert!(output.contains("found"), "it saw no process of ours: {output}");
    assert!(fs::read(BAILIWICK).unwrap() == before);
}

#[test]
fn cve_2019_16884_nothing_but_procfs_is_mounted_on_proc() {
    let home = Home::new();
    for kind in ["tmpfs", "bind"] {
        let canary = Canary::new();
        let bundle = with("cat /proc/self/attr/current /proc/self/comm /proc/file", |config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({ "destination": "/proc", "type": kind, "source": canary.path(),
                "options": if kind == "bind" { json!(["bind"]) } else { json!([]) } }));
        });
        let (status, output, _) = home.run_bundle(&bundle, &home.id("c16884-"));
        assert!(status != 0 && !output.contains("untouched"), "{kind}: {status} {output}");
    }
}

#[test]
fn cve_2019_18837_mount_targets_do_not_leave_through_their_last_component() {
    let home = Home::new();
    for name in ["dev/pts", "dev/shm", "dev/mqueue", "sys", "sys/fs/cgroup", "proc"] {
        let canary = Canary::new();
        let bundle = script("echo > /dev/pts/new; echo > /dev/shm/new; true");
        link(&bundle, name, canary.path());
        let _ = home.run_bundle(&bundle, &home.id("c18837-"));
        canary.assert_untouched(name);
    }
}

#[test]
fn cve_2019_19921_a_link_in_place_of_proc_or_sys_is_refused() {
    let home = Home::new();
    for name in ["proc", "sys"] {
        let bundle = script("true");
        link(&bundle, name, Path::new("/tmp"));
        let (status, _, line) = home.run_bundle(&bundle, &home.id("c19921-"));
        assert_eq!(status, 1, "{name}: {line}");
        assert!(line.contains(&format!("/{name}: is a symbolic link")), "{line}");
    }
}

#[test]
fn ghsa_g54h_m393_cpwq_no_device_is_allowed_that_was_not_given() {
    let home = Home::new();
    // The first disk there is; any other number serves as well.
    let bundle =
        with("mknod /tmp/d b 254 0; cat /tmp/d > /dev/null; mknod /tmp/c c 1 2; cat /tmp/c", |config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
            }
        });
    let (status, _, errors) = home.run_bundle(&bundle, &home.id("g54h-"));
    assert_ne!(status, 0);
    assert_eq!(errors.matches("can't open '/tmp/").count(), 2, "{errors}");
    assert_eq!(errors.matches("Operation not permitted").count(), 2, "{errors}");
}

#[test]
fn cve_2021_30465_and_2024_45310_a_racing_link_leads_no_mount_and_no_directory_outside() {
    let home = Home::new();
    let canary = Canary::new();
    let bundle = with("cat /mnt/deep/er/passwd", |config| {
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/mnt/deep/er", "type": "tmpfs", "source": "tmpfs"
        }));
    });
    let (target, other) = (bundle.rootfs().join("mnt"), bundle.rootfs().join("other"));
    symlink(canary.path(), &other).unwrap();
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    racing(&target, &other, || {
        for _ in 0..60 {
            let (status, output, _) = home.run_bundle(&bundle, &home.id("c30465-"));
            assert!(status != 0, "{output}");
        }
    });
    canary.assert_untouched("racing links");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

/// The five sets of a process, as procfs has them.
const SETS: &str = "grep ^Cap /proc/self/status";

#[test]
fn cve_2022_29162_and_2025_27612_capabilities_are_those_asked_for_in_run_and_exec() {
    let home = Home::new();
    let id = home.id("c29162-");
    let bundle = with(&format!("{SETS}; {READY}"), |config| {
        config["process"]["capabilities"] = json!({
            "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]
        });
    });
    let mut lines = home.start(&bundle, &id);
    let sets: Vec<String> = (0..5).map(|_| lines.next()).collect();
    let wanted = [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000020",
        "CapEff:\t0000000000000020",
        "CapBnd:\t0000000000000021",
        "CapAmb:\t0000000000000000",
    ];
    // A shell that root executes gains what the bounding set allows (capabilities(7)).
    let gained = [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000021",
        "CapEff:\t0000000000000021",
        "CapBnd:\t0000000000000021",
        "CapAmb:\t0000000000000000",
    ];
    assert!(sets == wanted || sets == gained, "{sets:?}");
    let exec = home.ok(&["exec", &id, "sh", "-c", SETS]);
    assert_eq!(exec.lines().collect::<Vec<_>>(), sets);
    let other = home.ok(&["exec", "-u", "1000:1000", &id, "sh", "-c", SETS]);
    for (line, set) in other.lines().zip(["Inh", "Prm", "Eff", "Bnd", "Amb"]) {
        let held = if set == "Bnd" { "21" } else { "00" };
        assert!(line.starts_with(&format!("Cap{set}")) && line.ends_with(held), "{line}");
    }
}

#[test]
fn cve_2023_25809_control_groups_are_read_only_inside() {
    let home = Home::new();
    let look = "grep cgroup /proc/self/mountinfo | cut -d' ' -f5,6";
    let output = home.says(&script(look), &home.id("c25809-"));
    let shown: Vec<&str> = output.lines().filter(|line| line.contains("/sys/fs/cgroup")).collect();
    assert!(!shown.is_empty(), "{output}");
    for line in shown {
        assert!(line.split(' ').nth(1).unwrap().split(',').any(|option| option == "ro"), "{line}");
    }
}

#[test]
fn cve_2024_21626_no_descriptor_of_the_host_serves_as_working_directory() {
    let home = Home::new();
    let id = home.id("c21626-");
    let bundle = script(READY);
    home.create(&bundle, &id);
    let pid = home.state(&id)["pid"].to_string();
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| path(&fs::read_link(entry.unwrap().path()).unwrap()).to_owned())
        .collect();
    // Its streams, the program, and the socket that it waits on.
    let allowed = |target: &String| {
        let begins = ["pipe:", "socket:", "/script"].iter().any(|start| target.starts_with(start));
        begins || target == "/dev/null" || target.ends_with("/errors")
    };
    assert!(open.len() == 5 && open.iter().all(allowed), "{open:?}");
    home.ok(&["start", &id]);
    for number in 3..64 {
        home.refused(&["exec", "--cwd", &format!("/proc/self/fd/{number}"), &id, "true"]);
    }
}

#[test]
fn cve_2025_31133_only_the_real_null_device_masks() {
    let home = Home::new();
    let before = core_pattern();
    let bundle = with("echo bad > /proc/kcore; echo bad > /proc/sysrq-trigger; cat /dev/null", |config| {
        config["linux"]["maskedPaths"].as_array_mut().unwrap().push("/proc/sysrq-trigger".into());
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    });
    link(&bundle, "dev/null", Path::new("/proc/sys/kernel/core_pattern"));
    let _ = home.run_bundle(&bundle, &home.id("c31133-"));
    assert_eq!(core_pattern(), before);
}

#[test]
fn cve_2026_30892_a_user_that_is_no_number_is_refused() {
    let home = Home::new();
    let id = home.id("c30892-");
    let bundle = script(READY);
    home.start(&bundle, &id).next();
    for user in ["1000:", "1000x", "-1", "+1", "4294967295", "4294967296", "0x0", "00", "", ":", "root"] {
        let line = home.refused(&["exec", &format!("--user={user}"), &id, "true"]);
        assert!(line.contains("--user"), "{line}");
    }
}

#[test]
fn cve_2024_40635_user_numbers_do_not_wrap() {
    let home = Home::new();
    for uid in [json!(4_294_967_296_u64), json!(-1), json!("0"), json!(1.5)] {
        let bundle = with("id -u", |config| config["process"]["user"]["uid"] = uid.clone());
        let (status, output, line) = home.run_bundle(&bundle, &home.id("c40635-"));
        assert_eq!((status, output.as_str()), (1, ""), "{uid}");
        assert!(line.contains("process.user.uid"), "{line}");
    }
    let bundle = with("id -u", |config| config["process"]["user"]["uid"] = json!(2_147_483_648_u32));
    assert_eq!(home.says(&bundle, &home.id("c40635-")), "2147483648\n");
}

#[test]
fn cve_2026_41579_88264_and_88265_no_default_device_is_made_or_changed_through_a_link() {
    let home = Home::new();
    let names = [
        "null", "zero", "full", "tty", "random", "urandom", "console", "ptmx", "pts", "shm", "mqueue", "fd",
        "stdin", "stdout", "stderr",
    ];
    // Without a file system of its own on /dev the image's directory is what devices are made in.
    let bare = || {
        with("echo > /dev/null; echo > /dev/console; true", |config| {
            config["mounts"]
                .as_array_mut()
                .unwrap()
                .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
        })
    };
    for name in names {
        for target in ["file", "new"] {
            let canary = Canary::new();
            let bundle = bare();
            link(&bundle, &format!("dev/{name}"), &canary.path().join(target));
            let _ = home.run_bundle(&bundle, &home.id("c41579-"));
            canary.assert_untouched(&format!("dev/{name} -> {target}"));
        }
    }
    for bundle in [bare(), script("true")] {
        let canary = Canary::new();
        link(&bundle, "dev", canary.path());
        let _ = home.run_bundle(&bundle, &home.id("c41579-"));
        canary.assert_untouched("dev");
    }
}

#[test]
fn cve_2026_115521_an_image_with_a_proc_of_its_own_does_not_keep_the_root_writable() {
    let home = Home::new();
    let bundle = with("echo x > /file", |config| config["root"]["readonly"] = true.into());
    let fake = bundle.rootfs().join("proc/self/fd");
    fs::create_dir_all(&fake).unwrap();
    for number in 0..64 {
        symlink("/tmp", fake.join(number.to_string())).unwrap();
    }
    let (status, _, errors) = home.run_bundle(&bundle, &home.id("c115521-"));
    assert!(status != 0 && errors.contains("Read-only file system"), "{status} {errors}");
    assert!(!bundle.rootfs().join("file").exists());
}

#[test]
fn cve_2020_15257_no_socket_of_ours_is_in_the_abstract_name_space() {
    let home = Home::new();
    let id = home.id("c15257-");
    let bundle = script(READY);
    home.start(&bundle, &id).next();
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(sockets.lines().any(|line| line.contains(&id) || line.ends_with("/socket")), "{sockets}");
    let abstracts: Vec<&str> = sockets.lines().filter(|line| line.contains(" @")).collect();
    assert!(abstracts.iter().all(|l| !l.contains("bailiwick") && !l.contains(&id)), "{abstracts:?}");
}

#[test]
fn cve_2021_41103_state_directories_are_nobody_else_s() {
    let home = Home::new();
    let id = home.id("c41103-");
    let bundle = script(READY);
    home.create(&bundle, &id);
    let mut found = vec![home.root()];
    while let Some(directory) = found.pop() {
        let facts = fs::symlink_metadata(&directory).unwrap();
        assert_eq!((facts.uid(), facts.mode() & 0o077), (0, 0), "{}", directory.display());
        if directory != home.root() && !facts.is_dir() {
            continue;
        }
        // What is in a directory that nobody enters may have any mode.
        if directory == home.root() {
            found.extend(fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn cve_2023_25173_supplementary_groups_are_those_of_the_configuration() {
    let home = Home::new();
    let bundle = with("id -G", |config| {
        config["process"]["user"] = json!({ "uid": 5, "gid": 6, "additionalGids": [7, 8] });
    });
    assert_eq!(home.says(&bundle, &home.id("c25173-")), "6 7 8\n");
    let bundle = with("id -G", |config| config["process"]["user"] = json!({ "uid": 5, "gid": 6 }));
    assert_eq!(home.says(&bundle, &home.id("c25173-")), "6\n");
}

#[test]
fn cve_2022_0811_a_sysctl_brings_no_other_one_along() {
    let home = Home::new();
    let before = core_pattern();
    for (name, value) in [
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/bad"),
        ("kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/bad"),
        ("kernel.core_pattern", "|/bad"),
        ("kernel/core_pattern", "|/bad"),
        ("net/../kernel/core_pattern", "|/bad"),
        ("net...kernel.core_pattern", "|/bad"),
    ] {
        let bundle = with("true", |config| config["linux"]["sysctl"] = json!({ name: value }));
        let (status, ..) = home.run_bundle(&bundle, &home.id("c0811-"));
        assert_eq!((status, core_pattern()), (1, before.clone()), "{name}={value}");
    }
}

#[test]
fn cve_2022_23648_a_bind_source_is_the_configuration_s_and_never_the_image_s() {
    let home = Home::new();
    let canary = Canary::new();
    // The image turns the target into a link to the host.
    let bundle = with("cat /volume/file", |config| {
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/volume", "type": "bind", "source": canary.path(), "options": ["rbind", "ro"]
        }));
    });
    let host = fs::read_dir("/etc").unwrap().count();
    link(&bundle, "volume", Path::new("../../../etc"));
    let (status, _, line) = home.run_bundle(&bundle, &home.id("c23648a-"));
    assert_eq!((status, line.contains("/volume leads out")), (1, true), "{line}");
    link(&bundle, "volume", Path::new("/var/volume"));
    let (status, output, line) = home.run_bundle(&bundle, &home.id("c23648b-"));
    assert_eq!((status, output.as_str()), (0, "untouched"), "{line}");
    assert_eq!(fs::read_dir("/etc").unwrap().count(), host);
    canary.assert_untouched("bind");
}

#[test]
fn the_command_says_nothing_of_a_container_to_whoever_is_not_root() {
    let home = Home::new();
    let id = home.id("other-");
    let bundle = script(READY);
    home.start(&bundle, &id).next();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "ls"])
        .arg(home.root())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{}", text(&output.stdout));
}
