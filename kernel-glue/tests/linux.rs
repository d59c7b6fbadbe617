//! The Linux backend driven by plans made by hand, without manager or planner.
//!
//! The backend wants a process with one thread, so this is a program with its own `main`. It needs root; without it,
//! every test is counted as skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unreachable_pub, reason = "each test program has its own")]
mod limit;

use bailiwick_kernel_glue::linux::{Directory, Linux};
use bailiwick_kernel_glue::plan::*;
use bailiwick_kernel_glue::*;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, Scope, Stdio, Waiting};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const KEY: ContainerKey = ContainerKey(1);
const FIRST: ProcessKey = ProcessKey::First(KEY);

struct Bundle {
    path: PathBuf,
}

impl Bundle {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bailiwick-glue-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for directory in ["bin", "proc", "dev", "tmp"] {
            fs::create_dir_all(path.join("rootfs").join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", path.join("rootfs/bin/busybox")).expect("busybox-static is installed");
        std::os::unix::fs::symlink("busybox", path.join("rootfs/bin/sh")).unwrap();
        Bundle { path }
    }
    fn directory(&self) -> Directory {
        Directory::new(fs::File::open(&self.path).unwrap().into())
    }
}
impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn file_system(kind: &str, destination: &str) -> Step {
    Step::Mount(Mount {
        destination: destination.into(),
        source: MountSource::FileSystem { kind: kind.into(), device: kind.into() },
        flags: MountFlags::empty(),
        clear: MountFlags::empty(),
        tree_flags: MountFlags::empty(),
        tree_clear: MountFlags::empty(),
        propagation: Vec::new(),
        data: String::new(),
    })
}

fn steps(script: &str) -> Vec<Step> {
    let new = |kind| (kind, NamespaceSource::New);
    let kinds = [Namespace::Mount, Namespace::Pid, Namespace::Uts, Namespace::Ipc, Namespace::Network];
    vec![
        Step::ResourceGroup {
            path: format!("glue-test-{}", std::process::id()),
            resources: Resources { memory: Some(64 << 20), pids: Some(16), ..Resources::default() },
            devices: Vec::new(),
        },
        Step::Namespaces(kinds.into_iter().map(new).collect()),
        Step::Root { path: "rootfs".into(), propagation: Propagation::Slave },
        file_system("proc", "/proc"),
        file_system("tmpfs", "/dev"),
        Step::Device(Device {
            path: "/dev/null".into(),
            kind: DeviceKind::Character,
            major: 1,
            minor: 3,
            mode: 0o666,
            uid: 0,
            gid: 0,
        }),
        Step::PivotRoot { new: "rootfs".into(), old: "/".into() },
        Step::Hostname("glue".into()),
        Step::Mask("/proc/keys".into()),
        Step::ReadonlyPath("/proc/sys".into()),
        Step::ReadonlyRoot,
        Step::User { uid: 0, gid: 0, groups: Vec::new(), umask: None },
        Step::Capabilities(CapabilitySets::default()),
        Step::NoNewPrivileges,
        Step::WorkingDirectory("/".into()),
        Step::Load { args: ["sh", "-c", script].map(String::from).into(), env: vec!["PATH=/bin".into()] },
    ]
}

fn plan(create: Vec<Step>) -> Plan {
    Plan {
        create,
        start: Vec::new(),
        poststart: Vec::new(),
        poststop: Vec::new(),
        state: HookState::default(),
        stdio: Stdio::Log,
    }
}

fn prepare(glue: &mut Linux, bundle: &Bundle, plan: &Plan) -> Result<Prepared, StepFault> {
    match glue.prepare(KEY, bundle.directory(), plan) {
        Progress::Done(result) => result,
        Progress::Later => loop {
            if let Event::Prepared { result, .. } = glue.next_event(Waiting::Yes).unwrap() {
                return result;
            }
        },
    }
}

/// Opens the gate and waits for the end; gives all output too.
fn finish(glue: &mut Linux) -> (Exit, String) {
    assert_eq!(glue.release(KEY), Progress::Later);
    let mut output = Vec::new();
    let mut read = |glue: &mut Linux| {
        let mut buffer = [0; 4096];
        loop {
            let n = glue.read_output(FIRST, &mut buffer).len;
            if n == 0 {
                return;
            }
            output.extend_from_slice(&buffer[..n]);
        }
    };
    loop {
        match glue.next_event(Waiting::Yes).unwrap() {
            Event::Exited { process, exit } if process == FIRST => {
                read(glue);
                return (exit, String::from_utf8(output).unwrap());
            }
            Event::Output { .. } => read(glue),
            Event::Released { result, .. } => result.unwrap(),
            _ => {}
        }
    }
}

fn destroy(glue: &mut Linux) {
    match glue.destroy(KEY) {
        Progress::Done(result) => result.unwrap(),
        Progress::Later => while glue.next_event(Waiting::Yes).unwrap() != (Event::Destroyed { key: KEY }) {},
    }
}

fn run(glue: &mut Linux, bundle: &Bundle, create: Vec<Step>) -> (Exit, String) {
    prepare(glue, bundle, &plan(create)).unwrap();
    let result = finish(glue);
    destroy(glue);
    result
}

fn descriptors() -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|e| fs::read_link(e.unwrap().path()).ok())
        .map(|p| p.to_string_lossy().into_owned())
        .filter(|p| !p.starts_with("/proc/"))
        .collect();
    all.sort();
    all
}

