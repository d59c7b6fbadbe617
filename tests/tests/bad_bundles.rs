//! Bundles that cannot be: each has a one-line answer that names the file and the place in it, or the kernel step and
//! its number, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_kernel_glue::model::Directory;
use bailiwick_protocol::error::{Errno, ErrorReply, RefusalCode};
use bailiwick_protocol::message::*;
use bailiwick_tests::desk::{Desk, config};
use serde_json::{Value, json};

fn create(desk: &mut Desk, bundle: &Directory) -> Result<(), ErrorReply> {
    let request = Request::Create(Create { id: "web", bundle: "/b", stdio: Stdio::Log });
    desk.call(desk.root, &request, Some(bundle)).map(drop)
}

/// The error of a creation that must fail, after a look at what is left.
fn refused(desk: &mut Desk, bundle: &Directory) -> ErrorReply {
    let before = (desk.glue.census(), desk.manager.grant_count(), desk.manager.container_count());
    let error = create(desk, bundle).expect_err("it was created");
    let after = (desk.glue.census(), desk.manager.grant_count(), desk.manager.container_count());
    assert_eq!(after, before, "{error}");
    desk.manager.audit().unwrap();
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line:?}");
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    error
}

fn refused_config(desk: &mut Desk, text: impl Into<Vec<u8>>) -> String {
    let error = refused(desk, &Directory::bundle(text));
    let line = error.to_string();
    assert!(line.starts_with("config.json"), "{line:?} names no file");
    line
}

#[test]
fn what_is_no_json_is_refused_by_file_and_place() {
    let mut desk = Desk::prompt();
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let cases: [(Vec<u8>, &str); 14] = [
        (b"".to_vec(), "config.json"),
        (b"#!/bin/sh".to_vec(), "config.json"),
        (b"{".to_vec(), "config.json"),
        (b"{}".to_vec(), "config.json: ociVersion"),
        (b"[]".to_vec(), "config.json"),
        (b"null".to_vec(), "config.json"),
        (b"{\"ociVersion\": 1}".to_vec(), "config.json: ociVersion"),
        (b"{} {}".to_vec(), "config.json"),
        (vec![0xff, 0xfe], "config.json: not UTF-8 from byte 0 on"),
        (vec![0; 100], "config.json"),
        (vec![b' '; 10 << 20], "config.json: larger than 1 MiB"),
        (deep("[", "]").into_bytes(), "config.json"),
        (deep("{\"a\":", "1}").into_bytes(), "config.json"),
        (format!("{{\"linux\": {}}}", deep("[", "]")).into_bytes(), "config.json"),
    ];
    for (text, expected) in cases {
        let line = refused_config(&mut desk, text);
        assert!(line.starts_with(expected), "{line} should begin with {expected}");
    }
}

#[test]
fn a_configuration_that_is_cut_anywhere_is_refused() {
    let mut desk = Desk::prompt();
    let text = config(&["true"]).to_string();
    for end in 0..text.len() {
        refused_config(&mut desk, &text.as_bytes()[..end]);
    }
    create(&mut desk, &Directory::bundle(text)).unwrap();
}

/// Every place of a document, as JSON pointers.
fn places(value: &Value, here: &str, out: &mut Vec<String>) {
    out.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| places(value, &format!("{here}/{key}"), out));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| places(value, &format!("{here}/{i}"), out));
        }
        _ => {}
    }
}

#[test]
fn a_value_of_another_type_is_refused_by_its_json_path_wherever_it_stands() {
    let good = config(&["true"]);
    let mut all = Vec::new();
    places(&good, "", &mut all);
    let wrong = [json!(7), json!(-1), json!(1.5), json!("x"), json!(true), json!([[]]), json!({ "a": {} })];
    let mut desk = Desk::prompt();
    let mut count = 0;
    for place in all.iter().filter(|place| !place.is_empty()) {
        for value in &wrong {
            let mut document = good.clone();
            let there = document.pointer_mut(place).unwrap();
            if core::mem::discriminant(there) == core::mem::discriminant(value) {
                continue;
            }
            *there = value.clone();
            let line = refused_config(&mut desk, document.to_string());
            let first = place.split('/').nth(1).unwrap();
            assert!(line.starts_with(&format!("config.json: {first}")), "{place} = {value}: {line}");
            count += 1;
        }
    }
    assert!(count > 500, "only {count} cases");
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
    let mut desk = Desk::prompt();
    let text = config(&["true"]).to_string();
    for key in ["ociVersion", "process", "root", "linux", "args", "path", "namespaces", "noNewPrivileges"] {
        let twice = text.replacen(&format!("\"{key}\":"), &format!("\"{key}\":null,\"{key}\":"), 1);
        assert_ne!(twice, text, "{key} is not there");
        let line = refused_config(&mut desk, twice);
        assert!(line.contains(key), "{line} does not name {key}");
    }
}

