//! What the processes of a container see of the machine that it runs on, in QEMU: their own world and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_tests::system::{changed, exec, idle};
use serde_json::{Value, json};

#[test]
fn the_pair_of_pivot_root_is_what_the_kernel_then_shows() {
    let run =
        exec(&[("box", &idle().unwrap())], "run a box; pivot a; exec a cat /proc/self/mountinfo; state a");
    let run = run.unwrap().succeeded().unwrap();
    let pair = run.output(1);
    let (new, old) = pair.trim().split_once(", old root on ").expect(&pair);
    let (new, old) = (new.strip_prefix("new root ").unwrap(), old.strip_suffix(" until unmounted").unwrap());
    let mounts = run.output(2);
    let fields: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
    // The directory of the bundle that the pair names is the root of what is mounted on /, once, with no mount above
    // it that is in this namespace; the old root, which lay over it, is gone.
    let bundle = serde_json::from_str::<Value>(&run.output(3)).unwrap()["bundle"].clone();
    let on_root: Vec<_> = fields.iter().filter(|mount| mount[4] == old).collect();
    let [root] = on_root.as_slice() else { panic!("one mount on {old}: {mounts}") };
    assert_eq!(root[3], format!("{}/{new}", bundle.as_str().unwrap()), "{mounts}");
    assert!(fields.iter().all(|mount| mount[0] != root[1]), "{mounts}");
    let below = |mount: &Vec<&str>| mount[4] == old || fields.iter().any(|other| other[0] == mount[1]);
    assert!(fields.iter().all(below), "{mounts}");
}

#[test]
fn namespaces_joined_by_path_are_the_same_objects_and_the_others_are_not() {
    let kinds = ["pid", "network", "ipc", "uts", "cgroup", "user"];
    let joined = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        changed(&["sleep", "100000"], move |config| {
            let namespace = |kind: &str| {
                let file = if kind == "network" { "net" } else { kind };
                match names.iter().any(|name| name == kind) {
                    true => json!({"type": kind, "path": format!("/run/containers/first/ns/{file}")}),
                    false => json!({"type": kind}),
                }
            };
            let mut all: Vec<Value> = kinds.iter().map(|kind| namespace(kind)).collect();
            all.push(json!({"type": "mount"}));
            config["linux"]["namespaces"] = all.into();
            config["hostname"] = Value::Null;
            if !names.iter().any(|name| name == "user") {
                let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
                config["linux"]["uidMappings"] = map.clone();
                config["linux"]["gidMappings"] = map;
            }
        })
        .unwrap()
    };
    let (first, all, some) = (joined(&[]), joined(&kinds), joined(&["network", "ipc"]));
    let look = "sh -c 'for n in pid net ipc uts cgroup user mnt; do readlink /proc/self/ns/$n; done'";
    let commands = format!(
        "run first first; run all all; run some some; exec first {look}; exec all {look}; exec some {look}; \
         exec all ps -o args"
    );
    let run = exec(&[("first", &first), ("all", &all), ("some", &some)], &commands).unwrap();
    let run = run.succeeded().unwrap();
    let numbers = |at: usize| run.output(at).lines().map(str::to_owned).collect::<Vec<_>>();
    let (first, all, some) = (numbers(3), numbers(4), numbers(5));
    assert_eq!((first.len(), &first[..6]), (7, &all[..6]), "{}", run.text);
    assert_ne!(first[6], all[6]);
    for at in 0..7 {
        let is_joined = first[at].starts_with("net") || first[at].starts_with("ipc");
        assert_eq!(first[at] == some[at], is_joined, "{first:?} {some:?}");
    }
    // In the joined pid namespace the process of the first is seen as well.
    assert_eq!(run.output(6).matches("sleep 100000").count(), 2, "{}", run.text);
}

