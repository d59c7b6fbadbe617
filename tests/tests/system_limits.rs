//! Limits bite, in QEMU: memory, processes, shares and quota of the processor. Time is counted in instructions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::system::{Run, boot, changed, exec, idle};
use serde_json::json;

/// The number behind `name` in a line of `stats`, before `unit`.
fn figure(run: &Run, at: usize, name: &str) -> f64 {
    let text = run.output(at);
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{}", run.text));
    line.split_whitespace().next().unwrap().trim_end_matches(',').parse().unwrap()
}

fn busy(resources: serde_json::Value) -> Bundle {
    let change = |config: &mut serde_json::Value| config["linux"]["resources"]["cpu"] = resources;
    changed(&["sh", "-c", "while :; do :; done"], change).unwrap()
}

#[test]
fn the_processor_is_shared_by_weight_and_a_quota_is_kept_however_busy_it_is() {
    let light = busy(json!({"shares": 1024}));
    let heavy = busy(json!({"shares": 3072}));
    let quota = busy(json!({"shares": 65536, "quota": 5000, "period": 100_000}));
    let bundles = [("light", &light), ("heavy", &heavy), ("quota", &quota), ("idle", &idle().unwrap())];
    let commands = "create light light; create heavy heavy; create quota quota; run idle idle; start light; start heavy; \
                    start quota; exec idle sleep 2; pause light; pause heavy; pause quota; stats light; stats heavy; \
                    stats quota; exec idle sleep 0.2; stats heavy; resume heavy; exec idle sleep 0.2; stats heavy";
    let run =
        boot("", &bundles, &["--icount", "--memory", "96", "--exec", commands]).unwrap().succeeded().unwrap();
    let [light, heavy, quota, paused, resumed] = [11, 12, 13, 15, 18].map(|at| figure(&run, at, "cpu"));
    let share = heavy / light;
    assert!((2.7..3.3).contains(&share), "{light} s and {heavy} s are 1:{share:.3}\n{}", run.text);
    let used = quota / (light + heavy + quota);
    assert!((0.04..0.06).contains(&used), "{quota} s are {used:.4} of the processor\n{}", run.text);
    assert_eq!(heavy, paused, "a paused container used the processor\n{}", run.text);
    assert!(resumed > paused + 0.1, "{}", run.text);
}

#[test]
fn a_memory_hog_is_killed_at_its_limit_and_its_neighbour_goes_on() {
    let hog = changed(&["sh", "-c", "a=x; while :; do a=$a$a; done"], |config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 2 << 20});
    });
    let tmpfs = changed(&["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=64k"], |config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 2 << 20});
    });
    let commands = "run calm box; run hog hog; wait hog; stats hog; exec calm echo still here; list; run files files; \
                    wait files; exec calm echo still here; delete hog; delete files; run hog hog; wait hog";
    let bundles = [("box", &idle().unwrap()), ("hog", &hog.unwrap()), ("files", &tmpfs.unwrap())];
    let run = exec(&bundles, commands).unwrap();
    assert_eq!([2, 12].map(|at| run.output(at)), ["137\n", "137\n"], "{}", run.text);
    // What a file takes counts as well.
    assert_eq!(run.output(7), "137\n", "{}", run.text);
    assert!(run.output(3).contains("1 killed out of memory"), "{}", run.text);
    assert_eq!([4, 8].map(|at| run.output(at)), ["still here\n", "still here\n"]);
    assert!(run.output(5).contains("out of memory"), "{}", run.text);
}

/// What files need beside their contents is the kernel's, and there is only so much of it.
#[test]
fn whoever_makes_more_files_than_the_kernel_can_keep_is_refused_and_the_machine_goes_on() {
    let program = "exec 2>/dev/null; for k in 0 1 2 3 4 5 6 7 8 9; do i=0; \
                   while true >/a$k/$i; do i=$((i+1)); done; echo $i; done; exit 0";
    let flood = changed(&["sh", "-c", program], |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.extend(
            (0..10).map(|k| json!({"destination": format!("/a{k}"), "type": "tmpfs", "source": "tmpfs"})),
        );
    })
    .unwrap();
    (0..10).for_each(|k| std::fs::create_dir(flood.rootfs().join(format!("a{k}"))).unwrap());
    let commands = "run calm box; run flood flood; wait flood; logs flood; exec calm echo still here; delete flood; \
                    run more box; exec more echo as before";
    let run = exec(&[("box", &idle().unwrap()), ("flood", &flood)], commands).unwrap().succeeded().unwrap();
    let made: Vec<u32> = run.output(3).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!((made.len(), made[0]), (10, 4095), "{}", run.text);
    assert!(made[9] < 4095, "the kernel's heap was never full: {made:?}");
    assert_eq!([4, 7].map(|at| run.output(at)), ["still here\n", "as before\n"], "{}", run.text);
}

/// What files need beside their contents is memory of whoever makes them, as long as there are the files.
#[test]
fn whoever_makes_files_stops_at_its_limit_of_memory_and_nobody_else_notices() {
    let program = "i=0; while true >/left$i; do i=$((i+1)); done";
    let flood = changed(&["sh", "-c", program], |config| {
        config["root"]["readonly"] = json!(false);
        config["linux"]["resources"]["memory"] = json!({"limit": 2 << 20});
    })
    .unwrap();
    let files = "cd /dev/shm; for k in 1 2 3; do i=0; while [ $i -lt 500 ]; do >$k.$i; i=$((i+1)); done; done; ls | wc -l";
    let commands = format!(
        "run calm box; run flood flood; wait flood; stats flood; exec calm sh -c '{files}'; run more box; \
         exec more echo as before; delete flood"
    );
    let run = exec(&[("box", &idle().unwrap()), ("flood", &flood)], &commands).unwrap();
    // Its program is gone, the files are not.
    assert_ne!(run.output(2), "0\n", "{}", run.text);
    let used = figure(&run, 3, "memory");
    assert!((1500.0..=2048.0).contains(&used), "{}", run.text);
    assert_eq!([4, 6].map(|at| run.output(at)), ["1500\n", "as before\n"], "{}", run.text);
}

#[test]
fn a_fork_bomb_stops_at_the_limit_of_processes() {
    let bomb = changed(&["sh", "-c", "while :; do sleep 1000 & done"], |config| {
        config["linux"]["resources"]["pids"] = json!({"limit": 8});
    });
    let commands = "run calm box; run bomb bomb; exec calm sleep 1; exec calm echo still here; stats bomb; \
                    delete --force bomb; list";
    let run = exec(&[("box", &idle().unwrap()), ("bomb", &bomb.unwrap())], commands).unwrap();
    let run = run.succeeded().unwrap();
    assert_eq!(run.output(3), "still here\n", "{}", run.text);
    assert!(run.output(4).contains("limit 8"), "{}", run.text);
    assert!(figure(&run, 4, "pids") <= 8.0, "{}", run.text);
    assert!(!run.output(6).contains("bomb"), "{}", run.text);
}