fn groups() -> Vec<PathBuf> {
    let name = format!("glue-test-{}", std::process::id());
    fn walk(directory: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if entry.file_name().to_string_lossy() == name {
                    found.push(entry.path());
                }
                walk(&entry.path(), name, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &name, &mut found);
    found
}

fn children() -> String {
    let tasks = fs::read_to_string("/proc/self/task/self/children");
    tasks.or_else(|_| fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()))).unwrap()
}

/// Nothing is left of any container.
fn nothing_left(before: &[String]) {
    assert_eq!(descriptors(), before, "descriptors");
    assert_eq!(groups(), Vec::<PathBuf>::new(), "control groups");
    assert_eq!(children(), "", "children");
}

fn a_program_sees_its_own_namespaces_and_its_status_comes_back(glue: &mut Linux) {
    let bundle = Bundle::new("sees");
    let script = "hostname; echo $$; ls /proc/self/fd | wc -l; cat /proc/keys; echo x > /file; exit 7";
    let (exit, output) = run(glue, &bundle, steps(script));
    assert_eq!(exit, Exit::Code(7), "{output}");
    let lines: Vec<&str> = output.lines().collect();
    // 0, 1, 2 and the directory that ls itself has open.
    assert_eq!(lines[..3], ["glue", "1", "4"], "{output}");
    assert!(lines[3].contains("Read-only file system"), "{output}");
    assert_eq!(lines.len(), 4, "{output}");
}

fn a_step_that_fails_is_named_and_leaves_nothing(glue: &mut Linux) {
    let bundle = Bundle::new("fails");
    let before = descriptors();
    for broken in 0..steps("").len() {
        let mut create = steps("true");
        let index = u16::try_from(broken).unwrap();
        create[broken] = match &create[broken] {
            Step::ResourceGroup { path, devices, .. } => Step::ResourceGroup {
                path: path.clone(),
                resources: Resources { cpu_quota: Some(1), ..Resources::default() },
                devices: devices.clone(),
            },
            Step::Namespaces(list) => {
                let mut list = list.clone();
                list[3].1 = NamespaceSource::Path("/proc/self/ns/net".into());
                Step::Namespaces(list)
            }
            Step::Root { propagation, .. } => {
                Step::Root { path: "missing".into(), propagation: *propagation }
            }
            Step::Mount(_) => file_system("nonsense", "/proc"),
            Step::Load { env, .. } => Step::Load { args: vec!["missing".into()], env: env.clone() },
            _ => Step::WorkingDirectory("/missing".into()),
        };
        let fault = prepare(glue, &bundle, &plan(create)).unwrap_err();
        assert_eq!(fault.step, Some(index), "{fault}");
        assert!(!fault.what.is_empty());
        nothing_left(&before);
    }
}

fn destroying_at_any_moment_leaves_nothing(glue: &mut Linux) {
    let bundle = Bundle::new("destroy");
    let before = descriptors();
    // While it is being made.
    assert_eq!(glue.prepare(KEY, bundle.directory(), &plan(steps("sleep 100"))), Progress::Later);
    destroy(glue);
    nothing_left(&before);
    // At the gate.
    prepare(glue, &bundle, &plan(steps("sleep 100"))).unwrap();
    destroy(glue);
    nothing_left(&before);
    // Running, and frozen.
    prepare(glue, &bundle, &plan(steps("sleep 100 & sleep 100"))).unwrap();
    assert_eq!(glue.release(KEY), Progress::Later);
    while !matches!(glue.next_event(Waiting::Yes), Some(Event::Released { .. })) {}
    glue.freeze(KEY).unwrap();
    destroy(glue);
    nothing_left(&before);
    assert_eq!(glue.next_event(Waiting::Yes), None);
}