/// Tried inside by one script; each line that it prints is a way out that was found.
const WAYS_OUT: &str = r#"
    try() { "$@" >/dev/null 2>&1 && echo "way out: $*"; }
    outside='sbin/init bundles run/containers/inside etc/boot'
    for root in / /.. /../../../../.. /proc/1/root /proc/self/root /proc/self/root/.. /proc/1/cwd /proc/1/cwd/../.. \
        /proc/thread-self/root /proc/self/task/*/root /dev/fd/0/.. /proc/1/root/proc/1/root/.. /out /tmp/up /proc/self/cwd/..
    do
        for file in $outside; do try ls -d $root/$file; done
    done
    for link in /proc/[0-9]*/fd/* /proc/[0-9]*/exe /proc/[0-9]*/map_files/*; do
        [ -d "$link/." ] && for file in $outside; do try ls -d "$link/$file" "$link/../$file"; done
    done
    for process in /proc/[0-9]*; do
        case $(cat $process/cmdline | tr '\0' ' ') in *init* | *manager* | *bailiwick*) echo "way out: $process" ;; esac
    done
    [ "$(ls -di / | awk '{print $1}')" = "$(ls -di /proc/1/root/ | awk '{print $1}')" ] || echo 'another root'
    try chroot /..  ls /bundles
    try mount --bind /.. /mnt
    try mount -t proc proc /mnt
    try umount /proc
    try mknod /tmp/memory c 1 1
    try mknod /tmp/disk b 8 0
    try cat /dev/mem /dev/kmem /dev/port
    try cat /proc/kcore
    try dd if=/proc/1/mem bs=1 count=1
    try hostname changed
    try sh -c 'echo 1 > /proc/sys/kernel/hostname'
    try sh -c 'echo b > /proc/sysrq-trigger'
    try sh -c 'echo 0 > /proc/1/oom_score_adj; echo changed > /sys/x'
    try mkdir /sys/fs/cgroup/mine
    try sh -c 'echo 1 > /sys/fs/cgroup/cgroup.procs'
    try nsenter -t 1 -m ls
    try nsenter --mount=/proc/1/ns/mnt ls
    try unshare -m true
    try kill -0 2000
    ls /proc/1/fd | tr '\n' ' '; ls /proc/self/fd | tr '\n' ' '; echo
    try echo so it looks
"#;

#[test]
fn no_path_link_proc_entry_or_descriptor_leads_out() {
    let bundle = idle().unwrap();
    std::fs::write(bundle.rootfs().join("ways"), WAYS_OUT).unwrap();
    std::os::unix::fs::symlink("../../../../..", bundle.rootfs().join("out")).unwrap();
    let commands = "run other box; run inside box; exec inside ln -s /../.. /tmp/up; exec inside sh /ways; \
                    exec inside ps -o pid,args; exec other cat /proc/sys/kernel/hostname";
    let run = exec(&[("box", &bundle)], commands).unwrap().succeeded().unwrap();
    // The fourth descriptor of ls is the directory it reads. The last line shows that a way out would be told.
    assert_eq!(run.output(3), "0 1 2 0 1 2 3 \nway out: echo so it looks\n", "{}", run.text);
    // Its own processes only: the first one, and ps.
    assert_eq!(run.output(4).lines().count(), 3, "{}", run.text);
    assert_eq!(run.output(5), "bailiwick\n", "{}", run.text);
}

#[test]
fn masked_paths_read_empty_and_read_only_ones_cannot_be_written_even_by_root() {
    let bundle = changed(&["sleep", "100000"], |config| {
        config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/home", "/proc/timer_list", "/none"]);
        config["linux"]["readonlyPaths"] = json!(["/tmp", "/proc/sys", "/etc/group"]);
    });
    let bundle = bundle.unwrap();
    std::fs::write(bundle.rootfs().join("home/secret"), "secret").unwrap();
    let script = "cat /etc/passwd; ls -A /home; cat /home/secret; echo > /home/new; echo > /tmp/x; echo >> /etc/group; \
                  echo > /proc/sys/kernel/hostname; umount /home; mount -o remount,rw /tmp; rm -r /home; touch /fine";
    let run = exec(&[("box", &bundle)], &format!("run a box; exec a sh -c '{script}'")).unwrap();
    let lines: Vec<String> = run.output(1).lines().map(str::to_owned).collect();
    let expected = [
        "cat: can't open '/home/secret': No such file or directory",
        "sh: can't create /home/new: Read-only file system",
        "sh: can't create /tmp/x: Read-only file system",
        "sh: can't create /etc/group: Read-only file system",
        "sh: can't create /proc/sys/kernel/hostname: Read-only file system",
        "umount: can't unmount /home: Operation not permitted",
        "mount: permission denied (are you root?)",
        "rm: can't remove '/home': Device or resource busy",
    ];
    assert_eq!(lines, expected, "{}", run.text);
}
