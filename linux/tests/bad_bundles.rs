//! Bundles that cannot run: each is refused in one line that names the file, the JSON path or the kernel's step, and
//! leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::bundle::Bundle;
use common::{Home, groups, path};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Creates from a bundle that `edit` has spoiled; the refusal must name all of `named`.
fn refused(what: &str, named: &[&str], edit: impl FnOnce(&mut Bundle)) {
    let home = Home::new();
    let id = home.id("bad");
    let mut bundle = Bundle::new(&["/bin/true"]).unwrap();
    edit(&mut bundle);
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = home.refused(&["create", "--bundle", path(bundle.path()), &id]);
    for name in named {
        assert!(line.contains(name), "{what}: {name} is not in: {line}");
    }
    assert_eq!((home.names(), groups(&id)), (vec![], vec![]), "{what}");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "{what}");
}

/// The same for a configuration that is this text.
fn text(what: &str, named: &[&str], edit: impl FnOnce(String) -> Vec<u8>) {
    refused(what, named, |bundle| {
        let file = bundle.path().join("config.json");
        let spoiled = edit(fs::read_to_string(&file).unwrap());
        fs::write(file, spoiled).unwrap();
    });
}

/// The same for a configuration that is valid JSON.
fn config(what: &str, named: &[&str], edit: impl FnOnce(&mut Value)) {
    refused(what, named, |bundle| {
        edit(&mut bundle.config);
        bundle.write().unwrap();
    });
}

#[test]
fn a_configuration_that_is_no_json_is_refused() {
    let named = &["config.json"];
    text("no JSON", named, |_| b"hello".to_vec());
    text("empty", named, |_| Vec::new());
    text("cut short", named, |text| text.as_bytes()[..text.len() / 2].to_vec());
    text("followed by more", named, |text| (text + "{}").into_bytes());
    text("no UTF-8", &["config.json", "UTF-8"], |text| [text.as_bytes(), b"\xff"].concat());
    text("10 MB", &["config.json", "1 MiB"], |text| (text + &" ".repeat(10 << 20)).into_bytes());
    text("deep", named, |_| format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes());
    text("deep inside", named, |text| {
        let deep = format!("{{\"x\": {}{},", "[".repeat(10_000), "]".repeat(10_000));
        text.replacen('{', &deep, 1).into_bytes()
    });
    text("the same key twice", &["config.json", "hostname"], |text| {
        text.replacen('{', "{\"hostname\": \"other\",", 1).into_bytes()
    });
    refused("no file", &["config.json"], |bundle| {
        fs::remove_file(bundle.path().join("config.json")).unwrap()
    });
    refused("a directory", &["config.json"], |bundle| {
        fs::remove_file(bundle.path().join("config.json")).unwrap();
        fs::create_dir(bundle.path().join("config.json")).unwrap();
    });
    refused("a link out of the bundle", &["config.json"], |bundle| {
        let outside = bundle.path().with_extension("json");
        fs::rename(bundle.path().join("config.json"), &outside).unwrap();
        symlink(&outside, bundle.path().join("config.json")).unwrap();
    });
}

#[test]
fn a_configuration_that_breaks_the_specification_is_refused_at_its_place() {
    config("wrong type", &["process.args"], |c| c["process"]["args"] = json!("true"));
    config("wrong type inside", &["process.args[0]"], |c| c["process"]["args"] = json!([1]));
    config("no arguments", &["process.args"], |c| c["process"]["args"] = json!([]));
    config("NUL", &["process.args[0]"], |c| c["process"]["args"] = json!(["/bin/tr\0ue"]));
    config("NUL in a path", &["process.cwd"], |c| c["process"]["cwd"] = json!("/\0"));
    config("relative", &["process.cwd"], |c| c["process"]["cwd"] = json!("tmp"));
    config("unknown namespace", &["linux.namespaces[0].type"], |c| {
        c["linux"]["namespaces"][0]["type"] = json!("moon");
    });
    config("a namespace twice", &["linux.namespaces"], |c| {
        let first = c["linux"]["namespaces"][0].clone();
        c["linux"]["namespaces"].as_array_mut().unwrap().push(first);
    });
    config("no root", &["root"], |c| c["root"]["path"] = json!(""));
    config("group above", &["linux.cgroupsPath"], |c| c["linux"]["cgroupsPath"] = json!("/../../escaped"));
}

#[test]
fn a_root_file_system_that_is_none_is_refused() {
    config("missing", &["root missing", "ENOENT"], |c| c["root"]["path"] = json!("missing"));
    config("above the bundle", &["root"], |c| c["root"]["path"] = json!("../.."));
    refused("a file", &["rootfs", "ENOTDIR"], |bundle| {
        fs::remove_dir_all(bundle.rootfs()).unwrap();
        fs::write(bundle.rootfs(), "file").unwrap();
    });
    refused("a link out of the bundle", &["rootfs", "EXDEV"], |bundle| {
        fs::rename(bundle.rootfs(), bundle.path().with_extension("rootfs")).unwrap();
        symlink(bundle.path().with_extension("rootfs"), bundle.rootfs()).unwrap();
    });
}

/// Makes a program of these bytes.
fn program(bundle: &mut Bundle, bytes: &[u8]) {
    let file = bundle.rootfs().join("program");
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    bundle.config["process"]["args"] = json!(["/program"]);
    bundle.write().unwrap();
}

#[test]
fn a_program_that_cannot_be_executed_is_refused_at_creation() {
    let busybox = fs::read("/bin/busybox").unwrap();
    config("missing", &["/bin/nothing", "ENOENT"], |c| c["process"]["args"] = json!(["/bin/nothing"]));
    config("not on the PATH", &["nothing"], |c| c["process"]["args"] = json!(["nothing"]));
    config("a directory", &["/etc", "EACCES"], |c| c["process"]["args"] = json!(["/etc"]));
    config("not executable", &["/etc/passwd", "EACCES"], |c| c["process"]["args"] = json!(["/etc/passwd"]));
    refused("neither ELF nor script", &["/program", "ENOEXEC"], |bundle| program(bundle, b"hello"));
    refused("cut short", &["/program", "ENOEXEC"], |bundle| program(bundle, &busybox[..40]));
    refused("for another machine", &["/program", "another machine"], |bundle| {
        let mut other = busybox.clone();
        other[18] = 243;
        program(bundle, &other);
    });
    refused("a missing interpreter", &["/program", "ENOENT"], |bundle| {
        program(bundle, &fs::read("/bin/ls").unwrap());
    });
    refused("a script without its shell", &["/no/shell"], |bundle| program(bundle, b"#!/no/shell\n"));
    config("no such directory", &["working directory /nowhere", "ENOENT"], |c| {
        c["process"]["cwd"] = json!("/nowhere");
    });
}

#[test]
fn a_mount_that_cannot_be_made_is_refused() {
    let mount = |c: &mut Value, mount: Value| c["mounts"].as_array_mut().unwrap().push(mount);
    config("no file system", &["mounts[7].type", "nonsense"], |c| {
        mount(c, json!({ "destination": "/mnt", "type": "nonsense", "source": "x" }));
    });
    config("no source", &["/no/where", "ENOENT"], |c| {
        mount(
            c,
            json!({ "destination": "/mnt", "type": "bind", "source": "/no/where", "options": ["bind"] }),
        );
    });
    config("a directory on a file", &["/etc/passwd"], |c| {
        mount(c, json!({ "destination": "/etc/passwd", "type": "tmpfs", "source": "tmpfs" }));
    });
}