fn a_further_process_joins_and_its_end_is_told(glue: &mut Linux) {
    let bundle = Bundle::new("further");
    let before = descriptors();
    prepare(glue, &bundle, &plan(steps("sleep 100"))).unwrap();
    let process = |script: &str| ProcessPlan {
        steps: vec![
            Step::Capabilities(CapabilitySets::default()),
            Step::WorkingDirectory("/tmp".into()),
            Step::Load { args: ["sh", "-c", script].map(String::from).into(), env: Vec::new() },
        ],
        stdio: Stdio::Log,
    };
    assert_eq!(glue.execute(KEY, ExecKey(1), &process("true")).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(glue.release(KEY), Progress::Later);
    while !matches!(glue.next_event(Waiting::Yes), Some(Event::Released { .. })) {}
    let script = "hostname; pwd; ps | grep -c 'sleep 100'; grep Cap /proc/self/status | grep -vc 0000000000000000; exit 3";
    glue.execute(KEY, ExecKey(1), &process(script)).unwrap();
    assert_eq!(glue.execute(KEY, ExecKey(1), &process("true")).unwrap_err().errno, Errno::EEXIST);
    let key = ProcessKey::Exec(KEY, ExecKey(1));
    let ended = loop {
        if let Event::Exited { process, exit } = glue.next_event(Waiting::Yes).unwrap() {
            break (process, exit);
        }
    };
    assert_eq!(ended, (key, Exit::Code(3)));
    let mut buffer = [0; 4096];
    let n = glue.read_output(key, &mut buffer).len;
    let output = String::from_utf8_lossy(&buffer[..n]).into_owned();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["glue", "/tmp"], "{output}");
    assert_eq!(lines[3], "0", "{output}");
    assert_eq!(glue.signal(key, 9, Scope::First), Err(Errno::ESRCH));
    glue.forget(KEY, ExecKey(1));
    // One that runs on is gone with the container.
    glue.execute(KEY, ExecKey(2), &process("sleep 100")).unwrap();
    let missing = ProcessPlan {
        steps: vec![Step::Load { args: vec!["/missing".into()], env: Vec::new() }],
        stdio: Stdio::Log,
    };
    let fault = glue.execute(KEY, ExecKey(3), &missing).unwrap_err();
    assert_eq!((fault.step, fault.errno), (Some(0), Errno::ENOENT));
    assert_eq!(glue.processes(KEY, 0).unwrap().rows.len(), 2);
    destroy(glue);
    nothing_left(&before);
}

/// A loop that keeps one processor busy until it is dropped.
struct Load(std::process::Child);

impl Load {
    fn new() -> Self {
        let mut command = std::process::Command::new("/bin/busybox");
        Load(command.args(["sh", "-c", "while :; do :; done"]).spawn().unwrap())
    }
}
impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Both the process that joins the namespaces and the one that it makes there may be the first to go on.
fn many_further_processes_on_a_busy_machine_start_and_end(glue: &mut Linux) {
    let bundle = Bundle::new("many");
    let before = descriptors();
    prepare(glue, &bundle, &plan(steps("exec sleep 1000"))).unwrap();
    assert_eq!(glue.release(KEY), Progress::Later);
    while !matches!(glue.next_event(Waiting::Yes), Some(Event::Released { .. })) {}
    let load = [Load::new(), Load::new()];
    for number in 1..=200 {
        let args = ["/bin/busybox", "true"].map(String::from).into();
        let plan = ProcessPlan { steps: vec![Step::Load { args, env: Vec::new() }], stdio: Stdio::Log };
        glue.execute(KEY, ExecKey(number), &plan).unwrap();
        let end = Event::Exited { process: ProcessKey::Exec(KEY, ExecKey(number)), exit: Exit::Code(0) };
        while glue.next_event(Waiting::Yes).unwrap() != end {}
        glue.forget(KEY, ExecKey(number));
    }
    drop(load);
    destroy(glue);
    nothing_left(&before);
}

fn a_memory_hog_is_told_as_out_of_memory(glue: &mut Linux) {
    let bundle = Bundle::new("memory");
    let mut create = steps("x=0123456789abcdef; while :; do x=$x$x; done");
    create[0] = Step::ResourceGroup {
        path: format!("glue-test-{}", std::process::id()),
        resources: Resources { memory: Some(8 << 20), memory_swap: Some(8 << 20), ..Resources::default() },
        devices: Vec::new(),
    };
    prepare(glue, &bundle, &plan(create)).unwrap();
    assert_eq!(finish(glue).0, Exit::OutOfMemory);
    assert!(glue.statistics(KEY).unwrap().oom_kills > 0);
    destroy(glue);
}

type Test = (&'static str, fn(&mut Linux));

fn main() {
    if std::env::args().any(|a| a == "--list") {
        return;
    }
    let tests: &[Test] = &[
        (
            "a_program_sees_its_own_namespaces_and_its_status_comes_back",
            a_program_sees_its_own_namespaces_and_its_status_comes_back,
        ),
        ("a_step_that_fails_is_named_and_leaves_nothing", a_step_that_fails_is_named_and_leaves_nothing),
        ("destroying_at_any_moment_leaves_nothing", destroying_at_any_moment_leaves_nothing),
        ("a_further_process_joins_and_its_end_is_told", a_further_process_joins_and_its_end_is_told),
        (
            "many_further_processes_on_a_busy_machine_start_and_end",
            many_further_processes_on_a_busy_machine_start_and_end,
        ),
        ("a_memory_hog_is_told_as_out_of_memory", a_memory_hog_is_told_as_out_of_memory),
    ];
    let root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
    if !root {
        println!("{} tests skipped: they need root", tests.len());
        return;
    }
    let mut glue = Linux::new(linux::DEFAULT_PARENT).unwrap();
    for (name, test) in tests {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        limit::begin();
        test(&mut glue);
        println!("ok");
    }
    limit::end();
    println!("test result: ok. {} passed; 0 failed; 0 ignored", tests.len());
}
