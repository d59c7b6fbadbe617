//! Bundles that cannot be, in QEMU: each is refused in one line that names the file, the JSON path or the kernel's step
//! and its number, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bad::{BAD, BAD_IDS, spoiled};
use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{boot, changed, idle};
use serde_json::json;

/// Whether this is one line, without what no line holds.
fn is_one_line(text: &str) -> bool {
    text.lines().count() == 1 && !text.trim_end().contains(|c: char| c.is_control())
}

#[test]
fn a_bundle_that_cannot_be_is_refused_in_one_line_and_leaves_nothing() {
    let bundles: Vec<(&str, Bundle)> = BAD.iter().map(|bad| (bad.name, spoiled(bad).unwrap())).collect();
    let mut packed: Vec<(&str, &Bundle)> = bundles.iter().map(|(name, bundle)| (*name, bundle)).collect();
    let good = idle().unwrap();
    packed.push(("good", &good));
    let mut commands = "run look good; exec look sh -c 'grep MemFree: /proc/meminfo'; ".to_owned();
    commands.extend(BAD.iter().map(|bad| format!("run {0} {0}; ", bad.name)));
    commands += "list; exec look ls -d /proc/[0-9]*; ";
    commands.extend(BAD_IDS.map(|id| format!("run '{id}' good; ")));
    commands += "run a nothing; run a ../look; list";
    let run = boot("", &packed, &["--memory", "384", "--exec", &commands]).unwrap();
    let mut wrong = Vec::new();
    for (at, bad) in BAD.iter().enumerate() {
        let line = run.output(at + 2);
        let named = bad.names.iter().all(|name| line.contains(name));
        if !named || !is_one_line(&line) || !line.starts_with(&format!("run {}: ", bad.name)) {
            wrong.push((bad.names, line));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let after = BAD.len() + 2;
    assert_eq!(run.output(after).lines().count(), 2, "{}", run.text);
    for at in 0..BAD_IDS.len() + 2 {
        let line = run.output(after + 2 + at);
        assert!(line.starts_with("run ") && is_one_line(&line), "{line}");
    }
    assert_eq!(run.output(after + 4 + BAD_IDS.len()), run.output(after), "{}", run.text);
}

#[test]
fn an_absolute_link_on_the_way_to_a_mount_begins_again_at_the_root() {
    let bundle = changed(
        &["sh", "-c", "grep -c ' /elsewhere/x ' /proc/self/mountinfo; touch /out/x/inside; ls /elsewhere/x"],
        |config| {
            let mount = json!({ "destination": "/out/x", "type": "tmpfs", "source": "tmpfs" });
            config["mounts"].as_array_mut().unwrap().push(mount);
        },
    );
    let bundle = bundle.unwrap();
    std::os::unix::fs::symlink("/elsewhere", bundle.rootfs().join("out")).unwrap();
    std::fs::create_dir(bundle.rootfs().join("elsewhere")).unwrap();
    let run =
        boot("", &[("box", &bundle)], &["--exec", "run a box; wait a; logs a"]).unwrap().succeeded().unwrap();
    assert_eq!(run.output(2), "1\ninside\n", "{}", run.text);
}