#[test]
fn paths_that_lead_out_or_hold_what_no_path_holds_are_refused_by_their_json_path() {
    let mut desk = Desk::prompt();
    let places = [
        ("/root/path", "config.json: root.path"),
        ("/process/cwd", "config.json: process.cwd"),
        ("/mounts/0/destination", "config.json: mounts[0].destination"),
        ("/linux/maskedPaths/0", "config.json: linux.maskedPaths[0]"),
        ("/linux/readonlyPaths/0", "config.json: linux.readonlyPaths[0]"),
        ("/linux/cgroupsPath", "config.json: linux.cgroupsPath"),
    ];
    for (place, expected) in places {
        for bad in ["/a\0b", "/../up", "/a/../../b"] {
            let mut document = config(&["true"]);
            document["linux"]["cgroupsPath"] = "/group".into();
            // What a process sees as its directory may lead up: it ends at its own root.
            if place == "/process/cwd" && !bad.contains('\0') {
                continue;
            }
            *document.pointer_mut(place).unwrap() = bad.into();
            let line = refused_config(&mut desk, document.to_string());
            assert!(line.starts_with(expected), "{place} = {bad:?}: {line}");
        }
    }
    for place in ["/process/args/0", "/process/env/0", "/hostname"] {
        let mut document = config(&["true"]);
        *document.pointer_mut(place).unwrap() = "A=\0b".into();
        let line = refused_config(&mut desk, document.to_string());
        let first = place.split('/').nth(1).unwrap();
        assert!(line.starts_with(&format!("config.json: {first}")), "{place}: {line}");
    }
}

#[test]
fn what_only_the_kernel_can_find_is_refused_by_step_and_number() {
    let text = |change: &dyn Fn(&mut Value)| {
        let mut config = config(&["true"]);
        change(&mut config);
        config.to_string()
    };
    let plain = text(&|_| {});
    let program = |path: &str| text(&|config| config["process"]["args"] = json!([path]));
    let mounted = text(&|config| {
        let mount = json!({ "destination": "/out/x", "type": "tmpfs", "source": "tmpfs" });
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    let cases = [
        (Directory::bundle(plain.clone()).without("rootfs"), Errno::ENOENT, "root rootfs"),
        (
            Directory::bundle(plain.clone()).without("rootfs").file("rootfs", ""),
            Errno::ENOTDIR,
            "root rootfs",
        ),
        (
            Directory::bundle(plain.clone()).without("rootfs").link("rootfs", "../.."),
            Errno::EXDEV,
            "root rootfs",
        ),
        (Directory::bundle(plain).without("rootfs").link("rootfs", "/"), Errno::EXDEV, "root rootfs"),
        (Directory::bundle(program("/no/such")), Errno::ENOENT, "load /no/such"),
        (Directory::bundle(program("none")), Errno::ENOENT, "load none"),
        (Directory::bundle(program("/bin")), Errno::EACCES, "load /bin"),
        (Directory::bundle(program("/etc/passwd")), Errno::EACCES, "load /etc/passwd"),
        (
            Directory::bundle(program("/arm")).program("rootfs/arm", &b"\x7fELF\x02\x01\x01"[..]),
            Errno::ENOEXEC,
            "load /arm",
        ),
        (
            Directory::bundle(text(&|config| config["process"]["cwd"] = "/none".into())),
            Errno::ENOENT,
            "working directory /none",
        ),
        (
            Directory::bundle(text(&|config| config["process"]["cwd"] = "/etc/passwd".into())),
            Errno::ENOTDIR,
            "working directory /etc/passwd",
        ),
        (Directory::bundle(mounted).file("rootfs/out", ""), Errno::ENOTDIR, "mount tmpfs on /out/x"),
        (
            Directory::bundle(text(&|config| {
                config["linux"]["namespaces"][0]["path"] = "/proc/99999/ns/pid".into();
            })),
            Errno::ENOENT,
            "namespaces mount pid=/proc/99999/ns/pid",
        ),
    ];
    let mut desk = Desk::prompt();
    for (bundle, errno, what) in cases {
        match refused(&mut desk, &bundle) {
            ErrorReply::Kernel(fault) => {
                assert_eq!(fault.errno, errno, "{fault}");
                assert!(
                    fault.step.is_some() && fault.detail.as_str().starts_with(what),
                    "{fault} is not {what}"
                );
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_absolute_link_on_the_way_to_a_mount_is_none_of_the_manager_s_business() {
    let mut document = config(&["true"]);
    let mount = json!({ "destination": "/out/x", "type": "tmpfs", "source": "tmpfs" });
    document["mounts"].as_array_mut().unwrap().push(mount);
    let bundle = Directory::bundle(document.to_string()).link("rootfs/out", "/tmp");
    let mut desk = Desk::prompt();
    create(&mut desk, &bundle).unwrap();
}

#[test]
fn an_unknown_namespace_and_a_bundle_that_is_none_are_refused() {
    let mut desk = Desk::prompt();
    let mut document = config(&["true"]);
    document["linux"]["namespaces"][0]["type"] = "moon".into();
    let line = refused_config(&mut desk, document.to_string());
    assert!(line.starts_with("config.json: linux.namespaces[0].type"), "{line}");
    let text = config(&["true"]).to_string();
    let outside = Directory::bundle("{}").without("config.json").link("config.json", "../config.json");
    for (bundle, what) in [
        (Directory::new(), "no such file"),
        (Directory::bundle(text.clone()).without("config.json").directory("config.json"), "not a file"),
        (outside, "not a file inside the bundle"),
    ] {
        let error = refused(&mut desk, &bundle);
        assert!(error.to_string().starts_with(&format!("config.json: {what}")), "{error}");
        assert!(matches!(&error, ErrorReply::Refusal(refusal) if refusal.code == RefusalCode::BadBundle));
    }
}
